"""Defocus, angles and exclusions from text files beside a stack, or named with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.ctf_text import is_ctffind
from napari_phaset3m.io.imod import read_angles, read_xf
from napari_phaset3m.io.imod_com import com_stack, read_com
from napari_phaset3m.io.import_angles import for_foci
from napari_phaset3m.io.import_ctf import take_defocus
from napari_phaset3m.io.import_focus import Candidate
from napari_phaset3m.io.import_found import Found
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.says_volume import says_volume
from napari_phaset3m.io.sidecar import ANGLES, TILTS, not_used, or_give, without_angles
from napari_phaset3m.io.text import check_count

_CTF_NAMES = ("_CTF.txt", "_ctf.txt", "_diagnostic_output.txt")
_OUTPUT = "_output.txt"
_NAMELESS = "does not name its stack (InputProjections)"
#: Files that hold alignments.
ALIGNMENTS = (".xf", ".tltxf", ".aln")


def apply_beside(stack: Path, rows: Sequence[Candidate], found: Found) -> list[Candidate]:
    """Complete the rows of a stack with ``NAME.defocus`` or ``NAME_CTF.txt`` and ``tilt.com`` beside it.

    Alignments (``.xf``, ``.aln``) are noted, not applied. What speaks of other images, or is damaged, is
    asked about, and refused on loading where nothing else is given.
    """
    result = list(rows)
    for file in _ctf_beside(stack)[:1]:
        with _asking(found, "defocus_angstrom", "the defocus: defocus_angstrom=... in Python or --defocus"):
            result = take_defocus(file, result, found)
    for suffix in ALIGNMENTS:
        file = stack.with_suffix(suffix)
        if file.is_file() and file != stack:
            found.note(f"{file.name} lies beside: not applied here (step Align or phaset3m align takes it)")
    com = stack.with_name("tilt.com")
    if com.is_file() and stack.suffix.lower() != ".ali":
        with _asking(found, "used", "what to leave out: unused=... in Python or --unused"):
            result = _take_com(com, stack, result, found)
    return result


def read_by_imports(stack: Path) -> tuple[Path, ...]:
    """Files beside a stack that only an import reads: defoci, and a tilt.com that changes something.

    None is of a volume, which bears the name of its stack.
    """
    if says_volume(stack):
        return ()
    found = _ctf_beside(stack)
    com = stack.with_name("tilt.com")
    if com.is_file() and stack.suffix.lower() != ".ali":
        try:
            if _is_of(com_stack(com), stack):
                read = read_com(com)
                found += [com] if read.excluded or read.offset_deg else []
        except DataError:
            found.append(com)  # the import tells why
    return tuple(found)


def _ctf_beside(stack: Path) -> list[Path]:
    """Fits of the CTF that bear the stack's name; an ``_output.txt`` may be any program's."""
    names = [stack.with_suffix(".defocus"), *(stack.with_name(stack.stem + end) for end in _CTF_NAMES)]
    output = stack.with_name(stack.stem + _OUTPUT)
    return [file for file in names if file.is_file()] + [output] * is_ctffind(output)


def _is_of(name: str, stack: Path) -> bool:
    return name in (stack.stem, f"{stack.stem}_ali")


@contextmanager
def _asking(found: Found, field: str, what: str) -> Iterator[None]:
    """Within it, an error becomes a question that must be answered."""
    try:
        yield
    except DataError as error:
        found.ask(field, not_used(error), or_give(error, what))
        found.note(not_used(error))


def _take_com(com: Path, stack: Path, rows: Sequence[Candidate], found: Found) -> list[Candidate]:
    """Views that tilt.com of this stack leaves out are not used; its OFFSET is added to all tilts at last."""
    name = com_stack(com)
    if not _is_of(name, stack):
        whose = f"is of {name}, not of {stack.name}" if name else _NAMELESS
        found.note(f"{com.name} {whose}: not used")
        return list(rows)
    read = read_com(com)
    if read.excluded and read.excluded[-1] >= len(rows):
        raise DataError(
            f"leaves out view {read.excluded[-1] + 1} of {len(rows)}", path=com, field="EXCLUDELIST",
            remedy="Give the .com of this stack",
        )  # fmt: skip
    if len(read.excluded) == len(rows):
        raise DataError(
            f"leaves out all {len(rows)} views", path=com, field="EXCLUDELIST",
            remedy="Keep some",
        )  # fmt: skip
    if read.offset_deg:
        found.offset = (read.offset_deg, com.name)
    if read.placement:
        found.note(
            f"{com.name} states more, which is not used, for it only places IMOD's volume: "
            f"{', '.join(read.placement)}"
        )
    if not read.excluded:
        return list(rows)
    one = len(read.excluded) == 1
    count = "1 view is" if one else f"{len(read.excluded)} views are"
    found.note(f"{count} not used, as {com.name} leaves {'it' if one else 'them'} out")
    return [replace(row, entry=replace(row.entry, used=k not in read.excluded)) for k, row in enumerate(rows)]


def apply_given(files: Sequence[Path], found: Found, foci: tuple[int, str] | None = None) -> None:
    """Take what text files say that were named along with one stack; ``foci`` as in :func:`set_angles`.

    Raises
    ------
    DataError
        The file speaks of another number of images than were found, or there are several stacks.
    """
    for file in files:
        if not found.candidates:
            raise DataError("was given without images", path=file)
        suffix = file.suffix.lower()
        if suffix in ANGLES:
            set_angles(file, found, foci)
        else:
            _TAKE.get(suffix, _take_text)(file, found)


def set_angles(
    angles: str | os.PathLike[str] | Sequence[float], found: Found, foci: tuple[int, str] | None = None
) -> None:
    """Give every image its angle, from a file or a list, in the order of files and sections.

    They win over files beside the stack. With ``foci`` (how many, ``"tilt-major"`` or ``"focus-major"``) one
    for each tilt will do.

    Raises
    ------
    DataError
        Their number is not that of the images.
    """
    values = read_angles(angles) if isinstance(angles, str | os.PathLike) else np.asarray(angles, np.float64)
    path = angles if isinstance(angles, str | os.PathLike) else None
    values = for_foci(values, len(found.candidates), foci)
    name, n = found.candidates[0].entry.file.name, len(found.candidates)
    if values.size != n:
        remedy = "Give one for each image, or one for each tilt and the number of foci (n_focus)"
        problem = f"{values.size} angles for {n} images in {name}"
        raise DataError(problem, path=path, field="tilt_deg", remedy=remedy)
    if not np.isfinite(values).all() or np.abs(values).max() > 360:
        raise DataError("must be finite degrees within ±360", path=path, field="tilt_deg")
    found.candidates = [
        replace(c, entry=replace(c.entry, tilt_deg=float(angle)))
        for c, angle in zip(found.candidates, values.reshape(-1), strict=True)
    ]
    found.notes = without_angles(found.notes)
    found.pass_over()
    if path is not None:
        found.note(f"{TILTS}{Path(path).name}")


def _take_text(file: Path, found: Found) -> None:
    found.candidates = take_defocus(file, found.candidates, found)


def _take_alignment(file: Path, found: Found) -> None:
    """Check that an alignment is of this stack; it is applied by ``align``."""
    n = len(found.candidates)
    name = found.candidates[0].entry.file.name
    if file.suffix.lower() == ".aln":
        read = read_aln(file)
        check_count(len(read.sections) + len(read.dark), n, file, "sections", name)
        found.note(_fits(file))
    else:
        found.alignments.append((file, len(read_xf(file))))


def check_alignments(plan: ImportPlan, found: Found) -> None:
    """Check that alignments that were named have a row for each image, or for each tilt that is known.

    Raises
    ------
    DataError
        One has another number of rows.
    """
    rows = plan.in_file_order()
    is_known = all(entry.tilt_deg is not None for entry in rows)
    for file, count in found.alignments:
        if not (is_known and count == plan.n_tilt):
            check_count(count, len(rows), file, "transforms", rows[0].file.name)
        found.note(_fits(file))


def _fits(file: Path) -> str:
    return f"{file.name} fits, but is not applied here: step Align (Files) or phaset3m align --import does it"


def _take_given_com(file: Path, found: Found) -> None:
    if not com_stack(file):
        raise DataError(_NAMELESS, path=file, remedy="Is it the tilt.com of this stack?")
    found.candidates = _take_com(file, found.candidates[0].entry.file, found.candidates, found)


def _take_xtilt(file: Path, found: Found) -> None:
    angles = read_angles(file)
    check_count(angles.size, len(found.candidates), file, "angles", found.candidates[0].entry.file.name)
    if np.abs(angles).max() > 0.05:
        found.note(f"{file.name} states X-axis tilts up to {np.abs(angles).max():g} degrees: not applied")


_TAKE: Mapping[str, Callable[[Path, Found], Any]] = {
    ".xtilt": _take_xtilt,
    ".xf": _take_alignment,
    ".tltxf": _take_alignment,
    ".aln": _take_alignment,
    ".com": _take_given_com,
}
