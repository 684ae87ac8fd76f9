"""Runs a session's job and carries its events into the session and the viewer.

There is one driver per session. It outlives the panels: closing one does not
touch the run, and a new one finds everything in the session.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import error_line, report
from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.layers.volumes import absorption_key, import_for_display, turn_to_volume
from napari_phaset3m.gui.reconstruct.live_tilt import SERIES_KEY
from napari_phaset3m.gui.reconstruct.pictures import TICK_MS, PictureFeed
from napari_phaset3m.gui.reconstruct.run_mask import mask_in_use, note_mask
from napari_phaset3m.gui.reconstruct.sweep_pictures import sweep_pictures_of
from napari_phaset3m.gui.runs.words import closing_line, in_window
from napari_phaset3m.gui.worker import JobWorker, WindowWatch, in_background, start_job
from napari_phaset3m.jobs import RunControl, run
from napari_phaset3m.jobs.messages import Progress, Stopped, Waiting
from napari_phaset3m.jobs.runner import new_run_id
from napari_phaset3m.prepare.history import history
from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone
from napari_phaset3m.session import RunRecord, Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries

_KEY = "driver"
log = logging.getLogger(__name__)


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
        self.publisher = publisher_for(session, viewer)
        self.pictures = PictureFeed(session, self.publisher, self)
        self._starting = False
        self._worker: JobWorker | None = None
        self._control = RunControl()
        self._progress: Progress | None = None
        self._more_sweeps = False
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._on_tick)
        self._window = WindowWatch(self.stop, self)
        in_background(import_for_display, self._on_imported, self._on_import_failed)
        session.events.mask.connect(self._on_mask)
        session.run_removed.connect(self._on_removed)

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
        return self._starting or self._worker is not None

    def start(self) -> RunRecord | None:
        """Start a run with the session's settings; None when that is not possible now."""
        session = self._session
        if self.busy or session.series is None:
            return None
        record = RunRecord(
            new_run_id(), session.config, series_name=session.series_name,
            series_mark=session.series_mark,
            source=session.source(), mask=mask_in_use(session, session.series),
            steps=tuple(str(item["step"]) for item in history(session.series)),
            tilt_range_deg=session.series.tilt_range_deg,
        )  # fmt: skip
        self._starting, self._control = True, RunControl()
        session.progress = self._progress = None
        session.active_run = record.run_id
        session.attachments[SERIES_KEY] = (record.run_id, session.series)
        session.add_run(record)
        session.message = "Preparing"
        # Each in a turn of its own, so that the window answers in between.
        QTimer.singleShot(0, partial(self._turn, record, session.series))
        return record

    def _turn(self, record: RunRecord, series: TiltFocalSeries) -> None:
        try:
            if self._session.live and not self._control.stopped:
                turn_to_volume(self.publisher)
        finally:  # a canvas in trouble is no reason to hang in "Preparing"
            QTimer.singleShot(0, partial(self._put_layer, record, series))

    def _put_layer(self, record: RunRecord, series: TiltFocalSeries) -> None:
        try:
            if self._session.live and not self._control.stopped:
                self.pictures.put_layer(record, series)
        finally:
            QTimer.singleShot(0, partial(self._launch, record, series))

    def _launch(self, record: RunRecord, series: TiltFocalSeries) -> None:
        self.pictures.begin(self._control)
        self._window.watch_viewer(self.publisher.viewer)
        self._worker = start_job(
            run,
            series,
            record.config,
            device=self._session.device,
            control=self._control,
            mailbox=self.pictures.mailbox,
            mask=None if record.mask is None else record.mask.mask,
            run_id=record.run_id,
            window=self._window,
            title="A reconstruction",
            connect={"yielded": self._on_event, "errored": self._on_error, "finished": self._on_finished},
        )
        self._starting = False
        self._timer.start(TICK_MS)

    def pause(self) -> None:
        """Hold the run after its present step."""
        self._control.pause()

    def resume(self) -> None:
        """Go on with a paused run."""
        self._control.resume()

    def toggle_pause(self) -> None:
        """Pause, or go on when it is paused."""
        record = self._session.run(self._session.active_run)
        if record is not None and record.status == "paused":
            self.resume()
        elif record is not None:
            self._session.message = "Pausing after this step"
            self.pause()

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
        layer, second = (self.publisher.layer(key) for key in (record.run_id, absorption_key(record.run_id)))
        if second is not None:
            second.visible = True
        else:
            self.pictures.show_absorption(record)
        if layer is not None:
            layer.visible = True
        else:
            self.pictures.show_result(record)
        self.pictures.look_again(record)

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
                if event.note:
                    session.message = event.note
                    session.update_run(run_id, notes=(*record.notes, event.note))
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
            self._on_stopped(run_id)

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
            absorption=event.absorption,
            voxel_size_angstrom=event.voxel_size_angstrom,
            unit=event.unit,
            reason=event.reason,
            settings=event.settings,
        )
        self.pictures.drain()
        record = self._session.run(run_id)
        if record is not None:
            if event.note:
                self._session.update_run(run_id, notes=(*record.notes, event.note))
            self._session.message = closing_line(record)
            # In a turn of its own: a new layer takes napari longer than the window may be held up.
            QTimer.singleShot(0, partial(self.pictures.show_absorption, record))

    def _on_stopped(self, run_id: str) -> None:
        self._session.update_run(run_id, status="stopped", reason="stopped")
        shown = self._session.frame is not None and self._session.frame.run_id == run_id
        stays = "; the last preview stays in the viewer" if shown else " before the first picture"
        self._session.message = f"Stopped{stays}"

    def _on_error(self, error: Exception) -> None:
        run_id = self._session.active_run
        text = error_line(error, in_window)
        if run_id is not None:
            self._session.update_run(run_id, status="failed", error=text)
        self._session.message = f"Failed: {text}"
        if not isinstance(error, PhaseT3MError):
            report(error)

    def _on_finished(self) -> None:
        session, run_id = self._session, self._session.active_run
        self._timer.stop()
        self._show_progress()
        self.pictures.drain()
        self._worker = None
        record = session.run(run_id)
        if run_id is not None:
            self.pictures.clear_empty(run_id)
        session.active_run = None
        if run_id is not None and record is not None and record.active:
            self._on_stopped(run_id)
        elif run_id is not None:
            session.update_run(run_id)

    def _on_removed(self, record: RunRecord) -> None:
        self.publisher.forget(record.run_id)
        self.publisher.forget(absorption_key(record.run_id))
        sweep_pictures_of(self._session).forget(record.run_id)

    def _on_mask(self, mask: Any) -> None:
        note_mask(self._session)
        if self.busy:
            self._control.set_mask(mask)

    def _on_tick(self) -> None:
        self._show_progress()
        self.pictures.tick()

    def _show_progress(self) -> None:
        run_id = self._session.active_run
        if self._progress is not None and self._progress.run_id == run_id:
            self._session.progress = self._progress
        if self._more_sweeps and run_id is not None:
            self._more_sweeps = False
            self._session.update_run(run_id)
