"""The analysis of a session: what was chosen, what is computed, what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_phaset3m.errors import CancelledError, PhaseT3MError
from napari_phaset3m.gui.analyse.compute import TOPICS, statement_of
from napari_phaset3m.gui.analyse.inputs import WORK, Inputs, same_stamp, subject_of, why_not_mask
from napari_phaset3m.gui.analyse.own_series import OwnSeries
from napari_phaset3m.gui.error_words import KNOWN, error_line, one_line
from napari_phaset3m.gui.layers.publisher import LayerPublisher, publisher_for
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import WindowWatch, in_background

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.report.subject import Subject
    from napari_phaset3m.session import RunRecord, Session


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a topic.

    Attributes
    ----------
    value : Any
        The result; None when it failed.
    text : str
        What it says, or why it failed.
    failed : bool
    of : str
        The volume's name.
    stamp : tuple
        What it was made of.
    seconds : float
    centre : tuple of float
        (z, y, x) of the volume's middle in the viewer, angstrom.
    """

    value: Any
    text: str
    failed: bool
    of: str
    stamp: tuple[Any, ...]
    seconds: float
    centre: tuple[float, ...]


class AnalyseWork(QObject):
    """Computes in the background and keeps the results; outlives the panels.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: A choice was changed.
    changed = Signal()
    #: A computation began, ended, or was given up.
    computed = Signal()
    #: A topic has a new result.
    done = Signal(str)
    #: (what is being done, part 0..1 or less than 0 when not known).
    progressed = Signal(str, float)
    #: (text, style role) for the line of the panel.
    said = Signal(str, str)
    #: A topic's result is to be shown.
    wanted = Signal(str)

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.inputs = Inputs(series=session.series)
        self.use_mask, self.own = True, OwnSeries(session)
        self.outcomes: dict[str, Outcome] = {}
        #: What is being computed: the key of a topic, ``report``, or nothing.
        self.running = ""
        #: Last progress, for a panel that is opened meanwhile.
        self.progress: tuple[str, float] = ("", -1.0)
        self.report_path: Path | None = None
        self._queue: list[str] = []
        self._token = 0
        self._window = WindowWatch(self.close, self)
        self.progressed.connect(self._on_progress)
        for signal in (session.events.series, session.events.analysis_mask):
            follow(signal, self._on_session)

    def watch_window(self, window: QObject) -> None:
        """Give up what is being computed when this window is closed."""
        self._window.watch(window)

    def close(self) -> None:
        """Give up what is being computed."""
        self._token += 1
        self._queue.clear()
        self.running = ""

    # choices

    def choose(self, **changes: Any) -> None:
        """Change fields of the inputs and announce it."""
        self.inputs = replace(self.inputs, **changes)
        self._on_session()

    def set_use(self, *, mask: bool | None = None, series: bool | None = None) -> None:
        """Say whether the session's mask and series are taken along."""
        self.use_mask = self.use_mask if mask is None else mask
        if series is not None:
            self.own.want(series, self.record())
        self._on_session()

    def _on_session(self, *_: object) -> None:
        mask = self._session.analysis_mask if self.use_mask else None
        if why_not_mask(mask, self.inputs.source):
            mask = None
        self.inputs = replace(self.inputs, mask=mask, series=self.own.series(self.record()))
        self.changed.emit()

    def stale(self, key: str) -> bool:
        """Whether what a topic's result was made of is no longer what is chosen."""
        outcome = self.outcomes.get(key)
        return outcome is not None and not same_stamp(outcome.stamp, self.inputs.stamp(TOPICS[key].uses))

    def fresh(self) -> dict[str, Any]:
        """Results that are up to date."""
        return {
            key: outcome.value
            for key, outcome in self.outcomes.items()
            if not outcome.failed and not self.stale(key)
        }

    def record(self) -> RunRecord | None:
        """The run that the volume came from, if it is one of this window."""
        source = self.inputs.source
        key = "" if source is None else source.key
        return self._session.run(key.removeprefix("run:")) if key.startswith("run:") else None

    # computing

    @property
    def busy(self) -> bool:
        """Whether something is being computed."""
        return bool(self.running)

    def compute(self, *keys: str) -> None:
        """Compute topics one after the other, with what they need first."""
        for key in keys:
            if key not in self._queue and not TOPICS[key].why_not(self.inputs):
                self._queue.append(key)
        if not self.busy:
            self._next()

    def _next(self) -> None:
        if not self._queue:
            self.running = ""
            self.computed.emit()
            return
        key = self._queue.pop(0)
        self._token += 1
        self.running = key
        self.progressed.emit(f"{TOPICS[key].title} …", -1.0)
        topic, inputs = TOPICS[key], self.inputs
        earlier = {name: value for name, value in self.fresh().items() if name in topic.after}
        job = partial(_compute, key, inputs, earlier)
        in_background(partial(_told, self._token, job), self._on_outcome, self._on_crash)
        self.computed.emit()

    def _on_outcome(self, answer: tuple[int, Outcome]) -> None:
        token, outcome = answer
        if token != self._token or not self.running or self._window_gone():
            return
        key = self.running
        self.outcomes[key] = outcome
        self.running = ""
        record = self.record()
        if key == "fsc" and not outcome.failed and record is not None:
            found = outcome.value.curve.resolution()
            self._session.update_run(record.run_id, resolution=found.as_dict())
        self.done.emit(key)
        self._next()

    def _on_crash(self, error: Exception) -> None:
        if not self.running:
            return
        self._queue.clear()
        what = "The report" if self.running == "report" else TOPICS[self.running].title
        self.running = ""
        self.said.emit(f"{what}: {error_line(error)}", "error")
        self.computed.emit()
        if not isinstance(error, KNOWN):
            raise error

    def cancel(self) -> None:
        """Drop what is being computed and what waits."""
        if self.busy:
            self.close()
            self.said.emit("Cancelled", "muted")
            self.computed.emit()

    def show(self, key: str) -> None:
        """Bring a result to the front."""
        self.wanted.emit(key)

    def _on_progress(self, text: str, part: float) -> None:
        self.progress = (text, part)

    def _window_gone(self) -> bool:
        return self.publisher.viewer is None

    # report

    def write_report(self, path: Path) -> None:
        """Measure everything and write one page; the path is in :attr:`report_path` when it is there."""
        from napari_phaset3m.gui.analyse.report import write

        if self.busy:
            return
        self._token += 1
        token = self._token
        self.running = "report"
        self.progressed.emit("Report …", 0.0)

        def show(text: str, part: float) -> None:
            if token != self._token:
                raise CancelledError("cancelled")
            self.progressed.emit(f"Report: {text}", part)

        job = partial(write, path, self.inputs, self.record(), self._session.series_path, show)
        in_background(partial(_quiet, token, job), self._on_report, self._on_crash)
        self.computed.emit()

    def _on_report(self, answer: tuple[int, Any, Exception | None]) -> None:
        token, path, error = answer
        if token != self._token or self.running != "report":
            return
        self.running = ""
        if error is not None:
            self.said.emit(one_line(error), "error")
        else:
            self.report_path = path
            self.said.emit(f"Report written: {path.name}", "good")
        self._next()


