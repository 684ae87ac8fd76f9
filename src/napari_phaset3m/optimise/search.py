"""The search: points proposed, judged (several at a time), kept, and continued after a stop."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DivergedError
from napari_phaset3m.optimise.axes import Axes, at_bounds
from napari_phaset3m.optimise.checks import check
from napari_phaset3m.optimise.config import OptimiseConfig
from napari_phaset3m.optimise.objective import Objective, Outcome
from napari_phaset3m.optimise.parameters import PARAMETERS, put_all
from napari_phaset3m.optimise.posterior import likely_best, score_noise, slice_through
from napari_phaset3m.optimise.proposers import Bayesian, Grid, Point, Proposer, make_proposer
from napari_phaset3m.optimise.trials import Journal, Trial, best, chosen, found_of, signature, unexplained
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.prepare.history import recorded

#: How often the search says that it is alive, seconds.
POLL_SECONDS = 0.3
#: After so many trials in a row that promise little it ends: the model of few points changes its mind.
_PATIENCE = 3


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    trials : tuple of Trial
    best : Trial
        At the lowest posterior mean where there is a model, since single scores are noisy, unless another was
        lower by more than their noise (:func:`.trials.chosen`); else the lowest score.
    axes : Axes
        Names and limits of the searched parameters, and where their values lie in the unit cube.
    reason : str
        Why it ended: ``calls``, ``gain`` (no further gain is expected), ``grid`` or ``finished early``.
    notes : tuple of str
    proposer : Bayesian or Grid
        What is known of the score between the trials, for :mod:`.posterior`; after random points, or those
        of Optuna, a process fitted to them.
    volume : ndarray or None
        `(nz, ny, nx)` volts, of the best trial at its sampling; None where an earlier run made it.
    volume_bin : int
        That sampling, as binning of the images.
    """

    trials: tuple[Trial, ...]
    best: Trial
    axes: Axes
    reason: str
    notes: tuple[str, ...]
    proposer: Bayesian | Grid
    volume: np.ndarray | None = None
    volume_bin: int = 1

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """(low, high) of each searched parameter, in its unit."""
        return self.axes.limits


def iterate_search(
    series: TiltFocalSeries,
    wanted: OptimiseConfig,
    config: ReconstructionConfig | None = None,
    *,
    finish: Finish | None = None,
    journal: str | Path | None = None,
    resume: bool = False,
    begun: str = "",
) -> Iterator[Progress | Done]:
    """Search for the point at which held-out images are explained best.

    Parameters
    ----------
    series : TiltFocalSeries
    wanted : OptimiseConfig
    config : ReconstructionConfig, optional
        What all trials share.
    finish : Finish, optional
        Ends early with the best so far.
    journal : path, optional
        File that keeps each trial as it is done.
    resume : bool
        Go on with the trials of ``journal``; with more ``calls`` it goes further.
    begun : str
        See :class:`.trials.Journal`.

    Yields
    ------
    Progress, at last Done
        ``detail["trial"]`` is the :class:`Trial` just done, ``detail["best"]`` the best so far,
        ``detail["limits"]`` the ranges, ``detail["slices"]`` the posterior along each of them.
        Done holds the series at the best point and a :class:`SearchResult`.

    Raises
    ------
    ConfigError
        See :func:`.checks.check`.
    DivergedError
        Not one trial could be judged.
    """
    config = config or ReconstructionConfig()
    notes = check(series, config, wanted)
    axes = Axes(series, config, wanted)
    mark = signature(series, config, wanted)
    book = Journal(Path(journal) if journal else None, mark, resume=resume, begun=begun)
    proposer = make_proposer(wanted, [(trial.point, trial.score) for trial in book.trials])
    before = book.outcome(wanted)
    if before is not None:
        yield from (_progress(book, wanted, _seen(trial, book, proposer, axes)) for trial in book.trials)
        reason, found = before
    else:
        stop = Flag()
        threads = None if wanted.workers == 1 else 1
        objective = Objective(series, config, wanted.trial, wanted.seed, threads, stop.is_set)
        reason, found = yield from _found(objective, proposer, book, (wanted, axes, finish, stop))
    known = _model(proposer, book, wanted)
    volume = book.volumes.get(found.number)
    notes = (*notes, *at_bounds(found, axes), *unexplained(found.score))
    result = SearchResult(tuple(book.trials), found, axes, reason, notes, known, volume, wanted.trial.bin)
    yield Done(best_series(series, config, found, wanted), result)


def _model(proposer: Proposer, book: Journal, wanted: OptimiseConfig) -> Bayesian | Grid:
    """What is known of the score between the trials."""
    if isinstance(proposer, Bayesian | Grid):
        return proposer
    return Bayesian.fitted(wanted, [(trial.point, trial.score) for trial in book.trials])


def best_series(
    series: TiltFocalSeries, config: ReconstructionConfig, trial: Trial, wanted: OptimiseConfig
) -> TiltFocalSeries:
    """The series at a trial's point, with what was refined there; recorded."""
    optics = {name: value for name, value in trial.values.items() if PARAMETERS[name].kind != "solver"}
    changed, _ = put_all(series, config, optics)
    found = trial.found
    if found:
        changed = changed.replace(
            shifts_px=found["shifts_px"],
            defocus_angstrom=found["defocus_angstrom"],
            spherical_aberration_angstrom=found["cs_angstrom"],
            focal_spread_angstrom=found["focal_spread_angstrom"],
            aberrations=found["aberrations"],
        )
    told = {"score": trial.score, "error": trial.error, "trial": trial.number, **trial.values}
    return recorded(changed, "optimise", wanted, told)


