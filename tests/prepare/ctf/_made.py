"""Images of known transfer from formulas written out here, with none of the tested code."""

from __future__ import annotations

import numpy as np
from scipy.constants import c, e, h, m_e

from napari_phaset3m.core.series import TiltFocalSeries

ENERGY, CS = 300e3, 1.2e7


def wavelength(volts: float = ENERGY) -> float:
    return float(h / np.sqrt(2 * m_e * e * volts * (1 + e * volts / (2 * m_e * c**2))) * 1e10)


def weak_phase_transfer(shape, pixel, defocus, c12=0.0, phi12=0.0, cs=CS, extra_phase=0.0):
    """``2 sin(pi lambda k^2 (Df - C12 cos 2(phi - phi12)) - pi/2 Cs lambda^3 k^4 + extra)``."""
    ky, kx = np.meshgrid(*(np.fft.fftfreq(n, pixel) for n in shape), indexing="ij")
    k2, phi, lam = kx**2 + ky**2, np.arctan2(ky, kx), wavelength()
    local = defocus - c12 * np.cos(2 * (phi - phi12))
    return 2 * np.sin(np.pi * lam * k2 * local - 0.5 * np.pi * cs * lam**3 * k2**2 + extra_phase)


def film(shape, pixel, defocus, *, snr=0.3, seed=0, size=0.05, noise_seed=None, **optics):
    """A random weak phase object, its power falling as carbon's does about, with white noise."""
    rng = np.random.default_rng(seed)
    ky, kx = np.meshgrid(*(np.fft.fftfreq(n, pixel) for n in shape), indexing="ij")
    spectrum = np.fft.fft2(rng.standard_normal(shape) * size) * np.exp(-6.0 * (kx**2 + ky**2))
    image = 1 - np.fft.ifft2(spectrum * weak_phase_transfer(shape, pixel, defocus, **optics)).real
    if noise_seed is not None:
        rng = np.random.default_rng(noise_seed)
    if snr is not None:
        image = image + rng.standard_normal(shape) * image.std() / np.sqrt(snr)
    return image.astype(np.float32)


def series(images, pixel=1.0, tilt_deg=None, **fields):
    images = np.asarray(images)
    images = images[None, None] if images.ndim == 2 else images
    fields.setdefault("spherical_aberration_angstrom", CS)
    return TiltFocalSeries(
        images=images, tilt_deg=np.zeros(len(images)) if tilt_deg is None else tilt_deg,
        pixel_size_angstrom=pixel, energy_ev=ENERGY, **fields,
    )  # fmt: skip


def angle_apart_deg(a_rad, b_rad):
    """Between two azimuths of C12, which repeat after half a turn."""
    return float(np.degrees(np.abs(np.angle(np.exp(2j * (a_rad - b_rad)))) / 2))
