"""What each volume of a comparison is worth: agreement with the truth, peaks, atoms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.cell import family_name
from napari_phaset3m.analyse.figures import peaks as figures
from napari_phaset3m.analyse.figures import style
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.report import atom_sections, bragg_sections
from napari_phaset3m.report.atom_sections import Found
from napari_phaset3m.report.contest import Contest
from napari_phaset3m.report.correction import fit_note
from napari_phaset3m.report.mean_fsc import mean_fsc, mean_fsc_limit
from napari_phaset3m.report.model import Picture, Section, Table
from napari_phaset3m.report.scores import Score
from napari_phaset3m.report.subject import Subject


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Measurements on every volume; what failed is told instead.

    Parameters
    ----------
    match : Contest
    bragg : tuple of (BraggReport or str)
        One per volume; a string says why there is none.
    atoms : tuple of (Found or str)
    lent : str or None
        Volume whose cell was used for those after it; None when the cell was given.
    """

    match: Contest
    bragg: tuple[BraggReport | str, ...]
    atoms: tuple[Found | str, ...]
    lent: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the volumes that are judged."""
        return tuple(one.name for one in self.match.everyone)

    @property
    def notes(self) -> tuple[str, ...]:
        """What makes the numbers comparable, and what was left out."""
        told = []
        if self.match.known:
            told.append(f"{self.match.reference.name} is what the volumes should be.")
        if self.lent is not None:
            told.append(f"The cell found in {self.lent} was used for the volumes after it.")
        told += [f"{one.name}: {note}." for one in self.match.everyone if (note := fit_note(one)) is not None]
        for name, peaks, atoms in zip(self.names, self.bragg, self.atoms, strict=True):
            told += [f"{name}: {problem}" for problem in (peaks, atoms) if isinstance(problem, str)]
        return tuple(dict.fromkeys(told))

    def scores(self) -> list[Score]:
        """Every quality for which more is better without doubt (or less)."""
        return [*self._agreement(), *self._peaks(), *atom_sections.scores(self.atoms)]

    def _agreement(self) -> list[Score]:
        if not self.match.known:
            return []
        found = self.match.comparisons
        mask = f", mask: {self.match.reference.mask_text}"
        resolution = tuple(one.fsc.resolution("0.5").angstrom for one in found)
        similar = tuple(one.ssim for one in found)
        return [
            Score(f"Correlation with the truth{mask}", "", tuple(one.correlation for one in found)),
            Score(self._mean_fsc_label(), "", tuple(mean_fsc(one.fsc) for one in found)),
            Score(f"FSC with the truth first below 0.5 at{mask}", "Å", resolution, less_is_better=True),
            Score(f"SSIM with the truth{mask}", "", similar),
        ]

    def _mean_fsc_label(self) -> str:
        limit = mean_fsc_limit(self.match.comparisons[0].fsc)
        masked = self.match.reference.mask is not None
        mask = f"{self.match.reference.mask_text}{', not corrected for it' if masked else ''}"
        return f"FSC with the truth, plain mean over shells to {limit:.3g} Å, mask: {mask}"

    def _peaks(self) -> list[Score]:
        """Counted over the families that the best volume evidently has, so that the totals agree."""
        known = [one for one in self.bragg if isinstance(one, BraggReport) and one.lattice is not None]
        if not known:
            return []
        families = _families(known)
        counts = [_count(one, families) if isinstance(one, BraggReport) else None for one in self.bragg]
        what = "Bragg pairs over SNR 5 (height only)"
        if all(one.phases_checked for one in known):
            whose = "with the truth" if self.match.known else "between the halves"
            what = f"Bragg pairs over SNR 5, phases agree {whose}{_by_chance(known)}"
        finer = self._phase_error(families)
        scores = []
        outside = ", outside the missing wedge" if known[0].in_wedge is not None else ""
        for place, region in ((0, outside), (2, ", in the missing wedge")):
            total = max((c[place + 1] for c in counts if c is not None), default=0)
            if total:
                values = tuple(None if c is None else float(c[place]) for c in counts)
                scores.append(Score(f"{what}{region}", "", values, total=float(total), finer=finer))
        return scores if finer is None else [*scores, finer, self._intensity(families)]

    def _phase_error(self, families: set[str]) -> Score | None:
        """Mean over all pairs of these families, found or not; None unless the phases are known."""
        if not self.match.known:
            return None
        pairs = [_pairs(one, families) for one in self.bragg]
        values = tuple(
            None if p is None else float(np.average(p[0], weights=np.sqrt(p[1][1]))) for p in pairs
        )
        n = max((len(p[0]) for p in pairs if p is not None), default=0)
        label = (
            f"Mean phase error at all {n} Bragg pairs of these families, found or not, weighted with the "
            "truth's amplitude (unrelated phases: 90)"
        )
        return Score(label, "°", values, less_is_better=True)

    def _intensity(self, families: set[str]) -> Score:
        """Correlation of intensities over the same pairs."""
        pairs = [_pairs(one, families) for one in self.bragg]
        values = tuple(None if p is None or len(p[0]) < 3 else float(np.corrcoef(p[1])[0, 1]) for p in pairs)
        return Score("Correlation of the intensities of these Bragg pairs with the truth's", "", values)

    def peaks_section(self) -> Section:
        """Peak tables side by side."""
        key, title = "bragg", "Bragg peaks side by side"
        known = [(n, b) for n, b in zip(self.names, self.bragg, strict=True) if isinstance(b, BraggReport)]
        indexed = [(name, one) for name, one in known if one.lattice is not None]
        statements = [f"{name}: {self._words(one)}" for name, one in known]
        told = zip(self.names, self.bragg, strict=True)
        statements += [f"{name}: not computed: {b}" for name, b in told if isinstance(b, str)]
        if not indexed:
            return Section(key, title, problem="; ".join(statements))

        def draw() -> Any:
            figure = style.new_figure(8.6, 4.6)
            figures.plot_families(figure.subplots(), indexed)
            return figure

        checked = indexed[0][1].phases_checked
        whose = "with the truth" if self.match.known else "between the halves"
        phases = f" with phases that agree {whose}" if checked else " (height only)"
        text = f"Part of each family's Friedel pairs that stands out of the background{phases}."
        rows = _side_by_side(indexed)
        every = [{"volume": name, **row} for name, one in indexed for row in one.rows()]
        tables = (Table("families", "Families, volume by volume: pairs found of all", rows),
                  Table("peaks", "Every reflection of every volume", every, True))  # fmt: skip
        data = {"bragg": {name: one.as_dict() for name, one in known}}
        pictures = (Picture("families", text, draw, wide=True),)
        return Section(key, title, tuple(statements), pictures, tables, data)

    def _words(self, report: BraggReport) -> str:
        """The report's statement; where phases were compared with the truth it says so."""
        text = report.statement()
        return text.replace("between the halves", "with the truth") if self.match.known else text

    def atoms_section(self) -> Section:
        """Atoms side by side."""
        return atom_sections.side_by_side(self.names, self.atoms)


