"""Peaks side by side and the page of a comparison; the work of its background threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.analyse.turning import Turning
from napari_phaset3m.gui.analyse.inputs import Inputs, cell_text, made_by
from napari_phaset3m.gui.compare.items import Content
from napari_phaset3m.gui.compare.measure import Measured

if TYPE_CHECKING:
    from napari_phaset3m.analyse.peaks_beside import PeaksBeside
    from napari_phaset3m.report.subject import Subject
    from napari_phaset3m.session import RunRecord

Show = Callable[[str, float], None]


def find_peaks(measured: Sequence[Measured], known: Inputs, show: Show) -> PeaksBeside:
    """Measure the same reflections in the reference and in the volumes matched to it.

    Parameters
    ----------
    measured : sequence of Measured
        How each volume compares with the reference.
    known : Inputs
        Mask, cell and series.
    show : callable
        Called with what is being done and the done part; may raise to end it.

    Raises
    ------
    PhaseT3MError
    """
    from napari_phaset3m.analyse.peaks_beside import peaks_beside
    from napari_phaset3m.report.subject import used_tilts_deg

    first = measured[0].contents[0]
    return peaks_beside(
        [first.volume, *(one.comparison.matched for one in measured)],
        "ABCD"[: len(measured) + 1],
        first.voxel_size_angstrom,
        cell=known.cell,
        tilt_deg=used_tilts_deg(known.series),
        mask=fitting_mask(known, first),
        show=lambda part: show("Looking for peaks", part),
    )


def write(
    path: Path,
    names: Sequence[str],
    contents: Sequence[Content],
    records: Sequence[RunRecord | None],
    known: Inputs,
    turning: Turning,
    show: Show,
) -> Path:
    """Measure everything and write the page that ``phaset3m compare`` writes.

    Parameters
    ----------
    path : Path
        ``.html``.
    names, contents, records : sequence
        Of each volume, the reference first; records of those that are runs of this window.
    known : Inputs
        Mask (of the reference), cell, model and series.
    turning : {"none", "tilt", "all"}
    show : callable
        Called with what is being done and the done part; may raise to end it.

    Raises
    ------
    PhaseT3MError
    """
    from napari_phaset3m.analyse.figures.style import need_matplotlib
    from napari_phaset3m.io.provenance import provenance
    from napari_phaset3m.report import write_report
    from napari_phaset3m.report.comparison import compare_volumes

    need_matplotlib()
    told = zip(names, contents, records, strict=True)
    subjects = [_subject(*one, known, first=number == 0) for number, one in enumerate(told)]
    settings = {
        "volumes": list(names),
        "cell": cell_text(known.cell) or "fitted to the peaks",
        "mask": subjects[0].mask_text,
        "rotation_searched": turning,
        "slice_angstrom": subjects[0].thickness_angstrom,
        "species": known.species,
        "model": None if known.model is None else known.model.name,
    }
    sources = [content.path for content in contents]
    sources += [None if record is None else record.source.path for record in records]
    files = list(dict.fromkeys(path for path in sources if path is not None and path.exists()))
    report = compare_volumes(
        subjects, provenance(files, settings), turning=turning, show=lambda text, part: show(text, 0.9 * part)
    )
    show("Drawing", 0.9)
    return write_report(report, path)


def _subject(name: str, content: Content, record: RunRecord | None, known: Inputs, *, first: bool) -> Subject:
    from napari_phaset3m.report.subject import Subject

    mask = fitting_mask(known, content) if first else None
    return Subject(
        name=name,
        volume=content.volume,
        voxel_size_angstrom=content.voxel_size_angstrom,
        unit=content.unit,
        record=made_by(record, content.path),
        mask=mask,
        mask_name="" if mask is None or known.mask is None else known.mask.name,
        series=known.series,
        cell=known.cell,
        species=known.species,
        model=None if known.model is None else known.model.atoms,
        slice_angstrom=known.slice_angstrom,
    )


def fitting_mask(known: Inputs, content: Content) -> np.ndarray | None:
    """The mask for analysis, where it lies on this volume's grid."""
    mask = known.mask
    if mask is None or mask.mask.shape != content.volume.shape:
        return None
    fits = np.allclose(mask.voxel_size_angstrom, content.voxel_size_angstrom, rtol=1e-3)
    return mask.mask if fits else None
