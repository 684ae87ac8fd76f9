"""Undoing the contrast transfer of images before a linear reconstruction.

For a weak phase p (rad) the images show ``1 - I = 2 p * c`` with, in Fourier space,
``c = -sqrt(1 - A^2) sin(chi - phi) + A cos(chi - phi)`` (A: amplitude contrast, phi: phase plate, which
leaves k = 0 as it is): positive where a thin object is dark. The sign therefore follows from the
convention of :mod:`.optics`: in underfocus c > 0 at low frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from napari_phaset3m.core.aberrations import aberration_phase
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope, shift_vectors, spatial_envelope, temporal_envelope
from napari_phaset3m.core.precision import REAL

Correction = Literal["none", "phase_flip", "wiener"]


def contrast_transfer(
    grid: Grid, microscope: Microscope, defocus_angstrom: float, amplitude_contrast: float = 0.0
) -> np.ndarray:
    """`(nx, ny)` float32 transfer c of ``(1 - I) / 2`` from a weak phase, envelopes included.

    Parameters
    ----------
    defocus_angstrom : float
        Underfocus positive, at the rotation centre.
    amplitude_contrast : float
        Fraction A in 0 .. 1.
    """
    coefficients = microscope.coefficients(defocus_angstrom)
    chi = aberration_phase(grid.kx[:, None], grid.ky[None, :], microscope.wavelength_angstrom, coefficients)
    chi = chi - np.where(grid.k2 > 0, microscope.phase_shift_rad, 0.0)
    phase = -np.sqrt(1 - amplitude_contrast**2) * np.sin(chi)
    envelope = temporal_envelope(grid.k2, microscope.wavelength_angstrom, microscope.focal_spread_angstrom)
    if microscope.convergence_semiangle_rad:
        envelope = envelope * spatial_envelope(grid, microscope, defocus_angstrom)
    return np.asarray((phase + amplitude_contrast * np.cos(chi)) * envelope, REAL)


def unshifted(grid: Grid, image: np.ndarray, shift_px_yx: Sequence[float]) -> np.ndarray:
    """`(nx, ny)` complex spectrum of an image with a feature at p + shift moved back to p."""
    spectrum = np.fft.fft2(image)
    if any(shift_px_yx):
        across, along = shift_vectors(grid, (float(shift_px_yx[0]), float(shift_px_yx[1])))
        spectrum *= across.conj()[:, None] * along.conj()[None, :]
    return spectrum


def combine(
    spectra: Sequence[np.ndarray],
    weights: Sequence[float],
    transfers: Sequence[np.ndarray],
    correction: Correction,
    snr: float = 10.0,
) -> np.ndarray:
    """Combine the foci of one tilt into one projection.

    Parameters
    ----------
    spectra : sequence of ndarray
        `(nx, ny)` Fourier transforms of the projections ``1 - I``, one for each focus.
    weights : sequence of float
        Sum to 1.
    transfers : sequence of ndarray
        From :func:`contrast_transfer`; not used by ``"none"``.
    correction : {"none", "phase_flip", "wiener"}
        ``phase_flip``: signs of c undone, then the weighted mean (amplitudes stay those
        of ``1 - I``); ``wiener``: ``sum w c D / 2 / (sum w c^2 + 1 / snr)``, the least-squares
        phase over all foci in rad (Schiske, 1968; Saxton, Optik 49 (1977) 81).
    snr : float
        Signal-to-noise power ratio of the Wiener filter.

    Returns
    -------
    ndarray
        `(nx, ny)` float32.
    """
    total = np.zeros(spectra[0].shape, np.complex128)
    power = np.zeros(spectra[0].shape)
    for i, (spectrum, weight) in enumerate(zip(spectra, weights, strict=True)):
        if correction == "none":
            total += weight * spectrum
        elif correction == "phase_flip":
            total += weight * np.where(transfers[i] < 0, -1.0, 1.0) * spectrum
        else:
            total += 0.5 * weight * transfers[i] * spectrum
            power += weight * transfers[i].astype(np.float64) ** 2
    if correction == "wiener":
        total /= power + 1 / snr
    return np.asarray(np.fft.ifft2(total).real, REAL)
