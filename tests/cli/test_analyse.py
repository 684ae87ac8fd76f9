"""phaset3m analyse, from files to a page; bad input is one line and leaves nothing."""

from __future__ import annotations

import csv
import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.cli import main, subjects
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.volume import Volume, load_volume, save_volume


@pytest.fixture(scope="session")
def solved(tiny, tmp_path_factory) -> Path:
    """A volume of the tiny series with its record."""
    path = tmp_path_factory.mktemp("solved") / "vol.mrc"
    flags = ["--iterations", "2", "--method", "sirt"]
    assert main(["reconstruct", str(tiny), "-o", str(path), *flags]) == 0
    return path


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["analyse", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_one_page_and_nothing_else(solved, tiny, tmp_path, capsys) -> None:
    page = tmp_path / "out.html"
    code, out, err = run(capsys, solved, "--series", tiny, "--report", page)
    assert code == 0, err
    assert list(tmp_path.iterdir()) == [page]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.count("<svg") >= 5
    assert "not computed" in out and "--half1" in out  # no halves were given, and it says so
    assert str(tiny.resolve()) in text  # provenance


def test_ssnr_is_of_the_defoci_asked_for(solved, tiny, tmp_path, capsys) -> None:
    page = tmp_path / "out.html"
    code, out, err = run(
        capsys, solved, "--series", tiny, "--ssnr-defocus", "900,-200", "--report", page, "--json"
    )
    assert code == 0, err
    section = json.loads(out)["sections"]["optics"]
    assert any(told.startswith("Focal series at -20, 90 nm") for told in section["statements"])
    assert [limits["defocus_angstrom"] for limits in section["limits"]] == [-200, 900]
    assert "at the defoci asked for" in page.read_text(encoding="utf-8")
    code, _, err = run(capsys, solved, "--series", tiny, "--ssnr-defocus", "much", "--report", page)
    assert code != 0 and "--ssnr-defocus" in err and "500,1000" in err
    code, _, err = run(capsys, solved, "--ssnr-defocus", "900", "--report", page)
    assert code != 0 and "needs --series" in err


def test_halves_give_a_resolution_with_everything_named(solved, tiny, tmp_path, capsys) -> None:
    folder = tmp_path / "out"
    code, out, err = run(
        capsys, solved, "--series", tiny, "--halves", "tilts", "--mask", "auto", "-o", folder, "--json"
    )
    assert code == 0, err
    record = json.loads(out)
    first = record["sections"]["fsc"]["statements"][0]
    assert "odd and even tilts" in first and "mask: automatic" in first and "0.143" in first
    assert record["provenance"]["parameters"]["halves"] == "tilts"
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "report.json", "fsc.csv", "fsc.png", "fsc.svg"} <= names
    one, two = (load_volume(folder / f"vol_half{n}.mrc") for n in (1, 2))
    assert one.shape == load_volume(solved).shape
    assert not np.array_equal(one.data, two.data)
    # the halves ran with the settings of the volume, not with the defaults
    settings = json.loads((folder / "vol_half1.json").read_text())["parameters"]
    assert (settings["method"], settings["iterations"]) == ("sirt", 2)
    assert {str(folder / name) for name in ("report.html", "fsc.png")} <= set(record["written"])
    # given later as files, they still say what they are
    halves = [folder / "vol_half1.mrc", folder / "vol_half2.mrc"]
    code, out, err = run(capsys, solved, "--half1", halves[0], "--half2", halves[1], "--json")
    first = json.loads(out)["sections"]["fsc"]["statements"][0]
    assert code == 0 and "odd and even tilts (vol_half1.mrc, vol_half2.mrc)" in first
    # what they share is told in the findings, beside the headline, and with each curve
    again = json.loads(out)["sections"]["fsc"]
    for section in (record["sections"]["fsc"], again):
        (note,) = [s for s in section["statements"] if s.startswith("Both halves share")]
        assert "positivity" in note
        for curve in ("fsc", "wedge_fsc") if section is not again else ("fsc",):
            assert note in json.dumps(section[curve], ensure_ascii=False)
    headline = record["sections"]["fsc"]["statements"][0]
    assert f"{headline} {note}" in html.unescape((folder / "report.html").read_text(encoding="utf-8"))


