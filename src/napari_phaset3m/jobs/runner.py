"""Drive one reconstruction for a command line, a notebook or a window.

The solver's events come in; light events, time estimates and mailbox frames go
out. Everything costly (:mod:`.frames`: transforms, percentiles) happens here,
in the thread that iterates this generator.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device, DeviceName, release_memory
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.jobs.control import RunControl
from napari_phaset3m.jobs.device_lock import device_lock
from napari_phaset3m.jobs.frames import final_frame, make_frame
from napari_phaset3m.jobs.mailbox import Mailbox
from napari_phaset3m.jobs.messages import JobEvent, PreviewFrame, Progress, Stopped, Waiting
from napari_phaset3m.reconstruct.events import (
    Event,
    Finished,
    Preparing,
    Preview,
    Started,
    StepDone,
    SweepDone,
    Working,
)

#: A driver hears from a healthy job at least this often while it waits, seconds.
POLL_SECONDS = 0.2
#: Steps closer together than this are reported as one, seconds.
PROGRESS_SECONDS = 0.05
#: After a preview that took a time T none is made for this many T: they cost a run at most 2.5 % ...
PREVIEW_SHARE = 39.0
#: ... but not for longer than this, so that a picture comes now and then however busy the machine, seconds.
PREVIEW_PAUSE_SECONDS = 60.0


@dataclass
class _Clock:
    """Computing time without pauses, and what is left of it."""

    n_sweeps: int = 1
    n_steps: int = 1
    elapsed: float = 0.0
    last: float = field(default_factory=time.monotonic)
    reported: float = 0.0
    per_step: float | None = None
    timed_steps: int = 0

    def tick(self) -> float:
        now = time.monotonic()
        passed, self.last = now - self.last, now
        self.elapsed += passed
        return passed

    def skip(self) -> None:
        self.last = time.monotonic()

    def step(self) -> None:
        passed = self.tick()
        self.timed_steps += 1
        if self.timed_steps == 1:  # the first step pays for compilation and plans
            return
        weight = max(1.0 / (self.timed_steps - 1), 1.0 / max(4, self.n_steps))
        self.per_step = passed if self.per_step is None else self.per_step + weight * (passed - self.per_step)

    def remaining(self, sweep: int, step: int) -> float | None:
        if self.per_step is None:
            return None
        left = self.n_sweeps * self.n_steps - (sweep * self.n_steps + step + 1)
        return max(0, left) * self.per_step


def new_run_id() -> str:
    """A short name for a run, unique in this process."""
    return uuid.uuid4().hex[:8]


def run(
    series: TiltFocalSeries,
    config: ReconstructionConfig,
    *,
    device: DeviceName | Device = "auto",
    control: RunControl | None = None,
    mailbox: Mailbox[PreviewFrame] | None = None,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    checkpoint: str | None = None,
    resume: bool = False,
    run_id: str | None = None,
) -> Iterator[JobEvent]:
    """Reconstruct, obeying ``control``; close the generator to abandon the run.

    Parameters
    ----------
    series, config, device : TiltFocalSeries, ReconstructionConfig, {"auto", "cpu", "cuda"} or Device
    control : RunControl, optional
    mailbox : Mailbox, optional
        Receives a :class:`PreviewFrame` for each preview asked for through ``control``, and the result.
    mask, start : ndarray, optional
        `(nz, ny, nx)`: support in 0..1; volume to start from, volts.
    checkpoint, resume : str and bool, optional
        File to write checkpoints to, and whether to go on from it.

    Yields
    ------
    JobEvent
        ``Waiting``, ``Started``, ``Progress``, ``SweepDone`` and, last, ``Finished`` or ``Stopped``. Only
        ``Finished`` carries an array. Raises whatever the solver raises (PhaseT3MError).
    """
    from napari_phaset3m.reconstruct.device import choose_device
    from napari_phaset3m.reconstruct.forecast import result_grid

    control = control or RunControl()
    resolved, _ = choose_device(device, series, config)  # the solver tells why
    options: dict[str, Any] = {"control": control, "mask": mask, "start": start}
    options |= {"device": getattr(device, "kind", device), "checkpoint": checkpoint, "resume": resume}
    control.expect_masks_of(result_grid(series, config)[0])
    job = partial(open_events, series, config, options)
    yield from _in_turn(job, resolved, control, mailbox, run_id or new_run_id())


def _in_turn(
    job: Callable[[], Iterator[Event]],
    device: Device,
    control: RunControl,
    mailbox: Mailbox[PreviewFrame] | None,
    run_id: str,
) -> Iterator[JobEvent]:
    """Wait for the device, run the job, and give the device back however it ends."""
    device_lock.enter(device.kind, run_id)
    try:
        yield from _queue(device, control, run_id)
        if control.stopped:
            yield Stopped(run_id, ())
            return
        yield Waiting(run_id, "preparing", "Preparing: compiling kernels and loading the images")
        yield from _solve(job(), control, mailbox, run_id)
    finally:
        device_lock.leave(device.kind, run_id)
        release_memory(device)


def _solve(
    events: Iterator[Event], control: RunControl, mailbox: Mailbox[PreviewFrame] | None, run_id: str
) -> Iterator[JobEvent]:
    """Relay the solver's events, and close it however this ends."""
    try:
        yield from _relay(events, control, mailbox, run_id)
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


