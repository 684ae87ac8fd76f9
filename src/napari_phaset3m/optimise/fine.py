"""Matching at full sampling against volumes as a reconstruction makes them.

In strong noise neither trials nor Gauss-Newton inside a reconstruction place an image as well as its
electrons allow: an image that took part in a volume holds itself in place. Here each image is compared
with volumes of the others (:mod:`napari_phaset3m.prepare.align.rounds`) at the sampling of the series,
where atoms stand apart: sparse atoms predict more than any coarser or smoother volume of the same images.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Literal

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.optics import Shared
from napari_phaset3m.prepare.align.rounds import Found, Plan, run_round, taken
from napari_phaset3m.prepare.align.shared import mean_of, priors, shared_round
from napari_phaset3m.prepare.align.work import Share, Work
from napari_phaset3m.prepare.events import Done, Finish, Progress

#: Parts of the images that are left out in turn, and how far they may be off, pixels. More parts make volumes
#: of more images, but those share more of them from round to round and keep their errors.
FOLDS, REACH_PX = 4, 2.0


def iterate_fine(
    series: TiltFocalSeries,
    rounds: int,
    how: tuple[int, int | Literal["auto"], Finish | None] = (0, "auto", None),
    *,
    optics: bool = True,
) -> Iterator[Progress | Done]:
    """Shifts, defocus of each tilt, and Cs and astigmatism once more.

    Parameters
    ----------
    series : TiltFocalSeries
        Aligned to about a pixel, its optics to what ``align`` reaches.
    rounds : int
        The later half of them is averaged.
    how : tuple
        Seed, threads, and what asks to end early.
    optics : bool
        Refine Cs and twofold astigmatism along.

    Yields
    ------
    Progress, at last Done
        With the changed series.
    """
    seed, threads, finish = how
    config = AlignConfig.parse(
        seed=seed, threads=threads, reference={"folds": FOLDS}, match={"match_search_px": REACH_PX}
    )
    work = Work(series, config, Alignment.of(series), finish)
    done = yield from (_with_optics(work, rounds) if optics else _matched(work, rounds))
    yield Done(done.series, None)


def _plan(number: int, optics: bool) -> Plan:
    text = f"Matching at full sampling, round {number + 1}"
    return Plan(1, False, (7, number), text, optics=optics, kind="fine")


def _with_optics(work: Work, rounds: int) -> Generator[Progress, None, Work]:
    start, about, passed = work.alignment, (Shared.of(work.original), priors(work)), list[Work]()
    for number in range(rounds):
        part = Share(0.0, 1.0).part(number, rounds)
        work = yield from shared_round(work, start, about, _plan(number, True), part)
        passed.append(work)
        if work.finishing:
            break
    return mean_of(passed[len(passed) // 2 :])


def _matched(work: Work, rounds: int) -> Generator[Progress, None, Work]:
    start, kept = work.alignment, list[Found]()
    for number in range(rounds):
        found = yield from run_round(work, start, _plan(number, False), Share(0.0, 1.0).part(number, rounds))
        kept.append(found)
        work = taken(work, [found])
        if work.finishing:
            break
    return taken(work, kept[len(kept) // 2 :])
