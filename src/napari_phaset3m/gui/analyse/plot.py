"""Draws curves in the colours of napari's theme."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_phaset3m.analyse.figures.pictures import shells
from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot
from napari_phaset3m.gui.theme import Colours, on_theme_change, theme_colours
from napari_phaset3m.gui.widgets.binding import outlive, plain_numbers

#: Room for a number on the axis at the bottom, pixels.
_LABEL_PX = 28
_PENS = {
    "solid": Qt.PenStyle.SolidLine,
    "dash": Qt.PenStyle.DashLine,
    "dashdot": Qt.PenStyle.DashDotLine,
    "dot": Qt.PenStyle.DotLine,
}
_DASH_TEXT = {"solid": "──", "dash": "╌╌", "dashdot": "─·─", "dot": "┈┈"}
_SYMBOL_TEXT = {"o": "●", "s": "■", "t": "▼", "d": "◆"}


class CurveView(QWidget):
    """Plots beside each other."""

    def __init__(self) -> None:
        super().__init__()
        import pyqtgraph as pg

        self._pg = pg
        self._plots: list[CurvePlot] = []
        self.widgets: list[Any] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(6)
        on_theme_change(self._draw)

    def show_plots(self, plots: list[CurvePlot]) -> None:
        """Draw these in place of what was there."""
        self._plots = plots
        self._draw()

    def _draw(self) -> None:
        gone, self.widgets = self.widgets, []
        for widget in gone:
            self._row.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self.widgets = [self._made(plot) for plot in self._plots]
        for widget, plot in zip(self.widgets, self._plots, strict=True):
            # many curves need a long legend and room to be told apart
            self._row.addWidget(widget, 3 if len(plot.curves) > 3 else 2)

    def _made(self, plot: CurvePlot) -> Any:
        from napari_phaset3m.gui.plots.axes import LogAxis

        pg, colours = self._pg, theme_colours()
        axes = {"bottom": _sparse_axis(), **({"left": LogAxis("left")} if plot.log_y else {})}
        widget = pg.PlotWidget(self, background=colours.background, axisItems=axes, enableMenu=False)
        outlive(widget)
        widget.hideButtons()
        widget.setToolTip("Drag to pan, wheel to zoom, double click to see all")
        widget.setMinimumSize(120, 80)
        if plot.log_y:
            widget.setLogMode(y=True)
        self._axes(widget, plot, colours)
        for low, high in plot.regions:
            shade = (*_rgb(colours.faint), 60)
            widget.addItem(pg.LinearRegionItem((low, high), movable=False, brush=shade, pen=pg.mkPen(None)))
        if plot.band is not None:
            self._band(widget, plot.band, colours)
        for curve in plot.curves:
            self._curve(widget, curve, colours)
        self._lines(widget, plot, colours)
        self._frame(widget, plot)
        widget.scene().sigMouseClicked.connect(lambda click: self._reset(click, widget, plot))
        return self._with_legend(widget, plot, colours)

    def _with_legend(self, widget: Any, plot: CurvePlot, colours: Colours) -> QWidget:
        """The names of the curves above the plot, where they hide nothing."""
        if len(plot.curves) < 2 and plot.band is None:
            return widget
        text = QLabel(legend_html(plot, colours))
        text.setTextFormat(Qt.TextFormat.RichText)
        text.setWordWrap(True)
        both = QWidget()
        column = QVBoxLayout(both)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(text)
        column.addWidget(widget, 1)
        return both

    def _reset(self, click: Any, widget: Any, plot: CurvePlot) -> None:
        if click.double():
            widget.enableAutoRange()
            self._frame(widget, plot)

    def _frame(self, widget: Any, plot: CurvePlot) -> None:
        if plot.y_range is not None:
            widget.setYRange(*plot.y_range, padding=0)
        if plot.resolution_y and plot.y_range is not None:
            widget.getAxis("left").setTicks([[(0.0, "none"), *shells(plot.y_range[1], 4)], []])
        if plot.frequency:
            end = _end(plot)
            widget.setXRange(0, end, padding=0.01)
            widget.getAxis("top").setTicks([shells(end, 2), []])

    def _axes(self, widget: Any, plot: CurvePlot, colours: Colours) -> None:
        shown = [("bottom", plot.xlabel), ("left", plot.ylabel)]
        shown += [("top", "")] if plot.frequency else []
        widget.showAxis("top", plot.frequency)
        for side, text in shown:
            axis = widget.getAxis(side)
            axis.setPen(self._pg.mkPen(colours.faint))
            axis.setTextPen(colours.text)
            plain_numbers(axis)
            axis.setStyle(hideOverlappingLabels=True, tickFont=self._small())
            if text:
                axis.setLabel(text, color=colours.text)
        widget.showGrid(x=False, y=True, alpha=0.12)

    def _small(self) -> Any:
        font = self.font()
        font.setPointSizeF(0.85 * font.pointSizeF())
        return font

    def _curve(self, widget: Any, curve: Curve, colours: Colours) -> None:
        pg = self._pg
        colour = _colour(curve, colours)
        if curve.symbol:
            widget.plot(
                curve.x, curve.y, pen=None, symbol=curve.symbol, symbolSize=7, symbolBrush=colour,
                symbolPen=pg.mkPen(colours.background),
            )  # fmt: skip
            return
        pen = pg.mkPen(colour, width=curve.width, style=_PENS[curve.dash])
        widget.plot(curve.x, curve.y, pen=pen, connect="finite")

    def _band(self, widget: Any, band: tuple[np.ndarray, np.ndarray], colours: Colours) -> None:
        pg, (x, bound) = self._pg, band
        edge = pg.mkPen(colours.faint, width=1)
        low, high = pg.PlotDataItem(x, -bound, pen=edge), pg.PlotDataItem(x, bound, pen=edge)
        widget.addItem(low)
        widget.addItem(high)
        widget.addItem(pg.FillBetweenItem(low, high, brush=(*_rgb(colours.faint), 70)))

    def _lines(self, widget: Any, plot: CurvePlot, colours: Colours) -> None:
        pg = self._pg
        names: list[tuple[float, str]] = []
        for value, text in plot.levels:
            at = np.log10(value) if plot.log_y else value
            pen = pg.mkPen(colours.text, width=1, style=Qt.PenStyle.DashLine)
            widget.addItem(pg.InfiniteLine(at, angle=0, pen=pen))
            names.append((at, text))
        if any(text for _, text in names):
            # beside the plot, where no curve runs through them
            widget.showAxis("right")
            axis = widget.getAxis("right")
            axis.setPen(pg.mkPen(colours.faint))
            axis.setTextPen(colours.text)
            axis.setStyle(tickFont=self._small())
            axis.setTicks([names, []])
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
            looks = {"position": height, "color": colours.text,
                     "anchors": [(side, 0.5)] * 2}  # fmt: skip
            # the label is a format string: {111} must not be filled in
            safe = text.replace("{", "{{").replace("}", "}}")
            widget.addItem(pg.InfiniteLine(place, angle=90, pen=pen, label=safe, labelOpts=looks))


def legend_html(plot: CurvePlot, colours: Colours) -> str:
    """What each curve is, with a piece of its line or its symbol; names are escaped."""
    parts = []
    for curve in plot.curves:
        sample = _SYMBOL_TEXT[curve.symbol] if curve.symbol else _DASH_TEXT[curve.dash]
        parts.append(
            f'<span style="color:{_colour(curve, colours)}"><b>{sample}</b></span> {_whole(curve.name)}'
        )
    if plot.band is not None:
        parts.append(f'<span style="color:{colours.faint}">■</span> {_whole(plot.band_name)}')
        parts += [
            f'<span style="color:{colours.curves[0]}"><b>╎</b></span> {escape(text)}'
            for _, text in plot.marks
        ]
    joined = " &nbsp; ".join(part.replace(" ", "&nbsp;").replace("<span&nbsp;", "<span ") for part in parts)
    return f'<span style="font-size:8pt">{joined}</span>'


def _whole(name: str) -> str:
    """A name for the legend, escaped, that is not parted at its hyphens."""
    return escape(name).replace("-", "\u2011")


def _sparse_axis() -> Any:
    """An axis at the bottom whose numbers keep apart however narrow the plot."""
    import pyqtgraph as pg

    class Sparse(pg.AxisItem):
        def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
            least = (high - low) * _LABEL_PX / max(size, 1)
            power = 10.0 ** np.floor(np.log10(max(least, 1e-12)))
            return [(next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999), 0.0)]

    return Sparse("bottom")


def _colour(curve: Curve, colours: Colours) -> str:
    return colours.text if curve.colour < 0 else colours.curves[curve.colour % len(colours.curves)]


def _end(plot: CurvePlot) -> float:
    """Where the curves end along x."""
    return max((float(curve.x[-1]) for curve in plot.curves if len(curve.x)), default=1.0)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
