"""Bring the vacuum (or the mean) of each image to 1, after taking out uneven illumination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.background import fit_background
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import paced, scale_of, with_scale
from napari_phaset3m.prepare.region import RegionPx, checked_region

#: Pixels a vacuum region needs for a level worth dividing by.
_FEWEST = 16


class NormaliseConfig(Model):
    """Normalise."""

    level: Literal["mean", "region", "background"] = Field(
        "mean",
        description="What becomes 1: the image's mean, the mean of a vacuum region, or the background fit",
    )
    region_px: RegionPx | None = Field(
        None, description="Vacuum region: top, left, height, width, pixels (of the aligned image)"
    )
    background_order: int = Field(
        0,
        ge=0,
        le=4,
        description="Order of the polynomial background that each image is divided by; 0: no gradient",
    )

    @model_validator(mode="after")
    def _region_needed(self) -> NormaliseConfig:
        if self.level == "region" and self.region_px is None:
            raise ValueError("region_px: is needed for level = region. Give top,left,height,width of vacuum")
        return self


def run(series: TiltFocalSeries, config: NormaliseConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Divide each image by its background and level."""
    images = np.empty_like(series.images)
    levels = np.ones(images.shape[:2])
    for item in paced(series, "Normalising"):
        if isinstance(item, Progress):
            yield item
            continue
        try:
            images[item], levels[item] = _normalised(series, config, *item)
        except DataError:
            if series.used[item]:  # type: ignore[index]
                raise
            images[item] = series.images[item]  # what is left out need not make sense
    name = {"region": "vacuum", "mean": "mean", "background": "background"}[config.level]
    changed = series.replace(
        images=images, normalisation=name, metadata=with_scale(series, scale_of(series) * levels)
    )
    told = {"level_least": levels.min(), "level_mean": levels.mean(), "level_most": levels.max()}
    yield Done(recorded(changed, "normalise", config, told), levels)


def preview(series: TiltFocalSeries, config: NormaliseConfig, tilt: int, focus: int) -> np.ndarray:
    """One image normalised."""
    return _normalised(series, config, tilt, focus)[0]


def vacuum_in_image(series: TiltFocalSeries, region: RegionPx, tilt: int, focus: int) -> tuple[slice, slice]:
    """Where a region of the aligned image lies in one image: moved by its shift, cut at the border.

    Raises
    ------
    DataError
        Less than 16 pixels of it are in the image.
    """
    top, left, height, width = checked_region(region, series.image_shape, "normalise.region_px")
    assert series.shifts_px is not None
    dy, dx = np.rint(series.shifts_px[tilt, focus]).astype(int)
    ny, nx = series.image_shape
    rows = slice(min(max(top + dy, 0), ny), min(max(top + height + dy, 0), ny))
    columns = slice(min(max(left + dx, 0), nx), min(max(left + width + dx, 0), nx))
    if (rows.stop - rows.start) * (columns.stop - columns.start) < _FEWEST:
        raise DataError(
            f"lies outside of the image of tilt {tilt}, focus {focus}, or has less than {_FEWEST} pixels",
            field="normalise.region_px",
            remedy="Choose a larger region, nearer to the middle",
        )
    return rows, columns


def _normalised(
    series: TiltFocalSeries, config: NormaliseConfig, tilt: int, focus: int
) -> tuple[np.ndarray, float]:
    image = series.images[tilt, focus]
    surface: np.ndarray | None = None
    if config.background_order or config.level == "background":
        surface = fit_background(image, config.background_order)
        if surface.min() <= 0:
            raise _no_level(tilt, focus, "background", float(surface.min()))
        mean = float(surface.mean(dtype=np.float64))
        image = image / (surface / REAL(mean))
        if config.level == "background":
            return np.asarray(image / REAL(mean), REAL), mean
    if config.level == "region":
        assert config.region_px is not None
        part = image[vacuum_in_image(series, config.region_px, tilt, focus)]
        level = float(part.mean(dtype=np.float64))
    else:
        level = float(image.mean(dtype=np.float64))
    if level <= 0:
        raise _no_level(tilt, focus, config.level, level)
    return np.asarray(image / REAL(level), REAL), level


def _no_level(tilt: int, focus: int, what: str, level: float) -> DataError:
    return DataError(
        f"tilt {tilt}, focus {focus} cannot be scaled to 1: its {what} level is {level:.4g}",
        field="normalise.level",
        remedy="Choose another region or a lower background order, or leave that image out",
    )


NORMALISE = StepEntry(
    "normalise",
    "Normalise",
    "Bring the vacuum region, the background or the mean of each image to 1; uneven illumination can be "
    "divided out as a plane or polynomial first.",
    NormaliseConfig,
    run,
    preview,
)
