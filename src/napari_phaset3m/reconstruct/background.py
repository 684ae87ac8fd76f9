"""Computing in a thread of its own, so that a driver hears from a run also while a step is long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

from napari_phaset3m.reconstruct.engine import Interrupted
from napari_phaset3m.reconstruct.events import Event

T = TypeVar("T")

#: A driver hears from a run at least this often, seconds.
PULSE_SECONDS = 0.25


class Background:
    """One thread in which a run computes, one piece of work after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="phaset3m-run")
        self._job: Future[Any] | None = None
        self._cancel: Callable[[], None] | None = None

    def run(
        self,
        work: Callable[[], T],
        pulse: Event,
        cancel: Callable[[], None] | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> Generator[Event, None, T]:
        """Return what ``work`` does; yield ``pulse`` as long as it lasts.

        Parameters
        ----------
        cancel : callable, optional
            Makes ``work`` end soon with :class:`.engine.Interrupted`.
        wanted : callable, optional
            Asked with every pulse whether to cancel.
        """
        job = self._pool.submit(work)
        self._job, self._cancel = job, cancel
        while not wait([job], PULSE_SECONDS).done:
            yield pulse
            if cancel is not None and wanted is not None and wanted():
                cancel()
        self._job = None
        return job.result()

    def rest(self) -> None:
        """Wait until nothing is computed, cancelling what can be: the driver has gone."""
        if self._job is None:
            return
        if self._cancel is not None:
            self._cancel()
        with suppress(Interrupted):
            self._job.result()
        self._job = None

    def close(self) -> None:
        """Wait for the work that goes on and end the thread."""
        self.rest()
        self._pool.shutdown(wait=True)
