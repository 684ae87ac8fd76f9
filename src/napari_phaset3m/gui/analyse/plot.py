"""Places plots of curves: beside each other, or one at a time where they have no room."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QBoxLayout, QHBoxLayout, QLabel, QTabBar, QVBoxLayout, QWidget

from napari_phaset3m.gui.analyse.curves import CurvePlot, colour_of
from napari_phaset3m.gui.theme import Colours, on_theme_change, theme_colours

#: Width below which a plot with its numbers and legend cannot be read, pixels.
ROOM_PX = 230
_DASH_TEXT = {"solid": "──", "dash": "╌╌", "dashdot": "─·─", "dot": "┈┈"}
_SYMBOL_TEXT = {"o": "●", "s": "■", "t": "▼", "d": "◆"}


class CurveView(QWidget):
    """Plots beside each other; in a narrow view one at a time, with tabs to choose it.

    Attributes
    ----------
    tabs : QTabBar
        One for each plot; there in a narrow view only.
    widgets : list of QWidget
        A plot each, with its legend.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plots: list[CurvePlot] = []
        self.widgets: list[Any] = []
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName("Plot")
        self.tabs.currentChanged.connect(self._arrange)
        self._row = QHBoxLayout()
        self._row.setSpacing(6)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.tabs, 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(self._row, 1)
        on_theme_change(self._draw)

    def show_plots(self, plots: list[CurvePlot]) -> None:
        """Draw these in place of what was there; the one that was chosen stays so if it is among them."""
        titles = [plot.title for plot in plots]
        if titles != [plot.title for plot in self._plots]:
            self._name_tabs(titles)
        self._plots = plots
        self._draw()

    def _name_tabs(self, titles: list[str]) -> None:
        chosen = self.tabs.tabText(self.tabs.currentIndex())
        self.tabs.blockSignals(True)
        while self.tabs.count():
            self.tabs.removeTab(0)
        for title in titles:
            self.tabs.addTab(title)
        self.tabs.setCurrentIndex(titles.index(chosen) if chosen in titles else 0)
        self.tabs.blockSignals(False)

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
        self._arrange()

    def _made(self, plot: CurvePlot) -> Any:
        from napari_phaset3m.gui.analyse.drawing import drawn

        colours = theme_colours()
        widget = drawn(plot, colours, self)
        named = len(plot.curves) > 1 or plot.band is not None
        return WithLegend(widget, plot, colours) if named else widget

    def resizeEvent(self, event: Any) -> None:
        """Show as many plots as have room."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self, *_: object) -> None:
        alone = len(self.widgets) > 1 and self.width() < ROOM_PX * len(self.widgets)
        self.tabs.setVisible(alone)
        for index, widget in enumerate(self.widgets):
            if isinstance(widget, WithLegend):
                widget.set_beside(alone)
            widget.setVisible(not alone or index == self.tabs.currentIndex())


class WithLegend(QWidget):
    """A plot with the names of its curves above it or beside it, where they hide nothing.

    Parameters
    ----------
    widget : QWidget
        What draws the plot.
    plot : CurvePlot
    colours : Colours
    """

    def __init__(self, widget: QWidget, plot: CurvePlot, colours: Colours) -> None:
        super().__init__()
        self._plot, self._colours = plot, colours
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self._layout = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._layout.addWidget(self.legend)
        self._layout.addWidget(widget, 1)
        self.set_beside(False)

    def set_beside(self, beside: bool) -> None:
        """Put the legend at the right, a curve a line, or on top, where lines are long."""
        self.legend.setWordWrap(not beside)
        between = "<br>" if beside else " &nbsp; "
        self.legend.setText(legend_html(self._plot, self._colours, between))
        direction = QBoxLayout.Direction
        self._layout.setDirection(direction.RightToLeft if beside else direction.TopToBottom)


def legend_html(plot: CurvePlot, colours: Colours, between: str = " &nbsp; ") -> str:
    """What each curve is, with a piece of its line or its symbol; names are escaped."""
    parts = []
    for curve in plot.curves:
        sample = _SYMBOL_TEXT[curve.symbol] if curve.symbol else _DASH_TEXT[curve.dash]
        parts.append(
            f'<span style="color:{colour_of(curve, colours)}"><b>{sample}</b></span> {_whole(curve.name)}'
        )
    if plot.band is not None:
        parts.append(f'<span style="color:{colours.faint}">■</span> {_whole(plot.band_name)}')
        parts += [
            f'<span style="color:{colours.curves[0]}"><b>╎</b></span> {escape(text)}'
            for _, text in plot.marks
        ]
    joined = between.join(part.replace(" ", "&nbsp;").replace("<span&nbsp;", "<span ") for part in parts)
    return f'<span style="font-size:8pt">{joined}</span>'


def _whole(name: str) -> str:
    """A name for the legend, escaped, that is not parted at its hyphens."""
    return escape(name).replace("-", "\u2011")
