"""Several volumes against a reference, side by side, and by how much one is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from napari_phaset3m.analyse.compare import compare
from napari_phaset3m.analyse.turning import Turning
from napari_phaset3m.errors import DataError
from napari_phaset3m.report import comparison_sections as sections
from napari_phaset3m.report import quality, scores
from napari_phaset3m.report.contest import Contest
from napari_phaset3m.report.correction import labelled
from napari_phaset3m.report.model import Report, Section, attempt
from napari_phaset3m.report.subject import Subject

Show = Callable[[str, float], None]


def contest(
    subjects: Sequence[Subject], truth: Subject | None = None, *, turning: Turning = "none"
) -> Contest:
    """Match volumes to the truth, or to the first of them; ``turning`` as :func:`analyse.compare.compare`.

    Raises
    ------
    DataError
        Fewer than two volumes, or two that cannot be compared.
    """
    reference = subjects[0] if truth is None else truth
    others = tuple(subjects[1:] if truth is None else subjects)
    if not others:
        raise DataError("one volume alone cannot be compared", field="volumes", remedy="Give two or more")
    found = [
        compare(
            reference.volume,
            one.volume,
            reference.voxel_size_angstrom,
            b_voxel_size_angstrom=one.voxel_size_angstrom,
            mask=reference.mask,
            mask_name=reference.mask_text if reference.mask is not None else "",
            names=(reference.name, one.name),
            turning=turning,
        )
        for one in others
    ]
    return Contest(reference, others, tuple(found), truth is not None)


def compare_volumes(
    subjects: Sequence[Subject],
    provenance: Mapping[str, Any],
    *,
    truth: Subject | None = None,
    turning: Turning = "none",
    show: Show | None = None,
) -> Report:
    """Compare two or more volumes.

    Parameters
    ----------
    subjects : sequence of Subject
        The first is the reference when no truth is given. Mask and series are those of the
        reference; cell and model are used for each.
    provenance : mapping
    truth : Subject, optional
        What the volumes should be; known for simulations.
    turning : {"none", "tilt", "all"}
        Rotation that is searched before the volumes are compared.
    show : callable, optional

    Returns
    -------
    Report

    Raises
    ------
    DataError
        As :func:`contest`.
    """
    if show is not None:
        show("Aligning", 0.0)
    match = contest([labelled(one) for one in subjects], truth, turning=turning)
    judged = quality.judge(match, show)
    matched, found, reference = match.matched(), match.comparisons, match.reference
    steps: list[tuple[str, str, Callable[[], Section]]] = [
        ("better", "By how much", partial(scores.section, judged.names, judged.scores(), judged.notes)),
        (
            "agreement",
            f"Agreement with {reference.name}",
            partial(sections.agreement, found, reference, match.known),
        ),
        ("slices", "Slices side by side", partial(sections.slices, matched, found, reference)),
        ("transforms", "Fourier transforms side by side", partial(sections.transforms, matched, reference)),
        ("bragg", "Bragg peaks side by side", judged.peaks_section),
        ("atoms", "Atoms side by side", judged.atoms_section),
        ("spectra", "Radial power spectra", partial(sections.spectra, matched, found, reference)),
    ]
    done = [attempt(key, title, build) for key, title, build in steps]
    names = ", ".join(one.name for one in match.everyone)
    title = f"Comparison of {len(match.everyone)} volumes"
    return Report(title, f"{names}; reference: {match.reference.name}", tuple(done), provenance)
