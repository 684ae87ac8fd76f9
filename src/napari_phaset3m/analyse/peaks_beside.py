"""The same Bragg reflections read off several volumes, row by row beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.bragg import bragg_report
from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.cell import Cell
from napari_phaset3m.errors import ConfigError

__all__ = ["PeaksBeside", "peaks_beside"]


@dataclass(frozen=True, slots=True, eq=False)
class PeaksBeside:
    """Bragg peaks of volumes that lie on one grid, in one place.

    Parameters
    ----------
    names : tuple of str
    reports : tuple of BraggReport
        One per volume, all with the same reflections; from the second on with the agreement of its
        phases with the first one's.
    lender : int or None
        Volume whose lattice all were measured at; None when none has a lattice.
    """

    names: tuple[str, ...]
    reports: tuple[BraggReport, ...]
    lender: int | None

    def rows(self) -> list[dict[str, Any]]:
        """One row per Friedel pair: what is common, and ``volumes``, the measurements of each."""
        if self.lender is None:
            return []
        listed = [report.rows() for report in self.reports]
        measured = ("snr", "found", "phase_agreement", "phase_error_deg", "phase_agreed")
        shared = (
            "h",
            "k",
            "l",
            "family",
            "d_angstrom",
            "in_wedge",
            *(f"q{axis}_per_angstrom" for axis in "xyz"),
        )
        return [
            {name: row[name] for name in shared}
            | {"volumes": [{name: rows[i][name] for name in measured} for rows in listed]}
            for i, row in enumerate(listed[self.lender])
        ]

    def statements(self) -> list[str]:
        """A sentence about the lattice, and one about each volume."""
        if self.lender is None:
            return ["No lattice was found in any of the volumes: their peaks cannot be listed side by side."]
        report = self.reports[self.lender]
        lender, asked = self.names[self.lender], report.expected()
        assert report.lattice is not None
        told = (
            f"Lattice of {lender}, a = {report.lattice.a_angstrom:.3f} Å. Pairs of the families that "
            f"{lender} evidently has: {asked.sum()}."
        )
        return [told, *(self._sentence(number, asked) for number in range(len(self.names)))]

    def _sentence(self, number: int, asked: np.ndarray) -> str:
        report, first = self.reports[number], self.names[0]
        found, wedge, alarms = report.found & asked, report.in_wedge, report.false_alarms
        parts = [f"{self.names[number]}: {found.sum()} stand out (SNR ≥ 5)"]
        if report.phase_agreed is not None:
            parts[0] += f", {(report.phase_agreed & asked).sum()} of them with {first}'s phase"
        if wedge is not None:
            parts.append(f"in the missing wedge {(found & wedge).sum()} of {(asked & wedge).sum()}")
        if alarms.rate is not None:
            chance = f"by chance {alarms.rate:.0%} would"
            agree = "" if alarms.phase_rate is None else f", and {alarms.phase_rate:.0%} agree in phase"
            parts.append(chance + agree)
        return "; ".join(parts) + "."


def peaks_beside(
    volumes: Sequence[np.ndarray],
    names: Sequence[str],
    voxel_size_angstrom: float,
    *,
    cell: Cell | None = None,
    tilt_deg: Sequence[float] | np.ndarray | None = None,
    mask: np.ndarray | None = None,
    show: Callable[[float], None] = lambda part: None,
) -> PeaksBeside:
    """Measure the same reflections in each volume, and compare its phases with those of the first.

    The lattice is that of the first volume in which one is found. Phases that agree with another
    reconstruction's are no proof of either: both may share what is wrong.

    Parameters
    ----------
    volumes : sequence of ndarray
        `(nz, ny, nx)` each, on one grid and aligned (:attr:`.Comparison.matched`).
    names : sequence of str
    voxel_size_angstrom : float
    cell, tilt_deg, mask : optional
        See :func:`.bragg.bragg_report`.
    show : callable
        Called with the part done before each volume; may raise to end it.

    Raises
    ------
    ConfigError
        Shapes differ, or there are fewer than two volumes.
    DataError
        As :func:`.bragg.bragg_report`.
    """
    if len(volumes) < 2 or any(v.shape != volumes[0].shape for v in volumes):
        raise ConfigError("volumes: need two or more, all of the same shape")
    known: dict[str, Any] = {"cell": cell, "tilt_deg": tilt_deg, "mask": mask}
    alone: list[BraggReport] = []
    for number, volume in enumerate(volumes):
        show(0.5 * number / len(volumes))
        alone.append(bragg_report(volume, voxel_size_angstrom, **known))
        if alone[-1].lattice is not None:
            break
    lender = len(alone) - 1
    if alone[lender].lattice is None:
        return PeaksBeside(tuple(names), tuple(alone), None)
    reports = [alone[0] if lender == 0 else _like(alone[lender], volumes[0], tilt_deg)]
    for number, volume in enumerate(volumes[1:], 1):
        show(0.5 + 0.5 * number / len(volumes))
        reports.append(_like(alone[lender], volume, tilt_deg, (volume, volumes[0]), names[0]))
    return PeaksBeside(tuple(names), tuple(reports), lender)


def _like(
    lender: BraggReport,
    volume: np.ndarray,
    tilt_deg: Any,
    pair: tuple[np.ndarray, np.ndarray] | None = None,
    against: str = "",
) -> BraggReport:
    # not halves of the data: from their agreement no resolution follows
    return bragg_report(
        volume, lender.voxel_size_angstrom, tilt_deg=tilt_deg, like=lender,
        halves=pair, halves_name=against, reference=pair is not None,
    )  # fmt: skip
