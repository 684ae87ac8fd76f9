"""The pipeline: alignment, search of the shared optics, gradient, until held-out images gain no more.

Gauss-Newton finds optics and alignment together within seconds once it starts near them;
from farther away it ends in a false minimum whose held-out error is higher. So a search
over the few shared parameters goes around it, with Gauss-Newton inside each trial, and
what it finds is refined from coarse to fine sampling with everything free.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.optimise.auto_config import AutoConfig
from napari_phaset3m.optimise.checks import check
from napari_phaset3m.optimise.fine import iterate_fine
from napari_phaset3m.optimise.gradient import gradient
from napari_phaset3m.optimise.jackknife import replicates, with_scatter
from napari_phaset3m.optimise.journal_files import check_run, round_path, set_aside
from napari_phaset3m.optimise.judging import judged_trial, judging_trial
from napari_phaset3m.optimise.levels import levelled
from napari_phaset3m.optimise.noise import FINE_NOISE_BIN, is_noisy
from napari_phaset3m.optimise.padded import padded
from napari_phaset3m.optimise.parameters import solver_values, with_solver
from napari_phaset3m.optimise.search import iterate_search
from napari_phaset3m.optimise.stages import (
    FREEDOM,
    AutoResult,
    Judged,
    Stage,
    State,
    changes,
    noted,
    searched,
    turned,
)
from napari_phaset3m.optimise.trials import signature, unexplained
from napari_phaset3m.optimise.uncertainty import values_of
from napari_phaset3m.prepare.align.api import iterate_align
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.prepare.history import recorded


def iterate_auto(
    series: TiltFocalSeries,
    wanted: AutoConfig | None = None,
    config: ReconstructionConfig | None = None,
    *,
    finish: Finish | None = None,
    journal: str | Path | None = None,
    resume: bool = False,
) -> Iterator[Progress | Done]:
    """Find optics and alignment, from near enough a start to the end.

    Parameters
    ----------
    series : TiltFocalSeries
        Where no shift is stated, the alignment's default stages find shifts, defoci and optics first.
    wanted, config, finish
        As :func:`.search.iterate_search`.
    journal : path, optional
        Trials of the first search; later rounds add ``.2``, ``.3`` ... to its name.
    resume : bool
        Go on with the trials that are there.

    Yields
    ------
    Progress, at last Done
        With the changed series and an :class:`AutoResult`.

    Raises
    ------
    ConfigError
        See :func:`.checks.check`; or defocus is not known.
    DataError, OutputError
        The journal is of something else; or it is there, and ``resume`` is not set.
    """
    wanted, config = wanted or AutoConfig(), config or ReconstructionConfig()
    check(series, config, wanted.search)
    path = None if journal is None else Path(journal)
    begun = signature(series, config, wanted.search)
    check_run(path, begun, wanted.rounds, resume=resume)
    yield Progress("Judging what the series states", 0.0)
    first = judging_trial(State(series, 1.0), config, wanted, series)
    if first.score is None:
        raise ConfigError(f"the stated parameters cannot be judged: {first.message}")
    state = State(series, first.score, volume=first.volume, volume_bin=wanted.search.trial.bin)
    unaligned = series.shifts_px is None or not np.any(series.shifts_px)
    if wanted.align == "always" or (wanted.align == "auto" and unaligned):
        yield from _align(state, wanted, config, finish)
    wanted = wanted.with_defocus(state.series)
    wanted = yield from _rounds(state, wanted, config, (finish, path, resume, begun))
    if finish is None or not finish.finish_requested():
        yield from _fine(state, wanted, config, finish)
        wanted = yield from padded(state, wanted, config, finish)
        for event in _error_bars(state, wanted, config, finish):
            yield Progress(event.text, 0.9 + 0.1 * event.fraction, event.detail)
    notes = tuple(dict.fromkeys([*noted(state.searches), *state.notes, *unexplained(state.score), FREEDOM]))
    result = AutoResult(
        tuple(state.stages), tuple(state.searches), state.determined, state.volume, notes,
        state.volume_bin, dict(state.solver),
    )  # fmt: skip
    # Errors at different samplings are of different images: only the last trial's sampling is told.
    told = {"held_out": state.score, "trial_bin": wanted.search.trial.bin}
    told |= changes(series, state.series) | searched(state.kept_searches, wanted.optics) | state.solver
    done = state.series.replace(metadata=series.metadata)
    yield Done(recorded(done, "optimise auto", wanted, told), result)


def _align(
    state: State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None
) -> Iterator[Progress]:
    """Start shifts, and optics where both are free: Gauss-Newton follows them only within about a feature."""
    begun = time.perf_counter()
    both = {"C30", "C12"} <= set(wanted.optics)
    gradient_ = {"refine_optics": both}
    steps = AlignConfig.parse(seed=wanted.search.seed, threads=config.threads, gradient=gradient_)
    for event in iterate_align(state.series, steps, finish=finish):
        if isinstance(event, Progress):
            yield Progress(f"Start: {event.text}", 0.2 * event.fraction, event.detail)
        else:
            judged = judged_trial(state, config, wanted, event.series)
            state.judge("align", event.series, judged, time.perf_counter() - begun)


def _search(
    state: State,
    wanted: AutoConfig,
    config: ReconstructionConfig,
    how: tuple[Finish | None, Path | None, bool, str],
    part: tuple[float, float],
) -> Iterator[Progress]:
    clock, (finish, path, resume, begun) = time.perf_counter(), how
    config = with_solver(state.series, config, state.solver)
    if state.searches:  # what came before may have ended elsewhere, after more trials
        old = set_aside(path, signature(state.series, config, wanted.search))
        if old is not None:
            state.notes.append(f"{old}: trials of another outcome of the first search; they are not used")
            yield Progress(state.notes[-1], part[0])
    events = iterate_search(
        state.series, wanted.search, config, finish=finish, journal=path, resume=resume, begun=begun
    )
    for event in events:
        if isinstance(event, Progress):
            yield Progress(f"Search: {event.text}", part[0] + 0.5 * part[1] * event.fraction, event.detail)
        else:
            state.searches.append(event.result)
            judged = Judged(event.result.best.score, event.result.volume, event.result.volume_bin)
            values = event.result.best.values
            if state.judge("search", event.series, judged, time.perf_counter() - clock, values):
                state.kept_searches.append(event.result)
                state.solver |= solver_values(values)


def _gradient(
    state: State,
    wanted: AutoConfig,
    config: ReconstructionConfig,
    finish: Finish | None,
    part: tuple[float, float],
) -> Generator[Progress, None, None]:
    begun, found = time.perf_counter(), None
    tuned = with_solver(state.series, config, state.solver)
    for event in _refine(state.series, wanted, tuned, finish):
        if isinstance(event, Progress):
            yield Progress(event.text, part[0] + (0.5 + 0.45 * event.fraction) * part[1], event.detail)
        else:
            found = event
    if found is None:
        return
    series = found.series
    yield Progress("Judging the refined parameters", part[0] + 0.97 * part[1])
    judged = replace(judged_trial(state, config, wanted, series), volume=found.result.volume, volume_bin=1)
    state.determined = found.result.determined
    state.judge("gradient", series, judged, time.perf_counter() - begun)
    levels = found.result.levels
    if levels is not None:
        begun, series = time.perf_counter(), levelled(state.series, levels)
        judged = judged_trial(state, config, wanted, series)
        told = {"dose_rms_percent": 100 * float(np.sqrt(((levels[series.used] - 1) ** 2).mean()))}
        state.judge("dose", series, judged, time.perf_counter() - begun, told)


def _geometry(
    state: State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None, at: float
) -> Iterator[Progress]:
    """Angles, rotations and magnifications of single tilts, by the alignment's own stage."""
    if not wanted.geometry:
        return
    begun, trial = time.perf_counter(), wanted.search.trial
    gradient_ = {
        "gradient_bins": wanted.bins or (1,),
        "refine_shifts": trial.refine_shifts,
        "refine_defocus": trial.refine_defocus,
        "refine_optics": False,
        **{f"refine_{name}": True for name in wanted.geometry},
    }
    steps = AlignConfig.parse(
        stages=("gradient",), seed=wanted.search.seed, threads=config.threads, gradient=gradient_
    )
    for event in iterate_align(state.series, steps, finish=finish):
        if isinstance(event, Progress):
            yield Progress(f"Geometry: {event.text}", at, event.detail)
        else:
            judged = judged_trial(state, config, wanted, event.series)
            told = turned(event.result.alignment)
            state.judge("geometry", event.series, judged, time.perf_counter() - begun, told)


