"""The file side of the Series panel: open, save, complete what is missing, say what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.series.loader import (
    FILE_FILTER,
    SAVE_FILTER,
    has_no_level,
    line_without_folder,
    loader_for,
    missing_field,
    recent,
    suffix_of,
    told,
    unusable_field,
)
from napari_phaset3m.gui.series.view import summary
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, ElidedLabel, label, set_role
from napari_phaset3m.gui.widgets.ask_bar import AskBar

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import Session

INVITATION = (
    "Images at many tilts, with one or several defoci each. Import raw files, or open a series; "
    "both may also be dropped here."
)
TOUR_TIP = (
    "Goes through the steps with the Co₃O₄ sample; closed with one click.\n"
    "Public real series: EMPIAR (www.ebi.ac.uk/empiar, e.g. EMPIAR-10164) and NIST's ETSpy "
    "(github.com/usnistgov/etspy)"
)


class SeriesFile(QWidget):
    """Which file is open and what it holds, with the buttons to open and save.

    Parameters
    ----------
    session : Session
    """

    #: Raw files are to be imported.
    import_wanted = Signal()
    #: A folder is to be watched.
    watch_wanted = Signal()
    #: The tour is to begin.
    tour_wanted = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._loader = loader_for(session)
        self._make_buttons()
        self.path, self.summary = ElidedLabel(), label("", "muted", wrap=True)
        set_role(self.path, "title")
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(4)
        self.problem = label("", "error", wrap=True)
        self.problem.hide()
        self.ask = AskBar()
        self.ask.answered.connect(self._on_answer)
        self.tour = QPushButton("New here? Take the tour with sample data")
        self.tour.setToolTip(TOUR_TIP)
        self.tour.clicked.connect(self.tour_wanted)
        head = QVBoxLayout()
        head.setSpacing(LINE_SPACING)
        for widget in (self.path, self.progress, self.summary, self.problem, self.ask, self.tour):
            head.addWidget(widget)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.import_, self.open, self.save):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GROUP_SPACING)
        layout.addLayout(buttons)
        layout.addLayout(head)
        self._loader.busy_changed.connect(self._on_busy)
        self._loader.failed.connect(self._on_failed)
        self._loader.saved.connect(self._on_saved)
        self._on_busy(self._loader.busy)
        if self._loader.error is not None:
            self._on_failed(self._loader.error)

    def _make_buttons(self) -> None:
        self.open = QToolButton()
        self.open.setText("Open…")
        self.open.setToolTip("Open a tilt/focal series (or drop a file here); the arrow lists recent ones")
        self.open.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.open.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        set_role(self.open, "button")
        self._recent = QMenu(self.open)
        self._recent.setToolTipsVisible(True)
        self.open.setMenu(self._recent)
        self.save = QPushButton("Save as…")
        self.import_ = QToolButton()
        self.import_.setText("Import…")
        self.import_.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.import_.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        set_role(self.import_, "button")
        self.import_.setToolTip(
            "From raw files: stacks with .mdoc, single images, movies, one stack per defocus; "
            "the arrow: while the microscope still runs"
        )
        self.import_.clicked.connect(self.import_wanted)
        self._import_menu = QMenu(self.import_)
        self._import_menu.addAction("Import files…").triggered.connect(self.import_wanted)
        self.watch = self._import_menu.addAction("Watch a folder…")
        self.watch.triggered.connect(self.watch_wanted)
        self.import_.setMenu(self._import_menu)
        self.open.clicked.connect(self._on_open)
        self._recent.aboutToShow.connect(self._on_recent)
        self.save.clicked.connect(self._on_save)

    def show_series(self, series: TiltFocalSeries | None, *, edited: bool) -> None:
        """Say what is open; ``edited``: it is the same one as before."""
        self._show_path()
        self._explain_save()
        self.summary.setText(INVITATION if series is None else summary(series))
        self.tour.setVisible(series is None)
        if series is not None and not edited:
            self.say("")
            self.ask.hide()

    def open_path(self, path: str | Path, **overrides: Any) -> None:
        """Load a file in the background; ``overrides`` complete what it does not state."""
        self.say("")
        self.ask.hide()
        self._loader.load(path, **overrides)

    def say(self, text: str, role: str = "error") -> None:
        """Show one line about a problem (or, with another role, a success)."""
        set_role(self.problem, role)
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    def _on_open_stem(self) -> None:
        self._choose(dark_field=True)

    def _on_open(self) -> None:
        self._choose()

    def _choose(self, **overrides: Any) -> None:
        start = str(self._session.series_path.parent) if self._session.series_path else ""
        path, _ = QFileDialog.getOpenFileName(self, "Open tilt/focal series", start, FILE_FILTER)
        if path:
            self.open_path(path, **overrides)

    def _on_recent(self) -> None:
        self._recent.clear()
        for path in recent():
            action = self._recent.addAction(Path(path).name)
            action.setToolTip(path)
            action.setData(path)
            action.triggered.connect(self._on_recent_chosen)
        if self._recent.isEmpty():
            self._recent.addAction("No recent series").setEnabled(False)
        self._recent.addSeparator()
        stem = self._recent.addAction("Open dark field (STEM)…")
        stem.setToolTip("Images in which the specimen is bright are inverted")
        stem.triggered.connect(self._on_open_stem)

    def _on_recent_chosen(self) -> None:
        self.open_path(self.sender().data())

    def _on_save(self) -> None:
        source = self._session.series_path
        start = str(source.with_name(f"{source.stem}_edited.h5")) if source else "series.h5"
        path, chosen = QFileDialog.getSaveFileName(self, "Save series as", start, SAVE_FILTER)
        if path:
            self.say("")
            self._loader.save(path, suffix_of(chosen))

    def _on_saved(self, path: str) -> None:
        self.say(f"Saved {Path(path).name}", "good")

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
            "Write images and metadata to a new .h5 file, or to a .toml text with the images beside it"
            if ready
            else "There is no series to save yet"
        )

    def _on_failed(self, error: Exception) -> None:
        self._show_path()
        missing, unusable = missing_field(error), unusable_field(error)
        if self.ask.can_ask(missing or unusable) and self._loader.path is not None:
            self.say("")
            self.ask.ask(str(missing or unusable), self._loader.path.name, "" if missing else told(error))
            return
        if (
            has_no_level(error)
            and self._loader.path is not None
            and "dark_field" not in self._loader.overrides
        ):
            self.say("")
            self.ask.ask_dark_field(self._loader.path.name)
            return
        self.say(line_without_folder(error))

    def _on_answer(self, overrides: dict[str, Any]) -> None:
        if self._loader.path is not None:
            self.ask.hide()
            self._loader.load(self._loader.path, **{**self._loader.overrides, **overrides})

    def _show_path(self) -> None:
        series, path = self._session.series, self._session.series_path
        if series is None:
            self.path.set_full_text("No series is open", "Open a file or drop one here")
        else:
            name = self._session.series_name + (" (edited)" if self._loader.edited else "")
            self.path.set_full_text(name, str(path or name))
