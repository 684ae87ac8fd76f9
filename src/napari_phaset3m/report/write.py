"""Reports to disk: each file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_phaset3m.io.atomic import atomic_path, output_error, write_text
from napari_phaset3m.io.provenance import jsonable
from napari_phaset3m.report.html import render
from napari_phaset3m.report.model import Picture, Report, Row


def write_report(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the self-contained page.

    Parameters
    ----------
    report : Report
    path : path-like
        ``.html``.

    Raises
    ------
    OutputError
        It could not be written; an older file is untouched.
    """
    write_text(path, render(report))
    return Path(path)


def write_folder(
    report: Report,
    folder: str | os.PathLike[str],
    *,
    page: str | os.PathLike[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write the page, its tables (CSV), figures (PNG and SVG) and results (JSON) into a folder.

    Parameters
    ----------
    report : Report
    folder : path-like
        Made when it is not there; its parent must be.
    page : path-like, optional
        The page goes there as well.
    progress : callable, optional
        Called with the done part, 0..1.

    Returns
    -------
    list of Path
        ``report.html``, ``report.json``, then figures, tables and other files.

    Raises
    ------
    OutputError
    """
    target = Path(folder)
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(target, error) from error
    svgs: dict[str, str] = {}
    written: list[Path] = []
    pictures = report.pictures()
    for number, picture in enumerate(pictures, 1):
        svgs[picture.name], paths = _draw(picture, target)
        written += paths
        if progress is not None:
            progress(number / len(pictures))
    for table in report.tables():
        written.append(target / f"{table.name}.csv")
        write_text(written[-1], csv_text(table.rows))
    for name, content in (file for section in report.sections for file in section.files):
        written.append(target / name)
        write_text(written[-1], content)
    text = render(report, svgs)
    first = [target / "report.html", target / "report.json"]
    write_text(first[0], text)
    write_text(first[1], json.dumps(jsonable(report.as_dict()), indent=2, ensure_ascii=False) + "\n")
    if page is not None:
        write_text(page, text)
        first.insert(0, Path(page))
    return first + written


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a header line; sequences are joined by spaces, None and NaN left empty."""
    stream = io.StringIO()
    if rows:
        writer = csv.writer(stream, lineterminator="\n")
        keys = list(rows[0])
        writer.writerow(keys)
        writer.writerows([_plain(row.get(key)) for key in keys] for row in rows)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    plain = jsonable(value)
    return " ".join(str(item) for item in plain) if isinstance(plain, list) else plain


def _draw(picture: Picture, folder: Path) -> tuple[str, list[Path]]:
    """Draw once: the SVG as text, and the files."""
    from napari_phaset3m.analyse.figures import style

    png, svg = folder / f"{picture.name}.png", folder / f"{picture.name}.svg"
    with style.sheet():
        figure = picture.draw()
        data, text = style.to_png(figure), style.to_svg(figure)
    with atomic_path(png, len(data)) as temporary:
        temporary.write_bytes(data)
    write_text(svg, style.on_paper(text))
    return text, [png, svg]
