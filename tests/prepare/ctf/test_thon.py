"""Thon rings: units, signs, what is joined, what is believed. Tolerances follow from the stated errors."""

from __future__ import annotations

import numpy as np
import pytest
from _made import CS, ENERGY, angle_apart_deg, film, series, wavelength

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.prepare.ctf.api import find_ctf, iterate_ctf, thon_rings
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.model import CtfValues, RingModel
from napari_phaset3m.prepare.ctf.spectrum import polar_grid, spectra
from napari_phaset3m.prepare.events import Done, Progress

SHAPE = (384, 384)
PLAIN = CtfConfig(amplitude_contrast=0.0, defocus_max_angstrom=12000.0)


def one(image, config=PLAIN, **fields):
    return find_ctf(series(image, **fields), config).result.images[0][0]


@pytest.mark.parametrize("defocus", [1500.0, 4000.0, 9000.0])
def test_defocus_is_found_in_angstrom(defocus):
    found = one(film(SHAPE, 1.0, defocus))
    assert found.method == "thon" and found.confidence > 0.3
    assert abs(found.defocus_angstrom - defocus) < max(4 * found.defocus_error_angstrom, 0.003 * defocus)
    assert 0 < found.defocus_error_angstrom < 0.01 * defocus


def test_astigmatism_runs_from_columns_towards_rows():
    angle = np.radians(25.0)
    found = one(film((384, 448), 1.0, 4000.0, c12=200.0, phi12=angle))  # not square: a transposed frame fails
    assert abs(found.c12_angstrom - 200) < 20
    assert angle_apart_deg(found.phi12_rad, angle) < 2
    assert (
        angle_apart_deg(found.phi12_rad, -angle) > 30
        and angle_apart_deg(found.phi12_rad, np.pi / 2 - angle) > 30
    )


def test_strong_astigmatism_of_a_quarter_of_the_defocus_is_found():
    found = one(film(SHAPE, 1.0, 4000.0, c12=1000.0, phi12=2.0, snr=1.0))
    assert abs(found.defocus_angstrom - 4000) < 25 and abs(found.c12_angstrom - 1000) < 25
    assert angle_apart_deg(found.phi12_rad, 2.0) < 1


def test_ring_model_is_minus_chi_of_the_core_plus_amplitude_contrast():
    microscope = Microscope(ENERGY, CS)
    k, azimuth = np.array([0.1, 0.2, 0.3]), np.array([0.3, 1.0, 2.5])
    gamma = RingModel(microscope, k, azimuth, 0.1).gamma(CtfValues(3000.0, 100.0, 50.0))
    lam = wavelength()
    bend = 100 * np.cos(2 * azimuth) + 50 * np.sin(2 * azimuth)
    expected = np.pi * lam * k**2 * (3000 - bend) - 0.5 * np.pi * CS * lam**3 * k**4 + np.arcsin(0.1)
    np.testing.assert_allclose(gamma, expected, rtol=1e-6)


def test_phase_shift_is_found_when_asked_for():
    image = film(SHAPE, 1.0, 4000.0, extra_phase=np.radians(70.0), snr=1.0)
    config = CtfConfig(
        amplitude_contrast=0.0, fit_phase_shift=True, defocus_max_angstrom=8000.0, astigmatism="given"
    )
    found = one(image, config)
    assert abs(found.phase_shift_deg - 70) < max(4 * found.phase_shift_error_deg, 3)
    assert abs(found.defocus_angstrom - 4000) < 40
    assert one(image, PLAIN).phase_shift_deg == 0


def test_overfocus_is_told_from_underfocus_by_cs():
    both = CtfConfig(amplitude_contrast=0.0, defocus_min_angstrom=-4000.0, defocus_max_angstrom=4000.0)
    found = one(film(SHAPE, 0.8, -1500.0, snr=1.0), both, pixel=0.8)
    assert abs(found.defocus_angstrom + 1500) < 15


