"""The quick volume of a partial series: coarse alignment and a linear method on small images."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.io.import_load import Loaded, iterate_load
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.jobs.control import RunControl
from napari_phaset3m.jobs.watch.config import WatchConfig
from napari_phaset3m.jobs.watch.events import QuickFailed, QuickVolume, WatchProgress
from napari_phaset3m.jobs.watch.shelf import Shelf
from napari_phaset3m.prepare.align.coarse import iterate_coarse
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.events import Done
from napari_phaset3m.reconstruct.api import iterate
from napari_phaset3m.reconstruct.events import Finished, StepDone, SweepDone
from napari_phaset3m.reconstruct.negative import told_negative

_Aligned = tuple[TiltFocalSeries, np.ndarray | None, tuple[str, ...]]
#: No search for the axis, and few rounds: seconds count, and the whole series is aligned anew later.
COARSE = CoarseConfig(axis=False, rounds=2, consistency_rounds=2)


def iterate_quick(
    plan: ImportPlan, shelf: Shelf, config: WatchConfig, control: RunControl
) -> Iterator[WatchProgress | QuickVolume | QuickFailed]:
    """Reconstruct what has arrived; nothing is yielded at the end when a stop is asked for.

    Parameters
    ----------
    plan : ImportPlan
        All of its images are on the shelf.
    shelf : Shelf
    config : WatchConfig
    control : RunControl
    """
    began = time.perf_counter()
    try:
        series = small_series(plan, shelf)
        shifts: np.ndarray | None = None
        notes: tuple[str, ...] = ()
        if config.align:
            series, shifts, notes = yield from _aligned(series, control)
        settings = ReconstructionConfig(
            method=config.method, iterations=config.iterations, holdout_fraction=0.0,
            constraints=ConstraintConfig(positivity=config.positivity),
        )  # fmt: skip
        for event in iterate(series, settings, device="cpu", control=control):
            if control.stopped:
                return
            if isinstance(event, StepDone | SweepDone):
                done = event.sweep / config.iterations
                yield WatchProgress(f"Quick volume of {series.n_tilt} tilts", 0.5 + 0.5 * done)
            elif isinstance(event, Finished):
                seconds = time.perf_counter() - began
                factor = shelf.config.bin
                given = None if shifts is None else shifts * factor
                yield QuickVolume(event.volume, event.voxel_size_angstrom, event.unit, series.n_tilt,
                                  seconds, plan, given, notes, told_negative(series, settings))  # fmt: skip
    except PhaseT3MError as error:
        yield QuickFailed(" ".join(str(error).split()))


def small_series(plan: ImportPlan, shelf: Shelf) -> TiltFocalSeries:
    """The series of a plan from the small images of the shelf.

    Raises
    ------
    DataError
        Pixel size or energy are not known.
    """
    assert shelf.shape is not None
    pixel = plan.pixel_size_angstrom
    first = shelf.read(plan.images[0])
    small = replace(
        plan,
        image_shape=(int(first.shape[0]), int(first.shape[1])),
        pixel_size_angstrom=None if pixel is None else pixel * shelf.config.bin,
    )
    series = next(e.series for e in iterate_load(small, reader=shelf) if isinstance(e, Loaded))
    # What a microscope says about the dose is of no use to a linear method, and may be 0.
    return series.replace(dose_per_image=None)


def _aligned(series: TiltFocalSeries, control: RunControl) -> Generator[WatchProgress, None, _Aligned]:
    """Returns (series, shifts or None, notes); a series that cannot be aligned is taken as it is."""
    try:
        for event in iterate_coarse(series, COARSE):
            if control.stopped:
                break
            if isinstance(event, Done):
                return event.series, np.asarray(event.series.shifts_px), ()
            yield WatchProgress(f"Aligning {series.n_tilt} tilts", 0.5 * event.fraction)
    except PhaseT3MError as error:
        return series, None, (f"not aligned: {' '.join(str(error).split())}",)
    return series, None, ()
