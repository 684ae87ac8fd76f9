"""What a comparison does on request: list peaks side by side, and write the report; in worker threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_phaset3m.errors import CancelledError
from napari_phaset3m.gui.analyse.inputs import Inputs, inputs_of
from napari_phaset3m.gui.compare.report import find_peaks, write
from napari_phaset3m.gui.compare.set import CompareSet
from napari_phaset3m.gui.error_words import error_line
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.series_identity import is_of_open_series
from napari_phaset3m.session import Session

PEAKS, REPORT = "peaks", "report"


class CompareWork(QObject):
    """One thing at a time, for the volumes that are chosen.

    Parameters
    ----------
    session : Session
        Its mask for analysis, series, and the cell of the step Analyse are used.
    chosen : CompareSet
    """

    #: Something began or ended.
    changed = Signal()
    #: What is being done, and the part done, 0..1.
    progressed = Signal(str, float)
    #: (text, style role).
    said = Signal(str, str)
    #: (``peaks`` or ``report``, why it could not be made).
    failed = Signal(str, str)
    #: A ``PeaksBeside``.
    peaks_found = Signal(object)

    def __init__(self, session: Session, chosen: CompareSet, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._set = session, chosen
        #: ``peaks``, ``report`` or nothing.
        self.running = ""
        self.report_path: Path | None = None
        self._token = 0

    def why_not(self) -> str:
        """Why nothing can be started; empty when it can."""
        if self.running:
            return "Being worked out already"
        if len(self._set.items) < 2:
            return "Choose two volumes first"
        if any(item.candidate.key not in self._set.numbers for item in self._set.items[1:]):
            return "The volumes are being aligned to A"
        return ""

    def find_peaks(self) -> None:
        """List the same Bragg reflections of all volumes."""
        if self.why_not():
            return
        found = [self._set.numbers[item.candidate.key] for item in self._set.items[1:]]
        self._start(PEAKS, partial(find_peaks, found, self.known()), self._on_peaks)

    def write_report(self, path: Path) -> None:
        """Measure everything and write one page."""
        runs = {f"run:{record.run_id}": record for record in self._session.runs}
        names = [item.candidate.label for item in self._set.items]
        records = [runs.get(item.candidate.key) for item in self._set.items]
        told = (names, self._contents(), records)
        job = partial(write, path, *told, self.known(), self._set.turning)
        self._start(REPORT, job, self._on_report)

    def cancel(self) -> None:
        """Drop what is being worked out."""
        self._token += 1
        if self.running:
            self.running = ""
            self.said.emit("Cancelled", "muted")
            self.changed.emit()

    def _contents(self) -> list[Any]:
        return [item.shot.content for item in self._set.items if item.shot is not None]

    def known(self) -> Inputs:
        """Mask, cell and series; the series only where all volumes are runs of it."""
        session = self._session
        runs = {f"run:{record.run_id}": record for record in session.runs}
        records = [runs.get(item.candidate.key) for item in self._set.items]
        ours = all(r is not None and is_of_open_series(session, r) for r in records)
        return inputs_of(session, series=ours)

    def _start(
        self, what: str, job: Callable[[Callable[[str, float], None]], Any], then: Callable[[Any], None]
    ) -> None:
        if self.why_not():
            return
        self._token += 1
        token = self._token

        def show(text: str, part: float) -> None:
            if token != self._token:
                raise CancelledError("cancelled")
            self.progressed.emit(text, part)

        self.running = what
        self.progressed.emit("Starting", 0.0)
        self.changed.emit()
        self._then = then
        in_background(partial(_told, token, job, show), self._on_done, self._on_lost)

    def _on_done(self, answer: tuple[int, Any, Exception | None]) -> None:
        token, value, error = answer
        if token != self._token:
            return
        what, self.running = self.running, ""
        if error is None:
            self._then(value)
        else:
            self.failed.emit(what, error_line(error))
        self.changed.emit()

    def _on_lost(self, error: Exception) -> None:
        raise error  # what a job raises is told by _on_done

    def _on_peaks(self, found: Any) -> None:
        self.peaks_found.emit(found)

    def _on_report(self, path: Path) -> None:
        self.report_path = path
        self.said.emit(f"Report written: {path.name}", "good")


def _told(
    token: int, job: Callable[[Callable[[str, float], None]], Any], show: Callable[[str, float], None]
) -> tuple[int, Any, Exception | None]:
    try:
        return token, job(show), None
    except Exception as error:  # told with its token: it may be of a job that was given up
        return token, None, error
