"""The short reconstruction that judges one point: scored on images that it did not use.

A better fit of the images that drive the volume may only be a better fit of their noise;
the error of held-out images falls when the model is better. The held-out images are the
same in every trial of a seed, so that trials can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import CancelledError, DivergedError, PhaseT3MError, ResourceError
from napari_phaset3m.optimise.config import TrialConfig
from napari_phaset3m.optimise.noise import is_noisy
from napari_phaset3m.optimise.parameters import put_all
from napari_phaset3m.optimise.relocate import Relocate
from napari_phaset3m.reconstruct.api import iterate
from napari_phaset3m.reconstruct.events import Finished, SweepDone
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton, Spread
from napari_phaset3m.reconstruct.problem import Problem, sparsity
from napari_phaset3m.reconstruct.shared_optics import mean_of

Status = Literal["done", "diverged", "out of memory", "failed"]
#: Choices of held-out images in strong noise; from the seed of one to that of the next.
NOISY_SETS, _NEXT_SET = 4, 7919


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """What a reconstruction found beside the volume, in units of the series.

    Attributes
    ----------
    shifts_px : ndarray
        `(n_tilt, n_focus, 2)` (y, x).
    defocus_angstrom : ndarray
        `(n_tilt, n_focus)`.
    microscope : Microscope
    """

    shifts_px: np.ndarray
    defocus_angstrom: np.ndarray
    microscope: Microscope

    def apply(self, series: TiltFocalSeries) -> TiltFocalSeries:
        """The series with these shifts, defoci and optics."""
        return series.replace(
            shifts_px=self.shifts_px,
            defocus_angstrom=self.defocus_angstrom,
            spherical_aberration_angstrom=self.microscope.spherical_aberration_angstrom,
            focal_spread_angstrom=self.microscope.focal_spread_angstrom,
            aberrations=dict(self.microscope.aberrations),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a trial gave.

    Attributes
    ----------
    status : str
        ``done``, ``diverged``, ``out of memory`` or ``failed``.
    score : float or None
        Error of the held-out images over that of nothing in the beam; None unless done.
    error : float or None
        The same of the images that drove the volume.
    seconds : float
    refined : Refined or None
    volume : ndarray or None
        `(nz, ny, nx)` volts.
    message : str
        Why it was not done.
    """

    status: Status
    score: float | None = None
    error: float | None = None
    seconds: float = 0.0
    refined: Refined | None = None
    volume: np.ndarray | None = None
    message: str = ""


@dataclass(eq=False)
class Watch:
    """Remembers the problem that the last stage refined."""

    problem: Problem | None = None

    def active(self, sweep: int) -> bool:
        return True

    def refine(self, method: Any, problem: Problem, volume: Any) -> None:
        self.problem = problem


