"""What a preparation step tells while it works, and how it ends.

Every step that may take longer than half a second is a generator: it yields
:class:`Progress` at least that often, and one :class:`Done` at last. Between two
yields a driver (command line, worker of the window) may pause it, or close it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from napari_phaset3m.core.series import TiltFocalSeries


class Finish(Protocol):
    """Asks a step to end early with what it has."""

    def finish_requested(self) -> bool:
        """Whether to end after what is being computed, and keep the best so far."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a step is.

    Attributes
    ----------
    text : str
        What is being done, for a person.
    fraction : float
        Done part, 0..1.
    detail : mapping
        Pictures and numbers worth showing now, by name (arrays, curves); often empty.
    """

    text: str
    fraction: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The end of a step.

    Attributes
    ----------
    series : TiltFocalSeries
        The changed series, with the step recorded in its history.
    result : Any
        What was found on the way (an alignment, CTF fits, a noise estimate ...), or None.
    """

    series: TiltFocalSeries
    result: Any = None


Event = Progress | Done


def drain(events: Iterator[Event], on_event: Callable[[Event], None] | None = None) -> Done:
    """Run a step to its end.

    Parameters
    ----------
    events : iterator of Progress and Done
    on_event : callable, optional
        Called with every event.

    Returns
    -------
    Done
    """
    last: Event | None = None
    for event in events:
        if on_event is not None:
            on_event(event)
        last = event
    assert isinstance(last, Done)
    return last
