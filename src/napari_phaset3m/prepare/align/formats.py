"""Alignments from and to IMOD's .xf (with its .tlt) and AreTomo's .aln; conventions in :mod:`.transforms`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.alignment_write import write_aln, write_tlt, write_xf
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.imod import read_xf
from napari_phaset3m.prepare.align.file_fit import angles_beside, check_export, size_ratio
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.transforms import from_aln, from_xf, to_aln, to_xf

_log = logging.getLogger(__name__)


def import_alignment(
    path: str | Path,
    series: TiltFocalSeries,
    *,
    pixel_ratio: float | None = None,
    note: Callable[[str], None] = _log.warning,
) -> Alignment:
    """The alignment of a series from a .xf file (with the .tlt beside it, if there is one) or a .aln.

    Rows are in the order of the series' tilts (.xf), in that of the .tlt where this one tells the same
    tilts in another order, or in that of rising tilts (.aln).

    Parameters
    ----------
    path : path-like
    series : TiltFocalSeries
    pixel_ratio : float, optional
        As in :func:`.transforms.from_xf`. By default a .aln tells it by its ``RawSize``; a .xf, which tells
        no size, is of the series' own pixels.
    note : callable, optional
        Called with a sentence where rows were put into another order or shifts scaled.

    Raises
    ------
    DataError
        It cannot be read or does not fit the series.
    """
    path = Path(path)
    start = Alignment.of(series)
    turned = series.tilt_axis_angle_deg
    told = ""
    try:
        if path.suffix.lower() == ".aln":
            aln = read_aln(path)
            if pixel_ratio is None:
                pixel_ratio, told = size_ratio(aln.raw_size, series)
            found = from_aln(aln, start, turned_deg=turned, pixel_ratio=pixel_ratio)
        else:
            xf, angles = read_xf(path), path.with_suffix(".tlt")
            if angles.is_file():
                tilts, rows, told = angles_beside(angles, series)
                start = start.replace(tilt_deg=tilts)
                if told and len(xf) % rows.size == 0:  # else from_xf refuses the number
                    xf = xf.reshape(rows.size, -1, 2, 3)[rows].reshape(-1, 2, 3)
            ratio = 1.0 if pixel_ratio is None else pixel_ratio
            found = from_xf(xf, start, series.image_shape, turned_deg=turned, pixel_ratio=ratio)
    except DataError as error:
        if error.path is not None:
            raise
        raise DataError(error.problem, path=path, field=error.field, remedy=error.remedy) from None
    if told:
        note(f"{path.name}: {told}")
    return found


def export_alignment(alignment: Alignment, path: str | Path, series: TiltFocalSeries) -> tuple[Path, ...]:
    """Write an alignment as .xf and .tlt beside it, or as .aln (of the first focus), by the name's end.

    Parameters
    ----------
    alignment : Alignment
        Of this series' images (before :func:`.apply.apply`).
    path : path-like
    series : TiltFocalSeries
        Tells by how much its images were turned at import; the file speaks of the stack before.

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
    files, turned = check_export(path), series.tilt_axis_angle_deg
    if len(files) == 1:
        table = to_aln(alignment, series.image_shape, turned_deg=turned, stated_deg=series.tilt_deg)
        write_aln(files[0], table)
        return files
    write_xf(files[0], to_xf(alignment, turned))
    write_tlt(files[1], np.repeat(alignment.tilt_deg, alignment.n_focus))
    return files
