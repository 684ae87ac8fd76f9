"""Axes of plots: whole sweeps, and a logarithmic one that labels what has room, also within a decade."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg

#: Least number of labels on a logarithmic axis, for each 100 px.
_LABELS_PER_100PX = 2.5
#: Least room between labels of decades, px, and of a decade that is divided at 2 and 5.
_LABEL_PX, _DIVIDED_PX = 18, 60
#: pyqtgraph puts the name of the axis at the bottom this far out of the plot, px.
_BELOW_PX = 5


def make_room(widget: pg.PlotWidget) -> None:
    """Leave room below a plot for all of the name of its axis; pyqtgraph cuts letters that reach low."""
    widget.getPlotItem().setContentsMargins(0, 0, 0, _BELOW_PX)


class SweepAxis(pg.AxisItem):
    """Counts: no ticks between them."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        """Leave out spacings that are no whole numbers."""
        found = super().tickSpacing(low, high, size)
        return [(gap, start) for gap, start in found if gap >= 1 and gap == round(gap)] or [(1.0, 0.0)]


class LogAxis(pg.AxisItem):
    """Labels less than a decade too; pyqtgraph's own has 1, 2, 3 … of each, one over the other."""

    def logTickValues(
        self, low: float, high: float, size: float, usual: list[tuple[float, list[float]]]
    ) -> list[tuple[float | None, list[float]]]:
        """Decades, with 2 and 5 where they have room; less than a decade in even steps of the value."""
        if high - low >= 1:
            return [(None, _of_decades(low, high, size))]
        least, most = 10.0**low, 10.0**high
        step = _even_step((most - least) / max(2.0, size / 100 * _LABELS_PER_100PX))
        count = range(math.ceil(least / step), math.floor(most / step) + 1)
        return [(None, [float(np.log10(k * step)) for k in count if k > 0])]

    def logTickStrings(self, values: list[float], scale: float, spacing: float | None) -> list[str]:
        """As many digits as tell the labels apart."""
        return [f"{10.0**value * scale:.4g}" for value in values]


def _of_decades(low: float, high: float, size: float) -> list[float]:
    room = size / (high - low)
    parts = (1, 2, 5) if room >= _DIVIDED_PX else (1,)
    every = max(1, math.ceil(_LABEL_PX / max(room, 1e-3)))
    decades = [n for n in range(math.floor(low), math.ceil(high) + 1) if n % every == 0]
    found = [n + math.log10(part) for n in decades for part in parts]
    return [value for value in found if low - 1e-9 <= value <= high + 1e-9]


def _even_step(wanted: float) -> float:
    """The next of 1, 2, 5 · 10ⁿ."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(part * power for part in (1, 2, 5, 10) if part * power >= wanted * 0.999)
