"""Figures and films are drawn and written in a worker thread, one at a time, and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.errors import CancelledError, PhaseT3MError
from napari_phaset3m.gui.error_words import one_line, with_kind
from napari_phaset3m.gui.worker import WindowWatch, in_background

#: Gets a callback for progress that raises when it is to end.
Job = Callable[[Callable[[str, float], None]], Any]
#: Time without a change before a preview is drawn, ms.
DEBOUNCE_MS = 350


class PaperWork(QObject):
    """Draws previews when settings rest, and writes a file when asked to.

    A file is never held up by a preview: that one is given up.
    """

    #: What is being written, and the done part.
    progressed = Signal(str, float)
    #: A preview: what the job gave.
    previewed = Signal(object)
    #: A file: its path.
    saved = Signal(object)
    #: One line, and its role.
    said = Signal(str, str)
    #: Began or ended to write.
    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.saving = False
        self._drawing = False
        self._wanted: Job | None = None
        self._end = Event()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._next)
        self._window = WindowWatch(self.cancel, self)

    def watch_window(self, window: QObject) -> None:
        """Give up when this window is closed."""
        self._window.watch(window)

    def preview(self, job: Job) -> None:
        """Draw a preview soon; a later one takes its place."""
        self._wanted = job
        if self._drawing and not self.saving:
            self._end.set()
        self._timer.start()

    def cancel_preview(self) -> None:
        """There is nothing to preview."""
        if not self.saving:
            self.cancel()

    def save(self, job: Job) -> None:
        """Write a file; refused while one is being written."""
        if self.saving:
            return
        self.saving, self._wanted = True, None
        self._end.set()  # ends a preview
        self._end = Event()
        self.progressed.emit("beginning", 0.0)
        in_background(partial(_tried, self._shown(self._end), job), self._on_saved, self._on_crash)
        self.changed.emit()

    def cancel(self) -> None:
        """End what is going on; nothing is left of a file."""
        self._wanted = None
        self._timer.stop()
        self._end.set()

    def _next(self) -> None:
        if self._wanted is None or self._drawing or self.saving:
            return
        job, self._wanted = self._wanted, None
        self._drawing, self._end = True, Event()
        end = self._end

        def quiet(text: str, part: float) -> None:
            if end.is_set():
                raise CancelledError("cancelled")

        in_background(partial(_tried, quiet, job), self._on_preview, self._on_crash)

    def _shown(self, end: Event) -> Callable[[str, float], None]:
        def show(text: str, part: float) -> None:
            if end.is_set() or not isalive(self):
                raise CancelledError("cancelled")
            self.progressed.emit(text, part)

        return show

    def _on_preview(self, answer: tuple[Any, Exception | None]) -> None:
        found, error = answer
        self._drawing = False
        if error is None:
            self.previewed.emit(found)
        elif not isinstance(error, CancelledError):
            self.said.emit(one_line(error), "error")
        if self._wanted is not None and not self._timer.isActive():
            self._next()

    def _on_saved(self, answer: tuple[Any, Exception | None]) -> None:
        path, error = answer
        self.saving = False
        if error is None:
            self.saved.emit(path)
        elif isinstance(error, CancelledError):
            self.said.emit("Cancelled; nothing was written", "muted")
        else:
            self.said.emit(f"Not saved: {one_line(error)}", "error")
        self.changed.emit()
        if self._wanted is not None:
            self._next()

    def _on_crash(self, error: Exception) -> None:
        self.saving = self._drawing = False
        self.said.emit(with_kind(error), "error")
        self.changed.emit()
        raise error


def _tried(show: Callable[[str, float], None], job: Job) -> tuple[Any, Exception | None]:
    try:
        return job(show), None
    except (PhaseT3MError, MemoryError) as error:
        return None, error
