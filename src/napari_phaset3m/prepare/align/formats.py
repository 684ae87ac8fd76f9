"""Alignments from and to IMOD's .xf (with its .tlt) and AreTomo's .aln; conventions in :mod:`.transforms`.

A series that knows its sections speaks of the files' images: rows are their sections, pixels and centre are
theirs (:mod:`.raw_frame`). One that does not is taken for the stack itself, turned back where it was turned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.alignment_write import write_aln, write_tlt, write_xf
from napari_phaset3m.io.aretomo import AlnFile
from napari_phaset3m.prepare.align.file_fit import check_export
from napari_phaset3m.prepare.align.file_read import Found, MadeFor, of_file, read_file
from napari_phaset3m.prepare.align.file_tables import aln_table, xf_table
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.stacks import (
    several_stacks,
    stack_files,
    stack_parts,
    stacks_beside,
    stacks_note,
    together,
)

_log = logging.getLogger(__name__)
Note = Callable[[str], None]


def import_alignment(
    path: str | Path,
    series: TiltFocalSeries,
    *,
    made_for: MadeFor | None = None,
    pixel_ratio: float | None = None,
    note: Note = _log.warning,
) -> Alignment:
    """The alignment of a series from a .xf file (with the .tlt beside it, if there is one) or a .aln.

    Where the series knows its sections, rows of a .xf are those of the raw stack, and those of a .aln are
    found by its column SEC; crop, bin and turn of the import are taken into account. Where it was made of
    several stacks, a file named after one of them is read with those of the others beside it
    (:func:`.stacks.stacks_beside`). Else rows are in the order of the series' tilts (.xf), in that of the
    .tlt where this one tells the same tilts in another order, or in that of rising tilts (.aln).

    Parameters
    ----------
    path : path-like
    series : TiltFocalSeries
    made_for : {"raw", "series"}, optional
        The images that the file speaks of: the sections of the files as they are, or the images of this
        series as they are now, in its order. By default the sections where the series knows them (and a
        ``RawSize`` does not speak of the series' own images).
    pixel_ratio : float, optional
        Pixel of the images that the file was made for over that of the images it is taken for. By default
        a .aln tells it by its ``RawSize``, and it is 1 for a .xf, which tells no size. Where it is given, the
        file is taken for the sections (unless ``made_for`` says otherwise), also where ``RawSize`` is that of
        the series' images.
    note : callable, optional
        Called with a sentence where rows were put into another order, shifts scaled or something assumed.

    Raises
    ------
    DataError
        It cannot be read or does not fit the series.
    ConfigError
        ``made_for`` is neither, or raw where the series does not know its sections; ``pixel_ratio`` is not
        positive, or not what ``RawSize`` tells.
    """
    path = Path(path)
    if made_for not in (None, "raw", "series"):
        raise ConfigError(f"made_for: is {made_for!r}. Use 'raw' or 'series'")
    if pixel_ratio is not None and not 0 < pixel_ratio < np.inf:
        raise ConfigError(
            f"pixel_ratio: is {pixel_ratio:g}. Give a positive number: 4 for a stack binned by 4"
        )
    if made_for == "raw" and series.sections is None:
        raise ConfigError(
            "made_for: the series does not know its sections. Import the raw files again, or "
            "take rows in the order of the series (series)"
        )
    files, told = stacks_beside(path, series) if made_for != "series" else ((), ())
    for text in told:
        note(f"{path.name}: {text}")
    if files:
        found, notes = _read_together(files, series, made_for, pixel_ratio)
    else:
        found, texts = read_file(path, series, made_for, pixel_ratio)
        notes = tuple(f"{path.name}: {text}" for text in texts)
    for text in notes:
        note(text)
    return found


def _read_together(
    files: tuple[Path, ...], series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> Found:
    """The alignment in one file for each stack; notes name the file that they are of."""
    parts, found, notes = stack_parts(series), list[Alignment](), list[str]()
    for file, part in zip(files, parts, strict=True):
        alignment, texts = read_file(file, part.series, made_for, pixel_ratio)
        found.append(alignment)
        notes += (f"{file.name}: {text}" for text in texts)
    joined, more = together(found, parts, series)
    return joined, (*notes, *more)


def export_files(path: str | Path, series: TiltFocalSeries) -> tuple[Path, ...]:
    """The files that an alignment of this series is written to under this name.

    Parameters
    ----------
    path : path-like
    series : TiltFocalSeries
        Of one made of several stacks there is one file for each, named after it (with its .tlt).

    Raises
    ------
    OutputError
        The name has another end, or a .tlt is there without a .xf of its name.
    """
    names = stack_files(path, series) if several_stacks(series) else (Path(path),)
    return tuple(file for name in names for file in check_export(name))


def export_alignment(
    alignment: Alignment, path: str | Path, series: TiltFocalSeries, *, note: Note = _log.warning
) -> tuple[Path, ...]:
    """Write an alignment as .xf and .tlt beside it, or as .aln (of the first focus), by the name's end.

    Of a series that knows its sections rows are those of the raw stack, in its pixels about its centre: what
    newstack makes of the raw stack with the .xf is aligned as the series is. Of one made of several stacks a
    file is written for each, NAME_STACK.xf, of all its foci.

    Parameters
    ----------
    alignment : Alignment
        Of this series' images (before :func:`.apply.apply`).
    path : path-like
    series : TiltFocalSeries
        Tells where its images come from, or else by how much they were turned at import.
    note : callable, optional
        Called with a sentence on what the rows are.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    DataError
        The file cannot hold this alignment.
    OutputError
        It cannot be written, its name has another end, or a .tlt is there without a .xf of this name.
    """
    written = export_files(path, series)
    tables = _tables(alignment, path, series)  # all before one is written: the last may be refused
    if several_stacks(series):
        note(stacks_note(path, series))
    for file, table, said in tables:
        if isinstance(table, AlnFile):
            write_aln(file, table)
        else:
            write_xf(file, table[0])
            write_tlt(file.with_suffix(".tlt"), table[1])
        if said:
            note(f"{file.name}: {said}")
    return written


def check_fits_file(alignment: Alignment, path: str | Path, series: TiltFocalSeries) -> None:
    """Refuse an alignment that a file of this name cannot hold: an .aln, magnified images.

    Raises
    ------
    DataError
    """
    if Path(path).suffix.lower() == ".aln":
        _tables(alignment, path, series)


_Table = tuple[Path, AlnFile | tuple[np.ndarray, np.ndarray], str]


def _tables(alignment: Alignment, path: str | Path, series: TiltFocalSeries) -> list[_Table]:
    """What is written where, and what is to be told of it."""
    if not several_stacks(series):
        return [_table(alignment, Path(path), series)]
    parts = stack_parts(series)
    return [
        _table(part.of(alignment), file, part.series)
        for file, part in zip(stack_files(path, series), parts, strict=True)
    ]


def _table(alignment: Alignment, file: Path, series: TiltFocalSeries) -> _Table:
    try:
        if file.suffix.lower() == ".aln":
            return file, *aln_table(alignment, series)
        xf, angles, said = xf_table(alignment, series)
    except DataError as error:
        raise of_file(error, file) from None
    return file, (xf, angles), said
