"""The page and the files beside it: complete, self-contained, escaped, whole or absent."""

from __future__ import annotations

import csv
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.report import Picture, Report, Section, Table, render, write_folder, write_report
from napari_phaset3m.report.html import cell, header
from napari_phaset3m.report.model import attempt
from napari_phaset3m.report.write import csv_text

EVIL = "<script>alert('x')</script> & \"quotes\""
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Checker(HTMLParser):
    """Balanced tags, unique ids, and every address that is named."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def draw():
    from napari_phaset3m.analyse.figures import style

    figure = style.new_figure(3, 2)
    figure.subplots().plot([0, 1], [0, 1], label=EVIL)
    return figure


def report() -> Report:
    rows = [{"d_angstrom": 2.0214, "hkl": (4, 0, 0), "found": True, "name": EVIL},
            {"d_angstrom": math.nan, "hkl": (4, 2, 2), "found": False, "name": None}]  # fmt: skip
    sections = (
        Section("one", "One", (f"A {EVIL}",), (Picture("a", EVIL, draw), Picture("b", "second", draw)),
                (Table("peaks", EVIL, rows), Table("more", "more", rows, folded=True)),
                headline=f"Found {EVIL}"),
        Section("two", "Two", problem=f"no {EVIL}"),
    )  # fmt: skip
    inputs = [{"path": f"/data/{EVIL}.mrc", "sha256": "0" * 64}]
    provenance = {"program": "p", "version": "1", "revision": None, "created": "now", "inputs": inputs}
    return Report(f"Report {EVIL}", "sub", sections, provenance)


def test_the_page_is_whole_self_contained_and_escaped() -> None:
    page = render(report())
    check = Checker()
    check.feed(page)
    assert check.open == [] and len(set(check.ids)) == len(check.ids)
    assert "script" not in check.tags and "<script" not in page
    own = {f"#{name}" for name in check.ids}
    for address in check.addresses:
        assert address in own or address.startswith("data:"), address
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page) and "@import" not in page
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page and "@media print" in page
    assert page.count("<svg") == 2 and page.count('role="img"') == 2


def test_what_was_not_computed_is_told() -> None:
    page = render(report())
    assert "Not computed:" in page and "no &lt;script&gt;" in page
    assert report().as_dict()["sections"]["two"]["not_computed"].startswith("no <script>")


def test_the_findings_come_first() -> None:
    page = render(report())
    assert page.index("Found &lt;script") < page.index("<h2>")
    assert "Not computed (see there why): Two." in page


def test_attempt_tells_the_datas_faults_and_passes_the_programs_on() -> None:
    def data():
        raise DataError("has no\npeaks", field="volume")

    def program():
        raise KeyError("bug")

    assert attempt("k", "K", data).problem == "volume: has no peaks"
    with pytest.raises(KeyError):
        attempt("k", "K", program)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.02144, "2.021"), (1, "1"), (0.0, "0"), (True, "yes"), (None, "–"), (math.nan, "–"), (-3.5, "−3.500"),
     (1.2e-5, "1.2e−05"), (123456.0, "1.23e+05"), ((4, 0, 0), "4, 0, 0"), (np.float32(40), "40")],
)  # fmt: skip
def test_cells(value, text) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [("d_angstrom", "d (Å)"), ("frequency_per_angstrom", "frequency (Å⁻¹)"), ("in_wedge", "in wedge"),
     ("tilt_deg", "tilt (°)"), ("angstrom", "angstrom")],
)  # fmt: skip
def test_headers_have_units(key, text) -> None:
    assert header(key) == text


def test_csv_reads_back(tmp_path) -> None:
    table = report().tables()[0]
    rows = list(csv.DictReader(csv_text(table.rows).splitlines()))
    assert [row["d_angstrom"] for row in rows] == ["2.0214", ""]
    assert rows[0]["hkl"] == "4 0 0" and rows[0]["name"] == EVIL
    assert csv_text([]) == ""


def test_the_folder_holds_every_table_and_figure(tmp_path) -> None:
    seen: list[float] = []
    written = write_folder(report(), tmp_path / "out ö", page=tmp_path / "p.html", progress=seen.append)
    names = {path.name for path in (tmp_path / "out ö").iterdir()}
    assert names | {"p.html"} == {path.name for path in written}
    assert (tmp_path / "p.html").read_bytes() == (tmp_path / "out ö" / "report.html").read_bytes()
    assert names == {
        "report.html",
        "report.json",
        "peaks.csv",
        "more.csv",
        "a.png",
        "a.svg",
        "b.png",
        "b.svg",
    }
    assert seen[-1] == 1
    record = json.loads((tmp_path / "out ö" / "report.json").read_text(encoding="utf-8"))
    assert record["sections"]["one"]["statements"] == [f"A {EVIL}"]
    assert (tmp_path / "out ö" / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "out ö" / "a.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_page_that_cannot_be_drawn_leaves_the_old_one(tmp_path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")

    def broken():
        raise DataError("nothing to draw", field="volume")

    section = Section("s", "S", (), (Picture("p", "c", broken),))
    with pytest.raises(DataError):
        write_report(Report("t", "s", (section,), {}), path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_one_line(tmp_path) -> None:
    Path(tmp_path / "f").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_folder(report(), tmp_path / "f")
