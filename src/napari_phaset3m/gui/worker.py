"""Worker threads that report every failure and clean up after themselves."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QThreadPool, QTimer
from superqt.utils import FunctionWorker, GeneratorWorker

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.jobs import Mailbox, PreviewFrame, RunControl

#: Longest that the end of the process waits for work in the background, ms.
EXIT_WAIT_MS = 5000
log = logging.getLogger(__name__)


class JobError(PhaseT3MError):
    """A ``RuntimeError`` (CUDA's are) ended a job; the original is its cause."""


class JobWorker(GeneratorWorker):
    """A generator worker without the four traps of its base class.

    A ``RuntimeError`` is reported instead of dropped; the generator is closed in
    the worker thread, so that its ``finally`` blocks free memory there; :meth:`quit`
    also wakes a job that sleeps in a pause or a queue; and the job does not count
    among the pool's threads, of which there are as many as cores: as many jobs, of
    several windows, would keep every short piece of work (saving) waiting.

    Parameters
    ----------
    function : generator function
    *args, **kwargs
        Passed to ``function``; ``control`` must be a :class:`RunControl`.
    """

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(function, *args, **kwargs)
        self._control: RunControl = kwargs["control"]

    def work(self) -> Any:
        """Run the generator to its end; called by the thread pool."""
        pool = QThreadPool.globalInstance()
        pool.releaseThread()
        try:
            result = super().work()
            if isinstance(result, RuntimeError):
                raise JobError(str(result) or type(result).__name__) from result
            return result
        finally:
            self._gen.close()
            pool.reserveThread()

    def quit(self) -> None:
        """Ask the job to end, also while it is paused or queued."""
        self._control.stop()
        super().quit()


def start_job(
    function: Callable[..., Any],
    *args: Any,
    window: WindowWatch,
    title: str,
    connect: dict[str, Callable[..., None]],
    **kwargs: Any,
) -> JobWorker:
    """Start a generator in a worker thread, registered with the task list of its window.

    Parameters
    ----------
    function : generator function
    window : WindowWatch
        Of the job's owner.
    title : str
        What napari says when that window is closed meanwhile: ``"A reconstruction"``.
    connect : dict
        Signal name to slot; slots must be methods of a ``QObject`` so that they
        run in its thread.
    *args, **kwargs
        Passed to ``function``; ``control`` is required.
    """
    worker = JobWorker(function, *args, **kwargs)
    for signal, slot in connect.items():
        getattr(worker, signal).connect(slot)
    worker.warned.connect(_log_warning)
    window.enlist(worker, title)
    worker.start()
    return worker


def in_background(
    function: Callable[[], Any],
    on_result: Callable[[Any], None],
    on_error: Callable[[Exception], None],
) -> FunctionWorker:
    """Run a short function in a worker thread; the slots run in the caller's.

    Parameters
    ----------
    function : callable
        Takes nothing.
    on_result, on_error : methods of a QObject
    """
    worker = FunctionWorker(function)
    worker.returned.connect(on_result)
    worker.errored.connect(on_error)
    worker.warned.connect(_log_warning)
    # Always the one registered last, so that it comes before FFTW's own, which frees what the work uses.
    atexit.unregister(_await_workers)
    atexit.register(_await_workers)
    worker.start()
    return worker


def _await_workers() -> None:
    QThreadPool.globalInstance().waitForDone(EXIT_WAIT_MS)


def _log_warning(details: tuple[Any, ...]) -> None:
    log.warning("%s", details[0])


def _quit(worker: ReferenceType[JobWorker]) -> None:
    running = worker()
    if running is not None:
        running.quit()


class WindowWatch(QObject):
    """Calls back once the window it watches has really been closed; holds it weakly."""

    def __init__(self, on_closed: Callable[[], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._on_closed = on_closed
        self._watched: ReferenceType[QObject] | None = None
        self._task: Any = None
        self._asking = False

    def _window(self) -> QObject | None:
        found = self._watched() if self._watched is not None else None
        return found if found is not None and isalive(found) else None

    def watch(self, window: QObject) -> None:
        """Watch this top-level window (instead of an earlier one)."""
        known = self._window()
        if window is known:
            return
        if known is not None:
            known.removeEventFilter(self)
        self._watched = ref(window)
        window.installEventFilter(self)
        window.destroyed.connect(self._forget)

    def watch_viewer(self, viewer: Any) -> None:
        """Watch the window of a viewer, when it has one."""
        window = getattr(getattr(viewer, "window", None), "_qt_window", None)
        if window is not None:
            self.watch(window)

    def enlist(self, worker: JobWorker, title: str) -> None:
        """Have the user asked before the window is closed while this job runs, and end the job then.

        napari's own ``create_worker`` would give the job to whichever window was activated last, and closing
        that one would end it. Without a window of napari's nothing is done.
        """
        owner: Any = getattr(self._window(), "_window", None)
        if not hasattr(owner, "_register_task_status"):
            return
        from napari.utils.task_status import Status

        quit_it = partial(_quit, ref(worker))  # napari keeps its list for ever
        self._task = owner._register_task_status("PhaseT3M", Status.BUSY, f"{title} is going on", quit_it)
        worker.finished.connect(self._on_job_ended)

    def _on_job_ended(self) -> None:
        owner = getattr(self._window(), "_window", None)
        if owner is not None:
            from napari.utils.task_status import Status

            owner._update_task_status(self._task, Status.COMPLETED)
        self._task = None

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Notice a close event; whether it was refused is known only afterwards.

        While a job of this owner runs, the user is asked here: napari asks about its tasks, and then once
        more whether to close a window that has layers.
        """
        if event is None or event.type() != QEvent.Type.Close or watched is not self._window():
            return False
        if event.spontaneous() and self._task is not None:
            event.ignore()
            if not self._asking and self._is_agreed(watched):
                QTimer.singleShot(0, self._close)  # in a turn of its own: Qt is closing it now
            return True
        QTimer.singleShot(0, self._check)
        return False

    def _is_agreed(self, window: Any) -> bool:
        """Ask, once, whether to close the window and end all that runs in it."""
        from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog

        told = "\n".join(window._window._task_status_manager.get_status())
        self._asking = True
        try:
            dialog = ConfirmCloseDialog(window, close_app=False, extra_info=told, display_checkbox=False)
            return bool(dialog.exec_() == ConfirmCloseDialog.DialogCode.Accepted)
        finally:
            self._asking = False

    def _close(self) -> None:
        """Close the window from code, at which napari asks nothing."""
        window: Any = self._window()
        if window is not None:
            window.close()

    def _check(self) -> None:
        window: Any = self._window()
        if window is None or not window.isVisible():
            self._on_closed()

    def _forget(self) -> None:
        self._watched = None
        self._on_closed()


__all__ = ["JobError", "JobWorker", "Mailbox", "PreviewFrame", "WindowWatch", "in_background", "start_job"]
