"""A Bragg report in words; claims no resolution from heights, nor from halves that agree everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.analyse.bragg_claim import claim
from napari_phaset3m.analyse.peak_measure import PHASE_THRESHOLD
from napari_phaset3m.analyse.peaks import SNR_THRESHOLD

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport

#: What no agreement of halves shows, of whatever kind they are.
UNTESTED = (
    "Halves do not test what both share, optics and priors: with the wrong sign of the defocus they can "
    "agree all the same."
)


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
    finest, found = report.finest(), claim(report)
    if found.family is not None:
        return f"Resolved to {found.family.statement()}."
    what = "found"
    if report.phases_checked:
        whose = "the reference" if report.reference else "the halves"
        what = f"found with phases that agree ({whose})"
    text = f"The coarsest family expected does not have half of its peaks {what}."
    if finest is not None:
        text = f"Finest family down to which each has half of its peaks {what}: {finest.statement()}."
    # without halves, or with a reference, nobody expects one; a displaced lattice is said in any case
    if (report.phases_checked and not report.reference) or "given cell" in found.refused:
        text += f" No resolution is stated: {found.refused}."
    return text


def _wedge(report: BraggReport) -> list[str]:
    found, expected, found_out, expected_out = report.counts()
    if found is None:
        return []
    deep, deep_expected = report.deep_counts()
    return [
        f"{found} of {expected} in the missing wedge ({deep} of {deep_expected} deeper in it than the window "
        f"blurs) and {found_out} of {expected_out} outside it found."
    ]


def _alarms(report: BraggReport) -> str:
    alarms = report.false_alarms
    if alarms.rate is None:
        return "False alarms could not be counted: the lattice leaves no room between its points."
    return (
        f"False alarms: {alarms.found} of {alarms.points} off-lattice points ({alarms.rate:.1%}). Found "
        f"means SNR ≥ {SNR_THRESHOLD:g} and higher than all of the background around."
    )


def _phases(report: BraggReport) -> str:
    agreed = report.phase_agreed
    if agreed is None:
        return "Peak heights only; phases not checked, so this states no resolution."
    chance = report.false_alarms.phase_rate
    by_chance = "" if chance is None else f"; at off-lattice points they do in {chance:.0%}"
    whose = "with the truth" if report.reference else f"between {report.halves_name}"
    text = (
        f"Phases agree {whose} (≥ {PHASE_THRESHOLD:g}) at {int(agreed.sum())} of "
        f"{int(report.found.sum())} peaks found{by_chance}."
    )
    return text if report.reference else f"{text} {UNTESTED}"
