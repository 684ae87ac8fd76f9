"""Shifts between the foci of a tilt, before there is a volume.

Foci that drifted far apart are brought near each other (:mod:`.chain`). Each is then correlated with what the
others predict for it (:mod:`.foci`); small rotations and
magnifications between the foci follow (:mod:`.focal_geometry`). Then a one-slice reconstruction of each
tilt refines its shifts for the least error (focal-series reconstruction with free shifts).
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_phaset3m.config import RefineConfig
from napari_phaset3m.prepare.align.chain import chained
from napari_phaset3m.prepare.align.focal_geometry import between_foci
from napari_phaset3m.prepare.align.foci import Foci, one_tilt
from napari_phaset3m.prepare.align.likelihood import ShiftGrid, measure_rings, moments
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.rounds import STEP, WIDEST, search_px
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton

ROUNDS = 4


def focal(work: Work, share: Share) -> StageEvents:
    """The stage "focal"; the mean shift of a tilt's images does not change.

    For several foci with stated defocus and Cs (:func:`.stages.why_not_stage`).
    """
    bins = sorted({max(1, round(b)) for b in (work.short_side / 24, work.short_side / 48)}, reverse=True)
    apart = yield from chained(work, bins[0], Share(share.begin, 0.1 * share.size))
    work = _keeping_means(work, apart)
    if work.finishing:
        return work
    for number, bin_ in enumerate(bins):
        for n in range(ROUNDS):
            shifts = _correlated(work, bin_)
            work = _keeping_means(work, shifts)
            place = share.at(0.1 + (number * ROUNDS + n + 1) / (len(bins) * ROUNDS) * 0.3)
            yield Progress(f"Foci against each other, bin {bin_}", place, detail(work))
            if work.finishing:
                return work
    if work.config.focal.focal_geometry:
        work = yield from between_foci(work, Share(share.at(0.4), 0.2 * share.size))
    if work.config.focal.focal_refine:
        rest = Share(share.at(0.6), 0.4 * share.size)
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


def _correlated(work: Work, bin_: int) -> np.ndarray:
    """`(n_tilt, n_focus, 2)` shifts after one look at each image from the other foci."""
    foci = Foci.of(work.series, work.config, bin_)
    grid, scale = foci.grid, foci.grid.pixel_size_angstrom / work.original.pixel_size_angstrom
    measured, predicted, used = foci.measured, foci.predicted, foci.used
    shifts = work.aligned_shifts_px
    asked = work.config.focal.focal_search_px
    radius = min((search_px(work) if asked == "auto" else float(asked)) / scale, WIDEST)
    places = ShiftGrid.make(grid, radius, STEP)
    for focus in range(used.shape[1]):
        tilts = np.flatnonzero(used[:, focus])
        if not tilts.size:
            continue
        rings = measure_rings(grid, measured[tilts, focus], predicted[tilts, focus])
        for tilt in tilts:
            cross = measured[tilt, focus] * predicted[tilt, focus].conj() * rings.cross_weight
            # All foci move at once: each by its part, or two of them would change places.
            part = 1 - 1 / used[tilt].sum()
            shifts[tilt, focus] += part * scale * moments(places.maps(cross), places.points).mean
    return shifts


def _refined(work: Work, bin_: int, share: Share) -> Generator[Progress, None, np.ndarray]:
    """Shifts after a reconstruction of each tilt by itself."""
    shifts, series = work.aligned_shifts_px, work.series
    tilts = np.flatnonzero(work.alignment.used.sum(1) > 1)
    for number, tilt in enumerate(tilts):
        hook = GaussNewton(RefineConfig(refine_shifts=True))
        reference = Reference(one_tilt(series, int(tilt)), work.config, bin_, None, (hook,))
        try:
            for _ in reference.sweeps():
                pass
            shifts[tilt] = reference.stage.problem.shifts_px[0] * reference.scale
        finally:
            reference.close()
        yield Progress("Focal series of each tilt", share.at((number + 1) / len(tilts)))
    return shifts
