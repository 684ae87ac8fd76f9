"""The pipeline: start shifts, search of the shared optics, gradient, until held-out images gain no more.

Gauss-Newton finds optics and alignment together within seconds once it starts near them;
from farther away it ends in a false minimum whose held-out error is higher. So a search
over the few shared parameters goes around it, with Gauss-Newton inside each trial, and
what it finds is refined from coarse to fine sampling with everything free.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.optimise.auto_config import AutoConfig
from napari_phaset3m.optimise.gradient import gradient
from napari_phaset3m.optimise.jackknife import replicates, with_scatter
from napari_phaset3m.optimise.objective import Objective, Outcome
from napari_phaset3m.optimise.search import SearchResult, iterate_search
from napari_phaset3m.optimise.uncertainty import Determined, values_of
from napari_phaset3m.prepare.align.api import iterate_align
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.prepare.history import recorded


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What a stage changed, and what that bought.

    Attributes
    ----------
    name : str
    before, after : float or None
        Held-out error of the same trial before and after it.
    changed : dict
        Plain numbers with units in their names.
    kept : bool
        False: held-out images got worse, and it was undone.
    seconds : float
    """

    name: str
    before: float | None
    after: float | None
    changed: dict[str, float]
    kept: bool
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class AutoResult:
    """What the pipeline found.

    Attributes
    ----------
    stages : tuple of Stage
    searches : tuple of SearchResult
    determined : Determined or None
        Standard deviations from leaving out parts of the images, and from what search and gradient
        disagree by; correlations from the curvature at the end of the last gradient stage.
    volume : ndarray or None
        `(nz, ny, nx)` volts, of that stage.
    notes : tuple of str
    """

    stages: tuple[Stage, ...]
    searches: tuple[SearchResult, ...]
    determined: Determined | None
    volume: np.ndarray | None
    notes: tuple[str, ...]


