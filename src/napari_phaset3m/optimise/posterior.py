"""What the Gaussian process believes about the score: slices through the best point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.optimise.axes import Axes
from napari_phaset3m.optimise.proposers import Bayesian, Grid, Point, Proposer

Place = Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Mean and standard deviation of the score along one or two parameters.

    Attributes
    ----------
    axes : tuple of int
    grid : ndarray
        `(n,)` fractions of the range, even steps of the value, the same on each axis.
    mean, sigma : ndarray
        `(n,)` or `(n, n)`.
    """

    axes: tuple[int, ...]
    grid: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray


def _believed(proposer: Proposer, points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation at points; None (another proposer, or too few trials)."""
    return proposer.predict(points) if isinstance(proposer, Bayesian | Grid) else None


def slice_through(
    proposer: Proposer, best: Point, axes: tuple[int, ...], n: int = 81, place: Place | None = None
) -> Slice | None:
    """The posterior along ``axes``, the other parameters at ``best``; None without a model.

    Parameters
    ----------
    axes : tuple of int
        One or two axes.
    n : int
    place : callable, optional
        Where fractions of a range lie in the cube (:meth:`.axes.Axes.place`); the same when omitted.
    """
    grid = np.linspace(0, 1, n)
    cube = [grid if place is None else place(axis, grid) for axis in axes]
    parts = np.meshgrid(*cube, indexing="ij")
    points = np.tile(np.asarray(best, np.float64), (parts[0].size, 1))
    for axis, part in zip(axes, parts, strict=True):
        points[:, axis] = part.ravel()
    believed = _believed(proposer, points)
    if believed is None:
        return None
    mean, sigma = believed
    return Slice(axes, grid, mean.reshape(parts[0].shape), sigma.reshape(parts[0].shape))


def likely_best(proposer: Proposer, tried: Sequence[Point]) -> tuple[Point, float] | None:
    """The point with the lowest posterior mean, which the noise of single trials moves less.

    Sought among 4000 random points (the same each time), the tried ones and their surroundings.

    Returns
    -------
    (point, standard deviation there), or None without a model.
    """
    if not tried:
        return None
    rng, known = np.random.default_rng(0), np.array(tried)
    near = rng.normal(0, 0.03, (50 * len(known), known.shape[1]))
    around = np.clip(np.repeat(known, 50, axis=0) + near, 0, 1)
    points = np.concatenate([known, around, rng.random((4000, known.shape[1]))])
    believed = _believed(proposer, points)
    if believed is None:
        return None
    mean, sigma = believed
    which = int(np.argmin(mean))
    return tuple(map(float, points[which])), float(sigma[which])


def score_noise(proposer: Proposer) -> float:
    """Standard deviation of the logarithm of a single score, as the process fitted it; else 0."""
    models = proposer.optimizer.models if isinstance(proposer, Bayesian) else []
    if not models:
        return 0.0
    # The process is fitted to scores scaled to unit variance.
    return float(np.sqrt(models[-1].noise_ or 0.0) * models[-1]._y_train_std)


def half_widths(proposer: Proposer, best: Point, axes: Axes) -> dict[str, float | None]:
    """How well each parameter is told: half of :func:`interval`, in its unit; None without a model."""
    found: dict[str, float | None] = {}
    for axis, (name, (low, high)) in enumerate(axes.limits.items()):
        part = slice_through(proposer, best, (axis,), place=axes.place)
        left, right = (0.0, 0.0) if part is None else interval(part)
        found[name] = None if part is None else 0.5 * (right - left) * (high - low)
    return found


def interval(part: Slice) -> tuple[float, float]:
    """Where the mean is within one standard deviation of its minimum, in 0..1 (first axis)."""
    mean = part.mean if part.mean.ndim == 1 else part.mean.min(1)
    sigma = part.sigma if part.sigma.ndim == 1 else part.sigma.min(1)
    lowest = int(np.argmin(mean))
    near = np.flatnonzero(mean <= mean[lowest] + sigma[lowest])
    # Only the stretch that holds the minimum.
    breaks = np.flatnonzero(np.diff(near) > 1)
    for stretch in np.split(near, breaks + 1):
        if lowest in stretch:
            return float(part.grid[stretch[0]]), float(part.grid[stretch[-1]])
    return float(part.grid[lowest]), float(part.grid[lowest])
