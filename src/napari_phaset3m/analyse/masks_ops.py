"""The single operations that masks are made of, on `(nz, ny, nx)` arrays.

Distances are Euclidean and in angstrom, so that voxels need not be cubic. Distance
transforms run only around the mask and in slabs: their memory does not grow with the box.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_phaset3m.core.precision import ACCUMULATE, REAL
from napari_phaset3m.errors import ConfigError

#: Edge lengths (z, y, x), or one for all three, angstrom.
Voxel = float | tuple[float, float, float]
#: Voxels of one slab of a distance transform (about 25 bytes each while it runs).
SLAB_VOXELS = 1 << 23
#: Bins of the histogram that Otsu's threshold is found in.
OTSU_BINS = 256
#: Standard deviation of the low-pass in units of its resolution: half amplitude at 1/resolution.
LOWPASS_SIGMA = float(np.sqrt(np.log(2) / 2) / np.pi)


def voxel_zyx(voxel_size_angstrom: Voxel) -> tuple[float, float, float]:
    """Edge lengths along z, y and x.

    Raises
    ------
    ConfigError
        One is not a positive number.
    """
    given = np.broadcast_to(np.asarray(voxel_size_angstrom, float), 3)
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise ConfigError(f"voxel_size_angstrom: must be positive, not {voxel_size_angstrom}")
    return float(given[0]), float(given[1]), float(given[2])


def as_inside(mask: np.ndarray) -> np.ndarray:
    """Boolean mask of the voxels that count as inside: at least 0.5."""
    return mask if mask.dtype == bool else np.asarray(mask >= 0.5)


def bounding_box(inside: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The smallest box that holds all non-zero voxels; None without any."""
    found = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero(inside.any(axis=others))
        if hits.size == 0:
            return None
        found.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return found[0], found[1], found[2]


def grown_box(
    box: tuple[slice, slice, slice], distance_angstrom: float, voxel: Voxel, shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    """The box with a margin on all sides, cut off where the volume ends."""
    margins = [int(np.ceil(distance_angstrom / v)) for v in voxel_zyx(voxel)]
    grown = [
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margins, shape, strict=True)
    ]
    return grown[0], grown[1], grown[2]


