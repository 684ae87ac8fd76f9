"""Dark and gain reference of the camera, applied to images that were saved without.

``corrected = (raw - dark) * gain`` (``how="multiply"``, the reference as SerialEM and Gatan write it) or
``(raw - dark) / flat * mean(flat)`` (``how="divide"``, an image of the empty beam). The values of the
series are brought back to what the file had (metadata ``scale``) for the dark reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import as_real, check_finite, what_is_wrong
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import changed_images, scale_of
from napari_phaset3m.prepare.imported import as_imported, is_cropped, why_inexact

#: Files that hold tilts: their mean is no reference.
_SERIES = (".h5", ".hdf5", ".toml", ".mdoc")


class ReferenceConfig(Model):
    """Gain and dark reference."""

    gain: str | None = Field(None, description="Gain (or flat-field) image: .mrc, .tif, .npy; none: 1")
    dark: str | None = Field(None, description="Dark image, in the units of the file; none: 0")
    how: Literal["multiply", "divide"] = Field(
        "multiply", description="The gain image multiplies, or is a flat field that divides"
    )


def read_reference(path: str, shape: tuple[int, int] | None, field: str) -> np.ndarray:
    """A reference image `(ny, nx)` float32; a stack is averaged. ``shape`` None: any.

    Raises
    ------
    DataError
        It cannot be read, has another shape, or values that are not finite.
    """
    from napari_phaset3m.io.series import read_raw

    if Path(path).suffix.lower() in _SERIES:
        raise DataError("is a series, not a reference image", path=path, field=field,
                        remedy="Give .mrc, .tif or .npy")  # fmt: skip
    images = np.asarray(read_raw(path).images)
    images = images.reshape(-1, *images.shape[-2:])
    check_finite(as_real(images), path, field, lambda number: images[number])
    image = images.mean(axis=0, dtype=np.float64)
    return checked_reference(image, shape, field, path)


def checked_reference(
    image: np.ndarray, shape: tuple[int, int] | None, field: str, path: str | None = None
) -> np.ndarray:
    """The image as float32, if its shape is that of the images (None: any) and its values are finite.

    Raises
    ------
    DataError
    """
    stored, image = image, as_real(image)
    if shape is not None and image.shape != shape:
        raise DataError(
            f"has {' x '.join(map(str, image.shape))} pixels, the images have {shape[0]} x {shape[1]}",
            path=path,
            field=field,
            remedy="Use the reference of the same camera, binning and orientation",
        )
    if not np.isfinite(image).all():
        raise DataError(f"holds {what_is_wrong(stored)}", path=path, field=field)
    return image


def multiplier(gain: np.ndarray | None, how: str, path: str | None = None) -> np.ndarray | float:
    """What the image less dark is multiplied with; pixels without sensitivity get 0.

    Parameters
    ----------
    gain : ndarray or None
        `(ny, nx)`.
    how : {"multiply", "divide"}
    path : str, optional
        Its file, for the error.

    Raises
    ------
    DataError
        No pixel of the reference is positive.
    """
    if gain is None:
        return 1.0
    good = gain > 0
    if not good.any():
        raise DataError(
            "has no positive value", path=path, field="gain", remedy="Give another gain reference"
        )
    if how == "multiply":
        return np.where(good, gain, REAL(0))
    mean = gain[good].mean(dtype=np.float64)
    return np.asarray(np.divide(mean, gain, out=np.zeros_like(gain), where=good), REAL)


def run(
    series: TiltFocalSeries,
    config: ReferenceConfig,
    *,
    finish: Finish | None = None,
    gain: np.ndarray | None = None,
    dark: np.ndarray | None = None,
) -> Iterator[Event]:
    """Apply references from the config's files, or from arrays `(ny, nx)`."""
    factor, offset = _references(series, config, gain, dark)
    scale = scale_of(series).astype(REAL)
    images = yield from changed_images(
        series,
        "Gain reference",
        lambda image, tilt, focus: np.asarray((image - offset / scale[tilt, focus]) * factor, REAL),
    )
    told = {"pixels_without_gain": int(np.count_nonzero(np.asarray(factor) == 0))}
    yield Done(recorded(series.replace(images=images), "reference", config, told))


def preview(series: TiltFocalSeries, config: ReferenceConfig, tilt: int, focus: int) -> np.ndarray:
    """One image corrected."""
    factor, offset = _references(series, config, None, None)
    scale = REAL(scale_of(series)[tilt, focus])
    return np.asarray((series.images[tilt, focus] - offset / scale) * factor, REAL)


def _references(
    series: TiltFocalSeries, config: ReferenceConfig, gain: np.ndarray | None, dark: np.ndarray | None
) -> tuple[np.ndarray | float, np.ndarray]:
    if config.gain is None and config.dark is None and gain is None and dark is None:
        raise ConfigError("reference: neither gain nor dark is given. Name a file for one of them")
    why = why_inexact(series)
    if why:
        raise DataError(
            f"{why}; the reference is of the camera's pixels",
            field="reference",
            remedy="Import with bin 1 and tilt axis 0 and apply the reference; then bin in Prepare and turn "
            "the axis in Align (or with phaset3m convert)",
        )
    if gain is None and config.gain is not None:
        gain = _of_camera(series, config.gain, "reference.gain")
    elif gain is not None:
        gain = checked_reference(gain, series.image_shape, "gain")
    if dark is None and config.dark is not None:
        dark = _of_camera(series, config.dark, "reference.dark")
    elif dark is not None:
        dark = checked_reference(dark, series.image_shape, "dark")
    return multiplier(gain, config.how, config.gain), np.zeros((), REAL) if dark is None else dark


def _of_camera(series: TiltFocalSeries, path: str, field: str) -> np.ndarray:
    """A reference as the camera wrote it, cropped and turned as its images were at import."""
    shape = series.image_shape
    given = shape[::-1] if round(series.tilt_axis_angle_deg / 90) % 2 else shape
    if not is_cropped(series):
        return as_imported(series, read_reference(path, given, field))
    return checked_reference(as_imported(series, read_reference(path, None, field)), shape, field, path)


REFERENCE = StepEntry(
    "reference",
    "Gain and dark",
    "Subtract a dark image and multiply with (or divide by) a gain reference, where the camera did not.",
    ReferenceConfig,
    run,
    preview,
)
