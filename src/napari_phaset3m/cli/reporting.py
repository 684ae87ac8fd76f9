"""What ``analyse`` and ``compare`` tell at their end, and where they write it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from napari_phaset3m.cli import running
from napari_phaset3m.errors import OutputError
from napari_phaset3m.report import Report, write_folder, write_report


def deliver(report: Report, target: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Write what was asked for and print the findings.

    Raises
    ------
    RunFailed
        A file could not be written, though it could when the run began.
    """
    from napari_phaset3m.io.provenance import jsonable

    written: list[Path] = []
    try:
        with running.progress_bar(quiet=as_json) as show:
            if folder is not None:
                written = write_folder(
                    report, folder, page=target, progress=lambda part: show("Drawing", part)
                )
            elif target is not None:
                show("Drawing", 0.0)
                written = [write_report(report, target)]
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    if as_json:
        print(json.dumps(jsonable(report.as_dict()) | {"written": [str(p) for p in written]}, indent=2))
        return
    _tell(report)
    if folder is not None:
        print(f"Written: {len(written)} files, {written[0]} first", file=sys.stderr)
    elif target is not None:
        print(f"Written: {target}", file=sys.stderr)


def make_folder(folder: Path) -> None:
    """Make the folder of the results.

    Raises
    ------
    OutputError
        Its parent is missing, or it cannot be written.
    """
    from napari_phaset3m.io.atomic import output_error

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def _tell(report: Report) -> None:
    for section in report.sections:
        if section.problem is not None:
            print(f"{section.title}: not computed: {section.problem}")
        elif section.statements:
            print(f"{section.title}:")
            for text in section.statements:
                print(f"  {text}")


def provenance_of(inputs: dict[str, Path | None], settings: dict[str, Any]) -> dict[str, Any]:
    """The record of an analysis: program, inputs with their roles and hashes, settings."""
    from napari_phaset3m.io.provenance import provenance

    given = {role: path for role, path in inputs.items() if path is not None}
    record = provenance(list(given.values()), settings)
    roles = {str(path.resolve()): role for role, path in given.items()}
    for item in record["inputs"]:
        item["role"] = roles.get(item["path"], "input")
    return record
