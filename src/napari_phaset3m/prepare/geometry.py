"""Fourier bin, crop and pad: the frame of the images changes, the specimen stays where it is.

A feature at offset ``q`` from the centre ``(n - 1) / 2`` of the aligned image lies at
``(n - 1) / 2 + q + s`` in the given one, ``s`` being its shift. When ``first`` is the index of the
new image's first pixel in the old one and ``m`` its size, the same feature lies at

    (m - 1) / 2 + q + s',    s' = s + (n - 1) / 2 - first - (m - 1) / 2

so that the rotation axis stays where it was in the specimen. ``centre="region"`` moves the rotation
centre to the middle of the kept region instead: a point at offset X across the axis (and at the
height of the old centre) is seen at X cos(tilt), so each image's shift also gets X (cos(tilt) - 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from napari_phaset3m.config import Model
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.sections import shrink_matrix
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import changed_images, scale_of, with_scale
from napari_phaset3m.prepare.region import RegionPx, checked_region

_SMALLEST = 8


class BinConfig(Model):
    """Fourier bin."""

    factor: int = Field(2, ge=2, le=32, description="By how much each image side is divided")


class CropConfig(Model):
    """Crop."""

    region_px: RegionPx | None = Field(
        None, description="Top, left, height, width of what is kept, pixels; none: the middle half"
    )
    centre: Literal["axis", "region"] = Field(
        "axis",
        description="The volume's centre: axis (where it was in the specimen) or region (its middle)",
    )


class PadConfig(Model):
    """Pad."""

    border_px: int = Field(16, ge=1, le=8192, description="Pixels added on each side")
    fill: Literal["mean", "one", "edge", "reflect"] = Field(
        "mean", description="What the border holds: the image's mean, 1 (vacuum), its edge, or its mirror"
    )


def run_bin(series: TiltFocalSeries, config: BinConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Bin by cropping the spectrum; a remainder of the division is cut off evenly first."""
    small, cut = _binned_shape(series.image_shape, config.factor)
    region = _middle(series.image_shape, cut)
    images = yield from changed_images(
        series, "Binning", lambda image, *_: fourier_resample(_cut(image, region), small), small
    )
    factor = config.factor
    moved = _moved(series.image_shape, region)
    changes: dict[str, Any] = {
        "images": images,
        "shifts_px": (series.shifts_px + moved) / factor,
        "sections": series.sections and series.sections.moved(shrink_matrix(moved, factor), factor),
        "pixel_size_angstrom": series.pixel_size_angstrom * factor,
    }
    if series.mtf is not None:
        # Fractions of Nyquist: the new Nyquist frequency is the old one divided by the factor.
        changes["mtf"] = series.mtf * (factor, 1.0)
    if "scale" in series.metadata:
        # Counts per pixel at intensity 1 grow with the pixel's area.
        changes["metadata"] = with_scale(series, scale_of(series) * factor**2)
    told = {"image_shape_yx": small, "pixel_size_angstrom": changes["pixel_size_angstrom"]}
    yield Done(recorded(series.replace(**changes), "bin", config, told))


def preview_bin(series: TiltFocalSeries, config: BinConfig, tilt: int, focus: int) -> np.ndarray:
    """One image binned."""
    small, cut = _binned_shape(series.image_shape, config.factor)
    return fourier_resample(_cut(series.images[tilt, focus], _middle(series.image_shape, cut)), small)


