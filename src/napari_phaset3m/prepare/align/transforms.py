"""Alignments as the numbers of IMOD's .xf and AreTomo's .aln, and back.

**IMOD** (.xf; https://bio3d.colorado.edu/imod/doc/man/xfmodel.html and "Concept of transforms"):
raw -> aligned about the image centres, ``X' = A11 X + A12 Y + DX``, ``Y' = A21 X + A22 Y + DY``, X to the
right and Y up. IMOD draws row 0 of an MRC file at the bottom; this project keeps the file's rows, so
its y (the row index) *is* IMOD's Y and no sign changes. With the convention of model.py,
``A = R(-r) / m`` and ``D = -A (shift_x, shift_y)``. A tilt axis at angle a from +Y towards -X has r = a.

**AreTomo** (.aln): ``ROT`` is that same axis angle, ``TX TY`` the shift of the raw image: AreTomo3 itself
writes .xf files with ``A = R(-ROT)``, ``D = -A (TX, TY)`` (AreTomo/ImodUtil/CSaveXF.cpp), so rotation and
shifts are taken as they are. Beware: the Python package ``alnfile`` writes .xf with ``A = R(+ROT)``,
which turns the axis away from y by twice the angle. ``GMAG`` is always 1 and does nothing in AreTomo.
The table of local shifts is not taken over.

**Turned images.** A series that was turned at import (``tilt_axis_angle_deg``) is not the raw stack that
these files speak of; the conversion turns rotations and shifts back and forth by that angle.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import AlnFile
from napari_phaset3m.prepare.align.model import Alignment

#: A stretch or skew may move a corner of the image by this much before it is refused.
MAX_STRETCH_PX = 1.0
UNSTRETCH = "Solve it without stretch and skew, or let newstack apply it and import that stack"
_MAX_GMAG = 1e-3


def to_xf(alignment: Alignment, turned_deg: float = 0.0) -> np.ndarray:
    """IMOD's transforms of an alignment.

    Parameters
    ----------
    alignment : Alignment
    turned_deg : float
        By how much the images were turned at import (``series.tilt_axis_angle_deg``); the transforms
        then are those of the stack before.

    Returns
    -------
    ndarray
        `(n_tilt * n_focus, 2, 3)`, foci of a tilt side by side.
    """
    raw = _turned(alignment, turned_deg)
    matrices = np.linalg.inv(raw.matrices()).reshape(-1, 2, 2)
    shifts = raw.shifts_px[..., ::-1].reshape(-1, 2)
    return np.concatenate((matrices, -np.einsum("nij,nj->ni", matrices, shifts)[..., None]), -1)


def from_xf(
    xf: np.ndarray,
    start: Alignment,
    image_shape: tuple[int, int],
    *,
    turned_deg: float = 0.0,
    pixel_ratio: float = 1.0,
) -> Alignment:
    """An alignment from IMOD's transforms.

    Parameters
    ----------
    xf : ndarray
        `(n, 2, 3)`, one for each tilt or one for each image (foci of a tilt side by side).
    start : Alignment
        Tilts, used images and defocus are taken from it.
    image_shape : tuple of int
        (ny, nx).
    turned_deg : float
        As in :func:`to_xf`.
    pixel_ratio : float
        Pixel of the stack that the transforms were made for over the series' own.

    Raises
    ------
    DataError
        Another number of transforms, or one that stretches the image: an alignment holds rotation,
        magnification and shift.
    """
    images = (start.n_tilt, start.n_focus)
    check_number(len(xf), start)
    table = np.asarray(xf, np.float64).reshape(images[0], -1, 2, 3)
    matrix = table[..., :2]
    scale = np.linalg.det(matrix)
    if not np.isfinite(table).all() or scale.min() <= 0:
        raise DataError("holds a transform that mirrors or squashes the image", field="xf")
    angle = np.arctan2(matrix[..., 1, 0] - matrix[..., 0, 1], matrix[..., 0, 0] + matrix[..., 1, 1])
    worst = float(stretch_px(matrix, image_shape).max())
    if worst > MAX_STRETCH_PX:
        raise DataError(stretch_words(worst), field="xf", remedy=UNSTRETCH)
    shifts = -np.einsum("tfij,tfj->tfi", np.linalg.inv(matrix), table[..., 2] * pixel_ratio)
    raw = start.replace(
        shifts_px=np.broadcast_to(shifts[..., ::-1], (*images, 2)),
        rotation_deg=np.broadcast_to(-np.degrees(angle), images),
        magnification=np.broadcast_to(1 / np.sqrt(scale), images),
        residual=np.nan,
        shift_error_px=np.nan,
    )
    return _turned(raw, -turned_deg)


def check_number(count: int, start: Alignment) -> int:
    """The number of transforms again; refused unless it is that of the tilts or that of the images.

    Raises
    ------
    DataError
    """
    if count in (start.n_tilt, start.n_tilt * start.n_focus):
        return count
    raise DataError(
        f"{count} transforms for {start.n_tilt} tilts with {start.n_focus} foci",
        field="xf",
        remedy="Give one for each tilt, or one for each image",
    )


def stretch_px(matrix: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
    """By how many pixels `(...)` matrices `(..., 2, 2)` move a corner beyond a turn and a magnification."""
    angle = np.arctan2(matrix[..., 1, 0] - matrix[..., 0, 1], matrix[..., 0, 0] + matrix[..., 1, 1])
    scale, cos, sin = np.sqrt(np.linalg.det(matrix)), np.cos(angle), np.sin(angle)
    alike = scale[..., None, None] * np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), -2)
    corner = np.hypot(*image_shape) / 2
    return np.asarray(np.linalg.norm(matrix - alike, ord=2, axis=(-2, -1)) * corner)


def stretch_words(worst_px: float) -> str:
    """What is wrong with a transform that stretches by so much."""
    return f"has a stretch that moves a corner of the image by {worst_px:.1f} px"


def _turned(alignment: Alignment, angle_deg: float) -> Alignment:
    """The same alignment told of images turned by ``-angle_deg``: raw from turned, places g' = R(angle) g."""
    if not angle_deg:
        return alignment
    angle = np.radians(angle_deg)
    y, x = alignment.shifts_px[..., 0], alignment.shifts_px[..., 1]
    moved = np.stack((np.sin(angle) * x + np.cos(angle) * y, np.cos(angle) * x - np.sin(angle) * y), -1)
    rotation = 180 - (180 - alignment.rotation_deg - angle_deg) % 360  # a whole turn would resample
    return alignment.replace(shifts_px=moved, rotation_deg=rotation)


