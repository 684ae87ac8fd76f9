"""A report as one HTML page: no script, no external resource; light, dark and on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from napari_phaset3m.report.model import Picture, Report, Row, Section, Table

#: Endings of keys and what a reader sees instead.
_UNITS = {
    "_angstrom": "Å", "_per_angstrom": "Å⁻¹", "_deg": "°", "_nm3": "nm³", "_ev": "eV", "_volts": "V",
    "_percent": "%", "_seconds": "s", "_bytes": "B", "_angstrom2": "Å²", "_angstrom3": "Å³", "_rad": "rad",
}  # fmt: skip
#: Longer tables are for programs: they are in the CSV files only.
MOST_ROWS = 600
#: Nothing may be fetched, whatever a name in the data tries.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(report: Report, drawn: Mapping[str, str] | None = None) -> str:
    """The page as text.

    Parameters
    ----------
    report : Report
        Its figures are drawn now (matplotlib), but for those in ``drawn``.
    drawn : mapping of str to str, optional
        Names of pictures and their SVG, see :func:`analyse.figures.style.to_svg`.

    Returns
    -------
    str
        Complete HTML, UTF-8, readable offline.
    """
    links = "".join(_link(section) for section in report.sections)
    body = "\n".join(_section(section, drawn or {}) for section in report.sections)
    style = files("napari_phaset3m.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(report.title)}</h1><p class="sub">{escape(report.subtitle)}</p></header>\n'
        f"<nav>{links}<a href='#provenance'>Provenance</a></nav>\n<main>\n{_summary(report)}{body}\n"
        f"{_provenance(report)}\n</main>\n</body>\n</html>\n"
    )


def _summary(report: Report) -> str:
    """What a reader in a hurry must know: the main findings, and what is absent."""
    found = "".join(f"<li>{escape(s.headline)}</li>" for s in report.sections if s.headline)
    absent = ", ".join(s.title for s in report.sections if s.problem is not None)
    note = f"<p>Not computed (see there why): {escape(absent)}.</p>" if absent else ""
    if not found and not note:
        return ""
    return f'<div class="summary"><ul>{found}</ul>{note}</div>\n'


def header(key: str) -> str:
    """``d_angstrom`` -> ``d (Å)``; other underscores become spaces."""
    for ending in sorted(_UNITS, key=len, reverse=True):
        if key.endswith(ending):
            return f"{key.removesuffix(ending).replace('_', ' ')} ({_UNITS[ending]})"
    return key.replace("_", " ")


def cell(value: Any) -> str:
    """A value for readers: four digits, yes or no, and a dash for what is not there."""
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return _number(float(value))
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return ", ".join(cell(item) for item in value)
    return str(value)


def _number(value: float) -> str:
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}".replace("-", "−")
    digits = 4 if abs(value) < 1 else 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if value == round(value) else f"{value:.{digits}f}"
    return text.replace("-", "−")


def _link(section: Section) -> str:
    css = ' class="off"' if section.problem is not None else ""
    return f"<a href='#{escape(section.key, quote=True)}'{css}>{escape(section.title)}</a>"


def _section(section: Section, drawn: Mapping[str, str]) -> str:
    head = f'<section id="{escape(section.key, quote=True)}"><h2>{escape(section.title)}</h2>'
    if section.problem is not None:
        return f'{head}<p class="missing"><b>Not computed:</b> {escape(section.problem)}</p></section>'
    parts = [head]
    if section.statements:
        lines = "".join(f"<li>{escape(text)}</li>" for text in section.statements)
        parts.append(f'<ul class="statements">{lines}</ul>')
    if section.pictures:
        parts.append(
            f'<div class="figures">{"".join(_figure(p, drawn.get(p.name)) for p in section.pictures)}</div>'
        )
    parts += [_table(table) for table in section.tables]
    return "\n".join(parts) + "</section>"


def _figure(picture: Picture, drawn: str | None) -> str:
    from napari_phaset3m.analyse.figures import style

    svg = style.inline(picture.svg() if drawn is None else drawn, picture.name)
    caption = escape(picture.caption)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(picture.caption, quote=True)}"', 1)
    css = ' class="wide"' if picture.wide else ""
    return f"<figure{css}>{svg}<figcaption>{caption}</figcaption></figure>\n"


def _table(table: Table) -> str:
    caption = escape(table.caption)
    if len(table.rows) > MOST_ROWS:
        where = f"{len(table.rows)} rows, in {escape(table.name)}.csv of the report's folder (-o)"
        return f'<p class="caption">{caption}: {where}</p>'
    inner = _grid(table.rows)
    if table.folded:
        return f"<details><summary>{caption} ({len(table.rows)} rows)</summary>{inner}</details>"
    return f'<p class="caption">{caption}</p>{inner}'


def _grid(rows: Sequence[Row]) -> str:
    if not rows:
        return "<p>None.</p>"
    keys = list(rows[0])
    head = "".join(f"<th scope='col'>{escape(header(key))}</th>" for key in keys)
    css = {key: _align([row.get(key) for row in rows]) for key in keys}
    lines = []
    for row in rows:
        cells = "".join(f"<td{css[key]}>{escape(cell(row.get(key)))}</td>" for key in keys)
        lines.append(f"<tr>{cells}</tr>")
    body = "\n".join(lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _align(column: Sequence[Any]) -> str:
    """Columns of numbers (or of nothing) stand to the right."""
    given = [value for value in column if value is not None]
    numbers = all(
        isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_) for v in given
    )
    return ' class="n"' if given and numbers else ""


def _provenance(report: Report) -> str:
    from napari_phaset3m.io.provenance import jsonable

    record = jsonable(report.provenance)
    rows = [
        {"what": "program", "value": f"{record.get('program')} {record.get('version')}"},
        {"what": "revision", "value": record.get("revision")},
        {"what": "created", "value": record.get("created")},
    ]
    for item in record.get("inputs", []):
        rows.append(
            {"what": item.get("role", "input"), "value": f"{item['path']} · SHA-256 {item['sha256']}"}
        )
    text = escape(json.dumps(record, indent=2, ensure_ascii=False))
    return (
        f'<section id="provenance"><h2>Provenance</h2>{_grid(rows)}'
        f"<details><summary>Everything, as JSON</summary><pre>{text}</pre></details></section>"
    )
