"""What surrounds a pixel: the ring around its 3 x 3 neighbourhood, gathered where it is needed."""

from __future__ import annotations

import numpy as np

_REACH = 3


def offsets(outer: int) -> np.ndarray:
    """`(n, 2)` places (y, x) of the square ring from 2 to ``outer`` pixels away."""
    grid = np.arange(-outer, outer + 1)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    keep = np.maximum(np.abs(y), np.abs(x)) >= 2
    return np.stack((y[keep], x[keep]), axis=1)


_NEAR, _WIDE = offsets(2), offsets(_REACH)


def around(image: np.ndarray, places: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`(len(places), len(where))` values around places `(n, 2)`; mirrored at the border."""
    return np.asarray(image[_indices(image, places, where)])


def _indices(image: np.ndarray, places: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ny, nx = image.shape
    return _mirrored(places[:, :1] + where[:, 0], ny), _mirrored(places[:, 1:] + where[:, 1], nx)


def _mirrored(index: np.ndarray, n: int) -> np.ndarray:
    index = np.abs(index)
    return np.asarray(np.minimum(index, np.maximum(2 * (n - 1) - index, 0)))


def ring_statistics(image: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level, largest distances from it, and scatter around each place.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    places : ndarray
        `(n, 2)` indices.

    Returns
    -------
    level : ndarray
        `(n,)`: mean of the middle half of the 16 pixels at distance 2.
    extremes : ndarray
        `(n, 2)`: by how much the second largest of these 16 is above the median of the 40 pixels at
        distance 2 and 3, and the second smallest below it. (The second: else two hot pixels two apart
        would hide each other. Whatever is as wide as optics allow fills more than one pixel of the ring.)
    scatter : ndarray
        `(n,)`: robust standard deviation of the 40 pixels at distance 2 and 3.
    """
    y, x = _indices(image, places, _NEAR)
    values = np.asarray(image[y, x])
    level = np.sort(values, axis=1)[:, 4:12].mean(axis=1, dtype=np.float64)
    # One pixel from the border the mirrored ring holds the pixel itself, which is not what surrounds it.
    own = (y == places[:, :1]) & (x == places[:, 1:])
    near = np.sort(np.where(own, level[:, None], values), axis=1)
    wide = around(image, places, _WIDE)
    # The flanks of an atom fill the near ring evenly: how wide it is shows against what is farther out.
    base = np.median(wide, axis=1)
    extremes = np.stack((near[:, -2] - base, base - near[:, 1]), axis=1)
    scatter = 1.4826 * np.median(np.abs(wide - level[:, None]), axis=1)
    return level, extremes, scatter


def ring_mean(image: np.ndarray) -> np.ndarray:
    """`(ny, nx)` float32: plain mean of the 16 pixels at distance 2, everywhere."""
    from scipy.ndimage import uniform_filter

    big = uniform_filter(image, 5, mode="mirror")
    big *= 25 / 16
    big -= uniform_filter(image, 3, mode="mirror") * (9 / 16)
    return np.asarray(big)


def local_median(image: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Median of the good pixels in the 5 x 5 (if none: 11 x 11) neighbourhood of each bad one.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    bad : ndarray
        `(ny, nx)` bool.

    Returns
    -------
    ndarray
        One value for each True of ``bad``, in the order of ``np.nonzero``.
    """
    places = np.argwhere(bad)
    values = np.full(len(places), np.nan)
    left = np.arange(len(places))
    for reach in (2, 5):
        grid = np.arange(-reach, reach + 1)
        where = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
        found = np.where(around(bad, places[left], where), np.nan, around(image, places[left], where))
        some = np.isfinite(found).any(axis=1)
        values[left[some]] = np.nanmedian(found[some], axis=1)
        left = left[~some]
    if len(left):
        good = image[~bad]
        values[left] = np.median(good) if good.size else 0.0
    return values