@dataclass(eq=False)
class _State:
    series: TiltFocalSeries
    score: float
    stages: list[Stage] = field(default_factory=list)
    searches: list[SearchResult] = field(default_factory=list)
    determined: Determined | None = None
    volume: np.ndarray | None = None
    #: What the last search and the last gradient stage stated, kept or not.
    ways: dict[str, TiltFocalSeries] = field(default_factory=dict)

    def judge(self, name: str, series: TiltFocalSeries, score: float | None, seconds: float) -> bool:
        """Keep a stage's series when held-out images are explained better by it."""
        self.ways[name] = series
        kept = score is not None and score < self.score
        change = changes(self.series, series)
        self.stages.append(Stage(name, self.score, score, change, kept, seconds))
        if kept:
            assert score is not None
            self.series, self.score = series, score
        return kept


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
        Where no shift is stated, projection matching finds them first.
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
    """
    wanted, config = wanted or AutoConfig(), config or ReconstructionConfig()
    if series.defocus_angstrom is None:
        raise ConfigError("defocus_angstrom: is not known; fit it first (phaset3m ctf) or give it")
    yield Progress("Judging what the series states", 0.0)
    first = _score(series, config, wanted)
    if first.score is None:
        raise ConfigError(f"the stated parameters cannot be judged: {first.message}")
    state = _State(series, first.score)
    unaligned = series.shifts_px is None or not np.any(series.shifts_px)
    if wanted.align == "always" or (wanted.align == "auto" and unaligned):
        yield from _align(state, wanted, config, finish)
    wanted = wanted.with_defocus(state.series)
    wanted = yield from _rounds(state, wanted, config, (finish, journal, resume))
    if not (finish is not None and finish.finish_requested()):
        for event in _error_bars(state, wanted, config, finish):
            yield Progress(event.text, 0.9 + 0.1 * event.fraction, event.detail)
    notes = tuple(dict.fromkeys(note for search in state.searches for note in search.notes))
    result = AutoResult(tuple(state.stages), tuple(state.searches), state.determined, state.volume, notes)
    # Errors at different samplings are of different images: only the last trial's sampling is told.
    told = {"held_out": state.score, "trial_bin": wanted.search.trial.bin}
    told |= changes(series, state.series)
    done = state.series.replace(metadata=series.metadata)
    yield Done(recorded(done, "optimise auto", wanted, told), result)


def _score(series: TiltFocalSeries, config: ReconstructionConfig, wanted: AutoConfig) -> Outcome:
    return Objective(series, config, wanted.search.trial, wanted.search.seed)({})


def _journal(path: str | Path | None, number: int) -> Path | None:
    if path is None:
        return None
    base = Path(path)
    return base if not number else base.with_name(f"{base.stem}.{number + 1}{base.suffix}")


def _align(
    state: _State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None
) -> Iterator[Progress]:
    """Start shifts: Gauss-Newton follows them only within about a feature."""
    begun = time.perf_counter()
    steps = AlignConfig(stages=("match",), seed=wanted.search.seed, threads=config.threads)
    for event in iterate_align(state.series, steps, finish=finish):
        if isinstance(event, Progress):
            yield Progress(f"Start shifts: {event.text}", 0.2 * event.fraction, event.detail)
        else:
            score = _score(event.series, config, wanted).score
            state.judge("shifts", event.series, score, time.perf_counter() - begun)


def _search(
    state: _State,
    wanted: AutoConfig,
    config: ReconstructionConfig,
    how: tuple[Finish | None, Path | None, bool],
    part: tuple[float, float],
) -> Iterator[Progress]:
    begun, (finish, path, resume) = time.perf_counter(), how
    again = resume and path is not None and path.exists()
    events = iterate_search(state.series, wanted.search, config, finish=finish, journal=path, resume=again)
    for event in events:
        if isinstance(event, Progress):
            yield Progress(f"Search: {event.text}", part[0] + 0.5 * part[1] * event.fraction, event.detail)
        else:
            state.searches.append(event.result)
            best = event.result.best
            state.judge("search", event.series, best.score, time.perf_counter() - begun)


def _gradient(
    state: _State,
    wanted: AutoConfig,
    config: ReconstructionConfig,
    finish: Finish | None,
    part: tuple[float, float],
) -> Generator[Progress, None, None]:
    begun = time.perf_counter()
    found = None
    for event in _refine(state.series, wanted, config, finish):
        if isinstance(event, Progress):
            yield Progress(event.text, part[0] + (0.5 + 0.45 * event.fraction) * part[1], event.detail)
        else:
            found = event
    if found is None:
        return
    series = found.series
    yield Progress("Judging the refined parameters", part[0] + 0.97 * part[1])
    score = _score(series, config, wanted).score
    state.determined = found.result.determined
    if state.judge("gradient", series, score, time.perf_counter() - begun):
        state.volume = found.result.volume


def _rounds(
    state: _State,
    wanted: AutoConfig,
    config: ReconstructionConfig,
    how: tuple[Finish | None, str | Path | None, bool],
) -> Generator[Progress, None, AutoConfig]:
    """Search and gradient in turn, from coarse to fine trials; returns what the last round was asked."""
    finish, journal, resume = how
    for number in range(wanted.rounds):
        begun = state.score
        part = (0.2 + 0.7 * number / wanted.rounds, 0.7 / wanted.rounds)
        path = _journal(journal, number)
        yield from _search(state, wanted, config, (finish, path, resume), part)
        yield from _gradient(state, wanted, config, finish, part)
        if finish is not None and finish.finish_requested():
            break
        finer = wanted.finer(state.searches[-1], state.series, config)
        if finer is None and begun - state.score < wanted.least_gain * begun:
            break
        if finer is not None and number + 1 < wanted.rounds:
            wanted = finer
            yield Progress("Judging at a finer sampling", part[0] + part[1])
            state.score = _score(state.series, config, wanted).score or state.score
    return wanted


def _error_bars(
    state: _State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None
) -> Generator[Progress, None, None]:
    """Standard deviations that hold more than the curvature does."""
    found = state.determined
    if found is None:
        return
    groups = wanted.error_groups if wanted.error_groups > 1 else 0
    refine = partial(_refine, wanted=wanted, config=config)
    rows = yield from replicates(state.series, found.names, refine, (groups, wanted.search.seed, finish))
    search, gradient_ = (values_of(state.ways[name], found.names) for name in ("search", "gradient"))
    state.determined = with_scatter(found, rows, search - gradient_)


def _refine(
    series: TiltFocalSeries, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None = None
) -> Iterator[Progress | Done]:
    return gradient(
        series, config, optics=wanted.optics, bins=wanted.bins, sweeps=wanted.sweeps,
        trial=wanted.search.trial, seed=wanted.search.seed, finish=finish,
    )  # fmt: skip


def changes(before: TiltFocalSeries, after: TiltFocalSeries) -> dict[str, float]:
    """What differs between two series of the same images, as plain numbers."""
    used = before.used
    found: dict[str, Any] = {}
    if before.shifts_px is not None and after.shifts_px is not None:
        moved = (after.shifts_px - before.shifts_px)[used]
        found["shift_rms_px"] = float(np.sqrt((moved**2).mean()))
    if before.defocus_angstrom is not None and after.defocus_angstrom is not None:
        moved = (after.defocus_angstrom - before.defocus_angstrom)[used]
        found["defocus_rms_angstrom"] = float(np.sqrt((moved**2).mean()))
    cs = [s.spherical_aberration_angstrom for s in (before, after)]
    if None not in cs:
        found["cs_change_angstrom"] = float(cs[1] - cs[0])  # type: ignore[operator]
    for name in sorted(set(before.aberrations) | set(after.aberrations)):
        unit = "rad" if name.startswith("phi") else "angstrom"
        found[f"{name}_{unit}"] = float(after.aberrations.get(name, 0.0))
    return found


__all__ = ["AutoConfig", "AutoResult", "Stage", "changes", "iterate_auto"]
