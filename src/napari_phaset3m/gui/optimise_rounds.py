"""Searches as far as they are, and what the worker threads of the Optimise tab compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_phaset3m.optimise.auto import iterate_auto
from napari_phaset3m.optimise.posterior import Slice, slice_through
from napari_phaset3m.optimise.search import SearchResult, iterate_search
from napari_phaset3m.optimise.trials import Trial

if TYPE_CHECKING:
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.optimise_plan import Plan


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


def events_of(plan: Plan, config: ReconstructionConfig, series: TiltFocalSeries, control: Any) -> Any:
    """The events of what a plan wants."""
    wanted, how = plan.wanted(), {"finish": control, "journal": plan.journal, "resume": plan.resume}
    if plan.auto:
        return iterate_auto(series, wanted, config, **how)
    return iterate_search(series, wanted.search, config, **how)


def slices_of(search: SearchResult) -> tuple[Slice, ...]:
    """The posterior along each parameter; fewer without a model."""
    each = [slice_through(search.proposer, search.best.point, (axis,)) for axis in range(len(search.limits))]
    return tuple(part for part in each if part is not None)


def map_of(asked: tuple[int, int, int], search: SearchResult) -> tuple[tuple[int, int, int], Slice | None]:
    """The posterior along two parameters; ``asked``, (search, axis, axis), comes back as it is."""
    return asked, slice_through(search.proposer, search.best.point, asked[1:], n=61)
