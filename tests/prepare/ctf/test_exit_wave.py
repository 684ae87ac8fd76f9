"""Exit-wave consistency: a phase object imaged by formulas of the test, and the shared abTEM data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _made import ENERGY, angle_apart_deg, series, wavelength

from napari_phaset3m.io.series import load_series
from napari_phaset3m.prepare.ctf.api import find_ctf
from napari_phaset3m.prepare.ctf.config import CtfConfig

PIXEL, FOCI, CS = 0.6, np.array([900.0, 1700.0, 2700.0]), 2.3e7
WAVE = CtfConfig(method="exit_wave")


def particle(offset, *, shifts=((0, 0), (0, 0), (0, 0)), c12=0.0, phi12=0.0, counts=None, seed=0, n=80):
    """`(3, n, n)` |IFFT(FFT(exp(i p)) exp(-i chi))|^2 of atom-like blobs in vacuum."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:n, :n] - (n - 1) / 2) * PIXEL
    phase = np.zeros((n, n))
    for _ in range(60):
        r, angle = 9 * np.sqrt(rng.random()), 2 * np.pi * rng.random()
        phase += 0.35 * np.exp(-((x - r * np.cos(angle)) ** 2 + (y - r * np.sin(angle)) ** 2) / (2 * 0.6**2))
    k = np.fft.fftfreq(n, PIXEL)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    k2, azimuth, lam = kx**2 + ky**2, np.arctan2(ky, kx), wavelength(ENERGY)
    images = []
    for defocus, (sy, sx) in zip(FOCI + offset, shifts, strict=True):
        chi = (
            np.pi * lam * k2 * (-defocus + c12 * np.cos(2 * (azimuth - phi12)))
            + 0.5 * np.pi * CS * lam**3 * k2**2
        )
        wave = np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * np.exp(-1j * chi))
        moved = np.exp(-2j * np.pi * PIXEL * (ky * sy + kx * sx))
        images.append(np.fft.ifft2(np.fft.fft2(np.abs(wave) ** 2) * moved).real)
    images = np.array(images)
    if counts is not None:
        images = rng.poisson(np.maximum(images, 0) * counts) / counts
    return images.astype(np.float32)


def groups(offsets, **fields):
    images = np.array([particle(offset, seed=t, **fields) for t, offset in enumerate(offsets)])
    return series(images, PIXEL, np.arange(len(offsets)) * 2.0, defocus_angstrom=FOCI,
                  spherical_aberration_angstrom=CS)  # fmt: skip


def test_offsets_of_each_tilt_and_shared_astigmatism():
    offsets = np.array([80.0, -60.0, 20.0])
    done = find_ctf(groups(offsets, c12=80.0, phi12=np.radians(25)), WAVE)
    result = done.result
    found = result.defocus_angstrom - FOCI
    assert np.abs(found.mean(1) - offsets).max() < 3
    np.testing.assert_allclose(found - found.mean(1, keepdims=True), 0, atol=1e-6)
    c12, phi12 = result.astigmatism()
    assert abs(c12 - 80) < 4 and angle_apart_deg(phi12, np.radians(25)) < 2
    assert angle_apart_deg(phi12, -np.radians(25)) > 30
    assert result.method == "exit wave" and "exit wave" in result.message
    assert done.series.aberrations["C12"] == pytest.approx(c12)


def test_shifts_left_between_foci_do_not_matter():
    offsets = np.array([50.0, -50.0])
    found = find_ctf(groups(offsets, shifts=((0, 0), (0.6, -0.4), (-0.5, 0.3))), WAVE).result
    assert np.abs((found.defocus_angstrom - FOCI).mean(1) - offsets).max() < 4


def test_stated_shifts_are_used_with_their_sign():
    shifts = np.array([(0.0, 0.0), (4.0, -3.0), (-5.0, 2.5)])
    offsets = np.array([60.0, -40.0])
    given = groups(offsets, shifts=shifts)
    right = find_ctf(given.replace(shifts_px=np.tile(shifts, (2, 1, 1))), WAVE).result
    wrong = find_ctf(given.replace(shifts_px=np.tile(-shifts, (2, 1, 1))), WAVE).result
    assert np.abs((right.defocus_angstrom - FOCI).mean(1) - offsets).max() < 4
    assert np.abs((wrong.defocus_angstrom - FOCI).mean(1) - offsets).max() > 15


def test_noise_is_told_in_the_error():
    offsets = np.array([80.0, -60.0, 20.0, -20.0])
    quiet, loud = (find_ctf(groups(offsets, counts=counts), WAVE).result for counts in (400.0, 1.0))
    error = (quiet.defocus_angstrom - FOCI).mean(1) - offsets
    assert np.sqrt(np.mean(error**2)) < 20
    assert loud.array("defocus_error_angstrom").mean() > 45 > quiet.array("defocus_error_angstrom").mean()
    assert loud.array("confidence").mean() < 0.5 < quiet.array("confidence").mean()
    assert "noise" in loud.message


