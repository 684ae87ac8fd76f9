"""Matching at full sampling against volumes as a reconstruction makes them.

In strong noise neither trials nor Gauss-Newton inside a reconstruction place an image as well as its
electrons allow: an image that took part in a volume holds itself in place. Here each image is compared
with volumes of the others (:mod:`napari_phaset3m.prepare.align.rounds`) at the sampling of the series,
where atoms stand apart: sparse atoms predict more than any coarser or smoother volume of the same images.
Around a particle that stands free in the field the volumes are emptied, as they hold noise alone there
(:mod:`napari_phaset3m.prepare.align.support`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.optics import Shared
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.reference_settings import Kind
from napari_phaset3m.prepare.align.rounds import Found, Plan, run_round, taken
from napari_phaset3m.prepare.align.shared import mean_of, priors, shared_round
from napari_phaset3m.prepare.align.support import Ball, ball_around
from napari_phaset3m.prepare.align.work import Share, Work, built
from napari_phaset3m.prepare.events import Done, Finish, Progress

#: Parts of the images that are left out in turn. More parts make volumes of more images, but those share
#: more of them from round to round and keep their errors.
FOLDS = 4
#: How far images (pixels) and the defoci of tilts (standard deviation, angstrom) may be off: in the first
#: round, which fetches those that coarser stages lost, and in the later ones.
FIRST, LATER = (5.0, 120.0), (2.0, 80.0)
#: Standard deviation of what is held, angstrom.
_HELD = 1e-3


def iterate_fine(
    series: TiltFocalSeries,
    rounds: int,
    how: tuple[int, int | Literal["auto"], Finish | None] = (0, "auto", None),
    *,
    optics: tuple[str, ...] = ("C30", "C12"),
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
    optics : tuple of str
        Refined along: of C30 (Cs) and C12 (twofold astigmatism).

    Yields
    ------
    Progress, at last Done
        With the changed series, and as result the :class:`.support.Ball` that volumes were confined to, or
        None.
    """
    seed, threads, finish = how
    config = AlignConfig.parse(seed=seed, threads=threads, reference={"folds": FOLDS})
    work = _reaching(Work(series, config, Alignment.of(series), finish), FIRST)
    # The particle's place hangs on the specimen's translation, which rounds leave at nought.
    work = work.at(work.alignment)
    ball, mask = yield from _ball(work)
    plans = [_plan(number, bool(optics), ball, mask) for number in range(rounds)]
    done = yield from (_with_optics(work, plans, optics) if optics else _matched(work, plans))
    yield Done(done.series, ball)


def _reaching(work: Work, reach: tuple[float, float]) -> Work:
    update = {"match_search_px": reach[0], "match_defocus_angstrom": reach[1]}
    match = work.config.match.model_copy(update=update)
    return replace(work, config=work.config.model_copy(update={"match": match}))


def _ball(work: Work) -> Generator[Progress, None, tuple[Ball | None, np.ndarray | None]]:
    """Around the particle of a volume of all images; and the mask that it is."""
    reference = Reference(work.series, work.config, 1, kind="fine")
    try:
        yield from built(reference, "Looking for the particle's extent", Share(0.0, 0.0))
        volume = reference.public_volume()
        ball = ball_around(volume, reference.grid.pixel_size_angstrom)
        return ball, None if ball is None else ball.mask(volume.shape)
    finally:
        reference.close()


def _plan(number: int, optics: bool, ball: Ball | None, mask: np.ndarray | None) -> Plan:
    text = f"Matching at full sampling, round {number + 1}"
    if ball is not None:
        text += f", in a ball {2 * ball.radius_angstrom:.0f} Å across"
    kind: Kind = "fine" if ball is None else "confined"
    return Plan(1, False, (7, number), text, optics=optics, kind=kind, mask=mask)


def _with_optics(work: Work, plans: list[Plan], free: tuple[str, ...]) -> Generator[Progress, None, Work]:
    spread = np.where([name in free for name in ("C30", "C12", "C12")], priors(work), _HELD)
    start, about, passed = work.alignment, (Shared.of(work.original), spread), list[Work]()
    for number, plan in enumerate(plans):
        part = Share(0.0, 1.0).part(number, len(plans))
        work = yield from shared_round(work, start, about, plan, part)
        if not number:
            work, start = _reaching(work, LATER), work.alignment
        passed.append(work)
        if work.finishing:
            break
    return mean_of(passed[len(passed) // 2 :])


def _matched(work: Work, plans: list[Plan]) -> Generator[Progress, None, Work]:
    start, kept = work.alignment, list[Found]()
    for number, plan in enumerate(plans):
        found = yield from run_round(work, start, plan, Share(0.0, 1.0).part(number, len(plans)))
        kept.append(found)
        work = taken(work, [found])
        if not number:
            work, start = _reaching(work, LATER), work.alignment
        if work.finishing:
            break
    return taken(work, kept[len(kept) // 2 :])
