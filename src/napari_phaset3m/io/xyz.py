"""Atom positions in plain XYZ files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.atomic import write_text


def save_xyz(
    path: str | os.PathLike[str],
    positions_angstrom: np.ndarray,
    symbols: Sequence[str],
    *,
    comment: str = "",
    columns: np.ndarray | None = None,
) -> Path:
    """Write ``symbol x y z`` lines, atomically.

    Parameters
    ----------
    path : path-like
    positions_angstrom : ndarray
        `(n, 3)` x, y, z from the rotation centre.
    symbols : sequence of str
        One per atom, without spaces.
    comment : str
        Second line; line breaks become spaces.
    columns : ndarray, optional
        `(n, k)` numbers appended to the lines (intensities, say); most readers ignore them.

    Raises
    ------
    ConfigError
        Lengths differ, a position is not finite, or a symbol is not one word.
    OutputError
        It could not be written; nothing half-written is left.
    """
    positions = np.asarray(positions_angstrom, float)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(symbols) != len(positions):
        raise ConfigError(f"symbols: {len(symbols)} given for positions of shape {positions.shape}")
    if not np.isfinite(positions).all():
        raise ConfigError("positions_angstrom: holds positions that are not finite")
    wrong = next((s for s in symbols if len(s.split()) != 1 or s != s.strip()), None)
    if wrong is not None:
        raise ConfigError(f"symbols: {wrong!r} is not one word")
    extra = np.empty((len(positions), 0)) if columns is None else np.asarray(columns, float)
    lines = [
        " ".join([symbol, *(f"{v:.5f}" for v in place), *(f"{v:.6g}" for v in more)])
        for symbol, place, more in zip(symbols, positions, extra, strict=True)
    ]
    write_text(path, "\n".join([str(len(positions)), " ".join(comment.split()), *lines]) + "\n")
    return Path(path)