def run_crop(series: TiltFocalSeries, config: CropConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Cut out a rectangle; shifts follow."""
    region = _crop_region(series, config)
    images = yield from changed_images(series, "Cropping", lambda image, *_: _cut(image, region), region[2:])
    moved = _moved(series.image_shape, region)
    shifts = series.shifts_px + moved
    told: dict[str, Any] = {"region_px": region, "shift_added_px": moved}
    metadata, defocus = dict(series.metadata), series.defocus_angstrom
    if config.centre == "region":
        # The region's middle from the old centre is -moved, in the aligned image at no tilt.
        offset_y, offset_x = -moved
        lean = np.cos(np.deg2rad(series.tilt_deg)) - 1
        shifts = shifts - moved
        shifts[..., 1] += (offset_x * lean)[:, None]
        told = {"region_px": region, "centre_moved_px": [offset_y, offset_x]}
        before = np.asarray(metadata.get("centre_moved_angstrom", (0.0, 0.0)))
        metadata["centre_moved_angstrom"] = list(before - moved * series.pixel_size_angstrom)
        defocus = _defocus_at(series, offset_x)
    changed = series.replace(
        images=images,
        shifts_px=shifts,
        metadata=metadata,
        defocus_angstrom=defocus,
        sections=series.sections and series.sections.moved(shrink_matrix(moved)),
    )
    yield Done(recorded(changed, "crop", config, told))


def _defocus_at(series: TiltFocalSeries, across_px: float) -> np.ndarray | None:
    """Defoci at a rotation centre farther across the axis, and so at another height in each tilt."""
    if series.defocus_angstrom is None:
        return None
    height = across_px * series.pixel_size_angstrom * np.sin(np.deg2rad(series.tilt_deg))
    return np.asarray(series.defocus_angstrom + height[:, None])


def preview_crop(series: TiltFocalSeries, config: CropConfig, tilt: int, focus: int) -> np.ndarray:
    """One image cropped."""
    return np.array(_cut(series.images[tilt, focus], _crop_region(series, config)))


def run_pad(series: TiltFocalSeries, config: PadConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Add a border; the centre and so the shifts stay."""
    ny, nx = (n + 2 * config.border_px for n in series.image_shape)
    _check_pad(series, config)
    images = yield from changed_images(series, "Padding", lambda image, *_: _padded(image, config), (ny, nx))
    yield Done(recorded(series.replace(images=images), "pad", config, {"image_shape_yx": (ny, nx)}))


def preview_pad(series: TiltFocalSeries, config: PadConfig, tilt: int, focus: int) -> np.ndarray:
    """One image padded."""
    _check_pad(series, config)
    return _padded(series.images[tilt, focus], config)


def _check_pad(series: TiltFocalSeries, config: PadConfig) -> None:
    if config.fill == "reflect" and config.border_px >= min(series.image_shape):
        raise DataError(
            f"of {config.border_px} px is wider than the image",
            field="pad.border_px",
            remedy="Use a narrower border, or another fill than reflect",
        )


def _padded(image: np.ndarray, config: PadConfig) -> np.ndarray:
    border: Any = config.border_px
    if config.fill in ("edge", "reflect"):
        return np.pad(image, border, mode=config.fill)
    value = 1.0 if config.fill == "one" else float(image.mean(dtype=np.float64))
    return np.pad(image, border, constant_values=value)


def _binned_shape(shape: tuple[int, int], factor: int) -> tuple[tuple[int, int], tuple[int, int]]:
    small = shape[0] // factor, shape[1] // factor
    if min(small) < _SMALLEST:
        raise DataError(
            f"{factor} leaves {small[0]} x {small[1]} pixels of {shape[0]} x {shape[1]}",
            field="bin.factor",
            remedy=f"Images need {_SMALLEST} pixels or more on each side: use a smaller factor",
        )
    return small, (small[0] * factor, small[1] * factor)


def _middle(shape: tuple[int, int], size: tuple[int, int]) -> RegionPx:
    return (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2, size[0], size[1]


def _crop_region(series: TiltFocalSeries, config: CropConfig) -> RegionPx:
    ny, nx = series.image_shape
    region = config.region_px or _middle((ny, nx), (max(ny // 2, 1), max(nx // 2, 1)))
    return checked_region(region, (ny, nx), "crop.region_px", smallest=_SMALLEST)


def _cut(image: np.ndarray, region: RegionPx) -> np.ndarray:
    top, left, height, width = region
    return image[top : top + height, left : left + width]


def _moved(shape: tuple[int, int], region: RegionPx) -> np.ndarray:
    """`(2,)` (y, x): what the shifts grow by, so that the rotation axis stays in the specimen."""
    old, first, new = np.array(shape), np.array(region[:2]), np.array(region[2:])
    return np.asarray((old - 1) / 2 - first - (new - 1) / 2)


BIN = StepEntry(
    "bin", "Fourier bin",
    "Make the images smaller by cropping their spectra: nothing aliases. Pixel size, shifts and MTF follow.",
    BinConfig, run_bin, preview_bin,
)  # fmt: skip
CROP = StepEntry(
    "crop", "Crop",
    "Keep a rectangle. The rotation axis stays where it is in the specimen: the shifts say where that is.",
    CropConfig, run_crop, preview_crop,
)  # fmt: skip
PAD = StepEntry(
    "pad", "Pad", "Add a border around the images, for waves that leave the box.",
    PadConfig, run_pad, preview_pad,
)  # fmt: skip
