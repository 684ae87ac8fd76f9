"""Bragg peaks of several volumes as scores: against each other, or against those of the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.cell import family_name
from napari_phaset3m.report.scores import Score

#: Regions of the score with their words: outside the missing wedge, and in it.
OUTSIDE, IN_WEDGE = ", outside the missing wedge", ", in the missing wedge"


def scores(reports: Sequence[BraggReport | str]) -> list[Score]:
    """Pairs counted over the families that the best volume evidently has, so that the totals agree."""
    known = [one for one in reports if isinstance(one, BraggReport) and one.lattice is not None]
    if not known:
        return []
    families = _families(known)
    counts = [_count(one, families) if isinstance(one, BraggReport) else None for one in reports]
    what = "Bragg pairs over SNR 5 (height only)"
    if all(one.phases_checked for one in known):
        what = "Bragg pairs over SNR 5, phases agree between the halves"
    outside = OUTSIDE if known[0].in_wedge is not None else ""
    found = []
    for place, region in ((0, outside), (2, IN_WEDGE)):
        total = max((c[place + 1] for c in counts if c is not None), default=0)
        if total:
            values = tuple(None if c is None else float(c[place]) for c in counts)
            found.append(Score(f"{what}{region}", "", values, total=float(total), remarks=by_chance(reports)))
    return found


def scores_by_truth(reports: Sequence[BraggReport | str], truth: BraggReport | str | None) -> list[Score]:
    """Pairs that stand out in the truth itself: found with their phase, and what else was found.

    A volume can have peaks where the truth has none: images go with the square of the wave, and a linear
    method puts the sums of strong vectors where the structure is silent. Their phases follow from
    the strong ones and may even agree with the little that the truth has there. So the truth's own
    peaks are what is looked for, and the rest is counted against a volume.

    Parameters
    ----------
    reports : sequence of (BraggReport or str)
        One per volume, phases compared with the truth.
    truth : BraggReport, str or None
        Of the truth itself. Without one there are no scores.
    """
    known = [one for one in reports if isinstance(one, BraggReport) and one.lattice is not None]
    if not known or not isinstance(truth, BraggReport) or truth.lattice is None or not truth.found.any():
        return []
    matched = [_matched(one, truth) if isinstance(one, BraggReport) else None for one in reports]
    finer = _phase_error(reports, truth, matched)
    what = "Bragg pairs of the truth found over SNR 5 with its phase"
    found = []
    for region, where in _regions(truth):
        asked = truth.found & region
        if asked.any():
            values = tuple(None if m is None else float((asked & m.right).sum()) for m in matched)
            total, remarks = float(asked.sum()), by_chance(reports)
            found.append(Score(f"{what}{where}", "", values, total=total, finer=finer, remarks=remarks))
    wrong = tuple(None if m is None else float(m.wrong) for m in matched)
    label = "Bragg pairs over SNR 5 where the truth has none, or another phase"
    return [*found, Score(label, "", wrong, less_is_better=True), finer, _intensity(reports, truth, matched)]


def _regions(truth: BraggReport) -> list[tuple[np.ndarray, str]]:
    """All pairs, and where the tilts are known those outside the missing wedge and in it."""
    every = np.ones(len(truth.snr), bool)
    if truth.in_wedge is None:
        return [(every, "")]
    return [(every, ""), (~truth.in_wedge, OUTSIDE), (truth.in_wedge, IN_WEDGE)]


class _Match:
    """Pairs of a volume beside those of the truth.

    Attributes
    ----------
    pair : ndarray
        `(n,)` index into the volume's pairs of each pair of the truth; -1 where it has none.
    right : ndarray
        `(n,)` bool: found in the volume, and its phase agrees.
    wrong : int
        Pairs found in the volume that are none in the truth, or have another phase.
    """

    def __init__(self, pair: np.ndarray, report: BraggReport, truth: BraggReport) -> None:
        agreed = report.found if report.phase_agreed is None else report.phase_agreed
        self.pair, has = pair, pair >= 0
        self.right = has.copy()
        self.right[has] = agreed[pair[has]]
        self.wrong = int(report.found.sum() - (self.right & truth.found).sum())


def _matched(report: BraggReport, truth: BraggReport) -> _Match:
    """By place: crystals have equivalent settings, and each volume's lattice is fitted by itself."""
    if not len(report.snr):
        return _Match(np.full(len(truth.snr), -1), report, truth)
    both = np.concatenate([report.q_per_angstrom, -report.q_per_angstrom])
    # Half of the shortest lattice vector would reach the middle between two points.
    reach = np.linalg.norm(truth.q_per_angstrom, axis=1).min() / 3
    _, index = cKDTree(both).query(truth.q_per_angstrom, distance_upper_bound=reach)
    return _Match(np.where(index < len(both), index % len(report.snr), -1), report, truth)


