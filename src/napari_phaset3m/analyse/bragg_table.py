"""What a search for Bragg peaks found: tables, counts, and sentences that claim no more than was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.analyse.bragg_counts import FalseAlarms, FamilyCount
from napari_phaset3m.analyse.cell import family_name
from napari_phaset3m.analyse.lattice import Lattice
from napari_phaset3m.analyse.peak_measure import PHASE_THRESHOLD, PeakHeights
from napari_phaset3m.analyse.peaks import SNR_THRESHOLD, PeakList
from napari_phaset3m.analyse.window import ParticleWindow

#: A crystal of diameter D blurs peaks over the border of the wedge up to 1.6 / D (window: 1.8 / w).
DEEP = 1.8
#: What halves are called when nobody named them.
HALVES = "the halves"

__all__ = ["BraggReport", "FalseAlarms", "FamilyCount"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BraggReport:
    """Bragg peaks of a volume; made by :func:`napari_phaset3m.analyse.bragg.bragg_report`.

    Parameters
    ----------
    window : ParticleWindow
        Where in the volume was looked.
    peaks : PeakList
        All peaks found without knowing a lattice.
    lattice : Lattice or None
        None when none was found; then the arrays are empty.
    hkl, family : ndarray
        `(n, 3)` int64, one of each Friedel pair, and the family of each.
    q_per_angstrom : ndarray
        `(n, 3)` (x, y, z) where the lattice puts them.
    snr : ndarray
        `(n,)` height over local background.
    background_above : ndarray
        `(n,)` part of the local background that is as high.
    wedge_gap_per_angstrom : ndarray or None
        `(n,)` distance from the measured region, 0 inside; None without tilts.
    phase_agreement : ndarray or None
        `(n,)` in [-1, 1]; None without halves.
    phase_error_deg : ndarray or None
        `(n,)` 0 to 180, 90 on average where phases are unrelated; None without halves.
    pair_power : ndarray or None
        `(2, n)` power of each half (or of volume and reference) at the peak; None without halves.
    phases_checked : bool
    false_alarms : FalseAlarms
    half_shift_angstrom : tuple of float or None
        (x, y, z) by which the second half was moved onto the first.
    falloff_angstrom2 : float
        Exponent b of the fall-off exp(-b k^2) made up for in fitting the lattice.
    families_given : bool
        The families were asked for; otherwise all allowed ones were measured.
    halves_name : str
        What phases were compared between.
    reference : bool
        They were compared with a reference (the truth) instead: agreement with it is no resolution.
    """

    window: ParticleWindow
    peaks: PeakList
    lattice: Lattice | None
    voxel_size_angstrom: float
    phases_checked: bool
    hkl: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))
    family: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))
    q_per_angstrom: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))
    snr: np.ndarray = field(default_factory=lambda: np.empty(0))
    background_above: np.ndarray = field(default_factory=lambda: np.empty(0))
    wedge_gap_per_angstrom: np.ndarray | None = None
    phase_agreement: np.ndarray | None = None
    phase_error_deg: np.ndarray | None = None
    pair_power: np.ndarray | None = None
    false_alarms: FalseAlarms = field(default_factory=FalseAlarms)
    half_shift_angstrom: tuple[float, float, float] | None = None
    falloff_angstrom2: float = 0.0
    families_given: bool = False
    halves_name: str = HALVES
    reference: bool = False

    def __post_init__(self) -> None:
        arrays = (self.hkl, self.family, self.q_per_angstrom, self.snr, self.background_above)
        pairs = (self.phase_agreement, self.phase_error_deg, self.pair_power)
        for array in (*arrays, self.wedge_gap_per_angstrom, *pairs):
            if array is not None:
                array.flags.writeable = False

    @property
    def found(self) -> np.ndarray:
        """`(n,)` bool: stands out (:attr:`.PeakHeights.found`). A statement about height only."""
        return PeakHeights(self.snr, self.background_above).found

    @property
    def phase_agreed(self) -> np.ndarray | None:
        """`(n,)` bool: found, and phases agree to ``PHASE_THRESHOLD``; None without halves."""
        return (
            None if self.phase_agreement is None else self.found & (self.phase_agreement >= PHASE_THRESHOLD)
        )

    @property
    def in_wedge(self) -> np.ndarray | None:
        """`(n,)` bool; None without tilts."""
        return None if self.wedge_gap_per_angstrom is None else np.asarray(self.wedge_gap_per_angstrom > 0)

    @property
    def deep_in_wedge(self) -> np.ndarray | None:
        """`(n,)` bool: farther from the measured region than a peak is wide; None without tilts."""
        gap = self.wedge_gap_per_angstrom
        return None if gap is None else np.asarray(gap >= DEEP / self.window.width_angstrom)

    @property
    def d_angstrom(self) -> np.ndarray:
        """`(n,)` spacings."""
        return np.asarray(1 / np.linalg.norm(self.q_per_angstrom, axis=1))

    @property
    def a_angstrom(self) -> float | None:
        """First edge of the cell; None without a lattice."""
        return None if self.lattice is None else self.lattice.a_angstrom

    @property
    def orientation(self) -> np.ndarray | None:
        """`(3, 3)` rotation from crystal axes to (x, y, z); None without a lattice."""
        return None if self.lattice is None else self.lattice.orientation

    @property
    def false_alarm_rate(self) -> float | None:
        """Fraction of off-lattice points that count as found; None where none could be tried."""
        return self.false_alarms.rate

    def rows(self) -> list[dict[str, Any]]:
        """One row per Friedel pair, by falling spacing; None where something was not measured."""
        wedge, deep, agreed = self.in_wedge, self.deep_in_wedge, self.phase_agreed
        gap, phase = self.wedge_gap_per_angstrom, self.phase_agreement
        d, found, error = self.d_angstrom, self.found, self.phase_error_deg
        rows = []
        for i, (h, k, l) in enumerate(self.hkl):  # noqa: E741
            x, y, z = (float(v) for v in self.q_per_angstrom[i])
            rows.append(
                {
                    "h": int(h),
                    "k": int(k),
                    "l": int(l),
                    "family": family_name(self.family[i]),
                    "d_angstrom": float(d[i]),
                    "snr": float(self.snr[i]),
                    "background_above": float(self.background_above[i]),
                    "found": bool(found[i]),
                    "in_wedge": None if wedge is None else bool(wedge[i]),
                    "deep_in_wedge": None if deep is None else bool(deep[i]),
                    "wedge_gap_per_angstrom": None if gap is None else float(gap[i]),
                    "phase_agreement": None if phase is None else float(phase[i]),
                    "phase_error_deg": None if error is None else float(error[i]),
                    "phase_agreed": None if agreed is None else bool(agreed[i]),
                    "qx_per_angstrom": x,
                    "qy_per_angstrom": y,
                    "qz_per_angstrom": z,
                }
            )
        return rows

    def families(self) -> list[FamilyCount]:
        """Counts per family, by falling spacing."""
        wedge, deep, agreed, found = self.in_wedge, self.deep_in_wedge, self.phase_agreed, self.found
        counts = []
        for name in dict.fromkeys(tuple(int(i) for i in f) for f in self.family):
            of = (self.family == name).all(axis=1)
            counts.append(
                FamilyCount(
                    family_name(np.array(name)),
                    float(self.d_angstrom[of][0]),
                    float(np.median(self.snr[of])),
                    int(found[of].sum()),
                    int(of.sum()),
                    None if agreed is None else int(agreed[of].sum()),
                    None if wedge is None else int((found & wedge)[of].sum()),
                    None if wedge is None else int(wedge[of].sum()),
                    None if deep is None else int((found & deep)[of].sum()),
                    None if deep is None else int(deep[of].sum()),
                )
            )
        return counts

    def expected(self) -> np.ndarray:
        """`(n,)` bool: pairs of families that the crystal evidently has.

        All of them when families were given; else those found at half or more of the pairs
        outside the wedge (all pairs, without tilts): a family too weak to be seen where it was
        measured cannot be missed in the wedge.
        """
        if self.families_given:
            return np.ones(len(self.hkl), bool)
        outside = np.ones(len(self.hkl), bool) if self.in_wedge is None else ~self.in_wedge
        evident = np.zeros(len(self.hkl), bool)
        for name in np.unique(self.family, axis=0):
            of = (self.family == name).all(axis=1)
            evident |= of & bool((of & outside).any() and self.found[of & outside].mean() >= 0.5)
        return evident

    def counts(self) -> tuple[int | None, int | None, int | None, int | None]:
        """(found, expected) pairs in the wedge, (found, expected) outside; None without tilts."""
        if self.in_wedge is None:
            return None, None, None, None
        counts = []
        for region in (self.in_wedge, ~self.in_wedge):
            counts += [
                int((self.found & region & self.expected()).sum()),
                int((region & self.expected()).sum()),
            ]
        return counts[0], counts[1], counts[2], counts[3]

    def deep_counts(self) -> tuple[int | None, int | None]:
        """(found, expected) pairs deeper in the wedge than the window blurs; None without tilts."""
        if self.deep_in_wedge is None:
            return None, None
        deep = self.deep_in_wedge & self.expected()
        return int((self.found & deep).sum()), int(deep.sum())

    def good_run(self) -> list[FamilyCount]:
        """Families the crystal evidently has (:meth:`expected`), up to the first that fails.

        A family holds when half of its pairs are found (and agree in phase). What comes after one
        that does not may do so by luck.
        """
        names = {family_name(self.family[i]) for i in self.expected().nonzero()[0]}
        run = []
        for family in self.families():
            if family.name not in names:
                continue
            if not family.good:
                break
            run.append(family)
        return run

    def finest(self) -> FamilyCount | None:
        """Last family before the first that fails (:meth:`good_run`); no claim of a resolution."""
        run = self.good_run()
        return run[-1] if run else None

    def statement(self) -> str:
        """A few sentences: lattice, finest family, wedge, false alarms, and what was not checked."""
        from napari_phaset3m.analyse.bragg_words import statement

        return statement(self)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form with everything above."""
        from napari_phaset3m.analyse.bragg_claim import claim

        alarms, claimed = self.false_alarms, claim(self)
        deep_found, deep_expected = self.deep_counts()
        return {
            "statement": self.statement(),
            "lattice": None if self.lattice is None else self.lattice.as_dict(),
            "falloff_angstrom2": self.falloff_angstrom2,
            "snr_threshold": SNR_THRESHOLD,
            "phase_threshold": PHASE_THRESHOLD,
            "phases_checked": self.phases_checked,
            "phases_between": self.halves_name if self.phases_checked else None,
            "resolved_angstrom": None if claimed.family is None else claimed.family.d_angstrom,
            "resolution_refused": claimed.refused,
            "deep_wedge_peaks_found": deep_found,
            "deep_wedge_peaks_expected": deep_expected,
            "half_shift_angstrom": self.half_shift_angstrom,
            "false_alarms": {
                "points": alarms.points,
                "found": alarms.found,
                "rate": alarms.rate,
                "phases_agree_rate": alarms.phase_rate,
            },
            "window": {
                "source": self.window.source,
                "width_angstrom": self.window.width_angstrom,
                "centre_xyz_angstrom": self.window.centre_angstrom.tolist(),
            },
            "families": [
                {name: getattr(f, name) for name in FamilyCount.__dataclass_fields__} for f in self.families()
            ],
            "reflections": self.rows(),
            "peaks": self.peaks.rows(),
        }
