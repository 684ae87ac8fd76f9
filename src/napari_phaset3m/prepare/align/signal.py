"""One band-passed image for each tilt, from which the model-free stages work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.contrast import combine, contrast_transfer, unshifted
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.prepare.align.apply import resample
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.model import Alignment

_BORDER = 0.08


@dataclass(frozen=True, slots=True, eq=False)
class TiltImages:
    """One image for each tilt.

    Attributes
    ----------
    images : ndarray
        `(n_tilt, ny, nx)` float32, as given (not moved, not filtered), vacuum or median = 0.
    tilt_deg : ndarray
        `(n_tilt,)`.
    usable : ndarray
        `(n_tilt,)` bool.
    focus : int or None
        Where they come from; None: all foci.
    bin_factor : float
        Pixels of the given images in one of these.
    """

    images: np.ndarray
    tilt_deg: np.ndarray
    usable: np.ndarray
    focus: int | None
    bin_factor: float = 1.0


def tilt_images(series: TiltFocalSeries, config: CoarseConfig, alignment: Alignment) -> TiltImages:
    """Choose (or combine) the image of each tilt.

    Parameters
    ----------
    series : TiltFocalSeries
    config : CoarseConfig
        ``focus`` is used.
    alignment : Alignment
        Shifts between foci, for ``"mean"``: the result lies where each tilt's first used focus does.

    Raises
    ------
    ConfigError
        There is no such focus.
    DataError
        Fewer than three tilts are used, or the mean needs optics that the series does not state.
    """
    used = alignment.used
    if config.focus == "mean":
        values, focus = _mean(series, alignment), None
        usable = used.any(1)
    else:
        focus = _focus(series) if config.focus == "auto" else config.focus
        if focus >= series.n_focus:
            raise ConfigError(f"focus: there are {series.n_focus} foci, counted from 0; {focus} is none")
        values, usable = series.images[:, focus], used[:, focus]
    found = TiltImages(levelled(values), np.array(alignment.tilt_deg), np.array(usable), focus)
    return enough(found)


def enough(tilts: TiltImages) -> TiltImages:
    """The same, if three tilts are usable.

    Raises
    ------
    DataError
    """
    if tilts.usable.sum() < 3:
        raise DataError(
            f"{int(tilts.usable.sum())} of {tilts.usable.size} tilts can be used",
            field="mask",
            remedy="At least three are needed to align tilts",
        )
    return tilts


def _focus(series: TiltFocalSeries) -> int:
    if series.defocus_angstrom is None:
        return 0
    return int(np.abs(np.asarray(series.defocus_angstrom)).mean(0).argmax())


def levelled(values: np.ndarray) -> np.ndarray:
    """Images `(n, ny, nx)` float32 with their medians at 0."""
    flat = np.asarray(values, REAL)
    return flat - np.median(flat, axis=(1, 2), keepdims=True)


def _mean(series: TiltFocalSeries, alignment: Alignment) -> np.ndarray:
    if alignment.defocus_angstrom is None:
        raise DataError("is missing", field="defocus_values", remedy="Align one focus instead")
    images = np.empty((series.n_tilt, *series.image_shape), REAL)
    for tilt in range(series.n_tilt):
        images[tilt] = flipped(series, alignment, tilt).mean(0)
    return images


def flipped(
    series: TiltFocalSeries, alignment: Alignment, tilt: int, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Used foci of a tilt with the signs of their transfer undone, where the first one lies.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment
    tilt : int
    shape : tuple of int, optional
        (ny, nx) of the result, to which spectra are cut before anything else; as given without it.

    Returns
    -------
    ndarray
        `(n, ny, nx)` float32.
    """
    from napari_phaset3m.analyse.ctf import series_microscope

    assert alignment.defocus_angstrom is not None
    microscope = series_microscope(series)
    ny, nx = shape or series.image_shape
    factor = series.image_shape[1] / nx
    grid = Grid(nx, ny, series.pixel_size_angstrom * factor)
    foci = np.flatnonzero(alignment.used[tilt])
    foci = foci if foci.size else np.arange(1)
    origin, found = alignment.shifts_px[tilt, foci[0]], []
    for focus in foci:
        image = fourier_resample(series.images[tilt, focus], (ny, nx))
        spectrum = unshifted(grid, image.T, (alignment.shifts_px[tilt, focus] - origin) / factor)
        transfer = contrast_transfer(grid, microscope, float(alignment.defocus_angstrom[tilt, focus]))
        found.append(combine([spectrum], [1.0], [transfer], "phase_flip").T)
    return np.stack(found)


