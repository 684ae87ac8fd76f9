"""Points against tilt with error bars, and pictures with axes, in the colours of napari's theme."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_phaset3m.gui.theme import label, on_theme_change, theme_colours
from napari_phaset3m.gui.widgets.binding import plain_numbers

_SYMBOLS = ("o", "s", "t", "d", "star", "x")
_SIGNS = {"o": "●", "s": "■", "t": "▼", "d": "◆", "star": "★", "x": "✕"}


@dataclass(frozen=True, eq=False)
class TiltCurve:
    """Values of images against tilt.

    Attributes
    ----------
    name : str
        In the legend.
    x, y : ndarray
        Degrees, values; NaN: none.
    error : ndarray or None
        One standard deviation.
    colour : int
        Which of the theme's colours; -1: that of errors, -2: one that stands back.
    symbol : int
        Which symbol; -1: a line without symbols.
    places : list of tuple
        (tilt index, focus index) of each point, for clicks.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    error: np.ndarray | None = None
    colour: int = 0
    symbol: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)


class TiltPlot(QWidget):
    """Points against tilt; click one, and its image is shown.

    Parameters
    ----------
    ylabel : str
        With unit.
    legend : bool
        Names the curves above; without it, :meth:`legend_html` is for a place beside the plots.
    """

    #: (tilt index, focus index)
    clicked = Signal(int, int)

    def __init__(self, ylabel: str, xlabel: str = "tilt (°)", *, legend: bool = True) -> None:
        super().__init__()
        self._with_legend = legend
        import pyqtgraph as pg

        from napari_phaset3m.gui.plots.axes import make_room

        self._pg, self._ylabel, self._xlabel = pg, ylabel, xlabel
        self._curves: list[TiltCurve] = []
        self._items: dict[str, tuple[Any, Any]] = {}
        self._marked: float | None = None
        self.legend = label("", "muted", wrap=True)  # into a second line rather than cut off
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        as_high_as_needed = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        as_high_as_needed.setHeightForWidth(True)
        self.legend.setSizePolicy(as_high_as_needed)
        self.plot = pg.PlotWidget(self, enableMenu=False)
        make_room(self.plot)
        self.plot.hideButtons()
        self.plot.setMinimumSize(110, 70)
        self.plot.setToolTip(
            "Click a point to see its image; drag to pan, wheel to zoom, double click to see all"
        )
        self._line = pg.InfiniteLine(0, angle=90)
        self.plot.addItem(self._line, ignoreBounds=True)
        self.plot.scene().sigMouseClicked.connect(self._on_scene)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot, 1)
        on_theme_change(self._restyle)
        self._restyle()

    def show_curves(self, curves: list[TiltCurve]) -> None:
        """Draw these in place of what was there."""
        names = [curve.name for curve in curves]
        for name in [known for known in self._items if known not in names]:
            for item in self._items.pop(name):
                self.plot.removeItem(item)
        self._curves = curves
        for curve in curves:
            self._draw(curve)
        self._name()

    def mark(self, tilt_deg: float | None) -> None:
        """Draw a line at a tilt; None: none."""
        self._marked = tilt_deg
        self._line.setVisible(tilt_deg is not None)
        if tilt_deg is not None:
            self._line.setValue(tilt_deg)

    def _restyle(self) -> None:
        colours = theme_colours()
        self.plot.setBackground(colours.background)
        for side, text in (("bottom", self._xlabel), ("left", self._ylabel)):
            _style(self.plot.getAxis(side), self, text)
        self.plot.showGrid(x=False, y=True, alpha=0.12)
        self._line.setPen(self._pg.mkPen(colours.faint, style=Qt.PenStyle.DashLine))
        self.mark(self._marked)
        for pair in self._items.values():
            for item in pair:
                self.plot.removeItem(item)
        self._items.clear()
        self.show_curves(self._curves)

    def _colour(self, curve: TiltCurve) -> str:
        colours = theme_colours()
        special = {-1: colours.alarm, -2: colours.faint}
        return special.get(curve.colour, colours.curves[curve.colour % len(colours.curves)])

    def _draw(self, curve: TiltCurve) -> None:
        pg, colour = self._pg, self._colour(curve)
        if curve.name not in self._items:
            points = pg.PlotDataItem()
            points.sigPointsClicked.connect(self._on_points)
            bars = pg.ErrorBarItem(beam=0.0)
            self.plot.addItem(bars)
            self.plot.addItem(points)
            self._items[curve.name] = (points, bars)
        points, bars = self._items[curve.name]
        good = np.isfinite(curve.x) & np.isfinite(curve.y)
        x, y = curve.x[good], curve.y[good]
        places = [curve.places[i] for i in np.flatnonzero(good)] if curve.places else None
        if curve.symbol < 0:
            points.setData(x, y, pen=pg.mkPen(colour, width=1.5), symbol=None)
        else:
            points.setData(
                x, y, pen=None, symbol=_SYMBOLS[curve.symbol % len(_SYMBOLS)], data=places,
                symbolSize={-2: 5, -1: 11}.get(curve.colour, 7), symbolBrush=colour, symbolPen=None,
            )  # fmt: skip
        error = np.zeros(len(x)) if curve.error is None else np.nan_to_num(curve.error[good])
        bars.setData(x=x, y=y, height=2 * error, pen=pg.mkPen(colour))
        bars.setVisible(bool(error.any()))

    def _name(self) -> None:
        self.legend.setText(self.legend_html())
        self.legend.setVisible(self._with_legend and bool(self._curves))

    def legend_html(self) -> str:
        """What each curve is, with its symbol."""
        parts = []
        for curve in self._curves:
            sign = "──" if curve.symbol < 0 else _SIGNS[_SYMBOLS[curve.symbol % len(_SYMBOLS)]]
            name = curve.name.replace("&", "&amp;").replace("<", "&lt;").replace(" ", "&nbsp;")
            parts.append(f'<span style="color:{self._colour(curve)}">{sign}</span>&nbsp;{name}')
        return f'<span style="font-size:8pt">{" &nbsp; ".join(parts)}</span>'

    def _on_points(self, item: Any, points: Any, event: object = None) -> None:
        found = next((p.data() for p in points if p.data() is not None), None)
        if found is not None:
            self.clicked.emit(int(found[0]), int(found[1]))

    def _on_scene(self, click: Any) -> None:
        if click.double():
            self.plot.enableAutoRange()


