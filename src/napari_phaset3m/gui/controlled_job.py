"""One job at a time that can be stopped, and one that can be paused and finished early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_phaset3m.gui.worker import JobWorker, WindowWatch, start_job
from napari_phaset3m.jobs import RunControl


class WindowJob(QObject):
    """Base of what runs one job at a time for the panels of a session, and outlives them."""

    #: Something that panels show has changed.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._worker: JobWorker | None = None
        self._control = RunControl()
        self._window = WindowWatch(self.stop, self)

    def watch_window(self, window: QObject) -> None:
        """Stop what runs when this window is closed."""
        self._window.watch(window)

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._worker is not None

    def stop(self) -> None:
        """End without what the running job would have given."""
        if self.busy:
            self._control.stop()


class ControlledJob(WindowJob):
    """A job that can be paused and finished early as well.

    Emits ``changed`` when it began, was paused or resumed, or ended.
    """

    #: What is told while it ends early.
    finishing = "Finishing"

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        #: What is told in place of progress; empty while there is any.
        self.message = ""

    def _begin(
        self,
        function: Callable[..., Any],
        *args: Any,
        title: str,
        connect: dict[str, Callable[..., None]],
        **kwargs: Any,
    ) -> None:
        """Start a generator function in the background, see :func:`.worker.start_job`."""
        self._control, self.paused, self.message = RunControl(), False, "Preparing"
        kwargs |= {"control": self._control, "window": self._window}
        self._worker = start_job(function, *args, title=title, connect=connect, **kwargs)

    def _end(self) -> None:
        """To be called when the job's worker has finished."""
        self._worker, self.paused, self.message = None, False, ""

    def toggle_pause(self) -> None:
        """Hold after the present piece of work, or go on."""
        if not self.busy:
            return
        self.paused = not self.paused
        (self._control.pause if self.paused else self._control.resume)()
        self.changed.emit()

    def finish(self) -> None:
        """End early and keep the best so far."""
        if self.busy:
            self.paused, self.message = False, self.finishing
            self._control.finish()
            self.changed.emit()

    def stop(self) -> None:
        """End without what the running job would have given."""
        if self.busy:
            self.paused, self.message = False, "Stopping"
            super().stop()
            self.changed.emit()
