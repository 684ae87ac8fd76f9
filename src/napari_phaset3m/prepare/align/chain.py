"""Foci of a tilt that drifted far apart, brought near each other by what is coarse in them.

Neighbours in defocus look alike where defocus hardly changes the transfer, so that they are correlated as
they are and with the signs of their transfer undone, below :data:`CYCLES` cycles across the image: a lattice,
which fits at many places, is left out.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.correlate import Match, correlate
from napari_phaset3m.prepare.align.foci import Foci
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.signal import filtered, filters, flipped, levelled
from napari_phaset3m.prepare.align.work import Share, Work
from napari_phaset3m.prepare.events import Progress

#: Highest frequency, cycles across the shorter side; and no more than this part of the sampling.
CYCLES, FINEST = 50.0, 0.2
#: Least height of a peak above the mean, standard deviations, for two foci to be joined (noise reaches 5).
LEAST_PROMINENCE = 6.0
#: How far foci may lie apart, part of the shorter side.
REACH = 0.4


def chained(work: Work, bin_: int, share: Share) -> Generator[Progress, None, np.ndarray]:
    """Shifts with foci brought near each other, where the foci of a tilt then predict each other better.

    Parameters
    ----------
    work : Work
        For several foci with stated defocus and Cs.
    bin_ : int
        At which predictions are compared.
    share : Share
        Of the progress.

    Yields
    ------
    Progress
        At each tilt; shifts stay as they are where the user wants to end.

    Returns
    -------
    ndarray
        `(n_tilt, n_focus, 2)` (y, x) in the axes of the aligned images.
    """
    before, series = work.aligned_shifts_px, work.series
    after = np.array(before)
    tilts = np.flatnonzero(work.alignment.used.sum(1) > 1)
    for number, tilt in enumerate(tilts):
        yield Progress("Foci that lie far apart", share.at(number / len(tilts)))
        if work.finishing:
            return before
        _join(series, work.config.focal.focal_search_px, int(tilt), after)
    moved = work.at(work.alignment.replace(shifts_px=work.given_shifts_px(after)))
    better = _agreement(moved, bin_) > _agreement(work, bin_)
    return np.where(better[:, None, None], after, before)


def _join(series: TiltFocalSeries, asked: float | str, tilt: int, shifts: np.ndarray) -> None:
    """Foci of a tilt from the least defocus on, each by the one before; in place."""
    assert series.defocus_angstrom is not None and series.used is not None
    side = min(series.image_shape)
    low = min(FINEST, CYCLES / side)
    window, kept = filters(series.image_shape, CoarseConfig(lowpass_per_px=low, highpass_per_px=low / 10))
    reach = REACH * side if asked == "auto" else float(asked)
    foci = np.flatnonzero(series.used[tilt])
    order = np.argsort(np.asarray(series.defocus_angstrom)[tilt, foci], kind="stable")
    plain = [filtered(image, window, kept) for image in levelled(series.images[tilt, foci])]
    # These lie on each other as far as the stated shifts are right.
    undone = [
        filtered(image, window, kept) for image in levelled(flipped(series, Alignment.of(series), tilt))
    ]
    stated = np.array(shifts[tilt, foci])
    place = stated[order[0]]
    for one, other in pairwise(order):
        alike, flat = (correlate(images[one], images[other], reach) for images in (plain, undone))
        place = place + _apart(alike, flat, stated[other] - stated[one])
        shifts[tilt, foci[other]] = place


def _apart(plain: Match, undone: Match, stated: np.ndarray) -> np.ndarray:
    if max(plain.prominence, undone.prominence) < LEAST_PROMINENCE:
        return np.asarray(stated)
    if plain.prominence >= undone.prominence:
        return np.asarray(plain.shift_px, np.float64)
    return np.asarray(stated + np.array(undone.shift_px))


def _agreement(work: Work, bin_: int) -> np.ndarray:
    """`(n_tilt,)` correlation of the foci with what the others of their tilt predict."""
    foci = Foci.of(work.series, work.config, bin_)
    measured, predicted = (part * foci.used[..., None, None] for part in (foci.measured, foci.predicted))

    def total(values: np.ndarray) -> np.ndarray:
        return np.asarray(values.sum((1, 2, 3), dtype=np.float64))

    cross = total((measured * predicted.conj()).real)
    power = total(np.abs(measured) ** 2) * total(np.abs(predicted) ** 2)
    return np.asarray(cross / np.sqrt(np.maximum(power, 1e-30)))
