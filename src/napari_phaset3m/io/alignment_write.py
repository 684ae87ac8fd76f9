"""Writers of IMOD's .xf and .tlt and AreTomo's .aln: plain text, atomically."""

from __future__ import annotations

import os

import numpy as np

from napari_phaset3m.io.aretomo import AlnFile
from napari_phaset3m.io.atomic import write_text


def write_xf(path: str | os.PathLike[str], xf: np.ndarray) -> None:
    """Write transforms `(n, 2, 3)` ``[[A11, A12, DX], [A21, A22, DY]]`` as IMOD's .xf.

    Raises
    ------
    OutputError
        It could not be written; an older file is untouched.
    """
    rows = np.asarray(xf, np.float64)
    lines = [
        "".join(f"{value:12.7f}" for value in row[:, :2].ravel()) + f"{row[0, 2]:12.4f}{row[1, 2]:12.4f}"
        for row in rows
    ]
    write_text(path, "\n".join(lines) + "\n")


def write_tlt(path: str | os.PathLike[str], tilt_deg: np.ndarray) -> None:
    """Write angles `(n,)` in degrees as IMOD's .tlt, one on each line.

    Raises
    ------
    OutputError
        It could not be written.
    """
    write_text(path, "".join(f"{angle:9.3f}\n" for angle in np.asarray(tilt_deg, np.float64)))


def write_aln(path: str | os.PathLike[str], aln: AlnFile) -> None:
    """Write the global alignment of an AreTomo .aln file; images left out are its dark frames.

    Raises
    ------
    OutputError
        It could not be written.
    """
    size = aln.raw_size or (0, 0, len(aln.sections) + len(aln.dark))
    lines = [
        "# AreTomo Alignment / Priims bprmMn",
        f"# RawSize = {size[0]} {size[1]} {size[2]}",
        "# NumPatches = 0",
        *(f"# DarkFrame = {index:5d} {section:4d} {tilt:8.2f}" for index, section, tilt in aln.dark),
        f"# AlphaOffset = {aln.alpha_offset_deg:8.2f}",
        f"# BetaOffset = {aln.beta_offset_deg:8.2f}",
        "# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT",
    ]
    table = zip(aln.sections, aln.rotation_deg, aln.magnification, aln.shifts_px, aln.tilt_deg, strict=True)
    for section, rotation, magnification, (x, y), tilt in table:
        lines.append(
            f"{section:5d}{rotation:11.4f}{magnification:11.5f}{x:11.3f}{y:11.3f}"
            f"{1:9.2f}{1:9.2f}{1:9.2f}{0:9.2f}{tilt:10.2f}"
        )
    write_text(path, "\n".join(lines) + "\n")
