"""What the calibrated axes of an array of images tell: pixel size and tilts, or that it holds no images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MOST_UNEQUAL, not_quite_square
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.tiff import ANGSTROM

_ENERGIES, _INVERSE = ("ev", "kev"), ("1/nm", "1/a", "1/å", "1/ang", "1/pm", "1/m", "nm^-1", "mrad", "rad")
_DEGREES = ("deg", "degree", "degrees", "°")


def apply_axes(raw: RawSeries, axes: Sequence[Mapping[str, Any]]) -> None:
    """Take pixel size and tilt angles from calibrated axes, in the order of the array's."""
    scales = []
    for axis in axes[-2:]:
        factor = ANGSTROM.get(_unit(axis))
        scales.append(float(axis.get("scale", 0)) * factor if factor else 0.0)
    if scales and min(scales) > 0:
        _take_pixel(raw, scales)
    inverse = next((unit for axis in axes[-2:] if (unit := _unit(axis)) in _INVERSE), None)
    if inverse is not None:
        problem = f"is not stated: the axes are in {inverse}, as those of diffraction patterns are"
        raw.unusable["pixel_size_angstrom"] = DataError(
            problem, path=raw.path, field="pixel_size",
            remedy="If these are images, give pixel_size_angstrom=... in Python or --pixel-size (angstrom)",
        )  # fmt: skip
    if len(axes) == 3 and _unit(axes[0]) in _DEGREES:
        count = int(raw.images.shape[0])
        angles = float(axes[0].get("offset", 0)) + float(axes[0].get("scale", 0)) * np.arange(count)
        if np.isfinite(angles).all() and np.abs(angles).max() <= 180:
            raw.fields["tilt_deg"] = angles
            raw.notes.append("tilt angles from the calibration of the series axis")


def is_spectra(axes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an axis counts energy losses: what lies along it is no row of pixels."""
    return any(_unit(axis) in _ENERGIES for axis in axes)


def _unit(axis: Mapping[str, Any]) -> str:
    return "".join(str(axis.get("units") or "").lower().split())


def _take_pixel(raw: RawSeries, scales: Sequence[float]) -> None:
    """Pixel size from those along y and x, angstrom; asked for where they differ."""
    y, x = scales
    if abs(y / x - 1) > MOST_UNEQUAL:
        problem = f"is {x:.6g} Å along x and {y:.6g} Å along y, and pixels must be squares"
        remedy = "Give pixel_size_angstrom=... in Python or --pixel-size (angstrom)"
        error = DataError(problem, path=raw.path, field="pixel_size", remedy=remedy)
        raw.unusable["pixel_size_angstrom"] = error
        return
    raw.fields["pixel_size_angstrom"] = float(f"{x:.6g}")
    raw.notes += not_quite_square(y, x)
