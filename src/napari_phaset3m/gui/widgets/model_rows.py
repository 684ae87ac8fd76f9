"""How the fields of any parameter model are edited, read from their types, bounds and names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from napari_phaset3m.config import Model
from napari_phaset3m.gui.widgets.editors import Row

#: Ending of a field's name: what the window writes behind the number, and that unit in the field's.
_UNITS: dict[str, tuple[str, float]] = {
    "_angstrom2": (" Å²", 1.0), "_angstrom": (" Å", 1.0), "_nm": (" nm", 1.0), "_px": (" px", 1.0),
    "_deg": ("°", 1.0), "_mrad": (" mrad", 1.0), "_rad": (" rad", 1.0), "_ev": (" eV", 1.0),
    "_percent": (" %", 1.0), "_seconds": (" s", 1.0), "_sigma": (" σ", 1.0),
    "_e_per_angstrom2": (" e/Å²", 1.0),
}  # fmt: skip
#: Words in the name of a length that microscopists give in other units.
_NM = ("defocus", "astigmatism", "defoci", "nominal_error", "stated_error")
#: Fields that name a file.
_FILES = ("gain", "dark")
_NO_UPPER = 1e6
_WORDS = {"auto": "auto", None: "off"}


def label_of(name: str) -> str:
    """A field's name for a person: without its unit."""
    for ending in sorted(_UNITS, key=len, reverse=True):
        name = name.removesuffix(ending)
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def is_file(path: str) -> bool:
    """Whether a field (dotted path) names a file."""
    name = path.rpartition(".")[2]
    return name in _FILES or name.endswith(("_path", "_file"))


def sections_of(model: type[Model]) -> dict[str, type[Model]]:
    """Fields that are models of their own."""
    return {
        name: info.annotation
        for name, info in model.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Model)
    }


def rows_of(model: type[Model], prefix: str = "") -> Iterator[tuple[Row, Any]]:
    """Row and definition of each field that is no section and can be edited in a line.

    Parameters
    ----------
    model : type of Model
    prefix : str
        Put before the names, with its dot.
    """
    for name, info in model.model_fields.items():
        if name in sections_of(model):
            continue
        row = _row(f"{prefix}{name}", name, info)
        if row is not None:
            yield row, info


def _row(path: str, name: str, info: Any) -> Row | None:
    kinds, words, limits = _read(info.annotation, info.metadata)
    label = info.title or label_of(name)
    if bool in kinds and (words or NoneType in kinds):
        states: list[tuple[str, Any]] = [(_word(word), word) for word in words]
        states += [("off", None)] if NoneType in kinds else []
        return Row(path, label, (*states, ("yes", True), ("no", False)))
    if kinds == {bool}:
        return Row(path, label)
    if words and not kinds - {NoneType}:
        choices = tuple((_word(word), word) for word in words)
        return Row(path, label, (*choices, *([("off", None)] if NoneType in kinds else [])))
    special = _special(words, kinds)
    numeric = bool(kinds & {int, float})
    if (kinds & {str, tuple, list} and not numeric) or (numeric and len(words) > 1):
        return Row(path, label, special=special, text=True)
    if not kinds & {int, float} or dict in kinds:
        return None
    return _number(path, label, name, info, (float in kinds, special, limits))


def _number(path: str, label: str, name: str, info: Any, read: tuple[bool, Any, dict[str, float]]) -> Row:
    real, special, limits = read
    suffix, factor = _unit(name)
    decimals, step = _steps(info.default, real, factor)
    low = limits.get("ge", limits.get("gt", -_NO_UPPER)) / factor
    if "gt" in limits and special is None:
        low += step if not real else 10.0**-decimals
    high = limits.get("le", limits.get("lt", _NO_UPPER)) / factor
    if "lt" in limits and real:
        high -= 10.0**-decimals
    return Row(
        path, label, special=special, low=low, high=high, step=step, decimals=decimals, suffix=suffix,
        zero=special is not None and "gt" not in limits, factor=factor,
    )  # fmt: skip


def _read(kind: Any, metadata: Any = ()) -> tuple[set[Any], list[Any], dict[str, float]]:
    """Types, words of literals, and bounds in a field's annotation."""
    kinds: set[Any] = set()
    words: list[Any] = []
    limits = _bounds(metadata)
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *more = get_args(kind)
        found = _read(inner, [m for item in more for m in getattr(item, "metadata", [item])])
        return found[0], found[1], {**limits, **found[2]}
    if origin is Literal:
        return kinds, list(get_args(kind)), limits
    if origin in (Union, UnionType):
        for part in get_args(kind):
            inner_kinds, inner_words, inner_limits = _read(part)
            kinds |= inner_kinds
            words += inner_words
            limits |= inner_limits
        return kinds, words, limits
    return {origin or kind}, words, limits


def _bounds(metadata: Any) -> dict[str, float]:
    limits: dict[str, float] = {}
    for item in metadata:
        for key in ("ge", "gt", "le", "lt"):  # of the package annotated-types, which pydantic brings
            if type(item).__name__.lower() == key:
                limits[key] = float(getattr(item, key))
    return limits


def _special(words: list[Any], kinds: set[Any]) -> tuple[str, Any] | None:
    if words:
        return _word(words[0]), words[0]
    return ("off", None) if NoneType in kinds else None


def _word(word: Any) -> str:
    return str(_WORDS.get(word, str(word).replace("_", " ")))


def _unit(name: str) -> tuple[str, float]:
    for ending in sorted(_UNITS, key=len, reverse=True):
        if name.endswith(ending):
            suffix, factor = _UNITS[ending]
            if ending == "_angstrom" and any(word in name for word in _NM):
                return " nm", 10.0
            return suffix, factor
    return "", 1.0


def _steps(default: Any, real: bool, factor: float) -> tuple[int, float]:
    """Decimals and step that suit a default."""
    if not real:
        return 0, 1.0
    size = abs(default / factor) if isinstance(default, int | float) and default else 1.0
    power = math.floor(math.log10(size)) if size > 0 else 0
    step = 10.0 ** (power - 1 if size < 2 * 10.0**power else power)
    decimals = max(1, 2 - power)
    if isinstance(default, int | float):  # −1.665 is not shown as −1.67
        exact = (n for n in range(decimals, 5) if math.isclose(round(default / factor, n), default / factor))
        decimals = next(exact, decimals)
    return decimals, max(step, 1e-6)


def value_at(config: Model, path: str) -> Any:
    """The value of a field given by its dotted path."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def with_value(config: Any, path: str, value: Any) -> Any:
    """A validated copy with one field changed.

    Raises
    ------
    ConfigError
        The value is refused; the message names the field.
    """
    return with_values(config, {path: value})


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """A validated copy with some fields (dotted paths) changed at once.

    Raises
    ------
    ConfigError
        They are refused; the message names the field.
    """
    data = config.model_dump()
    for path, value in values.items():
        *parents, name = path.split(".")
        target = data
        for parent in parents:
            target = target[parent]
        target[name] = value
    return type(config).parse(**data)
