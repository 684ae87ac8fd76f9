"""Alignments from and to IMOD's .xf (with its .tlt) and AreTomo's .aln; conventions in :mod:`.transforms`.

A series that knows its sections speaks of the files' images: rows are their sections, pixels and centre are
theirs (:mod:`.raw_frame`). One that does not is taken for the stack itself, turned back where it was turned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.alignment_write import write_aln, write_tlt, write_xf
from napari_phaset3m.io.aretomo import AlnFile, read_aln
from napari_phaset3m.io.imod import read_angles, read_xf
from napari_phaset3m.io.text import check_count
from napari_phaset3m.prepare.align.aln_rows import aln_rows, rising_rows
from napari_phaset3m.prepare.align.file_fit import (
    angles_beside,
    check_export,
    check_ratio,
    check_some_used,
    made_for_series,
    size_ratio,
)
from napari_phaset3m.prepare.align.file_rows import Rows, check_order, xf_rows
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.raw_frame import (
    absent_sections,
    file_transforms,
    rows_of_sections,
    series_transforms,
)
from napari_phaset3m.prepare.align.sound_rows import kept_where, sound_rows, table_of
from napari_phaset3m.prepare.align.transforms import (
    aln_of_xf,
    check_number,
    from_aln,
    from_xf,
    to_aln,
    to_xf,
    xf_of_aln,
)

_log = logging.getLogger(__name__)
Note = Callable[[str], None]
#: Images that an alignment file was made for.
MadeFor = Literal["raw", "series"]
_UNKNOWN = "the series does not know its sections: rows are in the order of {order}, in pixels of its images"


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
    found by its column SEC; crop, bin and turn of the import are taken into account. Else rows are in the
    order of the series' tilts (.xf), in that of the .tlt where this one tells the same tilts in another
    order, or in that of rising tilts (.aln).

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
        a .aln tells it by its ``RawSize``, and it is 1 for a .xf, which tells no size.
    note : callable, optional
        Called with a sentence where rows were put into another order, shifts scaled or something assumed.

    Raises
    ------
    DataError
        It cannot be read or does not fit the series.
    ConfigError
        ``made_for`` is neither, or raw where the series does not know its sections; ``pixel_ratio`` is no
        positive number, or leaves less than a pixel of an image.
    """
    path = Path(path)
    if made_for not in (None, "raw", "series"):
        raise ConfigError(f"made_for: is {made_for!r}. Use 'raw' or 'series'")
    check_ratio(pixel_ratio, series)
    if made_for == "raw" and series.sections is None:
        raise ConfigError(
            "made_for: the series does not know its sections. Import the raw files again, or "
            "take rows in the order of the series (series)"
        )
    read = _import_aln if path.suffix.lower() == ".aln" else _import_xf
    try:
        found, notes = read(path, series, made_for, pixel_ratio)
    except DataError as error:
        if error.path is not None:
            raise
        raise DataError(error.problem, path=path, field=error.field, remedy=error.remedy) from None
    check_some_used(found, path)
    for text in notes:
        note(f"{path.name}: {text}")
    return found


_Found = tuple[Alignment, tuple[str, ...]]


