"""Three slices of the newest volume through a cross-hair, and their transforms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.analyse.fourier import log_power
from napari_phaset3m.gui.analyse.compute import SlicesResult
from napari_phaset3m.gui.analyse.slices import SlicesView
from napari_phaset3m.gui.error_words import with_kind
from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.theme import curve_colours, label
from napari_phaset3m.gui.view_tab import bring_forward, tab_of
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.jobs import PreviewFrame
    from napari_phaset3m.session import Session

TITLE = "Slices"
NOTHING = "Slices of the volume appear here while a run is going on"
Point = tuple[float, float, float]
#: Axes of (z, y, x) along and down each of the slices xy, xz, yz.
_ALONG_DOWN = ((2, 1), (2, 0), (1, 0))
#: Moves shorter than this part of a voxel are none.
_SAME = 1e-4


def show_slices(session: Session, viewer: ViewerModel) -> None:
    """Bring the slices to the front, made on first use."""
    view = tab_of(session, viewer, TITLE, partial(LiveSlices, session, viewer))
    if view is not None:
        bring_forward(view)


def cut(volume: np.ndarray, voxel_angstrom: float, limits: tuple[float, float], point: Point) -> SlicesResult:
    """Planes xy, xz, yz of the voxels nearest to a point, and the log power of each.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_angstrom : float
    limits : tuple of float
        Display range.
    point : tuple of float
        (z, y, x) from the rotation centre, angstrom; the nearest voxel where it lies outside.
    """
    index = [
        int(np.clip(np.floor(at / voxel_angstrom + n / 2), 0, n - 1))
        for at, n in zip(point, volume.shape, strict=True)
    ]
    planes = tuple(np.ascontiguousarray(volume.take(index[axis], axis=axis)) for axis in range(3))
    powers = tuple(np.asarray(log_power(plane, window=True)) for plane in planes)
    return SlicesResult(planes, powers, voxel_angstrom, voxel_angstrom, limits)


def followed(point: Point, sliders: Sequence[float], ranges: Sequence[Any]) -> Point:
    """Where the cross-hair is once the dimension sliders have spoken.

    A window's sliders hold whole voxels only, and move a point that lies between two, as the rotation centre
    of an even box does, to the upper one: that is no move, and on the central voxel they mean the centre.

    Parameters
    ----------
    point, sliders : sequence of float
        (z, y, x) of the cross-hair and of the sliders, angstrom.
    ranges : sequence of napari's RangeTuple
        Of the sliders.
    """
    found = []
    for own, at, (start, _, step) in zip(point, sliders, ranges, strict=True):
        meant = (
            value
            for value in (own, 0.0)
            for held in (value, start + np.floor((value - start) / step + 0.5 + _SAME) * step)
            if abs(at - held) < _SAME * step
        )
        found.append(next(meant, float(at)))
    z, y, x = found
    return z, y, x


class CrossSlices(SlicesView):
    """Slices with lines through one point, which can be dragged; a click moves it too."""

    #: The point (z, y, x), angstrom from the rotation centre, was moved by hand.
    moved = Signal(tuple)

    def __init__(self) -> None:
        super().__init__()
        self.point: Point = (0.0, 0.0, 0.0)
        #: For each slice its upright and its level line.
        self.lines: list[tuple[Any, Any]] = []
        self.graphics.scene().sigMouseClicked.connect(self._on_click)
        self.graphics.setToolTip("Drag the lines or click; wheel to zoom")

    def set_point(self, point: Point) -> None:
        """Put the lines there."""
        self.point = point
        for pair, axes in zip(self.lines, _ALONG_DOWN, strict=False):  # none before the first picture
            for line, axis in zip(pair, axes, strict=True):
                line.blockSignals(True)
                line.setValue(point[axis])
                line.blockSignals(False)

    def _draw(self) -> None:
        super()._draw()
        self.lines = []
        if self._result is None:
            return
        colour = curve_colours("dark")[1]  # the pictures are dark in any theme
        pen, hover = (self._pg.mkPen(colour, width=width) for width in (1, 3))
        for box, axes in zip(self.boxes, _ALONG_DOWN, strict=True):
            pair = []
            for angle, axis in zip((90, 0), axes, strict=True):
                line = self._pg.InfiniteLine(angle=angle, movable=True, pen=pen, hoverPen=hover)
                line.sigDragged.connect(partial(self._on_dragged, axis))
                box.addItem(line, ignoreBounds=True)
                pair.append(line)
            self.lines.append((pair[0], pair[1]))
            box.sigRangeChanged.connect(self._keep_inside)
        self._keep_inside()
        self.set_point(self.point)

    def _keep_inside(self, *_: object) -> None:
        """End the lines where the pictures end; the view may be wider."""
        for box, (_, rect), pair in zip(self.boxes, self._images, self.lines, strict=False):
            (left, right), (top, bottom) = box.viewRange()
            ends = (
                (rect.top() - top, rect.bottom() - top, bottom - top),
                (rect.left() - left, rect.right() - left, right - left),
            )
            for line, (first, last, length) in zip(pair, ends, strict=True):
                line.setSpan(max(0.0, first / length), min(1.0, last / length))

    def _on_dragged(self, axis: int, line: Any) -> None:
        self._move({axis: float(line.value())})

    def _on_click(self, click: Any) -> None:
        if click.button() != Qt.MouseButton.LeftButton:
            return
        for box, (along, down) in zip(self.boxes, _ALONG_DOWN, strict=True):
            if box.sceneBoundingRect().contains(click.scenePos()):
                at: QPointF = box.mapSceneToView(click.scenePos())
                self._move({along: at.x(), down: at.y()})

    def _move(self, values: dict[int, float]) -> None:
        assert self._result is not None
        size = (*self._result.planes[1].shape[:1], *self._result.planes[0].shape)
        half = [(n - 1) / 2 * self._result.voxel_size_angstrom for n in size]
        point = [values.get(axis, at) for axis, at in enumerate(self.point)]
        z, y, x = (float(np.clip(at, -end, end)) for at, end in zip(point, half, strict=True))
        self.set_point((z, y, x))
        self.moved.emit(self.point)


class LiveSlices(QWidget):
    """The newest volume's slices, in step with the viewer's dimension sliders.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
        Held weakly, through its publisher.

    Notes
    -----
    Cut and transformed in a worker, one request at a time, the newest next; nothing while it is hidden.
    """

    #: Part of the window's height that it wants.
    tall = 0.5

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session, self._publisher = session, publisher_for(session, viewer)
        self._busy = self._again = False
        self._shown: tuple[PreviewFrame | None, Point | None] = (None, None)
        self.info = label(NOTHING, "muted")
        self.centre = QPushButton("Centre")
        self.centre.setToolTip("Put the cross-hair on the rotation centre")
        self.pictures = CrossSlices()
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 2, 6, 0)
        bar.addWidget(self.info, 1)
        bar.addWidget(self.centre)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        layout.addWidget(self.pictures, 1)
        self.pictures.moved.connect(self._on_moved)
        self.centre.clicked.connect(self._on_centre)
        follow(session.events.frame, self._request)
        follow(viewer.dims.events.point, self._on_dims)

    def showEvent(self, event: Any) -> None:
        """Catch up."""
        super().showEvent(event)
        self._on_dims()

    def _on_centre(self) -> None:
        self.pictures.set_point((0.0, 0.0, 0.0))
        self._on_moved(self.pictures.point)

    def _on_moved(self, point: Point) -> None:
        viewer = self._publisher.viewer
        if viewer is not None and viewer.dims.ndim >= 3:
            self._publisher.go_to(point)
        self._request()

    def _on_dims(self) -> None:
        viewer = self._publisher.viewer
        if not self.isVisible() or viewer is None:
            return
        if viewer.dims.ndim >= 3:
            point = followed(self.pictures.point, viewer.dims.point[-3:], viewer.dims.range[-3:])
            if point != self.pictures.point:
                self.pictures.set_point(point)
        self._request()

    def _request(self) -> None:
        frame = self._session.frame
        wanted = (frame, self.pictures.point)
        if frame is None or not self.isVisible() or wanted == self._shown:
            return
        self._again = self._busy
        if not self._busy:
            self._busy, self._shown = True, wanted
            job = partial(cut, frame.volume, frame.voxel_size_angstrom, frame.limits, self.pictures.point)
            in_background(job, self._on_cut, self._on_crash)

    def _on_cut(self, result: SlicesResult) -> None:
        self._busy = False
        self.pictures.show_slices(result)
        frame, point = self._shown
        if frame is not None and point is not None:
            stage = "final" if frame.final else f"sweep {frame.sweep + 1}"
            self.info.setText(f"{place_words(point)}  ·  {stage}  ·  log power below")
        if self._again:
            self._again = False
            self._request()

    def _on_crash(self, error: Exception) -> None:
        self._busy = False
        self.info.setText(with_kind(error))


def place_words(point: Point) -> str:
    """``z 0.0 Å  y −3.2 Å  x 4.0 Å``."""
    words = (f"{name} {at + 0.0:.1f} Å" for name, at in zip("zyx", point, strict=True))
    return "  ".join(words).replace("-0.0", "0.0").replace("-", "−")
