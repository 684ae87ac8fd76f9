"""Power spectra and Fourier views of volumes and images; fast enough to follow a run.

Everything uses real-input float32 transforms. Frequencies are in 1/angstrom; spectra
come shifted, with zero frequency at index ``n // 2`` of each axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core.backend import array_module, asnumpy
from napari_phaset3m.core.precision import ACCUMULATE, REAL, Array
from napari_phaset3m.errors import ConfigError

#: Power is shown over this many decades below the strongest term beside DC.
DECADES = 8.0


def log_power(volume: Array, *, window: bool = False) -> Array:
    """Log power spectrum of a volume (or image), made for viewing.

    Parameters
    ----------
    volume : Array
        `(nz, ny, nx)` or `(ny, nx)`; any order of axes, which the result shares.
    window : bool
        Taper with a Hann window first, against the cross that the box edges make.

    Returns
    -------
    Array
        float32 of the same shape, fftshifted: log10 of the power relative to the strongest
        term beside DC, so 0 at most and cut off at ``-DECADES``; DC itself is masked to the
        lowest value around it. All ``-DECADES`` for a constant volume.
    """
    xp = array_module(volume)
    half = _half_power(volume, window)
    origin = (0,) * half.ndim
    half[origin] = 0
    peak = float(half.max())
    floor = 10.0**-DECADES
    if peak > 0:
        half *= REAL(1 / peak)
    xp.maximum(half, REAL(floor), out=half)
    xp.log10(half, out=half)
    xp.maximum(half, REAL(-DECADES), out=half)  # some libraries' log10 is off by an ulp
    half[origin] = min(float(half[_unit(half.ndim, a)]) for a in range(half.ndim) if half.shape[a] > 1)
    return _unfold(half, tuple(volume.shape))


def power_spectrum_2d(image: Array, *, window: bool = True) -> Array:
    """Power spectrum of an image.

    Parameters
    ----------
    image : Array
        `(..., ny, nx)`; leading axes are averaged.
    window : bool
        Subtract the mean and taper with a Hann window first.

    Returns
    -------
    Array
        `(ny, nx)` float32, fftshifted: ``|FFT|^2 / (ny nx)``, so that white noise of
        variance s has the mean s (the window's loss of power is made up for).
    """
    xp = array_module(image)
    total = None
    for one in image.reshape(-1, *image.shape[-2:]):
        power = _half_power(one - one.mean(dtype=ACCUMULATE).astype(REAL) if window else one, window)
        total = power if total is None else total + power
    assert total is not None
    count = max(1, image.size // (image.shape[-1] * image.shape[-2]))
    scale = image.shape[-1] * image.shape[-2] * count
    if window:
        scale *= float(np.prod([np.mean(_hann(n) ** 2) for n in image.shape[-2:]]))
    return _unfold(xp.asarray(total * REAL(1 / scale), REAL), tuple(image.shape[-2:]))


def radial_power_spectrum(
    volume: Array, voxel_size_angstrom: float, *, bins: int | None = None, window: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Mean power in rings or shells of equal width up to Nyquist.

    Parameters
    ----------
    volume : Array
        `(nz, ny, nx)` or `(ny, nx)`.
    voxel_size_angstrom : float
    bins : int, optional
        Number of shells; half the longest edge when omitted.
    window : bool
        Taper with a Hann window first (power is made up for).

    Returns
    -------
    k : ndarray
        `(bins,)` float64 mean radius of each shell's centre, 1/angstrom.
    power : ndarray
        `(bins,)` float64 mean of ``|FFT|^2 / n`` without DC; NaN where a shell is empty.
    """
    if not voxel_size_angstrom > 0:
        raise ConfigError(f"voxel_size_angstrom: must be positive, not {voxel_size_angstrom}")
    shape = tuple(volume.shape)
    bins = bins or max(1, max(shape) // 2)
    half = np.ascontiguousarray(asnumpy(_half_power(volume, window)))
    scale = float(np.prod(shape))
    if window:
        scale *= float(np.prod([np.mean(_hann(n) ** 2) for n in shape]))
    k2 = _k2(shape, voxel_size_angstrom)
    index = (np.sqrt(k2) * (2 * voxel_size_angstrom * bins)).astype(np.int32).ravel()
    weight = np.broadcast_to(_multiplicity(shape[-1]), half.shape).ravel().copy()
    weight[0] = 0  # DC
    index = np.minimum(index, bins)  # corners beyond Nyquist: dropped below
    number = np.bincount(index, weight, bins + 1)[:bins]
    total = np.bincount(index, weight * half.ravel(), bins + 1)[:bins]
    power = np.divide(total, scale * number, out=np.full(bins, np.nan), where=number > 0)
    k = (np.arange(bins) + 0.5) / (2 * voxel_size_angstrom * bins)
    return k, power


def slice_count(n: int, wanted_voxels: float) -> int:
    """Planes nearest to a wanted number that lie evenly about the centre (n - 1) / 2 of n planes.

    Even for even n, odd for odd n; at least one, or two, at most n.
    """
    odd = n % 2
    count = max(2 - odd, 2 * int(np.floor((wanted_voxels - odd) / 2 + 0.5)) + odd)
    return min(count, n)


def central_slices(volume: Array, thickness_voxels: int = 1) -> tuple[Array, Array, Array]:
    """Average the central planes normal to z, y and x.

    Parameters
    ----------
    volume : Array
        `(nz, ny, nx)`.
    thickness_voxels : int
        Planes averaged around the rotation centre (at least 1). Made even along an even edge and odd
        along an odd one (:func:`slice_count`), so that they lie evenly about it.

    Returns
    -------
    xy, xz, yz : Array
        `(ny, nx)`, `(nz, nx)` and `(nz, ny)` float32.
    """
    if thickness_voxels < 1:
        raise ConfigError(f"thickness_voxels: must be at least 1, not {thickness_voxels}")
    views = []
    for axis, n in enumerate(volume.shape):
        count = slice_count(n, thickness_voxels)
        start = (n - count) // 2
        part: list[slice] = [slice(None)] * 3
        part[axis] = slice(start, start + count)
        views.append(volume[tuple(part)].mean(axis=axis, dtype=REAL))
    return views[0], views[1], views[2]


def central_sections(volume: Array, *, window: bool = True) -> tuple[Array, Array, Array]:
    """Log power on the three planes through the origin of a volume's transform.

    By the projection-slice theorem each is the transform of a (windowed) sum along one axis,
    so that the 3D transform is never held in memory.

    Parameters
    ----------
    volume : Array
        `(nz, ny, nx)`.
    window : bool
        Taper all three axes with a Hann window first.

    Returns
    -------
    kykx, kzkx, kzky : Array
        `(ny, nx)`, `(nz, nx)` and `(nz, ny)`, each as :func:`log_power` gives it (relative to
        its own strongest term).
    """
    xp = array_module(volume)
    sections = []
    for axis, n in enumerate(volume.shape):
        weight = xp.asarray(_hann(n)) if window else xp.ones(n, REAL)
        flat = xp.tensordot(weight, xp.asarray(volume, REAL), axes=(0, axis))
        sections.append(log_power(flat, window=window))
    return sections[0], sections[1], sections[2]


def frequency_step(shape: tuple[int, ...], voxel_size_angstrom: float) -> tuple[float, ...]:
    """Spacing of a shifted spectrum's points along each axis, 1/angstrom."""
    return tuple(1 / (n * voxel_size_angstrom) for n in shape)


def _unit(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple(int(a == axis) for a in range(ndim))


def _hann(n: int) -> np.ndarray:
    return np.asarray(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, REAL)


def _half_power(array: Array, window: bool) -> Array:
    """`(..., n // 2 + 1)` float32 ``|rfftn|^2``."""
    xp = array_module(array)
    data = xp.asarray(array, REAL)
    if window:
        data = data.copy()
        for axis, n in enumerate(data.shape):
            shape = [1] * data.ndim
            shape[axis] = n
            data *= xp.asarray(_hann(n)).reshape(shape)
    spectrum = _rfftn(xp, data)
    return spectrum.real**2 + spectrum.imag**2


def _rfftn(xp: Any, data: Array) -> Array:
    if xp is np:
        from scipy import fft

        # One thread: a live view must not take the cores from the run it shows.
        return fft.rfftn(data, workers=1)
    return xp.fft.rfftn(data)


def _unfold(half: Array, shape: tuple[int, ...]) -> Array:
    """Complete a real array's spectrum from its non-negative half (last axis), and shift it."""
    xp = array_module(half)
    n = shape[-1]
    axes = tuple(range(half.ndim - 1))
    centred = xp.fft.fftshift(half, axes=axes)
    full = xp.empty(shape, REAL)
    negative = n // 2
    full[..., negative:] = centred[..., : n - negative]
    # Friedel: P(-k) = P(k). Reversing an unshifted axis and rolling by one maps k to -k.
    mirror = half[..., 1 : negative + 1][..., ::-1]
    for axis in axes:
        mirror = xp.roll(xp.flip(mirror, axis), 1, axis)
    full[..., :negative] = xp.fft.fftshift(mirror, axes=axes)
    return full


def _multiplicity(n: int) -> np.ndarray:
    weight = np.full(n // 2 + 1, 2.0)
    weight[0] = 1
    if n % 2 == 0:
        weight[-1] = 1
    return weight


def _k2(shape: tuple[int, ...], voxel: float) -> np.ndarray:
    total = np.zeros((1,) * len(shape))
    for axis, n in enumerate(shape):
        last = axis == len(shape) - 1
        k = np.fft.rfftfreq(n, voxel) if last else np.fft.fftfreq(n, voxel)
        total = total + (k**2).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return total
