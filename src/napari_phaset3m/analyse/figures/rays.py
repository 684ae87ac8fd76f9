"""Volumes seen along a direction, and their lit surfaces.

Each pixel looks along its ray for the first voxel over the level (first-hit ray casting, Levoy, IEEE Comput.
Graph. Appl. 8(3) (1988) 29); the surface is lit from the upper left and darkens with depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.precision import REAL

#: Angles about the tilt axis y, then about x, by which the specimen is turned to be seen from a corner.
VIEW_DEG = (30.0, -22.0)
#: Pixels along an edge of a picture, at most.
_PIXELS = 240
#: Voxels to a pixel, at least: finer shows the interpolation only.
_FINEST = 0.3
#: Towards the light, in (right, down, away from the viewer).
_LIGHT = np.array([-0.5, -0.6, -0.63])
_AMBIENT, _DEPTH_CUE = 0.3, 0.5


def view_matrix(view_deg: tuple[float, float] = VIEW_DEG) -> np.ndarray:
    """`(3, 3)` from (x, y, z) of the sample to (right, down, away from the viewer).

    Without turning x is right, y down and z, the beam, goes away from the viewer, as in the images.
    """
    a, b = np.deg2rad(view_deg)
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.asarray(about_x @ about_y)


@dataclass(frozen=True, slots=True, eq=False)
class Shaded:
    """A surface as a picture.

    Parameters
    ----------
    brightness : ndarray
        `(n, n)` float32 in 0..1; NaN where no ray meets the surface.
    depth : ndarray
        `(n, n)` float32, voxels away from the plane through the middle; NaN likewise.
    half_width : float
        Of the picture, voxels.
    """

    brightness: np.ndarray
    depth: np.ndarray
    half_width: float


def along_rays(
    volume: np.ndarray, view_deg: tuple[float, float] = VIEW_DEG, half_width: float | None = None
) -> tuple[np.ndarray, float]:
    """A volume turned into the axes of a view, with its lowest value around it.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    view_deg : (float, float)
        See :data:`VIEW_DEG`.
    half_width : float, optional
        Of what is seen, voxels; all of the box when omitted.

    Returns
    -------
    seen : ndarray
        `(n, n, n)` float32: away from the viewer, down, right.
    step : float
        Voxels from one point to the next.
    """
    from scipy import ndimage

    half = 0.5 * float(np.linalg.norm(volume.shape)) if half_width is None else half_width
    step = max(_FINEST, 2 * half / _PIXELS)
    n = int(2 * half / step) + 1
    # (z, y, x) of the sample from (away, down, right) of the view
    matrix = view_matrix(view_deg).T[::-1, ::-1] * step
    middle = (np.array(volume.shape) - 1) / 2
    offset = middle - matrix @ np.full(3, (n - 1) / 2)
    data = np.asarray(volume, REAL)
    if step > 1.5:
        data = ndimage.gaussian_filter(data, 0.4 * step)
    low = float(data.min())
    seen = ndimage.affine_transform(data, matrix, offset, (n, n, n), order=1, cval=low, output=REAL)
    return np.asarray(seen, REAL), step


def shaded(
    volume: np.ndarray,
    level: float,
    view_deg: tuple[float, float] = VIEW_DEG,
    *,
    half_width: float | None = None,
) -> Shaded:
    """Surface of a volume at a level, seen along a direction.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    level : float
    view_deg : (float, float)
        See :data:`VIEW_DEG`.
    half_width : float, optional
        Of what is seen, voxels; all of the box when omitted.
    """
    seen, step = along_rays(volume, view_deg, half_width)
    n = len(seen)
    half = 0.5 * float(np.linalg.norm(volume.shape)) if half_width is None else half_width
    over = seen >= level
    hit, first = over.any(axis=0), over.argmax(axis=0)
    v, u = np.nonzero(hit)
    w = first[v, u]
    here, before = seen[w, v, u], seen[np.maximum(w - 1, 0), v, u]
    part = np.where(here > before, (here - level) / np.maximum(here - before, 1e-30), 0.0)
    slope = np.stack([_slope(seen, axis, w, v, u) for axis in (2, 1, 0)], axis=1)
    normal = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-30)
    lit = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    away = (w - part - (n - 1) / 2) * step
    fade = 1 - _DEPTH_CUE * np.clip(0.5 + away / (1.2 * half), 0, 1)
    brightness, depth = np.full((2, n, n), np.nan, REAL)
    brightness[v, u] = (_AMBIENT + (1 - _AMBIENT) * lit) * fade
    depth[v, u] = away
    return Shaded(brightness, depth, n * step / 2)


def _slope(volume: np.ndarray, axis: int, w: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Central difference along an axis at places."""
    place, n = [w, v, u], volume.shape[axis]
    ahead, behind = list(place), list(place)
    ahead[axis] = np.minimum(place[axis] + 1, n - 1)
    behind[axis] = np.maximum(place[axis] - 1, 0)
    return np.asarray(volume[tuple(ahead)] - volume[tuple(behind)], float)
