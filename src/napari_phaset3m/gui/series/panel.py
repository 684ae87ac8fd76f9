"""Series panel: open a tilt/focal series, look through it, complete its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.importing.dialog import open_import
from napari_phaset3m.gui.importing.line import ImportLine
from napari_phaset3m.gui.importing.work import import_work_for
from napari_phaset3m.gui.layers.images import IMAGES, show_changed_images, show_image, show_new_series
from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.panel_dock import as_panel
from napari_phaset3m.gui.series.file import SeriesFile
from napari_phaset3m.gui.series.image_table import ImageTable
from napari_phaset3m.gui.series.layers import SeriesLayers
from napari_phaset3m.gui.series.loader import line_without_folder
from napari_phaset3m.gui.series.metadata_form import MetadataForm, doubts, missing_for_multislice
from napari_phaset3m.gui.series.view import SeriesView, same_images
from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.steps.history_list import undo_keys
from napari_phaset3m.gui.theme import GROUP_SPACING, PANEL_MAX_WIDTH, PANEL_MIN_WIDTH
from napari_phaset3m.gui.tour import tour_command
from napari_phaset3m.gui.watch.dialog import open_watch
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.scrolling import Column, DownScroll
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components

#: What is not a series yet, by the end of its name.
_RAW = (".mdoc", ".eer", ".dm3", ".dm4", ".emd", ".ser", ".hspy")


class SeriesPanel(Column):
    """Everything that concerns the input; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_for(napari_viewer)
        self._publisher = publisher_for(self._session, napari_viewer)
        self._shown: TiltFocalSeries | None = None
        self._generation = -1
        self.setAcceptDrops(True)
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        self.file, self.importing = SeriesFile(self._session), ImportLine(import_work_for(self._session))
        self.view, self.table, self.form = SeriesView(), ImageTable(), MetadataForm()
        self._build()
        self._connect()
        as_panel(self, napari_viewer)
        self._on_series(self._session.series)
        self._layers = SeriesLayers(self._session, napari_viewer, self)

    def _build(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.addTab(self.table, "Images")
        self.tabs.addTab(DownScroll(self.form), "Microscope")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(self.file)
        layout.addWidget(self.importing)
        layout.addWidget(self.view)
        layout.addWidget(self.tabs, 1)
        self._spare = QWidget()
        self._spare.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout.addWidget(self._spare)

    def _connect(self) -> None:
        self.file.import_wanted.connect(self._on_import)
        self.importing.dialog_wanted.connect(self._on_import)
        self.importing.failed.connect(self.file.say)
        self.file.watch_wanted.connect(self._on_watch)
        self.file.tour_wanted.connect(self._on_tour)
        self.view.moved.connect(self._draw)
        self.view.show_requested.connect(self._on_show)
        self.table.selected.connect(self._on_selected)
        self.table.images.changed.connect(self._on_changed)
        self.table.images.refused.connect(self.file.say)
        self.form.changed.connect(self._on_changed)
        undo_keys(self, self._on_undo, self._on_redo)
        follow(self._session.events.series, self._on_session_series)
        follow(self._session.events.shown_image, self._on_shown)
        layers, canvas = self._viewer.layers.events, self._viewer.dims.events.ndisplay
        for event in (layers.inserted, layers.removed, canvas, self._publisher.visibility_changed):
            follow(event, self._on_canvas)

    def dragEnterEvent(self, event: Any) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls() and event.mimeData().urls()[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open a series that was dropped; several files, folders and raw ones are imported."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls()]
        if len(paths) > 1 or is_raw(paths[0]):
            open_import(self._viewer, paths)
        else:
            self.file.open_path(paths[0])
        event.acceptProposedAction()

    def _on_undo(self) -> None:
        if not step_driver_for(self._session).busy:
            self._session.undo()

    def _on_redo(self) -> None:
        if not step_driver_for(self._session).busy:
            self._session.redo()

    def _on_import(self) -> None:
        open_import(self._viewer)

    def _on_tour(self) -> None:
        tour_command(self._viewer)

    def _on_watch(self) -> None:
        open_watch(self._viewer)

    def _on_session_series(self, series: TiltFocalSeries | None) -> None:
        before = self._generation
        self._on_series(series)
        another = series is not None and self._generation != before
        # in 3D the volumes of before would hide it; a run puts images aside, and another stack turns to 2D
        if another and self._publisher.hidden(IMAGES):
            self._publisher.bring_forward(IMAGES)
            self._on_canvas()

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        old, self._shown = self._shown, series
        generation, self._generation = self._generation, self._session.history.generation
        edited = generation == self._generation
        self.view.set_series(series, keep=_same_grid(old, series) and edited)
        self.table.images.set_series(series)
        self.form.set_series(series)
        for widget in (self.view, self.tabs):
            widget.setVisible(series is not None)
        self._spare.setVisible(series is None)
        self.file.show_series(series, edited=edited)
        if series is None:
            return
        missing, doubtful = missing_for_multislice(series), doubts(series)
        state = f" · {len(missing)} missing" if missing else " · check" if doubtful else ""
        self.tabs.setTabText(1, f"Microscope{state}")
        if not edited:
            self.tabs.setCurrentIndex(1 if state else 0)
            show_new_series(self._publisher, series, *self.view.position(), self._session.series_name)
        elif old is None or not same_images(old, series):
            show_changed_images(self._publisher, series, *self.view.position(), self._session.series_name)
        self._draw()

    def _show_image(self, tilt: int, focus: int) -> None:
        series = self._session.series
        if series is not None:
            show_image(self._publisher, series, tilt, focus, self._session.series_name)
        self._on_canvas()

    def _draw(self, *_: object) -> None:
        tilt, focus = self._session.shown_image = self.view.position()
        self._show_image(tilt, focus)
        self.table.select_image(tilt, focus)

    def _on_shown(self, place: tuple[int, int]) -> None:
        if self._session.series is not None and place != self.view.position():
            self.view.place(*place)
            self.table.select_image(*place)

    def _on_selected(self, tilt: int, focus: int) -> None:
        self.view.place(tilt, focus)
        self._session.shown_image = (tilt, focus)
        self._show_image(tilt, focus)

    def _on_show(self) -> None:
        self._draw()
        self._publisher.bring_forward(IMAGES)
        self._on_canvas()

    def _on_canvas(self, event: object = None) -> None:
        self.view.forward.setVisible(self._session.series is not None and self._publisher.hidden(IMAGES))

    def _on_changed(self, changes: dict[str, Any]) -> None:
        series = self._session.series
        if series is None:
            return
        try:
            edited = series.replace(**changes)
        except PhaseT3MError as error:
            self.file.say(line_without_folder(error))
            return
        self.file.say("")
        self._session.series = edited

    def sizeHint(self) -> Any:
        """As wide as a panel may be."""
        hint = super().sizeHint()
        hint.setWidth(PANEL_MAX_WIDTH - 10)
        return hint


def _same_grid(old: TiltFocalSeries | None, new: TiltFocalSeries | None) -> bool:
    """Whether both have as many tilts and foci."""
    return old is not None and new is not None and old.images.shape[:2] == new.images.shape[:2]


def is_raw(path: Path) -> bool:
    """Whether a file or folder is to be imported rather than opened."""
    if path.is_dir():
        return not path.name.endswith(".zarr")
    return path.suffix.lower() in _RAW
