"""``--methods``: methods with their settings, as one line of text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from napari_phaset3m.cli import options
from napari_phaset3m.config import ReconstructionConfig, fields_of
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.methods import METHODS, unused

#: Dotted path of each setting, by its short name.
_PATHS = {path[-1]: ".".join(path) for path, _ in fields_of(ReconstructionConfig)}


@dataclass(frozen=True, slots=True)
class Plan:
    """One method to run, and what it is called.

    Parameters
    ----------
    config : ReconstructionConfig
    given : tuple of (str, str)
        Settings that were named, as they were written.
    """

    config: ReconstructionConfig
    given: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Like ``sirt (ctf_correction wiener, iterations 60)``."""
        told = ", ".join(f"{name} {value}" for name, value in self.given)
        return f"{self.config.method} ({told})" if told else self.config.method

    @property
    def stem(self) -> str:
        """The name as that of a file."""
        parts = [self.config.method, *(f"{name}-{value}" for name, value in self.given)]
        return re.sub(r"[^\w.+-]", "-", "_".join(parts)).replace(".", "p")


def plans(methods: str | None, iterations: str | None) -> list[Plan]:
    """One plan per method of ``NAME:FIELD=VALUE:FIELD=VALUE,NAME,...``.

    Parameters
    ----------
    methods : str or None
        Fields are those of :class:`ReconstructionConfig`, by name.
    iterations : str or None
        Sweeps of all, or one number each; a method's own ``iterations=`` wins.

    Raises
    ------
    ConfigError
        A method, a field or a value that cannot be, or the same thing twice.
    """
    if methods is None:
        if iterations is not None:
            raise ConfigError("--iterations: needs --methods")
        return []
    texts = [text.strip() for text in methods.split(",") if text.strip()]
    sweeps = (iterations or "auto").split(",")
    if len(sweeps) not in (1, len(texts)):
        raise ConfigError(f"--iterations: has {len(sweeps)} numbers for {len(texts)} methods")
    sweeps = sweeps * len(texts) if len(sweeps) == 1 else sweeps
    found = [_plan(text, count.strip()) for text, count in zip(texts, sweeps, strict=True)]
    for number, plan in enumerate(found):
        if any(plan.config == other.config for other in found[:number]):
            raise ConfigError(f"--methods: names {plan.name} twice with the same settings")
    names = [plan.name for plan in found]
    return [
        replace(plan, given=(*plan.given, ("iterations", str(plan.config.iterations))))
        if names.count(plan.name) > 1
        else plan
        for plan in found
    ]


def _plan(text: str, sweeps: str) -> Plan:
    method, *parts = (part.strip() for part in text.split(":"))
    if method not in METHODS:
        raise ConfigError(f"--methods: {method!r} is no method. Known are {', '.join(METHODS)}")
    given = tuple(_settings(method, parts))
    repeated = {name for name, _ in given if [other for other, _ in given].count(name) > 1}
    if repeated:
        raise ConfigError(f"--methods: {method} is given {min(repeated)} twice")
    values: dict[str, Any] = {"method": method, "iterations": sweeps} | _typed(dict(given))
    try:
        return Plan(options.build(ReconstructionConfig, values), given)
    except ConfigError as error:
        raise ConfigError(f"--methods: {method}: {error}") from None


def _settings(method: str, parts: list[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        path, equals, value = (word.strip() for word in part.partition("="))
        name = path.rpartition(".")[2]
        if not (equals and value):
            raise ConfigError(f"--methods: {method}: {part!r} is no setting. Write FIELD=VALUE")
        if path not in (name, _PATHS.get(name)) or name == "method" or name not in _PATHS:
            names = sorted(set(_PATHS) - {"method"})
            within = [other for other in names if len(name) > 1 and name in other]
            close = within or difflib.get_close_matches(name, names, 3)
            meant = f"Did you mean {' or '.join(close)}?" if close else "See phaset3m reconstruct --help"
            raise ConfigError(f"--methods: {method} has no setting {path!r}. {meant}")
        if _PATHS[name] in unused(method):
            raise ConfigError(f"--methods: {method} does not use {name}. Leave it out")
        yield name, value


def _typed(given: dict[str, str]) -> dict[str, Any]:
    """Switches as switches: a flag has no value, but a setting here has."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    switches = {path[-1] for path, field in fields_of(ReconstructionConfig) if field.annotation is bool}
    return {name: words.get(text.lower(), text) if name in switches else text for name, text in given.items()}
