"""The slim guide on top of the workspace: what is done, what is next, and why something cannot be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_phaset3m.gui.binding import follow
from napari_phaset3m.gui.metadata_form import missing_for_multislice
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.reconstruct.problem import needs_microscope

if TYPE_CHECKING:
    from napari_phaset3m.session import Session

State = Literal["done", "next", "active", "blocked"]
_MARKS: dict[State, str] = {"done": "✓", "next": "○", "active": "●", "blocked": "○"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the guide shows it.

    Attributes
    ----------
    name : str
    state : {"done", "next", "active", "blocked"}
    reason : str
        Why it is blocked, or what to do in it.
    """

    name: str
    state: State
    reason: str


def steps(session: Session) -> tuple[Step, ...]:
    """Return the steps that exist with their states; a pure reading of the session."""
    after = _mask_step(session), _analyse_step(session)
    if session.series is None:
        return (
            Step("Series", "next", "Open a tilt/focal series."),
            Step("Reconstruct", "blocked", "Open a series first."),
            *after,
        )
    series = Step("Series", "done", "The series is open; its metadata can be edited.")
    if session.active_run is not None:
        return series, Step("Reconstruct", "active", "A reconstruction is running."), *after
    if any(record.status == "finished" for record in session.runs):
        done = Step("Reconstruct", "done", "Done; change settings and start again at any time.")
        return series, done, *after
    return series, Step("Reconstruct", "next", "Check the settings and start."), *after


def _mask_step(session: Session) -> Step:
    if session.mask is not None or session.analysis_mask is not None:
        return Step("Mask", "done", "A mask is in use; it can be changed at any time.")
    return Step("Mask", "next", "Isolate the particle (optional): mask of a result, a preview or a file.")


def _analyse_step(session: Session) -> Step:
    work = session.attachments.get("analyse work")
    if work is not None and work.busy:
        return Step("Analyse", "active", "Something is being computed.")
    if work is not None and work.outcomes:
        return Step("Analyse", "done", "There are results; compute more at any time.")
    return Step("Analyse", "next", "Resolution, peaks and atoms of a result, a preview or a file.")


def hint(session: Session) -> tuple[str, str]:
    """(one line on what to do now, style role)."""
    if session.series is None:
        return "Next: open a tilt/focal series.", "muted"
    if session.active_run is not None:
        return "Running: watch the volume. Finish now keeps it, Stop does not.", "muted"
    if session.message.startswith("Saved"):
        return session.message, "muted"
    missing = missing_for_multislice(session.series)
    if missing and needs_microscope(session.config):
        verb = "is" if len(missing) == 1 else "are"
        return f"{' and '.join(missing)} {verb} missing; only linear methods work without.", "warning"
    if any(record.status == "finished" for record in session.runs):
        return "Next: save the volume (Runs), or change settings and start again.", "muted"
    return "Next: check the settings and start.", "muted"


class StepGuide(QWidget):
    """A row of steps and one line below.

    Parameters
    ----------
    session : Session
    """

    #: Index of the step the user chose.
    chosen = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.buttons: list[QPushButton] = []
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._row = QHBoxLayout()
        self._row.setSpacing(0)
        for index, step in enumerate(steps(session)):
            button = QPushButton(step.name)
            button.setCheckable(True)
            set_role(button, "step")
            self._group.addButton(button, index)
            button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
            self._row.addWidget(button)
            self.buttons.append(button)
        self._group.idClicked.connect(self.chosen)
        self.hint = label("", "muted", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 6)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(self._row)
        self._below = QHBoxLayout()
        self._below.addWidget(self.hint, 1)
        layout.addLayout(self._below)
        events = session.events
        changes = (events.series, events.active_run, events.message, events.config)
        for signal in (*changes, events.mask, events.analysis_mask):
            follow(signal, self.refresh)
        for signal in (session.run_changed, session.run_removed):
            follow(signal, self.refresh)
        self.refresh()

    def add_corner(self, widget: QWidget) -> None:
        """Put a small control at the right end of the line below the steps."""
        self._below.addWidget(widget)

    def select(self, index: int) -> None:
        """Mark a step as the one that is shown."""
        self.buttons[index].setChecked(True)

    def refresh(self, *_: object) -> None:
        """Read the session again."""
        for number, (button, step) in enumerate(zip(self.buttons, steps(self._session), strict=True), 1):
            button.setText(f"{_MARKS[step.state]} {step.name}")
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + 10)
            button.setEnabled(step.state != "blocked")
            button.setToolTip(step.reason)
            button.setAccessibleName(f"Step {number}, {step.name}: {step.state}")
        text, role = hint(self._session)
        set_role(self.hint, role)
        self.hint.setText(text)
