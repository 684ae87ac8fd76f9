"""What each volume of a comparison is worth: agreement with the truth, peaks, atoms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.figures import peaks as figures
from napari_phaset3m.analyse.figures import style
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.report import atom_sections, bragg_sections, peak_scores
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
    truth : BraggReport, str or None
        Of the truth itself, where it is known.
    """

    match: Contest
    bragg: tuple[BraggReport | str, ...]
    atoms: tuple[Found | str, ...]
    lent: str | None = None
    truth: BraggReport | str | None = None

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
        resolution = [one.fsc.resolution("0.5") for one in found]
        bound = tuple(" or better" if one.at_least else "" for one in resolution)
        similar = tuple(one.ssim for one in found)
        return [
            Score(f"Correlation with the truth{mask}", "", tuple(one.correlation for one in found)),
            Score(self._mean_fsc_label(), "", tuple(mean_fsc(one.fsc) for one in found)),
            Score(
                f"FSC with the truth first below 0.5 at{mask}",
                "Å",
                tuple(one.angstrom for one in resolution),
                less_is_better=True,
                remarks=bound,
            ),
            Score(f"SSIM with the truth{mask}", "", similar),
        ]

    def _mean_fsc_label(self) -> str:
        limit = mean_fsc_limit(self.match.comparisons[0].fsc)
        masked = self.match.reference.mask is not None
        mask = f"{self.match.reference.mask_text}{', not corrected for it' if masked else ''}"
        return f"FSC with the truth, plain mean over shells to {limit:.3g} Å, mask: {mask}"

    def _peaks(self) -> list[Score]:
        return (
            peak_scores.scores_by_truth(self.bragg, self.truth)
            if self.match.known
            else peak_scores.scores(self.bragg)
        )

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


def judge(
    match: Contest,
    show: Callable[[str, float], None] | None = None,
    *,
    truth: BraggReport | str | None = None,
) -> Judgement:
    """Measure peaks and atoms of every volume.

    The first volume whose lattice is found lends its cell to the others when none was given: a
    lattice is a property of the specimen, and each volume is asked for the same peaks. ``truth`` are the
    truth's own peaks (:attr:`Judgement.truth`), where they were measured before with the same cell.
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
    if truth is None and match.known:
        truth = _tried(partial(bragg_sections.measure, _truth(match, everyone[0], lender)))
    return Judgement(match, tuple(bragg), tuple(atoms), lent, truth)


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


def _truth(match: Contest, judged: Subject, lender: tuple[str, Any] | None) -> Subject:
    """The truth, asked for the peaks that the volumes are asked for."""
    cell = judged.cell if judged.cell is not None or lender is None else lender[1]
    return replace(match.reference, cell=cell, series=judged.series, halves=None)


def _shared(one: Subject, match: Contest) -> Subject:
    """The volume with what is known of the specimen, and with the mask where it lies on its grid."""
    reference = match.reference
    same = one.volume.shape == reference.volume.shape and one.mask is None
    return replace(one, mask=reference.mask, mask_name=reference.mask_name) if same else one


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
