"""What napari itself opened (File ▸ Open Sample, a file dropped on it): seen, and a series the session's."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, publisher_for
from napari_phaset3m.gui.layers.volumes import show_opened
from napari_phaset3m.gui.series.loader import loader_for
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_phaset3m.gui.widgets.notes import Note
    from napari_phaset3m.session import Session


def source_of(layer: Layer) -> Path | None:
    """The file of a layer that our reader made of a series; None for any other layer."""
    told = layer.metadata.get(METADATA_KEY, {})
    return Path(told["source"]) if told.get("kind") == "series" and told.get("source") else None


class SeriesLayers(QObject):
    """Loads the series of such a layer when none is open, else offers it; the panel's own image takes over.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
        Held weakly.
    parent : QObject
    """

    def __init__(self, session: Session, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._viewer = session, ref(viewer)
        self._loader = loader_for(session)
        self._note: Note | None = None
        self._loader.loaded.connect(self._on_loaded)
        follow(session.opened, self._on_opened)
        follow(viewer.layers.events.inserted, self._on_inserted)
        for layer in viewer.layers:
            self._take(layer)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        self._take(layer)
        if layer.source.path or layer.source.sample:  # else a project has brought it back as it was
            # In a turn of its own: whoever put the layer in may not be done with it.
            QTimer.singleShot(0, partial(self._let_it_be_seen, ref(layer)))

    def _let_it_be_seen(self, kept: ReferenceType[Layer]) -> None:
        """Images are flat, and volumes hide each other in 3D."""
        viewer, layer = self._viewer(), kept()
        if viewer is None or layer is None or layer not in viewer.layers:
            return
        told = layer.metadata.get(METADATA_KEY, {})
        if told.get("kind") == "volume" and not told.get("role"):
            show_opened(publisher_for(self._session, viewer), layer)
        elif source_of(layer) is not None and viewer.dims.ndisplay == 3:
            viewer.dims.ndisplay = 2
            viewer.reset_view()

    def _take(self, layer: Layer) -> None:
        path, session = source_of(layer), self._session
        if path is None or self._loader.busy:
            return
        if session.series is None:
            self._loader.load(path)
        elif path != session.series_path:
            self._offer(path)

    def _offer(self, path: Path) -> None:
        """Another series is open: it stays, unless the user wants the new one in its place."""
        kept = self._session.attachments.get("workspace")
        workspace = kept() if kept is not None else None
        if workspace is not None and isalive(workspace):
            text = f"{path.name} is a layer only: the workspace still has {self._session.series_name}."
            action = ("Open it here", partial(self._loader.load, path))
            self._note = workspace.bar.notes.add(text, "warning", [action])

    def _on_opened(self) -> None:
        note, self._note = self._note, None
        if note is not None and isalive(note):
            note.close_note()

    def _on_loaded(self) -> None:
        QTimer.singleShot(0, self._give_way)  # likewise

    def _give_way(self) -> None:
        viewer, path = self._viewer(), self._session.series_path
        if viewer is not None and path is not None:
            for layer in [la for la in viewer.layers if source_of(la) == path]:
                viewer.layers.remove(layer)
            images = publisher_for(self._session, viewer).layer(IMAGES)
            if viewer.layers.selection.active is None and images is not None:
                viewer.layers.selection.active = images  # else napari has no controls for what is seen