def _slabs(shape: tuple[int, ...], halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """(planes with halo, planes proper, the proper ones within the first) of each slab along z."""
    step = max(1, SLAB_VOXELS // (shape[1] * shape[2]) - 2 * halo)
    for start in range(0, shape[0], step):
        stop = min(shape[0], start + step)
        low, high = max(0, start - halo), min(shape[0], stop + halo)
        yield slice(low, high), slice(start, stop), slice(start - low, stop - low)


def distances(target: np.ndarray, limit_angstrom: float, voxel: Voxel) -> Iterator[tuple[slice, np.ndarray]]:
    """Distance of every voxel to the nearest voxel of ``target``, slab by slab.

    Parameters
    ----------
    target : ndarray
        `(nz, ny, nx)` bool.
    limit_angstrom : float
        Distances up to this are exact; larger ones are only known to be larger.
    voxel : float or tuple of float

    Yields
    ------
    slice, ndarray
        Planes, and their distances in angstrom; infinite where nothing is near.
    """
    from scipy.ndimage import distance_transform_edt

    sampling = voxel_zyx(voxel)
    halo = int(np.ceil(limit_angstrom / sampling[0]))
    for wide, proper, inner in _slabs(target.shape, halo):
        part = target[wide]
        if part.any():
            yield proper, distance_transform_edt(~part, sampling=sampling)[inner]
        else:
            yield proper, np.full((proper.stop - proper.start, *target.shape[1:]), np.inf)


def dilate(mask: np.ndarray, distance_angstrom: float, voxel: Voxel) -> np.ndarray:
    """All voxels within a distance of the mask (bool)."""
    inside = as_inside(mask)
    box = bounding_box(inside)
    if distance_angstrom <= 0 or box is None:
        return inside
    result = np.zeros(inside.shape, bool)
    region = grown_box(box, distance_angstrom, voxel, inside.shape)
    view = result[region]
    limit = distance_angstrom * (1 + 1e-9)
    for planes, far in distances(inside[region], distance_angstrom, voxel):
        view[planes] = far <= limit
    return result


def erode(mask: np.ndarray, distance_angstrom: float, voxel: Voxel) -> np.ndarray:
    """The voxels farther than a distance from everything outside the mask (bool).

    The volume's own faces do not count as outside: a specimen that leaves the box is not
    eaten away there, and eroding what was dilated never loses any of the mask.
    """
    inside = as_inside(mask)
    box = bounding_box(inside)
    if distance_angstrom <= 0 or box is None:
        return inside
    result = np.zeros(inside.shape, bool)
    region = grown_box(box, min(voxel_zyx(voxel)), voxel, inside.shape)
    view = result[region]
    limit = distance_angstrom * (1 + 1e-9)
    for planes, far in distances(~inside[region], distance_angstrom, voxel):
        view[planes] = far > limit
    return np.asarray(result & inside)


def soft_edge(mask: np.ndarray, width_angstrom: float, voxel: Voxel) -> np.ndarray:
    """Surround a mask with a raised-cosine edge.

    Parameters
    ----------
    mask : ndarray
        `(nz, ny, nx)`; voxels of at least 0.5 are inside.
    width_angstrom : float
        Distance over which the edge falls from 1 to 0, outside the mask.
    voxel : float or tuple of float

    Returns
    -------
    ndarray
        float32: 1 inside, ``(1 + cos(pi d / width)) / 2`` at distance d, 0 beyond; never
        below the mask that was given.
    """
    result = np.array(mask, REAL)
    inside = as_inside(mask)
    box = bounding_box(inside)
    if width_angstrom <= 0 or box is None:
        return result
    region = grown_box(box, width_angstrom, voxel, inside.shape)
    view = result[region]
    for planes, far in distances(inside[region], width_angstrom, voxel):
        edge = 0.5 * (1 + np.cos(np.pi / width_angstrom * np.minimum(far, width_angstrom)))
        np.maximum(view[planes], edge.astype(REAL), out=view[planes])
    return result


def largest_components(mask: np.ndarray, count: int = 1) -> np.ndarray:
    """The ``count`` largest parts that hang together through faces (bool)."""
    from scipy.ndimage import label

    inside = as_inside(mask)
    box = bounding_box(inside)
    if box is None:
        return inside
    labels, number = label(inside[box])
    if number <= count:
        return inside
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    sizes[0] = 0
    keep = np.zeros(number + 1, bool)
    keep[np.argsort(sizes, kind="stable")[::-1][:count]] = True
    result = np.zeros(inside.shape, bool)
    result[box] = keep[labels]
    return result


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with everything that is enclosed by it (bool)."""
    from scipy.ndimage import label

    inside = as_inside(mask)
    box = bounding_box(inside)
    if box is None:
        return inside
    labels, number = label(~inside[box])
    outer = np.zeros(number + 1, bool)
    for axis in range(3):
        for end in (0, -1):
            outer[np.unique(labels.take(end, axis=axis))] = True
    outer[0] = False  # label 0 is the mask itself
    result = np.zeros(inside.shape, bool)
    result[box] = ~outer[labels]
    return result


def low_pass(volume: np.ndarray, resolution_angstrom: float, voxel: Voxel) -> np.ndarray:
    """Smooth with a Gaussian whose amplitude is one half at 1/resolution.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    resolution_angstrom : float
    voxel : float or tuple of float

    Returns
    -------
    ndarray
        float32; the values at the faces are taken to go on beyond them.
    """
    from scipy.ndimage import gaussian_filter1d

    result = np.array(volume, REAL)
    for axis, edge in enumerate(voxel_zyx(voxel)):
        sigma = LOWPASS_SIGMA * resolution_angstrom / edge
        gaussian_filter1d(result, sigma, axis=axis, mode="nearest", output=result)
    return result


def otsu_threshold(volume: np.ndarray, bins: int = OTSU_BINS) -> float:
    """The level that best parts the values in two classes.

    Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62: the largest variance between the
    classes, from a histogram of equal bins.

    Raises
    ------
    ConfigError
        All values are the same, or one is not finite.
    """
    low, high = float(volume.min()), float(volume.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ConfigError("threshold: the volume holds NaN or infinite values")
    if low == high:
        raise ConfigError(
            f"threshold: all values are {low:g}, so that Otsu finds no level. Use another volume"
        )
    edges = np.linspace(low, high, bins + 1)
    counts = np.zeros(bins, np.int64)
    for plane in volume:
        counts += np.histogram(plane, bins, range=(low, high))[0]
    centres = 0.5 * (edges[:-1] + edges[1:])
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    moment = (counts * centres).astype(ACCUMULATE)
    mean_below = np.cumsum(moment) / np.maximum(below, 1)
    mean_above = (np.cumsum(moment[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1].astype(float) * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[int(np.argmax(between))])


def volume_nm3(mask: np.ndarray, voxel_size_angstrom: Voxel) -> float:
    """Volume of a mask, cubic nanometres: the sum of its weights times a voxel's volume."""
    dz, dy, dx = voxel_zyx(voxel_size_angstrom)
    return float(np.sum(mask, dtype=ACCUMULATE)) * dz * dy * dx * 1e-3


def outline(mask: np.ndarray) -> np.ndarray:
    """The voxels inside that have a face in common with one outside (bool)."""
    from scipy.ndimage import binary_erosion

    inside = as_inside(mask)
    box = bounding_box(inside)
    result = np.zeros(inside.shape, bool)
    if box is not None:
        region = grown_box(box, 1.0, 1.0, inside.shape)
        part = inside[region]
        result[region] = part & ~binary_erosion(part, border_value=1)
    return result
