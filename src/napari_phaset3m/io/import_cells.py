"""What may stand in the cells of an import table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.limits import MAX_AXIS_DEG

_COUNT = "a whole number, counted from 0"
#: Cells of a row that may be mended, and what may stand in them.
CELLS = {
    "section": _COUNT,
    "tilt_deg": "an angle from -180 to 180 degrees",
    "tilt_index": _COUNT,
    "focus_index": _COUNT,
    "defocus_angstrom": "a finite number",
    "dose": "a number that is not negative",
    "prior_dose": "a number that is not negative",
    "exposure_order": _COUNT,
    "used": "true or false",
    "frame_range": "the first and the last frame",
}


def checked_cells(cells: Mapping[str, Any], row: int) -> dict[str, Any]:
    """Cells of a row with the type their column needs.

    Raises
    ------
    ConfigError
        There is no such cell, or the value cannot be.
    """
    result: dict[str, Any] = {}
    for name, value in cells.items():
        if name not in CELLS:
            raise ConfigError(f"images[{row}]: {name} is no cell. Known are {', '.join(CELLS)}")
        try:
            result[name] = _cell(name, value)
        except (TypeError, ValueError):
            raise ConfigError(f"images[{row}].{name}: must be {CELLS[name]} (got {value!r})") from None
    return result


def _cell(name: str, value: Any) -> Any:
    if name == "used":
        if not isinstance(value, bool | np.bool_):
            raise ValueError
        return bool(value)
    if name == "frame_range":
        return None if value is None else (int(value[0]), int(value[1]))
    if name in ("section", "tilt_index", "focus_index", "exposure_order"):
        if value is None and name == "exposure_order":
            return None
        number = int(value)
        if number != value or number < 0:
            raise ValueError
        return number
    if value is None:
        return None
    real = float(value)
    if not np.isfinite(real) or (name == "tilt_deg" and abs(real) > 180) or ("dose" in name and real < 0):
        raise ValueError
    return real


def checked_value(name: str, value: Any) -> Any:
    """A value that holds for the whole series.

    Raises
    ------
    ConfigError
        It cannot be.
    """
    if name == "defocus_reference":
        if value not in ("center", "exit"):
            raise ConfigError(f"defocus_reference: is {value!r}. Use 'center' or 'exit'")
        return value
    if name == "dark_field":
        if not isinstance(value, bool):
            raise ConfigError(f"dark_field: is {value!r}. Give true or false")
        return value
    if name == "gain" or value is None:
        return None if value is None else Path(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number) or (name != "tilt_axis_angle_deg" and number <= 0):
        raise ConfigError(
            f"{name}: is {value!r}, but a {'' if 'axis' in name else 'positive '}number is needed"
        )
    if name == "tilt_axis_angle_deg" and abs(number) > MAX_AXIS_DEG:
        raise ConfigError(f"{name}: is {number:g}, but lies within ±{MAX_AXIS_DEG:g} degrees")
    return number
