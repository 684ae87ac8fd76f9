"""Counts that a Bragg report is made of: off-lattice points, and pairs of each family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What off-lattice points of the same frequencies gave.

    Parameters
    ----------
    points : int
        Points tried.
    found : int
        Of them, those that would count as found.
    phases_agree : int or None
        Of them, with phases that agree between the halves; None without halves.
    """

    points: int = 0
    found: int = 0
    phases_agree: int | None = None

    @property
    def rate(self) -> float | None:
        """Fraction that count as found; None where no point could be tried."""
        return self.found / self.points if self.points else None

    @property
    def phase_rate(self) -> float | None:
        """Fraction whose phases agree, by chance or because both halves hold detail there; or None."""
        return self.phases_agree / self.points if self.points and self.phases_agree is not None else None


@dataclass(frozen=True, slots=True)
class FamilyCount:
    """One family of equivalent reflections.

    Parameters
    ----------
    name : str
        Like ``{422}``.
    d_angstrom : float
    snr : float
        Median over all its pairs.
    found, total : int
        Friedel pairs that stand out (SNR threshold, and over all of the background around), of all.
    agreed : int or None
        Pairs found whose phases agree as well; None without halves.
    wedge_found, wedge_total : int or None
        The part of ``found`` and ``total`` in the missing wedge; None without tilts.
    deep_found, deep_total : int or None
        The part of those deeper in the wedge than the window blurs a peak; None without tilts.
    """

    name: str
    d_angstrom: float
    snr: float
    found: int
    total: int
    agreed: int | None
    wedge_found: int | None
    wedge_total: int | None
    deep_found: int | None = None
    deep_total: int | None = None

    @property
    def good(self) -> bool:
        """Half of its pairs or more are found (and agree in phase, where that was checked)."""
        return 2 * (self.found if self.agreed is None else self.agreed) >= self.total

    def statement(self) -> str:
        """Like ``{422} at 1.65 Å, SNR 8, 10 of 12 found``."""
        text = (
            f"{self.name} at {self.d_angstrom:.2f} Å, SNR {self.snr:.0f}, {self.found} of {self.total} found"
        )
        return text if self.agreed is None else f"{text}, {self.agreed} with phases that agree"