def to_aln(
    alignment: Alignment,
    image_shape: tuple[int, int],
    focus: int = 0,
    turned_deg: float = 0.0,
    stated_deg: np.ndarray | None = None,
) -> AlnFile:
    """AreTomo's table of one focus, in the order of rising tilt; tilts not used are its dark frames.

    Parameters
    ----------
    alignment : Alignment
    image_shape : tuple of int
        (ny, nx).
    focus : int
    turned_deg : float
        As in :func:`to_xf`.
    stated_deg : ndarray, optional
        `(n_tilt,)` the tilts that tell the order; the alignment's own where none are given. The series' own
        are those that :func:`from_aln` will count by, whatever a refinement of the tilts did.

    Raises
    ------
    DataError
        An image is magnified, which AreTomo does not undo, or none is used.
    """
    table = to_xf(alignment, turned_deg).reshape(alignment.n_tilt, alignment.n_focus, 2, 3)[:, focus]
    stated = alignment.tilt_deg if stated_deg is None else stated_deg
    return aln_of_xf(table, alignment, image_shape, (None, stated), focus)


def aln_of_xf(
    xf: np.ndarray,
    alignment: Alignment,
    image_shape: tuple[int, int],
    order: tuple[np.ndarray | None, np.ndarray],
    focus: int = 0,
) -> AlnFile:
    """AreTomo's table of transforms, by rising tilt; tilts whose image is not used are its dark frames.

    Parameters
    ----------
    xf : ndarray
        `(n_tilt, 2, 3)`, raw -> aligned about the centres.
    alignment : Alignment
        Its tilts, and which images are used.
    image_shape : tuple of int
        (ny, nx) of the raw images.
    order : tuple
        `(n_tilt,)` section of each tilt, from 0 (None: its rank), and the tilts that tell the order.
    focus : int

    Raises
    ------
    DataError
        An image is magnified, which AreTomo does not undo, or none is used.
    """
    matrix, (stacked, stated) = xf[..., :2], order
    if np.abs(1 / np.sqrt(np.linalg.det(matrix)) - 1).max() > _MAX_GMAG:
        raise DataError(
            "is not 1, and AreTomo does not undo it", field="magnification", remedy="Export an .xf file"
        )
    ranked = np.argsort(stated, kind="stable")
    sections = np.arange(len(ranked)) if stacked is None else stacked[ranked]
    kept = alignment.used[ranked, focus]
    if not kept.any():
        raise DataError("no image is used", field="used")
    tilts = ranked[kept]
    angle = np.arctan2(matrix[:, 1, 0] - matrix[:, 0, 1], matrix[:, 0, 0] + matrix[:, 1, 1])
    shifts = -np.einsum("tij,tj->ti", np.linalg.inv(matrix), xf[..., 2])
    dark = ((int(i), int(sections[i]), float(alignment.tilt_deg[ranked[i]])) for i in np.flatnonzero(~kept))
    return AlnFile(
        raw_size=(image_shape[1], image_shape[0], len(ranked)),
        sections=sections[kept],
        rotation_deg=-np.degrees(angle[tilts]),
        magnification=np.ones(tilts.size),
        shifts_px=shifts[tilts],
        tilt_deg=alignment.tilt_deg[tilts],
        dark=tuple(dark),
        alpha_offset_deg=0.0,
        beta_offset_deg=0.0,
        thickness_px=None,
        local=np.empty((0, 7)),
        n_patches=0,
    )


