"""The ball that holds a specimen which stands free: voxels outside of it are known to be empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Smoothing before the specimen is told from the rest, voxels.
SMOOTH = 1.5
#: Brightness of a shell, in the sense of this quantile (of an elongated specimen few voxels of a shell are
#: its own), at which the specimen ends: part of the way from the outermost shells to the brightest one.
QUANTILE, EDGE = 0.9, 0.1
#: Part of the shells, the outermost, that is taken for empty.
EMPTY = 1 / 8
#: Smallest part of the specimen against the largest.
LEAST_PART = 0.1
#: Largest ball against half the shorter edge: a wider one says nothing.
WIDEST = 0.9


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball about (z, y, x), voxels from the volume's centre."""

    centre: tuple[float, float, float]
    radius: float

    def mask(self, shape: tuple[int, int, int]) -> np.ndarray:
        """`(nz, ny, nx)` float32, 1 within a ball of this radius about the *middle* of the volume."""
        z, y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
        distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        return np.asarray(distance <= self.radius, np.float32)


def ball_around(volume: np.ndarray) -> Ball | None:
    """The ball around what stands out in a volume.

    Its middle is that of the voxels above half of the brightness, its radius that of the last shell
    that is brighter than the outermost ones by a tenth of the brightest.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`, from a few sweeps.

    Returns
    -------
    Ball or None
        None: it nearly fills the field, or nothing stands out.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.asarray(volume, np.float32), SMOOTH)
    centre = _middle(smooth)
    if centre is None:
        return None
    z, y, x = (np.arange(n) - (n - 1) / 2 - c for n, c in zip(volume.shape, centre, strict=True))
    shell = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2).astype(int)
    most = min(volume.shape[1:]) // 2
    bright = np.array([np.quantile(smooth[shell == r], QUANTILE) for r in range(most)])
    empty, level = bright[-max(1, round(EMPTY * most)) :].mean(), float(np.quantile(smooth, EDGE))
    if empty - level > 0.5 * (bright.max() - level):
        return None  # as bright at the border as anywhere: a film
    radius = 1 + int(np.flatnonzero(bright - empty > EDGE * (bright.max() - empty)).max(initial=0))
    if radius + float(np.abs(centre[1:]).max()) > WIDEST * most:
        return None
    return Ball((float(centre[0]), float(centre[1]), float(centre[2])), float(radius))


def _middle(smooth: np.ndarray) -> np.ndarray | None:
    """`(3,)` middle of what is above half of the brightness, from the volume's centre; None: nothing is."""
    from scipy.ndimage import label

    level, bright = np.quantile(smooth, (0.5, 0.99))
    parts, count = label(smooth > 0.5 * (level + bright))
    if not count or bright <= level:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= LEAST_PART * sizes.max()))
    places = np.argwhere(kept) - (np.array(smooth.shape) - 1) / 2
    ends = np.quantile(places, (0.01, 0.99), axis=0)
    return np.asarray(ends.mean(0))
