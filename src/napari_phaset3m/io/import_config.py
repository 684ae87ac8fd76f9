"""Bin and crop of an import: how images are made smaller while they are read."""

from __future__ import annotations

from math import ceil, floor
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.errors import ConfigError

Crop = tuple[int, int, int, int]
_SMALLEST = 8


class ImportConfig(Model):
    """How images are made smaller while they are read."""

    bin: int = Field(1, ge=1, le=64, description="Bin images by this whole number (pixels)")
    bin_method: Literal["fourier", "mean"] = Field(
        "fourier", description="fourier: cut the spectrum (no aliasing); mean: average blocks of pixels"
    )
    crop: Crop | None = Field(
        None, description="Rectangle of the files' images to keep, before binning: y0, y1, x0, x1 (pixels)"
    )

    @field_validator("crop")
    @classmethod
    def _in_order(cls, value: Crop | None) -> Crop | None:
        if value is not None and not (0 <= value[0] < value[1] and 0 <= value[2] < value[3]):
            y0, y1, x0, x1 = value
            raise ValueError(
                f"{y0}:{y1},{x0}:{x1} holds no pixel. Give the first row and the one after the last, then "
                "columns alike, e.g. 0:512,256:1024"
            )
        return value


def binned_shape(shape: tuple[int, int], config: ImportConfig) -> tuple[int, int]:
    """(ny, nx) after crop and binning; a remainder is cut off alike on both sides.

    Raises
    ------
    ConfigError
        The rectangle reaches out of the image, or too few pixels are left.
    """
    ny, nx = shape
    if config.crop is not None:
        y0, y1, x0, x1 = config.crop
        if y1 > ny or x1 > nx:
            raise ConfigError(
                f"crop: {y0}:{y1},{x0}:{x1} reaches out of images of {ny} x {nx} pixels (y, x). Give "
                f"0:{ny},0:{nx} at most"
            )
        ny, nx = y1 - y0, x1 - x0
    small = ny // config.bin, nx // config.bin
    if min(small) < min(_SMALLEST, ny, nx):
        raise ConfigError(
            f"bin: {config.bin} leaves {small[0]} x {small[1]} pixels of {ny} x {nx}. Use "
            f"{max(1, min(ny, nx) // _SMALLEST)} at most"
        )
    return small


def at_scale(config: ImportConfig, factor: float) -> ImportConfig:
    """The same bin, and the rectangle over the same part of images of ``factor`` times the pixels.

    Where its edges come to lie within pixels, these are kept whole.
    """
    if config.crop is None or factor == 1:
        return config
    y0, y1, x0, x1 = (edge * factor for edge in config.crop)
    return config.model_copy(update={"crop": (floor(y0), ceil(y1), floor(x0), ceil(x1))})


def shift_added_px(shape: tuple[int, int], config: ImportConfig) -> np.ndarray:
    """`(2,)` (y, x), pixels of the files: what the crop adds to the shifts of images ``(ny, nx)``.

    As in prepare/geometry.py: the rotation centre stays where it was in the specimen.

    Raises
    ------
    ConfigError
        Bin or crop do not fit the images.
    """
    y0, y1, x0, x1 = config.crop or (0, shape[0], 0, shape[1])
    kept = np.array(binned_shape(shape, config)) * config.bin
    first = np.array((y0, x0)) + (np.array((y1 - y0, x1 - x0)) - kept) // 2  # a remainder is cut off
    return np.asarray((np.array(shape) - 1) / 2 - first - (kept - 1) / 2)


def shrink(image: np.ndarray, config: ImportConfig) -> np.ndarray:
    """Crop and bin one image `(ny, nx)`; its mean is kept. Float32; infinite where values are too large."""
    small = binned_shape((image.shape[0], image.shape[1]), config)
    if config.crop is not None:
        y0, y1, x0, x1 = config.crop
        image = image[y0:y1, x0:x1]
    top, left = ((n - m * config.bin) // 2 for n, m in zip(image.shape, small, strict=True))
    image = image[top : top + small[0] * config.bin, left : left + small[1] * config.bin]
    if config.bin == 1:
        return np.asarray(image, REAL)
    with np.errstate(over="ignore", invalid="ignore"):  # told where images are checked, with their file
        if config.bin_method == "fourier":
            return fourier_resample(image, small)
        blocks = image.reshape(small[0], config.bin, small[1], config.bin)
        return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64), REAL)
