"""How the volumes of runs are seen: as a surface, projected, or in three slices; one click each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QWidget

from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.theme import set_role
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import Session

SURFACE, PROJECTION, SLICES = "Surface", "Projection", "Slices"
#: napari's rendering of each; slices are flat and have none.
RENDERING = {SURFACE: "iso", PROJECTION: "mip"}
#: Where the surface lies between black and white.
SURFACE_LEVEL = 0.5
_KEY = "volume modes"
_TIPS = {
    SURFACE: "The volume as a surface at half of its display range",
    PROJECTION: "The volume's maximum along the line of sight",
    SLICES: "Slices xy, xz and yz through a cross-hair, with their transforms, below the canvas",
}


def modes_for(session: Session, viewer: ViewerModel) -> VolumeModes:
    """The modes of a session, made on first use."""
    found: VolumeModes | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = VolumeModes(session, viewer)
    return found


class VolumeModes(QObject):
    """Show all volumes of runs in the mode that was chosen last.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
        Held weakly, through its publisher.
    """

    #: What is seen has changed, here or by napari's own controls.
    changed = Signal()

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher = publisher_for(session, viewer)
        self.mode = PROJECTION
        #: Where the surface of a run was put; another one is the user's.
        self._levels: dict[str, float] = {}
        follow(self.publisher.visibility_changed, self._on_layer)
        follow(session.events.frame, self._on_frame)
        follow(viewer.dims.events.ndisplay, self._on_display)

    def choose(self, mode: str) -> None:
        """Show the volumes so from now on."""
        self.mode = mode
        self.apply()

    def apply(self) -> None:
        """Bring viewer and layers in step with the mode."""
        viewer = self.publisher.viewer
        if viewer is None or not self._layers():
            self.changed.emit()
            return
        if self.mode in RENDERING:
            for key, layer in self._layers().items():
                layer.rendering = RENDERING[self.mode]
                self._put_surface(key, layer)
        wanted = 2 if self.mode == SLICES else 3
        if viewer.dims.ndisplay != wanted:
            at = viewer.dims.point
            viewer.dims.ndisplay = wanted
            viewer.dims.point = at  # napari goes to the slice where the camera is
        self.changed.emit()

    def shown(self) -> str:
        """The mode that the viewer is in; empty when it shows no volume of a run."""
        viewer = self.publisher.viewer
        layers = [layer for layer in self._layers().values() if layer.visible]
        if viewer is None or not layers:
            return ""
        if viewer.dims.ndisplay == 2:
            return SLICES
        return next((name for name, how in RENDERING.items() if how == layers[-1].rendering), "")

    def _layers(self) -> dict[str, Any]:
        found = {record.run_id: self.publisher.layer(record.run_id) for record in self._session.runs}
        return {key: layer for key, layer in found.items() if layer is not None}

    def _put_surface(self, key: str, layer: Any) -> None:
        if layer.rendering != "iso" or self._levels.get(key, layer.iso_threshold) != layer.iso_threshold:
            return
        low, high = layer.contrast_limits
        layer.iso_threshold = low + SURFACE_LEVEL * (high - low)
        self._levels[key] = layer.iso_threshold

    def _on_frame(self) -> None:
        for key, layer in self._layers().items():
            if layer.visible:
                self._put_surface(key, layer)

    def _on_layer(self, key: str) -> None:
        record = self._session.run(key)
        if record is not None and record.active and self.mode != PROJECTION:
            QTimer.singleShot(0, self.apply)  # in a turn of its own: a new layer takes long enough
        else:
            self.changed.emit()

    def _on_display(self) -> None:
        self.changed.emit()


class ModeRow(QWidget):
    """A button for each mode, and one for the images of the current tilt.

    Parameters
    ----------
    modes : VolumeModes
    """

    #: Slices, or the images of the current tilt, were asked for.
    slices_wanted, tilt_wanted = Signal(), Signal()

    def __init__(self, modes: VolumeModes) -> None:
        super().__init__()
        self._modes = modes
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(2)
        self.buttons: dict[str, QToolButton] = {}
        for mode, tip in _TIPS.items():
            button = self.buttons[mode] = toggle(mode, tip)
            button.clicked.connect(lambda _=False, mode=mode: self._on_click(mode))
            self.row.addWidget(button)
        self.row.addStretch(1)
        self.tilt = toggle("Tilt…", "The current tilt: measured, simulated, difference; below the canvas")
        self.tilt.setCheckable(False)
        self.tilt.clicked.connect(self.tilt_wanted)
        self.row.addWidget(self.tilt)
        modes.changed.connect(self._refresh)
        self._refresh()

    def _on_click(self, mode: str) -> None:
        self._modes.choose(mode)
        self._refresh()
        if mode == SLICES:
            self.slices_wanted.emit()

    def _refresh(self) -> None:
        seen = self._modes.shown() or self._modes.mode
        for mode, button in self.buttons.items():
            button.setChecked(mode == seen)


def toggle(text: str, tip: str) -> QToolButton:
    """Make a flat button that can stay down."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    set_role(button, "toggle")
    return button
