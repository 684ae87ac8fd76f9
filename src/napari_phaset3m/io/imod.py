"""IMOD's text files: .tlt .rawtlt .xtilt .xf .tltxf .prexg, and .defocus; its .com files: imod_com.

Formats: man pages of IMOD (``newstack``, ``tilt``, ``ctfphaseflip``, "Concept of transforms"),
https://bio3d.colorado.edu/imod/doc/. No code of IMOD is used.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import MAX_SECTIONS
from napari_phaset3m.io.text import data_lines, number_rows, read_text_file, refuse_decimal_commas, to_number

PathLike = str | os.PathLike[str]
_ASTIGMATISM, _AXIS_IN_RADIANS, _PHASE, _PHASE_IN_RADIANS, _INVERTED, _CUT_ON = 1, 2, 4, 8, 16, 32


def angles_from_text(text: str) -> list[float]:
    """Degrees as they are typed: ``first:last:step``, or a list.

    Raises
    ------
    ConfigError
        It is neither.
    """
    text = text.strip().replace("−", "-")
    values: list[float] = []
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            count = round((last - first) / step) + 1 if step else 0
            values = [first + step * i for i in range(count)] if 0 < count <= MAX_SECTIONS else []
        else:
            values = [float(part) for part in re.split(r"[\s,;]+", text) if part]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all():
        raise ConfigError("Give angles as first:last:step (e.g. -60:60:2), as a list, or a .tlt file")
    return values


def read_angles(path: PathLike) -> np.ndarray:
    """Angles of a ``.tlt``, ``.rawtlt`` or ``.xtilt`` file: the first number of each line.

    Returns
    -------
    ndarray, shape (n,)
        Degrees, in the order of the stack's sections.

    Raises
    ------
    DataError
        A line holds no number, or the file holds none.
    """
    angles = []
    text = read_text_file(path)
    refuse_decimal_commas(text, path)
    for number, words in data_lines(text):
        angle = to_number(words[0])
        if angle is not None and abs(angle) > 360:
            raise DataError(f"holds {angle:g}, but angles are within ±360 degrees", path=path,
                            field=f"line {number}", remedy="Is it the right file?")  # fmt: skip
        if angle is None:
            raise DataError("holds no angle", path=path, field=f"line {number}",
                            remedy="Give one angle in degrees in each line")  # fmt: skip
        angles.append(angle)
    if not angles or len(angles) > MAX_SECTIONS:
        raise DataError(f"holds {len(angles)} angles", path=path, field="tilt_angles",
                        remedy="Give one angle in degrees in each line")  # fmt: skip
    return np.asarray(angles)


def read_xf(path: PathLike) -> np.ndarray:
    """Transforms of a ``.xf``, ``.tltxf``, ``.prexf`` or ``.prexg`` file.

    A line holds ``A11 A12 A21 A22 DX DY``; with X, Y measured from the image centre (x right, y with
    the rows of the MRC file), raw -> aligned: ``X' = A11 X + A12 Y + DX``, ``Y' = A21 X + A22 Y + DY``.

    Returns
    -------
    ndarray, shape (n, 2, 3)
        ``[[A11, A12, DX], [A21, A22, DY]]``; shifts in pixels of the stack it was made for.

    Raises
    ------
    DataError
        A line does not hold six numbers.
    """
    rows = number_rows(path, 6, 6, "six numbers (A11 A12 A21 A22 DX DY)", MAX_SECTIONS)
    return np.stack((rows[:, (0, 1, 4)], rows[:, (2, 3, 5)]), axis=1)


@dataclass(frozen=True, eq=False)
class DefocusRow:
    """One line of a ``.defocus`` file.

    Attributes
    ----------
    first_view, last_view : int
        Views it holds for, from 0.
    tilt_deg : tuple of float
        First and last tilt angle.
    defocus_angstrom : tuple of float
        Along the two axes, underfocus positive; alike without astigmatism.
    astigmatism_angle_deg : float
        Of the axis of the first defocus, from +x towards +y.
    phase_shift_deg : float
    cut_on_per_nm : float or None
    """

    first_view: int
    last_view: int
    tilt_deg: tuple[float, float]
    defocus_angstrom: tuple[float, float]
    astigmatism_angle_deg: float = 0.0
    phase_shift_deg: float = 0.0
    cut_on_per_nm: float | None = None


@dataclass(frozen=True, eq=False)
class DefocusFile:
    """A ``.defocus`` file: its version, flags and rows."""

    version: int
    flags: int
    rows: tuple[DefocusRow, ...]

    def of_views(self, n_views: int) -> list[DefocusRow | None]:
        """The narrowest row that speaks of each view, the first of several; None where none does."""
        found: list[DefocusRow | None] = [None] * n_views
        for row in sorted(self.rows, key=lambda row: row.last_view - row.first_view):
            for view in range(max(row.first_view, 0), min(row.last_view + 1, n_views)):
                found[view] = found[view] or row
        return found


def read_defocus(path: PathLike) -> DefocusFile:
    """Read a ``.defocus`` file of Ctfplotter, version 1, 2 or 3; also AreTomo's ``_CTF_Imod.txt``.

    Defocus there is in nanometres, underfocus positive, views from 1. Version 2 has a ``2`` as sixth
    number of its first line; version 3 starts with ``flags 0 0. 0. 0 3``, where flags is the sum of 1
    (astigmatism: two defoci and an angle), 2 (that angle in radians), 4 (phase shift), 8 (it in radians),
    16 (angles inverted) and 32 (cut-on frequency). Source: man page of ctfphaseflip, "-defFn".

    Raises
    ------
    DataError
        A line holds too few numbers, or the views make no sense.
    """
    rows = number_rows(path, 5, 9, "views, angles and a defocus", MAX_SECTIONS)
    flags, version = 0, 1
    if rows.shape[1] > 5 and rows[0, 5] == 3 and not rows[0, 1:5].any():
        flags, version, rows = int(rows[0, 0]), 3, rows[1:]
    elif rows.shape[1] > 5 and rows[0, 5] == 2:
        version, rows = 2, rows[:, :5]
    columns = 5 + 2 * bool(flags & _ASTIGMATISM) + bool(flags & _PHASE) + bool(flags & _CUT_ON)
    if not len(rows) or rows.shape[1] < columns or np.isnan(rows[:, :columns]).any():
        raise DataError(f"flags {flags} need {columns} numbers in each line", path=path, field="flags")
    if np.abs(rows[:, :2]).max() > MAX_SECTIONS or (rows[:, 0] > rows[:, 1]).any():
        raise DataError("has view numbers that cannot be", path=path, field="views",
                        remedy="Is it the right file?")  # fmt: skip
    # Old Ctfplotter wrote views from 0 in files of version 1.
    first = 0 if rows[:, 0].min() < 1 else 1
    return DefocusFile(version, flags, tuple(_defocus_row(row, flags, first) for row in rows.tolist()))


def _defocus_row(row: list[float], flags: int, first: int) -> DefocusRow:
    rest = row[5:]
    one = two = row[4] * 10.0
    axis = phase = 0.0
    if flags & _ASTIGMATISM:
        two, axis, rest = rest[0] * 10.0, rest[1], rest[2:]
        axis = float(np.rad2deg(axis)) if flags & _AXIS_IN_RADIANS else axis
    if flags & _PHASE:
        phase, rest = rest[0], rest[1:]
        phase = float(np.rad2deg(phase)) if flags & _PHASE_IN_RADIANS else phase
    sign = -1.0 if flags & _INVERTED else 1.0
    return DefocusRow(
        first_view=int(row[0]) - first,
        last_view=int(row[1]) - first,
        tilt_deg=(sign * row[2], sign * row[3]),
        defocus_angstrom=(one, two),
        astigmatism_angle_deg=axis,
        phase_shift_deg=phase,
        cut_on_per_nm=rest[0] if flags & _CUT_ON else None,
    )
