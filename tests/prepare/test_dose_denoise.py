"""Dose weighting against the published formula; noise estimates, Anscombe and denoising."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import fft

sys.path.insert(0, str(Path(__file__).parent))
from _prepare_series import make, poisson

from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare import denoise, dose
from napari_phaset3m.prepare.anscombe import stabilised, unstabilised
from napari_phaset3m.prepare.denoise import DenoiseConfig
from napari_phaset3m.prepare.dose import CriticalDose, DoseConfig
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.noise import NoiseModel, estimate_noise, noise_sigma


def test_critical_dose_is_the_published_curve():
    k = np.array([0.05, 0.1, 0.25, 0.3333])
    expected = 0.245 * k**-1.665 + 2.81
    np.testing.assert_allclose(dose.critical_dose(k, CriticalDose(), 300e3), expected, rtol=1e-12)
    assert expected[1] == pytest.approx(14.14, abs=0.01)  # at 10 Å
    # Grant & Grigorieff use 0.8 at 200 kV.
    ratio = dose.critical_dose(k, CriticalDose(), 200e3) / expected
    np.testing.assert_allclose(ratio, 0.80, atol=0.005)
    assert np.isinf(dose.critical_dose(np.zeros(1), CriticalDose(), 300e3))[0]


def test_each_image_is_filtered_by_its_own_accumulated_dose():
    rng = np.random.default_rng(0)
    series = make(rng.normal(1, 0.2, (3, 2, 32, 48)), dose_per_image=[[1, 2], [3, 4], [5, 6]])
    done = drain(dose.run(series, DoseConfig(order="falling", keep_noise=False, before_e_per_angstrom2=10)))
    # Falling tilts: the last listed tilt was first; its second focus had 5 before it and 3 within.
    assert done.result[2, 0] == pytest.approx(10 + 2.5) and done.result[2, 1] == pytest.approx(10 + 5 + 3)
    assert done.result[0, 1] == pytest.approx(10 + 11 + 7 + 1 + 1)
    k = np.hypot(fft.fftfreq(32, 0.8)[:, None], fft.rfftfreq(48, 0.8)[None])
    with np.errstate(divide="ignore"):
        q = np.exp(-done.result[0, 1] / (2 * (0.245 * k**-1.665 + 2.81)))
    ratio = fft.rfft2(done.series.images[0, 1]) / fft.rfft2(series.images[0, 1])
    np.testing.assert_allclose(np.abs(ratio), q, atol=2e-3)
    np.testing.assert_allclose(done.series.images.mean((-2, -1)), series.images.mean((-2, -1)), rtol=1e-5)
    np.testing.assert_allclose(
        dose.preview(series, DoseConfig(order="falling", keep_noise=False, before_e_per_angstrom2=10), 0, 1),
        done.series.images[0, 1], atol=1e-6,
    )  # fmt: skip


def test_keep_noise_keeps_the_noise_power_of_the_series_at_each_frequency():
    rng = np.random.default_rng(1)
    series = make(rng.normal(1, 0.2, (31, 1, 64, 64)), dose_per_image=3.0)
    weighted = drain(dose.run(series, DoseConfig(order="symmetric"))).series.images
    before = (np.abs(fft.rfft2(series.images)) ** 2).mean((0, 1))
    after = (np.abs(fft.rfft2(weighted)) ** 2).mean((0, 1))
    k = np.hypot(fft.fftfreq(64)[:, None], fft.rfftfreq(64)[None])
    for low, high in ((0.05, 0.15), (0.15, 0.3), (0.3, 0.5)):
        ring = (k > low) & (k < high)
        # Chance: the weights of early images are larger, so fewer images count: 10 %.
        assert after[ring].mean() / before[ring].mean() == pytest.approx(1, abs=0.1)
    first, last = (np.abs(fft.rfft2(weighted[i, 0]))[k > 0.3].mean() for i in (15, 0))
    assert first > 2 * last


def test_weights_of_tilts_are_q_over_the_rms_of_q():
    rng = np.random.default_rng(2)
    series = make(rng.normal(1, 0.2, (3, 1, 24, 32)), dose_per_image=10.0)
    weighted = drain(dose.run(series, DoseConfig(order="listed"))).series.images
    k = np.hypot(fft.fftfreq(24, 0.8)[:, None], fft.rfftfreq(32, 0.8)[None])
    with np.errstate(divide="ignore"):
        q = np.exp(-np.array([5, 15, 25])[:, None, None] / (2 * (0.245 * k**-1.665 + 2.81)))
    ratio = np.abs(fft.rfft2(weighted[:, 0]) / fft.rfft2(series.images[:, 0]))
    np.testing.assert_allclose(ratio, q / np.sqrt((q**2).mean(axis=0)), rtol=5e-3)


def test_orders_of_exposure():
    series = make(np.ones((5, 2, 8, 8)), tilt_deg=[-20, -10, 0, 10, 20], dose_per_image=1.0)
    order = {name: dose.exposure_order(series, name)[:, 0].tolist() for name in
             ("listed", "rising", "falling", "symmetric")}  # fmt: skip
    assert order["listed"] == order["rising"] == [0, 2, 4, 6, 8]
    assert order["falling"] == [8, 6, 4, 2, 0]
    assert order["symmetric"] == [8, 4, 0, 2, 6]
    known = series.replace(metadata={"exposure_order": [[1, 0], [3, 2], [5, 4], [7, 6], [9, 8]]})
    assert dose.exposure_order(known, "auto")[0].tolist() == [1, 0]
    with pytest.raises(DataError, match=r"dose\.order"):
        dose.exposure_order(series, "auto")
    with pytest.raises(DataError, match="dose_per_image"):
        drain(dose.run(make(np.ones((1, 1, 8, 8))), DoseConfig(order="listed")))


@pytest.mark.parametrize(("gain", "read"), [(0.2, 0.0), (1.0, 0.0), (0.05, 0.01)])
def test_noise_is_estimated_through_a_specimen(gain, read):
    y, x = np.mgrid[:256, :256]
    mean = 1 + 0.6 * np.sin(2 * np.pi * x / 64) * np.cos(2 * np.pi * y / 90)
    rng = np.random.default_rng(0)
    image = rng.poisson(mean / gain) * gain + rng.normal(0, np.sqrt(read), mean.shape)
    found = estimate_noise(image)
    assert found.gain == pytest.approx(gain, rel=0.1)
    assert found.sigma(1.0) == pytest.approx(np.sqrt(gain + read), rel=0.05)


def test_noise_sigma_does_not_see_gradients_and_edges():
    y, x = np.mgrid[:256, :256]
    image = 0.02 * x + 3.0 * (y > 100) + np.random.default_rng(0).normal(0, 0.5, (256, 256))
    assert noise_sigma(image) == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(("mean", "read"), [(1.0, 0.0), (3.0, 0.0), (20.0, 0.0), (5.0, 2.0)])
def test_inverse_anscombe_has_no_bias(mean, read):
    rng = np.random.default_rng(0)
    gain = 0.25
    noise = NoiseModel(gain, read * gain**2)
    x = (rng.poisson(mean, 400_000) + rng.normal(0, np.sqrt(read), 400_000)) * gain
    z = stabilised(x, noise)
    found = float(unstabilised(np.array([z.mean()]), noise)[0]) / gain
    # Closed form: within 1 % of the exact one from 1 electron up; the algebraic inverse is 0.2 too low.
    assert found == pytest.approx(mean, abs=0.02 * mean + 0.01)
    assert (z.mean() / 2) ** 2 - 3 / 8 - read < mean - 0.1
    if mean >= 3:
        assert z.std() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("method", ["wavelet", "nlm", "tv"])
def test_denoising_brings_an_image_nearer_to_the_truth_and_keeps_its_mean(method):
    y, x = np.mgrid[:96, :96]
    truth = 1 + 0.4 * np.exp(-((x - 40) ** 2 + (y - 50) ** 2) / 200) - 0.3 * (np.hypot(x - 70, y - 25) < 12)
    series = poisson(truth, 20, shape=(1, 1))
    config = DenoiseConfig(method=method)
    done = drain(denoise.run(series, config))
    image, given = done.series.images[0, 0], series.images[0, 0]
    rms = [float(np.sqrt(np.mean((v - truth) ** 2))) for v in (given, image)]
    assert rms[1] < 0.45 * rms[0]
    assert image.mean() == pytest.approx(float(given.mean()), rel=1e-5)
    told = history(done.series)[-1]["told"]
    # sqrt(intensity / electrons per pixel) at the mean intensity.
    assert told["noise_sigma_mean"] == pytest.approx(np.sqrt(given.mean() / 20), rel=0.1)
    np.testing.assert_array_equal(denoise.preview(series, config, 0, 0), image)


def test_denoising_strength_follows_the_noise():
    flat = poisson(np.ones((96, 96)), 10, shape=(1, 1))

    def left(strength):
        return float(drain(denoise.run(flat, DenoiseConfig(strength=strength))).series.images.std())

    assert left(2.0) < left(1.0) < left(0.25) <= float(flat.images.std())
    assert left(1.0) < 0.25 * float(flat.images.std())


def test_an_image_without_noise_is_left_alone():
    series = make(np.full((1, 1, 32, 32), 2.0))
    np.testing.assert_array_equal(drain(denoise.run(series, DenoiseConfig())).series.images, series.images)


@pytest.mark.parametrize("method", ["wavelet", "nlm", "tv"])
def test_tiles_of_a_large_image_show_no_seams(method, monkeypatch):
    y, x = np.mgrid[:200, :260]
    truth = 1 + 0.3 * np.sin(x / 20) * np.cos(y / 31)
    series = poisson(truth, 30, shape=(1, 1))
    whole = denoise.preview(series, DenoiseConfig(method=method), 0, 0)
    monkeypatch.setattr(denoise, "_TILE", 128)
    monkeypatch.setattr(denoise, "_OVERLAP", 48)
    events = list(denoise.run(series, DenoiseConfig(method=method)))
    assert len(events) > 4
    tiled = events[-1].series.images[0, 0]
    noise = float((series.images[0, 0] - truth).std())
    # Far below the noise that was there; and as near to the truth as without tiles.
    assert np.sqrt(np.mean((tiled - whole) ** 2)) < 0.06 * noise
    assert (tiled - truth).std() < 1.05 * (whole - truth).std()


def test_prior_dose_of_the_file_is_used():
    series = make(np.ones((2, 1, 8, 8)), dose_per_image=3.0, metadata={"prior_dose": [[12.0], [0.0]]})
    assert dose.accumulated_dose(series, DoseConfig()).ravel().tolist() == [13.5, 1.5]
    assert dose.accumulated_dose(series, DoseConfig(order="listed")).ravel().tolist() == [1.5, 4.5]
