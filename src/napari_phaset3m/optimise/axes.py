"""Between the unit cube, in which points are proposed, and values of the parameters.

Equal steps in the cube are equally likely: steps of the value, of its logarithm, or of the
distribution that a prior (a Gaussian, cut off at the bounds) gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.checks import bounds
from napari_phaset3m.optimise.config import OptimiseConfig
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.proposers import Point

if TYPE_CHECKING:
    from napari_phaset3m.optimise.trials import Trial

#: Nearer to a bound than this, in units of the range, counts as at it.
_AT_BOUND = 0.01


class Axes:
    """From the unit cube to values, and back.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
    wanted : OptimiseConfig
    """

    def __init__(self, series: TiltFocalSeries, config: ReconstructionConfig, wanted: OptimiseConfig) -> None:
        self.names = [item.name for item in wanted.ranges]
        self.limits = {item.name: bounds(item, series, config) for item in wanted.ranges}
        self._log = [item.scale == "log" for item in wanted.ranges]
        #: (mean, standard deviation) of the prior, or None.
        self._prior = [
            None if item.sigma is None else (PARAMETERS[item.name].get(series, config), item.sigma)
            for item in wanted.ranges
        ]

    def values(self, point: Sequence[float]) -> dict[str, float]:
        """Values of a point of the unit cube."""
        return {name: float(self._value(i, point[i])) for i, name in enumerate(self.names)}

    def point(self, values: dict[str, float]) -> Point:
        """The point of the unit cube with these values."""
        return tuple(float(self._place(i, values[name])) for i, name in enumerate(self.names))

    def place(self, axis: int, fraction: np.ndarray) -> np.ndarray:
        """Where fractions of a parameter's range, even steps of its value, lie on its axis of the cube."""
        low, high = self.limits[self.names[axis]]
        return np.asarray([self._place(axis, low + x * (high - low)) for x in fraction], np.float64)

    def _value(self, axis: int, x: float) -> float:
        low, high = self.limits[self.names[axis]]
        prior = self._prior[axis]
        if prior is not None:
            first, last = self._cumulated(axis)
            value = prior[0] + prior[1] * ndtri(first + x * (last - first))
            return float(np.clip(value, low, high))
        return low * (high / low) ** x if self._log[axis] else low + x * (high - low)

    def _place(self, axis: int, value: float) -> float:
        low, high = self.limits[self.names[axis]]
        prior = self._prior[axis]
        if prior is not None:
            first, last = self._cumulated(axis)
            x = (ndtr((value - prior[0]) / prior[1]) - first) / (last - first)
        elif self._log[axis]:
            x = np.log(value / low) / np.log(high / low)
        else:
            x = (value - low) / (high - low)
        return float(min(1.0, max(0.0, x)))

    def _cumulated(self, axis: int) -> tuple[float, float]:
        """The prior's distribution function at both bounds."""
        prior = self._prior[axis]
        assert prior is not None
        low, high = ((bound - prior[0]) / prior[1] for bound in self.limits[self.names[axis]])
        return float(ndtr(low)), float(ndtr(high))


def bounded(found: Trial, axes: Axes) -> list[str]:
    """The parameters whose best value lies at a bound of its range, where it could go on."""
    names = []
    for name, (low, high) in axes.limits.items():
        ends = [low] * (low > PARAMETERS[name].least) + [high]
        if min(abs(found.values[name] - end) for end in ends) < _AT_BOUND * (high - low):
            names.append(name)
    return names


def at_bounds(found: Trial, axes: Axes) -> tuple[str, ...]:
    """A note for each parameter that is :func:`bounded`."""
    return tuple(
        f"{name}: the best value, {found.values[name]:g}, lies at a bound of its range; widen it"
        for name in bounded(found, axes)
    )
