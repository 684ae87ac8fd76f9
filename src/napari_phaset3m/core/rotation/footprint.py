"""Tables of what a sparse rotator does with one slice: every voxel's share in each column.

A projection along the whole box sums, for each lab column x', the interpolated voxels
of all lab rows. Those sums are the same for every plane along the tilt axis, so the
weights of a voxel in its few lab columns are gathered once; projecting and
back-projecting then cost one pass over the volume for all tilts together. The stencils
are those of :class:`.linear.LinearRotator` and :class:`.cubic.CubicRotator`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError

#: Interpolation stencil: samples along each axis.
TAPS = {"linear": 2, "cubic": 4}
#: Lab columns that a voxel can reach (multiples of three: the passes take three at once).
COLUMNS = {2: 3, 4: 6}
#: "No lower bound": an infinity would break the promise of fastmath.
LOWEST = np.finfo(np.float32).min
#: Tilts worked in at a time: their rows near a voxel stay in the cache.
_BLOCK = 8


@njit(nogil=True, cache=True)
def _stencil_weight(k, t, taps):  # type: ignore[no-untyped-def]
    if taps == 2:
        return t if k else 1.0 - t
    if k == 0:
        return ((-0.5 * t + 1.0) * t - 0.5) * t
    if k == 1:
        return (1.5 * t - 2.5) * t * t + 1.0
    if k == 2:
        return ((-1.5 * t + 2.0) * t + 0.5) * t
    return (0.5 * t - 0.5) * t * t


@njit(nogil=True, cache=True)
def _fill(cos, sin, depth, taps, tilt, first, weights):  # type: ignore[no-untyped-def]
    nz, nx, _, count = weights.shape
    reach = taps / 2 * (abs(cos) + abs(sin)) - 1e-6
    for z in range(nz):
        for x in range(nx):
            centre = (x - (nx - 1) / 2) * cos - (z - (nz - 1) / 2) * sin + (nx - 1) / 2
            low = int(np.ceil(centre - reach))
            first[z, x, tilt] = max(0, min(low, nx - count))
    for zp in range(depth):
        zc = zp - (depth - 1) / 2
        for xp in range(nx):
            xc = xp - (nx - 1) / 2
            x_at = xc * cos + zc * sin + (nx - 1) / 2
            z_at = zc * cos - xc * sin + (nz - 1) / 2
            x0, z0 = int(np.floor(x_at)), int(np.floor(z_at))
            for i in range(taps):
                z = z0 + i - (taps // 2 - 1)
                if z < 0 or z >= nz:
                    continue
                wz = _stencil_weight(i, z_at - z0, taps)
                for j in range(taps):
                    x = x0 + j - (taps // 2 - 1)
                    if x < 0 or x >= nx:
                        continue
                    k = xp - first[z, x, tilt]
                    if 0 <= k < count:
                        weights[z, x, tilt, k] += np.float32(wz * _stencil_weight(j, x_at - x0, taps))


@njit(nogil=True, fastmath=True, cache=True)
def forward(volume, table, tilts, out, begin, end):  # type: ignore[no-untyped-def]
    """``out[i, x', y] = sum of W volume`` for the tilts, planes ``begin:end`` along y."""
    first, weights = table
    nz, nx, _ = volume.shape
    out[:, :, begin:end] = 0
    for block in range(0, tilts.size, _BLOCK):
        for z in range(nz):
            for x in range(nx):
                source = volume[z, x, begin:end]
                for i in range(block, min(block + _BLOCK, tilts.size)):
                    low, w = first[z, x, tilts[i]], weights[z, x, tilts[i]]
                    for k in range(0, w.size, 3):
                        w0, w1, w2 = w[k], w[k + 1], w[k + 2]
                        if w0 == 0 and w1 == 0 and w2 == 0:
                            continue
                        a = out[i, low + k, begin:end]
                        b = out[i, low + k + 1, begin:end]
                        c = out[i, low + k + 2, begin:end]
                        for y in range(end - begin):
                            a[y] += w0 * source[y]
                            b[y] += w1 * source[y]
                            c[y] += w2 * source[y]


@njit(nogil=True, fastmath=True, cache=True)
def adjoint(images, table, tilts, scale, low, volume, begin, end):  # type: ignore[no-untyped-def]
    """``volume = max(volume + scale * sum of W images, low)``, planes ``begin:end``."""
    first, weights = table
    nz, nx, _ = volume.shape
    total = np.empty(end - begin, np.float32)
    for block in range(0, tilts.size, _BLOCK):
        last = min(block + _BLOCK, tilts.size)
        bound = low if last == tilts.size else LOWEST
        for z in range(nz):
            for x in range(nx):
                total[:] = 0
                for i in range(block, last):
                    start, w = first[z, x, tilts[i]], weights[z, x, tilts[i]]
                    for k in range(0, w.size, 3):
                        w0, w1, w2 = w[k], w[k + 1], w[k + 2]
                        if w0 == 0 and w1 == 0 and w2 == 0:
                            continue
                        a = images[i, start + k, begin:end]
                        b = images[i, start + k + 1, begin:end]
                        c = images[i, start + k + 2, begin:end]
                        for y in range(end - begin):
                            total[y] += w0 * a[y] + w1 * b[y] + w2 * c[y]
                factor = scale[z, x]
                target = volume[z, x, begin:end]
                for y in range(end - begin):
                    target[y] = max(target[y] + factor * total[y], bound)


@njit(nogil=True, fastmath=True, cache=True)
def _add_interpolated(image, at, total, begin, end):  # type: ignore[no-untyped-def]
    x0 = int(np.floor(at))
    t = np.float32(at - x0)
    if x0 >= 0 and x0 + 1 < image.shape[0]:
        near, far = image[x0, begin:end], image[x0 + 1, begin:end]
        for y in range(total.size):
            total[y] += near[y] + t * (far[y] - near[y])
    elif x0 == -1 or x0 == image.shape[0] - 1:
        edge = image[max(x0, 0), begin:end]
        w = t if x0 < 0 else np.float32(1.0) - t
        for y in range(total.size):
            total[y] += w * edge[y]


@njit(nogil=True, fastmath=True, cache=True)
def interpolate(images, cosine, sine, low, volume, begin, end):  # type: ignore[no-untyped-def]
    """``volume = max(volume + sum of images where the voxel projects, low)``."""
    nz, nx, _ = volume.shape
    total = np.empty(end - begin, np.float32)
    for block in range(0, cosine.size, _BLOCK):
        last = min(block + _BLOCK, cosine.size)
        bound = low if last == cosine.size else LOWEST
        for z in range(nz):
            for x in range(nx):
                total[:] = 0
                for i in range(block, last):
                    at = (x - (nx - 1) / 2) * cosine[i] - (z - (nz - 1) / 2) * sine[i]
                    _add_interpolated(images[i], at + (images.shape[1] - 1) / 2, total, begin, end)
                target = volume[z, x, begin:end]
                for y in range(end - begin):
                    target[y] = max(target[y] + total[y], bound)


@njit(nogil=True, cache=True)
def rays(table, tilt):  # type: ignore[no-untyped-def]
    """One tilt's rays in compressed rows: `(start, voxel, weight)`, voxel = z nx + x."""
    first, weights = table
    nz, nx, _, count = weights.shape
    start = np.zeros(nx + 1, np.int64)
    for z in range(nz):
        for x in range(nx):
            for k in range(count):
                if weights[z, x, tilt, k] != 0:
                    start[first[z, x, tilt] + k + 1] += 1
    for i in range(nx):
        start[i + 1] += start[i]
    filled = start[:-1].copy()
    voxel, weight = np.empty(start[-1], np.int64), np.empty(start[-1], np.float32)
    for z in range(nz):
        for x in range(nx):
            for k in range(count):
                w = weights[z, x, tilt, k]
                if w != 0:
                    ray = first[z, x, tilt] + k
                    voxel[filled[ray]], weight[filled[ray]] = z * nx + x, w
                    filled[ray] += 1
    return start, voxel, weight


@njit(nogil=True, fastmath=True, cache=True)
def kaczmarz(volume, image, used, lists, numbers, begin, end):  # type: ignore[no-untyped-def]
    """Visit the rays of one tilt in order, planes ``begin:end``; returns half the squared residual.

    ``volume`` `(nz nx, ny)`; ``image``, ``used`` `(nx, ny)`; ``numbers`` (relaxation, low).
    """
    start, voxel, weight = lists
    relaxation, low = numbers[0], numbers[1]
    rest = np.empty(end - begin, np.float32)
    loss = 0.0
    for ray in range(start.size - 1):
        norm = np.float32(0)
        for y in range(begin, end):
            rest[y - begin] = image[ray, y]
        for i in range(start[ray], start[ray + 1]):
            w, source = weight[i], volume[voxel[i]]
            norm += w * w
            for y in range(begin, end):
                rest[y - begin] -= w * source[y]
        if norm == 0:
            continue
        for y in range(begin, end):
            rest[y - begin] *= used[ray, y]
            loss += 0.5 * rest[y - begin] * rest[y - begin]
            rest[y - begin] *= relaxation / norm
        for i in range(start[ray], start[ray + 1]):
            w, target = weight[i], volume[voxel[i]]
            for y in range(begin, end):
                value = target[y] + w * rest[y - begin]
                target[y] = value if value > low else low
    return loss


def make_table(geometry: TiltGeometry, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Footprints of all voxels at all tilts.

    Parameters
    ----------
    geometry : TiltGeometry
        Its whole depth is projected, whatever its slices.
    kind : {"linear", "cubic"}

    Returns
    -------
    first : ndarray
        `(nz, nx, n_tilt)` int32: lowest lab column that a voxel reaches.
    weights : ndarray
        `(nz, nx, n_tilt, count)` float32: its weight there and in the next columns.

    Raises
    ------
    ConfigError
        The volume is narrower than the stencil.
    """
    taps = TAPS[kind]
    nz, nx, _ = geometry.volume_shape
    count = COLUMNS[taps]
    if nx < count:
        raise ConfigError(f"voxel_angstrom: {nx} voxels across the tilt axis are too few")
    first = np.zeros((nz, nx, geometry.n_tilt), np.int32)
    weights = np.zeros((nz, nx, geometry.n_tilt, count), REAL)
    for tilt, degrees in enumerate(geometry.tilt_deg):
        radians = np.radians(degrees)
        _fill(np.cos(radians), np.sin(radians), geometry.depth(tilt), taps, tilt, first, weights)
    return first, weights
