"""Axes of plots: whole sweeps, and a logarithmic one that also labels less than a decade."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg

#: Least number of labels on a logarithmic axis, for each 100 px.
_LABELS_PER_100PX = 2.5


class SweepAxis(pg.AxisItem):
    """Counts: no ticks between them."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        """Leave out spacings that are no whole numbers."""
        found = super().tickSpacing(low, high, size)
        return [(gap, start) for gap, start in found if gap >= 1 and gap == round(gap)] or [(1.0, 0.0)]


class LogAxis(pg.AxisItem):
    """Labels less than a decade too; pyqtgraph's own has 1, 2, 3 … of each, to one digit."""

    def logTickValues(
        self, low: float, high: float, size: float, usual: list[tuple[float, list[float]]]
    ) -> list[tuple[float | None, list[float]]]:
        """Even steps of the value itself where less than a decade is shown."""
        if high - low >= 1:
            found: list[tuple[float | None, list[float]]] = super().logTickValues(low, high, size, usual)
            return found
        least, most = 10.0**low, 10.0**high
        step = _even_step((most - least) / max(2.0, size / 100 * _LABELS_PER_100PX))
        count = range(math.ceil(least / step), math.floor(most / step) + 1)
        return [(None, [float(np.log10(k * step)) for k in count if k > 0])]

    def logTickStrings(self, values: list[float], scale: float, spacing: float | None) -> list[str]:
        """As many digits as tell the labels apart."""
        if spacing is not None or (len(values) > 1 and max(values) - min(values) >= 1):
            found: list[str] = super().logTickStrings(values, scale, spacing)
            return found
        return [f"{10.0**value * scale:.4g}" for value in values]


def _even_step(wanted: float) -> float:
    """The next of 1, 2, 5 · 10ⁿ."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(part * power for part in (1, 2, 5, 10) if part * power >= wanted * 0.999)
