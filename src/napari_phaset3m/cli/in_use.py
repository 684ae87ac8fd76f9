"""Files that a command reads and writes, those beside a series that is text (``.toml``) included."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from napari_phaset3m.errors import DataError


def all_read(inputs: Mapping[str, Path | None]) -> Iterator[tuple[str, Path]]:
    """What is read, and what to call it: files that a ``.toml`` names before the ``.toml``."""
    for name, path in inputs.items():
        if path is None:
            continue
        if path.suffix.lower() == ".toml":
            yield from ((f"images of {name}", file) for file in _named_in(path))
        yield name, path


def all_written(outputs: Mapping[str, Path | None]) -> Iterator[tuple[str, Path]]:
    """What is written: the stack beside ``the output`` that is a ``.toml``, too."""
    from napari_phaset3m.io.toml_write import images_of

    for name, path in outputs.items():
        if path is not None:
            yield name, path
            if name == "the output" and path.suffix.lower() == ".toml":
                yield f"the stack of {path.name}", images_of(path)


def _named_in(path: Path) -> Iterator[Path]:
    """Image files of a description; none of one that cannot be read, which is told when it is."""
    from napari_phaset3m.io.text import read_text_file

    try:
        rows = tomllib.loads(read_text_file(path)).get("image")
    except (DataError, OSError, tomllib.TOMLDecodeError):
        return
    for row in rows if isinstance(rows, list) else ():
        name = row.get("file") if isinstance(row, dict) else None
        if isinstance(name, str) and "\0" not in name:  # else refused when the description is read
            yield path.parent / name
