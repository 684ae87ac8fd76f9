"""Shells of a volume's Fourier transform: the sums that every shell-wise analysis takes.

Spectra are ``rfftn`` halves of a real volume; the other half repeats them (Friedel), so a
point off the planes ``kx = 0`` and ``kx = Nyquist`` weighs 2. Sums are taken in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.precision import ACCUMULATE, REAL
from napari_phaset3m.errors import ConfigError, DataError

#: Voxel edge, angstrom: one number, or (z, y, x).
Voxel = float | tuple[float, float, float]


def voxel_edges(voxel_size_angstrom: Voxel) -> tuple[float, float, float]:
    """(z, y, x) edges of a voxel, angstrom.

    Raises
    ------
    ConfigError
        Not one or three positive numbers.
    """
    edges = np.asarray(voxel_size_angstrom, float).ravel()
    if edges.size not in (1, 3) or not (np.isfinite(edges).all() and edges.min() > 0):
        raise ConfigError(
            f"voxel_size_angstrom: must be one or three (z, y, x) positive numbers, not {voxel_size_angstrom}"
        )
    z, y, x = np.broadcast_to(edges, 3).tolist()
    return z, y, x


def checked_volume(volume: np.ndarray, name: str) -> np.ndarray:
    """A finite, real, three-dimensional volume; raises :class:`DataError` otherwise."""
    array = np.asarray(volume)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise DataError(
            f"needs real numbers of shape (nz, ny, nx), not {array.dtype} {array.shape}", field=name
        )
    if not np.isfinite(array).all():
        raise DataError("holds NaN or infinite values", field=name, remedy="Replace or crop them first")
    return array


def checked_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 mask in [0, 1] that is not empty; raises :class:`DataError` otherwise."""
    array = np.asarray(mask, REAL)
    if array.shape != tuple(shape):
        raise DataError(f"has shape {array.shape}, but the volume has {tuple(shape)}", field="mask")
    if not (array.min() >= 0 and array.max() <= 1):
        raise DataError("has values outside 0..1", field="mask", remedy="Rescale the mask")
    if not array.any():
        raise DataError("is empty", field="mask", remedy="It must hold the specimen")
    return array


def half_spectrum(volume: np.ndarray) -> np.ndarray:
    """`(nz, ny, nx // 2 + 1)` complex64 ``rfftn`` without its mean.

    The mean is taken off first, in float64: beside a large constant, float32 would lose the
    weak high frequencies.
    """
    from scipy import fft

    mean = float(volume.mean(dtype=ACCUMULATE))
    return np.asarray(fft.rfftn(np.asarray(volume - mean, REAL), workers=1))


