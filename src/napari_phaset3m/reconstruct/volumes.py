"""Between the solver's volumes and the ones users see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.errors import DataError


def to_public(channel: np.ndarray, scale: float, border: int = 0) -> np.ndarray:
    """`(nz, ny, nx)` float32 from engine layout `(nz, nx, ny)`, padding cut off."""
    inner = slice(border, None if border == 0 else -border)
    return np.ascontiguousarray(channel[:, inner, inner].transpose(0, 2, 1) * REAL(scale), REAL)


def check_proportions(shape: tuple[int, ...], wanted: tuple[int, int, int], name: str) -> None:
    """Raise :class:`DataError` unless a volume is some sampling of the result's box, both (z, y, x)."""
    ratios = [a / b for a, b in zip(shape, wanted, strict=True)] if len(shape) == 3 and all(shape) else [0.0]
    if min(ratios) <= 0 or max(ratios) / min(ratios) > 1.05:
        raise DataError(f"has shape {tuple(shape)} (z, y, x), but the reconstruction is {wanted}", field=name)


def from_public(
    volume: np.ndarray,
    shape: tuple[int, int, int],
    border: int,
    name: str,
    resample: Callable[..., np.ndarray] = fourier_resample,
) -> np.ndarray:
    """Engine layout `(nz, nx, ny)` of a public `(nz, ny, nx)` volume.

    Parameters
    ----------
    shape : tuple of int
        Engine shape wanted; another sampling of the same box is resampled.
    border : int
        Padding to add around x and y.
    name : str
        For the error message.
    resample : callable
        Takes the volume and the shape (z, y, x) wanted.

    Raises
    ------
    DataError
        Not 3D, not finite, or of other proportions.
    """
    array = np.asarray(volume, REAL)
    nz, nx, ny = shape
    inner = (nz, ny - 2 * border, nx - 2 * border)
    if array.ndim != 3 or not np.isfinite(array).all():
        raise DataError("must be a finite 3D volume", field=name)
    check_proportions(array.shape, inner, name)
    if array.shape != inner:
        array = resample(array, inner)
    padded = np.zeros(shape, REAL)
    cut = slice(border, None if border == 0 else -border)
    padded[:, cut, cut] = array.transpose(0, 2, 1)
    return padded


def binned(volume: np.ndarray, longest: int) -> tuple[np.ndarray, int]:
    """Mean-bin a `(nz, ny, nx)` volume so that no edge exceeds ``longest``; also the bin."""
    factor = -(-max(volume.shape) // max(1, longest))
    if factor <= 1:
        return volume, 1
    sizes = [min(factor, n) for n in volume.shape]
    counts = [n // size for n, size in zip(volume.shape, sizes, strict=True)]
    # What does not fill a bin is left out on both sides, so that the centre stays (to half a voxel).
    first = [(n - c * s) // 2 for n, c, s in zip(volume.shape, counts, sizes, strict=True)]
    cut = volume[tuple(slice(f, f + c * s) for f, c, s in zip(first, counts, sizes, strict=True))]
    cut = cut.reshape([n for pair in zip(counts, sizes, strict=True) for n in pair])
    return np.asarray(cut.mean((1, 3, 5)), REAL), factor
