"""What the importer did with an image, done to another one of the same camera."""

from __future__ import annotations

from math import prod

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.import_config import ImportConfig, shrink
from napari_phaset3m.io.orient import turn
from napari_phaset3m.prepare.history import history


def imports_of(series: TiltFocalSeries) -> list[tuple[ImportConfig, float]]:
    """How images were made smaller and turned (degrees), import after import; the history says it.

    The last turn is what is left of the whole one, alignments included. One import that changes no size
    where the history tells of none.
    """
    done = [item["parameters"] for item in history(series) if item["step"] == "import"] or [{}]
    known = ImportConfig.model_fields
    sizes = [ImportConfig.parse(**{k: v for k, v in each.items() if k in known}) for each in done]
    turns = [float(each.get("tilt_axis_angle_deg") or 0.0) for each in done[:-1]]
    turns.append(float(series.tilt_axis_angle_deg) - sum(turns))
    return list(zip(sizes, turns, strict=True))


def bin_of(series: TiltFocalSeries) -> int:
    """By how much the images were binned at import."""
    return prod(config.bin for config, _ in imports_of(series))


def is_cropped(series: TiltFocalSeries) -> bool:
    """Whether the images are a part of the camera's."""
    return any(config.crop is not None for config, _ in imports_of(series))


def as_imported(series: TiltFocalSeries, image: np.ndarray) -> np.ndarray:
    """Crop, bin and turn an image `(ny, nx)` as the importer did with those of the series."""
    for config, angle in imports_of(series):
        image = shrink(image, config)
        image = np.asarray(turn(image, angle)[0] if angle else image)
    return image


def mended_at_import(series: TiltFocalSeries) -> bool:
    """Whether the import replaced hot pixels before it turned the images."""
    return any(item["step"] == "import" and item["parameters"].get("outliers") for item in history(series))


def why_inexact(series: TiltFocalSeries) -> str:
    """Why pixels of the series are no longer the camera's; empty while crop and quarter turns were all."""
    factor, angle = bin_of(series), float(series.tilt_axis_angle_deg)
    if factor > 1:
        return f"the images were binned by {factor} at import"
    if abs(angle - 90 * round(angle / 90)) > 1e-6:
        return f"the images were turned by {angle:g}°, so that each pixel is a mix of several"
    return ""
