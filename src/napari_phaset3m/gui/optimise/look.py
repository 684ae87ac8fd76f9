"""The shown image at the best point: measured and simulated half and half, and its error over shifts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import one_line, with_kind
from napari_phaset3m.gui.plots.tilt_plot import PicturePlot
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.optimise.look import ShiftMap, shift_map, simulated

if TYPE_CHECKING:
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.optimise.work import OptimiseWork
    from napari_phaset3m.session import Session

NO_VOLUME = "Images are simulated from the volume at the best point: none yet"
#: Measured and simulated images of a tilt, and the error map of each focus.
Pair = tuple[np.ndarray, np.ndarray, list[ShiftMap]]


class Look(QObject):
    """Simulates the shown image in the background; the newest request wins.

    Parameters
    ----------
    session : Session
    work : OptimiseWork
    """

    #: Pictures are there, or cannot be.
    drawn = Signal()

    def __init__(self, session: Session, work: OptimiseWork, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._work = session, work
        self.text = NO_VOLUME
        self.picture: np.ndarray | None = None
        self.map: ShiftMap | None = None
        self.map_text = NO_VOLUME
        self._pairs: dict[int, Pair] = {}
        self._of: object = None
        self._running: int | None = None
        self.wanted = False
        follow(session.events.shown_image, self.request)

    def request(self, *_: object) -> None:
        """Show the session's image, simulated first where that was not done yet."""
        found, volume = self._work.found, self._work.volume
        if found is not self._of:
            self._of, self._pairs = found, {}
        if not self.wanted:
            return
        if found is None or volume is None:
            self._put(None, NO_VOLUME)
            return
        tilt, focus = self._session.shown_image
        if tilt >= found.n_tilt or focus >= found.n_focus:
            return
        if tilt in self._pairs:
            measured, model = (part[focus] for part in self._pairs[tilt][:2])
            both = np.corrcoef(measured.ravel(), model.ravel())[0, 1]
            text = f"measured | simulated, {found.tilt_deg[tilt]:.1f}°, correlation {both:.3f}"
            self.map = self._pairs[tilt][2][focus]
            self.map_text = f"{found.tilt_deg[tilt]:.1f}°: ".replace("-", "−") + map_words(self.map)
            self._put(halves(measured, model), text.replace("-", "−"))
        elif self._running is None:
            self._running = tilt
            self._put(None, "Simulating the shown image …")
            job = partial(_told, found, self._work.volume_config, volume, tilt)
            in_background(job, self._on_pair, self._on_crash)

    def _on_pair(self, answer: tuple[TiltFocalSeries, int, Pair | None, str]) -> None:
        series, tilt, pair, error = answer
        self._running = None
        if pair is None:
            self._put(None, error)
            return
        if series is self._of:
            self._pairs[tilt] = pair
        self.request()

    def _on_crash(self, error: Exception) -> None:
        self._running = None
        self._put(None, with_kind(error))

    def _put(self, picture: np.ndarray | None, text: str) -> None:
        if picture is None:
            self.map, self.map_text = None, text
        self.picture, self.text = picture, text
        self.drawn.emit()


class ShiftPlot(PicturePlot):
    """An image's error over 2D shifts, with a cross at its least and a ring where it lies now."""

    def __init__(self) -> None:
        super().__init__("shift x (px)", "shift y (px)", square=True)
        self.title.setWordWrap(True)
        self.least, self.now = (self._pg.ScatterPlotItem(pxMode=True) for _ in range(2))
        for marks in (self.least, self.now):
            self.plot.addItem(marks)

    def show_map(self, found: ShiftMap | None, text: str) -> None:
        """Draw a map; None: nothing but the text."""
        self.title.setText(text)
        for marks in (self.least, self.now):
            marks.clear()
        if found is None:
            self.show_picture(None, (0, 0, 1, 1))
            return
        step = float(found.points_px[1] - found.points_px[0])
        edge, size = float(found.points_px[0]) - step / 2, step * len(found.points_px)
        limits = (float(found.error.min()), float(found.error.max()))
        self.show_picture(found.error, (edge, edge, size, size), limits, "inferno")
        y, x = found.least_px
        self.now.setData([0.0], [0.0], symbol="o", size=13, brush=None, pen=self._pg.mkPen("w", width=1.5))
        self.least.setData([x], [y], symbol="+", size=11, pen=None, brush="#56B4E9")


def halves(measured: np.ndarray, model: np.ndarray) -> np.ndarray:
    """`(ny, nx)`: the measured image at the left, the simulated one at the right."""
    both = np.array(measured)
    middle = both.shape[1] // 2
    both[:, middle:] = model[:, middle:]
    return both


def map_words(found: ShiftMap) -> str:
    """Where an image's error is least, as a line."""
    (y, x), half = found.least_px, float(found.points_px[-1])
    if max(abs(y), abs(x)) >= half:
        return f"least beyond ±{half:.1f} px"
    return f"least at y {y:.2f}, x {x:.2f} px".replace("-0.00", "0.00").replace("-", "−")


def _told(
    series: TiltFocalSeries, config: ReconstructionConfig, volume: np.ndarray, tilt: int
) -> tuple[TiltFocalSeries, int, Pair | None, str]:
    try:
        measured, model = simulated(series, config, volume, tilt)
        scale = (config.voxel_angstrom or series.pixel_size_angstrom) / series.pixel_size_angstrom
        maps = [shift_map(one, other, scale) for one, other in zip(measured, model, strict=True)]
        return series, tilt, (measured, model, maps), ""
    except PhaseT3MError as error:
        return series, tilt, None, one_line(error)
