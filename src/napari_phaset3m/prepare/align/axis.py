"""The angle of the tilt axis: where the score of :mod:`.consistency` falls through zero.

The score is noisy and short far from the solution, so that steps along it wander. It is taken at
many angles instead; the least of its integral is the likeliest angle, and a straight line through
the score about there gives the place of the zero and, from the scatter, its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.consistency import scoring_step
from napari_phaset3m.prepare.align.refine_coarse import Problem, given_axes
from napari_phaset3m.prepare.align.signal import TiltImages

_LEAST_FALL = 0.02


@dataclass(frozen=True, slots=True)
class Axis:
    """The angle of the axis in the given images and its standard deviation, degrees.

    ``beyond``: the score asks for a turn to the same side everywhere; the axis is not among the angles tried.
    """

    angle_deg: float
    error_deg: float
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """Angles to try: about a middle, to either side, in steps; and the band (part of the finest)."""

    middle_deg: float
    reach_deg: float
    step_deg: float
    band: float


def scan_axis(
    tilts: TiltImages, shifts_px: np.ndarray, free: bool, config: CoarseConfig, scan: Scan
) -> Iterator[float | Axis]:
    """Try angles; at each the shifts are refined by one step.

    Parameters
    ----------
    tilts : TiltImages
    shifts_px : ndarray
        `(n_tilt, 2)` (y, x), good to about a pixel.
    free : bool
        Whether the specimen stands in vacuum.
    config : CoarseConfig
    scan : Scan

    Yields
    ------
    float, at last Axis
        The done part.
    """
    count = max(2, int(np.ceil(scan.reach_deg / scan.step_deg)))
    angles = scan.middle_deg + np.linspace(-scan.reach_deg, scan.reach_deg, 2 * count + 1)
    problem = Problem(tilts, shifts_px, free, config, scan.band)
    score, formal = np.empty(angles.size), np.empty(angles.size)
    for i, angle in enumerate(np.radians(angles)):
        shifts = shifts_px[tilts.usable].copy()
        first = scoring_step(problem.moments(shifts, angle), problem.bases, problem.window, problem.k)
        shifts += given_axes(np.clip(first.shifts_px, -1, 1), float(angle))
        step = scoring_step(problem.moments(shifts, angle), problem.bases, problem.window, problem.k)
        score[i], formal[i] = np.degrees(step.turn_rad), np.degrees(step.turn_error_rad)
        yield (i + 1) / angles.size
    yield zero_of(angles, score, formal)


def zero_of(angles_deg: np.ndarray, score_deg: np.ndarray, formal_deg: np.ndarray) -> Axis:
    """Where the score falls through zero.

    Parameters
    ----------
    angles_deg, score_deg : ndarray
        `(n,)` rising angles, and the step that the score asks for at each.
    formal_deg : ndarray
        `(n,)` standard deviation of the step from the noise of the images.
    """
    step = np.diff(angles_deg)
    potential = np.concatenate(([0.0], -np.cumsum(0.5 * (score_deg[1:] + score_deg[:-1]) * step)))
    best = int(potential.argmin())
    # A line needs a few points on either side; at an end of the scan as many as there are.
    low = int(np.clip(best - 3, 0, max(0, angles_deg.size - 7)))
    near = slice(low, low + 7)
    a, s = angles_deg[near], score_deg[near]
    slope, level = np.polyfit(a, s, 1)
    scatter = float(np.sqrt(((s - slope * a - level) ** 2).sum() / max(1, a.size - 2)))
    fall = max(-float(slope), _LEAST_FALL)
    place = float(-level / slope) if slope < -_LEAST_FALL else float(angles_deg[best])
    place = float(np.clip(place, a[0], a[-1]))
    error = np.hypot(scatter / np.sqrt(a.size), float(formal_deg[near].mean())) / fall
    return Axis(place, float(error), bool((score_deg > 0).all() or (score_deg < 0).all()))


def of_bands(tried: Sequence[Axis]) -> Axis:
    """The mean of what two bands say; half of what they are apart counts as error.

    Where noise is strong the band biases the axis.
    """
    mean = float(np.mean([one.angle_deg for one in tried]))
    apart = abs(tried[0].angle_deg - tried[-1].angle_deg) / 2
    error = float(np.hypot(np.mean([one.error_deg for one in tried]), apart))
    return Axis(mean, error, all(one.beyond for one in tried))


def believed(axis: Axis, stated: Axis) -> Axis:
    """The axis found, drawn to the stated one as far as it is uncertain.

    Posterior of a Gaussian prior about the stated axis: where noise hides the axis, what was stated stays.
    """
    if np.isnan(axis.error_deg):
        return axis
    prior = stated.error_deg**2
    trust = 0.0 if np.isinf(axis.error_deg) else prior / (prior + axis.error_deg**2)
    angle = stated.angle_deg + trust * (axis.angle_deg - stated.angle_deg)
    return Axis(angle, float(np.sqrt(max(1 - trust, 0.0) * prior)), axis.beyond)


def as_stated(range_deg: float) -> Axis:
    """The stated axis, where the range to search is two standard deviations of it."""
    return Axis(0.0, range_deg / 2)