def _fine(
    state: State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None
) -> Iterator[Progress]:
    """Matching at full sampling, where noise lets nothing coarser see all that the images tell."""
    trial = wanted.search.trial
    refined = trial.refine_shifts and trial.refine_defocus == "tilt"
    if not (wanted.fine_rounds and refined and is_noisy(state.series, FINE_NOISE_BIN)):
        return
    begun, how = time.perf_counter(), (wanted.search.seed, config.threads, finish)
    free = tuple(name for name in ("C30", "C12") if name in wanted.optics)
    for event in iterate_fine(state.series, wanted.fine_rounds, how, optics=free):
        if isinstance(event, Progress):
            yield Progress(event.text, 0.9, event.detail)
        else:
            judged = judged_trial(state, config, wanted, event.series)
            ball = event.result
            told = {} if ball is None else {"ball_radius_angstrom": ball.radius_angstrom}
            state.judge("fine", event.series, judged, time.perf_counter() - begun, told)


def _rounds(
    state: State,
    wanted: AutoConfig,
    config: ReconstructionConfig,
    how: tuple[Finish | None, Path | None, bool, str],
) -> Generator[Progress, None, AutoConfig]:
    """Search and gradient in turn, from coarse to fine trials; returns what the last round was asked."""
    finish, journal, resume, mark = how
    for number in range(wanted.rounds):
        begun = state.score
        part = (0.2 + 0.7 * number / wanted.rounds, 0.7 / wanted.rounds)
        path = None if journal is None else round_path(journal, number)
        yield from _search(state, wanted, config, (finish, path, resume, mark if not number else ""), part)
        yield from _gradient(state, wanted, config, finish, part)
        yield from _geometry(state, wanted, config, finish, part[0] + 0.98 * part[1])
        if finish is not None and finish.finish_requested():
            break
        tuned = with_solver(state.series, config, state.solver)
        finer = wanted.finer(state.searches[-1], state.series, tuned)
        if finer is None and begun - state.score < wanted.least_gain * begun:
            break
        if finer is not None and number + 1 < wanted.rounds:
            wanted = finer
            yield Progress("Judging at a finer sampling", part[0] + part[1])
            state.begin_again(judged_trial(state, config, wanted, state.series))
    return wanted


def _error_bars(
    state: State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None
) -> Generator[Progress, None, None]:
    """Standard deviations that hold more than the curvature does."""
    found = state.determined
    if found is None:
        return
    groups = wanted.error_groups if wanted.error_groups > 1 else 0
    refine = partial(_refine, wanted=wanted, config=with_solver(state.series, config, state.solver))
    rows = yield from replicates(state.series, found.names, refine, (groups, wanted.search.seed, finish))
    search, gradient_ = (values_of(state.ways[name], found.names) for name in ("search", "gradient"))
    state.determined = with_scatter(found, rows, search - gradient_)


def _refine(
    series: TiltFocalSeries, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None = None
) -> Iterator[Progress | Done]:
    return gradient(
        series, config, optics=wanted.optics, bins=wanted.bins, sweeps=wanted.sweeps,
        trial=wanted.search.trial, seed=wanted.search.seed, finish=finish, dose=wanted.dose,
    )  # fmt: skip


__all__ = ["FREEDOM", "AutoConfig", "AutoResult", "Stage", "changes", "iterate_auto"]
