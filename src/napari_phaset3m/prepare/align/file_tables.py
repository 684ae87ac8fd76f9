"""Rows of an IMOD or AreTomo file from the alignment of a series."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import AlnFile
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.raw_frame import absent_sections, file_transforms, rows_of_sections
from napari_phaset3m.prepare.align.transforms import aln_of_xf, to_aln, to_xf

UNKNOWN = "the series does not know its sections: rows are in the order of {order}, in pixels of its images"


def xf_table(alignment: Alignment, series: TiltFocalSeries) -> tuple[np.ndarray, np.ndarray, str]:
    """Transforms `(n, 2, 3)`, angles `(n,)`, and what to tell of the rows; pixels and rows of the files."""
    sections = series.sections
    angles = np.repeat(alignment.tilt_deg[:, None], alignment.n_focus, axis=1)
    if sections is None:
        told = f"{UNKNOWN.format(order='the series')}, turned back to how they were read"
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


def aln_table(alignment: Alignment, series: TiltFocalSeries) -> tuple[AlnFile, str]:
    """AreTomo's table of the first focus, and what to tell of its rows.

    Raises
    ------
    DataError
        Images are magnified, none is used, or sections of the file are not in the series.
    """
    sections = series.sections
    if sections is None:
        told = f"{UNKNOWN.format(order='rising tilt')}, turned back to how they were read"
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
