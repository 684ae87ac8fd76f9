"""Flags that complete or replace what a series file states; the errors of ``io`` name them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.core.aberrations import check_coefficients
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.imod import angles_from_text
from napari_phaset3m.io.limits import check_exists
from napari_phaset3m.io.raw import FIELDS, OPTIONS

#: One value for each image: for a file or for Python, not for a flag.
_NOT_FLAGS = ("shifts_px", "used")
_SWITCHES = ("counts", "dark_field")
_WORDS = ("focus_order", "defocus_reference", "normalise", "unused")
_FILES = ("tilt_deg", "mtf")
_LISTS = ("tilt_deg", "defocus_angstrom", "dose_per_image")
_OPTION_HELP = {
    "n_focus": "Sections per tilt in a stack",
    "focus_order": "tilt-major (foci of a tilt follow each other) or focus-major",
    "tilt_axis_angle_deg": "Tilt axis from +y towards -x, degrees; images are turned by it; 0: not turned",
    "defocus_reference": "center or exit: where the defocus is meant",
    "counts": "Images are electron counts",
    "normalise": "auto, given, counts, mean or vacuum",
    "vacuum_intensity": "Value of the images without a specimen",
    "intensity_offset": "Subtracted from the images",
    "dark_field": "Invert STEM images",
    "unused": "Images to leave out, from 0 tilt by tilt, e.g. 3,7-9; none: use all, whatever files say",
}
_NUMBERS = re.compile(r"[-+.,\deE ]+")
_PANEL = "What the series file lacks or states wrongly"


def parameters(without: Collection[str] = ()) -> list[inspect.Parameter]:
    """One keyword parameter for each field of a series and for each way to read it.

    ``without`` names those that the command has as its own.
    """
    flags = {name: (flag, text) for name, (_, flag, text) in FIELDS.items() if name not in _NOT_FLAGS}
    flags |= {name: (flag, _OPTION_HELP[name]) for name, flag in OPTIONS.items()}
    return [_parameter(name, flag, text) for name, (flag, text) in flags.items() if name not in without]


def _parameter(name: str, flag: str, text: str) -> inspect.Parameter:
    annotation: Any
    if name in _SWITCHES:
        annotation = Annotated[
            bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=text, rich_help_panel=_PANEL)
        ]
    else:
        if name in _LISTS:
            text += "; several: separated by commas"
        elif name == "aberrations":
            text = "Krivanek coefficients, e.g. C12=50,phi12=0.3 (angstrom, rad)"
        annotation = Annotated[
            str | None, typer.Option(flag, help=text, metavar="VALUE", rich_help_panel=_PANEL)
        ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def collect(
    values: Mapping[str, Any], base: Mapping[str, Any] | None = None, without: Collection[str] = ()
) -> dict[str, Any]:
    """The overrides that were given, on top of ``base``, as ``load_series`` takes them.

    Raises
    ------
    ConfigError
        A value is not a number.
    DataError
        A file is not there.
    """
    found = dict(base or {})
    for parameter in parameters(without):
        value = values.get(parameter.name)
        if value is not None:
            found[parameter.name] = _value(parameter.name, value)
    return found


def _value(name: str, value: Any) -> Any:
    if name in _SWITCHES or name in _WORDS:
        return value
    flag = FIELDS[name][1] if name in FIELDS else OPTIONS[name]
    if name == "tilt_deg" and ":" in value and not Path(value).exists():
        try:
            return angles_from_text(value)
        except ConfigError as error:
            raise ConfigError(f"{flag}: is {value!r}. {error}") from None
    if name in _FILES and not _NUMBERS.fullmatch(value):
        return str(check_exists(value).resolve())
    if name == "aberrations":
        return coefficients(value, flag)
    try:
        if name == "n_focus":
            return int(value)
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        what = FIELDS[name][2] if name in FIELDS else _OPTION_HELP[name]
        raise ConfigError(f"{flag}: is {value!r}. Give numbers alone: {what}") from None
    if len(numbers) > 1 and name not in _LISTS:
        raise ConfigError(f"{flag}: is {value!r}. Give one number")
    return numbers if len(numbers) > 1 or name == "tilt_deg" else numbers[0]


def coefficients(text: str, flag: str) -> dict[str, float]:
    """``"C12=50,phi12=0.3"`` -> names and values of Krivanek coefficients.

    Raises
    ------
    ConfigError
        It is not written so, or a name or value cannot be; the line names ``flag``.
    """
    try:
        pairs = (part.split("=") for part in text.split(","))
        found = {key.strip(): float(number) for key, number in pairs}
    except ValueError:
        raise ConfigError(f"{flag}: is {text!r}. Give NAME=VALUE, e.g. C12=50,phi12=0.3") from None
    check_coefficients(found, flag)
    return found
