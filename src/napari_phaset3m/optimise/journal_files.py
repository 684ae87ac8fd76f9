"""Files that keep trials: their names, and whether one is of the search that would go on with it."""

from __future__ import annotations

import json
from pathlib import Path

from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.provenance import package_version

#: First entry of such a file.
FORMAT = "phaset3m trials"


def round_path(path: Path, number: int) -> Path:
    """Where a later search of the same run keeps its trials: ``t.jsonl``, ``t.2.jsonl`` ... (from 0)."""
    return path if not number else path.with_name(f"{path.stem}.{number + 1}{path.suffix}")


def in_the_way(path: Path | None, rounds: int, *, resume: bool) -> Path | None:
    """The first file that keeps a run of ``rounds`` searches from its trials; None when there is none.

    Without ``resume`` that is any file that exists; with it, one of a later search without the first.
    """
    if path is None or (resume and path.exists()):
        return None
    paths = (round_path(path, number) for number in range(rounds))
    return next((each for each in paths if each.exists()), None)


def refuse_in_the_way(path: Path | None, rounds: int, *, resume: bool) -> None:
    """Refuse, before anything is computed, a run whose trials would meet those of another one.

    Raises
    ------
    OutputError
    """
    other = in_the_way(path, rounds, resume=resume)
    if other is None or path is None:
        return
    if other == path or path.exists():
        raise OutputError(f"{other}: exists already. Continue it with --resume, or name another file")
    raise OutputError(
        f"{other}: exists already, but {path.name}, to which it belongs, does not. "
        "Delete it, or name another file"
    )


def check_run(path: Path | None, begun: str, rounds: int, *, resume: bool) -> None:
    """Refuse a pipeline's file, before anything is computed: in the way, or begun from something else.

    Raises
    ------
    DataError, OutputError
    """
    refuse_in_the_way(path, rounds, resume=resume)
    if path is not None and path.exists():
        check_head(path, begun, "begun")


def set_aside(path: Path | None, mark: str) -> Path | None:
    """Rename a journal of another search to ``.old``, so that a new one takes its place.

    Returns
    -------
    Path or None
        Its new name; None where there is none, or it is of this search.
    """
    if path is None or not path.exists():
        return None
    try:
        check_head(path, mark)
    except DataError:
        other = path.with_name(f"{path.name}.old")
        path.replace(other)
        return other
    return None


def check_head(path: Path, mark: str, field: str = "signature") -> list[str]:
    """The lines of a journal, whose first one says that it is of this search.

    Parameters
    ----------
    field : str
        ``signature``, or ``begun`` (not checked where the journal does not hold it).

    Raises
    ------
    DataError
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        head = json.loads(lines[0])
    except (IndexError, ValueError):
        lines, head = [], None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise DataError("is no journal of trials", path=path, remedy="Name the file of an earlier search")
    if head.get(field) != mark and not (field == "begun" and not head.get(field)):
        other, here = head.get("version", "unknown"), package_version()
        version = "" if other == here else f", or of another version (written by {other}, this is {here})"
        raise DataError(
            f"is of another series, range or setting{version}",
            path=path,
            remedy="Continue with the same ones, or name another file to start anew",
        )
    return lines
