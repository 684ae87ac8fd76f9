"""Pictures by which a person judges an alignment: overlays, sinogram, prediction and its error.

All are made from a series and an :class:`.align.model.Alignment` of it. Positions follow the
alignment's convention: a feature at p of the aligned image sits at p + shift in the given one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.config import AlignConfig, ReferenceConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress

#: Longest side of a predicted image when nothing is asked for, pixels.
PREDICTED_PX = 160
#: Longest side of a picture that is shown, pixels: larger images are binned for it.
PICTURE_PX = 1024
#: A stretch by more than this says nothing any more (tilts of 75° and 0°).
MOST_STRETCH = 4.0


def picture_bin(shape: tuple[int, int], longest: int = PICTURE_PX) -> int:
    """By how much images of this shape are binned before they are shown."""
    return max(1, -(-max(shape) // longest))


def aligned_picture(
    series: TiltFocalSeries, alignment: Alignment, tilt: int, focus: int, bin_: int = 1
) -> np.ndarray:
    """One image where the alignment puts it.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment
        Of this series.
    tilt, focus : int
    bin_ : int
        Pixels that are averaged along each axis; a rest at the far edges is cut off.

    Returns
    -------
    ndarray
        `(ny // bin, nx // bin)` float32; linear interpolation, the image's median outside.
    """
    from scipy.ndimage import affine_transform

    image = np.asarray(series.images[tilt, focus])
    matrix = alignment.matrices()[tilt, focus][::-1, ::-1]
    centre = (np.array(image.shape) - 1) / 2
    offset = centre + alignment.shifts_px[tilt, focus] - matrix @ centre
    outside = float(np.median(image[::3, ::3]))
    if not np.any(alignment.shifts_px[tilt, focus]) and np.allclose(matrix, np.eye(2)):
        placed = image
    else:
        placed = affine_transform(image, matrix, offset, order=1, cval=outside)
    return _binned(placed, bin_)


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
    series: TiltFocalSeries, alignment: Alignment, row: int, focus: int, width: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Aligned rows against tilt: features follow sines where the alignment is right.

    Parameters
    ----------
    series, alignment : TiltFocalSeries, Alignment
    row, focus : int
        Row of the aligned images; whose images.
    width : int
        Rows that are averaged.

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
    matrices = alignment.matrices()
    used = np.flatnonzero(alignment.used[:, focus])
    order = used[np.argsort(alignment.tilt_deg[used], kind="stable")]
    lines = row + np.arange(width) - (width - 1) / 2
    centre = (np.array((ny, nx)) - 1) / 2
    y, x = np.meshgrid(lines - centre[0], np.arange(nx) - centre[1], indexing="ij")
    rows = np.empty((len(order), nx), REAL)
    for number, tilt in enumerate(order):
        matrix = matrices[tilt, focus][::-1, ::-1]
        places = np.einsum("ij,jyx->iyx", matrix, np.stack((y, x)))
        places += (alignment.shifts_px[tilt, focus] + centre)[:, None, None]
        values = map_coordinates(series.images[tilt, focus], places, order=1, mode="nearest").mean(axis=0)
        rows[number] = values - values.mean()
    return rows, alignment.tilt_deg[order]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a volume of all used images predicts for each of them.

    Attributes
    ----------
    measured, predicted : ndarray
        `(n_tilt, n_focus, my, mx)` float32 contrast in the axes of the aligned images, which the alignment
        turned, magnified and unbent but did not shift; mean 0; ``predicted`` is scaled to ``measured``.
    residual : ndarray
        `(n_tilt, n_focus)`: part of the measured power that is not predicted.
    alignment : Alignment
        It was made with, of the given images.
    scale : float
        Pixels of the series in one of these.
    model : str
        What predicted: "multislice" or "SIRT".
    """

    measured: np.ndarray
    predicted: np.ndarray
    residual: np.ndarray
    alignment: Alignment
    scale: float
    model: str

    def aligned(self, which: str, tilt: int, focus: int, shift_px: np.ndarray | None = None) -> np.ndarray:
        """`(my, mx)` of ``"measured"`` or ``"predicted"`` in the aligned frame.

        Parameters
        ----------
        which : str
        tilt, focus : int
        shift_px : ndarray, optional
            `(2,)` (y, x) pixels of the series, in the axes of the aligned images; that of the alignment when
            omitted.
        """
        from scipy.ndimage import shift as move

        image = getattr(self, which)[tilt, focus]
        shift = self.alignment.aligned_shifts_px[tilt, focus] if shift_px is None else np.asarray(shift_px)
        return np.asarray(move(image, -shift / self.scale, order=1, mode="constant"), REAL)

    def error_map(self, tilt: int, focus: int, sigma_px: float = 2.0) -> np.ndarray:
        """`(my, mx)` local misfit, relative to the image's variance, smoothed over ``sigma_px``."""
        wrong = (self.measured[tilt, focus] - self.predicted[tilt, focus]) ** 2
        power = float((self.measured[tilt, focus] ** 2).mean())
        return smoothed(np.asarray(wrong / max(power, 1e-30), REAL), sigma_px)


def iterate_predictions(
    series: TiltFocalSeries,
    alignment: Alignment | None = None,
    *,
    local: np.ndarray | None = None,
    model: str = "sirt",
    longest_px: int = PREDICTED_PX,
    sweeps: int = 8,
    finish: Finish | None = None,
) -> Iterator[Event]:
    """Reconstruct quickly from all used images, and predict every image.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment, optional
        As the series states when omitted. Applied first (resampled where images are turned).
    local : ndarray, optional
        Field that goes with it, see :func:`.align.apply.apply`.
    model : {"sirt", "multislice", "auto"}
    longest_px : int
        Longest side of the images it works on.
    sweeps : int
    finish : Finish, optional

    Yields
    ------
    Progress, and Done with the series as given and :class:`Predictions`
    """
    used = Alignment.of(series) if alignment is None else alignment
    applied = apply(series, used, local)
    bin_ = picture_bin(series.image_shape, longest_px)
    reference = Reference(applied, AlignConfig(reference=ReferenceConfig.parse(forward=model)), bin_, sweeps)
    try:
        for fraction in reference.sweeps():
            yield Progress("Reconstructing for the check", 0.7 * fraction)
            if finish is not None and finish.finish_requested() and reference.errors:
                break
        result = yield from _predicted(applied, reference, used)
    finally:
        reference.close()
    yield Done(series, result)


def _predicted(series: TiltFocalSeries, reference: Reference, alignment: Alignment) -> Any:
    shape = reference.measured(0).shape[:0:-1]
    measured = np.zeros((series.n_tilt, series.n_focus, *shape), REAL)
    predicted = np.zeros_like(measured)
    residual = np.full(measured.shape[:2], np.nan)
    for tilt in range(series.n_tilt):
        yield Progress("Predicting images", 0.7 + 0.3 * tilt / series.n_tilt)
        theirs, ours = reference.measured(tilt), reference.predicted(tilt)[0]
        for focus in range(series.n_focus):
            b, a = (np.real(np.fft.ifft2(part[focus])).T for part in (theirs, ours))
            gain = float((a * b).sum() / max(float((a * a).sum()), 1e-30))
            measured[tilt, focus], predicted[tilt, focus] = b, gain * a
            residual[tilt, focus] = float(((b - gain * a) ** 2).sum() / max(float((b * b).sum()), 1e-30))
    model = "SIRT" if reference.linear else "multislice"
    return Predictions(measured, predicted, residual, alignment, reference.scale, model)
