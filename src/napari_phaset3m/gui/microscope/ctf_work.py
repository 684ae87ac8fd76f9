"""The CTF fit of a session: settings, result, corrections by hand, pictures; outlives the panels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import with_kind
from napari_phaset3m.gui.layers.publisher import LayerPublisher, publisher_for
from napari_phaset3m.gui.microscope.ctf_pictures import stated, told
from napari_phaset3m.gui.microscope.ctf_words import in_nm, stand_in_words, why_unsupported
from napari_phaset3m.gui.steps.driver import StepDriver, step_driver_for
from napari_phaset3m.gui.steps.events import Job, Update
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.field_words import in_step_words
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.prepare.ctf.api import iterate_ctf
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.curves import RingCurve, RingPicture
from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.prepare.events import Done
    from napari_phaset3m.session import Session

TOPIC = "microscope"
APPLIED = "Defocus (CTF)"
DEBOUNCE_MS = 60
#: Below this a fit deserves a look, 0..1.
DOUBTFUL = 0.3
_KEY = "ctf work"


class CtfWork(QObject):
    """Fits, corrects and applies the CTF of one session.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: Result or settings changed.
    changed = Signal()
    #: The rings of the shown image are there, or cannot be.
    drawn = Signal()

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.driver: StepDriver = step_driver_for(session)
        self.config = CtfConfig()
        self.result: CtfResult | None = None
        #: Defocus that was written into the series, as long as the result is what was written.
        self._written: np.ndarray | None = None
        self.picture: RingPicture | None = None
        self.curve: RingCurve | None = None
        self.error = ""
        #: `(n_tilt, n_focus)` defocus of a fit that goes on, angstrom; nan: not yet.
        self.live: np.ndarray | None = None
        self._generation = session.history.generation
        self._past: list[CtfResult] = []
        self._token, self._running, self._again = 0, False, False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._launch)
        follow(session.events.series, self._on_series)
        follow(session.events.shown_image, self.request)
        self.driver.progressed.connect(self._on_progress)
        self.driver.changed.connect(self._on_driver)

    def _on_progress(self, update: Update) -> None:
        detail = update.progress.detail
        if self.driver.topic != TOPIC or "defocus_angstrom" not in detail:
            return
        self.live = np.asarray(detail["defocus_angstrom"])
        if detail.get("rings") is not None:
            self.picture, self.curve = detail["rings"], detail.get("curve")
            self.drawn.emit()
        self.changed.emit()

    def _on_driver(self) -> None:
        if not self.driver.busy and self.live is not None:
            self.live = None
            self.request()
        self.changed.emit()

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        generation, before = self._session.history.generation, self._generation
        self._generation = generation
        if generation != before:
            self.live = None  # of a fit that is ending
        if self.result is not None and series is not None:
            grid = self.result.defocus_angstrom.shape
            if grid != (series.n_tilt, series.n_focus) or generation != before:
                self.result, self._past, self._written = None, [], None
        self.request()
        self.changed.emit()

    # fitting

    def why_not_fit(self) -> str:
        """Why nothing can be fitted; empty when it can."""
        why = self.driver.why_not()
        series = self._session.series
        if why or series is None:
            return why
        if series.is_dark_field:
            return "Dark field has no CTF to fit"
        if series.spherical_aberration_angstrom is None:
            return "Cs is missing: give it in step Series, tab Microscope"
        return ""

    def fit(self) -> None:
        """Fit all images in the background."""
        if not self.why_not_fit():
            config = self.config
            job = Job("CTF fit", lambda series, control: iterate_ctf(series, config, finish=control))
            self.driver.start(TOPIC, "CTF fit", [job], self._take)

    def _take(self, name: str, done: Done) -> None:
        self.result, self._past, self._written = done.result, [], None
        self.driver.say(TOPIC, in_nm(done.result.message), "good" if done.result.supported else "warning")
        self.request()
        self.changed.emit()

    # corrections

    def shown(self) -> ImageCtf | None:
        """The fit of the shown image; what the series states where nothing was fitted."""
        series = self._session.series
        if series is None:
            return None
        tilt, focus = self.place()
        return stated(series, tilt, focus) if self.result is None else self.result.images[tilt][focus]

    def place(self) -> tuple[int, int]:
        """(tilt index, focus index) of the shown image, inside the series."""
        series = self._session.series
        tilt, focus = self._session.shown_image
        if series is None:
            return tilt, focus
        return min(tilt, series.n_tilt - 1), min(focus, series.n_focus - 1)

    def edit(self, tilt: int, focus: int, defocus_angstrom: float) -> None:
        """Set the defocus of an image by hand."""
        if self.result is None or self.driver.busy:
            return
        try:
            changed = self.result.edited(tilt, focus, defocus_angstrom)
        except PhaseT3MError as error:
            self.driver.say(TOPIC, in_step_words(error), "error")
            return
        told_of = stand_in_words(self.result, changed)
        if told_of:
            self.driver.say(TOPIC, told_of, "warning")
        self._past = [*self._past[-100:], self.result]
        self.result, self._written = changed, None
        self.request()
        self.changed.emit()

    def from_neighbours(self, tilt: int, focus: int) -> None:
        """Set the defocus of an image to the median of the four nearest tilts of its focus."""
        if self.result is None:
            return
        value = self.result.of_neighbours(tilt, focus)
        if value is None:
            self.driver.say(TOPIC, "No other image of this focus has a defocus that can be trusted", "error")
        else:
            self.edit(tilt, focus, value)

    @property
    def can_undo(self) -> bool:
        """Whether there is a correction to take back."""
        return bool(self._past)

    def undo(self) -> None:
        """Take the last correction back."""
        if self._past and not self.driver.busy:
            self.result = self._past.pop()
            self._written = None
            self.request()
            self.changed.emit()

    def outliers(self) -> list[tuple[int, int]]:
        """(tilt, focus) of images that deserve a look: far from their neighbours, or poorly fitted."""
        if self.result is None:
            return []
        flags = self.result.outliers()
        doubtful = [
            (image.tilt, image.focus)
            for image in self.result
            if image.method != "edited" and (
                flags[image.tilt, image.focus]
                or not np.isfinite(image.defocus_angstrom)
                or image.confidence < DOUBTFUL
            )
        ]  # fmt: skip
        order = np.argsort(np.argsort(self.result.tilt_deg, kind="stable"), kind="stable")
        return sorted(doubtful, key=lambda place: (order[place[0]], place[1]))

    # into the series

    @property
    def applied(self) -> bool:
        """Whether the series has what was found; not once that was undone."""
        series, written = self._session.series, self._written
        if series is None or written is None or series.defocus_angstrom is None:
            return False
        return bool(np.array_equal(series.defocus_angstrom, written))

    def why_not_apply(self) -> str:
        """Why nothing can be written into the series; empty when it can."""
        if self.result is None:
            return "Fit first"
        if self.driver.busy:
            return f"{self.driver.title} is running"
        return "The series has these values" if self.applied else why_unsupported(self.result)

    def apply(self) -> None:
        """Write defocus and astigmatism into the series."""
        series = self._session.series
        if self.result is None or series is None or self.why_not_apply():
            return
        try:
            changed = self.result.apply(series)
        except PhaseT3MError as error:
            self.driver.say(TOPIC, in_step_words(error), "error")
            return
        self._written = changed.defocus_angstrom
        self._session.apply(changed, APPLIED)
        self.driver.say(TOPIC, "Applied: the series has this defocus now", "good")
        self.changed.emit()

    def revert(self) -> None:
        """Drop the fit; the series stays as it is."""
        self.result, self._past, self._written = None, [], None
        self.driver.retract(TOPIC)
        self.request()
        self.changed.emit()

    # rings

    def request(self, *_: object) -> None:
        """Make the rings of the shown image anew, soon; the newest request wins."""
        if self.live is not None:  # the fit shows its own
            return
        if self._running:
            self._again = True
        else:
            self._timer.start(DEBOUNCE_MS)

    def _launch(self) -> None:
        series, image = self._session.series, self.shown()
        if series is None or image is None or series.spherical_aberration_angstrom is None:
            self._put(None, "")
            return
        if not np.isfinite(image.defocus_angstrom):
            self._put(None, "No defocus was found for this image: set it by hand")
            return
        self._token, self._running, self._again = self._token + 1, True, False
        config = self.config if self.result is None else self.result.config
        in_background(partial(told, self._token, series, config, image), self._on_rings, self._on_crash)

    def _on_rings(self, answer: tuple[int, tuple[RingPicture, RingCurve] | None, str]) -> None:
        token, found, error = answer
        self._running = False
        if token == self._token:
            self._put(found, error)
        if self._again:
            self.request()

    def _put(self, found: tuple[RingPicture, RingCurve] | None, error: str) -> None:
        self.picture, self.curve = found if found is not None else (None, None)
        self.error = error
        self.drawn.emit()

    def _on_crash(self, error: Exception) -> None:
        self._running = False
        self._put(None, with_kind(error))
        if not isinstance(error, MemoryError):
            raise error


def ctf_work_for(session: Session, viewer: ViewerModel) -> CtfWork:
    """Return the CTF fit of a session, made on first use."""
    found: CtfWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = CtfWork(session, viewer)
    return found
