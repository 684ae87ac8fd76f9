"""What an import has found so far, and how it becomes a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_entry import ImageEntry, Question
from napari_phaset3m.io.import_focus import Candidate, arrange
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.mdoc_series import NO_TITLE
from napari_phaset3m.io.raw import axis_not_used
from napari_phaset3m.io.sidecar import not_used, without_derived_axis
from napari_phaset3m.io.stack_axes import StackAxis, one_axis
from napari_phaset3m.io.vendor import VENDOR_SUFFIXES

_AXIS = "tilt_axis_angle_deg"


@dataclass
class Found:
    """What was found so far."""

    candidates: list[Candidate] = field(default_factory=list)
    pixel: list[float] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    #: As titles, labels and logs state it, and as it follows from a RotationAngle.
    axes: list[StackAxis] = field(default_factory=list)
    derived_axis: list[float] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    shape: tuple[int, int] | None = None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    #: C12 exp(2i phi12) of each image that a fit speaks of, angstrom, in the files' images.
    astigmatism: list[complex] = field(default_factory=list)
    #: Of each image that a fit speaks of, degrees.
    phase_shift_deg: list[float] = field(default_factory=list)
    #: Added to all tilts at last, and the file that says so.
    offset: tuple[float, str] | None = None
    #: Files beside stacks that do not fit them.
    refused: list[DataError] = field(default_factory=list)
    #: Alignments that were named, and how many rows they have.
    alignments: list[tuple[Path, int]] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    def ask(self, name: str, text: str, refusal: DataError | None = None) -> None:
        """Add a question once; with ``refusal`` it must be answered before loading."""
        question = Question(name, text, refusal)
        if question not in self.questions:
            self.questions.append(question)

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)

    def refuse(self, error: DataError) -> None:
        """Keep a refusal once."""
        if str(error) not in map(str, self.refused):
            self.refused.append(error)

    def pass_over(self) -> None:
        """Note what does not fit in place of refusing it: other angles are given, or will be."""
        for error in self.refused:
            self.note(not_used(error))
        self.refused = []

    def note_first(self, text: str) -> None:
        """Add a note that should not be missed."""
        self.notes.insert(0, text)

    def note_of(self, path: Path, text: str) -> None:
        """Add a note about a file; said once where many files say the same."""
        if text not in self._said:
            self._said.add(text)
            self.notes.append(text if path.name in text else f"{path.name}: {text}")

    def take_size(self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        """All images of a series have one size."""
        if self.shape is None:
            self.shape, self.dtype = shape, dtype
        elif self.shape != shape:
            raise DataError(
                f"is {shape[0]} x {shape[1]}, the images before are {self.shape[0]} x {self.shape[1]}",
                path=path,
                field="size",
                remedy="Give the files of one series only",
            )


def finish(found: Found, tolerance_deg: float) -> ImportPlan:
    """Arrange the images and gather what holds for all.

    What does not fit beside a stack is asked about.

    Raises
    ------
    DataError
        Some images have an angle and some have none, or there are no images.
    """
    _add_offset(found)
    _order_over_files(found)
    entries = _arranged(found, tolerance_deg)
    if found.refused:
        known = all(entry.tilt_deg is not None for entry in entries)
        told = [*map(not_used, found.refused), *(["those shown are from elsewhere"] if known else [])]
        found.ask("tilt_deg", "; ".join(told))
        found.pass_over()
    if found.shape is None:
        raise DataError("no images were found")
    pixel = _agree(found, "pixel_size_angstrom", found.pixel, 1e-3)
    energy = _agree(found, "energy_ev", found.energy, 1e-3)
    axis = _stated_axis(found)
    if axis is None:
        axis = _agree(found, _AXIS, found.derived_axis, 0.0)
    asked = {question.field for question in found.questions}
    for name, value in (("pixel_size_angstrom", pixel), ("energy_ev", energy)):
        if value is None and name not in asked:
            found.ask(name, "is not stated")
    if axis is None and _AXIS not in asked and entries[-1].tilt_index > 0:
        found.ask(_AXIS, "is not stated: images are not turned, the axis must lie along y")
    return ImportPlan(
        images=tuple(entries),
        pixel_size_angstrom=pixel,
        energy_ev=energy,
        tilt_axis_angle_deg=axis,
        image_shape=found.shape,
        dtype=found.dtype,
        fields=found.fields,
        notes=tuple(found.notes),
        questions=tuple(found.questions),
    )


def _stated_axis(found: Found) -> float | None:
    """The axis that files state: then one that is not read, or follows from a RotationAngle, asks no more."""
    axis = one_axis(found.axes)
    if axis is None:
        return None
    found.notes = without_derived_axis(found.notes)
    for question in [q for q in found.questions if q.field == _AXIS]:
        if question.refusal is not None or NO_TITLE in question.text:
            found.questions.remove(question)
        if axis.refusal is None and question.refusal is not None:
            found.note(axis_not_used(question.refusal, axis.angle_deg, axis.source))
    for note in axis.notes:
        found.note(note)
    if axis.refusal is not None:
        name = Path(axis.refusal.path or "").name
        found.ask(_AXIS, f"{name} {axis.refusal.problem}: {axis.angle_deg:g} is taken", axis.refusal)
    return axis.angle_deg


def _add_offset(found: Found) -> None:
    known = [number for number, item in enumerate(found.candidates) if item.entry.tilt_deg is not None]
    if found.offset is None or not known:
        return
    offset, source = found.offset
    for number in known:
        entry = found.candidates[number].entry
        entry = replace(entry, tilt_deg=float(entry.tilt_deg or 0.0) + offset)
        found.candidates[number] = replace(found.candidates[number], entry=entry)
    found.note_first(f"{offset:+g}° was added to all tilts, as {source} says (OFFSET)")


def _arranged(found: Found, tolerance_deg: float) -> list[ImageEntry]:
    unknown = [c for c in found.candidates if c.entry.tilt_deg is None]
    if unknown and found.refused:  # asked about with what does not fit
        return [replace(c.entry, tilt_index=k) for k, c in enumerate(found.candidates)]
    if unknown and len(unknown) == len(found.candidates):
        if len(unknown) > 1 and not _looks_focal(unknown):
            found.ask("tilt_deg", f"not stated for {len(unknown)} images (0 for a focal series)")
            return [replace(c.entry, tilt_index=k) for k, c in enumerate(found.candidates)]
        text = "is not stated: taken as 0 degrees"
        found.ask("tilt_deg", text + (f", {len(unknown)} images of one tilt" if len(unknown) > 1 else ""))
        found.candidates = [replace(c, entry=replace(c.entry, tilt_deg=0.0)) for c in found.candidates]
    elif unknown:
        names = ", ".join(sorted({c.entry.file.name for c in unknown})[:3])
        raise DataError(f"{len(unknown)} of {len(found.candidates)} images have no tilt angle ({names})",
                        path=unknown[0].entry.file, field="tilt_deg",
                        remedy="Give files of one kind, or angles for all")  # fmt: skip
    entries, notes, questions = arrange(found.candidates, tolerance_deg)
    found.notes += notes
    found.questions += questions
    return entries


def _looks_focal(candidates: Sequence[Candidate]) -> bool:
    """Whether images without angles are foci of one tilt: by name, by lens reading, or vendor's files."""
    if len({c.entry.file for c in candidates}) < len(candidates):
        return False  # sections of a stack
    return all(
        c.entry.defocus_angstrom is not None
        or c.focus is not None
        or c.lens_defocus_angstrom is not None
        or c.entry.file.suffix.lower() in VENDOR_SUFFIXES
        for c in candidates
    )