def taper(shape: tuple[int, int], fraction: float) -> np.ndarray:
    """`(ny, nx)` float32 round window: 1 inside, falling to 0 as a cosine over ``fraction`` of the radius.

    Round, so that an image turned about its centre keeps what it has.
    """
    if fraction == 0:
        return np.ones(shape, REAL)
    y, x = (np.abs(np.arange(n) - (n - 1) / 2) / (n / 2) for n in shape)
    radius = np.hypot(y[:, None], x[None, :])
    edge = np.clip((1 - radius) / (2 * fraction), 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * edge), REAL)


def band(shape: tuple[int, int], lowpass_per_px: float, highpass_per_px: float) -> np.ndarray:
    """`(ny, nx // 2 + 1)` float32 Gaussian band-pass for a real FFT."""
    ky = np.fft.fftfreq(shape[0])[:, None]
    kx = np.fft.rfftfreq(shape[1])[None, :]
    k2 = ky**2 + kx**2
    kept = np.exp(-k2 / lowpass_per_px**2)
    if highpass_per_px:
        kept = kept * (1 - np.exp(-k2 / highpass_per_px**2))
    kept = np.where(k2 > 0, kept, 0.0)
    return np.asarray(kept, REAL)


def placed(tilts: TiltImages, shifts_px: np.ndarray, angle_deg: float, config: CoarseConfig) -> np.ndarray:
    """The images in aligned places: turned, moved, faded out at the border, band-passed.

    Parameters
    ----------
    tilts : TiltImages
    shifts_px : ndarray
        `(n_tilt, 2)` (y, x) of the given images (as :class:`.model.Alignment` tells them).
    angle_deg : float
        Axis angle in the given images.
    config : CoarseConfig

    Returns
    -------
    ndarray
        `(n_tilt, ny, nx)` float32; 0 where a tilt is not usable.
    """
    from scipy import fft
    from scipy.ndimage import fourier_shift

    shape = tilts.images.shape[1:]
    window, kept = filters(shape, config)
    angle = np.radians(angle_deg)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result = np.zeros(tilts.images.shape, REAL)
    for tilt in np.flatnonzero(tilts.usable):
        # Shift first, by Fourier; what wraps around lies in the border that is faded out.
        spectrum = fourier_shift(fft.rfft2(tilts.images[tilt]), -shifts_px[tilt], n=shape[1])
        image = np.asarray(fft.irfft2(spectrum, s=shape), REAL)
        if angle_deg:
            image = resample(image, matrix)
        result[tilt] = filtered(image, window, kept)
    return result


def filters(shape: tuple[int, ...], config: CoarseConfig) -> tuple[np.ndarray, np.ndarray]:
    """Window `(ny, nx)` and band-pass `(ny, nx // 2 + 1)` of the model-free stages."""
    ny, nx = shape
    return taper((ny, nx), config.taper), band((ny, nx), config.lowpass_per_px, config.highpass_per_px)


def filtered(image: np.ndarray, window: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Faded out at the border without a step there, and band-passed."""
    from scipy import fft

    faded = image * window
    faded -= window * (faded.sum() / window.sum())
    return np.asarray(fft.irfft2(fft.rfft2(faded) * kept, s=image.shape), REAL)


def border_level(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(n,)` median and robust spread of each image's border."""
    ny, nx = images.shape[1:]
    wide = max(1, round(_BORDER * min(ny, nx)))
    inside = np.zeros((ny, nx), bool)
    inside[wide:-wide, wide:-wide] = True
    values = images[:, ~inside]
    median = np.median(values, axis=1)
    return median, 1.4826 * np.median(np.abs(values - median[:, None]), axis=1)
