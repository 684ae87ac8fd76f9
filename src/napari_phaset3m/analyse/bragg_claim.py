"""Whether a Bragg report may state a resolution, and if not, why.

Halves that share optics and priors agree wherever those put something, also with the wrong sign of the
defocus, and then between the lattice points as well as at them. So a resolution is stated only where
the peaks agree and the points between them do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import binom

from napari_phaset3m.analyse.bragg_counts import FamilyCount

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport

#: Random phases agree to the threshold at a quarter of the points; above this the halves share more. The
#: binomial test alone does not see that: halves of the foci of small Co3O4 particles at 1500 e/Å² passed it
#: with the wrong sign of the defocus (50 % off the lattice, 41 of 42 peaks agree, 16 have the right phase).
#: docs/analysis.md has the measurement.
PHASE_RATE_LIMIT = 0.3
#: Largest probability that the agreement of all families, and of the finest one, is chance.
CHANCE, CHANCE_OF_FAMILY = 1e-3, 0.05
#: A fitted scale may differ from the given cell by this part: more, and the peaks are displaced.
SCALE_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Claim:
    """What a report claims.

    Parameters
    ----------
    family : FamilyCount or None
        Down to which the crystal is resolved; None when no resolution may be stated.
    refused : str
        Why not, a clause; empty when it is stated.
    """

    family: FamilyCount | None
    refused: str


def claim(report: BraggReport) -> Claim:
    """Decide what the agreement of phases in a report allows to be said.

    Parameters
    ----------
    report : BraggReport

    Returns
    -------
    Claim
        A family only when phases were compared between halves (not with a reference), the cell was not
        displaced, off-lattice points agree in at most ``PHASE_RATE_LIMIT``, and the peaks down to
        that family, and its own, agree more often than those points would (binomial).
    """
    if report.lattice is None:
        return Claim(None, "no lattice was found")
    if report.lattice.given and abs(report.lattice.scale - 1) > SCALE_LIMIT:
        return Claim(
            None,
            f"the lattice comes out at {report.lattice.scale:.3f} times the given cell, more than "
            f"{SCALE_LIMIT:.0%} off",
        )
    if not report.phases_checked:
        return Claim(None, "phases were not checked")
    if report.reference:
        return Claim(None, "phases were compared with a reference, not between halves")
    rate = report.false_alarms.phase_rate
    if rate is None:
        return Claim(None, "the lattice leaves no room to see how often phases agree off it")
    if rate > PHASE_RATE_LIMIT:
        return Claim(
            None,
            f"the halves agree at {rate:.0%} of the points off the lattice too (limit "
            f"{PHASE_RATE_LIMIT:.0%}), so that they agree at the peaks proves little",
        )
    return _significant(report.good_run(), rate)


def _significant(families: list[FamilyCount], rate: float) -> Claim:
    """Finest of the families that agree, down to which this is not chance."""
    if not families:
        return Claim(
            None, "the coarsest family expected does not have half of its pairs with phases that agree"
        )
    # none of a few points agreed: chance is below one of them, not zero
    for end in range(len(families), 0, -1):
        found = sum(f.found for f in families[:end])
        agreed = sum(f.agreed or 0 for f in families[:end])
        last = families[end - 1]
        whole = float(binom.sf(agreed - 1, found, rate))
        if whole <= CHANCE and float(binom.sf((last.agreed or 0) - 1, last.found, rate)) <= CHANCE_OF_FAMILY:
            return Claim(last, "")
    return Claim(
        None, f"phases agree at the peaks no more often than chance allows ({rate:.0%} off the lattice)"
    )
