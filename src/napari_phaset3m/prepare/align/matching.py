"""Projection matching: each image is moved to where a volume of the other images predicts it.

From coarse to fine bins; at each, several rounds with the images dealt out anew, so that a
round's chance errors average out. First whole tilts are left out (a tilt whose images are all
displaced must not hold itself in place), then single images. With the multislice model the
defocus of a tilt is found along with its shifts.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.prepare.align.rounds import SINGLE_VOXEL, Found, Plan, run_round, taken
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Progress

#: Fewest pixels across an image at the coarsest bin, and how much finer the next one may be.
COARSEST_PX, FINER = 12, 1.5


def match_bins(work: Work) -> tuple[int, ...]:
    """The bins to go through, coarse to fine."""
    asked = work.config.match.match_bins
    if asked != "auto":
        return tuple(asked)
    finest = 1 if work.short_side < 4 * COARSEST_PX else 2
    bins, current = [], max(finest, work.short_side // COARSEST_PX)
    while current > finest:
        bins.append(current)
        current = min(current - 1, round(current / FINER))
    return (*bins, finest)


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
    return work
