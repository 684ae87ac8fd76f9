"""What the importer did with an image, done to another one of the same camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.import_load import ImportConfig, shrink
from napari_phaset3m.io.orient import turn
from napari_phaset3m.prepare.history import history


def import_of(series: TiltFocalSeries) -> ImportConfig:
    """How the images were made smaller when they were imported; the record of the import says it."""
    done: dict[str, Any] = next(
        (item["parameters"] for item in history(series) if item["step"] == "import"), {}
    )
    return ImportConfig.parse(
        **{key: value for key, value in done.items() if key in ImportConfig.model_fields}
    )


def as_imported(series: TiltFocalSeries, image: np.ndarray) -> np.ndarray:
    """Crop, bin and turn an image `(ny, nx)` as the importer did with those of the series."""
    image = shrink(image, import_of(series))
    angle = float(series.tilt_axis_angle_deg)
    return np.asarray(turn(image, angle)[0] if angle else image)


def mended_at_import(series: TiltFocalSeries) -> bool:
    """Whether the import replaced hot pixels before it turned the images."""
    return any(item["step"] == "import" and item["parameters"].get("outliers") for item in history(series))


def why_inexact(series: TiltFocalSeries) -> str:
    """Why pixels of the series are no longer the camera's; empty while crop and quarter turns were all."""
    factor, angle = import_of(series).bin, float(series.tilt_axis_angle_deg)
    if factor > 1:
        return f"the images were binned by {factor} at import"
    if abs(angle - 90 * round(angle / 90)) > 1e-6:
        return f"the images were turned by {angle:g}°, so that each pixel is a mix of several"
    return ""
