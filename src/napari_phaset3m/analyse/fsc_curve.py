"""A Fourier shell correlation as a result: curve, noise bound, criteria, table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from napari_phaset3m.analyse.resolution import (
    CRITERIA,
    Criterion,
    Resolution,
    crossing,
    decidable,
    threshold,
)

ALL_DIRECTIONS = "all directions"
NO_MASK = "none"
#: What two volumes are called when nobody named them.
TWO_VOLUMES = "the two volumes"


def noise_bound(n_effective: np.ndarray) -> np.ndarray:
    """Level under which the FSC of two independent noise volumes stays: ``3 / sqrt(n)``, at most 1.

    The classical 3-sigma curve (Saxton and Baumeister, J. Microsc. 127 (1982) 127; van Heel,
    Ultramicroscopy 21 (1987) 95), with n independent Fourier voxels. The standard deviation of
    the FSC of noise is ``1 / sqrt(2 n)`` (real and imaginary parts both count), so the bound is
    4.2 of them: one noise shell in 10^5 lies above it.
    """
    n = np.asarray(n_effective, float)
    return np.asarray(np.minimum(1, np.divide(3, np.sqrt(n), out=np.ones_like(n), where=n > 0)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FscCurve:
    """Fourier shell correlation of two volumes.

    Attributes
    ----------
    frequency_per_angstrom : ndarray
        `(n,)` centres of the shells; zero frequency is left out.
    fsc : ndarray
        `(n,)` with the mask applied, if there is one. NaN where the region has no Fourier voxel.
    n_voxels : ndarray
        `(n,)` independent Fourier voxels, Friedel pairs counted once.
    noise_bound : ndarray
        `(n,)` see :func:`noise_bound`; from ``n_effective``.
    corrected : ndarray or None
        `(n,)` with the correlation that the mask makes removed by phase randomisation.
    mask_name, halves, region : str
        In words, for whoever reads the resolution.
    n_effective : ndarray, optional
        `(n,)` as ``n_voxels``, fewer where a mask makes neighbours in Fourier space depend on
        each other. ``n_voxels`` when omitted.
    unmasked, randomised : ndarray or None
        `(n,)` the FSC without the mask; the FSC of the phase-randomised volumes with it. Both in the
        region of the curve.
    randomised_beyond_per_angstrom : float or None
        From which frequency the region's phases were randomised.
    notes : tuple of str
        What qualifies every resolution read from the curve.
    above_noise : bool
        A shell under ``noise_bound`` counts as below every criterion: for regions with so few
        voxels that chance may lift a shell over it. Leading shells over the criterion and under
        the bound decide nothing and are passed over.
    """

    frequency_per_angstrom: np.ndarray
    fsc: np.ndarray
    n_voxels: np.ndarray
    noise_bound: np.ndarray
    corrected: np.ndarray | None = None
    mask_name: str = NO_MASK
    halves: str = TWO_VOLUMES
    region: str = ALL_DIRECTIONS
    n_effective: np.ndarray | None = None
    unmasked: np.ndarray | None = None
    randomised: np.ndarray | None = None
    randomised_beyond_per_angstrom: float | None = None
    notes: tuple[str, ...] = ()
    above_noise: bool = False

    def __post_init__(self) -> None:
        if self.n_effective is None:
            object.__setattr__(self, "n_effective", self.n_voxels)
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                value = np.array(value, float)
                value.setflags(write=False)
                object.__setattr__(self, entry.name, value)

    @property
    def best(self) -> np.ndarray:
        """The curve that resolutions are read from: ``corrected`` where there is one."""
        return self.fsc if self.corrected is None else self.corrected

    @property
    def curve_name(self) -> str:
        """``best`` in words."""
        if self.corrected is not None:
            return "masked FSC, corrected by phase randomisation,"
        return "FSC" if self.mask_name == NO_MASK else "masked FSC (not corrected for the mask)"

    def threshold(self, criterion: Criterion) -> np.ndarray:
        """`(n,)` level of a criterion; raises :class:`ConfigError` for an unknown one."""
        assert self.n_effective is not None
        level = threshold(criterion, self.n_effective)
        return np.maximum(level, self.noise_bound) if self.above_noise else level

    def resolution(self, criterion: Criterion = "0.143") -> Resolution:
        """Where the curve first falls below a criterion.

        Parameters
        ----------
        criterion : {"0.143", "0.5", "half-bit"}

        Returns
        -------
        Resolution
            ``str`` of it states value, criterion, mask, halves and region in one sentence, also
            when the curve never falls below the criterion or begins below it. Leading shells
            with too few Fourier voxels to tell (:func:`.resolution.decidable`) are passed over.
        """
        assert self.n_effective is not None
        k, level = self.frequency_per_angstrom, self.threshold(criterion)
        decided = decidable(criterion, self.n_effective, self.noise_bound)
        if self.above_noise:  # over the criterion and under the bound: may be either
            decided &= ~((self.best >= threshold(criterion, self.n_effective)) & (self.best < level))
        at, status, last = crossing(k, self.best, level, self.noise_bound, decided)
        seen = k[~np.isnan(self.best) & (np.maximum.accumulate(decided) | (status == "undecided"))]
        return Resolution(
            angstrom=None if at is None else 1 / at,
            criterion=criterion,
            mask_name=self.mask_name,
            halves=self.halves,
            region=self.region,
            status=status,
            first_angstrom=float(1 / seen[0]) if seen.size else None,
            finest_angstrom=float(1 / seen[-1]) if seen.size else None,
            last_above_angstrom=float(1 / k[last]) if last >= 0 else None,
            curve=self.curve_name,
        )

    def mean(self, up_to_per_angstrom: float | None = None) -> float:
        """Mean of ``best`` over the shells up to a frequency, weighted by their voxels."""
        k = self.frequency_per_angstrom
        inside = ~np.isnan(self.best) & (self.n_voxels > 0)
        if up_to_per_angstrom is not None:
            inside &= k <= up_to_per_angstrom
        if not inside.any():
            return float("nan")
        return float(np.average(self.best[inside], weights=self.n_voxels[inside]))

    def rows(self) -> list[dict[str, float | None]]:
        """One row per shell; None where there is no value."""
        columns = {
            "frequency_per_angstrom": self.frequency_per_angstrom,
            "resolution_angstrom": 1 / self.frequency_per_angstrom,
            "fsc": self.fsc,
            "unmasked_fsc": self.unmasked,
            "randomised_fsc": self.randomised,
            "corrected_fsc": self.corrected,
            "half_bit": self.threshold("half-bit"),
            "noise_bound": self.noise_bound,
            "fourier_voxels": self.n_voxels,
        }
        given = {name: column for name, column in columns.items() if column is not None}
        return [{name: _number(column[i]) for name, column in given.items()} for i in range(self.fsc.size)]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form with the resolution by every criterion; NaN becomes None."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain = {
            name: [_number(v) for v in value] if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }
        plain["notes"] = list(self.notes)
        plain["resolution"] = {name: self.resolution(name).as_dict() for name in CRITERIA}
        return plain

    def statement(self) -> str:
        """The resolution by every criterion and the notes, one sentence each."""
        return " ".join([*(str(self.resolution(name)) for name in CRITERIA), *self.notes])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
