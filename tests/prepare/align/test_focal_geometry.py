"""Foci turned and magnified against each other, by formulas of the test: no image is resampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.words import told_words

FOCI, CS, ENERGY, SIZE, PIXEL = (900.0, 1700.0, 2700.0), 2.3e7, 3e5, 64, 0.6
TURNS, SCALES = np.array([0.3, 0.0, -0.3]), np.array([1.005, 1.0, 0.995])


def foci_of(turns: np.ndarray, scales: np.ndarray, n_tilt: int = 5, dose: float | None = None) -> Any:
    """Phase objects of 90 atoms in a ball, tilted; the atoms are moved and the pixel changed."""
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(90, 3))
    ball *= 14 * rng.random((90, 1)) ** (1 / 3) / np.linalg.norm(ball, axis=1, keepdims=True)
    images = np.empty((n_tilt, len(FOCI), SIZE, SIZE))
    for tilt, angle in enumerate(np.radians(np.linspace(-30, 30, n_tilt))):
        atoms = np.stack((ball[:, 0] * np.cos(angle) - ball[:, 2] * np.sin(angle), ball[:, 1]), -1)
        for focus, defocus in enumerate(FOCI):
            images[tilt, focus] = image(atoms, defocus, turns[focus], PIXEL / scales[focus])
    if dose is not None:
        images = rng.poisson(images * dose * PIXEL**2) / (dose * PIXEL**2)
    return TiltFocalSeries(
        images=images, tilt_deg=np.linspace(-30, 30, n_tilt), pixel_size_angstrom=PIXEL, energy_ev=ENERGY,
        defocus_angstrom=FOCI, spherical_aberration_angstrom=CS, dose_per_image=dose,
    )  # fmt: skip


def image(atoms: np.ndarray, defocus: float, turn_deg: float, pixel: float) -> np.ndarray:
    """|IFFT(FFT(exp(i p)) exp(-i chi))|^2 on a grid of another pixel, the atoms turned from +x to +y."""
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    line = (np.arange(SIZE) - (SIZE - 1) / 2) * pixel
    x, y = cos * atoms[:, 0] - sin * atoms[:, 1], sin * atoms[:, 0] + cos * atoms[:, 1]
    blob = lambda places: np.exp(-((line[None] - places[:, None]) ** 2) / (2 * 0.6**2))  # noqa: E731
    phase = 0.3 * blob(y).T @ blob(x)
    k2 = np.add.outer(*[np.fft.fftfreq(SIZE, pixel) ** 2] * 2)
    lam = wavelength_angstrom(ENERGY)
    chi = -np.pi * lam * k2 * defocus + 0.5 * np.pi * CS * lam**3 * k2**2
    passed = np.exp(-1j * chi) * (k2 < (0.45 / pixel) ** 2)
    return np.abs(np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * passed)) ** 2


def focal(series: TiltFocalSeries, **settings: Any) -> Any:
    chosen = {"focal_refine": False, "focal_search_px": 2.0, **settings}
    return align(
        series, AlignConfig.parse(stages=("focal",), focal=chosen, match={"match_bins": (4,)}, threads=1)
    )


@pytest.fixture(scope="module")
def turned():
    return focal(foci_of(TURNS, SCALES))


def test_rotation_and_magnification_come_back(turned):
    """0.3 degrees and 0.5 %: to 0.05 degrees and 0.1 %, with their sign."""
    stage = turned.result.stages[0]
    assert stage.kept and stage.told["turned"] and stage.told["magnified"]
    found = turned.result.alignment
    np.testing.assert_allclose(found.rotation_deg, np.tile(TURNS, (5, 1)), atol=0.05)
    np.testing.assert_allclose(found.magnification, np.tile(SCALES, (5, 1)), atol=1e-3)
    assert max(stage.told["rotation_error_deg"]) < 0.05


def test_images_are_resampled_onto_each_other(turned):
    """The series that comes out is the one whose foci were never turned (but for the border)."""
    straight = foci_of(np.zeros(3), np.ones(3)).images[..., 12:-12, 12:-12]
    given = foci_of(TURNS, SCALES).images[..., 12:-12, 12:-12]
    left = turned.series.images[..., 12:-12, 12:-12] - straight
    assert left.std() < 0.6 * (given - straight).std()
    assert turned.series.metadata["history"][-1]["told"]["stages"][0]["told"]["turned"]


def test_nothing_is_resampled_for_chance():
    """Straight foci at a dose where the found numbers are noise: the images stay as they are."""
    series = foci_of(np.zeros(3), np.ones(3), n_tilt=4, dose=100.0)
    done = focal(series)
    assert not done.result.alignment.turned
    np.testing.assert_array_equal(done.series.images, series.images)


def test_one_tilt_does_not_tell_how_sure_it_is():
    """A focal series alone: the numbers are told, the images stay."""
    done = focal(foci_of(TURNS, SCALES, n_tilt=1))
    told = done.result.stages[0].told
    assert not done.result.alignment.turned and told["rotation_error_deg"] == [None] * 3
    assert told["rotation_deg"][0] > 0.2 and "error not known" in told_words("focal", told)


def test_it_can_be_left_out():
    done = focal(foci_of(TURNS, SCALES, n_tilt=3), focal_geometry=False)
    assert not done.result.alignment.turned and not done.result.stages[0].told


def test_words(turned):
    text = told_words("focal", turned.result.stages[0].told)
    assert "+0.3" in text and "−0.3" in text and "%" in text
    assert "left" in told_words("focal", {**turned.result.stages[0].told, "turned": False})
    assert told_words("focal", {}) == "" == told_words("match", {"x": 1})
