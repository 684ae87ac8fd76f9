"""The loss of contrast towards high frequencies, and the lattice once it is made up for.

A particle blurs every peak; where the transfer falls across a peak, its top moves inwards.
With a fall-off exp(-b k^2) all peaks move by the same factor, so that the cell seems too
large. Dividing the volume's transform by the fall-off undoes it.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.analyse.cell import Cell
from napari_phaset3m.analyse.lattice import Lattice, fit_lattice, refit_lattice
from napari_phaset3m.analyse.peaks import (
    PEAK_RADIUS,
    PeakList,
    WindowedTransform,
    find_peaks,
    windowed_transform,
)
from napari_phaset3m.analyse.window import ParticleWindow
from napari_phaset3m.core.precision import REAL

#: Largest amplification, as exponent: beyond it there is only noise to amplify.
_MAX_EXPONENT = 8.0


def falloff_angstrom2(q: np.ndarray, height: np.ndarray) -> float:
    """Exponent b of the mean decay ``exp(-b k^2)`` of peak amplitudes; 0 when they do not fall.

    The slope of ``log(height)`` against the squared frequency (Wilson, Nature 150 (1942) 152):
    atomic form factors, thermal motion, envelopes and the reconstruction's blur together.

    Parameters
    ----------
    q : ndarray
        `(n, 3)` 1/angstrom.
    height : ndarray
        `(n,)` positive amplitudes.

    Returns
    -------
    float
        Square angstrom.
    """
    k2 = (np.asarray(q, float) ** 2).sum(axis=1)
    if len(k2) < 3 or float(np.ptp(k2)) == 0:
        return 0.0
    return max(0.0, -float(np.polyfit(k2, np.log(np.asarray(height, float)), 1)[0]))


def sharpened(volume: np.ndarray, voxel_size_angstrom: float, b_angstrom2: float) -> np.ndarray:
    """Multiply the transform of `(nz, ny, nx)` by ``exp(b k^2)``, at most ``exp(8)``; float32."""
    from scipy import fft

    k2 = np.zeros((1, 1, 1), REAL)
    for axis, n in enumerate(volume.shape):
        k = np.fft.rfftfreq(n, voxel_size_angstrom) if axis == 2 else np.fft.fftfreq(n, voxel_size_angstrom)
        k2 = k2 + np.asarray(k**2, REAL).reshape([-1 if a == axis else 1 for a in range(3)])
    gain = np.exp(np.minimum(REAL(b_angstrom2) * k2, REAL(_MAX_EXPONENT)))
    spectrum = fft.rfftn(np.asarray(volume, REAL), workers=1)
    return np.asarray(fft.irfftn(spectrum * gain, volume.shape, workers=1), REAL)


def find_lattice(
    volume: np.ndarray,
    window: ParticleWindow,
    transform: WindowedTransform,
    peaks: PeakList,
    *,
    cell: Cell | None = None,
) -> tuple[Lattice | None, float]:
    """Fit a lattice to the peaks, then again to those of the sharpened volume.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    window, transform, peaks
        Of that volume.
    cell : Cell, optional
        See :func:`napari_phaset3m.analyse.lattice.fit_lattice`.

    Returns
    -------
    lattice : Lattice or None
        None when no lattice explains the peaks.
    b_angstrom2 : float
        The fall-off that was made up for; 0 where none was.
    """
    first = fit_lattice(peaks, window.width_angstrom, cell=cell)
    if first is None:
        return None, 0.0
    hkl = np.rint(first.indices(peaks.q_per_angstrom))
    miss = np.linalg.norm(first.vectors(hkl) - peaks.q_per_angstrom, axis=1)
    on = miss < PEAK_RADIUS / window.width_angstrom
    b = falloff_angstrom2(peaks.q_per_angstrom[on], peaks.amplitude[on])
    if b == 0:
        return first, 0.0
    sharp = sharpened(volume, window.voxel_size_angstrom, b)
    again = refit_lattice(find_peaks(windowed_transform(sharp, window)), window.width_angstrom, first)
    return (first, 0.0) if again is None else (again, b)
