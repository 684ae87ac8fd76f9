"""Turning at import: images, shifts and azimuths of aberrations turn by the same angle, the same way."""

from __future__ import annotations

from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest

from napari_phaset3m.core.aberrations import KRIVANEK, aberration_phase
from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.io.orient import turn, turn_aberrations
from napari_phaset3m.io.series import load_series

ENERGY, PIXEL, SIDE = 300e3, 2.0, 128
ASTIGMATIC = {"C12": 1500.0, "phi12": 0.4, "C10": -6000.0}
ANGLES = [90.0, -90.0, 180.0, 33.0, -60.0]


def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    """(kx, ky) as `(1, nx)` and `(ny, 1)`: images are `(ny, nx)`."""
    k = np.fft.fftfreq(SIDE, PIXEL)
    return k[None, :], k[:, None]


def _ctf(aberrations: dict[str, float]) -> np.ndarray:
    kx, ky = _frequencies()
    return np.sin(aberration_phase(kx, ky, wavelength_angstrom(ENERGY), aberrations))


def _thon_rings(n: int = 12) -> np.ndarray:
    """Weak-phase images `(n, ny, nx)` of white noise: their mean spectrum is CTF squared."""
    noise = np.random.default_rng(5).normal(size=(n, SIDE, SIDE))
    spectrum = np.fft.fft2(noise)
    return 1 + 0.1 * np.fft.ifft2(spectrum * _ctf(ASTIGMATIC)).real


def _fit(images: np.ndarray, aberrations: dict[str, float]) -> float:
    """Correlation of the measured mean spectrum with CTF squared over the middle frequencies."""
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE))
    power = (np.abs(np.fft.fft2((images - images.mean()) * window)) ** 2).mean(axis=0)
    k = np.hypot(*_frequencies())
    ring = (k > 0.04) & (k < 0.17)
    return float(np.corrcoef(power[ring], _ctf(aberrations)[ring] ** 2)[0, 1])


def _stack(path: Path, images: np.ndarray) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data(images.astype(np.float32))
        mrc.voxel_size = PIXEL
    return path


@pytest.mark.parametrize("angle", ANGLES)
def test_astigmatism_turns_with_the_images(tmp_path: Path, angle: float) -> None:
    stack = _stack(tmp_path / "thon.mrc", _thon_rings())
    series = load_series(stack, energy_ev=ENERGY, tilt_deg=np.arange(12.0), aberrations=ASTIGMATIC,
                         tilt_axis_angle_deg=angle)  # fmt: skip
    right = _fit(series.images[:, 0], dict(series.aberrations))
    flipped = _fit(series.images[:, 0], turn_aberrations(ASTIGMATIC, -angle))
    kept = _fit(series.images[:, 0], ASTIGMATIC)
    assert right > 0.75
    if angle % 90:
        assert flipped < right - 0.3
    if angle != 180:  # the two-fold term is the same after half a turn
        assert kept < right - 0.3
    assert series.tilt_axis_angle_deg == angle
    assert any("azimuths" in note for note in series.metadata["notes"])


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("name", [name for name, (_, m) in KRIVANEK.items() if m])
def test_every_symmetry_turns_by_the_angle_itself(name: str, angle: float) -> None:
    """The phase at a direction of the turned image is the phase at that direction of the file's."""
    given = {name: 2e4, "phi" + name[1:]: 0.3}
    turned = turn_aberrations(given, angle)
    k, direction = 0.2, np.linspace(0, 2 * np.pi, 17)
    new, old, flipped = (
        aberration_phase(k * np.cos(phi), k * np.sin(phi), 0.02, table)
        for phi, table in (
            (direction - np.deg2rad(angle), turned),
            (direction, given),
            (direction + np.deg2rad(angle), turned),
        )
    )
    scale = np.abs(old).max()
    np.testing.assert_allclose(new, old, atol=1e-9 * scale)
    m = KRIVANEK[name][1]
    if abs(np.sin(m * np.deg2rad(angle))) > 0.05:
        assert np.abs(flipped - old).max() > 0.05 * scale
    assert abs(turned["phi" + name[1:]]) <= np.pi / m + 1e-12


def test_an_azimuth_that_is_left_out_is_zero_and_turns() -> None:
    turned = turn_aberrations({"C21": 50.0, "C30": 2.7e7}, 30.0)
    assert turned == {"C21": 50.0, "C30": 2.7e7, "phi21": pytest.approx(-np.pi / 6)}


@pytest.mark.parametrize("angle", [0.0, *ANGLES])
def test_shifts_point_at_the_same_feature(tmp_path: Path, angle: float) -> None:
    shift = np.array([9.0, -14.0])
    y, x = np.mgrid[:65, :65] - 32.0
    blob = 1 + np.exp(-((y - shift[0]) ** 2 + (x - shift[1]) ** 2) / 8)
    series = load_series(_stack(tmp_path / "b.mrc", blob[None]), energy_ev=ENERGY, tilt_deg=[0.0],
                         shifts_px=shift, tilt_axis_angle_deg=angle, normalise="given")  # fmt: skip
    weight = series.images[0, 0] - series.images[0, 0].min()
    weight[weight < 0.05] = 0
    centre = np.array([(weight * y).sum(), (weight * x).sum()]) / weight.sum()
    np.testing.assert_allclose(series.shifts_px[0, 0], centre, atol=0.1)


def test_a_turn_and_back_is_where_it_began() -> None:
    image = np.random.default_rng(0).normal(size=(1, 7, 12)).astype(np.float32)
    there, shifts = turn(image, 90.0, [[1.0, 2.0]])
    back, again = turn(there, -90.0, shifts)
    np.testing.assert_array_equal(back, image)
    np.testing.assert_allclose(again, [[1.0, 2.0]], atol=1e-12)


def test_a_single_image_without_an_angle_is_said_to_be_at_zero(tmp_path: Path) -> None:
    stack = _stack(tmp_path / "one.mrc", np.ones((1, 8, 8)) + np.eye(8))
    series = load_series(stack, energy_ev=ENERGY)
    assert series.tilt_deg[0] == 0 and any("tilt angle is not stated" in n for n in series.metadata["notes"])
    stated = load_series(stack, energy_ev=ENERGY, tilt_deg=[5.0])
    assert stated.tilt_deg[0] == 5 and not any("tilt angle" in n for n in stated.metadata["notes"])


@pytest.mark.parametrize(("angle", "width"), [(0.0, 10), (90.0, 8), (-12.0, 10), (180.0, 10)])
def test_exit_face_of_the_box_as_it_lies_after_the_turn(tmp_path: Path, angle: float, width: int) -> None:
    with h5py.File(tmp_path / "five.h5", "w") as file:
        file["tilt_series"] = np.random.default_rng(0).uniform(0.9, 1.1, (3, 1, 8, 10))
        file["tilt_angles"], file["defocus_values"] = [-1.0, 0.0, 1.0], [900.0]
        file["pixel_size"], file["energy"] = PIXEL, ENERGY
    series = load_series(tmp_path / "five.h5", tilt_axis_angle_deg=angle)
    np.testing.assert_allclose(series.defocus_angstrom, 900.0 - width * PIXEL / 2)
    assert series.image_shape[1] == width
