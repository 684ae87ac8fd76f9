"""One tilt as measured, as the newest volume has it, and the difference, while a run goes on."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import one_line, with_kind
from napari_phaset3m.gui.plots.tilt_plot import PicturePlot
from napari_phaset3m.gui.theme import label
from napari_phaset3m.gui.view_tab import bring_forward, tab_of
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.optimise.look import simulated
from napari_phaset3m.reconstruct.methods.registry import METHODS

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.jobs import PreviewFrame
    from napari_phaset3m.session import RunRecord, Session

TITLE = "Tilt"
NOTHING = "Measured and simulated images appear here while a run is going on"
EARLIER = "Only the images of the run started last can be simulated"
#: Under which the driver leaves (run id, series) of the run started last.
SERIES_KEY = "run series"
#: After a simulation that took a time T no other picture of the run is simulated for this many T:
#: the solver is to have the processor.
REST = 16.0
Pair = tuple[np.ndarray, np.ndarray]


def show_tilt(session: Session, viewer: ViewerModel) -> None:
    """Bring the images to the front; the view is made on first use."""
    view = tab_of(session, viewer, TITLE, partial(LiveTilt, session))
    if view is not None:
        bring_forward(view)


def simulate(
    series: TiltFocalSeries, record: RunRecord, frame: PreviewFrame, tilt: int
) -> tuple[int, Pair | None, str, float]:
    """Tilt, measured and simulated images `(n, ny, nx)`, or why there are none, and the seconds it took.

    A binned preview is compared on its own voxels: images of that size are all it can explain.
    """
    begun = time.monotonic()
    config = record.config
    full = config.voxel_angstrom or series.pixel_size_angstrom
    if frame.voxel_size_angstrom > 1.01 * full:
        config = config.model_copy(update={"voxel_angstrom": frame.voxel_size_angstrom})
    try:
        pair, error = simulated(series, config, frame.volume, tilt), ""
    except PhaseT3MError as problem:
        pair, error = None, one_line(problem)
    return tilt, pair, error, time.monotonic() - begun


class LiveTilt(QWidget):
    """Measured | simulated | difference of the tilt the run is at, or of the one that is shown.

    Parameters
    ----------
    session : Session

    Notes
    -----
    Simulated in a worker, one at a time, with rests between (:data:`REST`); nothing while it is hidden.
    """

    #: Part of the window's height that it wants.
    tall = 0.36

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._busy = False
        self._resting_until = 0.0
        self._asked: tuple[PreviewFrame | None, int] = (None, -1)
        self._pair: Pair | None = None
        self.follow = QCheckBox("Follow the run")
        self.follow.setChecked(True)
        self.follow.setToolTip("The tilt worked in last; otherwise the one shown in step Series (N, P)")
        self.info = label(NOTHING, "muted")
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 2, 6, 0)
        bar.addWidget(self.follow)
        bar.addWidget(self.info, 1)
        row = QHBoxLayout()
        self.plots = {}
        for name in ("measured", "simulated", "difference"):
            plot = self.plots[name] = PicturePlot("x (Å)", "y (Å)", square=True)
            plot.title.setText(name)
            row.addWidget(plot, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        layout.addLayout(row, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._request)
        self.follow.toggled.connect(self._now)
        follow(session.events.frame, self._request)
        follow(session.events.shown_image, self._now)

    def showEvent(self, event: Any) -> None:
        """Catch up."""
        super().showEvent(event)
        self._now()

    def tilt(self) -> int:
        """Index of the tilt to show."""
        progress = self._session.progress
        running = self._session.active_run is not None
        if self.follow.isChecked() and running and progress is not None and progress.tilt is not None:
            return progress.tilt
        if self.follow.isChecked() and self._asked[1] >= 0:
            return self._asked[1]
        series = self._series()
        return (
            self._session.shown_image[0]
            if series is None
            else min(self._session.shown_image[0], series.n_tilt - 1)
        )

    def _series(self) -> TiltFocalSeries | None:
        """What the run of the newest picture reconstructs; the session's may have been changed since."""
        frame, (run_id, series) = self._session.frame, self._session.attachments.get(SERIES_KEY, ("", None))
        return series if frame is not None and frame.run_id == run_id else None

    def _now(self, *_: object) -> None:
        self._resting_until = 0.0
        self._request()

    def _request(self) -> None:
        frame, series = self._session.frame, self._series()
        record = self._session.run(frame.run_id) if frame is not None else None
        if frame is None or record is None or not self.isVisible() or self._busy:
            return
        if series is None:
            self._say(EARLIER)
            return
        wanted = (frame, self.tilt())
        if wanted == self._asked:
            self._draw()
            return
        rest = self._resting_until - time.monotonic()
        if rest > 0 and not frame.final:
            self._timer.start(round(1000 * rest) + 1)
            return
        self._busy, self._asked = True, wanted
        in_background(partial(simulate, series, record, *wanted), self._on_pair, self._on_crash)

    def _on_pair(self, answer: tuple[int, Pair | None, str, float]) -> None:
        _, self._pair, error, seconds = answer
        self._busy = False
        self._resting_until = time.monotonic() + REST * seconds
        if error:
            self._say(error)
        else:
            self._draw()
        self._request_newer()

    def _request_newer(self) -> None:
        if (self._session.frame, self.tilt()) != self._asked:
            self._request()

    def _on_crash(self, error: Exception) -> None:
        self._busy = False
        self._say(with_kind(error))

    def _say(self, text: str) -> None:
        self.info.setText(text)
        for plot in self.plots.values():
            plot.show_picture(None, (0, 0, 1, 1))

    def _draw(self) -> None:
        frame, tilt = self._asked
        record = self._session.run(frame.run_id) if frame is not None else None
        series = self._series()
        if self._pair is None or frame is None or record is None or series is None:
            return
        linear = METHODS[record.config.method].linear
        focus = 0 if linear else min(self._session.shown_image[1], len(self._pair[0]) - 1)
        measured, model = (images[focus] for images in self._pair)
        limits = tuple(float(v) for v in np.percentile(measured, (0.5, 99.5)))
        most = max(float(np.percentile(np.abs(measured - model), 99.5)), 1e-9)
        size = [n * frame.voxel_size_angstrom for n in measured.shape]
        rect = (-size[1] / 2, -size[0] / 2, size[1], size[0])
        self.plots["measured"].show_picture(measured, rect, (limits[0], limits[1]))
        self.plots["simulated"].show_picture(model, rect, (limits[0], limits[1]))
        self.plots["difference"].show_picture(measured - model, rect, (-most, most))
        self.plots["difference"].title.setText(f"difference, ±{most:.2g}")
        self.info.setText(words(series, tilt, focus, frame, linear))


def words(series: TiltFocalSeries, tilt: int, focus: int, frame: PreviewFrame, linear: bool) -> str:
    """Which image it is, and of which volume."""
    parts = [f"tilt {series.tilt_deg[tilt]:.1f}°".replace("-", "−")]
    if linear:
        parts.append("projections, as the method fits them")
    elif series.n_focus > 1:
        parts.append(f"focus {focus + 1} of {series.n_focus}")
    parts.append("final" if frame.final else f"sweep {frame.sweep + 1}")
    return "  ·  ".join(parts)