def _found(
    objective: Objective,
    proposer: Proposer,
    book: Journal,
    how: tuple[OptimiseConfig, Axes, Finish | None, Flag],
) -> Generator[Progress, None, tuple[str, Trial]]:
    """Run the search to its end; returns why it ended, and its best trial."""
    reason = yield from _trials(objective, proposer, book, how)
    found = best(book.trials)
    likely = likely_best(proposer, [trial.point for trial in book.trials])
    if found is not None and likely is not None and reason != "finished early":
        yield Progress("Trying where the model expects the lowest error", 0.99)
        last = _at_model_minimum(objective, book, how[1], likely[0])
        found = chosen(found, last, score_noise(proposer))
    if found is None:
        why = book.trials[-1].message if book.trials else "none was run"
        raise DivergedError(f"no trial could be judged; the last one: {why}")
    if reason != "finished early":
        book.end(reason, found, how[0])
    return reason, found


def _trials(
    objective: Objective,
    proposer: Proposer,
    book: Journal,
    how: tuple[OptimiseConfig, Axes, Finish | None, Flag],
) -> Generator[Progress, None, str]:
    """Run trials until the search ends; returns why."""
    wanted, axes, finish, stop = how
    running: dict[Future[Outcome], tuple[int, Point]] = {}
    number, left = book.next_number, wanted.calls - len(book.trials)
    reason, little, clock = "calls", 0, time.monotonic()
    yield from (_progress(book, wanted, _seen(trial, book, proposer, axes)) for trial in book.trials)
    with ThreadPoolExecutor(wanted.workers) as pool:
        try:
            while True:
                if finish is not None and finish.finish_requested() and best(book.trials) is not None:
                    return "finished early"
                room = min(wanted.workers - len(running), left)
                if room > 0 and reason == "calls":
                    points = proposer.ask(room)
                    reason = "calls" if points else "grid"
                    for point in points:
                        running[pool.submit(objective, axes.values(point))] = (number, point)
                        number, left = number + 1, left - 1
                if not running:
                    return reason
                done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    trial = _kept(future.result(), running.pop(future), axes, book)
                    proposer.tell(trial.point, trial.score)
                    little = little + 1 if _gains_little(proposer, book, wanted) else 0
                    reason = "gain" if little >= _PATIENCE else reason
                    seen = _seen(trial, book, proposer, axes)
                    yield _progress(book, wanted, seen | {"seconds": time.monotonic() - clock})
                if not done:
                    yield _progress(book, wanted, {})
        finally:
            stop.set()
            for future in running:
                future.cancel()
            wait(running)


def _at_model_minimum(objective: Objective, book: Journal, axes: Axes, point: Point) -> Trial:
    """The trial there; run and kept unless the journal ends with it already."""
    for trial in book.trials:
        if np.allclose(trial.point, point, atol=1e-6):
            return trial
    objective = replace(objective, cancelled=lambda: False)
    return _kept(objective(axes.values(point)), (book.next_number, point), axes, book)


def _kept(outcome: Outcome, asked: tuple[int, Point], axes: Axes, book: Journal) -> Trial:
    """The trial of an outcome, written into the journal."""
    number, point = asked
    trial = Trial(
        number, point, axes.values(point), outcome.status, outcome.score, outcome.error,
        outcome.seconds, outcome.message, found_of(outcome.refined),
    )  # fmt: skip
    book.add(trial, outcome.volume)
    return trial


def _gains_little(proposer: Proposer, book: Journal, wanted: OptimiseConfig) -> bool:
    """Whether no further gain is expected, once the model has points to stand on.

    In noise most of a score is the noise of the held-out images, which no point lowers: what
    counts is the gain relative to how much points differ, where that is less.
    """
    scores = [trial.score for trial in book.trials if trial.score is not None]
    if not scores or len(book.trials) < wanted.initial + 3:
        return False
    scale = min(min(scores), float(np.median(scores)) - min(scores))
    return proposer.expected_gain() < wanted.stop_gain * scale


def _seen(trial: Trial, book: Journal, proposer: Proposer, axes: Axes) -> dict[str, Any]:
    """What is worth looking at after a trial; the model only after the last one."""
    found = best(book.trials)
    model = found is not None and trial is book.trials[-1]
    each = range(len(axes.names)) if model else ()
    slices = (
        [slice_through(proposer, found.point, (axis,), place=axes.place) for axis in each] if found else []
    )
    return {
        "trial": trial,
        "best": found,
        "limits": axes.limits,
        "slices": [part for part in slices if part is not None],
    }


def _progress(book: Journal, wanted: OptimiseConfig, detail: dict[str, Any]) -> Progress:
    done, found = len(book.trials), best(book.trials)
    text = f"Trial {min(done + 1, wanted.calls)} of at most {wanted.calls}"
    if found is not None:
        text += f", best held-out error {found.score:.4f}"
    return Progress(text, min(1.0, done / wanted.calls), detail)


__all__ = ["Axes", "SearchResult", "best_series", "iterate_search"]
