"""The error curve of the runs."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_phaset3m.gui.theme import on_theme_change, theme_colours
from napari_phaset3m.gui.widgets.binding import follow, outlive, plain_numbers
from napari_phaset3m.session import RunRecord, Session

#: Runs before the newest one that stay visible, faintly.
EARLIER_RUNS = 4
#: What the two curves of a run are called in the legend.
CURVE_NAMES = ("images used", "held out")


class ErrorPlot(QWidget):
    """Data misfit and held-out misfit against sweeps, on a logarithmic scale.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        import pyqtgraph as pg

        from napari_phaset3m.gui.plots.axes import LogAxis, SweepAxis, make_room

        self._pg, self._session = pg, session
        self._curves: dict[str, tuple[Any, Any]] = {}
        axes = {"bottom": SweepAxis("bottom"), "left": LogAxis("left")}
        self.plot = pg.PlotWidget(self, axisItems=axes, enableMenu=False)
        outlive(self.plot)
        make_room(self.plot)
        self.plot.setLogMode(y=True)
        self.plot.hideButtons()
        self.plot.setToolTip("Relative misfit of the images (dimensionless). Drag to pan, wheel to zoom.")
        self.legend = self.plot.addLegend(offset=(-12, 8))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        follow(session.run_added, self._on_run)
        follow(session.run_changed, self._on_run)
        follow(session.run_removed, self._rebuild)
        on_theme_change(self._rebuild)
        self._rebuild()

    def _rebuild(self) -> None:
        colours = theme_colours()
        self.plot.clear()
        self.legend.clear()
        self._curves.clear()
        self.plot.setBackground(colours.background)
        self.legend.setLabelTextColor(colours.text)
        for side, text in (("bottom", "sweep"), ("left", "relative error")):
            axis = self.plot.getAxis(side)
            axis.setPen(self._pg.mkPen(colours.faint))
            axis.setTextPen(colours.text)
            plain_numbers(axis)
            axis.setLabel(text, color=colours.text)
        self.plot.showGrid(x=False, y=True, alpha=0.15)
        for record in self._session.runs[-1 - EARLIER_RUNS :]:
            self._add(record, newest=record is self._session.runs[-1])

    def _add(self, record: RunRecord, *, newest: bool) -> None:
        colours = theme_colours()
        data, held = (self._pg.mkColor(c) for c in colours.curves[:2])
        if not newest:
            data = held = self._pg.mkColor(colours.faint)
        width = 2 if newest else 1
        dashed = self._pg.mkPen(held, width=width, style=Qt.PenStyle.DashLine)
        curves = (self.plot.plot(pen=self._pg.mkPen(data, width=width)), self.plot.plot(pen=dashed))
        self._curves[record.run_id] = curves
        self._fill(record)

    def _on_run(self, record: RunRecord) -> None:
        if record.run_id not in self._curves:
            self._rebuild()
        else:
            self._fill(record)

    def _fill(self, record: RunRecord) -> None:
        used, held = error_series(record)
        for curve, (x, y) in zip(self._curves[record.run_id], (used, held), strict=True):
            if len(x) != (0 if curve.xData is None else len(curve.xData)):
                curve.setData(x, y, symbol="o" if len(x) == 1 else None)
        if record is self._session.runs[-1]:
            self._name_curves(record)

    def _name_curves(self, record: RunRecord) -> None:
        """Keep what has points in the legend: without held-out images there is nothing to explain."""
        for curve, name in zip(self._curves[record.run_id], CURVE_NAMES, strict=True):
            listed = self.legend.getLabel(curve) is not None
            has_points = curve.xData is not None and len(curve.xData) > 0
            if has_points and not listed:
                self.legend.addItem(curve, name)
            elif listed and not has_points:
                self.legend.removeItem(curve)


def error_series(record: RunRecord) -> tuple[tuple[list[int], list[float]], tuple[list[int], list[float]]]:
    """``(sweeps from 1, errors)`` of the images used and of those held out; positive values only."""
    used: tuple[list[int], list[float]] = ([], [])
    held: tuple[list[int], list[float]] = ([], [])
    for done in record.sweeps:
        for (x, y), value in ((used, done.error), (held, done.held_out_error)):
            if value is not None and math.isfinite(value) and value > 0:
                x.append(done.sweep + 1)
                y.append(value)
    return used, held