def test_what_is_less_certain_than_stated_is_not_written():
    given = groups(np.array([80.0, -60.0, 20.0, -20.0]), counts=1.0)
    given = given.replace(aberrations={"C12": 30.0, "phi12": 0.4})
    done = find_ctf(given, WAVE)
    np.testing.assert_array_equal(done.series.defocus_angstrom, given.defocus_angstrom)
    assert dict(done.series.aberrations) == {"C12": 30.0, "phi12": 0.4}
    assert {image.method for image in done.result} == {"stated"}
    assert "surer" in done.result.images[0][0].note


def test_a_pair_of_foci_serves():
    images = groups(np.array([80.0, -60.0]))
    pair = images.replace(used=np.array([[True, False, True]] * 2))
    result = find_ctf(pair, WAVE).result
    assert np.abs(result.defocus_angstrom[:, [0, 2]] - FOCI[[0, 2]] - np.array([[80.0], [-60.0]])).max() < 20
    assert [image.method for image in result.images[0]] == ["exit wave", "stated", "exit wave"]


def test_cs_is_fitted_when_asked_for():
    given = groups(np.array([40.0, -40.0, 0.0])).replace(spherical_aberration_angstrom=CS + 0.2e7)
    done = find_ctf(
        given, CtfConfig(method="exit_wave", fit_spherical_aberration=True, exit_wave_resolution_angstrom=1.6)
    )
    assert abs(done.series.spherical_aberration_angstrom - CS) < 0.05e7


# ------------------------------------------------------------------ the independent data set


def perturbed(shared_data, tag="", tilts=slice(None)):
    folder = shared_data / "co3o4"
    if not (folder / "co3o4_perturbed_dev.h5").is_file():
        pytest.skip(f"co3o4_perturbed_dev.h5 not found in {folder}")
    truth = json.loads((folder / "co3o4_perturbed_dev_truth.json").read_text())
    loaded = load_series(folder / f"co3o4_perturbed_dev{tag}.h5")
    given = loaded.replace(
        images=loaded.images[tilts], tilt_deg=loaded.tilt_deg[tilts], used=loaded.used[tilts],
        defocus_angstrom=loaded.defocus_angstrom[tilts],
        dose_per_image=None if loaded.dose_per_image is None else loaded.dose_per_image[tilts],
        shifts_px=np.array(truth["shift_px_YX"])[tilts],
    )  # fmt: skip
    return given, np.array(truth["defocus_center_A"])[tilts], truth


def left_over(result, truth):
    """RMS after one constant, which the wrong Cs of the stated metadata trades with."""
    return float(np.std(result.defocus_angstrom - truth))


def test_particle_in_vacuum_with_wrong_cs(shared_data):
    given, defocus, truth = perturbed(shared_data, tilts=slice(0, 27, 4))
    result = find_ctf(given, CtfConfig()).result  # auto: rings are refused, and it says so
    assert result.method == "exit wave" and "Thon rings cannot be trusted" in result.message
    assert left_over(result, defocus) < 30  # 13 over all 27 tilts; 61 as stated
    # The truth counts from +y towards +x.
    c12, phi12 = result.astigmatism()
    assert angle_apart_deg(phi12, np.pi / 2 - np.radians(truth["phi12_deg"])) < 3
    assert abs(c12 - truth["C12_A"]) < 10


@pytest.mark.parametrize(
    ("shifts", "warned"), [(((0, 0), (0, 0), (0, 0)), False), (((0, 0), (3, -2), (-2, 4)), True)]
)
def test_foci_that_are_not_aligned_are_told(shifts, warned):
    """A shift between foci passes for defocus; contrast reverses between them."""
    given = groups(np.array([40.0, -30.0]), shifts=shifts, counts=60.0)
    message = find_ctf(given, WAVE.model_copy(update={"exit_wave_steps": 1})).result.message
    assert ("phaset3m align" in message) == warned


@pytest.mark.slow
@pytest.mark.parametrize(("tag", "most"), [("", 20.0), ("_dose200", 25.0)])
def test_all_tilts_of_the_perturbed_series(shared_data, tag, most):
    given, defocus, _ = perturbed(shared_data, tag)
    rng = np.random.default_rng(0)
    given = given.replace(shifts_px=given.shifts_px + rng.normal(0, 0.3, given.shifts_px.shape))
    assert left_over(find_ctf(given, CtfConfig()).result, defocus) < most


@pytest.mark.slow
def test_with_the_true_cs_free_it_is_found(shared_data):
    given, defocus, truth = perturbed(shared_data)
    done = find_ctf(given, CtfConfig(method="exit_wave", fit_spherical_aberration=True))
    assert abs(done.series.spherical_aberration_angstrom - truth["Cs_A"]) < 0.05e7
    assert left_over(done.result, defocus) < 10


@pytest.mark.slow
def test_too_noisy_a_series_says_so(shared_data):
    given, defocus, _ = perturbed(shared_data, "_dose21p5")
    result = find_ctf(given, WAVE).result
    error = result.array("defocus_error_angstrom")
    assert error.mean() > 45 and (result.array("confidence") < 0.5).mean() > 0.9
    z = (result.defocus_angstrom - defocus).mean(1)
    assert 0.5 < np.std(z) / error.mean() < 1.6
