"""Pictures by which a person judges an alignment: overlays and sinogram; predictions are in predictions.py.

All are made from a series and an :class:`.align.model.Alignment` of it. Positions follow the
alignment's convention: a feature at p of the aligned image sits at p + shift in the given one.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.apply import local_at
from napari_phaset3m.prepare.align.model import Alignment

#: Longest side of a picture that is shown, pixels: larger images are binned for it.
PICTURE_PX = 1024
#: A stretch by more than this says nothing any more (tilts of 75° and 0°).
MOST_STRETCH = 4.0


def picture_bin(shape: tuple[int, int], longest: int = PICTURE_PX) -> int:
    """By how much images of this shape are binned before they are shown."""
    return max(1, -(-max(shape) // longest))


def aligned_picture(
    series: TiltFocalSeries,
    alignment: Alignment,
    place: tuple[int, int],
    bin_: int = 1,
    local: np.ndarray | None = None,
) -> np.ndarray:
    """One image where the alignment puts it.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment
        Of this series.
    place : tuple of int
        (tilt, focus).
    bin_ : int
        Pixels that are averaged along each axis; a rest at the far edges is cut off.
    local : ndarray, optional
        Field that goes with the alignment, see :func:`.align.apply.apply`.

    Returns
    -------
    ndarray
        `(ny // bin, nx // bin)` float32; linear interpolation, the image's median outside.
    """
    from scipy.ndimage import affine_transform, map_coordinates

    image = np.asarray(series.images[place])
    matrix = alignment.matrices()[place][::-1, ::-1]
    centre = (np.array(image.shape) - 1) / 2
    offset = centre + alignment.shifts_px[place] - matrix @ centre
    outside = float(np.median(image[::3, ::3]))
    if local is not None:
        places = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in image.shape), indexing="ij"))
        given = _given(places, alignment, place, series.image_shape, local) + centre[:, None, None]
        placed = map_coordinates(image, given, order=1, cval=outside)
    elif not np.any(alignment.shifts_px[place]) and np.allclose(matrix, np.eye(2)):
        placed = image
    else:
        placed = affine_transform(image, matrix, offset, order=1, cval=outside)
    return _binned(placed, bin_)


def _given(
    places: np.ndarray,
    alignment: Alignment,
    place: tuple[int, int],
    image_shape: tuple[int, int],
    local: np.ndarray | None,
) -> np.ndarray:
    """`(2, ny, nx)` places in the given image of those in the aligned one, all (y, x) from the centres."""
    given = np.einsum("ij,jyx->iyx", alignment.matrices()[place][::-1, ::-1], places)
    given += alignment.shifts_px[place][:, None, None]
    return np.asarray(given if local is None else given + local_at(local[place], places, image_shape))


def _binned(image: np.ndarray, bin_: int) -> np.ndarray:
    if bin_ == 1:
        return np.asarray(image, REAL)
    ny, nx = (n // bin_ for n in image.shape)
    cut = image[: ny * bin_, : nx * bin_].reshape(ny, bin_, nx, bin_)
    return np.asarray(cut.mean(axis=(1, 3)), REAL)


def stretched(image: np.ndarray, factor: float) -> np.ndarray:
    """An image drawn out across the tilt axis (x) about its centre by ``factor`` (cosine stretch)."""
    from scipy.ndimage import affine_transform

    factor = float(np.clip(factor, 1 / MOST_STRETCH, MOST_STRETCH))
    nx = image.shape[1]
    offset = (nx - 1) / 2 * (1 - 1 / factor)
    return np.asarray(
        affine_transform(image, [1.0, 1 / factor], [0.0, offset], order=1, mode="nearest"), REAL
    )


def stretch_factor(tilt_deg: np.ndarray, of: int, to: int) -> float:
    """By how much image ``of`` must be drawn out to look like image ``to``: cos(to) / cos(of)."""
    cosine = np.cos(np.radians(tilt_deg))
    return float(cosine[to] / max(abs(cosine[of]), 1e-3))


def smoothed(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian low-pass; 0: none."""
    if sigma_px <= 0:
        return image
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image, sigma_px, mode="nearest"), REAL)


def normalised(image: np.ndarray, clip: float = 2.5) -> np.ndarray:
    """Values in 0..1: the mean in the middle, ``clip`` standard deviations to either end."""
    mean, spread = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    if not spread > 0:
        return np.full(image.shape, 0.5, REAL)
    return np.asarray(np.clip((image - mean) / (2 * clip * spread) + 0.5, 0, 1), REAL)


def red_cyan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(ny, nx, 3)` uint8: ``a`` in red and ``b`` in cyan; grey where they agree."""
    red, cyan = normalised(a), normalised(b)
    return np.asarray(np.stack((red, cyan, cyan), axis=-1) * 255 + 0.5, np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """`(ny, nx, 3)` uint8 of one image."""
    value = np.asarray(normalised(image) * 255 + 0.5, np.uint8)
    return np.repeat(value[..., None], 3, axis=-1)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(ny, nx, 3)` uint8 of ``a`` minus ``b``, both normalised; mid grey where they agree."""
    return grey(normalised(a) - normalised(b))


def sinogram(
    series: TiltFocalSeries,
    alignment: Alignment,
    row: int,
    focus: int,
    *,
    width: int = 3,
    local: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Aligned rows against tilt: features follow sines where the alignment is right.

    Parameters
    ----------
    series, alignment : TiltFocalSeries, Alignment
    row, focus : int
        Row of the aligned images; whose images.
    width : int
        Rows that are averaged.
    local : ndarray, optional
        As in :func:`aligned_picture`.

    Returns
    -------
    rows : ndarray
        `(n, nx)` float32, one line for each used image, each with mean 0; sorted by tilt.
    tilt_deg : ndarray
        `(n,)` rising.
    """
    from scipy.ndimage import map_coordinates

    ny, nx = series.image_shape
    if not 0 <= row < ny:
        raise DataError(f"{row} is not a row of images {ny} pixels high", field="row")
    used = np.flatnonzero(alignment.used[:, focus])
    order = used[np.argsort(alignment.tilt_deg[used], kind="stable")]
    lines = row + np.arange(width) - (width - 1) / 2
    centre = (np.array((ny, nx)) - 1) / 2
    y, x = np.meshgrid(lines - centre[0], np.arange(nx) - centre[1], indexing="ij")
    rows = np.empty((len(order), nx), REAL)
    for number, tilt in enumerate(order):
        place = (int(tilt), focus)
        places = _given(np.stack((y, x)), alignment, place, series.image_shape, local) + centre[:, None, None]
        values = map_coordinates(series.images[tilt, focus], places, order=1, mode="nearest").mean(axis=0)
        rows[number] = values - values.mean()
    return rows, alignment.tilt_deg[order]
