"""Draws one plot of curves in the colours of napari's theme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_phaset3m.analyse.figures.pictures import shells
from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot, colour_of
from napari_phaset3m.gui.plots.axes import LogAxis, make_room
from napari_phaset3m.gui.theme import Colours
from napari_phaset3m.gui.widgets.binding import outlive, plain_numbers

#: Room for a number on the axis at the bottom, pixels.
_LABEL_PX = 28
#: How much a name in a plot hides of what it stands on, 0 to 255.
_VEIL = 190
_PENS = {
    "solid": Qt.PenStyle.SolidLine,
    "dash": Qt.PenStyle.DashLine,
    "dashdot": Qt.PenStyle.DashDotLine,
    "dot": Qt.PenStyle.DotLine,
}


def drawn(plot: CurvePlot, colours: Colours, parent: QWidget) -> Any:
    """The plot as a widget (pyqtgraph.PlotWidget) in these colours."""
    axes = {"bottom": _SparseAxis("bottom"), **({"left": LogAxis("left")} if plot.log_y else {})}
    widget = pg.PlotWidget(parent, background=colours.background, axisItems=axes, enableMenu=False)
    outlive(widget)
    widget.hideButtons()
    widget.setToolTip("Drag to pan, wheel to zoom, double click to see all")
    widget.setMinimumSize(120, 80)
    make_room(widget)
    if plot.log_y:
        widget.setLogMode(y=True)
    _axes(widget, plot, colours)
    for low, high in plot.regions:
        shade = (*_rgb(colours.faint), 60)
        widget.addItem(pg.LinearRegionItem((low, high), movable=False, brush=shade, pen=pg.mkPen(None)))
    if plot.band is not None:
        _band(widget, plot.band, colours)
    for curve in plot.curves:
        _curve(widget, curve, colours)
    _levels(widget, plot.levels, colours, log=plot.log_y)
    _marks(widget, plot, colours)
    _frame(widget, plot)
    widget.scene().sigMouseClicked.connect(lambda click: _reset(click, widget, plot))
    return widget


def _reset(click: Any, widget: Any, plot: CurvePlot) -> None:
    if click.double():
        widget.enableAutoRange()
        _frame(widget, plot)


def _frame(widget: Any, plot: CurvePlot) -> None:
    if plot.y_range is not None:
        widget.setYRange(*plot.y_range, padding=0)
    if plot.resolution_y and plot.y_range is not None:
        widget.getAxis("left").setTicks([[(0.0, "none"), *shells(plot.y_range[1], 4)], []])
    if plot.frequency:
        end = _end(plot)
        widget.setXRange(0, end, padding=0.01)
        widget.getAxis("top").setTicks([shells(end, 2), []])


def _axes(widget: Any, plot: CurvePlot, colours: Colours) -> None:
    shown = [("bottom", plot.xlabel), ("left", plot.ylabel)]
    shown += [("top", "")] if plot.frequency else []
    widget.showAxis("top", plot.frequency)
    for side, text in shown:
        axis = widget.getAxis(side)
        axis.setPen(pg.mkPen(colours.faint))
        axis.setTextPen(colours.text)
        plain_numbers(axis)
        axis.setStyle(hideOverlappingLabels=True, tickFont=_small(widget))
        if text:
            axis.setLabel(text, color=colours.text)
    widget.showGrid(x=False, y=True, alpha=0.12)


def _small(widget: Any) -> Any:
    font = widget.font()
    font.setPointSizeF(0.85 * font.pointSizeF())
    return font


def _curve(widget: Any, curve: Curve, colours: Colours) -> None:
    colour = colour_of(curve, colours)
    if curve.symbol:
        widget.plot(
            curve.x, curve.y, pen=None, symbol=curve.symbol, symbolSize=7, symbolBrush=colour,
            symbolPen=pg.mkPen(colours.background),
        )  # fmt: skip
        return
    pen = pg.mkPen(colour, width=curve.width, style=_PENS[curve.dash])
    widget.plot(curve.x, curve.y, pen=pen, connect="finite")


def _band(widget: Any, band: tuple[np.ndarray, np.ndarray], colours: Colours) -> None:
    x, bound = band
    edge = pg.mkPen(colours.faint, width=1)
    low, high = pg.PlotDataItem(x, -bound, pen=edge), pg.PlotDataItem(x, bound, pen=edge)
    widget.addItem(low)
    widget.addItem(high)
    widget.addItem(pg.FillBetweenItem(low, high, brush=(*_rgb(colours.faint), 70)))


def _levels(widget: Any, levels: tuple[tuple[float, str], ...], colours: Colours, *, log: bool) -> None:
    names: list[tuple[float, str]] = []
    for value, text in levels:
        at = np.log10(value) if log else value
        pen = pg.mkPen(colours.text, width=1, style=Qt.PenStyle.DashLine)
        widget.addItem(pg.InfiniteLine(at, angle=0, pen=pen))
        names.append((at, text))
    if any(text for _, text in names):
        # beside the plot, where no curve runs through them
        widget.showAxis("right")
        axis = widget.getAxis("right")
        axis.setPen(pg.mkPen(colours.faint))
        axis.setTextPen(colours.text)
        axis.setStyle(tickFont=_small(widget))
        axis.setTicks([names, []])


def _marks(widget: Any, plot: CurvePlot, colours: Colours) -> None:
    for number, (place, text) in enumerate(plot.marks):
        if plot.band is not None:
            pen = pg.mkPen(colours.curves[0], width=1, style=Qt.PenStyle.DashLine)
            widget.addItem(pg.InfiniteLine(place, angle=90, pen=pen))
            continue
        pen = pg.mkPen(colours.faint, width=1)
        if plot.frequency and place > _end(plot):
            continue  # its name would reach into what is shown, and be cut
        # neighbours are written at different heights, so that they can be read
        side = float(place > 0.6 * _end(plot))
        height = 0.94 - 0.11 * (number % 6)
        looks = {"position": height, "color": colours.text, "anchors": [(side, 0.5)] * 2}
        if len(plot.marks) == 1:  # else it would hide its neighbours' names
            looks["fill"] = (*_rgb(colours.background), _VEIL)
        # the label is a format string: {111} must not be filled in
        safe = text.replace("{", "{{").replace("}", "}}")
        widget.addItem(pg.InfiniteLine(place, angle=90, pen=pen, label=safe, labelOpts=looks))


class _SparseAxis(pg.AxisItem):
    """An axis at the bottom whose numbers keep apart however narrow the plot."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        least = (high - low) * _LABEL_PX / max(size, 1)
        power = 10.0 ** np.floor(np.log10(max(least, 1e-12)))
        return [(next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999), 0.0)]


def _end(plot: CurvePlot) -> float:
    """Where the curves end along x."""
    return max((float(curve.x[-1]) for curve in plot.curves if len(curve.x)), default=1.0)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
