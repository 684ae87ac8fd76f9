"""Shifts between the foci of a tilt, before there is a volume.

Contrast reverses from focus to focus, so images are compared through their transfer functions:
the other foci of the tilt are combined into the least-squares phase (Schiske 1968; Saxton, Optik
49 (1977) 81), which predicts the focus that was left out. Then a one-slice reconstruction of each
tilt refines its shifts for the least error (focal-series reconstruction with free shifts).
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_phaset3m.config import RefineConfig
from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.likelihood import ShiftGrid, measure_rings, moments
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.rounds import STEP, WIDEST, search_px
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton
from napari_phaset3m.reconstruct.problem import Problem, build_problem

#: Weight of a frequency that no focus transfers, over that of one which all do.
REGULARISED = 0.05
ROUNDS = 4


def focal(work: Work, share: Share) -> StageEvents:
    """The stage "focal"; the mean shift of a tilt's images does not change.

    Raises
    ------
    ConfigError
        There is one image at each tilt, or defocus or Cs is not stated.
    """
    series = work.series
    if series.n_focus == 1 or series.defocus_angstrom is None or series.spherical_aberration_angstrom is None:
        raise ConfigError("stages: focal needs several foci with stated defocus and Cs; leave it out")
    bins = sorted({max(1, round(b)) for b in (work.short_side / 24, work.short_side / 48)}, reverse=True)
    for number, bin_ in enumerate(bins):
        for n in range(ROUNDS):
            shifts = _correlated(work, bin_)
            work = _keeping_means(work, shifts)
            place = share.at((number * ROUNDS + n + 1) / (len(bins) * ROUNDS) * 0.5)
            yield Progress(f"Foci against each other, bin {bin_}", place, detail(work))
            if work.finishing:
                return work
    if work.config.focal.focal_refine:
        rest = Share(share.at(0.5), 0.5 * share.size)
        shifts = yield from _refined(work, bins[-1], rest)
        work = _keeping_means(work, shifts)
    return work


def _keeping_means(work: Work, shifts: np.ndarray) -> Work:
    used = work.alignment.used[..., None]
    count = np.maximum(used.sum(1, keepdims=True), 1)
    change = (shifts - work.aligned_shifts_px) * used
    change = (change - change.sum(1, keepdims=True) / count) * used
    moved = work.given_shifts_px(work.aligned_shifts_px + change)
    return work.at(work.alignment.replace(shifts_px=moved))


def _problem(work: Work, bin_: int) -> Problem:
    from napari_phaset3m.prepare.align.reference import reference_config

    return build_problem(work.series, reference_config(work.series, work.config, bin_), 1)


def _correlated(work: Work, bin_: int) -> np.ndarray:
    """`(n_tilt, n_focus, 2)` shifts after one look at each image from the other foci."""
    problem = _problem(work, bin_)
    grid, scale = problem.grid, problem.grid.pixel_size_angstrom / work.original.pixel_size_angstrom
    measured, transfers = _spectra(problem)
    ramps = _ramps(grid, problem.shifts_px)
    used = problem.weight > 0
    phase = transfers * measured * ramps.conj() * used[..., None, None]
    power = transfers**2 * used[..., None, None]
    others = (phase.sum(1, keepdims=True) - phase) / (power.sum(1, keepdims=True) - power + REGULARISED)
    predicted = transfers * others * ramps
    shifts = work.aligned_shifts_px
    asked = work.config.focal.focal_search_px
    radius = min((search_px(work) if asked == "auto" else float(asked)) / scale, WIDEST)
    places = ShiftGrid.make(grid, radius, STEP)
    for focus in range(used.shape[1]):
        tilts = np.flatnonzero(used[:, focus] & (used.sum(1) > 1))
        if not tilts.size:
            continue
        rings = measure_rings(grid, measured[tilts, focus], predicted[tilts, focus])
        for tilt in tilts:
            cross = measured[tilt, focus] * predicted[tilt, focus].conj() * rings.cross_weight
            # All foci move at once: each by its part, or two of them would change places.
            part = 1 - 1 / used[tilt].sum()
            shifts[tilt, focus] += part * scale * moments(places.maps(cross), places.points).mean
    return shifts


def _spectra(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of ``1 - I`` without mean, and contrast transfer, `(n_tilt, n_focus, nx, ny)`."""
    assert problem.microscope is not None and problem.defocus_angstrom is not None
    measured = np.fft.fft2((1 - problem.images) * problem.pixel_weight).astype(np.complex64)
    measured[..., 0, 0] = 0
    transfers = np.empty(measured.shape, np.float32)
    for index in np.ndindex(problem.images.shape[:2]):
        defocus = float(problem.defocus_angstrom[index])
        transfers[index] = contrast_transfer(problem.grid, problem.microscope, defocus)
    return measured, transfers


def _ramps(grid: Grid, shifts_px: np.ndarray) -> np.ndarray:
    pixel = grid.pixel_size_angstrom
    y = np.exp(-2j * np.pi * pixel * shifts_px[..., 0, None] * grid.ky)[..., None, :]
    x = np.exp(-2j * np.pi * pixel * shifts_px[..., 1, None] * grid.kx)[..., :, None]
    return np.asarray(x * y, np.complex64)


def _refined(work: Work, bin_: int, share: Share) -> Generator[Progress, None, np.ndarray]:
    """Shifts after a reconstruction of each tilt by itself."""
    shifts, series = work.aligned_shifts_px, work.series
    tilts = np.flatnonzero(work.alignment.used.sum(1) > 1)
    for number, tilt in enumerate(tilts):
        hook = GaussNewton(RefineConfig(refine_shifts=True))
        reference = Reference(_one_tilt(series, int(tilt)), work.config, bin_, None, (hook,))
        try:
            for _ in reference.sweeps():
                pass
            shifts[tilt] = reference.stage.problem.shifts_px[0] * reference.scale
        finally:
            reference.close()
        yield Progress("Focal series of each tilt", share.at((number + 1) / len(tilts)))
    return shifts


def _one_tilt(series: TiltFocalSeries, tilt: int) -> TiltFocalSeries:
    def part(value: np.ndarray | None) -> np.ndarray | None:
        return None if value is None else value[tilt : tilt + 1]

    return series.replace(
        images=series.images[tilt : tilt + 1],
        tilt_deg=np.zeros(1),
        shifts_px=part(series.shifts_px),
        defocus_angstrom=part(series.defocus_angstrom),
        used=part(series.used),
        dose_per_image=part(series.dose_per_image),
    )
