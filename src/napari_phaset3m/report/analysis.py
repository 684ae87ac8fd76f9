"""Everything that can be said about one volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.report import (
    atom_sections,
    bragg_sections,
    fourier_sections,
    optics_sections,
    resolution_sections,
    volume_sections,
)
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
    bench = _Bench(subject)
    steps: list[tuple[str, str, Callable[[], Section]]] = [
        ("volume", "Volume", lambda: volume_sections.facts(subject)),
        ("slices", "Central slices", lambda: volume_sections.slices(subject)),
        (resolution_sections.KEY, resolution_sections.TITLE, lambda: resolution_sections.resolution(subject)),
        (bragg_sections.KEY, bragg_sections.TITLE, lambda: bragg_sections.section(subject, bench.bragg())),
        (atom_sections.KEY, atom_sections.TITLE, lambda: atom_sections.section(subject)),
        ("fourier", "Fourier transform", lambda: fourier_sections.sections(subject, bench.lattice())),
        ("spectrum", "Radial power spectrum", lambda: fourier_sections.spectrum(subject, bench.lattice())),
        (optics_sections.KEY, optics_sections.TITLE, lambda: optics_sections.section(subject)),
        ("profiles", "Line profiles", lambda: volume_sections.profiles(subject)),
    ]
    done = []
    for number, (key, title, build) in enumerate(steps):
        if show is not None:
            show(title, number / len(steps))
        done.append(attempt(key, title, build))
    z, y, x = subject.volume.shape
    subtitle = f"{x} × {y} × {z} voxels of {subject.voxel_size_angstrom:.4g} Å"
    return Report(f"Analysis of {subject.name}", subtitle, tuple(done), provenance)


class _Bench:
    """What several sections need, measured once, also when it fails."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._bragg: BraggReport | PhaseT3MError | None = None

    def bragg(self) -> BraggReport:
        """The peaks; raises what their measurement raised."""
        if self._bragg is None:
            try:
                self._bragg = bragg_sections.measure(self._subject)
            except PhaseT3MError as error:
                self._bragg = error
        if isinstance(self._bragg, PhaseT3MError):
            raise self._bragg
        return self._bragg

    def lattice(self) -> BraggReport | None:
        """The peaks, when they were found to lie on a lattice."""
        try:
            found = self.bragg()
        except PhaseT3MError:
            return None
        return found if found.lattice is not None else None
