"""A rectangle that is drawn on the image, in pixels of the series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.io.volume import centred_origin

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import Session

RECTANGLE = "rectangle"
Region = tuple[int, int, int, int]


class RectangleDrawer(QObject):
    """Puts a rectangle on the canvas to be dragged, and tells what it covers.

    Parameters
    ----------
    session : Session
    publisher : LayerPublisher
    """

    #: (whose, (top, left, height, width) in pixels)
    drawn = Signal(str, tuple)

    def __init__(self, session: Session, publisher: LayerPublisher) -> None:
        super().__init__()
        self._session, self._publisher = session, publisher
        self._whose = ""
        self._busy = False

    def begin(self, whose: str, region: Region | None) -> None:
        """Show the rectangle (the middle half when there is none yet), ready to be dragged."""
        series = self._session.series
        if series is None:
            return
        self._whose = whose
        self._publisher.bring_forward(IMAGES)
        layer: Any = self._publisher.show(RECTANGLE, _spec(series, region or _middle(series)))
        if layer is None:
            return
        layer.visible = True
        follow(layer.events.set_data, self._on_data)
        viewer = self._publisher.viewer
        if viewer is not None:
            viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))
            viewer.layers.selection.active = layer
        layer.mode = "select"
        layer.selected_data = {0}
        self._tell()

    def end(self) -> None:
        """Take the rectangle away."""
        self._whose = ""
        self._publisher.remove(RECTANGLE)

    def _on_data(self, *_: object) -> None:
        if not self._busy:
            self._tell()

    def _tell(self) -> None:
        layer: Any = self._publisher.layer(RECTANGLE)
        series = self._session.series
        if layer is None or series is None or not self._whose or not len(layer.data):
            return
        region = region_of(np.asarray(layer.data[-1]), series.image_shape)
        if region is not None:
            self._busy = True
            self.drawn.emit(self._whose, region)
            self._busy = False


def region_of(corners: np.ndarray, shape: tuple[int, int]) -> Region | None:
    """(top, left, height, width) of the pixels inside corners `(n, 2)` (y, x) given in pixels."""
    low = np.clip(np.round(corners.min(axis=0) + 0.5), 0, shape).astype(int)
    high = np.clip(np.round(corners.max(axis=0) + 0.5), 0, shape).astype(int)
    size = high - low
    if size.min() < 1:
        return None
    return int(low[0]), int(low[1]), int(size[0]), int(size[1])


def _middle(series: TiltFocalSeries) -> Region:
    ny, nx = series.image_shape
    return ny // 4, nx // 4, ny // 2, nx // 2


def _spec(series: TiltFocalSeries, region: Region) -> LayerSpec:
    top, left, height, width = region
    low, high = (top - 0.5, left - 0.5), (top + height - 0.5, left + width - 0.5)
    corners = np.array([[low, (low[0], high[1]), high, (high[0], low[1])]])
    return LayerSpec(
        data=corners, name="Rectangle", axis_labels=("y", "x"), scale=(series.pixel_size_angstrom,) * 2,
        translate=centred_origin(series.image_shape, series.pixel_size_angstrom),
        metadata={"role": "rectangle", "stage": "prepare"}, kind="shapes",
        looks={"shape_type": "rectangle", "edge_color": "#ffc46b", "face_color": "transparent",
               "edge_width": max(1.0, max(series.image_shape) / 300)},
    )  # fmt: skip