def test_the_control_is_the_same_halves_without_priors(solved, tiny, tmp_path, capsys) -> None:
    code, out, err = run(capsys, solved, "--series", tiny, "--halves", "tilts", "--control", "--json")
    assert code == 0, err
    record = json.loads(out)
    found = record["sections"]["fsc"]
    told = " ".join(found["statements"])
    assert "Control without priors: " in told and "has the same halves, sweeps and optics" in told
    assert record["provenance"]["parameters"]["control"] is True
    with_priors, free = (np.array(found[key]["fsc"], float) for key in ("fsc", "fsc_without_priors"))
    assert np.nanmax(np.abs(with_priors - free)) > 0.01
    # made by hand, the same two sweeps without positivity, the only prior that SIRT had
    plain = tmp_path / "plain.mrc"
    flags = ["--iterations", "2", "--method", "sirt", "--no-positivity"]
    assert main(["reconstruct", str(tiny), "-o", str(plain), *flags]) == 0
    capsys.readouterr()
    code, out, err = run(capsys, plain, "--series", tiny, "--halves", "tilts", "--json")
    by_hand = np.array(json.loads(out)["sections"]["fsc"]["fsc"]["fsc"], float)
    np.testing.assert_allclose(free, by_hand, atol=1e-4)
    code, out, err = run(capsys, solved, "--series", tiny, "--control")
    assert code == 2 and "--control: needs --halves" in err and len(err.strip().splitlines()) == 1


def test_one_file_is_no_pair_of_halves_and_a_slice_has_a_thickness(solved, tmp_path, capsys) -> None:
    code, out, err = run(capsys, solved, "--half1", solved, "--half2", solved)
    assert code == 2 and not out and len(err.strip().splitlines()) == 1
    assert "--half2" in err and "agrees with itself" in err
    code, out, err = run(capsys, solved, "--slice", "0")
    assert code == 2 and "--slice" in err and not out


def test_ctrl_c_during_the_halves_is_one_line(solved, tiny, tmp_path, capsys, monkeypatch) -> None:
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.jobs import halves

    def stopped(*given, control, **more):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does
        assert control.wait_for_stop(5)
        yield halves.HalvesResult(
            run_id="r", kind="tilts", reason="stopped", volumes=(None, None), curve=None, unit="",
            voxel_size_angstrom=None, sweeps=(), config=ReconstructionConfig(), paths=(Path("kept.mrc"),),
        )  # fmt: skip

    monkeypatch.setattr(halves, "run_halves", stopped)
    page = tmp_path / "out.html"
    code, out, err = run(capsys, solved, "--series", tiny, "--halves", "tilts", "--report", page)
    assert code == 1 and "kept: kept.mrc" in err and len(err.strip().splitlines()) == 1
    assert not out and not list(tmp_path.iterdir())


def test_given_halves_are_named(solved, tmp_path, capsys) -> None:
    half = tmp_path / "a.mrc"
    shutil.copy(solved, half)
    code, out, err = run(capsys, solved, "--half1", half, "--half2", solved, "--json")
    assert code == 0, err
    fsc = json.loads(out)["sections"]["fsc"]
    assert "the half volumes a.mrc and vol.mrc" in fsc["statements"][0]
    assert np.nanmin(fsc["fsc"]["fsc"]) > 0.999  # a volume against itself
    assert list(tmp_path.iterdir()) == [half]


def bad(tmp_path: Path, solved: Path) -> dict[str, list[object]]:
    other = tmp_path / "other.mrc"
    save_volume(Volume(data=np.ones((8, 8, 8), np.float32), voxel_size_angstrom=1.0), other)
    lone = tmp_path / "lone.mrc"
    shutil.copy(solved, lone)
    old = tmp_path / "old.json"
    old.write_text('{"parameters": {"method": "sirt", "gone": 1}}')
    return {
        "one half": [solved, "--half1", solved],
        "another shape": [solved, "--half1", other, "--half2", solved],
        "no volume": [tmp_path / "none.mrc"],
        "mask of another grid": [solved, "--mask", other],
        "halves without series": [solved, "--halves", "tilts"],
        "unknown halves": [solved, "--halves", "eggs", "--series", "TINY"],
        "no record": [lone, "--halves", "tilts", "--series", "TINY"],
        "both cells": [solved, "--cell", "8", "--cif", other],
        "no cell": [solved, "--cell", "big"],
        "cell of zero": [solved, "--cell", "0"],
        "no cif": [solved, "--cif", other],
        "no model": [solved, "--model", other],
        "no page": [solved, "--report", tmp_path / "out.pdf"],
        "no such folder": [solved, "--report", tmp_path / "nowhere" / "out.html"],
        "over the volume": [solved, "-o", solved],
        "no device": [solved, "--device", "abacus"],
        "old settings": [solved, "--halves", "tilts", "--series", "TINY", "--from", old],
        "no record named": [solved, "--halves", "tilts", "--series", "TINY", "--from", other],
    }  # fmt: skip


