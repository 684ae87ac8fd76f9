"""The volumes of a comparison: kept up to date, made ready for display, and measured, in the background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.analyse.turning import Turning, turn_matrix
from napari_phaset3m.gui.compare.items import (
    Candidate,
    Content,
    Shot,
    candidates,
    content_of_spec,
    load_file,
    shot_of,
)
from napari_phaset3m.gui.compare.measure import DEFAULT_TURNING, Measured, measure
from napari_phaset3m.gui.error_words import error_line
from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.session import RunRecord, Session

#: Most volumes side by side.
MOST = 4
#: Numbers are measured this long after the last change, ms: a run's pictures come faster.
REST_MS = 800


@dataclass(eq=False)
class Item:
    """One volume of a comparison.

    Attributes
    ----------
    candidate : Candidate
    shot : Shot or None
        None until it was made ready.
    removed : bool
        Its run or layer is gone; what was shown last stays.
    """

    candidate: Candidate
    shot: Shot | None = None
    removed: bool = False

    @property
    def title(self) -> str:
        """Name and state in one line."""
        state = "waiting" if self.shot is None else self.shot.content.state
        return f"{self.candidate.label} · {'removed' if self.removed else state}"


class CompareSet(QObject):
    """Two to four volumes, the first of them the reference.

    Parameters
    ----------
    session : Session
    publisher : LayerPublisher
        Its news keep the pictures of running reconstructions up to date.
    """

    #: Other volumes were chosen.
    chosen = Signal()
    #: There may be other candidates than before.
    candidates_changed = Signal()
    #: A volume has a new picture; its key.
    updated = Signal(str)
    #: There are new numbers.
    measured = Signal()
    #: One line about what went wrong; empty: all is well again.
    problem = Signal(str)

    def __init__(self, session: Session, publisher: LayerPublisher, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._publisher = session, publisher
        self.items: list[Item] = []
        self.files: list[Candidate] = []
        #: Key of a volume -> how it compares with the reference.
        self.numbers: dict[str, Measured] = {}
        #: Rotation searched before the volumes are measured.
        self.turning: Turning = DEFAULT_TURNING
        #: Whether somebody looks; nothing is computed otherwise.
        self.active = True
        self._waiting: dict[str, Content] = {}
        self._preparing = self._measuring = self._stale = False
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._measure)
        follow(publisher.published, self._on_published)
        follow(session.run_changed, self._on_run)
        follow(session.run_added, self._on_run)
        follow(session.run_removed, self._on_run_removed)
        if publisher.viewer is not None:
            follow(publisher.viewer.layers.events.inserted, self._on_layers)
            follow(publisher.viewer.layers.events.removed, self._on_layers)

    def candidates(self) -> list[Candidate]:
        """What can be chosen, files last."""
        return [*candidates(self._session, self._publisher), *self.files]

    def choose(self, keys: list[str]) -> None:
        """Compare these; unknown and repeated keys are passed over."""
        known = {candidate.key: candidate for candidate in self.candidates()}
        old = {item.candidate.key: item for item in self.items}
        keys = [key for key in dict.fromkeys(keys) if key in known or key in old][:MOST]
        self.items = [old.get(key) or Item(known[key]) for key in keys]
        self._waiting = {key: content for key, content in self._waiting.items() if key in keys}
        self.numbers.clear()
        self.chosen.emit()
        for item in self.items:
            if item.shot is None:
                self._fetch(item)
        self._changed()

    def choose_turning(self, turning: Turning) -> None:
        """Search this rotation (none, about the tilt axis, about all axes) and measure again."""
        if turning != self.turning:
            self.turning = turning
            self.numbers.clear()
            self.measured.emit()
            self._changed()

    def open_file(self, path: Path) -> None:
        """Read a volume in the background; it joins the candidates, and the comparison if there is room."""
        self.problem.emit(f"Opening {path.name} …")
        in_background(partial(_loaded, path), self._on_loaded, self._say)

    def item(self, key: str) -> Item | None:
        """The volume of a key, None when it is not compared."""
        return next((item for item in self.items if item.candidate.key == key), None)

    def frequency_in(self, item: Item, frequency: tuple[float, float, float]) -> tuple[float, float, float]:
        """Where a frequency of the reference, (kz, ky, kx), lies in a volume that is turned against it."""
        found = self.numbers.get(item.candidate.key)
        if found is None or not any(found.comparison.turn_deg):
            return frequency
        x, y, z = turn_matrix(np.array(found.comparison.turn_deg)).T @ np.array(frequency[::-1])
        return float(z), float(y), float(x)

    def wake(self) -> None:
        """Catch up after nobody looked for a while."""
        self.active = True
        for item in self.items:
            self._fetch(item)
        self._prepare()
        self._changed()

    def _fetch(self, item: Item) -> None:
        content = None if item.removed else item.candidate.fetch()
        if content is None or (item.shot is not None and item.shot.content.volume is content.volume):
            return
        self._offer(item.candidate.key, content)

    def _offer(self, key: str, content: Content) -> None:
        self._waiting[key] = content
        self._prepare()

    def _on_published(self, key: str, spec: LayerSpec) -> None:
        if spec.metadata.get("role") != "volume" or spec.metadata.get("stage") == "empty":
            return
        if self.active and self.item(f"run:{key}") is not None:
            self._offer(f"run:{key}", content_of_spec(spec))

    def _on_run(self, record: RunRecord) -> None:
        self.candidates_changed.emit()
        item = self.item(f"run:{record.run_id}")
        if item is None or not self.active:
            return
        if record.volume is not None:
            self._fetch(item)
        if self._session.active_run is None:
            self._changed()  # a rotation may be searched now

    def _on_run_removed(self, record: RunRecord) -> None:
        self._mark_removed(f"run:{record.run_id}")

    def _on_layers(self) -> None:
        present = {candidate.key for candidate in self.candidates()}
        for item in self.items:
            key = item.candidate.key
            if key.startswith("layer:") and key not in present:
                self._mark_removed(key)
        self.candidates_changed.emit()

    def _mark_removed(self, key: str) -> None:
        item = self.item(key)
        if item is not None:
            item.removed = True
            self.updated.emit(key)
        self.candidates_changed.emit()

    def _prepare(self) -> None:
        if self._preparing or not self._waiting or not self.active:
            return
        key = next(iter(self._waiting))
        self._preparing = True
        in_background(
            partial(_prepared, key, self._waiting.pop(key)), self._on_prepared, self._on_not_prepared
        )

    def _on_prepared(self, outcome: tuple[str, Shot]) -> None:
        key, shot = outcome
        self._preparing = False
        item = self.item(key)
        if item is not None:
            item.shot = shot
            self.updated.emit(key)
            self._changed()
        self._prepare()

    def _on_loaded(self, outcome: tuple[Path, Content]) -> None:
        path, content = outcome
        self.problem.emit("")
        candidate = Candidate(f"file:{path}", path.name, lambda: content)
        self.files = [*(c for c in self.files if c.key != candidate.key), candidate]
        self.candidates_changed.emit()
        if len(self.items) < MOST:
            self.choose([*(item.candidate.key for item in self.items), candidate.key])

    def _on_not_prepared(self, error: Exception) -> None:
        self._preparing = False
        self._say(error)
        self._prepare()

    def _on_not_measured(self, error: Exception) -> None:
        self._measuring = False
        self._say(error)

    def _say(self, error: Exception) -> None:
        self.problem.emit(error_line(error))

    def _changed(self) -> None:
        self._stale = True
        if self.active and not self._rest.isActive():
            self._rest.start()

    def _measure(self) -> None:
        shots = [item.shot for item in self.items]
        ready = len(shots) > 1 and all(shot is not None for shot in shots)
        if not (self._stale and ready and self.active) or self._measuring or self._waiting:
            return
        self._stale, self._measuring = False, True
        keys = [item.candidate.key for item in self.items]
        names = [item.candidate.label for item in self.items]
        contents = [shot.content for shot in shots if shot is not None]
        active = self._session.active_run
        going = "" if active is None else f"run:{active}"
        job = partial(measure, keys, names, contents, self.turning, going)
        in_background(job, self._on_measured, self._on_not_measured)

    def _on_measured(self, outcome: tuple[tuple[list[str], Turning], dict[str, Measured]]) -> None:
        asked, numbers = outcome
        self._measuring = False
        if asked == ([item.candidate.key for item in self.items], self.turning):
            self.numbers = numbers
            self.problem.emit("")
            self.measured.emit()
        if self._stale:
            self._rest.start()


def _prepared(key: str, content: Content) -> tuple[str, Shot]:
    return key, shot_of(content)


def _loaded(path: Path) -> tuple[Path, Content]:
    return path, load_file(path)
