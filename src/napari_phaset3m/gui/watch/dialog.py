"""Watch a folder: the tilts that have arrived, a quick volume on the canvas, and "use this series"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, ElidedLabel, follow_theme, label, set_role
from napari_phaset3m.gui.watch.work import WatchWork, watch_work_for
from napari_phaset3m.gui.widgets.dialogs import show_dialog
from napari_phaset3m.gui.widgets.field_words import import_text
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.jobs.watch import Looked, TiltRow

TITLE = "Watch a folder"
INVITATION = (
    "Choose the folder that the microscope writes into. Tilts (MRC, TIFF, DM …; the angle in an .mdoc or in "
    "the name) are checked when they are complete, and a quick volume follows on the canvas."
)
_SIZE = (520, 600)
#: Of a column that fits its text, px.
_WIDEST = 220
_WORDS = {"good": "✓ in the series", "waiting": "…", "skipped": "✗"}
#: Field of the settings, its name here, unit by which it is multiplied, what it does.
_FIELDS = (
    ("pattern", "Names", 0.0, "Which files to take, e.g. TS_01*; several separated by commas"),
    ("pixel_size_angstrom", "Pixel size (Å)", 1.0, "Empty: as the files state it"),
    ("energy_ev", "Voltage (kV)", 1e3, "Empty: as the files state it"),
    ("tilt_axis_angle_deg", "Tilt axis (°)", 1.0, "From +y towards −x. Empty: as the files state it"),
)


class WatchDialog(QDialog):
    """Sets up and shows the watching; the watching itself belongs to the session.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.work: WatchWork = watch_work_for(session_for(viewer), viewer)
        self._rows: tuple[TiltRow, ...] = ()
        self.setWindowTitle(TITLE)
        self.resize(*_SIZE)
        self._build()
        self.folder.clicked.connect(self._on_folder)
        self.go.clicked.connect(self._on_go)
        self.use.clicked.connect(self.work.use)
        self.work.changed.connect(self._refresh)
        self.work.looked.connect(self._on_looked)
        self.work.progressed.connect(self._on_progress)
        follow_theme(self, viewer)
        if self.work.newest is not None:
            self._on_looked(self.work.newest)
        self._refresh()

    def _build(self) -> None:
        self.folder, self.path = QPushButton("Folder…"), ElidedLabel("")
        self.invitation = label(INVITATION, "muted", wrap=True)
        head = QHBoxLayout()
        head.addWidget(self.folder)
        head.addWidget(self.path, 1)
        self.fields: dict[str, QLineEdit] = {}
        form = QFormLayout()
        form.setVerticalSpacing(LINE_SPACING)
        for name, title, _, tip in _FIELDS:
            line = self.fields[name] = QLineEdit()
            line.setPlaceholderText("all images" if name == "pattern" else "as the files state")
            line.setToolTip(tip)
            line.editingFinished.connect(self._take_fields)
            form.addRow(title, line)
        self.positive = QCheckBox("Positive potential")
        self.positive.setToolTip("Hold the values of the quick volume positive")
        self.positive.setChecked(self.work.config.positivity)
        self.positive.toggled.connect(lambda on: self.work.set_config(positivity=on))
        form.addRow("", self.positive)
        self.status, self.quick = label("", "muted", wrap=True), label("", "muted", wrap=True)
        self.notes, self.told = label("", "muted", wrap=True), label("", "warning", wrap=True)
        self.problem = label("", "error", wrap=True)
        self.told.hide()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(GROUP_SPACING)
        layout.addLayout(head)
        layout.addWidget(self.invitation)
        layout.addLayout(form)
        layout.addWidget(self._make_table(), 1)
        for widget in (self.bar, self.status, self.told, self.quick, self.notes, self.problem):
            layout.addWidget(widget)
        layout.addLayout(self._foot())

    def _make_table(self) -> QTableWidget:
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Tilt", "File", "State"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(self.table.fontMetrics().height() + 8)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setMaximumSectionSize(_WIDEST)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        return self.table

    def _foot(self) -> QHBoxLayout:
        self.go, self.use = QPushButton("Start"), QPushButton("Use this series")
        self.close_ = QPushButton("Close")
        self.close_.clicked.connect(self.close)
        foot = QHBoxLayout()
        foot.addWidget(self.go, 1)
        foot.addWidget(self.use, 1)
        foot.addWidget(self.close_)
        for button in (self.go, self.use, self.close_, self.folder):
            button.setAutoDefault(False)
        return foot

    # what the user does

    def _on_folder(self) -> None:
        start = "" if self.work.folder is None else str(self.work.folder)
        path = QFileDialog.getExistingDirectory(self, "Folder that the microscope writes into", start)
        if path:
            self.work.set_folder(Path(path))

    def _take_fields(self) -> bool:
        """Take the fields into the settings; whether they can be used."""
        values: dict[str, Any] = {}
        for name, title, unit, _ in _FIELDS:
            text = self.fields[name].text().strip()
            if not unit:
                values[name] = text or "*"
                continue
            try:
                values[name] = float(text.replace(",", ".")) * unit if text else None
            except ValueError:
                self._say(f"{title}: {text} is no number", "error")
                return False
        problem = self.work.set_config(**values)
        if problem:
            self._say(problem, "error")
        return not problem

    def _on_go(self) -> None:
        if self.work.busy:
            self.work.stop()
        elif self._take_fields():
            self.work.start()

    # showing

    def _say(self, text: str, role: str) -> None:
        set_role(self.problem, role)
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    def _on_progress(self, text: str, fraction: float) -> None:
        self.bar.setValue(round(1000 * fraction))
        self.status.setText(text)

    def _on_looked(self, looked: Looked) -> None:
        self.bar.setValue(0)
        if looked.rows != self._rows:
            self._rows = looked.rows
            self._fill(looked.rows)
        waiting = sum(row.state == "waiting" for row in looked.rows)
        skipped = sum(row.state == "skipped" for row in looked.rows)
        parts = [f"{looked.n_tilt} tilts, {looked.n_good} images"]
        parts += [f"{waiting} being written"] * bool(waiting) + [f"{skipped} left out"] * bool(skipped)
        self.status.setText(", ".join(parts))
        lines = [f"To confirm: {import_text(str(question))}" for question in looked.questions]
        self.told.setText("\n".join(lines))
        self.told.setVisible(bool(self.told.text()))
        self._refresh()

    def _fill(self, rows: tuple[TiltRow, ...]) -> None:
        self.table.setRowCount(len(rows))
        for place, row in enumerate(rows):
            where = row.file.name + (f" · {row.section + 1}" if row.section else "")
            words = _WORDS[row.state] + (f" {row.text}" if row.text else "")
            angle = "" if row.tilt_deg is None else f"{row.tilt_deg:.1f}°".replace("-", "−")
            for column, text in enumerate((angle, where, words)):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{row.file}\n{words}")
                if column == 0:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(place, column, item)

    def _refresh(self) -> None:
        work = self.work
        self.path.set_full_text("" if work.folder is None else str(work.folder))
        self.invitation.setVisible(work.folder is None)
        self.go.setText("Stop" if work.busy else "Start")
        self.go.setEnabled(work.folder is not None)
        self.go.setToolTip("" if work.folder is not None else "Choose a folder first")
        self.folder.setEnabled(not work.busy)
        for widget in (*self.fields.values(), self.positive):
            widget.setEnabled(not work.busy)
        why = work.why_not_use()
        self.use.setEnabled(not why)
        self.use.setToolTip(why or "Read what has arrived at full size, with the coarse alignment")
        self.quick.setText(work.quick_text)
        self.quick.setVisible(bool(work.quick_text))
        self.notes.setText("\n".join(map(import_text, work.notes())))
        self.notes.setVisible(bool(self.notes.text()))
        found = "" if work.newest is None else work.newest.problem
        if work.problem or found:
            self._say(work.problem or found.partition(" (--")[0], "error" if work.problem else "warning")
        else:
            self._say(work.message, "good")

    def showEvent(self, event: Any) -> None:
        """Learn which window the watching belongs to."""
        super().showEvent(event)
        window = self.parentWidget().window() if self.parentWidget() is not None else None
        if isinstance(window, QMainWindow):
            self.work.watch_window(window)


def open_watch(viewer: ViewerModel, folder: Path | None = None) -> WatchDialog:
    """Show the watch window of a viewer, made on first use.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    folder : Path, optional
    """
    dialog: WatchDialog = show_dialog(viewer, "watch dialog", WatchDialog)
    if folder is not None:
        dialog.work.set_folder(folder)
    return dialog


def watch_command(viewer: napari.Viewer) -> None:
    """Open the watch window (a command of napari's menus)."""
    open_watch(viewer)