def test_errors_are_of_the_size_of_the_scatter():
    found = [one(film((256, 256), 1.0, 3000.0, snr=0.2, seed=seed)) for seed in range(8)]
    z = [(item.defocus_angstrom - 3000) / item.defocus_error_angstrom for item in found]
    assert 0.4 < np.sqrt(np.mean(np.square(z))) < 2.2  # eight draws of a unit normal: 0.5 to 1.5 in 99 of 100


STEPS = np.array([-700.0, 0.0, 900.0])


def group(snr, seed=1, wrong=1.0):
    images = [film((256, 256), 1.0, 3000.0 + step, snr=snr, seed=seed, noise_seed=100 + i)
              for i, step in enumerate(STEPS)]  # fmt: skip
    return series(np.array(images)[None], defocus_angstrom=2500.0 + wrong * STEPS)


def test_foci_are_joined_by_their_stated_steps():
    done = find_ctf(
        group(0.1), CtfConfig(amplitude_contrast=0.0, method="thon", defocus_max_angstrom=12000.0)
    )
    assert np.abs(done.result.defocus_angstrom[0] - 3000 - STEPS).max() < 30
    # What is joined shares one offset exactly.
    np.testing.assert_allclose(np.diff(done.result.defocus_angstrom[0]), np.diff(STEPS), atol=1e-6)
    np.testing.assert_allclose(done.series.defocus_angstrom, done.result.defocus_angstrom)


def test_steps_of_the_wrong_sign_do_not_agree():
    config = CtfConfig(amplitude_contrast=0.0, method="thon", group="joint", defocus_max_angstrom=12000.0)
    right, wrong = (find_ctf(group(0.3, wrong=sign), config).result for sign in (1.0, -1.0))
    assert all(image.confidence > 0 for image in right)
    assert all(image.confidence == 0 and "steps" in image.note for image in wrong)


def test_scale_of_the_steps():
    config = CtfConfig(amplitude_contrast=0.0, fit_step_scale=True, defocus_max_angstrom=12000.0)
    found = find_ctf(group(0.5, wrong=1 / 1.04), config).result.defocus_angstrom[0]
    assert np.abs(found - 3000 - STEPS).max() < 20


def test_each_image_by_itself():
    config = CtfConfig(amplitude_contrast=0.0, group="image", defocus_max_angstrom=12000.0)
    found = find_ctf(group(0.5), config).result
    assert np.abs(found.defocus_angstrom[0] - 3000 - STEPS).max() < 30
    assert np.ptp(np.diff(found.defocus_angstrom[0]) - np.diff(STEPS)) > 0


def test_one_astigmatism_for_the_series_is_held():
    images = [film((256, 256), 1.0, 3000.0 + 50 * t, c12=150.0, phi12=0.5, snr=0.4, seed=t) for t in range(3)]
    config = CtfConfig(amplitude_contrast=0.0, astigmatism="series", defocus_max_angstrom=8000.0)
    done = find_ctf(series(np.array(images)[:, None], tilt_deg=[-1.0, 0.0, 1.0]), config)
    found = {(round(i.c12_angstrom, 6), round(i.phi12_rad, 6)) for i in done.result}
    assert len(found) == 1
    assert abs(done.series.aberrations["C12"] - 150) < 20
    assert angle_apart_deg(done.series.aberrations["phi12"], 0.5) < 4


def test_noise_alone_is_not_believed():
    believed = 0
    for seed in range(6):
        noise = 1 + 0.1 * np.random.default_rng(seed).standard_normal((256, 256))
        found = one(noise.astype(np.float32))
        believed += found.confidence > 0
        assert found.confidence > 0 or found.note
    assert believed == 0


def test_rings_of_large_defocus_get_larger_tiles():
    image = film((1024, 1024), 2.0, 30000.0, snr=0.5)
    found = one(image, CtfConfig(amplitude_contrast=0.0), pixel=2.0)
    assert abs(found.defocus_angstrom - 30000) < 60


