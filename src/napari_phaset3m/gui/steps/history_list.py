"""The steps that made the present series, to go back to any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QShortcut,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.binding import follow, format_bytes
from napari_phaset3m.prepare.history import history as steps_of
from napari_phaset3m.prepare.words import found_words
from napari_phaset3m.series_history import SeriesState

if TYPE_CHECKING:
    from napari_phaset3m.session import Session

#: Lines that are seen at once.
_LINES = 3


class HistoryList(QWidget):
    """Undo, redo and the list of steps; what was undone is grey.

    Parameters
    ----------
    session : Session
    panel : QWidget, optional
        In which Ctrl+Z and Ctrl+Shift+Z act; None: they are the panel's own matter.
    """

    def __init__(self, session: Session, panel: QWidget | None = None) -> None:
        super().__init__()
        self._session = session
        self.undo, self.redo = self._tool("↶"), self._tool("↷")
        self.undo.clicked.connect(self._on_undo)
        self.redo.clicked.connect(self._on_redo)
        self.memory = label("", "muted")
        head = QHBoxLayout()
        head.addWidget(label("Steps done"))
        head.addWidget(self.memory, 1)
        head.addWidget(self.undo)
        head.addWidget(self.redo)
        self.list = QListWidget()
        self.list.setAccessibleName("Steps done to this series")
        self.list.setToolTip("Click a step to go back (or forward) to the series after it")
        self.list.setFixedHeight(_LINES * (self.list.fontMetrics().height() + 4) + 6)
        self.list.itemClicked.connect(self._on_clicked)
        self.list.itemActivated.connect(self._on_clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(head)
        layout.addWidget(self.list)
        if panel is not None:
            undo_keys(panel, self._on_undo, self._on_redo)
        step_driver_for(session).changed.connect(self.refresh)
        follow(session.history.changed, self.refresh)
        self.refresh()

    def _tool(self, text: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        set_role(button, "toggle")
        return button

    def why_not(self) -> str:
        """Why nothing can be undone or redone now; empty when it can."""
        driver = step_driver_for(self._session)
        return f"{driver.title} is running" if driver.busy else ""

    def refresh(self) -> None:
        """Show the history as it is."""
        history, blocked = self._session.history, self.why_not()
        for button, possible, name, key in (
            (self.undo, history.can_undo, "undo", "Ctrl+Z"),
            (self.redo, history.can_redo, "redo", "Ctrl+Shift+Z"),
        ):
            why = blocked or ("" if possible else f"Nothing to {name}")
            button.setEnabled(not why)
            button.setToolTip(why or f"{name.capitalize()} ({key})")
        self.list.setEnabled(not blocked)
        self.list.clear()
        for number, state in enumerate(history.states):
            item = QListWidgetItem(f"{number}  {state.name}" if number else state.name)
            item.setToolTip(_found(history.states[number - 1], state) if number else "")
            if number > history.position:
                item.setForeground(self.palette().placeholderText())
                item.setToolTip("Undone: click to do it again")
            self.list.addItem(item)
        self.list.setCurrentRow(history.position)
        kept = history.kept_bytes()
        self.memory.setText(format_bytes(kept) if len(history.states) > 1 else "")
        self.memory.setToolTip("Memory that images of these steps take")

    def _on_clicked(self, item: QListWidgetItem) -> None:
        row = self.list.row(item)
        if row != self._session.history.position and not self.why_not():
            self._session.go_to(row)

    def _on_undo(self) -> None:
        if not self.why_not():
            self._session.undo()

    def _on_redo(self) -> None:
        if not self.why_not():
            self._session.redo()


def _found(before: SeriesState, after: SeriesState) -> str:
    """What the step between two states found."""
    done = steps_of(after.series)
    if len(done) <= len(steps_of(before.series)):
        return ""
    return found_words(done[-1]["step"], done[-1].get("told", {}))


def undo_keys(panel: QWidget, undo: Callable[[], None], redo: Callable[[], None]) -> None:
    """Let Ctrl+Z and Ctrl+Shift+Z act while a panel, or something in it, has the keyboard."""
    standard = QKeySequence.StandardKey
    for keys, slot in ((standard.Undo, undo), (standard.Redo, redo)):
        shortcut = QShortcut(QKeySequence(keys), panel)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(slot)
