"""Transfer curves against closed forms and simulated images; SSNR against a Monte Carlo estimate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_phaset3m.analyse import ssnr
from napari_phaset3m.analyse.ctf import ctf, series_microscope
from napari_phaset3m.analyse.fsc import fsc
from napari_phaset3m.analyse.ssnr import focal_ssnr, shot_noise_ratio, ssnr_from_fsc
from napari_phaset3m.core.aberrations import aberration_phase
from napari_phaset3m.core.optics import Microscope, ctf_curve
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError

SCOPE = Microscope(3e5, 2.3e7, 63.0, 0.1e-3)


def test_it_is_the_closed_form_in_textbook_units():
    """sin(pi lambda (-df) k^2 + pi/2 Cs lambda^3 k^4), with the relativistic wavelength of 300 kV."""
    k = np.linspace(0, 0.8, 200)
    lam, df = 0.0196875, 1200.0
    chi = np.pi * lam * -df * k**2 + 0.5 * np.pi * 2.3e7 * lam**3 * k**4
    curve = ctf(SCOPE, df, frequency_per_angstrom=k)
    np.testing.assert_allclose(curve.phase_transfer, np.sin(chi), atol=2e-2)
    np.testing.assert_allclose(
        curve.temporal_envelope, np.exp(-0.5 * (np.pi * lam * 63 * k**2) ** 2), atol=1e-4
    )
    slope = 2 * np.pi * lam * -df * k + 2 * np.pi * 2.3e7 * lam**3 * k**3
    np.testing.assert_allclose(curve.spatial_envelope, np.exp(-0.5 * (1e-4 / lam * slope) ** 2), atol=1e-3)
    np.testing.assert_allclose(curve.transfer, ctf_curve(k, SCOPE, df), atol=1e-12)
    assert curve.transfer[10] < 0, "underfocus: a phase object is dark"


def test_limits_are_where_they_are_said_to_be():
    curve = ctf(SCOPE, 900, pixel_size_angstrom=0.4, aperture_semiangle_mrad=12)
    lam = SCOPE.wavelength_angstrom
    assert curve.diffraction_limit_per_angstrom == pytest.approx(0.012 / lam)
    assert curve.sampling_limit_per_angstrom == 1.25
    k, temporal = curve.frequency_per_angstrom, curve.temporal_envelope
    level = float(np.exp(-2))
    assert np.interp(curve.temporal_limit_per_angstrom, k, temporal) == pytest.approx(level, abs=1e-3)
    spatial = np.interp(curve.spatial_limit_per_angstrom, k, curve.spatial_envelope)
    assert spatial == pytest.approx(level, abs=1e-3)
    limits = (curve.temporal_limit_per_angstrom, curve.spatial_limit_per_angstrom)
    assert curve.information_limit_per_angstrom == min(*limits, curve.diffraction_limit_per_angstrom)
    assert np.all(curve.transfer[k > curve.diffraction_limit_per_angstrom] == 0)
    assert "diffraction limit" in curve.statement() and "Nyquist" in curve.statement()
    ideal = ctf(Microscope(3e5, 0.0), 0.0)
    assert ideal.information_limit_per_angstrom is None and "none" in ideal.statement()
    json.dumps(curve.as_dict())
    assert len(curve.rows()) == k.size and not k.flags.writeable


def test_azimuth_follows_astigmatism():
    scope = Microscope(3e5, 0.0, aberrations={"C12": 200.0, "phi12": np.radians(30)})
    k = np.array([0.2])
    along = ctf(scope, 1000, frequency_per_angstrom=k, azimuth_deg=30).phase_shift_rad
    across = ctf(scope, 1000, frequency_per_angstrom=k, azimuth_deg=120).phase_shift_rad
    lam = scope.wavelength_angstrom
    np.testing.assert_allclose(along, np.pi * lam * -(1000 - 200) * k**2, rtol=1e-9)
    np.testing.assert_allclose(across, np.pi * lam * -(1000 + 200) * k**2, rtol=1e-9)


def test_ssnr_is_the_spread_of_the_best_estimate():
    """Monte Carlo: least-squares estimates of a known spectrum from noisy focal images."""
    n, pixel, defoci = 64, 0.8, (400.0, 700.0, 1500.0)
    rng = np.random.default_rng(0)
    kx, ky = np.fft.fftfreq(n, pixel)[:, None], np.fft.fftfreq(n, pixel)[None]
    k = np.hypot(kx, ky)
    scope = Microscope(3e5, 1e7, 40.0)
    spread = np.exp(-0.5 * (np.pi * scope.wavelength_angstrom * 40.0 * k**2) ** 2)
    transfer = np.stack(
        [
            np.sin(aberration_phase(kx, ky, scope.wavelength_angstrom, scope.coefficients(d))) * spread
            for d in defoci
        ]
    )
    weight = np.maximum((transfer**2).sum(0), 1e-9)
    noise_power, runs = 0.5, 60
    estimate_noise = np.zeros((n, n))
    for _ in range(runs):
        noisy = np.fft.fft2(rng.standard_normal((3, n, n)) * np.sqrt(noise_power)) / n
        estimate_noise += np.abs((transfer * noisy).sum(0) / weight) ** 2 / runs
    curve = focal_ssnr(scope, defoci, signal_to_noise=2.0 / noise_power, pixel_size_angstrom=pixel)
    predicted = np.interp(k, curve.frequency_per_angstrom, curve.ssnr)
    measured = 2.0 / np.maximum(estimate_noise, 1e-12)  # a signal of power 2
    for low, high in ((0.1, 0.2), (0.2, 0.3), (0.3, 0.4)):
        ring = (k > low) & (k < high)
        assert np.mean(measured[ring]) == pytest.approx(np.mean(predicted[ring]), rel=0.06)
    np.testing.assert_allclose(curve.per_image.sum(0), curve.ssnr)


def test_more_defoci_fill_the_gaps():
    one = focal_ssnr(SCOPE, [1000.0], pixel_size_angstrom=0.7)
    three = focal_ssnr(SCOPE, [1000.0, 2500.0, 9000.0], pixel_size_angstrom=0.7)
    assert len(one.gaps()) > 3
    band = (one.frequency_per_angstrom > 0.15) & (one.frequency_per_angstrom < 0.35)
    assert one.efficiency[band].min() < 0.01 < three.efficiency[band].min()
    assert np.all(three.ssnr >= one.ssnr - 1e-12)
    assert np.all(three.efficiency <= 1 + 1e-9)
    assert "100, 250, 900 nm" in three.statement()
    json.dumps(three.as_dict())
    assert "ssnr_image_2_at_2500_angstrom" in three.rows()[0]


def test_a_narrow_gap_is_told_as_one_length():
    assert ssnr.band_words(1.281, 1.284) == "1.28 Å"
    assert ssnr.band_words(1.28, 1.31) == "1.28–1.31 Å"


def test_shot_noise_from_the_dose():
    rng = np.random.default_rng(1)
    dose, pixel, phase = 20.0, 1.5, 0.03
    level = dose * pixel**2
    images = rng.poisson(level, (50, 32, 32)) / level
    noise = (np.abs(np.fft.fft2(images - 1)) ** 2 / 32**2).mean()
    assert shot_noise_ratio(phase**2, dose, pixel) == pytest.approx(4 * phase**2 / noise, rel=0.05)


def test_ssnr_from_half_sets():
    rng = np.random.default_rng(2)
    shape, snr = (32, 32, 32), 1.5
    signal = rng.standard_normal(shape) * np.sqrt(snr)
    a, b = (signal + rng.standard_normal(shape) for _ in range(2))
    curve = fsc(a, b, 1.0)
    assert np.median(ssnr_from_fsc(curve, whole=False)[3:]) == pytest.approx(snr, rel=0.1)
    np.testing.assert_allclose(ssnr_from_fsc(curve), 2 * ssnr_from_fsc(curve, whole=False))
    assert np.isinf(ssnr_from_fsc(fsc(a, a, 1.0))).any()
    assert np.all(ssnr_from_fsc(fsc(a, -a, 1.0)) == 0)


def test_from_a_series_and_wrong_input():
    series = TiltFocalSeries(
        images=np.ones((1, 1, 4, 4)), tilt_deg=[0.0], pixel_size_angstrom=1.0, energy_ev=2e5,
        spherical_aberration_angstrom=2e7, chromatic_aberration_angstrom=2e7, energy_spread_ev=0.7,
    )  # fmt: skip
    scope = series_microscope(series, convergence_semiangle_mrad=0.2)
    assert scope.focal_spread_angstrom == pytest.approx(70)
    assert scope.convergence_semiangle_rad == pytest.approx(2e-4)
    with pytest.raises(DataError, match="spherical_aberration"):
        series_microscope(series.replace(spherical_aberration_angstrom=None))
    with pytest.raises(ConfigError, match="aperture"):
        ctf(SCOPE, 0.0, aperture_semiangle_mrad=0)
    with pytest.raises(ConfigError, match="pixel_size"):
        ctf(SCOPE, 0.0, pixel_size_angstrom=-1)
    with pytest.raises(ConfigError, match="frequency"):
        ctf(SCOPE, 0.0, frequency_per_angstrom=[-0.1])
    with pytest.raises(ConfigError, match="defoci"):
        focal_ssnr(SCOPE, [])
    with pytest.raises(ConfigError, match="signal_to_noise"):
        focal_ssnr(SCOPE, [1.0], signal_to_noise=-1)
