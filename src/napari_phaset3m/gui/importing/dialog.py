"""From raw files to a series: look, mend every cell, bin and crop, import."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.importing.given import GivenBox
from napari_phaset3m.gui.importing.picture import CropPicture
from napari_phaset3m.gui.importing.table import ImportTable
from napari_phaset3m.gui.importing.target import target_text
from napari_phaset3m.gui.importing.widgets import QuestionsBox, SizeBox, WholeBox
from napari_phaset3m.gui.importing.work import ImportWork, import_work_for
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, ElidedLabel, follow_theme, label, set_role
from napari_phaset3m.gui.widgets.ask_bar import INVERTS
from napari_phaset3m.gui.widgets.dialogs import show_dialog
from napari_phaset3m.gui.widgets.field_words import import_text
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel

TITLE = "Import a series"
_SIZE = (1100, 660)
#: More notes than these are in the tooltip only.
MOST_NOTES = 6
_FILES = (
    "Images, movies and what describes them "
    "(*.mrc *.st *.mrcs *.ali *.rec *.mdoc *.tif *.tiff *.eer *.dm3 *.dm4 *.emd *.ser *.hspy *.h5 *.toml"
    " *.tlt *.rawtlt *.defocus *.com *.txt);;All files (*)"
)
INVITATION = (
    "Choose the files of a series, or drop them here: stacks with their .mdoc, .tlt and .defocus, "
    "single images or movies of each tilt, one stack for each defocus."
)


class ImportDialog(QDialog):
    """Sets up an import; the import itself belongs to the session.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.work: ImportWork = import_work_for(session_for(viewer))
        self.setWindowTitle(TITLE)
        self.setAcceptDrops(True)
        self.resize(*_SIZE)
        self.table, self.picture = ImportTable(), CropPicture()
        self.whole, self.questions = WholeBox(self.work), QuestionsBox(self.work)
        self.size_box, self.given = SizeBox(self.work), GivenBox(self.work)
        self._build()
        self._connect()
        follow_theme(self, viewer)
        self._refresh()
        if self.work.plan is not None:
            self.work.show_row(self.work.row)

    def _build(self) -> None:
        self.files, self.folder = QPushButton("Files…"), QPushButton("Folder…")
        self.source = ElidedLabel("")
        self.invitation = label(INVITATION, "muted", wrap=True)
        self.invitation.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.problem = label("", "error", wrap=True)
        head = QHBoxLayout()
        for widget in (self.files, self.folder):
            head.addWidget(widget)
        head.addWidget(self.source, 1)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.addWidget(self._left())
        self.split.addWidget(self._right())
        self.split.setStretchFactor(0, 3)
        self.split.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(GROUP_SPACING)
        layout.addLayout(head)
        layout.addWidget(self.problem)
        self.as_dark_field = QPushButton("Import as dark field")
        self.as_dark_field.setToolTip(INVERTS)
        self.as_dark_field.setAutoDefault(False)
        layout.addWidget(self.as_dark_field, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.invitation, 1)
        layout.addWidget(self.split, 4)
        layout.addLayout(self._foot())

    def _left(self) -> QWidget:
        side = QWidget()
        self.notes = label("", "muted", wrap=True)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(LINE_SPACING)
        column.addWidget(self.table, 1)
        column.addWidget(self.questions)
        column.addWidget(self.notes)
        return side

    def _right(self) -> QWidget:
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(8, 0, 0, 0)
        column.setSpacing(GROUP_SPACING)
        column.addWidget(self.picture, 1)
        for box in (self.size_box, self.given, self.whole):
            column.addWidget(box)
        return side

    def _foot(self) -> QHBoxLayout:
        self.target = ElidedLabel("")
        self.browse = QPushButton("Save as…")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.hide()
        self.state = label("", "muted", wrap=True)
        self.go, self.cancel = QPushButton("Import"), QPushButton("Close")
        self.go.setMinimumHeight(30)
        self.go.setDefault(False)
        self.go.setAutoDefault(False)
        words = QVBoxLayout()
        words.setSpacing(LINE_SPACING)
        for widget in (self.target, self.bar, self.state):
            words.addWidget(widget)
        foot = QHBoxLayout()
        foot.addWidget(self.browse)
        foot.addLayout(words, 1)
        foot.addWidget(self.go)
        foot.addWidget(self.cancel)
        for button in (self.browse, self.files, self.folder, self.cancel):
            button.setAutoDefault(False)
        return foot

    def _connect(self) -> None:
        work = self.work
        self.files.clicked.connect(self._on_files)
        self.folder.clicked.connect(self._on_folder)
        self.browse.clicked.connect(self._on_browse)
        self.go.clicked.connect(work.start)
        self.as_dark_field.clicked.connect(partial(work.start, dark_field=True))
        self.cancel.clicked.connect(self._on_cancel)
        self.table.selected.connect(work.show_row)
        self.table.images.edited.connect(work.set_plan)
        self.table.images.refused.connect(self._on_refused)
        self.picture.cropped.connect(self._on_cropped)
        self.size_box.crop_wanted.connect(self._on_crop)
        work.changed.connect(self._refresh)
        work.pictured.connect(self._on_picture)
        work.progressed.connect(self._on_progress)
        work.finished.connect(self.accept)

    # what the user does

    def dragEnterEvent(self, event: Any) -> None:
        """Take files and folders, unless it imports."""
        urls = event.mimeData().urls()
        if urls and not self.work.busy and all(url.isLocalFile() for url in urls):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Look at what was dropped."""
        self.work.look([Path(url.toLocalFile()) for url in event.mimeData().urls()])
        event.acceptProposedAction()

    def _folder(self) -> str:
        return str(self.work.paths[0].parent) if self.work.paths else ""

    def _on_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Files of a series", self._folder(), _FILES)
        self.work.look([Path(path) for path in paths])

    def _on_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of a series", self._folder())
        if path:
            self.work.look([Path(path)])

    def _on_browse(self) -> None:
        start = str(self.work.target or "series.toml")
        path, _ = QFileDialog.getSaveFileName(self, "Save the import as", start, "Series (*.toml)")
        if path:
            self.work.target = Path(path).with_suffix(".toml")
            self._refresh()

    def _on_crop(self, wanted: bool) -> None:
        self._on_cropped(self.picture.middle() if wanted else None)

    def _on_cropped(self, crop: tuple[int, int, int, int] | None) -> None:
        self.work.set_config(crop=crop)

    def _on_cancel(self) -> None:
        if self.work.busy:
            self.work.stop()
        else:
            self.reject()

    def _on_refused(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    # showing

    def _on_picture(self, image: Any, step: int) -> None:
        if self.work.plan is not None:
            self.picture.show_image(image, step)
            self.picture.set_crop(self.work.config.crop)

    def _on_progress(self, text: str, fraction: float) -> None:
        self.bar.setUpdatesEnabled(False)
        self.bar.setValue(round(1000 * fraction))
        self.bar.setUpdatesEnabled(True)
        self.state.setText(text)

    def _refresh(self) -> None:
        work, plan = self.work, self.work.plan
        if self.table.images.plan is not plan:
            self.table.row = work.row
            self.table.images.set_plan(plan)
        if plan is not None:
            self.picture.set_shape(plan.image_shape)
        self._on_refused(work.error)
        names = ", ".join(path.name for path in work.paths)
        self.source.set_full_text(names, "\n".join(map(str, work.paths)))
        self.invitation.setVisible(plan is None)
        self.split.setVisible(plan is not None)
        notes = () if plan is None else tuple(map(import_text, plan.notes))
        more = len(notes) - MOST_NOTES
        self.notes.setText(
            "\n".join(notes if more <= 0 else (*notes[:MOST_NOTES], f"and {more} more (point here)"))
        )
        self.notes.setToolTip("\n".join(notes))
        for part in (self.whole, self.questions, self.size_box, self.given):
            part.refresh()
        self.picture.set_crop(work.config.crop)
        self.target.set_full_text(target_text(work.target, busy=work.busy), str(work.target or ""))
        self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        work, why = self.work, self.work.why_not()
        self.go.setEnabled(not why)
        self.as_dark_field.setVisible(work.no_background and bool(work.error) and not why)
        self.go.setToolTip(why or "Load the images, write both files and open the series")
        self.bar.setVisible(work.busy)
        self.cancel.setText("Stop" if work.busy else "Close")
        idle = not work.busy
        self.browse.setEnabled(idle and work.plan is not None)
        self.browse.setToolTip(
            "Where the series is written" if work.plan is not None else "Choose files first"
        )
        for button in (self.files, self.folder):
            button.setEnabled(idle and not work.looking)
        self.table.setEnabled(idle)
        if not work.busy:
            text = why if work.plan is not None or work.looking else ""
            set_role(self.state, "warning" if text else "muted")
            self.state.setText(text or work.message)

    def showEvent(self, event: Any) -> None:
        """Learn which window the import belongs to."""
        super().showEvent(event)
        window = self.parentWidget().window() if self.parentWidget() is not None else None
        if isinstance(window, QMainWindow):
            self.work.watch_window(window)


def open_import(viewer: ViewerModel, paths: list[Path] | None = None) -> ImportDialog:
    """Show the import dialog of a viewer, made on first use.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    paths : list of Path, optional
        Looked at straight away.
    """
    dialog: ImportDialog = show_dialog(viewer, "import dialog", ImportDialog)
    if paths:
        dialog.work.look(paths)
    return dialog


def import_command(viewer: napari.Viewer) -> None:
    """Open the import dialog (a command of napari's menus)."""
    open_import(viewer)
