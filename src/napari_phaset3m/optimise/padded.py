"""A last gradient stage in which light may leave the field.

FFTs are periodic: what Cs and defocus move out of the field on one side comes back on the other, where no
camera saw it. Short trials without a border (docs/decisions/0008) follow that fault: the larger Cs is, the
farther it and the defoci that trade with it are led away. Begun near the end, a gradient stage with a border
as wide as light goes, and sweeps enough to use it, undoes this. Stages are judged with the same border.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.auto_config import AutoConfig
from napari_phaset3m.optimise.gradient import gradient
from napari_phaset3m.optimise.judging import judged_trial
from napari_phaset3m.optimise.noise import FINE_NOISE_BIN, is_noisy
from napari_phaset3m.optimise.parameters import with_solver
from napari_phaset3m.optimise.stages import State
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.reconstruct.sizing import stray_border

#: A border of fewer pixels is not worth its time.
LEAST_PX = 4


def padded(
    state: State, wanted: AutoConfig, config: ReconstructionConfig, finish: Finish | None
) -> Generator[Progress, None, AutoConfig]:
    """The stage "padded"; see the module.

    Returns
    -------
    AutoConfig
        With the trials that the state is judged by from now on.
    """
    border = border_px(state.series, wanted, config)
    if border < LEAST_PX or (finish is not None and finish.finish_requested()):
        return wanted
    update = {"padding_px": border, "sweeps": wanted.padded_sweeps}
    trial = wanted.search.trial.model_copy(update=update)
    wider = wanted.model_copy(update={"search": wanted.search.model_copy(update={"trial": trial})})
    yield Progress(f"Judging with a border of {border} px", 0.9)
    before, begun = judged_trial(state, config, wider, state.series), time.perf_counter()
    if before.score is None:
        return wanted
    tuned, found = with_solver(state.series, config, state.solver), None
    events = gradient(
        state.series, tuned, optics=wanted.optics, bins=wanted.bins, sweeps=wanted.padded_sweeps,
        trial=trial, seed=wanted.search.seed, finish=finish,
    )  # fmt: skip
    for event in events:
        if isinstance(event, Done):
            found = event
        else:
            yield Progress(f"With a border: {event.text}", 0.9, event.detail)
    if found is None:
        return wanted
    yield Progress("Judging what was refined with a border", 0.9)
    judged = replace(judged_trial(state, config, wider, found.series), volume=found.result.volume)
    state.begin_again(before)
    told = {"border_px": float(border)}
    if state.judge("padded", found.series, judged, time.perf_counter() - begun, told):
        state.determined = found.result.determined
    return wider


def border_px(series: TiltFocalSeries, wanted: AutoConfig, config: ReconstructionConfig) -> int:
    """Border of the stage, pixels; 0: no such stage.

    It is 0 where the user chose the border or a part of the images, where trials are coarser than the
    images, and in strong noise, which hides the fault.
    """
    trial = wanted.search.trial
    chosen = config.padding_px != "auto" or trial.padding_px != 0 or trial.crop_px is not None
    unfit = trial.bin != 1 or config.voxel_angstrom is not None or is_noisy(series, FINE_NOISE_BIN)
    if not wanted.padded_sweeps or chosen or unfit:
        return 0
    nx = series.image_shape[1]
    return stray_border(series, config, series.pixel_size_angstrom, nx, nx // 2)
