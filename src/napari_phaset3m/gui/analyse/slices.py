"""Draws central slices and their transforms in the colours of napari's theme."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_phaset3m.analyse.figures.pictures import length_text, round_length, shells
from napari_phaset3m.gui.analyse.compute import SlicesResult
from napari_phaset3m.gui.theme import Colours, on_theme_change, theme_colours
from napari_phaset3m.gui.widgets.binding import outlive

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
        self._made: tuple[Any, ...] = ()
        #: Of the slices xy, xz, yz; in angstrom from the rotation centre.
        self.boxes: list[Any] = []
        #: Pictures and where they lie, slices first.
        self._images: list[tuple[Any, QRectF]] = []
        self.graphics = pg.GraphicsLayoutWidget(self)
        outlive(self.graphics)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.graphics)
        on_theme_change(self._draw)

    def show_slices(self, result: SlicesResult) -> None:
        """Draw these; while size and layout stay, only the pictures are exchanged."""
        self._result = result
        if self._made == self._kind():
            self._fill()
        else:
            self._draw()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Put the transforms beside the slices or below them, wherever both are larger."""
        super().resizeEvent(event)
        if in_two_rows(self.width(), self.height()) != self._two_rows:
            self._draw()

    def _kind(self) -> tuple[Any, ...]:
        """What the scene was made for."""
        found = self._result
        shapes = () if found is None else (found.voxel_size_angstrom, *(p.shape for p in found.planes))
        return (*shapes, self._two_rows, theme_colours())

    def _draw(self) -> None:
        found, colours = self._result, theme_colours()
        self.graphics.setBackground(colours.background)
        if found is None:
            return
        self.graphics.clear()
        self._two_rows = in_two_rows(self.width(), self.height())
        self._made, self.boxes, self._images = self._kind(), [], []
        below = (2, 0) if self._two_rows else (0, 3)
        for column, (plane, name) in enumerate(zip(found.planes, _PLANES, strict=True)):
            # the rotation centre is at 0, as in the viewer
            high, wide = (n * found.voxel_size_angstrom for n in plane.shape)
            rect = QRectF(-wide / 2, -high / 2, wide, high)
            box = self._box(0, column, f"{name[0]} →  {name[1]} ↓", colours)
            self._image(box, rect, "gray")
            self._bar(box, rect)
            self.boxes.append(box)
        for column, (power, name) in enumerate(zip(found.powers, _PLANES, strict=True)):
            steps = [1 / (n * found.voxel_size_angstrom) for n in power.shape]
            tops = [-(n // 2 + 0.5) * step for n, step in zip(power.shape, steps, strict=True)]
            rect = QRectF(tops[1], tops[0], power.shape[1] * steps[1], power.shape[0] * steps[0])
            box = self._box(below[0], below[1] + column, f"k{name[0]} →  k{name[1]} ↓", colours)
            self._image(box, rect, "inferno")
            self._rings(box, 0.5 / found.voxel_size_angstrom)
        self._fill()

    def _fill(self) -> None:
        found = self._result
        assert found is not None
        limits = [found.limits] * len(found.planes) + [power_limits(power) for power in found.powers]
        for (image, rect), data, levels in zip(
            self._images, (*found.planes, *found.powers), limits, strict=True
        ):
            image.setImage(np.ascontiguousarray(data), levels=levels)
            image.setRect(rect)

    def _box(self, row: int, column: int, title: str, colours: Colours) -> Any:
        self.graphics.addLabel(title, row=row, col=column, color=colours.text, **_LETTERS)
        box = self.graphics.addViewBox(row + 1, column, lockAspect=True, invertY=True, enableMenu=False)
        box.setDefaultPadding(0.0)
        self.graphics.ci.layout.setColumnStretchFactor(column, 1)
        self.graphics.ci.layout.setColumnPreferredWidth(column, 60)
        return box

    def _image(self, box: Any, rect: QRectF, colours: str) -> None:
        image = self._pg.ImageItem(axisOrder="row-major")
        if colours != "gray":
            image.setLookupTable(_lookup(colours))
        box.addItem(image)
        box.setRange(rect, padding=0.0)
        self._images.append((image, rect))

    def _bar(self, box: Any, rect: QRectF) -> None:
        length = round_length(rect.width() / 4)
        left, bottom = rect.left() + 0.05 * rect.width(), rect.top() + 0.95 * rect.height()
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


def power_limits(power: np.ndarray) -> tuple[float, float]:
    """Display range of a log power."""
    low, high = (float(v) for v in np.percentile(power, (40, 99.7)))
    return low, max(high, low + 0.1)


def in_two_rows(width: int, height: int) -> bool:
    """Whether six square pictures are larger as three above three than in one row; sizes in px."""
    one = min(width / 6, height - _TITLE_HEIGHT)
    return min(width / 3, height / 2 - _TITLE_HEIGHT) > one


def _lookup(name: str) -> np.ndarray:
    """napari's colours, `(256, 3)` uint8."""
    from napari.utils.colormaps import ensure_colormap

    return np.asarray(ensure_colormap(name).map(np.linspace(0, 1, 256))[:, :3] * 255, np.uint8)
