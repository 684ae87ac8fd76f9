"""Searches as far as they are, and what the worker threads of the Optimise tab compute."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from napari_phaset3m.optimise.auto import iterate_auto
from napari_phaset3m.optimise.posterior import Slice, slice_through
from napari_phaset3m.optimise.search import SearchResult, iterate_search
from napari_phaset3m.optimise.trials import Trial
from napari_phaset3m.prepare.events import Done, Event, Progress

if TYPE_CHECKING:
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.optimise.plan import Plan


@dataclass
class Round:
    """One search, as far as it is.

    Attributes
    ----------
    trials : list of Trial
    limits : dict
        (low, high) by parameter.
    slices : tuple of Slice
        Posterior along each parameter, through the best trial so far.
    result : SearchResult or None
        When it has ended.
    """

    trials: list[Trial]
    limits: dict[str, tuple[float, float]]
    slices: tuple[Slice, ...] = ()
    result: SearchResult | None = None

    @property
    def names(self) -> list[str]:
        """The searched parameters, in the order of the axes."""
        return list(self.limits)

    @property
    def best(self) -> Trial | None:
        """The best trial: the search's own choice once it has ended."""
        if self.result is not None:
            return self.result.best
        done = [trial for trial in self.trials if trial.score is not None]
        return min(done, key=lambda trial: trial.score or 0.0) if done else None


def events_of(
    plan: Plan, config: ReconstructionConfig, series: TiltFocalSeries, control: Any
) -> Iterator[Event]:
    """The events of what a plan wants; before the end the searches with their models, read in this thread."""
    wanted, how = plan.wanted(), {"finish": control, "journal": plan.journal, "resume": plan.resume}
    events = (
        iterate_auto(series, wanted, config, **how)
        if plan.auto
        else iterate_search(series, wanted.search, config, **how)
    )
    with closing(cast("Generator[Event, None, None]", events)):
        for event in events:
            if isinstance(event, Done):
                searches = getattr(event.result, "searches", (event.result,))
                yield Progress("Reading the model", 1.0, {"rounds": [_round(search) for search in searches]})
            yield event


def _round(search: SearchResult) -> Round:
    place, point = search.axes.place, search.best.point
    each = [slice_through(search.proposer, point, (axis,), place=place) for axis in range(len(search.limits))]
    slices = tuple(part for part in each if part is not None)
    return Round(list(search.trials), search.limits, slices, search)


def map_of(asked: tuple[int, int, int], search: SearchResult) -> tuple[tuple[int, int, int], Slice | None]:
    """The posterior along two parameters; ``asked``, (search, axis, axis), comes back as it is."""
    return asked, slice_through(search.proposer, search.best.point, asked[1:], n=61, place=search.axes.place)
