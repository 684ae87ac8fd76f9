"""One run: its stages and sweeps, when it ends, and what is told meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DivergedError
from napari_phaset3m.reconstruct import snapshot
from napari_phaset3m.reconstruct.background import Background
from napari_phaset3m.reconstruct.engine import Interrupted
from napari_phaset3m.reconstruct.events import (
    Control,
    Event,
    Finished,
    Preparing,
    Started,
    StepDone,
    SweepDone,
    Working,
)
from napari_phaset3m.reconstruct.masking import RunMask, confine, take_newer
from napari_phaset3m.reconstruct.memory import peak_memory_bytes
from napari_phaset3m.reconstruct.plan import outcome_note
from napari_phaset3m.reconstruct.refine import Hook
from napari_phaset3m.reconstruct.solver import SolverState
from napari_phaset3m.reconstruct.stage import Stage
from napari_phaset3m.reconstruct.stopping import Stopping

T = TypeVar("T")

#: Undone sweeps in a row after which a run counts as diverged.
MAX_UNDONE = 8


@dataclass
class Run:
    """The mutable part of one reconstruction."""

    series: TiltFocalSeries
    config: ReconstructionConfig
    device: Device
    mask: RunMask
    control: Control | None
    checkpoint: Path | None
    notes: tuple[str, ...] = ()
    history: list[SweepDone] = field(default_factory=list)
    reason: str = "sweeps"
    undone: int = 0
    accepted: int = 0
    first_error: float = 1.0
    judged_from: int = 0
    hooks: Sequence[Hook] = ()
    background: Background = field(default_factory=Background)

    def events(self, start: np.ndarray | None, resume: bool) -> Iterator[Event]:
        """Everything from the first preparation to the result."""
        bins = [*self.config.multiresolution, 1]
        mark = snapshot.signature(self.series, self.config, start) if self.checkpoint else ""
        first, state, stopping, another_mask = 0, None, Stopping(self.config, keep_best=True), False
        if resume and self.checkpoint and self.checkpoint.exists():
            first, state, another_mask = self._resumed(mark, stopping)
        coarser: tuple[Stage, np.ndarray] | None = None
        for number in range(first, len(bins)):
            make = partial(
                Stage, self.series, self.config, self.device, self.mask.values, bins[number], self.hooks
            )
            stage = yield from self._prepare("the images, kernels and FFT plans", make)
            try:
                if state is None:
                    begin = coarser[0].upsample(coarser[1], stage) if coarser else stage.start(start)
                    step = yield from self._prepare("the step size", stage.step, stage)
                    state = stage.solver.initial_state(begin, step)
                elif number == first:
                    stage.adopt(state, self.history)
                if another_mask:
                    self.begin_anew(stage, state, stopping)
                    another_mask = False
                if number == first:
                    yield self._started(stage, len(bins))
                yield from self._sweeps(stage, state, stopping, (number, mark))
                result = stopping.best if stopping.best is not None else state.previous
                if self.reason == "finished early":
                    result = state.volume
                if number == len(bins) - 1 or self.reason in ("finished early", "diverged"):
                    yield self._finished(stage, result)
                    return
                coarser, state, stopping = (stage, result), None, Stopping(self.config, keep_best=True)
                self.reason = "sweeps"
            finally:
                self.background.rest()
                stage.solver.close()

    def _resumed(self, mark: str, stopping: Stopping) -> tuple[int, SolverState, bool]:
        assert self.checkpoint is not None
        progress, state = snapshot.load(self.checkpoint, mark, stopping)
        self.reason, self.history = progress.reason, progress.history
        self.judged_from, self.undone = progress.judged_from, progress.undone
        self.accepted = progress.accepted
        return progress.stage, state, self.mask.resumed(progress.mask, state.sweep)

    def _prepare(
        self, what: str, work: Callable[[], T], stage: Stage | None = None
    ) -> Generator[Event, None, T]:
        cancel = None if stage is None else stage.solver.engine.cancel
        return (yield from self.background.run(work, Preparing(f"Preparing {what}"), cancel))

    def begin_anew(self, stage: Stage, state: SolverState, stopping: Stopping) -> None:
        """Judge what follows by itself: another mask acts from now on."""
        confine(stage, state, stopping)
        self.judged_from, self.undone = len(self.history), 0

    def _started(self, stage: Stage, n_stages: int) -> Started:
        return Started(
            stage.plan.n_sweeps * n_stages,
            stage.solver.n_steps,
            self.device.label,
            self.mask.told(stage.settings()),
            self._told(stage),
        )

    def _told(self, stage: Stage) -> tuple[str, ...]:
        return (*self.notes, *stage.plan.notes, *self.mask.notes)

    def _sweeps(
        self, stage: Stage, state: SolverState, stopping: Stopping, where: tuple[int, str]
    ) -> Iterator[Event]:
        while state.sweep < stage.plan.n_sweeps and self.reason == "sweeps":
            begun = time.perf_counter()
            if take_newer(self.mask, self.control, stage, state):
                self.begin_anew(stage, state, stopping)
            yield from self._sweep(stage, state)
            if self.reason == "finished early":
                return
            close = partial(self._close_sweep, stage, state, stopping, begun)
            busy = Working(state.sweep, stage.solver.n_steps)
            yield (yield from self.background.run(close, busy))
            if self.checkpoint:
                number, mark = where
                progress = snapshot.Progress(
                    number, self.reason, self.history, self.mask.saved(), self.judged_from,
                    self.undone, self.accepted,
                )  # fmt: skip
                save = partial(snapshot.save, self.checkpoint, mark, progress, state, stopping)
                yield from self.background.run(save, busy)

    def _sweep(self, stage: Stage, state: SolverState) -> Iterator[Event]:
        """One sweep's events, previews included; sets ``reason`` when told to finish."""
        steps, done = stage.solver.sweep(state), 0
        while True:
            try:
                event = yield from self._step(stage, steps, Working(state.sweep, done))
            except Interrupted:
                self.reason = "finished early"
                return
            if event is None:
                return
            done += 1
            if not self.history and event.step == 0:
                self.first_error = max(1.0, event.error)
            yield event
            if self.control is not None:
                longest = self.control.preview_max_voxels()
                if longest > 0:
                    yield from stage.preview(state, longest)
            if self._finishing():
                self.reason = "finished early"
                return

    def _step(
        self, stage: Stage, steps: Iterator[StepDone], busy: Working
    ) -> Generator[Event, None, StepDone | None]:
        # Once there is a volume, a step that is being computed need not be waited for.
        wanted = self._finishing if self.history or busy.step else None

        def work() -> StepDone | None:
            return next(steps, None)

        return (yield from self.background.run(work, busy, stage.solver.engine.cancel, wanted))

    def _finishing(self) -> bool:
        return self.control is not None and self.control.finish_requested()

    def _close_sweep(self, stage: Stage, state: SolverState, stopping: Stopping, begun: float) -> SweepDone:
        label = stage.label
        earlier = [h.error for h in self.history[self.judged_from :] if h.stage == label]
        # An empty volume has error 1: a first sweep far above where it began diverged.
        last = min(earlier, default=self.first_error)
        step = state.step
        restarted = stage.solver.finish_sweep(state, last)
        # Only sweeps that were undone count: at its floor the error wavers for ever.
        undone = state.step < step
        self.undone = self.undone + 1 if undone else 0
        self.accepted += not undone
        if not undone:
            stage.refine(state)
        held_out = stage.solver.held_out_error(state.previous, stage.problem.held_out)
        done = SweepDone(
            len(self.history),
            state.error,
            held_out,
            state.step,
            time.perf_counter() - begun,
            peak_memory_bytes(),
            label,
            restarted,
            stage.take_note(),
        )
        self.history.append(done)
        # An undone sweep shows nothing: neither that the error falls no more nor a held-out gain.
        reason = None if undone else stopping.update(state.error, held_out, state.previous)
        if self.undone >= MAX_UNDONE:
            reason = "diverged"
        self.reason = reason or self.reason
        return done

    def _finished(self, stage: Stage, coefficients: np.ndarray) -> Finished:
        volume, absorption = stage.public(coefficients)
        # What diverged from the very beginning has no good volume to keep.
        lowest = min((h.error for h in self.history), default=0.0)
        never = self.reason == "diverged" and lowest >= self.first_error
        never |= bool(self.history) and not self.accepted
        if never or not np.isfinite(volume).all():
            raise DivergedError("the iteration diverged at every step size; check defocus and pixel size")
        note = self._outcome()
        told = (*self._told(stage), *(sweep.note for sweep in self.history))
        return Finished(
            volume,
            absorption,
            stage.problem.geometry.voxel_size_angstrom,
            stage.method.unit,
            self.reason,
            tuple(self.history),
            self.mask.told(stage.settings()),
            tuple(text for text in (*told, note) if text),
            note,
        )

    def _outcome(self) -> str:
        if not self.history:
            return ""
        positivity = self.config.constraints.positivity
        return outcome_note(self.config.method, self.history[-1].error, positivity=positivity) or ""