def judge(match: Contest, show: Callable[[str, float], None] | None = None) -> Judgement:
    """Measure peaks and atoms of every volume.

    The first volume whose lattice is found lends its cell to the others when none was given: a
    lattice is a property of the specimen, and each volume is asked for the same peaks.
    """
    bragg: list[BraggReport | str] = []
    atoms: list[Found | str] = []
    lender: tuple[str, Any] | None = None
    everyone = _everyone(match)
    for number, one in enumerate(everyone):
        if show is not None:
            show(f"Peaks and atoms of {one.name}", 0.1 + 0.85 * number / len(everyone))
        subject = replace(one, cell=lender[1]) if one.cell is None and lender is not None else one
        found = _tried(partial(bragg_sections.measure, subject))
        bragg.append(found)
        if lender is None and one.cell is None and isinstance(found, BraggReport) and found.lattice:
            lender = one.name, found.lattice.cell
        atoms.append(_tried(partial(atom_sections.measure, subject)))
    lent = lender[0] if lender is not None and len(everyone) > 1 else None
    return Judgement(match, tuple(bragg), tuple(atoms), lent)


def _tried(measure: Callable[[], Any]) -> Any:
    try:
        return measure()
    except PhaseT3MError as error:
        return " ".join(str(error).split())


def _everyone(match: Contest) -> list[Subject]:
    """The volumes to be judged; where the truth is known, their phases are compared with its."""
    if not match.known:
        return [_shared(one, match) for one in match.everyone]
    truth, judged = match.reference, []
    for one, found in zip(match.volumes, match.comparisons, strict=True):
        judged.append(
            replace(
                one,
                volume=found.matched,
                voxel_size_angstrom=truth.voxel_size_angstrom,
                mask=truth.mask,
                mask_name=truth.mask_name,
                halves=(found.matched, truth.volume),
                halves_name="the volume and the truth",
            )
        )
    return judged


