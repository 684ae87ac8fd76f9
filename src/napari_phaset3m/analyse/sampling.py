"""Volumes on another grid, and moved by fractions of a voxel; band-limited, nothing scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError

Edges = tuple[float, float, float]


def resample_onto(
    volume: np.ndarray, voxel: Edges, shape: Sequence[int], target_voxel: Edges
) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
    """Sample a volume at another grid's points, both about their centres ``(n - 1) / 2``.

    Band-limited (Fourier) interpolation along each axis; frequencies that the new grid cannot
    hold are left out, so that nothing is aliased. No scaling: values stay values.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel, target_voxel : tuple of float
        (z, y, x) edges of its voxels and of the new ones, angstrom.
    shape : sequence of int
        Of the new grid.

    Returns
    -------
    resampled : ndarray
        float32 of ``shape``; 0 where the volume does not reach.
    covered : tuple of slice
        The part of the new grid that the volume covers.

    Raises
    ------
    DataError
        The volumes do not overlap.
    """
    result = np.asarray(volume, REAL)
    covered = []
    for axis, n in enumerate(shape):
        matrix, inside = _interpolation(volume.shape[axis], voxel[axis], int(n), target_voxel[axis])
        result = np.moveaxis(np.tensordot(matrix, result, axes=(1, axis)), 0, axis)
        covered.append(inside)
    return np.ascontiguousarray(result, REAL), (covered[0], covered[1], covered[2])


def _interpolation(n: int, voxel: float, m: int, target: float) -> tuple[np.ndarray, slice]:
    """`(m, n)` float32 weights of a periodic band-limited signal, and the rows within its box."""
    old = (np.arange(n) - (n - 1) / 2) * voxel
    new = (np.arange(m) - (m - 1) / 2) * target
    inside = np.flatnonzero(np.abs(new) <= (n - 1) / 2 * voxel + 1e-9 * voxel)
    if inside.size == 0:
        raise DataError("do not overlap", field="volumes")
    turns = (new[:, None] - old[None, :]) / (n * voxel)
    highest = min((n - 1) // 2, math.floor(0.5 / target * n * voxel + 1e-9))
    weight = np.ones_like(turns)
    for h in range(1, highest + 1):
        weight += 2 * np.cos(2 * np.pi * h * turns)
    if n % 2 == 0 and 0.5 / target >= 0.5 / voxel * (1 - 1e-9):
        weight += np.cos(np.pi * n * turns)
    weight /= n
    part = slice(int(inside[0]), int(inside[-1]) + 1)
    outside = np.ones(m, bool)
    outside[part] = False
    weight[outside] = 0
    return np.asarray(weight, REAL), part


def moved(volume: np.ndarray, shift: Sequence[float] | np.ndarray) -> np.ndarray:
    """A volume moved by (z, y, x) voxels, any fraction; what leaves the box comes in again opposite.

    Exact for band-limited volumes (the term at Nyquist, which has no phase, takes the cosine).
    """
    from scipy import fft

    spectrum = fft.rfftn(np.asarray(volume, REAL), workers=1)
    for axis, (n, s) in enumerate(zip(volume.shape, shift, strict=True)):
        k = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
        ramp = np.exp(-2j * np.pi * k * s)
        if n % 2 == 0:
            ramp[n // 2] = np.cos(np.pi * s)
        view = [1, 1, 1]
        view[axis] = ramp.size
        spectrum *= ramp.reshape(view).astype(np.complex64)
    return np.asarray(fft.irfftn(spectrum, s=volume.shape, workers=1), REAL)


def unwrapped(shape: Sequence[int], shift: Sequence[float] | np.ndarray) -> tuple[slice, slice, slice]:
    """The part of a box that a moved volume fills without what came in from the other side."""
    parts = []
    for n, s in zip(shape, shift, strict=True):
        reach = math.ceil(abs(s) - 1e-9)
        parts.append(slice(reach, n) if s > 0 else slice(0, n - reach))
    return parts[0], parts[1], parts[2]
