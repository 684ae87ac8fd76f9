"""Makes the pictures of the interactive check in the background and puts them on the canvas."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.gui.align.pairs import Look, Pair, make_pair
from napari_phaset3m.gui.align.work import TOPIC, AlignWork
from napari_phaset3m.gui.error_words import with_kind
from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import LayerSpec
from napari_phaset3m.gui.steps.events import Job
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.turns import in_turns
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.io.volume import centred_origin
from napari_phaset3m.prepare.predictions import Predictions, iterate_predictions

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.align.origin import Origin
    from napari_phaset3m.prepare.align.model import Alignment
    from napari_phaset3m.prepare.events import Done
    from napari_phaset3m.session import Session

CHECK = "alignment check"
BLINK_MS = 450
DEBOUNCE_MS = 25
_KEY = "align check"


class AlignCheck(QObject):
    """The check of one session; draws while it is active.

    Parameters
    ----------
    session : Session
    work : AlignWork
    """

    #: Look, pictures or predictions changed.
    changed = Signal()

    def __init__(self, session: Session, work: AlignWork) -> None:
        super().__init__()
        self._session, self._work = session, work
        self.look = Look()
        self.active = False
        self.text = self.error = ""
        self._predictions: Predictions | None = None
        self._of: Any = None
        self._pair: Pair | None = None
        self._second = False
        self._token = 0
        self._running = False
        self._again = False
        #: Not on the canvas since the check was called for.
        self._anew = False
        self._blink = QTimer(self)
        self._blink.setInterval(BLINK_MS)
        self._blink.timeout.connect(self._on_blink)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._launch)
        work.changed.connect(self.request)
        follow(session.events.shown_image, self.request)
        follow(session.events.series, self._on_series)

    # what is shown

    def set_look(self, **changes: Any) -> None:
        """Change fields of :attr:`look`."""
        self.look = replace(self.look, **changes)
        self.request()
        self.changed.emit()

    def activate(self, on: bool) -> None:
        """Put the check on the canvas, or take it away again."""
        if on == self.active:
            return
        self.active = on
        self._anew = on
        if on:
            self.request()
            return
        self._token += 1
        self._blink.stop()
        self._timer.stop()
        self._pair = None
        publisher = self._work.publisher
        images, ours = publisher.layer(IMAGES), publisher.layer(CHECK)
        if images is not None and ours is not None:  # the images were put aside for the check
            images.visible = True
        if ours is not None:
            # It stays for the next time: making a layer takes napari 0.1 s, and so does removing one.
            ours.visible = False
            if images is not None and publisher.viewer is not None:
                selection = publisher.viewer.layers.selection
                if selection.active is ours:  # controls and status bar speak of it
                    selection.active = images

    def take_away(self) -> None:
        """Remove the layer of a check that is not wanted any more."""
        if not self.active:
            self._work.publisher.remove(CHECK)

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        in_turns(self, self.take_away)  # hidden, it would show the series of before
        known, self._of = self._of, series
        same = (
            known is not None and series is not None and known.images.shape == series.images.shape
            and bool(np.may_share_memory(known.images, series.images))
        )  # fmt: skip
        if not same:
            self._predictions = None
        self.request()
        self.changed.emit()

    @property
    def predictions(self) -> Predictions | None:
        """What was re-projected last; not of a series whose successor others have heard of already."""
        found, now = self._predictions, self._work.alignment
        fits = found is None or now is None or found.alignment.shifts_px.shape == now.shifts_px.shape
        return found if fits else None

    def why_not_prediction(self) -> str:
        """Why nothing can be compared with a re-projection; empty when it can."""
        return "" if self.predictions is not None else "Press Re-project first"

    # pictures

    def request(self, *_: object) -> None:
        """Make the pictures anew, soon; the newest request wins."""
        if not self.active or self._session.series is None or self._work.alignment is None:
            if self.active and self._session.series is None:
                self._work.publisher.remove(CHECK)
            return
        if self._running:
            self._again = True
        else:
            self._timer.start(DEBOUNCE_MS)

    def _launch(self) -> None:
        series, alignment = self._session.series, self._work.alignment
        if not self.active or series is None or alignment is None:
            return
        self._token += 1
        self._running, self._again = True, False
        job = partial(
            make_pair, self._token, series, alignment, self._session.shown_image, self.look, self.predictions,
            self._work.origin.local_px,
        )  # fmt: skip
        in_background(job, self._on_pair, self._on_crash)

    def _on_pair(self, answer: tuple[int, Pair | None, str]) -> None:
        token, pair, error = answer
        self._running = False
        if token == self._token and self.active:
            self.error = error
            if pair is not None:
                self._show(pair)
            self.changed.emit()
        if self._again:
            self.request()

    def _on_crash(self, error: Exception) -> None:
        self._running = False
        self.error = with_kind(error)
        self.changed.emit()
        if not isinstance(error, MemoryError):
            raise error

    def _show(self, pair: Pair) -> None:
        self._pair, self.text = pair, pair.text
        blinking = self.look.mode == "blink"
        if blinking and not self._blink.isActive():
            self._blink.start()
        elif not blinking:
            self._blink.stop()
            self._second = False
        if self._work.publisher.layer(CHECK) is None:
            in_turns(self, self._make_layer, self._put)  # not along with the plots of the panel
        else:
            self._put()

    def _make_layer(self) -> None:
        # hidden: napari takes long enough to make it, and would paint it in the same turn
        if self._pair is not None and self._work.publisher.layer(CHECK) is None:
            self._anew = True  # also where it vanished while the check was on the canvas
            self._work.publisher.flatten()  # hidden in 3D, it would have no picture
            self._work.publisher.show(CHECK, self._spec(self._pair, visible=False), exact=True)

    def _on_blink(self) -> None:
        self._second = not self._second
        layer = self._work.publisher.layer(CHECK)
        if self._pair is not None and layer is not None and layer.visible:
            self._put()

    def blink(self) -> None:
        """Show the other picture of the pair, in place of the automatic blinking."""
        if self.look.mode == "blink":
            self._blink.stop()
            self._on_blink()
        else:
            self.set_look(mode="blink")

    def _put(self) -> None:
        pair, publisher = self._pair, self._work.publisher
        if pair is None:
            return
        anew = self._anew or publisher.layer(CHECK) is None
        if anew:
            publisher.flatten()
        publisher.show(CHECK, self._spec(pair), exact=True)
        if anew:
            self._anew = False
            publisher.bring_forward(CHECK)
        images = publisher.layer(IMAGES)
        if images is not None and images.visible:
            images.visible = False

    def _spec(self, pair: Pair, **looks: Any) -> LayerSpec:
        data = pair.b if self._second else pair.a
        return LayerSpec(
            data=data, name="Alignment check", axis_labels=("y", "x"), scale=(pair.pixel_angstrom,) * 2,
            translate=centred_origin((data.shape[0], data.shape[1]), pair.pixel_angstrom),
            metadata={"role": "check", "stage": TOPIC}, looks={"rgb": True, **looks},
        )  # fmt: skip

    # re-projection

    def predict(self, model: str) -> None:
        """Reconstruct quickly in the background, and re-project at every tilt."""
        job = Job("Re-projection", partial(_predict, self._work.alignment, self._work.origin, model))
        self._work.driver.start(TOPIC, "Re-projection", [job], self._take)

    def _take(self, name: str, done: Done) -> None:
        self._predictions = done.result
        self.set_look(against="prediction")

    def stale(self) -> bool:
        """Whether the alignment has changed since the re-projection was made."""
        now = self._work.alignment
        if self.predictions is None or now is None:
            return False
        made = self.predictions.alignment
        return not (
            np.allclose(made.shifts_px, now.shifts_px, atol=1e-3)
            and np.allclose(made.matrices(), now.matrices(), atol=1e-6)
        )


def _predict(
    alignment: Alignment | None, origin: Origin, model: str, series: TiltFocalSeries, control: Any
) -> Any:
    start = origin.with_optics(series)
    return iterate_predictions(start, alignment, local=origin.local_px, model=model, finish=control)


def check_for(session: Session, work: AlignWork) -> AlignCheck:
    """Return the check of a session, made on first use."""
    found: AlignCheck | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = AlignCheck(session, work)
    return found
