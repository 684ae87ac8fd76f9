"""Put an alignment into a series: metadata only, or one resampling when images are turned."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.orient import turn_aberrations
from napari_phaset3m.prepare.align.model import Alignment

#: At 0.8 Nyquist splines of this order keep 92 % of the amplitude, cubic ones 83 % (their closed form).
SPLINE_ORDER = 5


def apply(series: TiltFocalSeries, alignment: Alignment, local: np.ndarray | None = None) -> TiltFocalSeries:
    """The series with this alignment.

    Without rotation, magnification and local field nothing is resampled: shifts, tilts, used images
    and defocus are changed. Else every image is resampled once, by quintic splines, about its centre;
    the shifts are **not** taken in but stay in ``shifts_px``, told in the new images' axes, so that
    no image loses a border to them and they can still be refined. What a turned image does not cover
    holds its median.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment
        Of this series' images: its shifts replace the series' own.
    local : ndarray, optional
        `(n_tilt, n_focus, 2, ny, nx)` or `(n_tilt, n_focus, 2, my, mx)` on a coarser grid that spans
        the image (see local.py): further (y, x) displacement, pixels of the given image, at each
        place of the aligned one.

    Returns
    -------
    TiltFocalSeries
        With a common rotation taken into ``tilt_axis_angle_deg`` and the azimuths of aberrations.
        History, doses and the rest are carried; the caller records the step.

    Raises
    ------
    DataError
        The alignment is of another number of images.
    """
    if (alignment.n_tilt, alignment.n_focus) != (series.n_tilt, series.n_focus):
        raise DataError(
            f"{alignment.n_tilt} x {alignment.n_focus} images in the alignment, "
            f"{series.n_tilt} x {series.n_focus} in the series",
            field="alignment",
            remedy="Give the alignment of this series",
        )
    plain = series.replace(
        shifts_px=alignment.shifts_px,
        tilt_deg=alignment.tilt_deg,
        used=alignment.used,
        defocus_angstrom=(
            series.defocus_angstrom if alignment.defocus_angstrom is None else alignment.defocus_angstrom
        ),
    )
    if not alignment.turned and local is None:
        return plain
    matrices = alignment.matrices()
    inverse = np.linalg.inv(matrices)
    shifts = np.einsum("tfij,tfj->tfi", inverse, alignment.shifts_px[..., ::-1])[..., ::-1]
    angle = alignment.axis_angle_deg
    return plain.replace(
        images=_resampled(series.images, matrices, local, shifts),
        shifts_px=shifts,
        tilt_axis_angle_deg=series.tilt_axis_angle_deg + angle,
        aberrations=turn_aberrations(series.aberrations, angle),
        sections=series.sections and series.sections.moved(np.pad(matrices, ((0, 0),) * 3 + ((0, 1),))),
    )


def _resampled(
    images: np.ndarray, matrices: np.ndarray, local: np.ndarray | None, shifts: np.ndarray
) -> np.ndarray:
    result = np.empty(images.shape, REAL)
    for index in np.ndindex(images.shape[:2]):
        field = None if local is None else _field(local[index], images.shape[2:], shifts[index])
        result[index] = resample(images[index], matrices[index], field)
    return result


def _field(local: np.ndarray, shape: tuple[int, ...], shift: np.ndarray) -> np.ndarray:
    # The new image holds place q = p + shift of the aligned place p: the field is that at q - shift.
    from scipy.ndimage import map_coordinates

    places = []
    for axis, (n, m) in enumerate(zip(shape, local.shape[1:], strict=True)):
        step = (m - 1) / (n - 1) if n > 1 else 0.0
        places.append((np.arange(n) - shift[axis]) * step)
    grid = np.meshgrid(*places, indexing="ij")
    return np.stack([map_coordinates(part, grid, order=1, mode="nearest") for part in local])


def resample(image: np.ndarray, matrix: np.ndarray, field: np.ndarray | None = None) -> np.ndarray:
    """One image turned, magnified and unbent by splines about its centre.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    matrix : ndarray
        `(2, 2)`: (x, y) of ``image`` from (x, y) of the result.
    field : ndarray, optional
        `(2, ny, nx)` further (y, x) displacement in ``image``, pixels.

    Returns
    -------
    ndarray
        `(ny, nx)` float32; the median of ``image`` outside of it.
    """
    from scipy.ndimage import affine_transform, map_coordinates

    centre = (np.array(image.shape) - 1) / 2
    swapped = matrix[::-1, ::-1]
    offset = centre - swapped @ centre
    outside = float(np.median(image))
    source = np.asarray(image, np.float64)
    if field is None:
        return np.asarray(affine_transform(source, swapped, offset, order=SPLINE_ORDER, cval=outside), REAL)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in image.shape), indexing="ij"))
    places = np.einsum("ij,jyx->iyx", swapped, grid) + offset[:, None, None] + field
    return np.asarray(map_coordinates(source, places, order=SPLINE_ORDER, cval=outside), REAL)
