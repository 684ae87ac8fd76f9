"""Height of expected peaks over their surroundings, and agreement of two transforms at them.

The SNR, and where false alarms are looked for, are defined as they were when reconstructions of known
crystals were scored while this program was planned, so that the numbers can be compared. To count as found
a peak must also be higher than everything around it (:attr:`PeakHeights.found`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.peaks import (
    BACKGROUND_RADII,
    LATTICE_CLEARANCE,
    LEAST_BACKGROUND,
    PEAK_RADIUS,
    SNR_THRESHOLD,
    WindowedTransform,
)
from napari_phaset3m.errors import ConfigError

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

#: Agreement from which the phases of two halves count as equal (45 degrees for single waves).
PHASE_THRESHOLD = 0.7
#: Off-lattice points keep this distance from every lattice point, in units of 1/width.
NULL_CLEARANCE = 2.925

_FALLOFF_SAMPLE = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class PeakHeights:
    """How far transforms stand out at given vectors.

    Parameters
    ----------
    snr : ndarray
        `(n,)` float64: (largest within ``PEAK_RADIUS`` - median) / (1.4826 MAD), the two over the shell
        ``BACKGROUND_RADII`` less ``LATTICE_CLEARANCE`` around lattice points; NaN where too little is left.
    background_above : ndarray
        `(n,)` part of that background that is as high as the peak, once the mean fall-off of the background
        with frequency is made up for.
    """

    snr: np.ndarray
    background_above: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """`(n,)` bool: SNR of at least ``SNR_THRESHOLD``, and higher than all of the background around.

        The first alone is safe where the background is a Gaussian field, whose amplitude is Rayleigh
        distributed. A reconstruction's is not: beyond the Crowther frequency (1 / (width x tilt step)) there
        are planes with data and nothing between them, and points on a plane tower over the median of all.
        Whatever the distribution, a point of the background is the highest of its surroundings only as often
        as it is one of many.
        """
        return np.asarray((self.snr >= SNR_THRESHOLD) & (self.background_above == 0))


def peak_heights(
    transform: WindowedTransform, q: np.ndarray, lattice_points: np.ndarray, *, skip_crowded: bool = False
) -> PeakHeights:
    """Largest amplitude near each vector against the background around it.

    Parameters
    ----------
    transform : WindowedTransform
    q : ndarray
        `(n, 3)` (x, y, z), 1/angstrom.
    lattice_points : ndarray
        `(m, 3)` all lattice points, both of each Friedel pair: their surroundings are left out
        of the background.
    skip_crowded : bool
        Give NaN, not an error, where too little background is left.

    Raises
    ------
    ConfigError
        The particle is so small that its peaks leave no background between them.
    """
    from scipy.spatial import cKDTree

    width = transform.width_angstrom
    ball, tree = transform.ball(BACKGROUND_RADII[1] + 0.3), cKDTree(lattice_points)
    falloff = _background_falloff(transform, tree)
    snr, above = np.full((2, len(q)), np.nan)
    for i, one in enumerate(q):
        index = transform.index(one) + ball
        index = index[transform.inside(index)]
        k = index * transform.step
        radius = np.linalg.norm(k - one, axis=1) * width
        peak = radius <= PEAK_RADIUS
        shell = (radius >= BACKGROUND_RADII[0]) & (radius <= BACKGROUND_RADII[1])
        shell[shell] = np.isinf(tree.query(k[shell], distance_upper_bound=LATTICE_CLEARANCE / width)[0])
        if shell.sum() < LEAST_BACKGROUND or not peak.any():
            if skip_crowded:
                continue
            raise ConfigError(
                f"mask: the particle is too small for its cell: seen through {width:.0f} Å, peaks "
                "leave no background between them. Give a larger mask or fewer families"
            )
        background = np.abs(transform.values(index[shell])).astype(float)
        top = float(np.abs(transform.values(index[peak])).max())
        middle = np.median(background)
        spread = 1.4826 * np.median(np.abs(background - middle))
        snr[i] = (top - middle) / max(spread, 1e-30)
        level = falloff(np.linalg.norm(k[shell], axis=1)) / falloff(np.linalg.norm(one))
        above[i] = np.mean(background >= top * level)
    return PeakHeights(snr, above)


def _background_falloff(transform: WindowedTransform, tree: cKDTree) -> Callable[[Any], np.ndarray]:
    """Median amplitude off the lattice against frequency: a function of 1/angstrom."""
    rng, width = np.random.default_rng(1), transform.width_angstrom
    direction = rng.normal(size=(_FALLOFF_SAMPLE, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    k = direction * rng.uniform(0, transform.nyquist, (_FALLOFF_SAMPLE, 1))
    k = k[np.isinf(tree.query(k, distance_upper_bound=LATTICE_CLEARANCE / width)[0])]
    amplitude = np.abs(transform.values(transform.index(k)))
    shell = (np.linalg.norm(k, axis=1) * width).astype(int)
    at, level = [0.0], [1.0]
    for i in np.unique(shell):
        inside = amplitude[shell == i]
        if len(inside) >= LEAST_BACKGROUND:
            at.append((i + 0.5) / width)
            level.append(max(float(np.median(inside)), 1e-30))
    if len(at) > 1:
        del at[0], level[0]
    return lambda frequency: np.exp(np.interp(frequency, at, np.log(level)))


def off_lattice_points(
    transform: WindowedTransform,
    q: np.ndarray,
    family: np.ndarray,
    lattice_points: np.ndarray,
    per_family: int,
) -> np.ndarray:
    """Random points of the same frequencies as the peaks, but away from the lattice.

    Parameters
    ----------
    transform : WindowedTransform
    q : ndarray
        `(n, 3)` peaks.
    family : ndarray
        `(n, 3)` family of each.
    lattice_points : ndarray
        `(m, 3)` all lattice points.
    per_family : int

    Returns
    -------
    ndarray
        `(k, 3)`; fewer where the lattice is so dense that there is no room. The same every time.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(0)
    tree = cKDTree(lattice_points)
    found = [np.empty((0, 3))]
    for name in np.unique(family, axis=0):
        length = np.linalg.norm(q[(family == name).all(axis=1)][0])
        direction = rng.normal(size=(4000, 3))
        point = length * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        away = tree.query(point)[0] * transform.width_angstrom >= NULL_CLEARANCE
        found.append(point[away][:per_family])
    return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class PeakPairs:
    """Two transforms side by side at given vectors, each within ``PEAK_RADIUS``.

    Parameters
    ----------
    agreement : ndarray
        `(n,)` float64 in [-1, 1], normalised complex correlation: the cosine of the phase difference where
        the peaks have the same shape; 0 on average for unrelated phases.
    phase_error_deg : ndarray
        `(n,)` float64, 0 to 180: size of the phase of that correlation; 90 on average for unrelated phases.
    power : ndarray
        `(2, n)` float64 of each.
    """

    agreement: np.ndarray
    phase_error_deg: np.ndarray
    power: np.ndarray


