"""A Bragg report in words; claims no resolution from heights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.analyse.peak_measure import PHASE_THRESHOLD
from napari_phaset3m.analyse.peaks import SNR_THRESHOLD

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport


def statement(report: BraggReport) -> str:
    """Lattice, finest family, wedge, false alarms, and what was not checked."""
    window = f"Window: {report.window.width_angstrom:.0f} Å wide, {report.window.source}."
    if report.lattice is None:
        return (
            f"No lattice found: {len(report.peaks)} peaks stand out (SNR ≥ {SNR_THRESHOLD:g}), "
            f"but no cell explains them better than chance. {window}"
        )
    return " ".join(
        [
            report.lattice.statement(),
            _finest(report),
            *_wedge(report),
            _alarms(report),
            _phases(report),
            window,
        ]
    )


def _finest(report: BraggReport) -> str:
    finest = report.finest()
    what = "found" if not report.phases_checked else "found with phases that agree"
    if finest is None:
        return f"No family has half of its peaks {what}."
    if report.phases_checked:
        return f"Resolved to {finest.statement()}."
    return f"Finest family with half of its peaks found: {finest.statement()}."


def _wedge(report: BraggReport) -> list[str]:
    found, expected, found_out, expected_out = report.counts()
    if found is None:
        return []
    return [f"{found} of {expected} in the missing wedge and {found_out} of {expected_out} outside it found."]


def _alarms(report: BraggReport) -> str:
    alarms = report.false_alarms
    if alarms.rate is None:
        return "False alarms could not be counted: the lattice leaves no room between its points."
    return f"False alarms: {alarms.over_threshold} of {alarms.points} off-lattice points ({alarms.rate:.1%})."


def _phases(report: BraggReport) -> str:
    agreed = report.phase_agreed
    if agreed is None:
        return "Peak heights only; phases not checked, so this states no resolution."
    chance = report.false_alarms.phase_rate
    by_chance = "" if chance is None else f"; at off-lattice points they do in {chance:.0%}"
    return (
        f"Phases agree between the halves (≥ {PHASE_THRESHOLD:g}) at {int(agreed.sum())} of "
        f"{int(report.found.sum())} peaks found{by_chance}."
    )