CASES = ("one half", "another shape", "no volume", "mask of another grid", "halves without series",
         "unknown halves", "no record", "both cells", "no cell", "cell of zero", "no cif", "no model",
         "no page", "no such folder", "over the volume", "no device", "no record named",
         "old settings")  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_writes_nothing(solved, tiny, tmp_path, capsys, case) -> None:
    cases = bad(tmp_path, solved)
    assert set(cases) == set(CASES)
    given = [tiny if part == "TINY" else part for part in cases[case]]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    if not any(str(part) in ("--report", "-o") for part in given):
        given += ["-o", tmp_path / "out"]
    code, out, err = run(capsys, *given)
    assert code == 2, (out, err)
    assert len(err.strip().splitlines()) == 1 and not out
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_matplotlib_is_told_first(solved, tmp_path, capsys, monkeypatch) -> None:
    import importlib.util

    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "matplotlib" else known(n, *a)
    )
    code, _, err = run(capsys, solved, "--report", tmp_path / "out.html")
    assert code == 2 and "matplotlib" in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "edges", "centring"),
    [("8.084", (8.084, 8.084, 8.084), "P"), ("8.084 F", (8.084, 8.084, 8.084), "F"),
     ("3,4,5", (3, 4, 5), "P"), ("3,4,5,90,90,120 C", (3, 4, 5), "C")],
)  # fmt: skip
def test_cells_as_text(text, edges, centring) -> None:
    cell = subjects.cell_of(text, None)
    assert (cell.a, cell.b, cell.c) == edges and cell.centring == centring
    if "120" in text:
        assert cell.gamma == 120


@pytest.mark.parametrize("text", ["", "F", "1,2", "8 Q", "nan"])
def test_no_cells(text) -> None:
    with pytest.raises(ConfigError, match="cell"):
        subjects.cell_of(text, None)


def test_names_differ() -> None:
    assert subjects.unique_names([Path("a/one.mrc"), Path("b/two.mrc")]) == ["one", "two"]
    assert subjects.unique_names([Path("a/v.mrc"), Path("b/v.mrc")]) == ["a/v.mrc", "b/v.mrc"]
    assert len(set(subjects.unique_names([Path("v.mrc"), Path("v.mrc")]))) == 2


def test_a_profile_goes_along_any_line_and_through_the_true_centre(tmp_path, capsys) -> None:
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (16, 18, 20)), indexing="ij")
    ramp = (z + 2 * y + 4 * x).astype(np.float32)
    path = tmp_path / "ramp.mrc"
    save_volume(Volume(data=ramp, voxel_size_angstrom=1.0, unit="V"), path, {})
    folder = tmp_path / "out"
    code, _, err = run(capsys, path, "--profile", "-3,1,2:5,-2,2:2", "-o", folder)
    assert code == 0, err
    with (folder / "profiles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for axis, slope in (("x", 4), ("y", 2), ("z", 1)):
        line = [
            (float(r["position_angstrom"]), float(r["value"])) for r in rows if r["line"] == f"along {axis}"
        ]
        position, value = np.array(line)[2:-2].T  # the spline bends at the faces
        np.testing.assert_allclose(value, slope * position, atol=0.15)
    line = [(float(r["position_angstrom"]), float(r["value"])) for r in rows if r["line"].startswith("(-3")]
    position, value = np.array(line).T
    expected = 2 + 2 * 1 + 4 * -3 + (2 * -3 + 4 * 8) * position / np.hypot(8, 3)
    np.testing.assert_allclose(value, expected, atol=0.1)
    assert (folder / "profile.png").is_file()


@pytest.mark.parametrize(
    "line", ["1,2:3,4,5", "a,b,c:1,2,3", "0,0,0:900,0,0", "0,0,0:0,0,0", "0,0,0:1,0,0:-2"]
)
def test_a_profile_that_is_none_is_refused(solved, line, capsys) -> None:
    code, out, err = run(capsys, solved, "--profile", line)
    assert code == 2 and not out and len(err.strip().splitlines()) == 1, err