def test_events_show_the_current_image():
    events = list(iterate_ctf(series(film((256, 256), 1.0, 3000.0)), PLAIN))
    assert isinstance(events[-1], Done) and all(isinstance(item, Progress) for item in events[:-1])
    shown = [item.detail for item in events[:-1] if item.detail]
    assert set(shown[0]) == {"tilt", "focus", "curve", "rings", "defocus_angstrom"}
    curve, picture = shown[0]["curve"], shown[0]["rings"]
    assert curve.measured.shape == curve.fitted.shape == curve.frequency_per_angstrom.shape
    good = np.isfinite(picture.fitted)
    assert np.corrcoef(picture.measured[good], picture.fitted[good])[0, 1] > 0.2
    assert np.corrcoef(picture.measured.T[good], 1 - picture.fitted[good])[0, 1] < 0.1
    again = thon_rings(events[-1].series, events[-1].result, 0, 0)
    np.testing.assert_allclose(again.fitted[good], picture.fitted[good], atol=1e-4)


def test_overlay_has_the_frame_of_the_image():
    # C12 at 40 degrees: a picture that was transposed, or turned over, is another one.
    image = film(SHAPE, 1.0, 4000.0, c12=800.0, phi12=np.radians(40), snr=None)
    done = find_ctf(series(image), PLAIN)
    picture = thon_rings(done.series, done.result, 0, 0)
    good = np.isfinite(picture.fitted) & np.isfinite(picture.fitted[::-1])
    step, middle = picture.step_per_angstrom, picture.fitted.shape[0] // 2
    ky, kx = np.mgrid[: len(picture.fitted), : len(picture.fitted)] - middle
    k2, phi = (kx**2 + ky**2) * step**2, np.arctan2(ky, kx)
    lam = wavelength()
    gamma = (
        np.pi * lam * k2 * (4000 - 800 * np.cos(2 * (phi - np.radians(40))))
        - 0.5 * np.pi * CS * lam**3 * k2**2
    )
    for shown, least in ((picture.fitted, 0.98), (picture.measured, 0.5)):
        assert np.corrcoef(shown[good], np.sin(gamma[good]) ** 2)[0, 1] > least
        assert np.corrcoef(shown[::-1][good], np.sin(gamma[good]) ** 2)[0, 1] < 0.3
    halves = picture.halves()
    np.testing.assert_array_equal(halves[:, :middle], picture.measured[:, :middle])
    np.testing.assert_array_equal(halves[:, middle:], picture.fitted[:, middle:])


def test_white_noise_has_the_power_of_its_variance_and_spots_are_cut():
    noise = np.random.default_rng(0).standard_normal((256, 300)).astype(np.float32)
    found = spectra(3 * noise, 1.0, 128)[0]
    assert abs(found.polar[found.grid.count > 0].mean() - 9) < 0.2
    x = np.arange(300)[None, :]
    spotted = spectra((3 * noise + 20 * np.cos(2 * np.pi * x * 0.25)).astype(np.float32), 1.0, 128)[0]
    assert spotted.power.max() < 8 * 9  # the spot alone would have thousands


def test_polar_bins_count_every_sample_once():
    grid = polar_grid(64, 0.5)
    assert grid.count.sum() == np.count_nonzero(grid.index < grid.k.size)
    k = np.fft.fftfreq(64, 0.5)
    # Half of the plane within the Nyquist circle (rings 1 .. 31).
    radius = np.rint(np.hypot(k[:, None], k[None, :]) * 32).astype(int)
    assert abs(grid.count.sum() - np.count_nonzero((radius > 0) & (radius < 32)) / 2) <= 1


def test_images_that_cannot_show_rings_are_refused():
    """Constant ones gave a table of "noise leaves nan", those of dark field a table of defoci."""
    from napari_phaset3m.errors import DataError

    with pytest.raises(DataError, match="every image is constant, so there is nothing to fit"):
        one(np.ones(SHAPE))
    image = film(SHAPE, 1.0, 1500.0)
    with pytest.raises(DataError, match="images of dark field have no Thon rings"):
        one(image, normalisation="dark_field")
