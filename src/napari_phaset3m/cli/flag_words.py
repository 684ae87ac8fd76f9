"""Errors of the engine in the words of the command line: flags for the names of fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from napari_phaset3m.wording import flag

#: What a line is about, when it is about no file.
_SUBJECT = re.compile(r"^([a-z][a-z0-9_.]*)(?=: )")
#: Flags that stand for fields of another name.
_OTHERS = {"group": "--joint", "defocus_min_angstrom": "--range", "defocus_max_angstrom": "--range"}
#: Suffixes of files that are flags as well: ``a.defocus`` is a file.
_SUFFIXES = ("defocus", "gain")
#: A parameter of a step of a recipe.
_STEP = re.compile(r"^steps: ([a-z]+): (?=[a-z_]+: )")
#: A name that is no English word, in a sentence; not one that is told as Python.
_NAME = re.compile(r"(?<![\w./\\'\"-])([a-z][a-z0-9]*(?:[._][a-z0-9]+)+)(?![\w/\\=(-])(?!\.\w)")


def flags_of(command: Any) -> dict[str, str]:
    """Long flag of each parameter of a command (a click command), by the parameter's name."""
    found = {}
    for parameter in command.params:
        options = [option for option in getattr(parameter, "opts", ()) if option.startswith("--")]
        if options:
            found[parameter.name.replace("step_", "", 1).replace("__", ".")] = options[0]
    return found


def in_flags(text: str, flags: Mapping[str, str]) -> str:
    """One line with flags in place of the fields that a command has.

    What is said of a file (``x.toml: crop: ...``) is left: there the field is the file's.

    Parameters
    ----------
    text : str
    flags : mapping
        See :func:`flags_of`.
    """
    text = _STEP.sub(lambda match: f"{match[1]}.", text)
    subject = _SUBJECT.match(text)
    # A name with a dot that is no field is a file.
    if not subject or ("." in subject[1] and _flag_for(subject[1], flags) == subject[1]):
        return text
    return with_flags(_SUBJECT.sub(lambda match: _flag_for(match[1], flags), text), flags)


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """A sentence with flags in place of names of fields."""
    return _NAME.sub(lambda match: _flag_for(match[1], flags), text)


def _flag_for(name: str, flags: Mapping[str, str]) -> str:
    """The flag of a field, or its name where the command has none."""
    known, parts = set(flags.values()), name.split(".")
    if name not in flags and len(parts) > 1 and parts[-1] in _SUFFIXES:
        return name
    named = (_OTHERS.get(name), flags.get(name), flags.get(parts[-1]))
    tried = (*named, flag("-".join(parts)), flag(parts[-1]), _flag_in_a_step(name, flags))
    return next((option for option in tried if option in known), name)


def _flag_in_a_step(name: str, flags: Mapping[str, str]) -> str | None:
    """The flag of a field that one step alone has: what is told below the steps does not know of them."""
    found = [option for field, option in flags.items() if "_" in name and field.endswith(f".{name}")]
    return found[0] if len(found) == 1 else None


def command_named(app: Any, arguments: Sequence[str]) -> Any | None:
    """The click command that arguments begin with; None where there is none."""
    import typer.main

    group: Any = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    return next((commands[word] for word in arguments if word in commands), None)
