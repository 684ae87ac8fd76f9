"""The volume's Fourier transform, live, on a canvas of its own.

A layer in 1/Å beside layers in Å would take the scale bar away from all of them,
so it never enters the main viewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_phaset3m.gui.binding import follow
from napari_phaset3m.session import Session

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_phaset3m.jobs import PreviewFrame

UNITS = ("1/angstrom",) * 3
AXIS_LABELS = ("kz", "ky", "kx")
#: Resolutions that get a ring, Å.
RING_ANGSTROM = (20.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5)
MAX_RINGS = 4
#: View name -> order of the axes (the last two are shown).
VIEWS = {"3D": (0, 1, 2), "kx–ky": (0, 1, 2), "kx–kz": (1, 0, 2), "ky–kz": (2, 0, 1)}


class FourierView(QWidget):
    """Log power of the newest volume with resolution rings.

    Parameters
    ----------
    session : Session

    Notes
    -----
    While it is hidden nothing is computed or drawn for it. Call :meth:`close`
    before deleting it, so that its canvas is released.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.viewer: Any = None
        self._qt_viewer: Any = None
        self._image: Image | None = None
        self._shown: PreviewFrame | None = None
        self._geometry: tuple[Any, ...] = ()
        self.view = QComboBox()
        self.view.addItems(list(VIEWS))
        self.view.setToolTip("Whole volume (maximum along the line of sight), or a central slice")
        self.rings = QCheckBox("Rings")
        self.rings.setChecked(True)
        self.rings.setToolTip("Resolution rings, labelled in Å")
        self.info = QLabel("The Fourier transform appears here while a run is going on")
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 2, 6, 0)
        for widget in (self.view, self.rings, self.info):
            bar.addWidget(widget)
        bar.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        layout.addStretch(1)
        self.view.currentTextChanged.connect(self._on_view)
        self.rings.toggled.connect(self._on_rings)
        follow(session.events.frame, self._on_frame)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Build the canvas when it is first looked at, and ask for transforms."""
        super().showEvent(event)
        self._session.watch_fourier = True
        self._on_frame()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Spare the transforms while nobody looks."""
        self._session.watch_fourier = False
        super().hideEvent(event)

    def closeEvent(self, event: Any) -> None:
        """Release the canvas."""
        self.release()
        super().closeEvent(event)

    def release(self) -> None:
        """Give the canvas back; it is built again when needed."""
        if self._qt_viewer is not None:
            self._qt_viewer.close()
            self._qt_viewer.deleteLater()
        self.viewer = self._qt_viewer = self._image = self._shown = None
        self._geometry = ()

    def _build(self) -> None:
        from napari.components import ViewerModel
        from napari.qt import QtViewer

        self.viewer = ViewerModel(ndisplay=3)
        self._qt_viewer = QtViewer(self.viewer)
        self._qt_viewer.setMinimumHeight(60)
        self._qt_viewer.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        layout = self.layout()
        layout.takeAt(layout.count() - 1)
        layout.addWidget(self._qt_viewer)
        layout.setStretch(layout.count() - 1, 1)

    def _on_frame(self) -> None:
        frame = self._session.frame
        if frame is None or frame.log_power is None or frame is self._shown or not self.isVisible():
            return
        if self.viewer is None:
            self._build()
        self._shown = frame
        power = frame.log_power
        geometry = (power.shape, frame.voxel_size_angstrom)
        if geometry != self._geometry or self._image is None or self._image not in self.viewer.layers:
            self._geometry = geometry
            self._rebuild(frame)
        else:
            self._image.data = power
            self._follow_contrast(frame)
        nyquist = 2 * frame.voxel_size_angstrom
        stage = "final" if frame.final else f"sweep {frame.sweep + 1}"
        self.info.setText(f"log power · {stage} · edge of the box {nyquist:.2f} Å")

    def _follow_contrast(self, frame: PreviewFrame) -> None:
        low, high = self._image.contrast_limits
        new_low, new_high = frame.power_limits
        span = max(high - low, 1e-6)
        if frame.final or abs(new_low - low) > 0.25 * span or abs(new_high - high) > 0.25 * span:
            self._image.contrast_limits = frame.power_limits

    def _rebuild(self, frame: PreviewFrame) -> None:
        """Take shape and voxel of a frame that differs from the last one."""
        self.viewer.layers.clear()
        place = frequency_grid(frame.log_power.shape, frame.voxel_size_angstrom)
        self._image = self.viewer.add_image(
            frame.log_power,
            name="log power",
            colormap="inferno",
            contrast_limits=frame.power_limits,
            rendering="mip",
            units=UNITS,
            axis_labels=AXIS_LABELS,
            **place,
        )
        self._on_view()

    def _on_view(self, text: str = "") -> None:
        if self.viewer is None or self._image is None:
            return
        name = self.view.currentText()
        self.viewer.dims.order = VIEWS[name]
        self.viewer.dims.ndisplay = 3 if name == "3D" else 2
        for axis in range(3):
            self.viewer.dims.set_point(axis, 0.0)
        self._draw_rings(VIEWS[name][1:])
        self.viewer.reset_view()
        if name == "3D":
            self.viewer.scene.camera.angles = (0.0, 20.0, 80.0)

    def _draw_rings(self, plane: tuple[int, ...]) -> None:
        for name in ("rings", "labels"):
            if name in self.viewer.layers:
                self.viewer.layers.remove(name)
        edge = 0.5 / self._geometry[1]
        rings = ring_resolutions(edge)
        paths = [circle(1 / d, plane) for d in rings]
        common = {"units": UNITS, "axis_labels": AXIS_LABELS, "opacity": 0.7, "ndim": 3}
        self.viewer.add_shapes(
            paths, shape_type="path", edge_color="white", edge_width=edge * 0.006, name="rings", **common
        )
        self.viewer.add_points(
            [path[12] for path in paths] or None,
            size=edge * 1e-3,
            face_color="transparent",
            border_color="transparent",
            text={"string": [f"{d:g} Å" for d in rings], "color": "white", "size": 9},
            name="labels",
            **common,
        )
        self._on_rings()

    def _on_rings(self, checked: bool = True) -> None:
        if self.viewer is None:
            return
        for name in ("rings", "labels"):
            if name in self.viewer.layers:
                self.viewer.layers[name].visible = self.rings.isChecked()


def frequency_grid(shape: tuple[int, ...], voxel_angstrom: float) -> dict[str, tuple[float, ...]]:
    """Scale and translation (1/Å) that put frequency zero of a centred transform at 0."""
    steps = tuple(1.0 / (n * voxel_angstrom) for n in shape)
    return {
        "scale": steps,
        "translate": tuple(-(n // 2) * step for n, step in zip(shape, steps, strict=True)),
    }


def ring_resolutions(edge: float) -> tuple[float, ...]:
    """The finest few round resolutions (Å) whose rings fit within ``edge`` (1/Å)."""
    fitting = [d for d in RING_ANGSTROM if 1 / d <= edge]
    return tuple(fitting[-MAX_RINGS:])


def circle(radius: float, plane: tuple[int, ...], n: int = 97) -> np.ndarray:
    """`(n, 3)` points of a circle about the origin in the plane of two axes."""
    angle = np.linspace(0, 2 * np.pi, n)
    points = np.zeros((n, 3))
    points[:, plane[0]] = -radius * np.sin(angle)
    points[:, plane[1]] = radius * np.cos(angle)
    return points
