"""Everything refined together at rising resolution, in one reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.config import OpticsName, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.config import TrialConfig
from napari_phaset3m.optimise.levels import Levels
from napari_phaset3m.optimise.objective import Watch, refined_of, sampled, spread_of
from napari_phaset3m.optimise.uncertainty import Curvature, Determined
from napari_phaset3m.prepare.events import Done, Finish, Progress
from napari_phaset3m.reconstruct.api import iterate
from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton
from napari_phaset3m.reconstruct.refine import Hook

#: Standard deviation of what is not known about shared optics, angstrom: a prior for coarse samplings,
#: which hold little about them.
OPTICS_SPREAD = {"C30": 2e6, "C12": 60.0, "C21": 2e3, "C23": 2e3, "focal_spread": 20.0}


@dataclass(frozen=True, slots=True, eq=False)
class GradientResult:
    """What a gradient stage found beside the series.

    Attributes
    ----------
    error, held_out : float or None
        Relative errors after the last sweep.
    determined : Determined or None
        Standard deviations and correlations of the shared optics.
    volume : ndarray
        `(nz, ny, nx)` volts.
    levels : ndarray or None
        `(n_tilt, n_focus)` dose of each image over the stated one, where it was asked for.
    """

    error: float
    held_out: float | None
    determined: Determined | None
    volume: np.ndarray
    levels: np.ndarray | None = None


def gradient(
    series: TiltFocalSeries,
    config: ReconstructionConfig,
    *,
    optics: tuple[OpticsName, ...],
    bins: tuple[int, ...],
    sweeps: int,
    trial: TrialConfig,
    seed: int = 0,
    finish: Finish | None = None,
    dose: bool = False,
) -> Iterator[Progress | Done]:
    """Refine shifts, defocus and shared optics while reconstructing from coarse to fine.

    Parameters
    ----------
    series, config
    optics : tuple of str
        As ``refine_optics`` of a reconstruction.
    bins : tuple of int
        Falling, before full size.
    sweeps : int
        At each sampling.
    trial : TrialConfig
        Which image parameters are refined; held-out fraction and loss.
    seed : int
    finish : Finish, optional
        Ends after the sweep that is being computed.
    dose : bool
        Measure the dose of each image, too.

    Yields
    ------
    Progress, at last Done
        With a :class:`GradientResult`.
    """
    run = sampled(series, config, trial, {"multiresolution": bins, "iterations": sweeps, "seed": seed})
    free = trial.refine.model_copy(update={"refine_optics": optics})
    watch, curvature = Watch(), Curvature(optics, sweeps - 1)
    levels = Levels(sweeps - 1)
    hooks: list[Hook] = [GaussNewton(free, spread_of(trial, OPTICS_SPREAD)), curvature, watch]
    hooks += [levels] if dose else []
    total, last = 1, None
    for event in iterate(series, run, device="cpu", hooks=hooks, control=None):
        if isinstance(event, Started):
            total = event.n_sweeps
        elif isinstance(event, SweepDone):
            last = event
            detail = {"error": event.error, "held_out": event.held_out_error}
            text = f"Gradient, {event.stage or 'full size'}: error {event.error:.4f}"
            yield Progress(text, min(1.0, (event.sweep + 1) / total), detail)
            if finish is not None and finish.finish_requested() and event.sweep + 1 < total:
                return
        elif isinstance(event, Finished):
            assert last is not None and watch.problem is not None
            found = refined_of(watch.problem, series).apply(series)
            errors = last.error, last.held_out_error
            yield Done(found, GradientResult(*errors, curvature.found, event.volume, levels.found))