def _import_xf(
    path: Path, series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> _Found:
    xf, beside, start = read_xf(path), path.with_suffix(".tlt"), Alignment.of(series)
    ratio = 1.0 if pixel_ratio is None else pixel_ratio
    if series.sections is not None and made_for != "series":
        angles = read_angles(beside) if beside.is_file() else None
        if angles is not None:
            check_count(angles.size, len(xf), beside, "angles", path.name)
        rows = xf_rows(len(xf), angles, series)
        rows = sound_rows(xf, series.sections.image_shape, rows, (series, ratio), ("DX, DY", xf[..., 2]))
        return _of_files(xf, rows, series, ratio), rows.notes
    notes, whose = tuple[str, ...](), "the series"
    assumed = series.sections is None and made_for is None
    turned = series.tilt_axis_angle_deg if assumed else 0.0
    shape = series.image_shape[:: -1 if round(turned / 90) % 2 else 1]
    order = np.arange(series.n_tilt)
    if beside.is_file():
        tilts, order, notes = angles_beside(beside, series)
        start = start.replace(tilt_deg=tilts)
        whose = "the series" if np.array_equal(order, np.arange(order.size)) else beside.name
    if assumed:
        if not beside.is_file():
            check_order(series, "the series does not know its sections")
        notes = (*notes, _UNKNOWN.format(order=whose))
    n_rows = check_number(len(xf), start) // series.n_tilt
    index = np.broadcast_to(order[:, None] * n_rows + np.arange(n_rows), (series.n_tilt, series.n_focus))
    rows = sound_rows(xf, shape, Rows(index, None, notes), (series, ratio), ("DX, DY", xf[..., 2]))
    table, seen = table_of(xf, rows), rows.index >= 0
    found = from_xf(table, start, series.image_shape, turned_deg=turned, pixel_ratio=ratio)
    return kept_where(seen, found, start), rows.notes


def _import_aln(
    path: Path, series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> _Found:
    aln, sections, start = read_aln(path), series.sections, Alignment.of(series)
    assumed = sections is None and made_for is None
    own = made_for == "series" or (made_for is None and made_for_series(aln.raw_size, series))
    if sections is not None and not own:
        shape, turned, whose = sections.image_shape, False, sections.name
    else:
        turned = assumed and bool(round(series.tilt_axis_angle_deg / 90) % 2)
        shape, whose = series.image_shape, "the series"
    told = ""
    if pixel_ratio is None:
        pixel_ratio, told = size_ratio(aln.raw_size, shape, turned, whose)
    notes = (told,) if told else ()
    table, shown = xf_of_aln(aln), ("TX, TY", aln.shifts_px)
    if sections is not None and not own:
        rows = sound_rows(table, shape, aln_rows(aln, series), (series, pixel_ratio), shown)
        return _of_files(table, rows, series, pixel_ratio), (*notes, *rows.notes)
    turned_deg = series.tilt_axis_angle_deg if assumed else 0.0
    found = from_aln(aln, start, turned_deg=turned_deg, pixel_ratio=pixel_ratio)
    given = rising_rows(aln, series)
    rows = sound_rows(table, shape[:: -1 if turned else 1], given, (series, pixel_ratio), shown)
    notes = (*notes, *rows.notes)
    if assumed:
        notes = (*notes, _UNKNOWN.format(order="rising tilt"))
    elif own and made_for is None:
        notes = ("RawSize is that of the series' images: taken for these as they are, by rising tilt", *notes)
    return kept_where(rows.index >= 0, found, start), notes


def _of_files(xf: np.ndarray, rows: Rows, series: TiltFocalSeries, ratio: float) -> Alignment:
    """The alignment in transforms `(n, 2, 3)` of the files' images; what has no row is not used."""
    start, seen = Alignment.of(series), rows.index >= 0
    assert series.sections is not None
    scaled = (table_of(xf, rows) * np.array((1, 1, ratio))).reshape(*seen.shape, 2, 3)
    table = series_transforms(scaled, series.sections).reshape(-1, 2, 3)
    tilts = start.tilt_deg if rows.tilt_deg is None else rows.tilt_deg
    found = kept_where(seen, from_xf(table, start, series.image_shape), start)
    return found.replace(tilt_deg=np.where(np.isnan(tilts), start.tilt_deg, tilts), used=start.used & seen)


def export_alignment(
    alignment: Alignment, path: str | Path, series: TiltFocalSeries, *, note: Note = _log.warning
) -> tuple[Path, ...]:
    """Write an alignment as .xf and .tlt beside it, or as .aln (of the first focus), by the name's end.

    Of a series that knows its sections rows are those of the raw stack, in its pixels about its centre: what
    newstack makes of the raw stack with the .xf is aligned as the series is.

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
    files = check_export(path)
    if len(files) == 1:
        table, said = _aln_table(alignment, series)
        write_aln(files[0], table)
    else:
        xf, angles, said = _xf_table(alignment, series)
        write_xf(files[0], xf)
        write_tlt(files[1], angles)
    if said:
        note(f"{files[0].name}: {said}")
    return files


def check_fits_file(alignment: Alignment, path: str | Path, series: TiltFocalSeries) -> None:
    """Refuse an alignment that a file of this name cannot hold: an .aln, magnified images.

    Raises
    ------
    DataError
    """
    if Path(path).suffix.lower() == ".aln":
        _aln_table(alignment, series)


def _xf_table(alignment: Alignment, series: TiltFocalSeries) -> tuple[np.ndarray, np.ndarray, str]:
    """Transforms `(n, 2, 3)`, angles `(n,)`, and what to tell of the rows."""
    sections = series.sections
    angles = np.repeat(alignment.tilt_deg[:, None], alignment.n_focus, axis=1)
    if sections is None:
        told = f"{_UNKNOWN.format(order='the series')}, turned back to how they were read"
        return to_xf(alignment, series.tilt_axis_angle_deg), angles.reshape(-1), told
    table = file_transforms(to_xf(alignment).reshape(*sections.shape, 2, 3), sections)
    if sections.stack is None:
        told = f"images come from {sections.name}: rows are in the order of the series, foci side by side"
        return table.reshape(-1, 2, 3), angles.reshape(-1), told
    absent, told = absent_sections(sections), ""
    if absent:
        numbers = ",".join(str(section + 1) for section in absent)
        told = (
            f"{len(absent)} of the {sections.stack} sections of {sections.name} are not in the series: their "
            f"rows change nothing and state 0°. Leave them out in tilt.com: EXCLUDELIST {numbers}"
        )
    rows = rows_of_sections(table, sections, alignment.used, np.eye(2, 3))
    return rows, rows_of_sections(angles, sections, alignment.used, np.zeros(())), told


def _aln_table(alignment: Alignment, series: TiltFocalSeries) -> tuple[AlnFile, str]:
    sections = series.sections
    if sections is None:
        told = f"{_UNKNOWN.format(order='rising tilt')}, turned back to how they were read"
        turned = series.tilt_axis_angle_deg
        return to_aln(alignment, series.image_shape, turned_deg=turned, stated_deg=series.tilt_deg), told
    table = file_transforms(to_xf(alignment).reshape(*sections.shape, 2, 3), sections)[:, 0]
    stacked = sections.of_tilts
    if stacked is None:
        told = f"images come from {sections.name}, several to a tilt: rows are the first focus by rising tilt"
        return aln_of_xf(table, alignment, sections.image_shape, (None, series.tilt_deg)), told
    absent = sorted(set(range(sections.n_sections[0])) - set(stacked.tolist()))
    if absent:
        raise DataError(
            f"sections {', '.join(map(str, absent))} (from 0) of {sections.name} are not in the series, and "
            "an .aln needs the tilt of each",
            field="SEC",
            remedy="Export an .xf file",
        )
    return aln_of_xf(table, alignment, sections.image_shape, (stacked, series.tilt_deg)), ""
