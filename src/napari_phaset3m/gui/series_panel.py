"""Series panel: open a tilt/focal series, look through it, complete its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.ask_bar import AskBar
from napari_phaset3m.gui.binding import follow
from napari_phaset3m.gui.image_layer import publisher_for
from napari_phaset3m.gui.image_table import ImageTable
from napari_phaset3m.gui.loader import FILE_FILTER, loader_for, missing_field, one_line, recent
from napari_phaset3m.gui.metadata_form import MetadataForm, missing_for_multislice
from napari_phaset3m.gui.series_view import SeriesView, same_images, show_image, summary
from napari_phaset3m.gui.theme import (
    GROUP_SPACING,
    LINE_SPACING,
    PANEL_MAX_WIDTH,
    PANEL_MIN_WIDTH,
    ElidedLabel,
    follow_theme,
    label,
    set_role,
)
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components


class SeriesPanel(QWidget):
    """Everything that concerns the input; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_for(napari_viewer)
        self._loader = loader_for(self._session)
        self._shown: TiltFocalSeries | None = None
        self.setAcceptDrops(True)
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        self._build()
        self._connect()
        follow_theme(self, napari_viewer)
        self._on_busy(self._loader.busy)
        self._on_series(self._session.series)
        if self._loader.error is not None:
            self._on_failed(self._loader.error)

    def _build(self) -> None:
        self.open = QToolButton()
        self.open.setText("Open series…")
        self.open.setToolTip("Open a tilt/focal series (or drop a file here); the arrow lists recent ones")
        self.open.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.open.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        set_role(self.open, "button")
        self._recent = QMenu(self.open)
        self.open.setMenu(self._recent)
        self.save = QPushButton("Save series as…")
        self.path, self.summary = ElidedLabel(), label("", "muted", wrap=True)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(4)
        self.problem = label("", "error", wrap=True)
        self.ask, self.view = AskBar(), SeriesView()
        self.table, self.form = ImageTable(), MetadataForm()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.table, "Images")
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.form)
        self.tabs.addTab(scroll, "Microscope")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open, 1)
        buttons.addWidget(self.save, 1)
        head = QVBoxLayout()
        head.setSpacing(LINE_SPACING)
        for widget in (self.path, self.progress, self.summary, self.problem, self.ask):
            head.addWidget(widget)
        set_role(self.path, "title")
        layout.addLayout(buttons)
        layout.addLayout(head)
        layout.addWidget(self.view)
        layout.addWidget(self.tabs, 1)
        self._spare = QWidget()
        layout.addWidget(self._spare)

    def _connect(self) -> None:
        self.open.clicked.connect(self._on_open)
        self._recent.aboutToShow.connect(self._on_recent)
        self.save.clicked.connect(self._on_save)
        self.ask.answered.connect(self._on_answer)
        self.view.moved.connect(self._draw)
        self.view.show_requested.connect(self._on_show)
        self.table.selected.connect(self._on_selected)
        self.table.images.changed.connect(self._on_changed)
        self.table.images.refused.connect(self._say)
        self.form.changed.connect(self._on_changed)
        self._loader.busy_changed.connect(self._on_busy)
        self._loader.failed.connect(self._on_failed)
        self._loader.saved.connect(self._on_saved)
        follow(self._session.events.series, self._on_series)
        layers = self._viewer.layers.events
        images = publisher_for(self._viewer, self._session.attachments)
        canvas = self._viewer.dims.events.ndisplay
        for event in (layers.inserted, layers.removed, canvas, images.visibility_changed):
            follow(event, self._on_canvas)

    # opening and saving

    def open_path(self, path: str | Path) -> None:
        """Load a file in the background."""
        self._say("")
        self.ask.hide()
        self._loader.load(path)

    def _on_open(self) -> None:
        start = str(self._session.series_path.parent) if self._session.series_path else ""
        path, _ = QFileDialog.getOpenFileName(self, "Open tilt/focal series", start, FILE_FILTER)
        if path:
            self.open_path(path)

    def _on_recent(self) -> None:
        self._recent.clear()
        for path in recent():
            action = self._recent.addAction(Path(path).name)
            action.setToolTip(path)
            action.setData(path)
            action.triggered.connect(self._on_recent_chosen)
        if self._recent.isEmpty():
            self._recent.addAction("No recent series").setEnabled(False)

    def _on_recent_chosen(self) -> None:
        self.open_path(self.sender().data())

    def _on_save(self) -> None:
        source = self._session.series_path
        start = str(source.with_name(f"{source.stem}_edited.h5")) if source else "series.h5"
        path, _ = QFileDialog.getSaveFileName(self, "Save series as", start, "PhaseT3M series (*.h5)")
        if path:
            self._say("")
            self._loader.save(path)

    def _on_saved(self, path: str) -> None:
        self._say(f"Saved {Path(path).name}", "good")

    def _on_busy(self, busy: bool) -> None:
        self.progress.setVisible(busy)
        self.open.setEnabled(not busy)
        if busy and self._loader.path is not None:
            self.path.set_full_text(f"Opening {self._loader.path.name} …", str(self._loader.path))
        else:
            self._show_path()
        self._explain_save()

    def _explain_save(self) -> None:
        ready = self._session.series is not None and not self._loader.busy
        self.save.setEnabled(ready)
        self.save.setToolTip(
            "Write images and metadata to a new .h5 file" if ready else "There is no series to save yet"
        )

    def _on_failed(self, error: Exception) -> None:
        self._show_path()
        key = missing_field(error)
        if self.ask.can_ask(key) and self._loader.path is not None:
            self._say("")
            self.ask.ask(str(key), self._loader.path.name)
            return
        self._say(one_line(error))

    def _on_answer(self, overrides: dict[str, Any]) -> None:
        if self._loader.path is not None:
            self.ask.hide()
            self._loader.load(self._loader.path, **{**self._loader.overrides, **overrides})

    def dragEnterEvent(self, event: Any) -> None:
        """Take one file or folder."""
        if event.mimeData().hasUrls() and event.mimeData().urls()[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open what was dropped."""
        self.open_path(event.mimeData().urls()[0].toLocalFile())
        event.acceptProposedAction()

    def _say(self, text: str, role: str = "error") -> None:
        set_role(self.problem, role)
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    def _show_path(self) -> None:
        series, path = self._session.series, self._session.series_path
        if series is None:
            self.path.set_full_text("No series is open", "Open a file or drop one here")
        else:
            name = self._session.series_name + (" (edited)" if self._loader.edited else "")
            self.path.set_full_text(name, str(path or name))

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        old, self._shown = self._shown, series
        keep = old is not None and series is not None and same_images(old, series)
        self.view.set_series(series, keep=keep)
        self.table.images.set_series(series)
        self.form.set_series(series)
        for widget in (self.view, self.tabs):
            widget.setVisible(series is not None)
        self._spare.setVisible(series is None)
        self._spare.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._show_path()
        self._explain_save()
        self.summary.setText(
            summary(series)
            if series is not None
            else "Open a series of images at many tilts and one or several defoci, or drop its file here."
        )
        if series is None:
            return
        missing = missing_for_multislice(series)
        self.tabs.setTabText(1, f"Microscope · {len(missing)} missing" if missing else "Microscope")
        if not keep:
            self._say("")
            self.ask.hide()
            self.tabs.setCurrentIndex(1 if missing else 0)
            publisher_for(self._viewer, self._session.attachments).new_series(
                series, self._session.series_name
            )
        self._draw()

    def _draw(self, *_: object) -> None:
        tilt, focus = self.view.position()
        show_image(self._viewer, self._session, tilt, focus)
        self.table.select_image(tilt, focus)
        self._on_canvas()

    def _on_selected(self, tilt: int, focus: int) -> None:
        self.view.place(tilt, focus)
        show_image(self._viewer, self._session, tilt, focus)
        self._on_canvas()

    def _on_show(self) -> None:
        images = publisher_for(self._viewer, self._session.attachments)
        self._draw()
        images.bring_forward()
        self._on_canvas()

    def _on_canvas(self, event: object = None) -> None:
        images = publisher_for(self._viewer, self._session.attachments)
        self.view.forward.setVisible(self._session.series is not None and images.hidden())

    # editing

    def _on_changed(self, changes: dict[str, Any]) -> None:
        series = self._session.series
        if series is None:
            return
        try:
            edited = series.replace(**changes)
        except PhaseT3MError as error:
            self._say(one_line(error))
            return
        self._say("")
        self._session.series = edited

    def sizeHint(self) -> Any:
        """As wide as a panel may be."""
        hint = super().sizeHint()
        hint.setWidth(PANEL_MAX_WIDTH - 10)
        return hint
