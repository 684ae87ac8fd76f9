"""Cubic-convolution rotation (4 x 4 rows per lab column) with its exact adjoint.

Source: Keys, IEEE Trans. ASSP 29 (1981) 1153, with a = -1/2 (Catmull-Rom).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from napari_phaset3m.core.geometry import TiltGeometry


@njit(nogil=True, fastmath=True, cache=True)
def _weights(t, out):  # type: ignore[no-untyped-def]
    # Weights of the samples at -1, 0, 1, 2 for a point at 0 <= t <= 1.
    out[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    out[1] = (1.5 * t - 2.5) * t * t + 1.0
    out[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    out[3] = (0.5 * t - 0.5) * t * t


@njit(nogil=True, fastmath=True, cache=True)
def _slopes(t, out):  # type: ignore[no-untyped-def]
    out[0] = (-1.5 * t + 2.0) * t - 0.5
    out[1] = (4.5 * t - 5.0) * t
    out[2] = (-4.5 * t + 4.0) * t + 0.5
    out[3] = (1.5 * t - 1.0) * t


@njit(nogil=True, fastmath=True, cache=True)
def _stencil(zc, xc, frame, derivative, weights):  # type: ignore[no-untyped-def]
    # Fills weights (4, 4) over (z, x) and returns the stencil's first voxel.
    cos, sin, z_centre, x_centre = frame
    wx, wz = np.empty(4), np.empty(4)
    x, z = xc * cos + zc * sin + x_centre, zc * cos - xc * sin + z_centre
    x0, z0 = int(np.floor(x)), int(np.floor(z))
    _weights(x - x0, wx)
    _weights(z - z0, wz)
    for i in range(4):
        for j in range(4):
            weights[i, j] = wz[i] * wx[j]
    if derivative:
        dx, dz = zc * cos - xc * sin, -(xc * cos + zc * sin)
        sx, sz = np.empty(4), np.empty(4)
        _slopes(x - x0, sx)
        _slopes(z - z0, sz)
        for i in range(4):
            for j in range(4):
                weights[i, j] = dz * sz[i] * wx[j] + dx * wz[i] * sx[j]
    return z0 - 1, x0 - 1


@njit(nogil=True, fastmath=True, cache=True)
def _project(volume, cos, sin, edges, out, derivative):  # type: ignore[no-untyped-def]
    nz, nx, ny = volume.shape
    frame = (cos, sin, (nz - 1) / 2, (nx - 1) / 2)
    weights = np.empty((4, 4), np.float32)
    out[:] = 0
    for s in range(edges.size - 1):
        for zp in range(edges[s], edges[s + 1]):
            for xp in range(out.shape[1]):
                zc, xc = zp - (edges[-1] - 1) / 2, xp - (out.shape[1] - 1) / 2
                z0, x0 = _stencil(zc, xc, frame, derivative, weights)
                row = out[s, xp]
                for i in range(max(0, -z0), min(4, nz - z0)):
                    for j in range(max(0, -x0), min(4, nx - x0)):
                        w, source = weights[i, j], volume[z0 + i, x0 + j]
                        for y in range(ny):
                            row[y] += w * source[y]


@njit(nogil=True, fastmath=True, cache=True)
def _backproject(slices, cos, sin, edges, gradient):  # type: ignore[no-untyped-def]
    nz, nx, ny = gradient.shape
    frame = (cos, sin, (nz - 1) / 2, (nx - 1) / 2)
    weights = np.empty((4, 4), np.float32)
    for s in range(edges.size - 1):
        for zp in range(edges[s], edges[s + 1]):
            for xp in range(slices.shape[1]):
                zc, xc = zp - (edges[-1] - 1) / 2, xp - (slices.shape[1] - 1) / 2
                z0, x0 = _stencil(zc, xc, frame, False, weights)
                row = slices[s, xp]
                for i in range(max(0, -z0), min(4, nz - z0)):
                    for j in range(max(0, -x0), min(4, nx - x0)):
                        w, target = weights[i, j], gradient[z0 + i, x0 + j]
                        for y in range(ny):
                            target[y] += w * row[y]


class CubicRotator:
    """Cubic convolution in the plane across the tilt axis.

    Four times the work of the linear rotator, for less loss near Nyquist.

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
