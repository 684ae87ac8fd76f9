"""Fourier resampling of images and volumes: exact for band-limited data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import REAL


def _axis_slices(n: int, m: int) -> tuple[slice, slice]:
    # Both spectra are centred; keep the frequencies both of them have.
    keep = min(n, m)
    return (
        slice(n // 2 - keep // 2, n // 2 - keep // 2 + keep),
        slice(m // 2 - keep // 2, m // 2 - keep // 2 + keep),
    )


def resample_axis(array: np.ndarray, axis: int, count: int, spacing: float) -> np.ndarray:
    """Sample one axis at ``count`` points about its centre by trigonometric interpolation.

    Parameters
    ----------
    array : ndarray
        Real; taken as periodic along ``axis``.
    axis : int
    count : int
        Points; their centre ``(count - 1) / 2`` is at that of the axis.
    spacing : float
        Distance of the points in old samples; need not divide the axis. Frequencies beyond
        what either sampling holds are left out.

    Returns
    -------
    ndarray
        Float32.
    """
    n = array.shape[axis]
    places = (np.arange(count) - (count - 1) / 2) * spacing + (n - 1) / 2
    k = np.fft.fftfreq(n)
    kept = np.abs(k) < 0.5 / max(1.0, spacing)
    waves = np.exp(2j * np.pi * places[:, None] * k) * kept
    weights = np.asarray(np.fft.fft(waves, axis=1).real / n, REAL)
    moved = np.moveaxis(np.asarray(array, REAL), axis, -1)
    return np.ascontiguousarray(np.moveaxis(moved @ weights.T, -1, axis))


def fourier_resample(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resample the last ``len(shape)`` axes by cropping or padding the spectrum.

    The content keeps its place relative to the centre ``(n - 1) / 2`` of each axis,
    and its mean.

    Parameters
    ----------
    array : ndarray
        Real, any number of leading axes.
    shape : sequence of int
        New lengths.

    Returns
    -------
    ndarray
        Float32.
    """
    axes = tuple(range(-len(shape), 0))
    if tuple(array.shape[a] for a in axes) == tuple(shape):
        return np.array(array, REAL)
    spectrum = fft.fftshift(fft.fftn(np.asarray(array, REAL), axes=axes), axes=axes)
    target = np.zeros((*array.shape[: array.ndim - len(shape)], *shape), spectrum.dtype)
    pairs = [_axis_slices(array.shape[a], m) for a, m in zip(axes, shape, strict=True)]
    inside: tuple[Any, ...] = (Ellipsis, *(new for _, new in pairs))
    target[inside] = spectrum[(Ellipsis, *(old for old, _ in pairs))]
    for axis, m in zip(axes, shape, strict=True):
        n = array.shape[axis]
        k = (np.arange(m) - m // 2) / m
        # Index j of the new grid sits at old index (n/m) (j - (m-1)/2) + (n-1)/2.
        ramp = np.exp(2j * np.pi * k * ((n - 1) / 2 * m / n - (m - 1) / 2))
        if m % 2 == 0 and m <= n:
            ramp[0] = 0  # The unpaired Nyquist term cannot be shifted.
        view = [1] * target.ndim
        view[axis] = m
        target *= ramp.reshape(view)
    scale = np.prod([m / array.shape[a] for a, m in zip(axes, shape, strict=True)])
    result = fft.ifftn(fft.ifftshift(target, axes=axes), axes=axes).real * scale
    return np.ascontiguousarray(result, REAL)