def work_of(session: Session, viewer: ViewerModel) -> AnalyseWork:
    """Return the analysis of a session, made on first use."""
    found: AnalyseWork | None = session.attachments.get(WORK)
    if found is None:
        found = session.attachments[WORK] = AnalyseWork(session, viewer)
    return found


def _compute(key: str, inputs: Inputs, earlier: dict[str, Any]) -> Outcome:
    topic, started = TOPICS[key], time.monotonic()
    source = inputs.source
    name = source.name if source is not None and "source" in topic.uses else ""
    centre = (0.0, 0.0, 0.0) if source is None else tuple(float(v) for v in source.centre())
    value: Any = None
    try:
        subject: Any = subject_of(inputs) if "source" in topic.uses else None
        value = topic.compute(subject, inputs, earlier)
        text, failed = statement_of(key, value, _mask_text(subject)), False
    except (PhaseT3MError, ArithmeticError, MemoryError) as error:
        text, failed = one_line(error), True
    return Outcome(value, text, failed, name, inputs.stamp(topic.uses), time.monotonic() - started, centre)


def _mask_text(subject: Subject | None) -> str:
    return "none" if subject is None else subject.mask_text


def _told(token: int, job: Callable[[], Outcome]) -> tuple[int, Outcome]:
    return token, job()


def _quiet(token: int, job: Callable[[], Path]) -> tuple[int, Path | None, Exception | None]:
    try:
        return token, job(), None
    except PhaseT3MError as error:
        return token, None, error
