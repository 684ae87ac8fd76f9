"""Runs the steps that change a series, one job at a time; belongs to the session, not to a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_phaset3m.errors import CancelledError, PhaseT3MError
from napari_phaset3m.gui.controlled_job import ControlledJob
from napari_phaset3m.gui.error_words import error_line, report
from napari_phaset3m.gui.steps.events import Job, StepDone, Update, run_jobs
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.field_words import in_step_words
from napari_phaset3m.prepare.events import Done

if TYPE_CHECKING:
    from napari_phaset3m.session import Session

NO_SERIES = "Open a tilt series first (step Series)"
_KEY = "step driver"
#: Takes a step's name and its end.
Taker = Callable[[str, Done], None]


class StepDriver(ControlledJob):
    """Prepares, aligns and fits in the background; there is one for each session.

    Jobs left over when one is finished early are left out; what jobs before a stop gave stays.

    Parameters
    ----------
    session : Session
    """

    #: How far it is (an :class:`.Update`).
    progressed = Signal(object)
    #: (topic, text, style role): one line on how it ended.
    said = Signal(str, str, str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._take: Taker | None = None
        self._of: Any = None
        self._spoken = False
        self._ended: list[str] = []
        #: What jobs found, by their names; told with what was done where that was one thing alone.
        self.found: dict[str, str] = {}
        #: Whose job it is ("prepare", "align", "microscope"); empty when none is running.
        self.topic = ""
        self.title = ""
        self.update: Update | None = None
        #: What was said last, for a panel that is opened later: topic, text, style role.
        self.last_said = ("", "", "muted")
        for signal in (session.opened, session.history.moved):
            follow(signal, self._forget_said)
        follow(session.opened, self._on_opened)

    def _on_opened(self) -> None:
        """End a job of the series before: what it gives could not be put into the new one."""
        if self.busy and not self._control.stopped:
            self.stop()
            text = f"Another series was opened: {self.title} of the one before was stopped"
            self.say(self.topic, text, "warning")

    def _forget_said(self) -> None:
        self.last_said = ("", "", "muted")  # it is of another series, or of a step that was taken back

    def why_not(self) -> str:
        """Why no job can be started; empty when one can."""
        if self.session.series is None:
            return NO_SERIES
        if self.busy:
            return f"{self.title} is running: wait, finish or stop it"
        if self.session.active_run is not None:
            return "A reconstruction is running: wait, finish or stop it"
        return ""

    def start(self, topic: str, title: str, jobs: Sequence[Job], take: Taker) -> bool:
        """Run jobs on the session's series; ``take`` gets the end of each.

        Parameters
        ----------
        topic, title : str
            Whose job it is, and what it is called.
        jobs : sequence of Job
        take : callable
            Called in this thread with the name and the :class:`Done` of each job. When it is a
            method of a QObject it must outlive the panels.

        Returns
        -------
        bool
            Whether it was started.
        """
        series = self.session.series
        if self.why_not() or series is None or not jobs:
            return False
        self._take, self._of = take, series
        self.topic, self.title, self.update = topic, title, None
        self._ended, self.found = [], {}
        self.say(topic, "", "muted")
        self._spoken = False
        self._begin(
            run_jobs,
            series,
            list(jobs),
            title=title,
            connect={"yielded": self._on_event, "errored": self._on_error, "finished": self._on_finished},
        )
        self.changed.emit()
        return True

    def _on_event(self, event: Any) -> None:
        if self._control.stopped:
            return
        if isinstance(event, Update):
            self.update = event
            if self.message == "Preparing":
                self.message = ""
            self.progressed.emit(event)
        elif isinstance(event, StepDone):
            self._on_done(event)

    def _on_done(self, event: StepDone) -> None:
        session = self.session
        if session.series is not self._of:
            self.say(
                self.topic, "Edits made meanwhile are not in the result; Undo brings them back", "warning"
            )
        self._ended.append(event.name)
        if self._take is not None:
            self._take(event.name, event.done)
        self._of = session.series

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            return
        self.say(self.topic, f"{self.title}: {error_line(error, in_step_words)}", "error")
        if not isinstance(error, PhaseT3MError | MemoryError):
            report(error)

    def _on_finished(self) -> None:
        self._end()
        self._take = self._of = None
        if not self._spoken:
            what = ", ".join(self._ended)
            found = self.found.get(what, "")
            if self._control.stopped:
                self.say(
                    self.topic, f"Stopped{f' after {what}' if what else '; nothing was changed'}", "muted"
                )
            elif what:
                self.say(self.topic, f"Done: {what}{f' ({found})' if found else ''}", "good")
        self.topic, self.update = "", None
        self.changed.emit()

    def retract(self, topic: str) -> None:
        """Take back what was told of a topic: it no longer holds."""
        if not self.busy:
            self.say(topic, "")

    def say(self, topic: str, text: str, role: str = "muted") -> None:
        """Tell the panel of a topic one thing; during a job it takes the place of its closing line."""
        self._spoken = bool(text)
        self.last_said = (topic, text, role)
        self.said.emit(topic, text, role)


def step_driver_for(session: Session) -> StepDriver:
    """Return the step driver of a session, made on first use."""
    found: StepDriver | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = StepDriver(session)
    return found