@dataclass(frozen=True, eq=False)
class Objective:
    """Judges points of a search on one series.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
        What every trial shares; sampling, sweeps and loss come from ``trial``.
    trial : TrialConfig
    seed : int
        Which images are held out.
    threads : int, optional
        Instead of the config's.
    """

    series: TiltFocalSeries
    config: ReconstructionConfig
    trial: TrialConfig
    seed: int = 0
    threads: int | None = None
    cancelled: Callable[[], bool] = field(default=lambda: False)

    @property
    def sets(self) -> int:
        """How many choices of held-out images a trial averages over."""
        if self.trial.held_out_sets != "auto":
            return self.trial.held_out_sets
        return NOISY_SETS if is_noisy(self.series, self.trial.bin) else 1

    def __call__(self, values: Mapping[str, float]) -> Outcome:
        """Run one trial; what goes wrong in it is told, not raised.

        Raises
        ------
        CancelledError
            ``cancelled`` said so.
        """
        begun = time.perf_counter()
        try:
            series, config = put_all(cropped(self.series, self.trial.crop_px), self.config, values)
            changes: dict[str, Any] = {
                "voxel_angstrom": series.pixel_size_angstrom * self.trial.bin,
                "multiresolution": self.trial.coarser,
                "threads": self.threads or config.threads,
            }
            if "iterations" not in values:
                changes["iterations"] = self.trial.sweeps
            runs = (changes | {"seed": self.seed + _NEXT_SET * i} for i in range(self.sets))
            outcome = together(
                [self._run(series, sampled(series, config, self.trial, each)) for each in runs]
            )
        except CancelledError:
            raise
        except DivergedError as error:
            outcome = Outcome("diverged", message=str(error))
        except (ResourceError, MemoryError) as error:
            outcome = Outcome("out of memory", message=str(error))
        except (PhaseT3MError, ArithmeticError, np.linalg.LinAlgError) as error:
            outcome = Outcome("failed", message=str(error))
        seconds = time.perf_counter() - begun
        return Outcome(**{name: getattr(outcome, name) for name in Outcome.__slots__} | {"seconds": seconds})

    def _run(self, series: TiltFocalSeries, config: ReconstructionConfig) -> Outcome:
        watch, trial = Watch(), self.trial
        relocate = (Relocate(),) if trial.refine_shifts else ()
        hooks = (*relocate, GaussNewton(trial.refine, spread_of(trial)), watch)
        last: SweepDone | None = None
        for event in iterate(series, config, device="cpu", hooks=hooks):
            if self.cancelled():
                raise CancelledError("the search was stopped")
            if isinstance(event, SweepDone):
                last = event
            if isinstance(event, Finished):
                assert last is not None
                if event.reason == "diverged":
                    return Outcome("diverged", message="the iteration diverged at the finest sampling")
                assert watch.problem is not None
                if last.held_out_error is None or not np.isfinite(last.held_out_error):
                    return Outcome("failed", message="no image is held out; raise holdout_fraction")
                found = refined_of(watch.problem, series)
                return Outcome("done", last.held_out_error, last.error, 0.0, found, event.volume)
        raise AssertionError("a run ends with Finished")


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The mean of what several choices of held-out images gave; one that failed fails all.

    Of few held-out images in strong noise, one choice prefers other optics than the next.
    """
    failed = next((outcome for outcome in outcomes if outcome.status != "done"), None)
    if failed is not None or len(outcomes) == 1:
        return failed or outcomes[0]
    parts = [outcome.refined for outcome in outcomes if outcome.refined is not None]
    mean = Refined(
        np.mean([part.shifts_px for part in parts], axis=0),
        np.mean([part.defocus_angstrom for part in parts], axis=0),
        mean_of([part.microscope for part in parts]),
    )
    scores, errors = ([getattr(outcome, name) for outcome in outcomes] for name in ("score", "error"))
    return Outcome("done", float(np.mean(scores)), float(np.mean(errors)), 0.0, mean, outcomes[0].volume)


def spread_of(trial: TrialConfig, optics_angstrom: Mapping[str, float] | None = None) -> Spread:
    """How far a trial's refinement may go from what the series states."""
    return Spread(trial.shift_spread_angstrom, trial.defocus_spread_angstrom, dict(optics_angstrom or {}))


def sampled(
    series: TiltFocalSeries, config: ReconstructionConfig, trial: TrialConfig, changes: Mapping[str, Any]
) -> ReconstructionConfig:
    """The config of a short run: ``changes``, held-out images and loss of a trial, few sweeps' defaults."""
    data = config.model_dump() | {"holdout_fraction": trial.holdout_fraction, "loss": trial.loss, **changes}
    if config.padding_px == "auto":
        data["padding_px"] = trial.padding_px  # by default none: docs/decisions/0008
    # Chosen by the images' sampling, not by the coarser one of a trial.
    chosen: dict[str, float | None] = {"sparsity": sparsity(config, series.pixel_size_angstrom)}
    if config.constraints.atomic_basis_sigma_angstrom == "auto":
        chosen |= {"atomic_basis_sigma_angstrom": None}  # free voxels need fewer sweeps
    data["constraints"] = {**data["constraints"], **chosen}
    return ReconstructionConfig.parse(**data)


def refined_of(problem: Problem, series: TiltFocalSeries) -> Refined:
    """What stands in a problem, in units of the series."""
    assert problem.defocus_angstrom is not None and problem.microscope is not None
    scale = problem.grid.pixel_size_angstrom / series.pixel_size_angstrom
    return Refined(problem.shifts_px * scale, np.array(problem.defocus_angstrom), problem.microscope)


def cropped(series: TiltFocalSeries, size: int | None) -> TiltFocalSeries:
    """The central square of the images, ``size`` pixels wide; about the same centre."""
    ny, nx = series.image_shape
    if size is None or size >= min(ny, nx):
        return series
    # An edge of the same parity keeps the centre between, or on, pixels as it was.
    wide, high = size - (nx - size) % 2, size - (ny - size) % 2
    y, x = (ny - high) // 2, (nx - wide) // 2
    return series.replace(images=series.images[:, :, y : y + high, x : x + wide])