def xf_of_aln(aln: AlnFile) -> np.ndarray:
    """`(n, 2, 3)` transforms of AreTomo's rows, as AreTomo3's own .xf has them.

    Raises
    ------
    DataError
        A magnification is not 1.
    """
    if np.abs(aln.magnification - 1).max() > _MAX_GMAG:
        raise DataError("is not 1, which AreTomo never writes", field="GMAG", remedy="Is it the right file?")
    angle = np.radians(aln.rotation_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack((np.stack((cos, sin), -1), np.stack((-sin, cos), -1)), -2)
    return np.concatenate((matrix, -np.einsum("nij,nj->ni", matrix, aln.shifts_px)[..., None]), -1)


def from_aln(
    aln: AlnFile, start: Alignment, *, turned_deg: float = 0.0, pixel_ratio: float = 1.0
) -> Alignment:
    """An alignment from AreTomo's table; its dark frames are not used, and keep their start.

    Parameters
    ----------
    aln : AlnFile
        Its rows belong to the tilts in rising order.
    start : Alignment
        Used images and defocus are taken from it.
    turned_deg, pixel_ratio : float
        As in :func:`from_xf`.

    Raises
    ------
    DataError
        Another number of images than the series has tilts, or a magnification that is not 1.
    """
    rows = aln.raw_indices()
    total = rows.size + len(aln.dark)
    if total != start.n_tilt or rows.max() >= start.n_tilt:
        raise DataError(
            f"{total} images (dark ones included) for {start.n_tilt} tilts of the series",
            field="SEC",
            remedy="Give the .aln of this stack",
        )
    xf_of_aln(aln)  # refuses a magnification
    tilts = np.argsort(start.tilt_deg, kind="stable")[rows]
    raw = _turned(start, turned_deg)
    shifts, rotation = np.array(raw.shifts_px), np.array(raw.rotation_deg)
    angles, used = np.array(start.tilt_deg), np.zeros_like(start.used)
    shifts[tilts] = (aln.shifts_px[:, ::-1] * pixel_ratio)[:, None]
    rotation[tilts] = aln.rotation_deg[:, None]
    angles[tilts] = aln.tilt_deg
    used[tilts] = start.used[tilts]
    changed = raw.replace(
        shifts_px=shifts,
        rotation_deg=rotation,
        tilt_deg=angles,
        used=used,
        residual=np.nan,
        shift_error_px=np.nan,
    )
    return _turned(changed, -turned_deg)
