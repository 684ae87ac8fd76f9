"""The head of the workspace: the project's name, whether it is saved, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.project.driver import NOT_SAVED, ProjectDriver
from napari_phaset3m.gui.project.work import recent_projects
from napari_phaset3m.gui.series.loader import FILE_FILTER
from napari_phaset3m.gui.theme import ElidedLabel, label, set_role
from napari_phaset3m.gui.widgets.notes import Notes
from napari_phaset3m.project.model import SUFFIX
from napari_phaset3m.project.recovery import LostState, forget, last_unnamed, lost_states

if TYPE_CHECKING:
    from napari_phaset3m.project import Holder, Loaded, SeriesEntry

PROJECTS = f"Projects (*{SUFFIX})"


class ProjectBar(QWidget):
    """One line, and messages below it when there are any.

    Parameters
    ----------
    driver : ProjectDriver
    """

    #: The cheat sheet of keys is wanted.
    keys_wanted = Signal()

    def __init__(self, driver: ProjectDriver) -> None:
        super().__init__()
        self.driver = driver
        self._missing: SeriesEntry | None = None
        self.button = QToolButton()
        self.button.setText("Project")
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setToolTip("Save and open everything of this window as one folder")
        set_role(self.button, "button")
        self.name, self.state = ElidedLabel(), label()
        set_role(self.name, "title")
        self.keys = QToolButton()
        self.keys.setText("?")
        self.keys.setToolTip("Keys and what they do (F1)")
        self.keys.setAccessibleName("Keys and what they do")
        set_role(self.keys, "toggle")
        self.keys.clicked.connect(self.keys_wanted)
        self.notes = Notes()
        self._make_menu()
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.button)
        row.addWidget(self.name, 1)
        row.addWidget(self.state)
        row.addWidget(self.keys)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 2)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.notes)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        driver.changed.connect(self.refresh)
        driver.said.connect(self._on_said)
        driver.opened.connect(self._on_opened)
        driver.held.connect(self._on_held)
        QTimer.singleShot(0, self.offer_lost)
        self.refresh()

    def _make_menu(self) -> None:
        self.menu = QMenu(self.button)
        self.menu.setToolTipsVisible(True)
        self.actions_: dict[str, Any] = {}
        for title, slot in (
            ("Open project…", self.choose_project),
            ("Save project", self.save),
            ("Save project as…", self._on_save_as),
            ("", None),
            ("Find series…", self._on_find),
            ("Keep images in project", self._on_keep),
            ("", None),
            ("New project", self.begin_anew),
            ("Reopen last unnamed", self._on_last),
        ):
            if slot is None:
                self.menu.addSeparator()
                continue
            self.actions_[title] = self.menu.addAction(title)
            self.actions_[title].triggered.connect(slot)
        self.recent = QMenu("Recent projects", self.menu)
        self.recent.setToolTipsVisible(True)
        self.menu.insertMenu(self.actions_["Save project"], self.recent)
        self.menu.aboutToShow.connect(self._on_menu)
        self.button.setMenu(self.menu)

    # showing

    def refresh(self) -> None:
        """Show the driver as it is."""
        driver = self.driver
        place = "Not saved under a name yet" if driver.folder is None else str(driver.folder)
        self.name.set_full_text(driver.name, place)
        if driver.working:
            text, role = f"{driver.working} …", "muted"
        elif driver.error.startswith(NOT_SAVED):
            text, role = NOT_SAVED, "error"
        elif driver.read_only:
            text, role = "Read-only", "warning"
        elif driver.dirty:
            text, role = "Changed", "muted"
        else:
            word = "Autosaved" if driver.folder is None else "Saved"
            self.notes.clear(NOT_SAVED)
            text, role = f"{word} {driver.saved_at}" if driver.saved_at else "", "muted"
        set_role(self.state, role)
        self.state.setText(text)
        self.state.setMinimumWidth(self.state.sizeHint().width())  # the name is what gives way
        self.state.setToolTip(driver.error or text)

    def _on_menu(self) -> None:
        driver, actions = self.driver, self.actions_
        no_open = driver.why_not_open()
        missing = "" if self._missing is not None else "The series is where it was"
        nothing = "There is no series" if driver.snapshot().series is None else driver.why_not_save()
        last = "" if last_unnamed().is_dir() else "There is none"
        for title, why, tip in (
            ("Open project…", no_open, "In place of what is in this window"),
            (
                "Save project",
                "Nothing to save yet" if driver.empty else "",
                driver.why_not_save() or "It is saved by itself after every step and run too",
            ),
            ("Save project as…", "Nothing to save yet" if driver.empty else "", "One folder with everything"),
            ("Find series…", missing or no_open, "Say where the file of the series is now"),
            (
                "Keep images in project",
                nothing,
                "Also copy the images, so that the folder needs no other file",
            ),
            ("New project", no_open, "Close this one and begin anew"),
            (
                "Reopen last unnamed",
                last or no_open,
                "What a window that was never saved held when it closed",
            ),
        ):
            actions[title].setEnabled(not why)
            actions[title].setToolTip(why or tip)
        self.recent.clear()
        self.recent.setEnabled(not no_open)
        for path in recent_projects():
            action = self.recent.addAction(Path(path).name.removesuffix(SUFFIX))
            action.setToolTip(path)
            action.setData(path)
            action.triggered.connect(self._on_recent)
        if self.recent.isEmpty():
            self.recent.addAction("None yet").setEnabled(False)

    def _on_said(self, text: str, role: str) -> None:
        if role != "good":
            self.notes.add(text, role)

    def _on_opened(self, loaded: Loaded | None) -> None:
        self.notes.clear()
        self._missing = None if loaded is None else loaded.missing
        if self._missing is not None:
            name = Path(self._missing.file).name
            text = f"{name} is not at {Path(self._missing.file).parent} any more: its images are not shown."
            self.notes.add(text, "warning", [("Find series…", self._on_find)])

    def _on_held(self, holder: Holder) -> None:
        text = f"{self.driver.name} is open {holder.words()}: here it is open for reading only."
        self.notes.add(text, "warning", [("Write to it all the same", self.driver.take_over)])

    def offer_lost(self) -> None:
        """Offer what a window that crashed had saved last."""
        if not self.driver.empty:
            return
        for state in lost_states()[:1]:
            self.notes.add(
                f"PhaseT3M was not closed properly. Its last state is kept: {state.words()}.",
                "warning",
                [
                    ("Reopen it", self._opening(state)),
                    ("Discard" if not state.named else "Not now", self._forgetting(state)),
                ],
            )

    def _opening(self, state: LostState) -> Any:
        def reopen() -> None:
            self.open(state.folder)
            if state.named:
                forget(state)

        return reopen

    def _forgetting(self, state: LostState) -> Any:
        return lambda: forget(state)

    # doing

    def open(self, folder: Path) -> None:
        """Open a project, unless something of this window would be lost and the user says no."""
        if self._may_leave():
            self.driver.open(folder)

    def _may_leave(self) -> bool:
        driver = self.driver
        if driver.folder is not None or driver.empty:
            return True
        box = QMessageBox(self.window())
        box.setWindowTitle("Unnamed project")
        box.setText("What is in this window has no name yet. Save it first?")
        save = box.addButton("Save as…", QMessageBox.ButtonRole.AcceptRole)
        leave = box.addButton("Go on without", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is save:
            self._on_save_as()
        return box.clickedButton() is leave

    def choose_project(self) -> None:
        """Ask which project to open."""
        start = "" if self.driver.folder is None else str(self.driver.folder.parent)
        folder = QFileDialog.getExistingDirectory(self, "Open project", start)
        if folder:
            self.open(Path(folder))

    def _on_recent(self) -> None:
        self.open(Path(self.sender().data()))

    def _on_last(self) -> None:
        self.open(last_unnamed())

    def begin_anew(self) -> None:
        """Close this project, unless the user would lose something and says no."""
        if self._may_leave():
            self.driver.close_project()

    def save(self) -> None:
        """Save where it is; a project without a name, or that is read only, is asked for one."""
        if self.driver.why_not_save():
            self._on_save_as()
        else:
            self.driver.save()

    def _on_save_as(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save project as", self.driver.suggestion(), PROJECTS)
        if path:
            self.driver.save_as(Path(path))

    def _on_keep(self) -> None:
        if self.driver.folder is not None:
            self.driver.save_as(self.driver.folder, copy_images=True)

    def _on_find(self) -> None:
        name = "" if self._missing is None else Path(self._missing.file).name
        path, _ = QFileDialog.getOpenFileName(self, f"Where is {name}?", "", FILE_FILTER)
        if path and self.driver.folder is not None:
            self.driver.open(self.driver.folder, series_at=Path(path))
