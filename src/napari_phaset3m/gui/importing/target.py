"""Where an import is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_phaset3m.io.import_plan import ImportPlan


def target_of(paths: Sequence[Path], plan: ImportPlan) -> Path:
    """Where an import is written at first: named after what was chosen, and beside it."""
    first, files = plan.images[0].file, {entry.file for entry in plan.images}
    mdocs = [path for path in paths if path.suffix.lower() in (".mdoc", ".idoc")]
    if len(files) == 1:
        folder, name = first.parent, first.stem
    elif len(mdocs) == 1:
        folder, name = mdocs[0].parent, Path(mdocs[0].stem).stem
    else:
        folder = paths[0] if len(paths) == 1 and paths[0].is_dir() else first.parent
        name = folder.name
    return folder / f"{name or 'series'}_imported.toml"


def written_files(target: Path | None) -> tuple[Path, ...]:
    """What an import to this place writes."""
    return () if target is None else (target.with_suffix(".toml"), target.with_suffix(".h5"))


def why_kept(target: Path | None) -> str:
    """Why what is there must stay: images beside no description were not written by an import; else empty."""
    if target is None:
        return ""
    described, images = written_files(target)
    if described.exists() or not images.exists():
        return ""
    return f"{images.name} is there already, and of no import: save under another name"


def target_text(target: Path | None, *, busy: bool) -> str:
    """What an import will write, and what of it is there already; ``busy``: it is being written."""
    files = written_files(target)
    text = " and ".join(path.name for path in files)
    there = [path.name for path in files if path.exists()]
    if busy or not there:
        return text
    lost = "both are" if len(there) > 1 else f"{there[0]} is"
    return why_kept(target) or f"{text} ({lost} replaced)"
