"""The ball that holds a specimen which stands free: voxels outside of it are known to be empty.

Beyond it a volume holds noise and nothing else. Emptied there, a volume predicts the images better, and
what it leaves unexplained tells more of what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.precision import REAL

#: Smoothing before the specimen is told from the rest, voxels.
SMOOTH = 1.5
#: Brightness of a shell, in the sense of this quantile (of an elongated specimen few voxels of a shell are
#: its own), at which the specimen ends: part of the way from the outermost shells to the brightest one.
QUANTILE, EDGE = 0.9, 0.1
#: Part of the shells, the outermost, that should be empty, and the most that they may hold on average, of the
#: brightest shell: more is matter around it, not noise (which positivity leaves 0.12 of at 21.5 e/Å²).
EMPTY, MATTER = 1 / 8, 0.25
#: Smallest part of the specimen against the largest.
LEAST_PART = 0.1
#: Largest ball against half the shorter edge: a wider one says nothing.
WIDEST = 0.9


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball in a volume.

    Attributes
    ----------
    centre : tuple of float
        (z, y, x), voxels from the volume's centre.
    radius, voxel_angstrom : float
        Voxels; and their edge.
    """

    centre: tuple[float, float, float]
    radius: float
    voxel_angstrom: float

    @property
    def radius_angstrom(self) -> float:
        """Its radius in angstrom."""
        return self.radius * self.voxel_angstrom

    def mask(self, shape: tuple[int, ...], *, centred: bool = False) -> np.ndarray:
        """`(nz, ny, nx)` float32: 1 inside, 0 outside; ``centred``: about the volume's centre instead."""
        middle = (0.0, 0.0, 0.0) if centred else self.centre
        return np.asarray(_distance(shape, middle) <= self.radius, REAL)


def ball_around(volume: np.ndarray, voxel_angstrom: float) -> Ball | None:
    """The ball around what stands out in a volume.

    Its middle is that of the voxels above half of the brightness, its radius that of the last shell
    that is brighter than the outermost ones by a tenth of the brightest.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`, matter positive, from a few sweeps.
    voxel_angstrom : float

    Returns
    -------
    Ball or None
        None where the specimen nearly fills the field, has matter around it, leaves the field of some tilt,
        or there is none.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.asarray(volume, np.float32), SMOOTH)
    centre = _middle(smooth)
    if centre is None:
        return None
    shell, most = _distance(volume.shape, centre).astype(int), min(volume.shape) // 2
    parts = [smooth[shell == r] for r in range(most)]
    bright = np.array([np.quantile(part, QUANTILE) for part in parts])
    outer = max(1, round(EMPTY * most))
    if np.concatenate(parts[-outer:]).mean() > MATTER * bright.max():
        return None
    empty = bright[-outer:].mean()
    radius = 1 + int(np.flatnonzero(bright - empty > EDGE * (bright.max() - empty)).max(initial=0))
    # Every tilt must see the whole of it.
    if radius > WIDEST * most or radius + float(np.linalg.norm(centre)) > most:
        return None
    return Ball(centre, float(radius), voxel_angstrom)


def _distance(shape: tuple[int, ...], middle: tuple[float, float, float]) -> np.ndarray:
    z, y, x = (np.arange(n) - (n - 1) / 2 - c for n, c in zip(shape, middle, strict=True))
    return np.asarray(np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2))


def _middle(smooth: np.ndarray) -> tuple[float, float, float] | None:
    """(z, y, x) of the middle of what is above half of the brightness, from the volume's centre."""
    from scipy.ndimage import label

    level, bright = np.quantile(smooth, (0.5, 0.99))
    parts, count = label(smooth > 0.5 * (level + bright))
    if not count or bright <= level:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= LEAST_PART * sizes.max()))
    places = np.argwhere(kept) - (np.array(smooth.shape) - 1) / 2
    z, y, x = map(float, np.quantile(places, (0.01, 0.99), axis=0).mean(0))
    return z, y, x
