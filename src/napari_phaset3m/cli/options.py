"""Flags made from the fields of a parameter model, so that names and defaults exist once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from napari_phaset3m.config import ConstraintConfig, Model, ReconstructionConfig, Schedule
from napari_phaset3m.errors import ConfigError

_UNITS = ("_angstrom", "_volts", "_px", "_mrad")
_DASHED = {"none": None, "None": None}


def flag(name: str) -> str:
    """``voxel_angstrom`` -> ``--voxel``; the unit is told by the help text."""
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return "--" + name.replace("_", "-")


def parameters() -> list[inspect.Parameter]:
    """One keyword parameter for each field of the reconstruction and its constraints."""
    found = []
    for model in (ReconstructionConfig, ConstraintConfig):
        for name, field in model.model_fields.items():
            if name != "constraints":
                found.append(_parameter(name, field.annotation, field.default, field.description or ""))
    return found


def _parameter(name: str, kind: Any, default: Any, text: str) -> inspect.Parameter:
    option, shown = flag(name), default
    if isinstance(default, Schedule):
        text = "Sweeps in which it acts, START:STOP:EVERY"
        shown = f"{default.start}:{'' if default.stop is None else default.stop}:{default.every}"
    elif isinstance(default, tuple):
        shown = ",".join(map(str, default)) or "none"
    text = f"{text} (default: {'none' if shown is None else shown})"
    annotation: Any
    if kind is bool:
        annotation = Annotated[bool | None, typer.Option(f"{option}/--no-{option[2:]}", help=text)]
    else:
        annotation = Annotated[str | None, typer.Option(option, help=text, metavar="VALUE")]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _value(name: str, text: Any, default: Any) -> Any:
    if not isinstance(text, str):
        return text
    if isinstance(default, Schedule):
        try:
            start, stop, every = (text.split(":") + ["", ""])[:3]
            return {"start": int(start or 0), "stop": int(stop) if stop else None, "every": int(every or 1)}
        except ValueError:
            raise ConfigError(f"{flag(name)}: is {text!r}. Write START:STOP:EVERY, e.g. 0:10:1") from None
    if isinstance(default, tuple):
        return tuple(part for part in text.split(",") if part and part != "none")
    return _DASHED.get(text, text)


def build(values: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> ReconstructionConfig:
    """The model from the flags that were given (None: not given), on top of ``base``."""
    merged: dict[str, Any] = dict(base or {})
    constraints = dict(merged.pop("constraints", {}))
    for model, target in ((ReconstructionConfig, merged), (ConstraintConfig, constraints)):
        _collect(model, values, target)
    config: ReconstructionConfig = ReconstructionConfig.parse(**merged, constraints=constraints)
    return config


def _collect(model: type[Model], values: Mapping[str, Any], target: dict[str, Any]) -> None:
    for name, field in model.model_fields.items():
        if values.get(name) is not None:
            target[name] = _value(name, values[name], field.default)
