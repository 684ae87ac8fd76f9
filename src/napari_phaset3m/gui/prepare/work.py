"""The Prepare step's choices and its preview; outlives the panels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError
from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.config import Model
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import with_kind
from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec, publisher_for
from napari_phaset3m.gui.steps.driver import NO_SERIES, StepDriver, step_driver_for
from napari_phaset3m.gui.steps.events import Job
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.field_words import in_step_words
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.io.volume import centred_origin
from napari_phaset3m.prepare.events import Done
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.steps import STEPS, StepEntry
from napari_phaset3m.prepare.words import found_words

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import Session

#: Key of the preview's layer at the publisher.
PREVIEW = "prepare preview"
TOPIC = "prepare"
#: A number that is still being turned does not start anything yet.
DEBOUNCE_MS = 150
_KEY = "prepare work"


class PrepareWork(QObject):
    """Which steps are to be run with which parameters, and how one image looks after a step.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: Choices changed.
    changed = Signal()
    #: A preview was made, failed, or is being made.
    previewed = Signal()

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.driver: StepDriver = step_driver_for(session)
        self.configs: dict[str, Model] = {name: default_of(entry) for name, entry in STEPS.items()}
        self.chosen: set[str] = set()
        #: Step whose preview is wanted; empty: none.
        self.watched = ""
        #: The canvas shows the image after the step, not before.
        self.after = True
        self.computing = False
        self.error = ""
        #: What motion correction found, by (tilt index, focus index).
        self.motion: dict[tuple[int, int], dict[str, Any]] = {}
        self._generation = session.history.generation
        self._token = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._launch)
        follow(session.events.series, self._on_series)
        follow(session.events.shown_image, self.request)

    def _on_series(self) -> None:
        if self._generation != self._session.history.generation:
            self._generation = self._session.history.generation
            self.motion = {}
        self.after = True
        self._settle()
        self.request()
        self.changed.emit()

    def set_config(self, name: str, config: Model) -> None:
        """Change a step's parameters."""
        self.configs[name] = config
        self._settle()
        if name == self.watched:
            self.request()
        self.changed.emit()

    def choose(self, name: str, on: bool) -> None:
        """Say whether a step is to be run."""
        (self.chosen.add if on else self.chosen.discard)(name)
        self._settle()
        self.changed.emit()

    def _settle(self) -> None:
        """Take away what was said against choices that are others now."""
        if self.failure:
            self.driver.say(TOPIC, "")

    @property
    def failure(self) -> str:
        """Why the last run ended without a result; empty when it has one, or the choices are others now."""
        topic, text, role = self.driver.last_said
        return text if not self.driver.busy and (topic, role) == (TOPIC, "error") else ""

    def selected(self) -> list[str]:
        """Steps that are to be run, in order."""
        return [name for name in STEPS if name in self.chosen]

    def run(self) -> None:
        """Run the chosen steps in the background."""
        jobs = [
            Job(STEPS[name].label, partial(_events, STEPS[name], self.configs[name]))
            for name in self.selected()
        ]
        self.watch("")
        self.driver.start(TOPIC, "Preparation", jobs, self._take)

    def _take(self, name: str, done: Done) -> None:
        self._session.apply(done.series, name)
        last = history(done.series)[-1]
        words = found_words(last["step"], last.get("told", {}))
        if words:
            self.driver.found[name] = words
        step = next((key for key, entry in STEPS.items() if entry.label == name), "")
        if step == "motion" and isinstance(done.result, dict):
            self.motion = done.result
        self.choose(step, False)

    # preview

    def watch(self, name: str) -> None:
        """Preview this step (again when something changes); empty: no preview any more."""
        self.watched, self.error, self.after = name, "", True
        self._token += 1
        if name:
            self.request()
        else:
            self.computing = False
            self._clear()
        self.previewed.emit()

    def _clear(self) -> None:
        self._timer.stop()
        if self.publisher.layer(PREVIEW) is not None:  # the images were put aside for it
            self.publisher.remove(PREVIEW)
            self._show_images(True)

    def why_not_before(self) -> str:
        """Why there is nothing to compare the image with; empty when there is."""
        if self._session.series is None:
            return NO_SERIES
        if self.watched:
            return self.error
        if self._session.history.can_undo:
            return ""
        return self.failure or "Unfold a step to preview it, or run one"

    def set_after(self, after: bool) -> None:
        """Show the image after, or before the step (the unfolded one, else the last that was run)."""
        self.after = after
        layer = self.publisher.layer(PREVIEW)
        if self.watched and layer is not None:
            layer.visible = after
            self._show_images(not after)
        elif not self.watched:
            if after:
                self._clear()
            else:
                self._show_before()
        self.previewed.emit()

    def _show_before(self) -> None:
        history, (tilt, focus) = self._session.history, self._session.shown_image
        if not history.can_undo or self.why_not_before():
            return
        before = history.states[history.position - 1].series
        if tilt < before.n_tilt and focus < before.n_focus:
            self._put(before.images[tilt, focus], before.pixel_size_angstrom, "Before the last step", True)

    def request(self, *_: object) -> None:
        """Make the preview anew, soon."""
        if self.watched:
            self._timer.start(DEBOUNCE_MS)
        elif not self.after:
            self._show_before()

    def _launch(self) -> None:
        series = self._session.series
        if not self.watched or series is None:
            return
        self._token += 1
        self.computing = True
        tilt, focus = self._session.shown_image
        job = partial(
            _previewed, self._token, STEPS[self.watched], series, self.configs[self.watched], (tilt, focus)
        )
        in_background(job, self._on_preview, self._on_crash)
        self.previewed.emit()

    def _on_preview(self, answer: tuple[int, np.ndarray | None, TiltFocalSeries, str]) -> None:
        token, image, series, error = answer
        if token != self._token or not self.watched:
            return
        self.computing, self.error = False, error
        if image is None:
            self._clear()
        else:
            self._show(image, series)
        self.previewed.emit()

    def _on_crash(self, error: Exception) -> None:
        self.computing, self.error = False, with_kind(error)
        self.previewed.emit()
        if not isinstance(error, MemoryError):
            raise error

    def _show(self, image: np.ndarray, series: TiltFocalSeries) -> None:
        # Binning keeps the field of view, cropping and padding keep the pixel.
        binned = round(series.image_shape[1] / image.shape[1]) if self.watched == "bin" else 1
        title = f"Preview · {STEPS[self.watched].label}"
        self._put(image, series.pixel_size_angstrom * binned, title, self.after)

    def _put(self, image: np.ndarray, pixel: float, title: str, visible: bool) -> None:
        low, high = (float(v) for v in np.percentile(image, (0.3, 99.7)))
        spec = LayerSpec(
            data=image, name=title, axis_labels=("y", "x"), scale=(pixel, pixel),
            translate=centred_origin((image.shape[0], image.shape[1]), pixel),
            metadata={"role": "preview", "stage": TOPIC, "step": self.watched},
            limits=(low, max(high, low + 1e-6)), looks={"colormap": "gray"},
        )  # fmt: skip
        layer = self.publisher.show(PREVIEW, spec, exact=True)
        if layer is not None:
            layer.name, layer.visible = title, visible
            self._show_images(not visible)

    def _show_images(self, visible: bool) -> None:
        layer = self.publisher.layer(IMAGES)
        if layer is not None:
            layer.visible = visible


