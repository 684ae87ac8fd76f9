"""What a parameter may be, in words: pydantic's report of a wrong one, as one line."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_NUMBERS = {int: "a whole number", float: "a number"}
_UNITS = (
    "_seconds", "_angstrom", "_angstrom2", "_volts", "_px", "_mrad", "_deg", "_ev", "_g_cm3",
    "_e_per_angstrom2",
)  # fmt: skip
#: Flags that every command has for a field of another name.
_FLAGS = {
    "phase_shift_deg": "--phase-plate",
    "spherical_aberration_angstrom": "--cs",
    "stated_spherical_aberration_angstrom": "--stated-cs",
    "fit_spherical_aberration": "--fit-cs",
    "chromatic_aberration_angstrom": "--cc",
    "dose_per_image": "--dose",
    "aberrations": "--aberration",
    "unstated_aberrations": "--unstated-aberration",
}
_PLAIN = {str: "text", bool: "true or false", type(None): "none"}


def flag(name: str) -> str:
    """``voxel_angstrom`` -> ``--voxel``: a field's flag; the unit is told by the help text."""
    if name in _FLAGS:
        return _FLAGS[name]
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return "--" + name.replace("_", "-")


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Name each wrong field of ``model``, what it must be and what it was.

    A field that may be of several kinds is reported once, not once for each kind.

    Returns
    -------
    str
        E.g. ``iterations: must be a whole number of at least 1, or auto (got -3)``.
    """
    parts: list[str] = []
    wrong: set[str] = set()  # fields told; a list of words is tried as words, and as the word that it is not
    for item in error.errors():
        path, field = _field_at(item["loc"], model)
        where, given = ".".join(path), _given(item.get("input"))
        if item["type"] == "extra_forbidden":
            owner = _owner(path[:-1], model)
            parts.append(f"{where}: is not a parameter. Known are {', '.join(owner.model_fields)}")
        elif item["type"] == "missing" and path[-1:] == [item["loc"][-1]]:
            parts.append(f"{where}: is missing")
        elif field is None or item["type"] in ("value_error", "assertion_error"):
            text = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            owner = _owner(path, model)
            # A section's validator names the field of the section that it is about.
            joint = "." if text.split(":")[0] in owner.model_fields else ": "
            parts.append(f"{where}{joint}{text}" if where else text)
        elif where not in wrong:
            wrong.add(where)
            parts.append(f"{where}: must be {allowed(field.annotation, field.metadata)} (got {given})")
    return "; ".join(dict.fromkeys(parts))


def _given(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    return repr(value)


def _field_at(loc: Iterable[int | str], model: type[BaseModel]) -> tuple[list[str], FieldInfo | None]:
    """Names down to a field: what follows in ``loc`` tells the kind that was tried."""
    path: list[str] = []
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for part in loc:
        if owner is None:
            break
        if isinstance(part, int):  # which of a tuple's
            continue
        path.append(str(part))
        field = owner.model_fields.get(str(part))
        owner = None if field is None else _model_of(field.annotation)
    return path, field


def _model_of(kind: Any) -> type[BaseModel] | None:
    """A section, or what a tuple holds of."""
    kind = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _owner(path: Iterable[str], model: type[BaseModel]) -> type[BaseModel]:
    for name in path:
        model = _model_of(model.model_fields[name].annotation) or model
    return model


def allowed(kind: Any, limits: Iterable[Any] = ()) -> str:
    """The values of a type, in words: ``a whole number of at least 1, or auto``."""
    choices: list[str] = []
    for option in _options(kind):
        inner, own = _split(option)
        choices += _phrases(inner, [*own, *limits])
    choices = list(dict.fromkeys(choices))
    if len(choices) < 2:
        return "".join(choices)
    comma = "," if len(choices) > 2 or " " in choices[0] else ""
    return f"{', '.join(choices[:-1])}{comma} or {choices[-1]}"


def _options(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        return [option for part in get_args(kind) for option in _options(part)]
    return [kind]


def _split(kind: Any) -> tuple[Any, list[Any]]:
    """A type and the limits that are annotated to it."""
    if get_origin(kind) is not Annotated:
        return kind, []
    inner, *extras = get_args(kind)
    return inner, [
        m for extra in extras for m in (extra.metadata if isinstance(extra, FieldInfo) else [extra])
    ]


def _phrases(kind: Any, limits: list[Any]) -> list[str]:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [str(value) for value in args]
    if kind in _NUMBERS:
        return [f"{_NUMBERS[kind]}{_bounds(limits)}"]
    if origin is tuple:
        return [_tuple(args, limits)]
    if origin in (dict, Mapping):
        return [f"named values, each {allowed(args[1])}"]
    if _model_of(kind) is not None:
        return ["a table of fields"]
    return [_PLAIN.get(kind, getattr(kind, "__name__", str(kind)))]


def _tuple(args: tuple[Any, ...], limits: list[Any]) -> str:
    inner, own = _split(args[0])
    noun = {int: "whole numbers", float: "numbers"}.get(inner, "lists of numbers")
    entry = _model_of(inner)
    if entry is not None:
        noun = f"tables, each of {', '.join(entry.model_fields)}"
    if get_origin(inner) is Literal:
        noun = f"words among {', '.join(map(str, get_args(inner)))}"
    if args[-1] is not Ellipsis:
        return f"{len(args)} {noun}{_bounds(own)}"
    least = next((m.min_length for m in limits if getattr(m, "min_length", 0)), 0)
    return f"{f'{least} or more ' if least else ''}{noun}{_bounds(own)}"


def _bounds(limits: list[Any]) -> str:
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    found = [
        f"{text} {getattr(limit, name):g}"
        for name, text in words.items()
        for limit in limits
        if getattr(limit, name, None) is not None
    ]
    return " " + " and ".join(found) if found else ""