def _phase_error(
    reports: Sequence[BraggReport | str], truth: BraggReport, matched: Sequence[_Match | None]
) -> Score:
    values = []
    for one, match in zip(reports, matched, strict=True):
        pairs = None if match is None or isinstance(one, str) else _pairs(one, truth, match)
        values.append(None if pairs is None else float(np.average(pairs[0], weights=np.sqrt(pairs[1][1]))))
    label = (
        f"Mean phase error at all {int(truth.found.sum())} Bragg pairs of the truth, found or not, weighted "
        "with the truth's amplitude (unrelated phases: 90)"
    )
    return Score(label, "°", tuple(values), less_is_better=True)


def _intensity(
    reports: Sequence[BraggReport | str], truth: BraggReport, matched: Sequence[_Match | None]
) -> Score:
    values = []
    for one, match in zip(reports, matched, strict=True):
        pairs = None if match is None or isinstance(one, str) else _pairs(one, truth, match)
        few = pairs is None or len(pairs[0]) < 3
        values.append(None if few or pairs is None else float(np.corrcoef(pairs[1])[0, 1]))
    return Score("Correlation of the intensities of these Bragg pairs with the truth's", "", tuple(values))


def _pairs(report: BraggReport, truth: BraggReport, match: _Match) -> tuple[np.ndarray, np.ndarray] | None:
    """`(n,)` phase errors and `(2, n)` powers (volume, truth) at the truth's peaks."""
    if report.phase_error_deg is None or report.pair_power is None:
        return None
    at = match.pair[truth.found & (match.pair >= 0)]
    return (report.phase_error_deg[at], report.pair_power[:, at]) if len(at) else None


def by_chance(reports: Sequence[BraggReport | str]) -> tuple[str, ...]:
    """How often each one's phases agree off the lattice, where no peak is: what peaks must exceed."""
    rates = [None if isinstance(one, str) else one.false_alarms.phase_rate for one in reports]
    return tuple("" if rate is None else f", off the lattice {rate:.0%}" for rate in rates)


def _families(reports: Sequence[BraggReport]) -> set[str]:
    """Families that any of the volumes evidently has, of those that were measured on all."""
    evident = {family_name(r.family[i]) for r in reports for i in r.expected().nonzero()[0]}
    for report in reports:
        evident &= {f.name for f in report.families()}
    return evident


def _count(report: BraggReport, families: set[str]) -> tuple[int, int, int, int]:
    """(good, all) pairs outside the wedge and in it, of these families; without tilts all are outside."""
    of = np.array([family_name(name) in families for name in report.family], bool)
    good = report.found if report.phase_agreed is None else report.phase_agreed
    wedge = np.zeros(len(of), bool) if report.in_wedge is None else report.in_wedge
    parts = [of & ~wedge & good, of & ~wedge, of & wedge & good, of & wedge]
    a, b, c, d = (int(part.sum()) for part in parts)
    return a, b, c, d