def prepare_work_for(session: Session, viewer: ViewerModel) -> PrepareWork:
    """Return the Prepare step of a session, made on first use."""
    found: PrepareWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = PrepareWork(session, viewer)
    return found


def default_of(entry: StepEntry) -> Model:
    """A step's parameters at first; what it cannot be without stays open."""
    try:
        return entry.config()
    except ValidationError:
        return entry.config.model_construct()


def why_incomplete(config: Model) -> str:
    """What a step still needs before it can run; empty when nothing."""
    try:
        type(config).parse(**config.model_dump())
    except PhaseT3MError as error:
        return in_step_words(error)
    return ""


def _events(entry: StepEntry, config: Model, series: TiltFocalSeries, control: Any) -> Any:
    return entry.run(series, config, finish=control)


def _previewed(
    token: int, entry: StepEntry, series: TiltFocalSeries, config: Model, place: tuple[int, int]
) -> tuple[int, np.ndarray | None, TiltFocalSeries, str]:
    if entry.preview is None:
        return token, None, series, "One image alone cannot show this step: run it, and undo if need be"
    try:
        image = entry.preview(series, config, *place)
    except PhaseT3MError as error:
        return token, None, series, in_step_words(error)
    return token, np.ascontiguousarray(image, np.float32), series, ""
