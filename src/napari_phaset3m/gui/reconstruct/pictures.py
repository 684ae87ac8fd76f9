"""The pictures of a run on their way from the mailbox into the viewer and the session."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.gui.canvas.opengl import preview_voxels
from napari_phaset3m.gui.layers.publisher import LayerPublisher
from napari_phaset3m.gui.layers.volumes import (
    publish_absorption,
    publish_empty,
    publish_frame,
    turn_to_volume,
)
from napari_phaset3m.gui.reconstruct.sweep_pictures import sweep_pictures_of
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.jobs import Mailbox, PreviewFrame, RunControl
from napari_phaset3m.jobs.frames import make_frame
from napari_phaset3m.session import RunRecord, Session

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_phaset3m.core.series import TiltFocalSeries

#: The loop gets as much time for other things as painting the last picture took, but not more
#: than this: the volume is to follow at least once per second.
LONGEST_REST_SECONDS = 0.2
#: After this the turns of the event loop in which a picture is handed over have begun.
TURN_MS = 10
#: How often the mailbox is looked at.
TICK_MS = 200
log = logging.getLogger(__name__)


class PictureFeed(QObject):
    """Asks the running job for pictures at a pace that the window can follow, and shows them.

    Parameters
    ----------
    session : Session
    publisher : LayerPublisher
    """

    def __init__(self, session: Session, publisher: LayerPublisher, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._publisher = publisher
        self._control = RunControl()
        self.mailbox: Mailbox[PreviewFrame] = Mailbox()
        self._next_request = 0.0
        self._aside: list[Layer] = []

    def begin(self, control: RunControl) -> None:
        """Serve another run; its first picture is asked for at once."""
        self._control, self.mailbox, self._next_request = control, Mailbox(), 0.0
        self._request()

    def put_layer(self, record: RunRecord, series: TiltFocalSeries) -> None:
        """Make the layer of a run that is about to start, in place of those of earlier runs."""
        self._aside = publish_empty(self._publisher, record, series)

    def clear_empty(self, run_id: str) -> None:
        """Take the layer of a run away in which nothing was ever shown, and show what it stood in for."""
        aside, self._aside = self._aside, []
        self._publisher.remove(run_id, only_empty=True)
        if self._publisher.layer(run_id) is None:
            for layer in aside:
                layer.visible = True

    def tick(self) -> None:
        """Look into the mailbox; to be called every :data:`TICK_MS`."""
        if self.mailbox.full:
            QTimer.singleShot(0, self.drain)
            handed_over = time.monotonic()
            self._next_request = handed_over + LONGEST_REST_SECONDS
            QTimer.singleShot(TURN_MS, partial(self._painted, handed_over))
        elif time.monotonic() >= self._next_request:
            self._request()

    def drain(self) -> None:
        """Show what is in the mailbox."""
        frame = self.mailbox.take()
        record = self._session.run(frame.run_id) if frame is not None else None
        if frame is None or record is None:
            return
        # live pictures may have been switched on late: turning the canvas gets a turn of its own
        new = not frame.final and not self._publisher.has(record.run_id)
        if new and turn_to_volume(self._publisher):
            QTimer.singleShot(0, partial(self._show, record, frame))
        else:
            self._show(record, frame)

    def publish(self, record: RunRecord, frame: PreviewFrame) -> None:
        """Show a frame in the viewer only."""
        self._note_layer(record, publish_frame(self._publisher, record, frame))

    def show_result(self, record: RunRecord) -> None:
        """Make the layer of a result anew."""
        if record.volume is not None:
            self.publish(record, result_frame(record))

    def look_again(self, record: RunRecord) -> None:
        """Show transform and slices of a result below the canvas, unless a run goes on."""
        if record.volume is not None and self._session.active_run is None:
            job = partial(result_frame, record, fourier=True)
            in_background(job, partial(self._on_looked, record.run_id), _not_looked)

    def _on_looked(self, run_id: str, frame: PreviewFrame) -> None:
        if self._session.active_run is None and self._session.run(run_id) is not None:
            self._session.frame = frame

    def show_absorption(self, record: RunRecord) -> None:
        """Show the absorptive part of a run, when it has one."""
        self._note_layer(record, publish_absorption(self._publisher, record))

    def _note_layer(self, record: RunRecord, name: str | None) -> None:
        if name is not None and name not in record.layer_names:
            self._session.update_run(record.run_id, layer_names=[*record.layer_names, name])

    def _show(self, record: RunRecord, frame: PreviewFrame) -> None:
        if frame.final or record.volume is None:  # the result may have overtaken a preview
            sweep_pictures_of(self._session).add(frame)
            self.publish(record, frame)
            self._session.frame = frame

    def _painted(self, handed_over: float) -> None:
        """Ask for the next picture, after a rest as long as painting the last one took."""
        now = time.monotonic()
        rest = now - handed_over - TURN_MS / 1000
        self._next_request = now + min(max(0.0, rest), LONGEST_REST_SECONDS)
        if self._next_request - now < TICK_MS / 1000:
            self._request()

    def _request(self) -> None:
        wanted = preview_voxels() if self._session.live else 0
        self._control.request_preview(wanted, fourier=self._session.watch_fourier)


def result_frame(record: RunRecord, *, fourier: bool = False) -> PreviewFrame:
    """A picture of a result; ``fourier`` with its transform, which takes a worker's time."""
    frame = make_frame(record, record.run_id, len(record.sweeps), fourier=fourier)
    return replace(frame, final=True, unit=record.unit)


def _not_looked(error: Exception) -> None:
    log.warning("no transform of the result: %s", error)
