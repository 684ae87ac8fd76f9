"""The mask of a session while it is being made: volume, steps, history and the worker behind it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.analyse.masks import Recipe, automatic
from napari_phaset3m.analyse.masks_make import MaskResult, StepCache
from napari_phaset3m.errors import CancelledError, ConfigError, PhaseT3MError
from napari_phaset3m.gui.error_words import one_line, with_kind
from napari_phaset3m.gui.layers.publisher import LayerPublisher, publisher_for
from napari_phaset3m.gui.mask.compute import (
    Outcome,
    Steps,
    correction_of,
    needs_preview,
    with_correction,
    work_out,
)
from napari_phaset3m.gui.mask.layer import MASK, show_mask
from napari_phaset3m.gui.mask.sources import MaskSource
from napari_phaset3m.gui.worker import WindowWatch, in_background

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import Session

#: A slider that still moves does not start anything yet.
DEBOUNCE_MS = 120
UNDO_MAX = 100
_KEY = "mask work"


class MaskWork(QObject):
    """Makes the mask of one session; outlives the panels.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: Steps, volume or history changed.
    changed = Signal()
    #: A result, a failure or the beginning of a computation.
    computed = Signal()

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.source: MaskSource | None = None
        self.steps: Steps = ()
        self.result: MaskResult | None = None
        #: The result is of a binned copy and the full one is being made.
        self.preview = False
        self.error = ""
        self._past: list[Steps] = []
        self._future: list[Steps] = []
        self._merge: object = None
        self._token = 0
        self._running = self._stroke = 0
        self._caches = (StepCache(), StepCache(256 << 20))
        self._painted_on: Any = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._launch)
        self._window = WindowWatch(self.close, self)

    def watch_window(self, window: QObject) -> None:
        """Give up what is being worked out when this window is closed."""
        self._window.watch(window)

    @property
    def busy(self) -> bool:
        """Whether something is being worked out or about to be."""
        return self._timer.isActive() or self._running == self._token > 0

    # volume and steps

    def set_source(self, source: MaskSource | None) -> None:
        """Make the mask of another volume; the first one gets the automatic recipe."""
        known = self.source
        if source is known or (source is not None and known is not None and source.data is known.data):
            return
        self.source = source
        for cache in self._caches:
            cache.clear()
        if source is not None and not self.steps and known is None:
            self.steps = automatic(float(np.prod(source.voxel) ** (1 / 3))).steps
        self.changed.emit()
        self.request(now=True)

    def set_steps(self, steps: Steps, merge: object = None) -> None:
        """Change the recipe; changes with the same ``merge`` in a row are undone together.

        Raises
        ------
        ConfigError
            The steps are not a recipe; nothing is changed.
        """
        steps = Recipe.parse(steps=tuple(steps)).steps
        if steps == self.steps:
            return
        if merge is None or merge != self._merge:
            self._past = [*self._past[-UNDO_MAX:], self.steps]
        self._merge, self._future = merge, []
        self._apply(steps)

    def undo(self) -> None:
        """Take the last change back."""
        if self._past:
            self._future.append(self.steps)
            self._merge = None
            self._apply(self._past.pop())

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        if self._future:
            self._past.append(self.steps)
            self._merge = None
            self._apply(self._future.pop())

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a change was taken back."""
        return bool(self._future)

    def _apply(self, steps: Steps) -> None:
        self.steps = steps
        self.changed.emit()
        self.request()

    # computing

    def request(self, *, now: bool = False) -> None:
        """Work the mask out anew, soon; what is under way is given up."""
        self._token += 1
        if self.source is None or not self.steps:
            self._timer.stop()
            self._fail("")
            return
        self._timer.start(0 if now else DEBOUNCE_MS)

    def _launch(self) -> None:
        if self.source is not None:
            self._start(preview=needs_preview(self.source))

    def _start(self, *, preview: bool) -> None:
        assert self.source is not None
        token = self._running = self._token
        job = partial(
            work_out, token, self.source, self.steps, self._caches[preview],
            lambda: token != self._token, preview,
        )  # fmt: skip
        in_background(partial(_told, token, job), self._on_outcome, self._on_crash)
        self.computed.emit()

    def _on_outcome(self, outcome: tuple[int, Outcome | None, Exception | None]) -> None:
        token, found, error = outcome
        if token != self._token or isinstance(error, CancelledError) or self._window_gone():
            return
        if found is None:
            self._running = 0
            self._fail(one_line(error))
            return
        self.result, self.preview, self.error = found.result, found.preview, ""
        self._show(found)
        if found.preview:
            self._start(preview=False)
        else:
            self._running = 0
        self.computed.emit()

    def _window_gone(self) -> bool:
        return self.publisher.viewer is None

    def _fail(self, error: str) -> None:
        """There is no mask: its layer is emptied, so that no outline of before misleads."""
        self.result, self.preview, self.error = None, False, error
        layer: Any = self.publisher.layer(MASK)
        if layer is not None:
            layer.data = np.zeros_like(layer.data)
        self.computed.emit()

    def _on_crash(self, error: Exception) -> None:
        self._running = 0
        self._fail(with_kind(error))
        if not isinstance(error, MemoryError):
            raise error

    def _show(self, found: Outcome) -> None:
        layer = show_mask(self.publisher, found.labels, found.voxel, found.origin)
        if layer is not None and layer is not self._painted_on:
            self._painted_on = layer
            layer.events.paint.connect(self._on_paint)

    # painting

    def _on_paint(self, event: object = None) -> None:
        # napari tells of a stroke before its last voxels are set.
        QTimer.singleShot(0, self._take_stroke)

    def _take_stroke(self) -> None:
        layer: Any = self.publisher.layer(MASK)
        if layer is None or self.source is None or layer.data.shape != self.source.data.shape:
            return
        labels = np.array(layer.data)
        self._stroke += 1
        job = partial(correction_of, self.source, self.steps, labels, StepCache())
        in_background(partial(_told, self._stroke, job), self._on_corrected, self._on_crash)

    def _on_corrected(self, outcome: tuple[int, Any, Exception | None]) -> None:
        stroke, correction, error = outcome
        if stroke != self._stroke:  # a later stroke holds this one too
            return
        if error is not None:
            self._fail(one_line(error))
            return
        try:
            self.set_steps(with_correction(self.steps, correction))
        except ConfigError as refused:
            self._fail(one_line(refused))

    def close(self) -> None:
        """Give up what is being worked out."""
        self._token += 1
        self._timer.stop()


def work_for(session: Session, viewer: ViewerModel) -> MaskWork:
    """Return the mask work of a session, made on first use."""
    found: MaskWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = MaskWork(session, viewer)
    return found


def _told(token: int, job: Any) -> tuple[int, Any, Exception | None]:
    try:
        return token, job(), None
    except PhaseT3MError as error:
        return token, None, error
