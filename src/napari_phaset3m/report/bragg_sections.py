"""Bragg peaks: lattice, families, heights, phases; and no claim from heights alone."""

from __future__ import annotations

from typing import Any

from napari_phaset3m.analyse.bragg import bragg_report
from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.bragg_words import UNTESTED
from napari_phaset3m.analyse.figures import peaks, style
from napari_phaset3m.report.model import Picture, Section, Table
from napari_phaset3m.report.subject import Subject

KEY, TITLE = "bragg", "Bragg peaks"


def measure(subject: Subject) -> BraggReport:
    """Peaks of the volume, with its halves, tilts, mask and cell as far as they are known.

    Raises
    ------
    PhaseT3MError
        See :func:`analyse.bragg.bragg_report`.
    """
    return bragg_report(
        subject.volume,
        subject.voxel_size_angstrom,
        cell=subject.cell,
        halves=subject.halves,
        tilt_deg=subject.tilt_deg,
        mask=subject.mask,
        halves_name=subject.halves_name,
        # a comparison gives the volume itself and the truth
        reference=subject.halves is not None and subject.halves[0] is subject.volume,
    )


def section(subject: Subject, report: BraggReport) -> Section:
    """Lattice, families and peaks in words, figures and tables."""
    statements = [report.statement()]
    if report.lattice is None:
        table = Table("peaks", "Peaks that stand out, without a lattice", report.peaks.rows(), True)
        return Section(KEY, TITLE, tuple(statements), (), (table,), {"bragg": report.as_dict()})
    pictures = [Picture("bragg", _caption(report), lambda: _drawn(report, peaks.plot_peaks))]
    if report.phase_agreement is not None:
        text = (
            f"Agreement of phases at each peak between {subject.halves_name}: 1 is the same phase, 0 none in "
            f"common. {UNTESTED}"
        )
        pictures.append(Picture("bragg_phases", text, lambda: _drawn(report, peaks.plot_phases)))
    tables = (
        Table("families", "Families of reflections (Friedel pairs)", families(report)),
        Table("lattice", "Lattice", _lattice(report)),
        Table("peaks", "Every reflection", report.rows(), True),
    )
    headline = report.statement().partition(" Window: ")[0]
    return Section(
        KEY, TITLE, tuple(statements), tuple(pictures), tables, {"bragg": report.as_dict()}, headline=headline
    )


def families(report: BraggReport) -> list[dict[str, Any]]:
    """One row per family."""
    rows = []
    for count in report.families():
        row: dict[str, Any] = {"family": count.name, "d_angstrom": count.d_angstrom, "median_SNR": count.snr,
                               "found": count.found, "of": count.total}  # fmt: skip
        if count.agreed is not None:
            row["phases_agree"] = count.agreed
        if count.wedge_total is not None:
            row |= {"found_in_wedge": count.wedge_found, "of_in_wedge": count.wedge_total}
            row |= {"found_deep_in_wedge": count.deep_found, "of_deep_in_wedge": count.deep_total}
        rows.append(row)
    return rows


def _lattice(report: BraggReport) -> list[dict[str, Any]]:
    assert report.lattice is not None
    found = report.lattice
    cell, turn = found.cell, found.orientation
    rows: list[tuple[str, Any]] = [
        ("a, b, c (Å)", (cell.a, cell.b, cell.c)),
        ("α, β, γ (°)", (cell.alpha, cell.beta, cell.gamma)),
        ("centring", cell.centring),
        ("standard error of a (Å)", found.a_uncertainty_angstrom),
        ("standard error of the orientation (°)", found.orientation_uncertainty_deg),
        ("a along (x, y, z)", tuple(float(v) for v in turn[:, 0])),
        ("normal of the ab plane (x, y, z)", tuple(float(v) for v in turn[:, 2])),
        ("peaks on the lattice", f"{found.indexed} of {found.peaks}"),
        ("cell", "given; scale and orientation fitted" if found.given else "from the peaks alone"),
    ]
    return [{"quantity": name, "value": value} for name, value in rows]


def _drawn(report: BraggReport, plot: Any) -> Any:
    figure = style.new_figure(6.8, 4.6)
    plot(figure.subplots(), report)
    return figure


def _caption(report: BraggReport) -> str:
    alarms = report.false_alarms
    text = (
        "Height of each reflection over its local background, in robust standard deviations; one mark per "
        "Friedel pair. Found: SNR of at least 5, and higher than all of the background around. "
        "Heights prove periodicity, not structure."
    )
    if alarms.rate is None:
        return text
    return f"{text} Off the lattice {alarms.found} of {alarms.points} points count as found."
