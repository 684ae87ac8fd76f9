"""The trial that judges a stage of the pipeline: the same for what was before it and after it."""

from __future__ import annotations

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.auto_config import AutoConfig
from napari_phaset3m.optimise.objective import Objective, Outcome
from napari_phaset3m.optimise.stages import Judged, State


def judging_trial(
    state: State, config: ReconstructionConfig, wanted: AutoConfig, series: TiltFocalSeries
) -> Outcome:
    """What a trial of a series gives, with the settings of the reconstruction that were found so far."""
    return Objective(series, config, wanted.search.trial, wanted.search.seed)(state.solver)


def judged_trial(
    state: State, config: ReconstructionConfig, wanted: AutoConfig, series: TiltFocalSeries
) -> Judged:
    """Score and volume of :func:`judging_trial`."""
    made = judging_trial(state, config, wanted, series)
    return Judged(made.score, made.volume, wanted.search.trial.bin)
