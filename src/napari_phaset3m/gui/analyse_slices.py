"""Draws central slices and their transforms in the colours of napari's theme."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_phaset3m.analyse.figures.pictures import length_text, round_length, shells
from napari_phaset3m.gui.analyse_compute import SlicesResult
from napari_phaset3m.gui.binding import outlive
from napari_phaset3m.gui.theme import Colours, on_theme_change, theme_colours

_PLANES = ("xy", "xz", "yz")
_LETTERS = {"size": "8pt"}
#: Height of a row of titles with its spacing, px.
_TITLE_HEIGHT = 26


class SlicesView(QWidget):
    """Central slices and the transform of each, three and three."""

    def __init__(self) -> None:
        super().__init__()
        import pyqtgraph as pg

        self._pg = pg
        self._result: SlicesResult | None = None
        self._two_rows = False
        self.graphics = pg.GraphicsLayoutWidget(self)
        outlive(self.graphics)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.graphics)
        on_theme_change(self._draw)

    def show_slices(self, result: SlicesResult) -> None:
        """Draw these."""
        self._result = result
        self._draw()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Put the transforms beside the slices or below them, wherever both are larger."""
        super().resizeEvent(event)
        if in_two_rows(self.width(), self.height()) != self._two_rows:
            self._draw()

    def _draw(self) -> None:
        found, colours = self._result, theme_colours()
        self.graphics.setBackground(colours.background)
        if found is None:
            return
        self.graphics.clear()
        self._two_rows = in_two_rows(self.width(), self.height())
        below = (2, 0) if self._two_rows else (0, 3)
        for column, (plane, name) in enumerate(zip(found.planes, _PLANES, strict=True)):
            extent = [n * found.voxel_size_angstrom for n in plane.shape]
            rect = QRectF(0, 0, extent[1], extent[0])
            box = self._box(0, column, f"{name[0]} →  {name[1]} ↓", colours)
            self._image(box, plane, rect, found.limits, "gray")
            self._bar(box, rect)
        for column, (power, name) in enumerate(zip(found.powers, _PLANES, strict=True)):
            steps = [1 / (n * found.voxel_size_angstrom) for n in power.shape]
            tops = [-(n // 2 + 0.5) * step for n, step in zip(power.shape, steps, strict=True)]
            rect = QRectF(tops[1], tops[0], power.shape[1] * steps[1], power.shape[0] * steps[0])
            box = self._box(below[0], below[1] + column, f"k{name[0]} →  k{name[1]} ↓", colours)
            low, high = (float(v) for v in np.percentile(power, (40, 99.7)))
            self._image(box, power, rect, (low, max(high, low + 0.1)), "inferno")
            self._rings(box, 0.5 / found.voxel_size_angstrom)

    def _box(self, row: int, column: int, title: str, colours: Colours) -> Any:
        self.graphics.addLabel(title, row=row, col=column, color=colours.text, **_LETTERS)
        box = self.graphics.addViewBox(row + 1, column, lockAspect=True, invertY=True, enableMenu=False)
        box.setDefaultPadding(0.0)
        self.graphics.ci.layout.setColumnStretchFactor(column, 1)
        self.graphics.ci.layout.setColumnPreferredWidth(column, 60)
        return box

    def _image(
        self, box: Any, data: np.ndarray, rect: QRectF, limits: tuple[float, float], colours: str
    ) -> None:
        image = self._pg.ImageItem(np.ascontiguousarray(data), axisOrder="row-major", levels=limits)
        image.setRect(rect)
        if colours != "gray":
            image.setLookupTable(_lookup(colours))
        box.addItem(image)
        box.setRange(rect, padding=0.0)

    def _bar(self, box: Any, rect: QRectF) -> None:
        length = round_length(rect.width() / 4)
        left, bottom = 0.05 * rect.width(), 0.95 * rect.height()
        pen = self._pg.mkPen("w", width=4)
        box.addItem(self._pg.PlotCurveItem([left, left + length], [bottom, bottom], pen=pen))
        self._write(box, length_text(length), left, bottom, (0, 1))

    def _rings(self, box: Any, limit: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 121)
        pen = self._pg.mkPen(255, 255, 255, 150, style=Qt.PenStyle.DashLine)
        for (k, text), turn in zip(shells(limit, 2), (0.8, -0.8), strict=False):
            box.addItem(self._pg.PlotCurveItem(k * np.cos(angle), k * np.sin(angle), pen=pen))
            self._write(box, text, k * np.sin(turn), -k * np.cos(turn), (0.5, 0.5))

    def _write(self, box: Any, text: str, x: float, y: float, anchor: tuple[float, float]) -> None:
        item = self._pg.TextItem(text, color="w", anchor=anchor, fill=(0, 0, 0, 110))
        font = self.font()
        font.setPointSizeF(0.8 * font.pointSizeF())
        item.setFont(font)
        item.setPos(x, y)
        box.addItem(item, ignoreBounds=True)


def in_two_rows(width: int, height: int) -> bool:
    """Whether six square pictures are larger as three above three than in one row; sizes in px."""
    one = min(width / 6, height - _TITLE_HEIGHT)
    return min(width / 3, height / 2 - _TITLE_HEIGHT) > one


def _lookup(name: str) -> np.ndarray:
    """napari's colours, `(256, 3)` uint8."""
    from napari.utils.colormaps import ensure_colormap

    return np.asarray(ensure_colormap(name).map(np.linspace(0, 1, 256))[:, :3] * 255, np.uint8)
