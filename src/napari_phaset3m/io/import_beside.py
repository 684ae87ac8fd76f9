"""Defocus, angles and exclusions from text files beside a stack, or named with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.ctf_text import read_ctf_text
from napari_phaset3m.io.imod import read_angles, read_com, read_defocus, read_xf
from napari_phaset3m.io.import_focus import Candidate
from napari_phaset3m.io.import_found import Found
from napari_phaset3m.io.text import check_count

_CTF_NAMES = ("_CTF.txt", "_ctf.txt", "_diagnostic_output.txt", "_output.txt")
_ALIGNMENTS = (".xf", ".tltxf", ".aln")


def apply_beside(stack: Path, rows: Sequence[Candidate], found: Found) -> list[Candidate]:
    """Complete the rows of a stack with ``NAME.defocus`` or ``NAME_CTF.txt`` and ``tilt.com`` beside it.

    Alignments (``.xf``, ``.aln``) are noted, not applied.

    Raises
    ------
    DataError
        A file of the stack's name speaks of another number of images.
    """
    result = list(rows)
    for file in (stack.with_suffix(".defocus"), *(stack.with_name(stack.stem + end) for end in _CTF_NAMES)):
        if file.is_file():
            result = take_defocus(file, result, found)
            break
    for suffix in _ALIGNMENTS:
        file = stack.with_suffix(suffix)
        if file.is_file() and file != stack:
            found.note(f"{file.name} lies beside: not applied here (step Align or phaset3m align takes it)")
    com = stack.with_name("tilt.com")
    if com.is_file() and stack.suffix.lower() != ".ali":
        result = _exclude(com, stack, result, found)
    return result


def take_defocus(file: Path, rows: Sequence[Candidate], found: Found) -> list[Candidate]:
    """Defocus of each row from IMOD's ``.defocus``, CTFFIND's or AreTomo's text; all: underfocus positive.

    Raises
    ------
    DataError
        The file does not speak of every row, or of others.
    """
    if file.suffix.lower() == ".defocus":
        read = read_defocus(file)
        last = 1 + max(row.last_view for row in read.rows)
        values = read.mean_angstrom(len(rows))
        _take_plate([row.phase_shift_deg for row in read.rows], file, found)
        if last != len(rows) or np.isnan(values).any():
            check_count(last, len(rows), file, "views", rows[0].entry.file.name)
            raise DataError("does not speak of every view", path=file, field="views")
    else:
        table = read_ctf_text(file)
        check_count(len(table.image), len(rows), file, "defoci", rows[0].entry.file.name)
        values = np.empty(len(rows))
        if table.image.max() >= len(rows):
            raise DataError(f"numbers go up to {table.image.max() + 1} for {len(rows)} images", path=file)
        values[table.image] = table.defocus_angstrom.mean(axis=1)
        _take_plate(table.phase_shift_deg, file, found)
    found.note(f"defocus from {file.name} (fitted; underfocus positive there)")
    return [
        replace(row, entry=replace(row.entry, defocus_angstrom=float(value)))
        for row, value in zip(rows, values, strict=True)
    ]


def _take_plate(shifts_deg: Sequence[float] | np.ndarray, file: Path, found: Found) -> None:
    """The mean phase shift of the images, where a file states one: a series has one."""
    if not np.any(shifts_deg):
        return
    # Rings look the same after half a turn: 179 and 1 degree are neighbours.
    each = np.exp(2j * np.radians(shifts_deg))
    mean = 0.5 * float(np.degrees(np.angle(each.mean())))
    apart = np.degrees(np.abs(0.5 * np.angle(each * np.exp(-2j * np.radians(mean)))).max())
    mean = (mean + 15.0) % 180.0 - 15.0
    found.fields["phase_shift_deg"] = round(mean, 3)
    found.note(f"phase shift {mean:.1f} degrees from {file.name}, the mean (images up to {apart:.1f} off)")


def _exclude(com: Path, stack: Path, rows: Sequence[Candidate], found: Found) -> list[Candidate]:
    """Views that tilt.com of this stack leaves out are not used."""
    read = read_com(com)
    name = Path((read.input_file or "").replace("\\", "/")).stem
    if not read.excluded or name not in (stack.stem, f"{stack.stem}_ali"):
        return list(rows)
    if read.excluded[-1] >= len(rows):
        raise DataError(
            f"leaves out view {read.excluded[-1] + 1} of {len(rows)}", path=com, field="EXCLUDELIST"
        )
    found.note(f"{len(read.excluded)} views are not used, as {com.name} leaves them out")
    return [replace(row, entry=replace(row.entry, used=k not in read.excluded)) for k, row in enumerate(rows)]


def apply_given(files: Sequence[Path], found: Found) -> None:
    """Take what text files say that were named along with one stack.

    Raises
    ------
    DataError
        The file speaks of another number of images than were found, or there are several stacks.
    """
    for file in files:
        if not found.candidates:
            raise DataError("was given without images", path=file)
        _TAKE.get(file.suffix.lower(), _take_text)(file, found)


def set_angles(angles: str | os.PathLike[str] | Sequence[float], found: Found) -> None:
    """Give every image its angle, from a file or a list, in the order of files and sections.

    Raises
    ------
    DataError
        Their number is not that of the images.
    """
    from_file = isinstance(angles, str | os.PathLike)
    values = read_angles(angles) if isinstance(angles, str | os.PathLike) else np.asarray(angles, np.float64)
    path = angles if isinstance(angles, str | os.PathLike) else "tilt_deg"
    check_count(values.size, len(found.candidates), path, "angles", found.candidates[0].entry.file.name)
    found.candidates = [
        replace(c, entry=replace(c.entry, tilt_deg=float(angle)))
        for c, angle in zip(found.candidates, values.reshape(-1), strict=True)
    ]
    if from_file:
        found.note(f"tilt angles from {Path(path).name}")


def _take_text(file: Path, found: Found) -> None:
    found.candidates = take_defocus(file, found.candidates, found)


def _take_alignment(file: Path, found: Found) -> None:
    """Check that an alignment is of this stack; it is applied by ``align``."""
    n = len(found.candidates)
    name = found.candidates[0].entry.file.name
    if file.suffix.lower() == ".aln":
        read = read_aln(file)
        check_count(len(read.sections) + len(read.dark), n, file, "sections", name)
    else:
        check_count(len(read_xf(file)), n, file, "transforms", name)
    found.note(
        f"{file.name} fits, but is not applied here: step Align (Files) or phaset3m align --import does it"
    )


def _take_com(file: Path, found: Found) -> None:
    found.candidates = _exclude(file, found.candidates[0].entry.file, found.candidates, found)


def _take_xtilt(file: Path, found: Found) -> None:
    angles = read_angles(file)
    check_count(angles.size, len(found.candidates), file, "angles", found.candidates[0].entry.file.name)
    if np.abs(angles).max() > 0.05:
        found.note(f"{file.name} states X-axis tilts up to {np.abs(angles).max():g} degrees: not applied")


_TAKE: Mapping[str, Callable[[Path, Found], Any]] = {
    ".tlt": set_angles,
    ".rawtlt": set_angles,
    ".xtilt": _take_xtilt,
    ".xf": _take_alignment,
    ".tltxf": _take_alignment,
    ".aln": _take_alignment,
    ".com": _take_com,
}
