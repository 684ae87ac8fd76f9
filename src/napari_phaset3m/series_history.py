"""What a series was before each step done in a window, to go back to; no Qt in here.

Entries share what a step left unchanged: a shift or a tilt that was edited costs
nothing, a step that made new images costs those. When the images would take more
than the allowance, the oldest entries are forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from psygnal import Signal

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.limits import available_memory

#: Memory that images of all states may take: so many bytes, or this part of the memory if that is more.
MAX_BYTES, MAX_SHARE = 4 << 30, 0.3
#: Most states that are kept.
MAX_ENTRIES = 60
#: Fields of a series and what a change of them is called.
_EDITS = {
    "used": "Images in use",
    "tilt_deg": "Tilt angles edited",
    "defocus_angstrom": "Defocus edited",
    "dose_per_image": "Dose edited",
    "shifts_px": "Shifts edited",
}


@dataclass(frozen=True, slots=True, eq=False)
class SeriesState:
    """A series after a step.

    Attributes
    ----------
    series : TiltFocalSeries
    name : str
        What was done last, for a person.
    merge : object
        Changes with the same value in a row make one entry; None: never.
    """

    series: TiltFocalSeries
    name: str
    merge: object = None


def _buffer(images: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while isinstance(images.base, np.ndarray):
        images = images.base
    return images


class SeriesHistory:
    """The states of one series since it was opened, and which of them is in use.

    Parameters
    ----------
    max_bytes : int, optional
        When more would be kept, the oldest states are forgotten; from the free memory when omitted.
    max_entries : int
    """

    #: Entries or position changed.
    changed: ClassVar[Signal] = Signal()
    #: Another state was taken (undo, redo, a click in the list): what was said of the one before is over.
    moved: ClassVar[Signal] = Signal()

    def __init__(self, max_bytes: int | None = None, max_entries: int = MAX_ENTRIES) -> None:
        self.max_bytes, self.max_entries = max_bytes, max_entries
        self.states: tuple[SeriesState, ...] = ()
        self.position = -1
        #: Another one for each series that is opened.
        self.generation = 0

    @property
    def current(self) -> SeriesState | None:
        """The state in use."""
        return self.states[self.position] if self.position >= 0 else None

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier state."""
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a later state."""
        return self.position < len(self.states) - 1

    def begin(self, series: TiltFocalSeries | None, name: str = "Opened") -> None:
        """Start anew with another series, or with none."""
        self.states = () if series is None else (SeriesState(series, name),)
        self.position = len(self.states) - 1
        self.generation += 1
        self.changed.emit()

    def add(self, series: TiltFocalSeries, name: str, merge: object = None) -> None:
        """Put a state after the one in use; what was undone before is forgotten."""
        kept, last = self.states[: self.position + 1], self.current
        if merge is not None and last is not None and last.merge == merge and len(kept) > 1:
            kept = kept[:-1]
        self.states = (*kept, SeriesState(series, name, merge))
        self._forget()
        self.position = len(self.states) - 1
        self.changed.emit()

    def go_to(self, position: int) -> TiltFocalSeries:
        """Make another state the one in use, and return its series."""
        if not 0 <= position < len(self.states):
            raise IndexError(f"there is no state {position} of {len(self.states)}")
        self.position = position
        self.changed.emit()
        self.moved.emit()
        return self.states[position].series

    def kept_bytes(self) -> int:
        """Memory of all images that are kept, each buffer once."""
        return _bytes_of(self.states)

    def _forget(self) -> None:
        states = self.states[-self.max_entries :]
        kept, limit = _bytes_of(states), self.max_bytes
        if limit is None:
            limit = (
                MAX_BYTES
                if kept <= MAX_BYTES
                else max(MAX_BYTES, int(MAX_SHARE * (available_memory() + kept)))
            )
        while len(states) > 1 and _bytes_of(states) > limit:
            states = states[1:]
        self.states = states


def _bytes_of(states: tuple[SeriesState, ...]) -> int:
    buffers = {id(owner): owner.nbytes for owner in (_buffer(state.series.images) for state in states)}
    return sum(buffers.values())


def edit_name(before: TiltFocalSeries, after: TiltFocalSeries) -> str:
    """What a change of a series' metadata is called."""
    for name, text in _EDITS.items():
        if not _same(getattr(before, name), getattr(after, name)):
            return text
    return "Metadata edited"


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a, b))
