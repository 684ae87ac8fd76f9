"""What every constraint offers, and the schedule they all share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import array_module
from napari_phaset3m.core.precision import Array


@runtime_checkable
class Constraint(Protocol):
    """Something imposed on the volume between updates.

    Attributes
    ----------
    name : str
        Short name for logs and provenance.
    """

    name: str

    def active(self, sweep: int) -> bool:
        """Whether :meth:`apply` does anything in this sweep (counted from 0)."""
        ...

    def apply(self, volume: Array, sweep: int) -> None:
        """Change ``volume`` `(n_channel, nz, nx, ny)` float32 in place.

        Does nothing in sweeps that the schedule leaves out.
        """
        ...


class Scheduled(ABC):
    """Base of the constraints here: :meth:`apply` obeys a :class:`Schedule`.

    Parameters
    ----------
    schedule : Schedule, optional
        Every sweep when omitted.
    """

    name: str = ""

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.schedule = schedule or Schedule()

    def active(self, sweep: int) -> bool:
        """Whether the constraint acts in this sweep (counted from 0)."""
        return self.schedule.active(sweep)

    def apply(self, volume: Array, sweep: int) -> None:
        """Change ``volume`` `(n_channel, nz, nx, ny)` float32 in place when active."""
        if self.active(sweep):
            self._impose(volume)

    @abstractmethod
    def _impose(self, volume: Array) -> None:
        """Change ``volume`` in place, whatever the sweep."""


def chunks(volume: Array) -> Iterator[Array]:
    """Yield views that together cover ``volume``: planes on a CPU, all at once on a GPU.

    Elementwise NumPy work plane by plane keeps its temporaries in the cache instead
    of doubling the volume; a GPU would only pay for the extra launches.
    """
    if array_module(volume).__name__ != "numpy":
        yield volume
        return
    for channel in volume:
        yield from channel
