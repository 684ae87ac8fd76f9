"""Measured spectra and images in the shared data: what others read off them must come out."""

from __future__ import annotations

import numpy as np
import pytest
from _made import angle_apart_deg

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.ctf.api import find_ctf
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.observe import observe
from napari_phaset3m.prepare.ctf.refine import refine
from napari_phaset3m.prepare.ctf.search import search
from napari_phaset3m.prepare.ctf.spectrum import Spectrum, gather, polar_grid

#: Of the microscopes nothing is stated but 200 kV for one; at these defoci Cs moves rings by little.
MICROSCOPE = Microscope(200e3, 1.2e7)


def spectrum_of(shared_data, name, step_per_angstrom):
    """A published log-power spectrum (200 squared) as a tile's spectrum."""
    tifffile = pytest.importorskip("tifffile")
    path = shared_data / "real" / "bf_tilt_vesicles" / f"{name}_CTF.tif"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    picture = tifffile.imread(path).astype(float)
    grid = polar_grid(200, 1 / (200 * step_per_angstrom))
    power = np.fft.ifftshift(picture)[:, :101]
    return picture, Spectrum(grid, power, gather(power, grid), 0.0, 100)


def fitted(spectrum, low, high, least):
    item = observe(spectrum, MICROSCOPE, (low, high), 0.1)
    best = search([item], least, 20000.0).candidates
    names = ("defocus_angstrom", "c12_cos", "c12_sin")
    fits = [refine([item], candidate.values, names, bounds=(least, 2e4)) for candidate in best]
    return max(fits, key=lambda fit: fit.gain).values


def dark_radius(picture, azimuth, low, high):
    """Pixels from the middle to the first dark ring along an azimuth, averaged over 10 degrees."""
    from scipy.ndimage import gaussian_filter1d, map_coordinates
    from scipy.signal import argrelmin

    radius = np.arange(low, high, 0.25)
    angles = azimuth + np.radians(np.linspace(-5, 5, 11))[:, None]
    rows, columns = 100 + radius * np.sin(angles), 100 + radius * np.cos(angles)
    line = gaussian_filter1d(map_coordinates(picture, [rows, columns], order=1).mean(0), 12)
    return float(radius[argrelmin(line)[0][0]])


def test_zeros_of_a_round_spectrum(shared_data):
    # The published curve's minima (1/nm), and the picture's first one at 40 pixels.
    zeros = np.array([1.355, 1.955, 2.439, 2.884]) / 10
    _, spectrum = spectrum_of(shared_data, "FEG", zeros[0] / 40)
    values = fitted(spectrum, 0.04, 0.33, 300.0)
    assert values.c12_angstrom < 0.03 * values.defocus_angstrom
    k = np.linspace(0.05, 0.3, 4000)
    wavelength = MICROSCOPE.wavelength_angstrom
    gamma = np.pi * wavelength * k**2 * values.defocus_angstrom
    gamma += np.arcsin(0.1) - 0.5 * np.pi * 1.2e7 * wavelength**3 * k**4
    found = np.interp(np.pi * np.arange(1, 5), gamma, k)
    np.testing.assert_allclose(found, zeros, rtol=0.02)


def test_axes_of_a_strongly_astigmatic_spectrum(shared_data):
    picture, spectrum = spectrum_of(shared_data, "LaB6", 0.0034)
    # Read off the picture: radius of the first dark ring, 1/r^2 = a + b cos 2 (phi - phi0), by least squares.
    azimuths = np.radians(np.arange(0, 180, 10))
    inverse = np.array([1 / dark_radius(picture, a, 20, 85) ** 2 for a in azimuths])
    design = np.stack([np.ones_like(azimuths), np.cos(2 * azimuths), np.sin(2 * azimuths)], axis=1)
    mean, cos, sin = np.linalg.lstsq(design, inverse, rcond=None)[0]
    # The bright ellipse in the middle must not pass for the first ring of a small defocus.
    values = fitted(spectrum, 0.04, 0.3, 300.0)
    # 1/r^2 grows with the defocus, which is least along phi12.
    assert angle_apart_deg(values.phi12_rad, 0.5 * np.arctan2(-sin, -cos)) < 5
    assert abs(values.c12_angstrom / values.defocus_angstrom - np.hypot(cos, sin) / mean) < 0.06


@pytest.mark.slow
def test_focal_series_of_a_crystal_with_known_steps(shared_data):
    reader = pytest.importorskip("rsciio.digitalmicrograph")
    folder = shared_data / "real" / "hrtem_focal_dm3"
    if not folder.is_dir():
        pytest.skip(f"{folder} not found")
    numbers = np.array([1, 4, 7, 10, 13, 16, 19])
    images = np.array(
        [reader.file_reader(str(folder / f"img{i:02d}.dm3"))[0]["data"] for i in numbers], np.float32
    )
    known = 1630 - 107.5 * (numbers - 1)
    series = TiltFocalSeries(
        images=(images / images.mean((1, 2), keepdims=True))[None],
        tilt_deg=[0.0],
        pixel_size_angstrom=0.2842,
        energy_ev=300e3,
        spherical_aberration_angstrom=0.6e7,
        defocus_angstrom=known - known.mean(),
    )
    config = CtfConfig(
        method="thon", group="joint", fit_step_scale=True, defocus_min_angstrom=-1500,
        defocus_max_angstrom=4000, resolution_low_angstrom=8.0, resolution_high_angstrom=1.2,
    )  # fmt: skip
    found = find_ctf(series, config).result.defocus_angstrom[0]
    slope, offset = np.polyfit(numbers - 1, found, 1)
    assert abs(offset - 1630) < 50 and abs(slope + 107.5) < 3  # the known fit's own uncertainty
