"""Everything that can be said about one volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_phaset3m.report import fourier_sections, resolution_sections, volume_sections
from napari_phaset3m.report.model import Report, Section, attempt
from napari_phaset3m.report.subject import Subject

#: Called with what is being computed and the done part, 0..1.
Show = Callable[[str, float], None]


def analyse(subject: Subject, provenance: Mapping[str, Any], show: Show | None = None) -> Report:
    """Measure a volume.

    Parameters
    ----------
    subject : Subject
    provenance : mapping
        As :func:`io.provenance.provenance` makes it.
    show : callable, optional
        Progress.

    Returns
    -------
    Report
        A section that could not be computed says why.
    """
    steps: list[tuple[str, str, Callable[[], Section]]] = [
        ("volume", "Volume", lambda: volume_sections.facts(subject)),
        ("slices", "Central slices", lambda: volume_sections.slices(subject)),
        ("fourier", "Fourier transform", lambda: fourier_sections.sections(subject)),
        ("profiles", "Line profiles", lambda: volume_sections.profiles(subject)),
        (resolution_sections.KEY, resolution_sections.TITLE, lambda: resolution_sections.resolution(subject)),
    ]
    done = []
    for number, (key, title, build) in enumerate(steps):
        if show is not None:
            show(title, number / len(steps))
        done.append(attempt(key, title, build))
    z, y, x = subject.volume.shape
    subtitle = f"{x} × {y} × {z} voxels of {subject.voxel_size_angstrom:.4g} Å"
    return Report(f"Analysis of {subject.name}", subtitle, tuple(done), provenance)
