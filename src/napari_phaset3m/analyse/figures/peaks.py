"""Bragg peaks: height, phase agreement, and whether the missing wedge holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.figures.curves import frequency_axis
from napari_phaset3m.analyse.figures.style import BLUE, INK, MARKERS, VERMILLION, legend_columns, line

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport


def plot_peaks(axes: Any, report: BraggReport) -> None:
    """Signal-to-noise ratio of each Friedel pair against frequency.

    Filled: found (and, where halves were compared, with phases that agree);
    circles: measured; squares: in the missing wedge.

    Parameters
    ----------
    axes : matplotlib Axes
    report : BraggReport
    """
    from napari_phaset3m.analyse.peaks import SNR_THRESHOLD

    k = np.linalg.norm(report.q_per_angstrom, axis=1)
    height = np.maximum(report.snr, 0.5)
    good = report.found if report.phase_agreed is None else report.phase_agreed
    wedge = np.zeros(len(k), bool) if report.in_wedge is None else report.in_wedge
    where = "measured region" if report.in_wedge is not None else "all peaks"
    what = "found" if report.phase_agreed is None else "found, phases agree"
    for region, colour, marker, name in (
        (~wedge, BLUE, "o", where),
        (wedge, VERMILLION, "s", "missing wedge"),
    ):
        if not region.any():
            continue
        shown, rest = region & good, region & ~good
        axes.plot(k[shown], height[shown], marker, ls="none", color=colour, ms=5.5, label=f"{name}: {what}")
        axes.plot(
            k[rest], height[rest], marker, ls="none", mfc="none", mec=colour, ms=5.5, label=f"{name}: not"
        )
    axes.axhline(SNR_THRESHOLD, color=INK, lw=1, ls=(0, (4, 3)), label=f"threshold, SNR {SNR_THRESHOLD:g}")
    axes.set_yscale("log")
    axes.set_ylim(0.45, 2.6 * float(height.max(initial=10)))
    frequency_axis(axes, 1.05 * float(k.max(initial=0.1)))
    axes.set_ylabel("peak height over background (SNR)")
    _name_families(axes, report)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)


def plot_phases(axes: Any, report: BraggReport) -> None:
    """Phase agreement between the half volumes at each Friedel pair, against frequency."""
    from napari_phaset3m.analyse.peak_measure import PHASE_THRESHOLD

    assert report.phase_agreement is not None
    k = np.linalg.norm(report.q_per_angstrom, axis=1)
    wedge = np.zeros(len(k), bool) if report.in_wedge is None else report.in_wedge
    for region, colour, marker, name in (
        (~wedge, BLUE, "o", "measured region"),
        (wedge, VERMILLION, "s", "missing wedge"),
    ):
        for chosen, fill, end in ((region & report.found, colour, "found"),
                                  (region & ~report.found, "none", "not found")):  # fmt: skip
            if chosen.any():
                axes.plot(k[chosen], report.phase_agreement[chosen], marker, ls="none", mfc=fill, mec=colour,
                          ms=5.5, label=f"{name}, {end}")  # fmt: skip
    axes.axhline(
        PHASE_THRESHOLD, color=INK, lw=1, ls=(0, (4, 3)), label=f"agreement from {PHASE_THRESHOLD:g} on"
    )
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylim(-1.05, 1.09)
    frequency_axis(axes, 1.05 * float(k.max(initial=0.1)))
    axes.set_ylabel("phase agreement of the halves")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)


def _name_families(axes: Any, report: BraggReport) -> None:
    """Names of the families that the crystal evidently has, where there is room."""
    evident = report.expected()
    names = {f.name: 1 / f.d_angstrom for f in report.families()}
    from napari_phaset3m.analyse.cell import family_name

    shown = {family_name(report.family[i]) for i in np.flatnonzero(evident)}
    last, top = -np.inf, axes.get_ylim()[1]
    reach = axes.get_xlim()[1]
    for name, k in sorted(names.items(), key=lambda item: item[1]):
        if name in shown and k - last > 0.03 * reach:
            axes.annotate(
                name, (k, top), (0, -2), textcoords="offset points", rotation=90, ha="center", va="top",
                fontsize=7.5,
            )  # fmt: skip
            axes.axvline(k, color=INK, lw=0.6, alpha=0.25)
            last = k


def plot_families(axes: Any, reports: Sequence[tuple[str, BraggReport]]) -> None:
    """Fraction of each family's pairs that was found, family by family, of several volumes."""
    spacings: dict[str, float] = {}
    for _, report in reports:
        evident = {f.name for f in report.families() if f.found}
        spacings = {f.name: f.d_angstrom for f in report.families() if f.name in evident} | spacings
    names = sorted(spacings, key=lambda name: -spacings[name])
    for number, (label, report) in enumerate(reports):
        counts = {f.name: (f.found if f.agreed is None else f.agreed) / f.total for f in report.families()}
        height = [counts.get(name, 0.0) for name in names]
        axes.plot(names, height, marker=MARKERS[number % 6], ms=5, label=label, **line(number))
    axes.set_ylim(-0.03, 1.08)
    axes.set_ylabel("part of the pairs found")
    axes.set_xlabel("family, by falling spacing")
    axes.tick_params(axis="x", rotation=90)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=legend_columns(axes))