def _shared(one: Subject, match: Contest) -> Subject:
    """The volume with what is known of the specimen, and with the mask where it lies on its grid."""
    reference = match.reference
    same = one.volume.shape == reference.volume.shape and one.mask is None
    return replace(one, mask=reference.mask, mask_name=reference.mask_name) if same else one


def _families(reports: list[BraggReport]) -> set[str]:
    """Families that any of the volumes evidently has, of those that were measured on all."""
    evident = {family_name(r.family[i]) for r in reports for i in r.expected().nonzero()[0]}
    for report in reports:
        evident &= {f.name for f in report.families()}
    return evident


def _count(report: BraggReport, families: set[str]) -> tuple[int, int, int, int]:
    """(good, all) pairs outside the wedge and in it, of these families; without tilts all are outside."""
    of = np.array([family_name(name) in families for name in report.family], bool)
    good = report.found if report.phase_agreed is None else report.phase_agreed
    wedge = np.zeros(len(of), bool) if report.in_wedge is None else report.in_wedge
    parts = [of & ~wedge & good, of & ~wedge, of & wedge & good, of & wedge]
    a, b, c, d = (int(part.sum()) for part in parts)
    return a, b, c, d


def _pairs(report: BraggReport | str, families: set[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """`(n,)` phase errors and `(2, n)` powers (volume, truth) over the pairs of these families."""
    if isinstance(report, str) or report.phase_error_deg is None or report.pair_power is None:
        return None
    of = np.array([family_name(name) in families for name in report.family], bool)
    return (report.phase_error_deg[of], report.pair_power[:, of]) if of.any() else None


def _by_chance(reports: list[BraggReport]) -> str:
    """How often phases agree off the lattice, where no peak is: the level that peaks must exceed."""
    rates = [one.false_alarms.phase_rate for one in reports]
    if any(rate is None for rate in rates):
        return ""
    return f" (at off-lattice points they do in {' / '.join(f'{rate:.0%}' for rate in rates)})"


def _side_by_side(reports: list[tuple[str, BraggReport]]) -> list[dict[str, Any]]:
    spacing: dict[str, float] = {}
    for _, report in reports:
        spacing = {f.name: f.d_angstrom for f in report.families()} | spacing
    rows = []
    for name in sorted(spacing, key=lambda n: -spacing[n]):
        row: dict[str, Any] = {"family": name, "d_angstrom": spacing[name]}
        for label, report in reports:
            found = next((f for f in report.families() if f.name == name), None)
            row[f"{label} SNR"] = None if found is None else found.snr
            row[f"{label} found"] = None if found is None else f"{found.found} of {found.total}"
            if found is not None and found.agreed is not None:
                row[f"{label} phases agree"] = found.agreed
        rows.append(row)
    return rows