def masked(volume: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """``(volume - its mean in the mask) * mask``: a constant background does not correlate."""
    if mask is None:
        return volume
    mean = float((volume * mask).sum(dtype=ACCUMULATE) / mask.sum(dtype=ACCUMULATE))
    return np.asarray((volume - mean) * mask, REAL)


@dataclass(frozen=True, slots=True, eq=False)
class ShellPlane:
    """The points of one kz plane that lie in a shell.

    Attributes
    ----------
    points : ndarray
        Flat positions in the plane `(ny, nx // 2 + 1)`.
    shell : ndarray
        Shell of each, 1 ... n.
    weight : ndarray
        1 or 2: how often the full transform holds the point.
    """

    points: np.ndarray
    shell: np.ndarray
    weight: np.ndarray


class ShellGrid:
    """Spherical shells of equal width, from the first one beside zero up to Nyquist.

    Parameters
    ----------
    shape : tuple of int
        (nz, ny, nx); need not be a cube.
    voxel_size_angstrom : float or tuple of float
        One edge, or (z, y, x).
    region : ndarray, optional
        `(nz, ny, nx)` bool, fftshifted, the same at k and -k: count these points only.

    Attributes
    ----------
    width : float
        Of a shell, 1/angstrom: one step of the longest edge, ``1 / max(n * voxel)``. Shell i
        holds ``|k| / width`` in [i - 1/2, i + 1/2).
    frequency : ndarray
        `(n,)` centres of the shells 1 ... n, 1/angstrom; the last is at the lowest of the three
        axes' Nyquist frequencies, or just below it.
    """

    def __init__(
        self, shape: tuple[int, ...], voxel_size_angstrom: Voxel, region: np.ndarray | None = None
    ) -> None:
        self.shape = nz, ny, nx = int(shape[0]), int(shape[1]), int(shape[2])
        self.voxel = voxel_edges(voxel_size_angstrom)
        self.nyquist = 0.5 / max(self.voxel)
        self.width = 1 / max(n * v for n, v in zip(self.shape, self.voxel, strict=True))
        self.n = math.floor(self.nyquist / self.width + 1e-9)
        if self.n < 1:
            raise DataError(f"{shape} voxels are too few for a shell", field="volume")
        self.frequency = np.arange(1, self.n + 1) * self.width
        self.kz = np.fft.fftfreq(nz, self.voxel[0])
        self.ky = np.fft.fftfreq(ny, self.voxel[1])
        self.kx = np.fft.rfftfreq(nx, self.voxel[2])
        self._in_plane = self.ky[:, None] ** 2 + self.kx[None, :] ** 2
        weight = np.full((ny, self.kx.size), 2, np.uint8)
        weight[:, 0] = 1
        if nx % 2 == 0:
            weight[:, -1] = 1
        self._weight = weight.ravel()
        self._region = None if region is None else self._half(region)

    @property
    def whole(self) -> bool:
        """All directions count."""
        return self._region is None

    def _half(self, region: np.ndarray) -> np.ndarray:
        region = np.asarray(region, bool)
        if region.shape != self.shape:
            raise DataError(f"has shape {region.shape}, but the volume has {self.shape}", field="region")
        return np.ascontiguousarray(np.fft.ifftshift(region)[..., : self.kx.size])

    def plane(self, z: int) -> ShellPlane:
        """The points of plane ``kz[z]`` that lie in a shell (and in the region)."""
        radius = np.sqrt(self._in_plane + self.kz[z] ** 2).ravel()
        # A point on the border of two shells goes outwards, whatever the rounding.
        shell = np.floor(radius / self.width + 0.5 + 1e-9).astype(np.intp)
        inside = (shell >= 1) & (shell <= self.n)
        if self._region is not None:
            inside &= self._region[z].ravel()
        points = np.flatnonzero(inside)
        return ShellPlane(points, shell[points], self._weight[points])

    def from_shell(self, z: int, index: int) -> np.ndarray:
        """`(ny, nx // 2 + 1)` bool: points (of the region) in shell ``index`` (from 0) or beyond.

        Up to the corners of the box, past the last shell.
        """
        far = np.sqrt(self._in_plane + self.kz[z] ** 2) / self.width + 0.5 + 1e-9 >= index + 1
        return np.asarray(far if self._region is None else far & self._region[z])

    def planes(self) -> Iterator[tuple[int, ShellPlane]]:
        """Every kz plane that holds a point, with its index."""
        for z in range(self.shape[0]):
            plane = self.plane(z)
            if plane.points.size:
                yield z, plane

    def counts(self) -> np.ndarray:
        """`(n,)` independent Fourier voxels: a Friedel pair counts once, a real-valued point half."""
        total = np.zeros(self.n + 1)
        for _, plane in self.planes():
            total += np.bincount(plane.shell, plane.weight, self.n + 1)
        return total[1:] / 2

    def correlate(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums over shells of ``Re(a conj(b))``, ``|a|^2`` and ``|b|^2``.

        Parameters
        ----------
        a, b : ndarray
            Half spectra `(nz, ny, nx // 2 + 1)`.

        Returns
        -------
        cross, power_a, power_b : ndarray
            `(n,)` float64.
        """
        sums = np.zeros((3, self.n + 1))
        for z, plane in self.planes():
            for row, values in zip(sums, cross_and_powers(a[z], b[z], plane), strict=True):
                row += np.bincount(plane.shell, values, self.n + 1)
        return sums[0, 1:], sums[1, 1:], sums[2, 1:]


def cross_and_powers(
    a: np.ndarray, b: np.ndarray, plane: ShellPlane
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted ``Re(a conj(b))``, ``|a|^2``, ``|b|^2`` of a plane's points, float64."""
    u = a.reshape(-1)[plane.points].astype(np.complex128)
    v = b.reshape(-1)[plane.points].astype(np.complex128)
    w = plane.weight
    return (
        (u.real * v.real + u.imag * v.imag) * w,
        (u.real**2 + u.imag**2) * w,
        (v.real**2 + v.imag**2) * w,
    )


def correlation(cross: np.ndarray, power_a: np.ndarray, power_b: np.ndarray, n: np.ndarray) -> np.ndarray:
    """``cross / sqrt(power_a power_b)``: 0 where one volume has no power, NaN where there is no point."""
    scale = np.sqrt(power_a) * np.sqrt(power_b)
    value = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    return np.where(n > 0, np.clip(value, -1, 1), np.nan)
