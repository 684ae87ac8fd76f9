"""Atoms from XYZ files."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import check_exists

#: Larger text files are no list of atoms that this program could match.
_MOST_BYTES = 500_000_000


@dataclass(frozen=True, slots=True, eq=False)
class AtomList:
    """Atoms as a file lists them.

    Attributes
    ----------
    symbols : tuple of str
    positions_angstrom : ndarray
        `(n, 3)` float64 x, y, z; for this program from the rotation centre. Read-only.
    """

    symbols: tuple[str, ...]
    positions_angstrom: np.ndarray


def read_xyz(path: str | os.PathLike[str]) -> AtomList:
    """Read an XYZ file: the number of atoms, a comment, and ``symbol x y z`` in angstrom per line.

    Further columns are left alone.

    Raises
    ------
    DataError
        It cannot be read, a line is no atom, or the number of atoms is another.
    """
    found = check_exists(path)
    if found.stat().st_size > _MOST_BYTES:
        raise DataError(f"is larger than {_MOST_BYTES / 1e6:.0f} MB", path=path)
    try:
        lines = found.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({' '.join(str(error).split())})", path=path) from None
    try:
        count = int(lines[0])
    except (IndexError, ValueError):
        raise DataError("does not begin with the number of atoms", path=path, field="line 1") from None
    rows = [line for line in lines[2:] if line.strip()]
    if count < 1 or len(rows) != count:
        raise DataError(f"states {count} atoms but lists {len(rows)}", path=path, field="line 1")
    symbols, positions = [], np.empty((count, 3))
    for number, row in enumerate(rows):
        words = row.split()
        try:
            positions[number] = [float(word) for word in words[1:4]]
        except ValueError:
            raise DataError(
                f"is {row.strip()[:60]!r}",
                path=path,
                field=f"atom {number + 1}",
                remedy="Write: symbol x y z",
            ) from None
        symbols.append(words[0])
    if not np.isfinite(positions).all():
        raise DataError("holds NaN or infinite values", path=path, field="positions")
    positions.flags.writeable = False
    return AtomList(tuple(symbols), positions)
