"""Runs preparation steps one after the other under a token: what the worker of the window iterates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import CancelledError
from napari_phaset3m.jobs import RunControl
from napari_phaset3m.jobs.device_lock import device_lock
from napari_phaset3m.jobs.runner import new_run_id
from napari_phaset3m.prepare.events import Done, Event, Progress

#: Progress is passed on at most this often, seconds, unless it brings pictures or numbers.
REPORT_SECONDS = 0.1
#: How often one that waits looks whether it may go on, seconds.
POLL_SECONDS = 0.2
#: Makes the events of a step from the series and the token.
MakeEvents = Callable[[TiltFocalSeries, RunControl], Iterator[Event]]


@dataclass(frozen=True, eq=False)
class Job:
    """One step that is to be run.

    Attributes
    ----------
    name : str
        For a person.
    make : callable
        Takes the series and a token; gives the step's events.
    device : str
        What it computes on; ``cuda`` waits for its turn.
    """

    name: str
    make: MakeEvents
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Update:
    """How far all jobs are.

    Attributes
    ----------
    number, count : int
        Of the job that runs, from 0, and of all jobs.
    name : str
    progress : Progress
    elapsed : float
        Computing seconds of all jobs so far, without pauses.
    """

    number: int
    count: int
    name: str
    progress: Progress
    elapsed: float

    @property
    def fraction(self) -> float:
        """Done part of all jobs, taking them as equally long."""
        inner = min(1.0, max(0.0, self.progress.fraction))
        return (self.number + inner) / self.count

    @property
    def remaining_seconds(self) -> float | None:
        """Estimate of the time left; None as long as too little is known."""
        part = self.fraction
        if part < 0.02 or self.elapsed < 0.5:
            return None
        return self.elapsed * (1 - part) / part


@dataclass(frozen=True, slots=True, eq=False)
class StepDone:
    """One job has ended.

    Attributes
    ----------
    number : int
    name : str
    done : Done
    """

    number: int
    name: str
    done: Done


class _Clock:
    """Computing time without pauses."""

    def __init__(self) -> None:
        self.elapsed, self._last = 0.0, time.monotonic()

    def tick(self) -> float:
        now = time.monotonic()
        self.elapsed, self._last = self.elapsed + now - self._last, now
        return self.elapsed

    def skip(self) -> None:
        self._last = time.monotonic()


def run_jobs(series: TiltFocalSeries, jobs: list[Job], *, control: RunControl) -> Iterator[Update | StepDone]:
    """Run jobs in turn, each on what the one before it gave.

    Parameters
    ----------
    series : TiltFocalSeries
    jobs : list of Job
    control : RunControl
        Pauses, ends early (the job that runs; those after it are left out), or stops.

    Yields
    ------
    Update or StepDone

    Raises
    ------
    CancelledError
        Stopped while it waited for the device.
    """
    clock = _Clock()
    for number, job in enumerate(jobs):
        with _turn(job.device, control):
            clock.skip()
            for event in _told(number, len(jobs), job, job.make(series, control), clock):
                if isinstance(event, StepDone):
                    series = event.done.series
                yield event
                _hold(control, clock)
                if control.stopped:
                    return
        if control.finish_requested():
            return


def _told(
    number: int, count: int, job: Job, events: Iterator[Event], clock: _Clock
) -> Iterator[Update | StepDone]:
    reported = -REPORT_SECONDS
    try:
        for event in events:
            elapsed = clock.tick()
            if isinstance(event, Done):
                yield StepDone(number, job.name, event)
            elif event.detail or elapsed - reported >= REPORT_SECONDS:
                reported = elapsed
                yield Update(number, count, job.name, event, elapsed)
    finally:
        close: Any = getattr(events, "close", None)
        if close is not None:
            close()


def _hold(control: RunControl, clock: _Clock) -> None:
    clock.tick()
    while control.wait_while_paused(POLL_SECONDS):
        pass
    clock.skip()


@contextmanager
def _turn(device: str, control: RunControl) -> Iterator[None]:
    """The device for the time of the block; runs on a GPU come one after the other."""
    name = f"step {new_run_id()}"
    device_lock.enter(device, name)
    try:
        while device_lock.holder(device, name) is not None:
            if control.wait_for_stop(POLL_SECONDS):
                raise CancelledError("stopped while waiting for the GPU")
        yield
    finally:
        device_lock.leave(device, name)
