"""The keys of this plugin: one table, from which they are bound and the cheat sheet is made.

napari has its own: Space pans while something is drawn, arrows step through dimensions, and B, M
and P belong to labels, points and shapes. A key of a layer that is selected always goes first, so
that drawing keeps its keys; Space is only taken while something runs, and still pans while drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_phaset3m.gui.canvas.keys import CanvasKeys
from napari_phaset3m.gui.layers.images import IMAGES, show_image
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, LayerPublisher, publisher_for
from napari_phaset3m.gui.mask.layer import MASK, painting
from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import Session

_KEY = "keys"
CANVAS = "Canvas, panels and views"
ALIGN = "Canvas, step Align, “Arrow keys” pressed"
PANEL = "Panels"
COMPARE = "Compare"
ANY = "Anywhere in the window"


@dataclass(frozen=True, slots=True)
class Binding:
    """A key and what it does.

    Attributes
    ----------
    keys : str
        As a person reads it.
    what : str
    where : str
        What must have the keyboard.
    note : str
        What else the key does, and when.
    name : str
        Of the action that is bound here; empty for keys that a panel binds itself.
    """

    keys: str
    what: str
    where: str
    note: str = ""
    name: str = ""


BINDINGS = (
    Binding("Space", "Pause what runs, or go on", CANVAS,
            "while drawing it pans, as ever; on a button it presses it", "pause"),
    Binding("N", "Next tilt", CANVAS, name="next"),
    Binding("P", "Previous tilt", CANVAS, "with labels, points or shapes selected: napari's", "previous"),
    Binding("B", "Blink: the other picture (Align, Compare)", CANVAS,
            "with labels or shapes selected: napari's", "blink"),
    Binding("M", "Show or hide the mask; without one, step Mask", CANVAS,
            "of several masks the one that is selected; with other labels selected: napari's", "mask"),
    Binding("← → ↑ ↓", "Move the picture by 0.1 px", ALIGN, "else they are napari's"),
    Binding("Shift + arrow", "Move the picture by 1 px", ALIGN),
    Binding("Space", "Use the image, or leave it out", "Table of step Series"),
    Binding("Ctrl+Z", "Undo", PANEL, "in step Mask: of the recipe"),
    Binding("Ctrl+Shift+Z", "Redo", PANEL),
    Binding("B", "Go on to the next volume (layout Blink)", COMPARE),
    Binding("F1", "These keys", ANY, name="keys"),
)  # fmt: skip
_LETTERS = {"N": "next", "P": "previous", "B": "blink", "M": "mask"}
#: By the number that a key event tells: Qt 6's names of keys are no numbers.
_QT = {
    int(getattr(key, "value", key)): name
    for key, name in (
        (Qt.Key.Key_Space, "pause"), (Qt.Key.Key_N, "next"), (Qt.Key.Key_P, "previous"),
        (Qt.Key.Key_B, "blink"), (Qt.Key.Key_M, "mask"),
    )
}  # fmt: skip


class WorkspaceKeys(QObject):
    """Binds the keys of one session on the canvas, and acts on those that panels pass on.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self._publisher: LayerPublisher = publisher_for(session, viewer)
        self.actions: dict[str, Callable[[], None]] = {
            "pause": self.pause, "next": self.next_tilt, "previous": self.previous_tilt,
            "blink": self.blink, "mask": self.mask,
        }  # fmt: skip
        self._letters = CanvasKeys(viewer, {key: self.actions[name] for key, name in _LETTERS.items()})
        self._letters.bind()
        self._space = CanvasKeys(viewer, {"Space": self._on_space})
        follow(viewer.layers.selection.events.active, self._on_active)
        follow(session.events.active_run, self._on_busy)
        step_driver_for(session).changed.connect(self._on_busy)
        self._on_busy()

    def _on_busy(self, *_: object) -> None:
        self._space.bind(self.pausable)

    def _on_active(self, *_: object) -> None:
        """napari's M (a new label) would be taken before ours by a mask that is selected."""
        layer = self._selected_mask()
        if layer is not None:
            layer.bind_key("M", lambda _: self.mask(), overwrite=True)

    def _selected_mask(self) -> Any:
        viewer = self._publisher.viewer
        layer: Any = None if viewer is None else viewer.layers.selection.active
        told = {} if layer is None else layer.metadata.get(METADATA_KEY, {})
        return layer if told.get("role") == "mask" else None

    def watch(self, job: Any) -> None:
        """Take Space while this job is busy too (something with a signal ``changed``)."""
        job.changed.connect(self._on_busy)

    @property
    def pausable(self) -> bool:
        """Whether something runs that can be held."""
        halves = self._session.attachments.get("analyse halves")
        running = self._session.active_run is not None or step_driver_for(self._session).busy
        return running or (halves is not None and halves.busy)

    def _on_space(self) -> Iterator[None]:
        """Pause; where a layer is drawn in, pan for as long as the key is held, as napari does."""
        viewer = self._publisher.viewer
        layer: Any = None if viewer is None else viewer.layers.selection.active
        mode = "pan_zoom" if layer is None else str(layer.mode)
        if mode == "pan_zoom":
            self.pause()
            yield
        else:
            layer.mode = "pan_zoom"
            yield
            layer.mode = mode

    def handle(self, event: Any) -> bool:
        """Act on a key that nothing in a panel wanted; whether it was one of these."""
        name = _QT.get(int(event.key()))
        if name is None or event.modifiers() or (event.isAutoRepeat() and name not in ("next", "previous")):
            return False
        self.actions[name]()
        return True

    # actions

    def pause(self) -> None:
        """Hold what runs, or go on."""
        session = self._session
        steps, halves = step_driver_for(session), session.attachments.get("analyse halves")
        record, driver = session.run(session.active_run), session.attachments.get("driver")
        if record is not None and driver is not None:
            driver.toggle_pause()
        elif steps.busy:
            steps.toggle_pause()
        elif halves is not None and halves.busy:
            halves.toggle_pause()

    def next_tilt(self) -> None:
        """Look at the next tilt."""
        self._go(1)

    def previous_tilt(self) -> None:
        """Look at the tilt before."""
        self._go(-1)

    def _go(self, by: int) -> None:
        session, series = self._session, self._session.series
        if series is None:
            return
        tilt, focus = session.shown_image
        tilt = min(max(tilt + by, 0), series.n_tilt - 1)
        if (tilt, focus) == session.shown_image:
            return
        session.shown_image = (tilt, focus)
        if self._publisher.layer(IMAGES) is not None:
            show_image(self._publisher, series, tilt, focus, session.series_name)

    def blink(self) -> None:
        """Show the other picture of what is compared."""
        compare = self._living("compare")
        if compare is not None and compare.isVisible():
            compare.blink()
            return
        check = self._session.attachments.get("align check")
        if check is not None and check.active:
            check.blink()

    def mask(self) -> None:
        """Show or hide the mask, a selected one first; where there is none, go to the step that makes one."""
        layer: Any = self._selected_mask() or self._publisher.layer(MASK)
        if layer is not None and not painting(layer):
            layer.visible = not layer.visible
        elif layer is None:
            workspace = self._living("workspace")
            if workspace is not None:
                workspace.show_step("Mask")

    def _living(self, key: str) -> Any:
        kept = self._session.attachments.get(key)
        found = kept() if kept is not None else None
        return found if found is not None and isalive(found) else None


def keys_for(session: Session, viewer: ViewerModel) -> WorkspaceKeys:
    """Return the keys of a session, bound on first use."""
    found: WorkspaceKeys | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = WorkspaceKeys(session, viewer)
    return found


def help_key(widget: QWidget, slot: Callable[[], None]) -> None:
    """Let F1 show the keys in the window of a widget."""
    shortcut = QShortcut(QKeySequence("F1"), widget)
    shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
    shortcut.activated.connect(slot)
