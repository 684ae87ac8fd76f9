"""The same Bragg reflections read off several volumes, row by row beside each other."""

from __future__ import annotations

from collections.abc import Sequence
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
        lattice = self.reports[self.lender].lattice
        assert lattice is not None
        told = [f"Lattice of {self.names[self.lender]}, a = {lattice.a_angstrom:.3f} Å, used for all."]
        return [*told, *(self._sentence(number) for number in range(len(self.names)))]

    def _sentence(self, number: int) -> str:
        report = self.reports[number]
        found, wedge = report.found, report.in_wedge
        parts = [f"{self.names[number]}: {found.sum()} of {len(found)} pairs stand out (SNR ≥ 5)"]
        if wedge is not None:
            parts.append(f"{(found & wedge).sum()} of {wedge.sum()} in the missing wedge")
        if report.phase_agreed is not None:
            parts.append(f"of these {report.phase_agreed.sum()} with {self.names[0]}'s phase")
        return ", ".join(parts) + "."


def peaks_beside(
    volumes: Sequence[np.ndarray],
    names: Sequence[str],
    voxel_size_angstrom: float,
    *,
    cell: Cell | None = None,
    tilt_deg: Sequence[float] | np.ndarray | None = None,
    mask: np.ndarray | None = None,
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
    lender, alone = None, []
    for number, volume in enumerate(volumes):
        alone.append(bragg_report(volume, voxel_size_angstrom, **known))
        if alone[-1].lattice is not None:
            lender = number
            break
    if lender is None:
        return PeaksBeside(tuple(names), tuple(alone), None)
    known["like"] = alone[lender]
    first = alone[0] if lender == 0 else bragg_report(volumes[0], voxel_size_angstrom, **known)
    others = [
        bragg_report(volume, voxel_size_angstrom, halves=(volume, volumes[0]), halves_name=names[0], **known)
        for volume in volumes[1:]
    ]
    return PeaksBeside(tuple(names), (first, *others), lender)
