"""The alignment that one .xf (with its .tlt) or .aln tells of a series."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.imod import read_angles, read_xf
from napari_phaset3m.io.text import check_count
from napari_phaset3m.prepare.align.aln_rows import aln_rows, rising_rows
from napari_phaset3m.prepare.align.file_fit import (
    angles_beside,
    given_ratio_note,
    made_for_series,
    size_ratio,
)
from napari_phaset3m.prepare.align.file_rows import Rows, check_order, xf_rows
from napari_phaset3m.prepare.align.file_tables import UNKNOWN
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.raw_frame import series_transforms
from napari_phaset3m.prepare.align.sound_rows import kept_where, sound_rows, table_of
from napari_phaset3m.prepare.align.transforms import check_number, from_aln, from_xf, xf_of_aln

#: Images that an alignment file was made for.
MadeFor = Literal["raw", "series"]
Found = tuple[Alignment, tuple[str, ...]]


def read_file(
    path: Path, series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> Found:
    """The alignment of one file, and what was done to make it fit.

    Parameters
    ----------
    path : Path
    series : TiltFocalSeries
    made_for : {"raw", "series"} or None
    pixel_ratio : float or None
        As :func:`.formats.import_alignment` has them.

    Raises
    ------
    DataError
        It cannot be read or does not fit; the file is named.
    """
    read = _import_aln if path.suffix.lower() == ".aln" else _import_xf
    try:
        return read(path, series, made_for, pixel_ratio)
    except DataError as error:
        raise of_file(error, path) from None


def of_file(error: DataError, path: Path) -> DataError:
    """The error, naming this file where it names none."""
    if error.path is not None:
        return error
    return DataError(error.problem, path=path, field=error.field, remedy=error.remedy)


def _import_xf(
    path: Path, series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> Found:
    xf, beside, start = read_xf(path), path.with_suffix(".tlt"), Alignment.of(series)
    ratio = 1.0 if pixel_ratio is None else pixel_ratio
    scaled = given_ratio_note(ratio)
    if series.sections is not None and made_for != "series":
        angles = read_angles(beside) if beside.is_file() else None
        if angles is not None:
            check_count(angles.size, len(xf), beside, "angles", path.name)
        rows = xf_rows(len(xf), angles, series, ratio)
        rows = sound_rows(xf, series.sections.image_shape, rows, (series, ratio), ("DX, DY", xf[..., 2]))
        return _of_files(xf, rows, series, ratio), (*scaled, *rows.notes)
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
        notes = (*notes, UNKNOWN.format(order=whose))
    n_rows = check_number(len(xf), start) // series.n_tilt
    index = np.broadcast_to(order[:, None] * n_rows + np.arange(n_rows), (series.n_tilt, series.n_focus))
    rows = sound_rows(xf, shape, Rows(index, None, notes), (series, ratio), ("DX, DY", xf[..., 2]))
    table, seen = table_of(xf, rows), rows.index >= 0
    found = from_xf(table, start, series.image_shape, turned_deg=turned, pixel_ratio=ratio)
    return kept_where(seen, found, start), (*scaled, *rows.notes)


def _import_aln(
    path: Path, series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> Found:
    aln, sections, start = read_aln(path), series.sections, Alignment.of(series)
    assumed = sections is None and made_for is None
    by_size = made_for is None and pixel_ratio is None  # a given ratio is over the files' pixel
    own = made_for == "series" or (by_size and made_for_series(aln.raw_size, series))
    if sections is not None and not own:
        shape, turned, whose = sections.image_shape, False, sections.name
    else:
        turned = assumed and bool(round(series.tilt_axis_angle_deg / 90) % 2)
        shape, whose = series.image_shape, "the series"
    ratio, notes = size_ratio(aln.raw_size, shape, turned, whose, pixel_ratio)
    table, shown = xf_of_aln(aln), ("TX, TY", aln.shifts_px)
    if sections is not None and not own:
        rows = sound_rows(table, shape, aln_rows(aln, series, ratio), (series, ratio), shown)
        return _of_files(table, rows, series, ratio), (*notes, *rows.notes)
    turned_deg = series.tilt_axis_angle_deg if assumed else 0.0
    found = from_aln(aln, start, turned_deg=turned_deg, pixel_ratio=ratio)
    given = rising_rows(aln, series)
    rows = sound_rows(table, shape[:: -1 if turned else 1], given, (series, ratio), shown)
    notes = (*notes, *rows.notes)
    if assumed:
        notes = (*notes, UNKNOWN.format(order="rising tilt"))
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
