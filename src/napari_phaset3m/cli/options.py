"""Flags made from the fields of a parameter model, so that names and defaults exist once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from napari_phaset3m.config import Model, Schedule, fields_of
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.wording import flag

#: Optional fields that hold several numbers.
_LISTS = ("orientation_deg", "origin_fraction", "match_bins", "gradient_bins", "stages")
_DASHED = {"none": None, "None": None}


def parameters(model: type[Model]) -> list[inspect.Parameter]:
    """One keyword parameter for each field of the model and of its sections."""
    return [
        _parameter(path[-1], field.annotation, field.default, field.description or "")
        for path, field in fields_of(model)
    ]


def with_flags(function: Callable[..., None], flags: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """A command: ``function``'s own options, and these in place of ``**fields``."""

    def command(**values: Any) -> None:
        function(**values)

    fixed = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    every = [*fixed, *flags]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in every}
    command.__doc__ = function.__doc__
    return command


def _parameter(name: str, kind: Any, default: Any, text: str) -> inspect.Parameter:
    option, shown = flag(name), default
    if isinstance(default, Schedule):
        text = "Sweeps in which it acts, START:STOP:EVERY"
        shown = f"{default.start}:{'' if default.stop is None else default.stop}:{default.every}"
    elif isinstance(default, tuple):
        shown = ",".join(item if isinstance(item, str) else f"{item:g}" for item in default) or "none"
    if get_origin(kind) is Literal:
        text = f"{text}; one of {', '.join(map(str, get_args(kind)))}"
    text = f"{text} (default: {'none' if shown is None else shown})"
    annotation: Any
    if kind is bool:
        annotation = Annotated[bool | None, typer.Option(f"{option}/--no-{option[2:]}", help=text)]
    else:
        annotation = Annotated[str | None, typer.Option(option, help=text, metavar="VALUE")]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _value(name: str, text: Any, kind: Any, default: Any) -> Any:
    if not isinstance(text, str):
        return text
    if isinstance(default, Schedule):
        try:
            start, stop, every = ([*text.split(":"), "", ""])[:3]
            return {"start": int(start or 0), "stop": int(stop) if stop else None, "every": int(every or 1)}
        except ValueError:
            raise ConfigError(f"{flag(name)}: is {text!r}. Write START:STOP:EVERY, e.g. 0:10:1") from None
    if isinstance(default, tuple):
        return tuple(part for part in text.split(",") if part and part != "none")
    if name in _LISTS and text not in ("auto", "none"):
        return tuple(text.split(","))
    return _DASHED.get(text, text) if _may_be_none(kind) else text


def _may_be_none(kind: Any) -> bool:
    """Whether a field has None among its values; where it has not, ``none`` is a word of its own."""
    if get_origin(kind) is Annotated:
        return _may_be_none(get_args(kind)[0])
    return kind is type(None) or (get_origin(kind) is not Literal and any(map(_may_be_none, get_args(kind))))


def build(model: type[Model], values: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Any:
    """The model from the flags that were given (None: not given), on top of ``base``."""
    merged = _copy(base or {})
    for path, field in fields_of(model):
        if values.get(path[-1]) is not None:
            target = merged
            for name in path[:-1]:
                target = target.setdefault(name, {})
            target[path[-1]] = _value(path[-1], values[path[-1]], field.annotation, field.default)
    return model.parse(**merged)


def _copy(base: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in base.items()}
