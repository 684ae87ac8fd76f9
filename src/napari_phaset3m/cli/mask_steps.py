"""Steps of a mask written as text, e.g. ``dilate 3`` or ``sphere 40 center=0,0,5``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from napari_phaset3m.analyse.masks import Recipe
from napari_phaset3m.errors import ConfigError, DataError

#: Word -> (kind, field that the value after it goes to, whether that value may be left out).
WORDS: dict[str, tuple[str, str | None, bool]] = {
    "otsu": ("threshold", None, True),
    "threshold": ("threshold", "value", False),
    "sphere": ("sphere", "diameter_angstrom", False),
    "ellipsoid": ("ellipsoid", "diameters_angstrom", False),
    "box": ("box", "edges_angstrom", False),
    "largest": ("largest", "count", True),
    "fill": ("fill", None, True),
    "erode": ("erode", "distance_angstrom", False),
    "dilate": ("dilate", "distance_angstrom", False),
    "union": ("combine", "path", False),
    "intersection": ("combine", "path", False),
    "difference": ("combine", "path", False),
    "invert": ("invert", None, True),
    "soft": ("soft", "width_angstrom", False),
}
_KEYS = {"lowpass": "lowpass_angstrom", "center": "center_angstrom", "how": "how"}
_LISTS = ("diameters_angstrom", "edges_angstrom", "center_angstrom")


def numbers(text: str, where: str) -> tuple[float, ...]:
    """Three numbers separated by commas, or one for all three.

    Raises
    ------
    ConfigError
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) == 1:
        found *= 3
    if len(found) != 3:
        raise ConfigError(f"{where}: is {text!r}. Give x,y,z in Å, e.g. 40,40,30")
    return found


def parse_step(text: str) -> dict[str, Any]:
    """The fields of one step.

    Raises
    ------
    ConfigError
        It is no step, or a value is missing.
    """
    try:
        word, *rest = shlex.split(text)
    except ValueError:
        raise ConfigError(f"--step: {text!r} is not a step. Write e.g. 'dilate 3'") from None
    if word not in WORDS:
        raise ConfigError(f"--step: {word!r} is not a step. Use {', '.join(WORDS)}")
    kind, main, optional = WORDS[word]
    fields: dict[str, Any] = {"kind": kind}
    if kind == "combine":
        fields["how"] = word
    for part in rest:
        key, equals, value = part.partition("=")
        name = _KEYS.get(key) if equals and kind != "combine" else main
        if name is None or name in fields:
            raise ConfigError(f"--step: {text!r}: {part!r} is not understood")
        given = value if equals and name != main else part
        fields[name] = numbers(given, f"--step {word}") if name in _LISTS else given
    if main is not None and main not in fields and not optional:
        raise ConfigError(f"--step: {text!r} lacks its value, e.g. {word!r} and a number or file")
    return fields


def load_recipe(path: Path) -> list[dict[str, Any]]:
    """Steps from a recipe (YAML or JSON), from a mask, or from the record beside a mask.

    Raises
    ------
    ConfigError, DataError
        It holds no recipe.
    """
    from napari_phaset3m.io.mask import load_mask
    from napari_phaset3m.io.volume import volume_format

    if volume_format(path) is not None:
        found = load_mask(path).recipe
        if found is None:
            raise DataError(
                "has no recipe with it", path=path, field="--recipe", remedy="Give a .yaml, or keep its .json"
            )
        return steps_of(found)
    if path.suffix == ".json":
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())})") from None
        if isinstance(record, dict) and isinstance(record.get("recipe"), dict):
            return steps_of(record["recipe"])
    return steps_of(Recipe.load(path).model_dump(mode="json"))


def steps_of(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a recipe as plain data, checked."""
    dumped: list[dict[str, Any]] = Recipe.parse(**recipe).model_dump(mode="json")["steps"]
    return dumped
