"""Measured and simulated image at the best point, half and half in one picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.optimise.look import simulated

if TYPE_CHECKING:
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.optimise_work import OptimiseWork
    from napari_phaset3m.session import Session

NO_VOLUME = "Images are simulated from the volume of the gradient stage"
Pair = tuple[np.ndarray, np.ndarray]


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
            measured, model = (part[focus] for part in self._pairs[tilt])
            both = np.corrcoef(measured.ravel(), model.ravel())[0, 1]
            text = f"measured | simulated, {found.tilt_deg[tilt]:.1f}°, correlation {both:.3f}"
            self._put(halves(measured, model), text.replace("-", "−"))
        elif self._running is None:
            self._running = tilt
            job = partial(_told, found, self._work.used_config, volume, tilt)
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
        self._put(None, f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _put(self, picture: np.ndarray | None, text: str) -> None:
        self.picture, self.text = picture, text
        self.drawn.emit()


def halves(measured: np.ndarray, model: np.ndarray) -> np.ndarray:
    """`(ny, nx)`: the measured image at the left, the simulated one at the right."""
    both = np.array(measured)
    middle = both.shape[1] // 2
    both[:, middle:] = model[:, middle:]
    return both


def _told(
    series: TiltFocalSeries, config: ReconstructionConfig, volume: np.ndarray, tilt: int
) -> tuple[TiltFocalSeries, int, Pair | None, str]:
    try:
        return series, tilt, simulated(series, config, volume, tilt), ""
    except PhaseT3MError as error:
        return series, tilt, None, " ".join(str(error).split())
