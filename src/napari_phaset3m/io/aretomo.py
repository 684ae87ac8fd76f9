"""AreTomo's .aln, global and local, as AreTomo2 and AreTomo3 write it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_SECTIONS
from napari_phaset3m.io.text import read_text_file, to_number

_HEAD = re.compile(r"#\s*(\w+)\s*=\s*(.*)")
_COLUMNS = 10


@dataclass(frozen=True, eq=False)
class AlnFile:
    """An AreTomo alignment. Lengths are in pixels of the raw stack, angles in degrees.

    Attributes
    ----------
    raw_size : tuple of int or None
        (nx, ny, n) of the raw stack.
    sections : ndarray, shape (n,)
        ``SEC`` as written: by version the section from 0 or from 1, or a count of the kept images
        (prepare/align/file_rows.py finds out by the tilts); see :meth:`raw_indices`.
    rotation_deg : ndarray, shape (n,)
        ``ROT``, the angle of the tilt axis from +y towards -x. The .xf that AreTomo3 writes has
        ``A = R(-ROT)``; the Python package ``alnfile`` writes the opposite, ``R(+ROT)``.
    magnification : ndarray, shape (n,)
    shifts_px : ndarray, shape (n, 2)
        ``TX, TY`` (x, y): where the centre of the aligned image lies in the raw one, from its centre.
        In either .xf, ``(DX, DY) = -A (TX, TY)``.
    tilt_deg : ndarray, shape (n,)
        With ``AlphaOffset`` added already.
    dark : tuple of (int, int, float)
        Images that AreTomo left out: index in the raw stack sorted by tilt, section, tilt in degrees.
    alpha_offset_deg, beta_offset_deg : float
    thickness_px : float or None
    local : ndarray, shape (m, 7)
        Local alignment: row of the table above (from 0), patch, x, y (from the image centre), dx, dy,
        1 for a good patch and 0 for a bad one. Empty without.
    n_patches : int
    """

    raw_size: tuple[int, int, int] | None
    sections: np.ndarray
    rotation_deg: np.ndarray
    magnification: np.ndarray
    shifts_px: np.ndarray
    tilt_deg: np.ndarray
    dark: tuple[tuple[int, int, float], ...]
    alpha_offset_deg: float
    beta_offset_deg: float
    thickness_px: float | None
    local: np.ndarray
    n_patches: int

    def raw_indices(self) -> np.ndarray:
        """Index of each row in the raw stack sorted by tilt, from 0: what is not dark, in order.

        Raises
        ------
        DataError
            Rows and dark images do not add up to the raw stack.
        """
        n, total = len(self.sections), len(self.sections) + len(self.dark)
        raw = self.raw_size[2] if self.raw_size else total
        dark = {index for index, _, _ in self.dark}
        # Some versions count dark images from 1.
        dark = {index - 1 for index in dark} if raw in dark and 0 not in dark else dark
        kept = [index for index in range(raw) if index not in dark]
        if len(kept) != n:
            raise DataError(f"{n} rows and {len(self.dark)} dark images for {raw} images of the raw stack",
                            field="RawSize")  # fmt: skip
        return np.array(kept)


def read_aln(path: str | os.PathLike[str]) -> AlnFile:
    """Read an AreTomo ``.aln`` file.

    Raises
    ------
    DataError
        It is none, or a line is damaged.
    """
    head: dict[str, str] = {}
    dark: list[tuple[int, int, float]] = []
    rows: list[list[float]] = []
    local: list[list[float]] = []
    target, width = rows, _COLUMNS
    for number, line in enumerate(read_text_file(path).splitlines(), 1):
        text = line.strip()
        if text.startswith("#"):
            if "local" in text.lower() and "=" not in text:
                target, width = local, 7
            match = _HEAD.match(text)
            if match and match.group(1).lower() == "darkframe":
                first, second, third = _numbers(match.group(2).split(), 3, number, path)
                dark.append((int(first), int(second), third))
            elif match:
                head[match.group(1).lower()] = match.group(2)
        elif text:
            target.append(_numbers(text.split(), width, number, path))
    if not rows or len(rows) > MAX_SECTIONS:
        raise DataError(f"holds {len(rows)} aligned images", path=path, remedy="Is it an AreTomo .aln file?")
    table = np.array(rows)
    size = [to_number(word) for word in head.get("rawsize", "").split()]
    return AlnFile(
        raw_size=_size(size),
        sections=table[:, 0].astype(int),
        rotation_deg=table[:, 1],
        magnification=table[:, 2],
        shifts_px=table[:, 3:5],
        tilt_deg=table[:, 9],
        dark=tuple(dark),
        alpha_offset_deg=to_number(head.get("alphaoffset")) or 0.0,
        beta_offset_deg=to_number(head.get("betaoffset")) or 0.0,
        thickness_px=to_number(head.get("thickness")),
        local=np.array(local).reshape(-1, 7),
        n_patches=int(to_number(head.get("numpatches")) or 0),
    )


def _numbers(words: list[str], count: int, line: int, path: str | os.PathLike[str]) -> list[float]:
    values = [to_number(word) for word in words[:count]]
    if len(values) < count or any(value is None or abs(value) > 1e9 for value in values):
        raise DataError(f"does not hold {count} numbers", path=path, field=f"line {line}",
                        remedy="The file is damaged or no AreTomo .aln file")  # fmt: skip
    return [float(value) for value in values if value is not None]


def _size(values: list[float | None]) -> tuple[int, int, int] | None:
    known = [int(value) for value in values[:3] if value is not None and 0 < value <= MAX_SECTIONS]
    return (known[0], known[1], known[2]) if len(known) == 3 else None