def peak_pairs(one: WindowedTransform, other: WindowedTransform, q: np.ndarray) -> PeakPairs:
    """Compare phases and powers of two transforms at each vector `(n, 3)` (x, y, z), 1/angstrom."""
    ball = one.ball(PEAK_RADIUS + 0.5)
    index = one.index(q)[:, None] + ball
    distance = np.linalg.norm(index * one.step - q[:, None], axis=2) * one.width_angstrom
    near = distance <= PEAK_RADIUS
    a, b = (np.where(near, t.phased(index), 0).astype(complex) for t in (one, other))
    power = np.stack([(np.abs(v) ** 2).sum(axis=1) for v in (a, b)])
    product, both = (a * np.conj(b)).sum(axis=1), power.prod(axis=0)
    agreement = np.divide(product.real, np.sqrt(both), out=np.zeros(len(q)), where=both > 0)
    return PeakPairs(agreement, np.abs(np.degrees(np.angle(product))), power)


def relative_shift(one: WindowedTransform, other: WindowedTransform, max_frequency: float) -> np.ndarray:
    """Move that lays ``other`` on ``one``: `(3,)` x, y, z in angstrom.

    The top of the cross-correlation, fitted between its points; at most a quarter of the
    window, so that a whole lattice period is not taken for no shift at all.
    """
    from scipy import fft

    n = one.half.shape[0]
    cross = one.half * np.conj(other.half)
    correlation = fft.irfftn(cross, (n, n, n), workers=1)
    voxel = 1 / (n * one.step)
    reach = max(1, int(one.width_angstrom / 4 / voxel))
    axis = np.arange(-reach, reach + 1)
    near = correlation[np.ix_(axis, axis, axis)]
    top = np.array(np.unravel_index(int(near.argmax()), near.shape)) - reach
    offset = np.zeros(3)
    for a in range(3):
        step = np.eye(3, dtype=int)[a]
        low, middle, high = (float(correlation[tuple(top + s * step)]) for s in (-1, 0, 1))
        bend = low - 2 * middle + high
        offset[a] = np.clip(0.5 * (low - high) / bend, -0.5, 0.5) if bend < 0 else 0.0
    return np.asarray((top + offset)[::-1] * voxel)


def shifted(transform: WindowedTransform, by_angstrom: np.ndarray) -> WindowedTransform:
    """Move the content of a transform by (x, y, z) angstrom."""
    # the first voxel then lies further along: phases refer to the rotation centre
    return replace(transform, origin_angstrom=transform.origin_angstrom + np.asarray(by_angstrom))
