"""What the files of an import may leave to be given: tilt angles, and the gain reference of movies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QGridLayout, QLineEdit, QToolButton, QWidget

from napari_phaset3m.gui.importing.movie_rows import MovieRows
from napari_phaset3m.gui.importing.work import ImportWork
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role

_ANGLES = (
    "Tilt angles, degrees: first:last:step, a list, or a .tlt file; one for each image, or one for each tilt"
)
_GAIN = "Gain reference of the movies; empty: the camera applied it. Motion correction takes the same"


class GivenBox(QWidget):
    """A line for the angles and one for the gain, each only there where it is wanted.

    Parameters
    ----------
    work : ImportWork
    """

    def __init__(self, work: ImportWork) -> None:
        super().__init__()
        self._work = work
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(LINE_SPACING)
        self._grid.setHorizontalSpacing(8)
        self._grid.setColumnStretch(1, 1)
        self.angles, self._of_angles = self._line(0, "Tilt angles", _ANGLES, "missing, e.g. -60:60:2")
        self.gain, self._of_gain = self._line(1, "Gain", _GAIN, "none")
        self.movies = MovieRows(work)
        self._grid.addWidget(self.movies, 2, 0, 1, 3)
        self.problem = label("", "error", wrap=True)
        self._grid.addWidget(self.problem, 3, 0, 1, 3)
        set_role(self.angles, "state", "missing")  # it is only there while they are
        self.angles.editingFinished.connect(self._on_angles)
        self.gain.editingFinished.connect(self._on_gain)

    def _line(self, row: int, name: str, tip: str, hint: str) -> tuple[QLineEdit, list[QWidget]]:
        title, edit, browse = label(name), QLineEdit(), QToolButton()
        title.setBuddy(edit)
        for widget in (title, edit):
            widget.setToolTip(tip)
        edit.setPlaceholderText(hint)
        browse.setText("…")
        browse.setToolTip("Choose a file")
        set_role(browse, "toggle")
        browse.clicked.connect(partial(self._browse, edit))
        for column, widget in enumerate((title, edit, browse)):
            self._grid.addWidget(widget, row, column)
        return edit, [title, edit, browse]

    def _browse(self, edit: QLineEdit, *_: object) -> None:
        folder = str(self._work.paths[0].parent) if self._work.paths else ""
        path, _chosen = QFileDialog.getOpenFileName(self, "Choose a file", folder, "All files (*)")
        if path:
            edit.setText(path)
            edit.editingFinished.emit()

    def _on_angles(self) -> None:
        if self.angles.text().strip():
            self._try(self._work.give_angles, self.angles.text())

    def _on_gain(self) -> None:
        text, plan = self.gain.text().strip(), self._work.plan
        wanted = Path(text) if text else None
        if plan is not None and wanted != plan.gain:
            self._try(self._work.give_gain, wanted)

    def _try(self, give: Callable[..., str], value: object) -> None:
        problem = give(value)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def refresh(self) -> None:
        """Show what the plan lacks, and what was given."""
        plan = self._work.plan
        no_angles = plan is not None and any(entry.tilt_deg is None for entry in plan.images)
        movies = plan is not None and plan.has_movies
        for widgets, wanted in ((self._of_angles, no_angles), (self._of_gain, movies)):
            for widget in widgets:
                widget.setVisible(wanted)
                widget.setEnabled(not self._work.busy)
        if not no_angles:
            self.angles.clear()
        if not self.gain.hasFocus():
            self.gain.setText("" if plan is None or plan.gain is None else str(plan.gain))
        self.movies.refresh()
        self.problem.setVisible(bool(self.problem.text()))
        self.setVisible(no_angles or movies)
