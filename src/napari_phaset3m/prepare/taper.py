"""A soft edge, so that the border of an image makes no cross in its spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import changed_images


class TaperConfig(Model):
    """Soft edge."""

    width_px: int = Field(16, ge=1, le=8192, description="Width of the cosine edge, pixels")
    level: Literal["mean", "one"] = Field(
        "mean", description="What the edge goes to: the mean of the image's border, or 1 (vacuum)"
    )


def edge_window(shape: tuple[int, int], width_px: int) -> np.ndarray:
    """`(ny, nx)` float32: 1 inside, half a cosine to 0 over the outer ``width_px`` pixels."""

    def line(n: int) -> np.ndarray:
        depth = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
        return np.asarray(np.sin(0.5 * np.pi * np.minimum(depth / width_px, 1)) ** 2)

    return np.outer(line(shape[0]), line(shape[1])).astype(REAL)


def run(series: TiltFocalSeries, config: TaperConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Taper each image."""
    window = _window(series, config)
    images = yield from changed_images(series, "Tapering", lambda image, *_: _tapered(image, window, config))
    yield Done(recorded(series.replace(images=images), "taper", config))


def preview(series: TiltFocalSeries, config: TaperConfig, tilt: int, focus: int) -> np.ndarray:
    """One image tapered."""
    return _tapered(series.images[tilt, focus], _window(series, config), config)


def _window(series: TiltFocalSeries, config: TaperConfig) -> np.ndarray:
    if 2 * config.width_px > min(series.image_shape):
        ny, nx = series.image_shape
        raise DataError(
            f"{config.width_px} px is more than half of the image ({ny} x {nx})",
            field="taper.width_px",
            remedy="Use a narrower edge",
        )
    return edge_window(series.image_shape, config.width_px)


def _tapered(image: np.ndarray, window: np.ndarray, config: TaperConfig) -> np.ndarray:
    border = (image[0], image[-1], image[1:-1, 0], image[1:-1, -1])
    level = 1.0 if config.level == "one" else float(np.concatenate(border).mean(dtype=np.float64))
    return np.asarray(level + (image - REAL(level)) * window, REAL)


TAPER = StepEntry(
    "taper", "Soft edge",
    "Fade the images out at their borders: for filters and correlations. Reconstructions do without it.",
    TaperConfig, run, preview,
)  # fmt: skip
