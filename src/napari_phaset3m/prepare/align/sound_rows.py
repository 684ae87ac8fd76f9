"""Rows of an alignment file that no alignment has: of used images they refuse it, others are not taken."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.file_rows import Rows
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.transforms import MAX_STRETCH_PX, UNSTRETCH, stretch_px, stretch_words

#: Magnification (or its inverse) from which on a row is damaged.
MOST_SCALE = 2.0
_MEND = "Mend that row, or give the file of this stack"
_OTHER_BIN = (
    "Was the file made for images of another binning? Then give the one made for these, or say so: "
    "--import-pixel-ratio (in the window Import .xf or .aln of a binned stack). Else mend that row"
)


def sound_rows(
    xf: np.ndarray,
    shape: tuple[int, ...],
    rows: Rows,
    fits: tuple[TiltFocalSeries, float],
    shown: tuple[str, np.ndarray],
) -> Rows:
    """The rows without those of unused images that no alignment has; images of ``shape`` (ny, nx)."""
    (ny, nx), (series, ratio) = shape, fits
    assert series.used is not None
    size = (nx / ratio, ny / ratio)
    index = check_rows(xf, (size, series.image_shape), (rows.index, series.used), shown)
    return Rows(index, rows.tilt_deg, (*rows.notes, *passed_over(rows.index, index)))


def table_of(xf: np.ndarray, rows: Rows) -> np.ndarray:
    """Transforms `(n_tilt * n_focus, 2, 3)` of all images; one that has no row is left where it is."""
    seen = (rows.index >= 0)[..., None, None]
    return np.asarray(np.where(seen, xf[rows.index], np.eye(2, 3)).reshape(-1, 2, 3))


def kept_where(seen: np.ndarray, found: Alignment, start: Alignment) -> Alignment:
    """The found alignment; images that are not ``seen`` `(n_tilt, n_focus)` keep their start."""
    return found.replace(
        shifts_px=np.where(seen[..., None], found.shifts_px, start.shifts_px),
        rotation_deg=np.where(seen, found.rotation_deg, start.rotation_deg),
        magnification=np.where(seen, found.magnification, start.magnification),
    )


def check_rows(
    transforms: np.ndarray,
    sizes: tuple[tuple[float, float], tuple[int, int]],
    rows: tuple[np.ndarray, np.ndarray],
    shown: tuple[str, np.ndarray],
) -> np.ndarray:
    """Refuse transforms that no alignment has: one that mirrors, stretches, magnifies twofold, or more.

    And one that moves an image by more than its own size: nothing of it is left in view.

    Parameters
    ----------
    transforms : ndarray
        `(n, 2, 3)`, given -> aligned about the centres.
    sizes : ((float, float), (int, int))
        (nx, ny) of the images in the transforms' own pixels, and (ny, nx) of those of the series.
    rows : (ndarray, ndarray)
        `(n_tilt, n_focus)` row of each image (-1: none), and whether that image is used.
    shown : (str, ndarray)
        What the file calls its shifts, and these, `(n, 2)` (x, y).

    Returns
    -------
    ndarray
        The rows, -1 where such a one is of an image that is not used: programs leave there what they like.

    Raises
    ------
    DataError
        Names the first such row of an image that is used.
    """
    index, used = rows
    cannot_be = []
    for row in np.unique(index[index >= 0]):
        found = _problem(transforms[row], sizes, (shown[0], shown[1][row]))
        if found and used[index == row].any():
            raise DataError(found[0], field=f"row {row + 1}", remedy=found[1])
        if found:
            cannot_be.append(int(row))
    return np.where(np.isin(index, cannot_be), -1, index)


def passed_over(before: np.ndarray, after: np.ndarray) -> tuple[str, ...]:
    """What to tell of rows that :func:`check_rows` took away."""
    rows = np.unique(before[before != after]) + 1
    if not rows.size:
        return ()
    if rows.size == 1:
        return (f"row {rows[0]} was not taken: no alignment has such a one, and its image is not used",)
    which = ", ".join(map(str, rows))
    return (f"rows {which} were not taken: no alignment has such ones, and their images are not used",)


def _problem(
    transform: np.ndarray,
    sizes: tuple[tuple[float, float], tuple[int, int]],
    shown: tuple[str, np.ndarray],
) -> tuple[str, str] | None:
    """What is wrong with one transform, and what to do."""
    matrix, offset, (size, image_shape) = transform[:, :2], transform[:, 2], sizes
    scale = float(np.linalg.det(matrix))
    if not 0 < scale < np.inf:
        return "mirrors or squashes the image", _MEND
    if not 1 / MOST_SCALE < np.sqrt(scale) < MOST_SCALE:
        return f"magnifies the image by {np.sqrt(scale):.4g}, and tilts differ by some percent", _MEND
    stretch = float(stretch_px(matrix, image_shape))
    if stretch > MAX_STRETCH_PX:
        return stretch_words(stretch), UNSTRETCH
    if not np.any(np.abs(np.linalg.solve(matrix, offset)) > size):
        return None
    name, (x, y) = shown
    return (
        f"{name} = {x:.10g}, {y:.10g} px move the image of {size[0]:.0f} x {size[1]:.0f} px (x, y) "
        "out of view",
        _OTHER_BIN,
    )
