"""The alignment that is being made: a draft beside the series, with its own undo; outlives the panels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_phaset3m.gui.align.origin import Origin, aligned, applied, stage_words
from napari_phaset3m.gui.align.stages import STAGE_TEXT
from napari_phaset3m.gui.layers.publisher import LayerPublisher, publisher_for
from napari_phaset3m.gui.series.view import same_images
from napari_phaset3m.gui.steps.driver import StepDriver, step_driver_for
from napari_phaset3m.gui.steps.events import Job, Update
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.stages import stages_of, why_not_stage
from napari_phaset3m.prepare.align.tilt_axis import TiltAxis
from napari_phaset3m.prepare.events import Done

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import Session

TOPIC, RUN = "align", "Alignment"
UNDO_MAX = 200
_KEY = "align work"
#: What the history calls an alignment that is written into the series.
ACCEPTED = "Alignment"


class AlignWork(QObject):
    """Draft, undo and runs of the alignment of one session.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: The draft or the series changed.
    changed = Signal()

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.driver: StepDriver = step_driver_for(session)
        self.config = AlignConfig()
        self.draft: Alignment | None = None
        #: How the draft came about, and what it says of the microscope.
        self.origin = Origin()
        #: Newest shifts and residuals of a run that goes on, by name.
        self.live: dict[str, np.ndarray] = {}
        #: What the stages of the last run bought.
        self.stages: tuple[Any, ...] = ()
        #: Misfit of each image over trial shifts, and these shifts in px, where a grid search ran.
        self.error_maps: tuple[np.ndarray, np.ndarray] | None = None
        self._last: Alignment | None = None
        self._of_run = (self.origin, self.config)
        self._series: TiltFocalSeries | None = session.series
        self._past: list[tuple[Alignment | None, Origin]] = []
        self._future: list[tuple[Alignment | None, Origin]] = []
        self._merge: object = None
        follow(session.events.series, self._on_series)
        self.driver.progressed.connect(self._on_progress)
        self.driver.changed.connect(self._on_driver)

    @property
    def alignment(self) -> Alignment | None:
        """The draft, or what the series states; None without a series."""
        series = self._session.series
        if series is None:
            return None
        return self.draft if self.draft is not None else self._stated(series)

    @property
    def axis(self) -> TiltAxis | None:
        """Where the tilt axis runs in the images of the series; None without a series."""
        series, alignment = self._session.series, self.alignment
        if series is None or alignment is None:
            return None
        return TiltAxis.of(alignment, series.pixel_size_angstrom)

    def _stated(self, series: TiltFocalSeries) -> Alignment:
        """What the series states, with residuals and errors as long as it is what was accepted last."""
        stated, last = Alignment.of(series), self._last
        if last is None or not np.array_equal(last.shifts_px, stated.shifts_px):
            return stated
        known = {"residual": last.residual, "shift_error_px": last.shift_error_px}
        return stated.replace(**known, axis_error_deg=last.axis_error_deg)

    @property
    def accepted(self) -> Alignment | None:
        """What the series states."""
        series = self._session.series
        return None if series is None else Alignment.of(series)

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        old, self._series = self._series, series
        another = old is None or series is None or not same_images(old, series)
        if another:
            self.live = {}  # of a run that is ending
        if another and self.draft is not None:
            self._forget()
            self.driver.say(
                TOPIC, "The series changed: the alignment that was not accepted was dropped", "warning"
            )
        self.changed.emit()

    def _forget(self) -> None:
        self.draft, self.origin, self._merge = None, Origin(), None
        self._past, self._future, self.live, self.stages = [], [], {}, ()
        self.error_maps = None

    # draft

    def set_draft(self, draft: Alignment | None, merge: object = None, origin: Origin | None = None) -> None:
        """Change the alignment; changes with the same ``merge`` in a row are undone together."""
        if merge is None or merge != self._merge:
            self._past = [*self._past[-UNDO_MAX:], (self.draft, self.origin)]
        self._merge, self._future, self.draft = merge, [], draft
        if draft is None or origin is not None:
            self.origin = origin or Origin()
        self.changed.emit()

    def undo(self) -> None:
        """Take the last change of the draft back."""
        self._step(self._past, self._future)

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._step(self._future, self._past)

    def _step(self, source: list[tuple[Alignment | None, Origin]], target: list[Any]) -> None:
        if source:
            was = self.origin
            target.append((self.draft, was))
            self._merge, (self.draft, self.origin) = None, source.pop()
            if self.origin is not was:  # what was told is of another run or file
                self.driver.retract(TOPIC)
            self.changed.emit()

    @property
    def can_undo(self) -> bool:
        """Whether the draft has a change to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a change was taken back."""
        return bool(self._future)

    def nudge(self, dy: float, dx: float, *, whole_tilt: bool) -> None:
        """Move the aligned picture of the shown image (or of all foci of its tilt) by (dy, dx) pixels."""
        now = self.alignment
        if now is None or self.driver.busy:
            return
        tilt, focus = self._session.shown_image
        which = (tilt, slice(None)) if whole_tilt else (tilt, focus)
        shifts = now.shifts_px.copy()
        # The feature stays where it is in the given image: p + shift, so p further on means less shift.
        shifts[which] -= (dy, dx)
        errors = np.array(now.shift_error_px)
        errors[which] = np.nan
        changed = now.replace(shifts_px=shifts, shift_error_px=errors)
        self.set_draft(changed, merge=("nudge", tilt, None if whole_tilt else focus))

    def turn_axis(self, angle_deg: float) -> None:
        """Say where the tilt axis runs in the images of the series; its error is not known then."""
        now = self.alignment
        if now is not None and not self.driver.busy:
            self.set_draft(now.with_axis_angle(angle_deg), merge="axis")

    def use(self, on: bool) -> None:
        """Take the shown image in, or leave it out; the last one stays."""
        now = self.alignment
        if now is None or self.driver.busy:
            return
        used = now.used.copy()
        used[self._session.shown_image] = on
        if not used.any():
            self.driver.say(TOPIC, "At least one image must be used", "error")
            self.changed.emit()
            return
        self.set_draft(now.replace(used=used))

    # into and out of the series

    def why_not_accept(self) -> str:
        """Why there is nothing to write into the series; empty when there is."""
        if self._session.series is None:
            return self.driver.why_not()
        if self.driver.busy:
            return f"{self.driver.title} is running"
        return "" if self.draft is not None else "The alignment is the one of the series: nothing to accept"

    def accept(self) -> None:
        """Write the draft into the series; images that are turned are resampled in the background."""
        series, draft = self._session.series, self.draft
        if series is None or draft is None or self.why_not_accept():
            return
        if self.origin.resamples(draft):
            job = Job(ACCEPTED, partial(applied, draft, self.origin))
            self.driver.start(TOPIC, "Applying the alignment", [job], self._take_applied)
            return
        self._finish(self.origin.put(series, draft))

    def _take_applied(self, name: str, done: Done) -> None:
        self._finish(done.series)

    def _finish(self, series: TiltFocalSeries) -> None:
        self._last = self.draft
        self._forget()
        self._session.apply(series, ACCEPTED)
        self.driver.say(TOPIC, "Accepted: the series has this alignment now", "good")

    def discard(self) -> None:
        """Go back to the alignment of the series."""
        if self.draft is not None:
            self.driver.retract(TOPIC)
            self.set_draft(None)

    # runs

    def why_not_run(self) -> str:
        """Why no alignment can be computed; empty when one can."""
        why = self.driver.why_not()
        if why:
            return why
        series = self._session.series
        assert series is not None
        for name in stages_of(series, self.config):
            reason = why_not_stage(name, series, self.config)
            if reason:
                label = STAGE_TEXT[name][0]
                automatic = self.config.stages == "auto"
                return f"{label} {reason}" if automatic else f"Untick the stage {label}: {reason}"
        return ""

    def run(self) -> None:
        """Compute an alignment, starting from the draft; it becomes the next draft."""
        if self.why_not_run():
            return
        self.live, self.stages = {}, ()
        self._of_run = (self.origin, self.config)  # both may be changed while it runs
        job = Job(RUN, partial(aligned, self.draft, *self._of_run))
        self.driver.start(TOPIC, RUN, [job], self._take)

    def _take(self, name: str, done: Done) -> None:
        series, found = self._session.series, done.result.alignment
        self.stages = tuple(getattr(done.result, "stages", ()))
        if self.stages and not any(getattr(stage, "kept", True) for stage in self.stages):
            text = f"{stage_words(self.stages)}\nNothing was gained: the alignment stays as it is."
            self.driver.say(TOPIC, text, "warning")
            self.changed.emit()
            return
        maps, trial = (getattr(done.result, name, None) for name in ("error_map", "error_map_px"))
        self.error_maps = None if maps is None or trial is None else (maps, trial)
        start, config = self._of_run
        origin = Origin.of(done.series, done.result, series, config).after(start)
        self.set_draft(found, origin=origin)
        note = getattr(done.result, "reference_note", "")  # which volumes images were compared with
        note = note[:1].upper() + note[1:]
        words = [stage_words(self.stages) or "Aligned", note, origin.words(), "Check it, then accept."]
        self.driver.say(TOPIC, "\n".join(word for word in words if word), "good")

    def _on_progress(self, update: Update) -> None:
        if self.driver.topic != TOPIC:
            return
        names = ("shifts_px", "residual", "shift_error_px")
        found = {n: update.progress.detail[n] for n in names if update.progress.detail.get(n) is not None}
        if found:
            self.live = {**self.live, **found}
            self.changed.emit()

    def _on_driver(self) -> None:
        if not self.driver.busy:
            self.live = {}
        self.changed.emit()


def align_work_for(session: Session, viewer: ViewerModel) -> AlignWork:
    """Return the alignment of a session, made on first use."""
    found: AlignWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = AlignWork(session, viewer)
    return found
