"""Preparation steps as flags, as words, and from recipes."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import check_exists
from napari_phaset3m.prepare.pipeline import PrepareConfig
from napari_phaset3m.prepare.steps import STEPS, step_entry
from napari_phaset3m.wording import flag

_NONE = ("none", "None")
#: Parameters that name a file.
_FILES = ("gain", "dark")
#: Switches that are not the step's name: --dose states the dose of a series, as in every command.
_SWITCHES = {"dose": "dose-weighting"}


def flags_of_steps() -> list[inspect.Parameter]:
    """A switch for each step, and a flag for each of its parameters: ``--bin``, ``--bin-factor 2``."""
    made = []
    for name, entry in STEPS.items():
        panel = f"Step {name}"
        switch = typer.Option(f"--{_SWITCHES.get(name, name)}", help=entry.help, rich_help_panel=panel)
        made.append(_keyword(_switch_key(name), Annotated[bool, switch], False))
        for field, info in entry.config.model_fields.items():
            text = f"{info.description} (default: {_shown(info.default)})"
            option = f"--{name}-{flag(field)[2:]}"
            kind: Any = str | None
            if info.annotation is bool:
                kind, option = bool | None, f"{option}/--no-{name}-{flag(field)[2:]}"
            elif _choices(info.annotation):
                text = f"{text}; one of {', '.join(_choices(info.annotation))}"
            value = typer.Option(
                option, help=text, rich_help_panel=panel, metavar=None if kind == bool | None else "VALUE"
            )
            made.append(_keyword(_field_key(name, field), Annotated[kind, value], None))
    return made


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _switch_key(step: str) -> str:
    return f"step_{step}"


def _field_key(step: str, field: str) -> str:
    return f"step_{step}__{field}"


def _choices(kind: Any) -> list[str]:
    return [str(item) for item in get_args(kind)] if get_origin(kind) is Literal else []


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else f"{value}"


def wanted(values: dict[str, Any], recipe: Path | None, steps: list[str]) -> PrepareConfig:
    """The recipe that flags, a file or words ask for.

    Raises
    ------
    ConfigError
        A step or a parameter is wrong, or steps are given in two ways whose order is not clear.
    DataError
        A recipe cannot be read.
    """
    flagged = _from_flags(values)
    _check_region(dict(flagged).get("normalise", {}))
    if flagged and (recipe is not None or steps):
        first = flagged[0][0]
        raise ConfigError(
            f"--{_SWITCHES.get(first, first)}: has no place among the steps of --recipe and --step. "
            "Write it as a --step, where it shall act"
        )
    given = _from_file(recipe) if recipe is not None else []
    return PrepareConfig.of(*flagged, *given, *map(parse_step, steps))


def _check_region(fields: Mapping[str, Any]) -> None:
    """Refuse a vacuum region that no level is taken from."""
    if fields.get("region_px") is not None and fields.get("level", "mean") != "region":
        raise ConfigError(
            "--normalise-region: no level is taken from it. Give --normalise-level region as well, or leave "
            "it out"
        )


def _from_flags(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, entry in STEPS.items():
        fields = {
            field: _value(entry.config, field, values[_field_key(name, field)])
            for field in entry.config.model_fields
            if values.get(_field_key(name, field)) is not None
        }
        if fields or values.get(_switch_key(name)):
            found.append((name, fields))
    return found


def parse_step(text: str) -> tuple[str, dict[str, Any]]:
    """A step written as text: ``outliers sigma=9``, or ``bin 2`` (its first parameter).

    Raises
    ------
    ConfigError
    """
    try:
        word, *rest = shlex.split(text)
    except ValueError:
        raise ConfigError(f"--step: {text!r} is not a step. Write e.g. 'bin 2'") from None
    model = step_entry(word).config
    short = {flag(name)[2:].replace("-", "_"): name for name in model.model_fields}
    fields: dict[str, Any] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals:
            key, value = next(iter(short)), part
        key = key.replace("-", "_")
        name = short.get(key, key)
        if name not in model.model_fields or name in fields:
            raise ConfigError(f"--step {word}: {part!r} is not understood. Known are {', '.join(short)}")
        fields[name] = _value(model, name, value)
    return word, fields


def _value(model: Any, field: str, text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if field in _FILES and text not in _NONE:
        return str(check_exists(text).resolve())  # a recipe that is kept means the same from any folder
    if text in _NONE and type(None) in get_args(model.model_fields[field].annotation):
        return None
    return tuple(text.split(",")) if _is_list(model.model_fields[field].annotation) else text


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple or any(_is_list(item) for item in get_args(kind))


def _from_file(path: Path) -> list[tuple[str, dict[str, Any]]]:
    if path.suffix.lower() in (".h5", ".hdf5"):
        return _steps(PrepareConfig.from_history(_history_of(path)))
    return _steps(PrepareConfig.load(path))


def _steps(config: PrepareConfig) -> list[tuple[str, dict[str, Any]]]:
    return [(item.step, item.parameters) for item in config.steps]


def _history_of(path: Path) -> Any:
    from napari_phaset3m.io.series import load_series
    from napari_phaset3m.prepare.history import history

    series = load_series(path)
    if not history(series):
        raise DataError(
            "was not prepared yet, so it has no recipe",
            path=path,
            field="--recipe",
            remedy="Give a series that phaset3m prepare wrote, or a recipe (.yaml, .json)",
        )
    return series
