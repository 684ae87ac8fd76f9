"""Reconstruct a series: as a generator of events, or in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device, DeviceName, release_memory, resolve_device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DivergedError
from napari_phaset3m.reconstruct import snapshot
from napari_phaset3m.reconstruct.events import Control, Event, Finished, Started, SweepDone
from napari_phaset3m.reconstruct.forecast import Forecast, forecast
from napari_phaset3m.reconstruct.masking import RunMask, confine, take_newer
from napari_phaset3m.reconstruct.memory import peak_memory_bytes
from napari_phaset3m.reconstruct.solver import SolverState
from napari_phaset3m.reconstruct.stage import Stage
from napari_phaset3m.reconstruct.stopping import Stopping

__all__ = ["Forecast", "Reconstruction", "forecast", "iterate", "reconstruct"]

#: Undone sweeps in a row after which a run counts as diverged.
MAX_UNDONE = 8


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a finished run gives.

    Attributes
    ----------
    volume : ndarray
        `(nz, ny, nx)` float32, in ``unit`` (volts for scattering methods).
    absorption : ndarray or None
        The same for the absorptive part.
    voxel_size_angstrom : float
    unit, reason, device : str
        ``reason``: why it ended (see :class:`.events.Finished`).
    sweeps : tuple of SweepDone
    settings : dict
    """

    volume: np.ndarray
    absorption: np.ndarray | None
    voxel_size_angstrom: float
    unit: str
    reason: str
    sweeps: tuple[SweepDone, ...]
    settings: dict[str, Any]
    device: str


@dataclass
class _Run:
    """The mutable part of one call of :func:`iterate`."""

    series: TiltFocalSeries
    config: ReconstructionConfig
    device: Device
    mask: RunMask
    control: Control | None
    checkpoint: Path | None
    history: list[SweepDone] = field(default_factory=list)
    reason: str = "sweeps"
    undone: int = 0
    first_error: float = 1.0
    judged_from: int = 0

    def begin_anew(self, stage: Stage, state: SolverState, stopping: Stopping) -> None:
        confine(stage, state, stopping)
        self.judged_from, self.undone = len(self.history), 0

    def finishing(self) -> bool:
        return self.control is not None and self.control.finish_requested()

    def sweep(self, stage: Stage, state: SolverState) -> Iterator[Event]:
        """One sweep's events, previews included; sets ``reason`` when told to finish."""
        for event in stage.solver.sweep(state):
            if not self.history and event.step == 0:
                self.first_error = max(1.0, event.error)
            yield event
            if self.control is not None:
                longest = self.control.preview_max_voxels()
                if longest > 0:
                    yield from stage.preview(state, longest)
            if self.finishing():
                self.reason = "finished early"
                return

    def close_sweep(self, stage: Stage, state: SolverState, stopping: Stopping, begun: float) -> SweepDone:
        earlier = [h.error for h in self.history[self.judged_from :] if h.stage == _label(stage)]
        # An empty volume has error 1: a first sweep far above where it began diverged.
        last = min(earlier, default=self.first_error)
        step = state.step
        restarted = stage.solver.finish_sweep(state, last)
        # Only sweeps that were undone count: at its floor the error wavers for ever.
        self.undone = self.undone + 1 if state.step < step else 0
        held_out = stage.solver.held_out_error(state.previous, stage.problem.held_out)
        done = SweepDone(
            len(self.history),
            state.error,
            held_out,
            state.step,
            time.perf_counter() - begun,
            peak_memory_bytes(),
            _label(stage),
            restarted,
        )
        self.history.append(done)
        reason = stopping.update(state.error, held_out, state.previous)
        if self.undone >= MAX_UNDONE:
            reason = "diverged"
        if reason:
            self.reason = reason
        return done


def _label(stage: Stage) -> str:
    return f"bin {stage.bin}" if stage.config.multiresolution else ""