def name_axis(plot: Any, side: str, text: str) -> None:
    """Name an axis of a plot; pyqtgraph leaves another name where the middle of the old one was."""
    axis = plot.getAxis(side)
    axis.setLabel(text, color=theme_colours().text)
    axis.resizeEvent()


class PicturePlot(QWidget):
    """An image with axes.

    Parameters
    ----------
    xlabel, ylabel : str
        With units; empty: no axis.
    square : bool
        Both axes have the same scale.
    """

    def __init__(self, xlabel: str = "", ylabel: str = "", *, square: bool = False) -> None:
        super().__init__()
        import pyqtgraph as pg

        from napari_phaset3m.gui.plots.axes import make_room

        self._pg = pg
        self._labels = {"bottom": xlabel, "left": ylabel}
        self._rect: tuple[float, ...] = ()
        self.title = label("", "muted")
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.plot = pg.PlotWidget(self, enableMenu=False)
        make_room(self.plot)
        self.plot.hideButtons()
        self.plot.setMinimumSize(80, 60)
        self.plot.getViewBox().setAspectLocked(square)
        self.plot.getViewBox().setDefaultPadding(0.0)
        self.plot.invertY(True)
        self.plot.setToolTip("Drag to pan, wheel to zoom, double click to see all")
        self.image = pg.ImageItem(axisOrder="row-major")
        self.plot.addItem(self.image)
        self.plot.scene().sigMouseClicked.connect(self._on_scene)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.title)
        layout.addWidget(self.plot, 1)
        on_theme_change(self._restyle)
        self._restyle()

    def show_picture(
        self,
        data: np.ndarray | None,
        rect: tuple[float, float, float, float],
        limits: tuple[float, float] | None = None,
        colormap: str = "gray",
    ) -> None:
        """Draw `(ny, nx)` data over (left, top, width, height); None: nothing."""
        if data is None:
            self.image.clear()
            return
        low, high = limits or (float(v) for v in np.percentile(data, (1, 99)))
        self.image.setImage(np.ascontiguousarray(data), levels=(low, max(high, low + 1e-9)))
        self.image.setRect(QRectF(*rect))
        self.image.setLookupTable(_lookup(colormap))
        if rect != self._rect:  # what somebody zoomed in stays when a newer picture comes
            self._rect = rect
            self.plot.setRange(QRectF(*rect), padding=0)

    def _restyle(self) -> None:
        colours = theme_colours()
        self.plot.setBackground(colours.background)
        for side, text in self._labels.items():
            self.plot.showAxis(side, bool(text))
            _style(self.plot.getAxis(side), self, text)

    def _on_scene(self, click: Any) -> None:
        if click.double():
            self.plot.autoRange(padding=0)


def _style(axis: Any, plot: QWidget, text: str) -> None:
    """Give an axis the theme's colours, small numbers as they are, and its name."""
    colours = theme_colours()
    axis.setPen(colours.faint)
    axis.setTextPen(colours.text)
    plain_numbers(axis)
    font = plot.font()
    font.setPointSizeF(0.85 * font.pointSizeF())
    axis.setStyle(hideOverlappingLabels=True, tickFont=font)
    if text:
        axis.setLabel(text, color=colours.text)


def _lookup(name: str) -> np.ndarray:
    """napari's colours, `(256, 3)` uint8."""
    from napari.utils.colormaps import ensure_colormap

    return np.asarray(ensure_colormap(name).map(np.linspace(0, 1, 256))[:, :3] * 255, np.uint8)