def _order_over_files(found: Found) -> None:
    """Ranks of exposure over all images; several mdocs each count from 0."""
    orders = [c.entry.exposure_order for c in found.candidates]
    known = [order for order in orders if order is not None]
    if not known and len(orders) > 1 and all(c.time is not None for c in found.candidates):
        _rank(found)
    elif len(known) < len(orders):
        found.candidates = [replace(c, entry=replace(c.entry, exposure_order=None)) for c in found.candidates]
    elif len(set(known)) < len(known):
        _rank(found)


def _rank(found: Found) -> None:
    """Each file counts from 0: by time when all have one, else file after file; doses before follow."""
    times = [c.time for c in found.candidates]
    ranked = list(range(len(times)))
    if all(time is not None for time in times):
        ranked.sort(key=lambda k: (times[k], k))
        found.note("order of exposure from DateTime, over all files")
    else:
        found.ask("exposure_order", "several files were taken one after another: in the order given")
    doses = [found.candidates[k].entry.dose for k in ranked]
    before = np.cumsum([0.0, *(dose or 0.0 for dose in doses)])
    for rank, k in enumerate(ranked):
        entry = replace(
            found.candidates[k].entry,
            exposure_order=rank,
            prior_dose=float(before[rank]) if None not in doses else None,
        )
        found.candidates[k] = replace(found.candidates[k], entry=entry)


def _agree(found: Found, name: str, values: Sequence[float], tolerance: float) -> float | None:
    if not values:
        return None
    first = values[0]
    if any(abs(value - first) > tolerance * abs(first) for value in values):
        listed = ", ".join(f"{value:g}" for value in dict.fromkeys(values))
        found.ask(name, f"files disagree ({listed}): the first is taken")
    return first
