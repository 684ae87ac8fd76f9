"""Projection matching: each image is moved to where a volume of the other images predicts it.

From coarse to fine bins; at each, several rounds with the images dealt out anew, so that a
round's chance errors average out. First whole tilts are left out (a tilt whose images are all
displaced must not hold itself in place), then single images. With the multislice model the
defocus of a tilt is found along with its shifts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_phaset3m.prepare.align.defoci import defocus_sigma
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference_settings import forward_model
from napari_phaset3m.prepare.align.rounds import SINGLE_VOXEL, Found, Plan, run_round, search_px, taken
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail, judge
from napari_phaset3m.prepare.events import Progress

#: Fewest pixels across an image at the coarsest bin, and how much finer the next one may be.
COARSEST_PX, FINER = 12, 1.5
#: Coarsest voxel (angstrom) that holds the lattice of a metal or an oxide.
LATTICE = 1.25
#: Matching anew: search radius, pixels of the series, and rounds.
ANEW_PX, ANEW_ROUNDS = 5.0, 3
#: Numbers that a shift is: each fitted to noise seems to tell half a nat, and spoils as much.
SHIFT_NUMBERS = 2


def match_bins(work: Work) -> tuple[int, ...]:
    """The bins to go through, coarse to fine."""
    asked = work.config.match.match_bins
    if asked != "auto":
        return tuple(asked)
    finest = finest_bin(work)
    # A bin coarser than the search only lets shifts drift (voxels that hold no atoms mislead them).
    coarsest = min(work.short_side // COARSEST_PX, int(search_px(work)))
    bins, current = [], max(finest, coarsest)
    while current > finest:
        bins.append(current)
        current = min(current - 1, round(current / FINER))
    return (*bins, finest)


def finest_bin(work: Work) -> int:
    """2, or 1 where small images, or voxels too coarse for atoms, do not allow it.

    Intensities are not linear in the wave: beams diffracted beyond the voxels' Nyquist frequency show
    in the images as slow changes, displaced by defocus and different at every tilt. A volume that
    cannot hold them bends instead, and shifts across the axis bend with it.
    """
    pixel = work.original.pixel_size_angstrom
    atoms = pixel <= LATTICE < 2 * pixel and forward_model(work.original, work.config) == "multislice"
    return 1 if atoms or work.short_side < 4 * COARSEST_PX else 2


def match(work: Work, share: Share) -> StageEvents:
    """The stage "match"; see the module."""
    start, bins, rounds = work.alignment, match_bins(work), work.config.match.match_rounds
    cost = np.array([1.0 / b**3 for b in bins])
    edges = np.concatenate([[0.0], np.cumsum(cost / cost.sum())])
    for level, bin_ in enumerate(bins):
        level_share = Share(share.at(edges[level]), share.size * (edges[level + 1] - edges[level]))
        kept: list[Found] = []
        for number in range(rounds):
            # Whole tilts first: the other images of a displaced tilt would hold each of them in place.
            single = work.original.pixel_size_angstrom * bin_ <= SINGLE_VOXEL and 2 * number >= rounds
            text = f"Projection matching, bin {bin_}, round {number + 1}"
            plan = Plan(bin_, not single, (1, level, number), text)
            found = yield from run_round(work, start, plan, level_share.part(number, rounds))
            kept.append(found)
            work = taken(work, [found])
            if work.finishing:
                return work
        work = taken(work, kept[rounds // 2 :])
        yield Progress(f"Matched at bin {bin_}", level_share.at(1.0), detail(work))
    if work.reach_px is None or not defocus_sigma(work):
        return work
    return (yield from _better_shifts(work, start, bins[-1]))


def rematch(work: Work, bin_: int, share: Share) -> StageEvents:
    """Shifts and defoci looked for anew, near where they are, after what all images share has changed."""
    wide, start, kept = work.reach_px, work.alignment, list[Found]()
    work = replace(work, reach_px=ANEW_PX)
    for number in range(ANEW_ROUNDS):
        plan = Plan(bin_, number == 0, (2, bin_, number), f"Matching anew, bin {bin_}, round {number + 1}")
        found = yield from run_round(work, start, plan, share.part(number, ANEW_ROUNDS))
        kept.append(found)
        work = taken(work, [found])
    return replace(taken(work, kept[1:]), reach_px=wide)


def _better_shifts(work: Work, start: Alignment, bin_: int) -> StageEvents:
    """With the new defoci, and the new shifts only where they tell more than fitting noise would.

    Shifts that were good to begin with must not be lost to defoci that were not.
    """
    told = {"shifts_px": start.shifts_px, "shift_error_px": start.shift_error_px}
    before = work.at(work.alignment.replace(**told))
    informed = []
    for one in (before, work):
        judged = yield from judge(one, bin_, Share(1.0, 0.0), "Judging the shifts")
        informed.append(judged.information)
    return work if informed[1] - informed[0] > SHIFT_NUMBERS else before
