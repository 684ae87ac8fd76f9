"""Bilinear rotation as weighted sums of whole rows along the tilt axis.

Because y is contiguous, each lab column (z', x') is a sum of four volume rows:
vectorised, no rotated copy of the volume, and the adjoint scatters the same rows
with the same weights.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from napari_phaset3m.core.geometry import TiltGeometry


@njit(nogil=True, fastmath=True, cache=True)
def _corner(position: float) -> tuple[int, float]:
    low = int(np.floor(position))
    return low, position - low


@njit(nogil=True, fastmath=True, cache=True)
def _project(volume, cos, sin, edges, out, derivative):  # type: ignore[no-untyped-def]
    nz, nx, ny = volume.shape
    width = out.shape[1]
    depth = edges[-1]
    out[:] = 0
    for s in range(edges.size - 1):
        for zp in range(edges[s], edges[s + 1]):
            zc = zp - (depth - 1) / 2
            for xp in range(width):
                xc = xp - (width - 1) / 2
                dx, dz = zc * cos - xc * sin, -(xc * cos + zc * sin)
                x0, fx = _corner(-dz + (nx - 1) / 2)
                z0, fz = _corner(dx + (nz - 1) / 2)
                row = out[s, xp]
                for i in range(2):
                    z = z0 + i
                    if z < 0 or z >= nz:
                        continue
                    for j in range(2):
                        x = x0 + j
                        if x < 0 or x >= nx:
                            continue
                        wz = fz if i else 1 - fz
                        wx = fx if j else 1 - fx
                        if derivative:
                            w = np.float32((2 * i - 1) * dz * wx + (2 * j - 1) * dx * wz)
                        else:
                            w = np.float32(wz * wx)
                        source = volume[z, x]
                        for y in range(ny):
                            row[y] += w * source[y]


@njit(nogil=True, fastmath=True, cache=True)
def _backproject(slices, cos, sin, edges, gradient):  # type: ignore[no-untyped-def]
    nz, nx, ny = gradient.shape
    width = slices.shape[1]
    depth = edges[-1]
    for s in range(edges.size - 1):
        for zp in range(edges[s], edges[s + 1]):
            zc = zp - (depth - 1) / 2
            for xp in range(width):
                xc = xp - (width - 1) / 2
                x0, fx = _corner(xc * cos + zc * sin + (nx - 1) / 2)
                z0, fz = _corner(zc * cos - xc * sin + (nz - 1) / 2)
                row = slices[s, xp]
                for i in range(2):
                    z = z0 + i
                    if z < 0 or z >= nz:
                        continue
                    for j in range(2):
                        x = x0 + j
                        if x < 0 or x >= nx:
                            continue
                        w = np.float32((fz if i else 1 - fz) * (fx if j else 1 - fx))
                        target = gradient[z, x]
                        for y in range(ny):
                            target[y] += w * row[y]


class LinearRotator:
    """Bilinear interpolation in the plane across the tilt axis.

    Parameters
    ----------
    geometry : TiltGeometry
    """

    def __init__(self, geometry: TiltGeometry) -> None:
        self.geometry = geometry
        self._edges = [geometry.edges(i) for i in range(geometry.n_tilt)]
        radians = np.radians(np.asarray(geometry.tilt_deg, np.float64))
        self._cos, self._sin = np.cos(radians), np.sin(radians)

    def project(self, volume: np.ndarray, tilt: int, out: np.ndarray) -> None:
        """Overwrite ``out`` `(n_slice, nx, ny)` with the slices seen at ``tilt``."""
        _project(volume, self._cos[tilt], self._sin[tilt], self._edges[tilt], out, False)

    def backproject(self, slices: np.ndarray, tilt: int, gradient: np.ndarray) -> None:
        """Add the exact adjoint of :meth:`project` to ``gradient`` `(nz, nx, ny)`."""
        _backproject(slices, self._cos[tilt], self._sin[tilt], self._edges[tilt], gradient)

    def project_derivative(self, volume: np.ndarray, tilt: int, out: np.ndarray) -> None:
        """Overwrite ``out`` with the derivative by the tilt angle, per radian."""
        _project(volume, self._cos[tilt], self._sin[tilt], self._edges[tilt], out, True)