def iterate(
    series: TiltFocalSeries,
    config: ReconstructionConfig | None = None,
    *,
    device: DeviceName = "auto",
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    control: Control | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> Iterator[Event]:
    """Reconstruct, yielding an event after every step (Lee et al. 2025, Algorithm 1).

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig, optional
        Defaults suit the dose at hand.
    device : {"auto", "cpu", "cuda"}
    mask : ndarray, optional
        `(nz, ny, nx)` support in 0..1. A resumed run keeps the one in its checkpoint when
        none is given.
    start : ndarray, optional
        `(nz, ny, nx)` start volume in the result's unit; zero when omitted.
    control : Control, optional
        Asked at every step whether to finish, preview or change the mask.
    checkpoint : path, optional
        HDF5 file that is rewritten after each sweep.
    resume : bool
        Continue from ``checkpoint`` when it exists.

    Yields
    ------
    Started, then StepDone, Preview and SweepDone, at last Finished

    Raises
    ------
    DataError, ConfigError
        Before anything is computed: something is missing or cannot be used.
    DivergedError
        Not one sweep gave a usable volume.
    DeviceError, ResourceError
        The device cannot be used, or the run would not fit.
    """
    config = config or ReconstructionConfig()
    resolved = resolve_device(device)
    forecast(series, config, device=resolved.kind).check()
    path = Path(checkpoint) if checkpoint else None
    run = _Run(series, config, resolved, RunMask(mask), control, path)
    try:
        yield from _stages(run, start, resume)
    finally:
        release_memory(resolved)


def _stages(run: _Run, start: np.ndarray | None, resume: bool) -> Iterator[Event]:
    bins = [*run.config.multiresolution, 1]
    mark = snapshot.signature(run.series, run.config) if run.checkpoint else ""
    first, state, stopping, another_mask = 0, None, Stopping(run.config, keep_best=True), False
    if resume and run.checkpoint and run.checkpoint.exists():
        progress, state = snapshot.load(run.checkpoint, mark, stopping)
        first, run.reason, run.history = progress.stage, progress.reason, progress.history
        run.judged_from = progress.judged_from
        another_mask = run.mask.resumed(progress.mask, state.sweep)
    coarser: tuple[Stage, np.ndarray] | None = None
    for number in range(first, len(bins)):
        stage = Stage(run.series, run.config, run.device, run.mask.values, bins[number])
        try:
            if state is None:
                begin = coarser[0].upsample(coarser[1], stage) if coarser else stage.start(start)
                state = stage.solver.initial_state(begin, stage.step())
            elif number == first:
                stage.solver.adopt(state)
            if another_mask:
                run.begin_anew(stage, state, stopping)
                another_mask = False
            if number == first:
                yield _started(run, stage, len(bins))
            yield from _sweeps(run, stage, state, stopping, (number, mark))
            result = stopping.best if stopping.best is not None else state.previous
            if run.reason == "finished early":
                result = state.volume
            if number == len(bins) - 1 or run.reason in ("finished early", "diverged"):
                yield _finished(run, stage, result)
                return
            coarser, state, stopping = (stage, result), None, Stopping(run.config, keep_best=True)
            run.reason = "sweeps"
        finally:
            stage.solver.close()


def _started(run: _Run, stage: Stage, n_stages: int) -> Started:
    return Started(
        stage.plan.n_sweeps * n_stages,
        stage.solver.n_steps,
        run.device.label,
        run.mask.told(stage.settings()),
        (*stage.plan.notes, *run.mask.notes),
    )


def _sweeps(
    run: _Run, stage: Stage, state: SolverState, stopping: Stopping, where: tuple[int, str]
) -> Iterator[Event]:
    while state.sweep < stage.plan.n_sweeps and run.reason == "sweeps":
        begun = time.perf_counter()
        if take_newer(run.mask, run.control, stage, state):
            run.begin_anew(stage, state, stopping)
        yield from run.sweep(stage, state)
        if run.reason == "finished early":
            return
        yield run.close_sweep(stage, state, stopping, begun)
        if run.checkpoint:
            number, mark = where
            progress = snapshot.Progress(number, run.reason, run.history, run.mask.saved(), run.judged_from)
            snapshot.save(run.checkpoint, mark, progress, state, stopping)


def _finished(run: _Run, stage: Stage, coefficients: np.ndarray) -> Finished:
    volume, absorption = stage.public(coefficients)
    if not np.isfinite(volume).all() or (run.reason == "diverged" and not volume.any()):
        raise DivergedError("the iteration diverged at every step size; check defocus and pixel size")
    return Finished(
        volume,
        absorption,
        stage.problem.geometry.voxel_size_angstrom,
        stage.method.unit,
        run.reason,
        tuple(run.history),
        run.mask.told(stage.settings()),
    )


def reconstruct(
    series: TiltFocalSeries,
    config: ReconstructionConfig | None = None,
    *,
    on_event: Callable[[Event], None] | None = None,
    device: DeviceName = "auto",
    **options: Any,
) -> Reconstruction:
    """Reconstruct in one call.

    Parameters
    ----------
    series, config, device, **options
        As :func:`iterate`.
    on_event : callable, optional
        Called with every event.

    Raises
    ------
    PhaseT3MError
        As :func:`iterate`.
    """
    label, last = "", None
    for event in iterate(series, config, device=device, **options):
        if on_event is not None:
            on_event(event)
        if isinstance(event, Started):
            label = event.device
        last = event
    assert isinstance(last, Finished)
    return Reconstruction(
        last.volume,
        last.absorption,
        last.voxel_size_angstrom,
        last.unit,
        last.reason,
        last.sweeps,
        last.settings,
        label,
    )