def open_events(
    series: TiltFocalSeries, config: ReconstructionConfig, options: dict[str, Any]
) -> Iterator[Event]:
    """The solver's events (imported late: it pulls in Numba)."""
    from napari_phaset3m.reconstruct.api import iterate

    return iterate(series, config, **options)


def _queue(device: Device, control: RunControl, run_id: str) -> Iterator[JobEvent]:
    while (holder := device_lock.holder(device.kind, run_id)) is not None:
        yield Waiting(run_id, "queued", f"Queued: run {holder} is using {device.label}")
        if control.wait_for_stop(POLL_SECONDS):
            return


def _relay(
    events: Iterator[Event],
    control: RunControl,
    mailbox: Mailbox[PreviewFrame] | None,
    run_id: str,
) -> Iterator[JobEvent]:
    clock = _Clock()
    sweeps: list[SweepDone] = []
    for event in events:
        if isinstance(event, Preparing):
            yield Waiting(run_id, "preparing", event.message)
        elif isinstance(event, Preview):
            deliver_preview(event, control, mailbox, run_id)
        elif isinstance(event, Finished):
            clock.tick()
            if mailbox is not None:
                mailbox.put(final_frame(event, run_id))
            yield event
            return
        elif not isinstance(event, Working):  # only a chance to ask what follows
            yield from _light(event, clock, sweeps, run_id)
        if control.paused:
            yield from _pause(control, run_id)
            clock.skip()
        if control.stopped:
            yield Stopped(run_id, tuple(sweeps))
            return


def _light(
    event: Started | StepDone | SweepDone, clock: _Clock, sweeps: list[SweepDone], run_id: str
) -> Iterator[JobEvent]:
    if isinstance(event, Started):
        clock.n_sweeps, clock.n_steps = event.n_sweeps, event.n_steps
        clock.skip()
        yield event
    elif isinstance(event, SweepDone):
        sweeps.append(event)
        yield event
    else:
        clock.step()
        last = event.step + 1 >= clock.n_steps
        if last or clock.elapsed - clock.reported >= PROGRESS_SECONDS:
            clock.reported = clock.elapsed
            yield Progress(
                run_id, event.sweep, event.step, clock.n_sweeps, clock.n_steps, event.error,
                clock.elapsed, clock.remaining(event.sweep, event.step), event.tilt,
            )  # fmt: skip


def _pause(control: RunControl, run_id: str) -> Iterator[JobEvent]:
    yield Waiting(run_id, "paused", "Paused")
    while control.wait_while_paused(POLL_SECONDS):
        yield Waiting(run_id, "paused", "Paused")


def deliver_preview(
    event: Preview, control: RunControl, mailbox: Mailbox[PreviewFrame] | None, run_id: str
) -> None:
    """Turn a solver preview into a frame, and keep previews to a small share of the time."""
    begun = time.monotonic()
    fourier = control.preview_delivered()
    if mailbox is not None:
        mailbox.put(make_frame(event, run_id, event.sweep, fourier=fourier))
    cost = event.seconds + time.monotonic() - begun
    control.preview_delivered(pause_seconds=min(PREVIEW_SHARE * cost, PREVIEW_PAUSE_SECONDS))
