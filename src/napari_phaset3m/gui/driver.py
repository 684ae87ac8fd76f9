"""Runs a session's job and carries its events into the session and the viewer.

There is one driver per session. It outlives the panels: closing one does not
touch the run, and a new one finds everything in the session.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.publisher import LayerPublisher, import_for_display
from napari_phaset3m.gui.worker import JobWorker, Mailbox, PreviewFrame, WindowWatch, in_background, start_job
from napari_phaset3m.jobs import RunControl, run
from napari_phaset3m.jobs.messages import Progress, Stopped, Waiting
from napari_phaset3m.jobs.runner import display_limits, new_run_id
from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone
from napari_phaset3m.session import RunRecord, Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Longest edge of a preview, voxels.
PREVIEW_MAX_VOXELS = 256
#: How often the mailbox and the progress are looked at.
TICK_MS = 200
#: The loop gets as much time for other things as painting the last picture took, but not more
#: than this: the volume is to follow at least once per second.
LONGEST_REST_SECONDS = 0.2
#: After this the turns of the event loop in which a picture is handed over have begun.
TURN_MS = 10
_KEY = "driver"
log = logging.getLogger(__name__)
_REASONS = {
    "sweeps": "all sweeps done",
    "converged": "converged",
    "held-out": "held-out images stopped improving",
    "finished early": "finished early, volume kept",
    "diverged": "diverged; the last good volume is kept",
}


def driver_for(session: Session, viewer: ViewerModel) -> JobDriver:
    """The driver of a session, made on first use."""
    driver = session.attachments.get(_KEY)
    if driver is None:
        driver = session.attachments[_KEY] = JobDriver(session, viewer)
    return driver


class JobDriver(QObject):
    """Start, steer and show the runs of one session.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
        Held weakly.
    """

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher = LayerPublisher(viewer)
        self._worker: JobWorker | None = None
        self._control = RunControl()
        self._mailbox: Mailbox[PreviewFrame] = Mailbox()
        self._next_request = 0.0
        self._progress: Progress | None = None
        self._more_sweeps = False
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._on_tick)
        self._window = WindowWatch(self.stop, self)
        in_background(import_for_display, self._on_imported, self._on_import_failed)
        session.events.mask.connect(self._on_mask)

    def _on_imported(self, result: object) -> None:
        log.debug("display modules imported")

    def _on_import_failed(self, error: Exception) -> None:
        log.warning("%s; the first picture will take longer", error)

    def watch_window(self, window: QObject) -> None:
        """Stop the run when this window is closed."""
        self._window.watch(window)

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self._worker is not None

    def start(self) -> RunRecord | None:
        """Start a run with the session's settings; None when that is not possible now."""
        session = self._session
        if self.busy or session.series is None:
            return None
        record = RunRecord(new_run_id(), session.config, series_name=session.series_name)
        self._control, self._mailbox = RunControl(), Mailbox()
        session.progress = self._progress = None
        self._next_request = 0.0
        session.active_run = record.run_id
        session.add_run(record)
        session.message = "Preparing"
        self._request_preview()
        self._worker = start_job(
            run,
            session.series,
            session.config,
            device=session.device,
            control=self._control,
            mailbox=self._mailbox,
            mask=session.mask,
            run_id=record.run_id,
            connect={"yielded": self._on_event, "errored": self._on_error, "finished": self._on_finished},
        )
        self._timer.start(TICK_MS)
        return record

    def pause(self) -> None:
        """Hold the run after its present step."""
        self._control.pause()

    def resume(self) -> None:
        """Go on with a paused run."""
        self._control.resume()

    def finish(self) -> None:
        """End the run after its present step and keep the volume."""
        if self.busy:
            self._session.message = "Finishing: computing the full-size volume"
            self._control.finish()

    def stop(self) -> None:
        """End the run; what is shown stays."""
        if self.busy:
            self._session.message = "Stopping"
            self._control.stop()

    def show(self, record: RunRecord) -> None:
        """Bring the result of an earlier run back into the viewer."""
        layer = self.publisher.layer_of(record.run_id)
        if layer is not None:
            layer.visible = True
        elif record.volume is not None and record.voxel_size_angstrom is not None:
            data, voxel = record.volume, record.voxel_size_angstrom
            frame = PreviewFrame(
                record.run_id, len(record.sweeps), data, None, voxel, display_limits(data),
                final=True, unit=record.unit,
            )  # fmt: skip
            self._publish(record, frame)

    def _on_event(self, event: Any) -> None:
        session, run_id = self._session, self._session.active_run
        if run_id is None or getattr(event, "run_id", run_id) != run_id:
            return
        if isinstance(event, Progress):
            self._progress = event  # shown at the next tick: these come in dozens per second
            self._set_status(run_id, "running")
        elif isinstance(event, SweepDone):
            record = session.run(run_id)
            if record is not None:
                record.sweeps.append(event)
                record.seconds += event.seconds
                self._more_sweeps = True
        elif isinstance(event, Waiting):
            session.message = event.message
            self._set_status(run_id, event.state)
        elif isinstance(event, Started):
            session.message = "Running"
            names = ("n_sweeps", "device", "notes", "settings")
            session.update_run(run_id, status="running", **{name: getattr(event, name) for name in names})
        elif isinstance(event, Finished):
            self._on_result(run_id, event)
        elif isinstance(event, Stopped):
            session.update_run(run_id, status="stopped", reason="stopped")
            session.message = "Stopped; the last preview stays in the viewer"

    def _set_status(self, run_id: str, status: str) -> None:
        record = self._session.run(run_id)
        if record is None or record.status == status or not record.active:
            return
        self._show_progress()
        if status == "running":
            if self._control.paused:
                return
            self._session.message = "Running"
        self._session.update_run(run_id, status=status)

    def _on_result(self, run_id: str, event: Finished) -> None:
        self._session.update_run(
            run_id,
            status="finished",
            volume=event.volume,
            voxel_size_angstrom=event.voxel_size_angstrom,
            unit=event.unit,
            reason=event.reason,
        )
        self._drain()
        reason = _REASONS.get(event.reason, event.reason)
        self._session.message = f"Finished: {reason}"

    def _on_error(self, error: Exception) -> None:
        run_id = self._session.active_run
        text = str(error) or type(error).__name__
        if not isinstance(error, PhaseT3MError | MemoryError):
            text = f"{type(error).__name__}: {text}"
        if run_id is not None:
            self._session.update_run(run_id, status="failed", error=text)
        self._session.message = f"Failed: {text}"
        if not isinstance(error, PhaseT3MError):
            from napari.utils.notifications import notification_manager

            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _on_finished(self) -> None:
        session, run_id = self._session, self._session.active_run
        self._timer.stop()
        self._show_progress()
        self._drain()
        self._worker = None
        record = session.run(run_id)
        session.active_run = None
        if run_id is not None and record is not None and record.active:
            session.update_run(run_id, status="stopped", reason="stopped")
            session.message = "Stopped; the last preview stays in the viewer"
        elif run_id is not None:
            session.update_run(run_id)

    def _on_mask(self, mask: Any) -> None:
        if self.busy:
            self._control.set_mask(mask)

    def _on_tick(self) -> None:
        self._show_progress()
        if self._mailbox.full:
            QTimer.singleShot(0, self._drain)
            handed_over = time.monotonic()
            self._next_request = handed_over + LONGEST_REST_SECONDS
            QTimer.singleShot(TURN_MS, partial(self._painted, handed_over))
        elif time.monotonic() >= self._next_request:
            self._request_preview()

    def _painted(self, handed_over: float) -> None:
        """Ask for the next picture, after a rest as long as painting the last one took."""
        now = time.monotonic()
        rest = now - handed_over - TURN_MS / 1000
        self._next_request = now + min(max(0.0, rest), LONGEST_REST_SECONDS)
        if self._next_request - now < TICK_MS / 1000:
            self._request_preview()

    def _show_progress(self) -> None:
        run_id = self._session.active_run
        if self._progress is not None and self._progress.run_id == run_id:
            self._session.progress = self._progress
        if self._more_sweeps and run_id is not None:
            self._more_sweeps = False
            self._session.update_run(run_id)

    def _request_preview(self) -> None:
        wanted = PREVIEW_MAX_VOXELS if self._session.live else 0
        self._control.request_preview(wanted, fourier=self._session.watch_fourier)

    def _drain(self) -> None:
        frame = self._mailbox.take()
        record = self._session.run(frame.run_id) if frame is not None else None
        if frame is None or record is None:
            return
        if frame.final:
            self._publish(record, frame)
            self._session.frame = frame
        else:  # the first one in two turns of the event loop, so that none holds the window up
            turned = self.publisher.turn_to_volume()
            if turned:
                QTimer.singleShot(0, partial(self._show, record, frame))
            else:
                self._show(record, frame)

    def _show(self, record: RunRecord, frame: PreviewFrame) -> None:
        if record.volume is None:  # the result may have overtaken it
            self._publish(record, frame)
            self._session.frame = frame

    def _publish(self, record: RunRecord, frame: PreviewFrame) -> None:
        series = self._session.series
        voxel = record.voxel_size_angstrom or record.config.voxel_angstrom
        if voxel is None:
            voxel = series.pixel_size_angstrom if series is not None else frame.voxel_size_angstrom
        name = self.publisher.publish(record, frame, voxel)
        if name is not None and record.layer_names != [name]:
            self._session.update_run(record.run_id, layer_names=[name])
