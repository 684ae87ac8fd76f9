"""The image of the chosen row, with the rectangle that is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_phaset3m.gui.plots.tilt_plot import PicturePlot
from napari_phaset3m.gui.theme import theme_colours

Crop = tuple[int, int, int, int]
#: Smallest rectangle, pixels.
_LEAST = 16


class CropPicture(QWidget):
    """A picture with a rectangle to drag.

    Coordinates are pixels of the full image, x to the right and y down.
    """

    #: (y0, y1, x0, x1), or None for the whole image.
    cropped = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        import pyqtgraph as pg

        self._shape = (1, 1)
        self.picture = PicturePlot(square=True)
        self.picture.title.hide()
        self.roi = pg.RectROI([0, 0], [1, 1], pen=pg.mkPen(theme_colours().warning, width=2), rotatable=False)
        self.roi.addScaleHandle([0, 0], [1, 1])
        self.roi.setZValue(10)
        self.picture.plot.addItem(self.roi)
        self.roi.hide()
        self.roi.sigRegionChangeFinished.connect(self._on_roi)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture)

    def set_shape(self, shape: tuple[int, int]) -> None:
        """Say how large (ny, nx) the full image is."""
        self._shape = shape

    def show_image(self, data: np.ndarray | None, step: int) -> None:
        """Draw an image that was averaged over ``step`` pixels."""
        if data is None:
            self.picture.show_picture(None, (0, 0, 1, 1))
            return
        ny, nx = data.shape
        self.picture.show_picture(data, (0, 0, nx * step, ny * step))

    def set_crop(self, crop: Crop | None) -> None:
        """Show the rectangle (y0, y1, x0, x1); None: hide it."""
        blocked = self.roi.blockSignals(True)
        if crop is not None:
            y0, y1, x0, x1 = crop
            self.roi.setPos((x0, y0), finish=False)
            self.roi.setSize((x1 - x0, y1 - y0), finish=False)
        self.roi.blockSignals(blocked)
        self.roi.setVisible(crop is not None)

    def middle(self) -> Crop:
        """The middle half of the image."""
        ny, nx = self._shape
        return ny // 4, ny - ny // 4, nx // 4, nx - nx // 4

    def _on_roi(self, *_: Any) -> None:
        ny, nx = self._shape
        x0, y0 = (round(float(v)) for v in self.roi.pos())
        width, height = (round(float(v)) for v in self.roi.size())
        x0, y0 = min(max(0, x0), nx - _LEAST), min(max(0, y0), ny - _LEAST)
        x1 = min(nx, max(x0 + _LEAST, x0 + width))
        y1 = min(ny, max(y0 + _LEAST, y0 + height))
        self.cropped.emit((y0, y1, x0, x1))
