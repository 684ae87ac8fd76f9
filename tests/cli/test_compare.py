"""phaset3m compare, from files or methods to a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.cli import compare_methods, main
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.volume import Volume, load_volume, save_volume


@pytest.fixture
def volumes(tmp_path, tiny) -> list[Path]:
    truth = load_volume(tiny.with_name("tiny_truth_V.mrc"))
    paths = []
    rng = np.random.default_rng(0)
    for name, noise in (("good", 5.0), ("poor", 60.0)):
        paths.append(tmp_path / f"{name}.mrc")
        data = truth.data + noise * rng.normal(size=truth.shape).astype(np.float32)
        save_volume(Volume(data=data, voxel_size_angstrom=truth.voxel_size_angstrom), paths[-1])
    return paths


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["compare", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_report_says_by_how_much(volumes, tiny, tmp_path, capsys) -> None:
    truth = tiny.with_name("tiny_truth_V.mrc")
    page = tmp_path / "out.html"
    model = tiny.with_name("tiny_truth_atoms.xyz")
    code, out, err = run(capsys, *volumes, "--truth", truth, "--model", model, "--report", page, "--json")
    assert code == 0, err
    record = json.loads(out)
    rows = record["sections"]["better"]["scores"]
    correlation = next(row for row in rows if row["quality"].startswith("Correlation"))
    assert correlation["best"] == "good" and correlation["good"] > correlation["poor"]
    assert any("atoms of the model" in row["quality"] for row in rows)
    roles = {item["role"] for item in record["provenance"]["inputs"]}
    assert roles == {"volume 1", "volume 2", "truth", "model"}
    assert page.read_text(encoding="utf-8").count("<svg") >= 5
    assert record["written"] == [str(page)]


def test_what_is_advised_of_a_volume_held_positive_is_a_setting_of_this_command(tiny, tmp_path, capsys):
    """It named --no-positivity, which compare has not."""
    own = tmp_path / "own.h5"
    assert main(["prepare", str(tiny), "-o", str(own), "--normalise", "--normalise-level", "mean"]) == 0
    methods = "sirt,sirt:positivity=false"
    code, _, err = run(
        capsys, "--series", own, "--methods", methods, "--iterations", "1,1", "-o", tmp_path / "o"
    )
    assert code == 0, err
    lines = [line for line in err.splitlines() if "values may have to be negative" in line]
    assert len(lines) == 1 and lines[0].endswith("that is not: --methods sirt:positivity=false")
    assert "--no-positivity" not in err


def test_methods_are_run_on_the_series_and_kept(tiny, tmp_path, capsys) -> None:
    folder = tmp_path / "out"
    flags = ["--methods", "sirt,singleslice", "--iterations", "2,1", "-o", folder]
    code, out, err = run(capsys, "--series", tiny, *flags)
    assert code == 0, err
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "sirt.mrc", "sirt.json", "singleslice.mrc", "side_by_side.png"} <= names
    record = json.loads((folder / "singleslice.json").read_text())
    assert record["parameters"]["iterations"] == 1
    assert "singleslice against sirt (no CTF correction)" in out and "No truth was given" in out


@pytest.mark.parametrize(
    "flags",
    [["ONE"], [], ["ONE", "GONE"], ["ONE", "TWO", "--methods", "sirt"], ["ONE", "TWO", "--iterations", "3"],
     ["--methods", "sirt", "--series", "TINY"], ["ONE", "TWO", "--report", "x.txt"],
     ["ONE", "TWO", "--mask", "TINY"], ["ONE", "--methods", "magic", "--series", "TINY"],
     ["ONE", "TWO", "--device", "abacus"], ["ONE", "--methods", "sirt,sirt", "--series", "TINY"],
     ["ONE", "--methods", "sirt:ctf=wiener", "--series", "TINY"]],
)  # fmt: skip
def test_bad_input_is_one_line_and_writes_nothing(volumes, tiny, tmp_path, capsys, flags) -> None:
    names = {"ONE": volumes[0], "TWO": volumes[1], "TINY": tiny, "GONE": tmp_path / "gone.mrc"}
    before = sorted(tmp_path.iterdir())
    given = [names.get(flag, flag) for flag in flags]
    if "--report" not in flags:
        given += ["-o", tmp_path / "out"]
    code, out, err = run(capsys, *given)
    assert code == 2, (out, err)
    assert len(err.strip().splitlines()) == 1 and not out
    assert sorted(tmp_path.iterdir()) == before


def test_sweeps_per_method() -> None:
    found = [one.config for one in compare_methods.plans("multislice, sirt", "5,auto")]
    assert [(one.method, one.iterations) for one in found] == [("multislice", 5), ("sirt", "auto")]
    assert [one.config.iterations for one in compare_methods.plans("multislice,sirt", "7")] == [7, 7]
    assert compare_methods.plans(None, None) == []
    with pytest.raises(ConfigError, match="2 numbers for 3"):
        compare_methods.plans("a,b,c", "1,2")
    assert [one.name for one in compare_methods.plans("sirt,sirt", "5,9")] == [
        "sirt (iterations 5)", "sirt (iterations 9)",
    ]  # fmt: skip


def test_each_method_has_its_own_settings() -> None:
    text = "multislice,sirt:ctf_correction=wiener:iterations=60:positivity=no,sirt,fbp:fbp_filter=hann"
    whole, wiener, plain, fbp = compare_methods.plans(text, "20")
    assert (wiener.config.ctf_correction, wiener.config.iterations) == ("wiener", 60)
    assert wiener.config.constraints.positivity is False
    assert (plain.config.ctf_correction, plain.config.iterations) == ("none", 20)
    assert (whole.config.iterations, fbp.config.fbp_filter) == (20, "hann")
    assert wiener.name == "sirt (ctf_correction wiener, iterations 60, positivity no)"
    assert wiener.stem == "sirt_ctf_correction-wiener_iterations-60_positivity-no"
    assert (
        compare_methods.plans("sirt:constraints.positivity=no", None)[0].config.constraints.positivity
        is False
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("sirt:ctf_corection=wiener", "no setting 'ctf_corection'. Did you mean ctf_correction"),
     ("sirt:ctf=wiener", "no setting 'ctf'. Did you mean ctf_correction?"),
     ("sirt:ctf_correction=flip", "ctf_correction: must be none, phase_flip, or wiener (got flip)"),
     ("sirt:wiener", "'wiener' is no setting. Write FIELD=VALUE"), ("sirt:ctf_correction=", "is no setting"),
     ("fbp:iterations=3", "fbp does not use iterations"), ("sirt:method=fbp", "no setting 'method'"),
     ("sirt:relaxation=1:relaxation=2", "given relaxation twice"), ("magic", "'magic' is no method"),
     ("sirt,sirt", "twice with the same settings"), ("sirt,sirt:ctf_correction=none", "twice"),
     ("sirt:refine.positivity=no", "no setting 'refine.positivity'")],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(text, said) -> None:
    with pytest.raises(ConfigError) as caught:
        compare_methods.plans(text, None)
    assert said in str(caught.value) and str(caught.value).startswith("--methods: ")
    assert len(str(caught.value).splitlines()) == 1


def test_the_columns_name_the_settings(tiny, tmp_path, capsys) -> None:
    truth, folder = tiny.with_name("tiny_truth_V.mrc"), tmp_path / "out"
    methods = "sirt:ctf_correction=wiener:iterations=2,sirt:iterations=2,fbp:ctf_correction=phase_flip"
    code, out, err = run(
        capsys, "--series", tiny, "--methods", methods, "--truth", truth, "-o", folder, "--json"
    )
    assert code == 0, err
    first = json.loads(out)["sections"]["better"]["scores"][0]
    assert set(first) >= {
        "sirt (ctf_correction wiener, iterations 2)",
        "sirt (iterations 2, no CTF correction)",
        "fbp (ctf_correction phase_flip)",
    }
    assert (folder / "sirt_ctf_correction-wiener_iterations-2.mrc").is_file()
