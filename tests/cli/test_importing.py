"""``info`` and ``convert`` on folders, mdocs, movies and mixtures."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.io.importing import look
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import Volume, save_volume

RNG = np.random.default_rng(2)


@pytest.fixture
def raw(tmp_path):
    """A stack of 2 tilts x 2 foci with its mdoc, sections in the order of exposure."""
    folder = tmp_path / "raw data"
    folder.mkdir()
    with mrcfile.new(folder / "t.mrc") as mrc:
        mrc.set_data(RNG.uniform(0.5, 1.5, (4, 32, 48)).astype(np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = 2.0
    text = "PixelSpacing = 2\nVoltage = 300\n[T = Tilt axis angle = 0.0]\n"
    for z, (tilt, defocus) in enumerate(((0, 1), (0, 0.5), (3, 1), (3, 0.5))):
        text += f"[ZValue = {z}]\nTiltAngle = {tilt}\nTargetDefocus = -{defocus}\nExposureDose = 20\n"
        text += f"DateTime = 01-Jan-24  10:00:0{z}\n"
    (folder / "t.mrc.mdoc").write_text(text)
    return folder


def test_info_shows_what_was_recognised(raw, capsys):
    for path in (raw, raw / "t.mrc.mdoc"):
        assert main(["info", str(path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("2 tilts x 2 foci, 32 x 48 pixels")
        assert "pixel: 2 A" in lines and "energy: 300000 V" in lines
        assert any("to confirm: --n-focus: 2 foci at each of 2 tilts" in line for line in lines)
        table = [line.split() for line in lines[-5:]]
        assert table[0] == [
            "tilt",
            "focus",
            "angle/deg",
            "defocus/A",
            "dose",
            "before",
            "order",
            "used",
            "file",
        ]
        assert table[1] == ["0", "0", "0.00", "5000", "20", "20", "1", "yes", "t.mrc[1]"]
        assert table[4] == ["1", "1", "3.00", "10000", "20", "40", "2", "yes", "t.mrc[2]"]


def test_info_json(raw, capsys):
    assert main(["info", str(raw), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "import" and (record["n_tilt"], record["n_focus"]) == (2, 2)
    assert record["images"][0]["defocus_angstrom"] == 5000 and record["questions"]


def test_convert_with_bin_crop_and_plan(raw, tmp_path, capsys):
    out, plan = tmp_path / "o.h5", tmp_path / "o.toml"
    command = [
        "convert",
        str(raw),
        "-o",
        str(out),
        "--bin",
        "2",
        "--crop",
        "0:32,8:40",
        "--plan",
        str(plan),
        "--json",
    ]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["image_shape_yx"] == [16, 16]
    assert "To confirm: --n-focus" in captured.err
    series = load_series(out)
    assert series.pixel_size_angstrom == 4.0 and series.metadata["exposure_order"] == [[1, 0], [3, 2]]
    assert series.defocus_angstrom.tolist() == [[5000, 10000]] * 2
    assert series.metadata["history"][0]["parameters"]["bin"] == 2
    np.testing.assert_allclose(load_series(plan).images, series.images, atol=1e-5)
    np.testing.assert_allclose(load_series(plan).shifts_px, series.shifts_px)
    assert look(plan).images == look(raw).images


def test_import_is_another_word_for_convert(raw, tmp_path, capsys):
    """It is the window's word; "No such command" told nobody of convert."""
    assert main(["import", str(raw), "-o", str(tmp_path / "a.h5"), "--bin", "2"]) == 0
    assert main(["convert", str(raw), "-o", str(tmp_path / "b.h5"), "--bin", "2"]) == 0
    first, second = load_series(tmp_path / "a.h5"), load_series(tmp_path / "b.h5")
    np.testing.assert_array_equal(first.images, second.images)


def test_mixtures_and_flags(raw, tmp_path, capsys):
    (raw / "t.mrc.mdoc").unlink()
    (tmp_path / "a.tlt").write_text("0\n0\n3\n3\n")
    out = tmp_path / "o.h5"
    assert main(["convert", str(raw / "t.mrc"), str(tmp_path / "a.tlt"), "-o", str(out)]) == 2
    assert "energy: is not in the file" in capsys.readouterr().err and not out.exists()
    flags = ["--energy", "3e5", "--defocus", "500,900", "-o", str(out)]
    assert main(["convert", str(raw / "t.mrc"), str(tmp_path / "a.tlt"), *flags]) == 0
    assert "energy" not in capsys.readouterr().err
    series = load_series(out)
    assert series.tilt_deg.tolist() == [0, 3] and series.defocus_angstrom[0].tolist() == [500, 900]
    flags += ["--tilt-angles", "0,3", "--bin", "2"]
    assert main(["convert", str(raw / "t.mrc"), *flags]) == 2
    assert "2 angles for 4 images in t.mrc" in capsys.readouterr().err
    for order, sections in (("tilt-major", [[0, 1], [2, 3]]), ("focus-major", [[0, 2], [1, 3]])):
        foci = ["--n-focus", "2", "--focus-order", order]
        assert main(["convert", str(raw / "t.mrc"), *flags, *foci]) == 0, "one angle for each tilt"
        series = load_series(out)
        assert series.sections.section.tolist() == sections and series.tilt_deg.tolist() == [0, 3]


@pytest.mark.parametrize("how", [[], ["--bin", "2"]])
def test_given_angles_win_over_a_tlt_that_does_not_fit(raw, tmp_path, capsys, how):
    """Without angles both numbers are told; nothing but renaming the file used to help."""
    (raw / "t.mrc.mdoc").unlink()
    out = tmp_path / "o.h5"
    for text, told in (("1\n2\n3\n4\n5\n", "5 angles for 4 images in t.mrc"), ("one\n", "holds no angle")):
        (raw / "t.rawtlt").write_text(text)
        command = ["convert", str(raw / "t.mrc"), "-o", str(out), "--energy", "3e5", *how]
        capsys.readouterr()
        assert main(command) == 2 and not out.exists()
        error = capsys.readouterr().err
        assert "t.rawtlt: " in error and told in error and "--tilt-angles" in error
        assert main([*command, "--tilt-angles", "0:9:3"]) == 0
        series = load_series(out)
        assert series.tilt_deg.tolist() == [0, 3, 6, 9]
        assert any("t.rawtlt is not used: " in note and told in note for note in series.metadata["notes"])
        out.unlink()


def test_an_xf_with_one_row_for_each_tilt_fits_foci_that_follow_each_other(raw, tmp_path, capsys):
    rows = tmp_path / "a.xf"
    rows.write_text("1 0 0 1 0 0\n" * 2)
    assert main(["info", str(raw / "t.mrc"), str(rows)]) == 0
    assert "a.xf fits" in capsys.readouterr().out
    rows.write_text("1 0 0 1 0 0\n" * 3)
    assert main(["info", str(raw / "t.mrc"), str(rows)]) == 2
    assert "3 transforms for 4 images in t.mrc" in capsys.readouterr().err


def test_a_plan_of_dark_field_says_so(raw, tmp_path, capsys):
    out, plan = tmp_path / "o.h5", tmp_path / "o.toml"
    assert main(["convert", str(raw), "-o", str(out), "--dark-field", "--plan", str(plan)]) == 0
    assert "dark_field = true" in plan.read_text()
    series, again = load_series(out), load_series(plan)
    assert series.is_dark_field and again.is_dark_field
    np.testing.assert_allclose(again.images, series.images, atol=1e-5)


@pytest.mark.parametrize(
    "flags",
    [
        ["--bin", "2"],
        ["--defocus", "500,900", "--dose", "20", "--unused", "1", "--cs", "2.7e7", "--phase-plate", "90"],
        ["--defocus", "500,900", "--defocus-reference", "exit", "--aberration", "C12=50,phi12=0.3"],
        ["--mtf", "mtf.txt", "--normalise", "given", "--bin", "2"],
        ["--normalise", "mean", "--pixel-size", "1.5"],
        ["--counts", "--dose", "0.3"],
    ],
)
def test_a_plan_holds_what_flags_gave(raw, tmp_path, capsys, monkeypatch, flags):
    """Opened, it gives the same series; what flags answered is asked neither there nor in the history."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mtf.txt").write_text("0 1\n0.5 0.8\n1 0.4\n")
    (raw / "t.mrc.mdoc").unlink()
    given = [
        "--tilt-angles",
        "0,0,3,3",
        "--energy",
        "3e5",
        "--tilt-axis-angle",
        "33",
        "--n-focus",
        "2",
        *flags,
    ]
    assert main(["convert", str(raw / "t.mrc"), "-o", "o.h5", "--plan", "p.toml", *given]) == 0
    assert "To confirm" not in capsys.readouterr().err
    series, again = load_series(tmp_path / "o.h5"), load_series(tmp_path / "p.toml")
    np.testing.assert_allclose(again.images, series.images, atol=1e-5)
    names = "tilt_deg pixel_size_angstrom energy_ev defocus_angstrom dose_per_image used mtf phase_shift_deg"
    for name in (*names.split(), "spherical_aberration_angstrom", "tilt_axis_angle_deg"):
        expected = getattr(series, name)
        assert (expected is None) == (getattr(again, name) is None), name
        if expected is not None:
            np.testing.assert_allclose(getattr(again, name), expected, err_msg=name)
    assert dict(again.aberrations or {}) == pytest.approx(dict(series.aberrations or {}))
    assert again.normalisation == series.normalisation
    assert series.metadata["history"][-1]["told"]["questions"] == [] and not look("p.toml").questions
    assert not any("does not repeat" in note for note in again.metadata["notes"])


def test_a_plan_tells_how_values_were_scaled_where_it_cannot_hold_it(raw, tmp_path):
    plan = tmp_path / "p.toml"
    flags = ["--normalise", "vacuum", "--vacuum-intensity", "2"]
    assert main(["convert", str(raw), "-o", str(tmp_path / "o.h5"), "--plan", str(plan), *flags]) == 0
    assert "normalise = vacuum, vacuum_intensity = 2.0, which opening this text does not repeat" in (
        plan.read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--crop", "0:32"], "--crop: is '0:32'. Write Y0:Y1,X0:X1"),
        (["--crop", "0:99,0:10"], "reaches out of images of 32 x 48"),
        (["--bin-method", "median"], "--bin-method"),
        (["--plan", "/nowhere/x.toml"], "/nowhere/x.toml: cannot be written"),
        (["--tolerance", "-1"], "--tolerance"),
    ],
)
def test_refusals(raw, tmp_path, capsys, arguments, message):
    assert main(["convert", str(raw), "-o", str(tmp_path / "o.h5"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--bin", "2"], "--bin: b.h5 is a series already. Use phaset3m prepare --bin-factor"),
        (["--crop", "0:8,0:8"], "--crop: b.h5 is a series already. Use phaset3m prepare --crop-region"),
        (["--outliers"], "--outliers: b.h5 is a series already. Use phaset3m prepare --outliers"),
        (["--bin", "2", "--bin-method", "mean", "--outliers"],
         "--bin, --bin-method, --outliers: b.h5 is a series already. "
         "Use phaset3m prepare --bin-factor --outliers"),
        (["--plan", "p.toml"], "--plan: b.h5 is a series already. Leave it out: it describes an import"),
    ],
)  # fmt: skip
def test_a_series_file_is_not_imported_again(tiny, tmp_path, monkeypatch, capsys, flags, told):
    monkeypatch.chdir(tmp_path)
    Path("b.h5").write_bytes(tiny.read_bytes())
    assert main(["convert", "b.h5", "-o", "o.h5", *flags]) == 2
    assert capsys.readouterr().err == f"phaset3m: {told}\n"
    assert not Path("o.h5").exists() and not Path("p.toml").exists()


def test_flags_that_are_told_for_a_series_file_do_it(tiny, tmp_path, capsys):
    flags = ["--bin-factor", "2", "--crop-region", "0,0,16,16", "--outliers"]
    assert main(["prepare", str(tiny), "-o", str(tmp_path / "o.h5"), *flags]) == 0
    steps = [item["step"] for item in load_series(tmp_path / "o.h5").metadata["history"]]
    assert {"bin", "crop", "outliers"} <= set(steps)
    (tmp_path / "no.h5").write_text("text")
    assert main(["convert", str(tmp_path / "no.h5"), "-o", str(tmp_path / "n.h5"), "--bin", "2"]) == 2
    assert "no.h5" in (told := capsys.readouterr().err) and "is a series" not in told


def _stack_beside_com() -> None:
    with mrcfile.new("s.mrc") as mrc:
        mrc.set_data(RNG.uniform(0.5, 1.5, (4, 32, 48)).astype(np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = 2.0
    Path("s.rawtlt").write_text("-10\n0\n10\n20\n")
    Path("tilt.com").write_text("InputProjections s_ali.mrc\nEXCLUDELIST 2\n")


def test_a_stack_is_imported_with_the_com_beside_it(tmp_path, capsys, monkeypatch):
    """As with ``--bin 1`` or the file named: views that it leaves out were used by a plain ``convert``."""
    monkeypatch.chdir(tmp_path)
    _stack_beside_com()
    assert main(["info", "s.mrc"]) == 0
    assert "1 view is not used, as tilt.com leaves it out" in capsys.readouterr().out
    assert main(["convert", "s.mrc", "-o", "s.h5", "--energy", "3e5"]) == 0
    assert load_series("s.h5").used[:, 0].tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    "command",
    [
        "prepare s.mrc -o p.h5 --outliers",
        "align s.mrc -o a.h5 --stages coarse",
        "reconstruct s.mrc -o v.mrc --method sirt --iterations 1",
        "compare --series s.mrc --methods sirt,fbp --iterations 1",
        "analyse box.mrc --series s.mrc",
    ],
)
def test_a_com_that_only_an_import_reads_is_told_on_stderr(tmp_path, capsys, monkeypatch, command):
    """The views that it leaves out are used, and nothing said so."""
    monkeypatch.chdir(tmp_path)
    _stack_beside_com()
    data = RNG.uniform(0, 1, (48, 32, 48)).astype(np.float32)
    save_volume(Volume(data=data, voxel_size_angstrom=2.0), "box.mrc")
    note = "Note: tilt.com lies beside and is not used: an import reads it (phaset3m convert)"
    assert main([*command.split(), "--energy", "3e5"]) == 0
    assert capsys.readouterr().err.splitlines().count(note) == 1
    if command.startswith("prepare"):  # a series that was saved told it when it was made
        assert main(["reconstruct", "p.h5", "-o", "v.mrc", "--method", "sirt", "--iterations", "1"]) == 0
        assert note not in capsys.readouterr().err


def test_a_stack_whose_angles_do_not_fit_is_told_both_ways(tmp_path, capsys, monkeypatch):
    """``info`` showed it as a volume without tilt angles."""
    monkeypatch.chdir(tmp_path)
    with mrcfile.new("s.mrc") as mrc:
        mrc.set_data(RNG.uniform(0.5, 1.5, (4, 32, 48)).astype(np.float32))
        mrc.voxel_size = 2.0
    assert main(["info", "s.mrc"]) == 0 and "a stack" not in capsys.readouterr().out
    Path("s.rawtlt").write_text("-10\n0\n10\n")
    assert main(["info", "s.mrc"]) == 0
    told = capsys.readouterr().out
    assert "volume, or a stack" in told and "s.rawtlt is not used: 3 angles for 4 images in s.mrc" in told
    assert main(["convert", "s.mrc", "-o", "o.h5", "--energy", "3e5"]) == 2
    assert "s.rawtlt: angles: 3 angles for 4 images in s.mrc" in capsys.readouterr().err


def test_a_defocus_beside_a_stack_hinders_no_flag_and_wins_over_the_name(tmp_path, capsys, monkeypatch):
    """``--normalise`` was refused, and a defocus was asked about that is not of the name."""
    monkeypatch.chdir(tmp_path)
    with mrcfile.new("d1.mrc") as mrc:
        mrc.set_data(RNG.uniform(90, 110, (3, 32, 48)).astype(np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = 2.0
    Path("d1.tlt").write_text("-10\n0\n10\n")
    question = "--defocus: from the file names, nanometres assumed"
    assert main(["info", "d1.mrc", "--energy", "3e5"]) == 0
    assert question not in capsys.readouterr().out, "no import"
    assert main(["info", "d1.mrc", "--tolerance", "0.3"]) == 0
    assert question in capsys.readouterr().out
    Path("d1.defocus").write_text("1 1 -10 -10 500\n2 2 0 0 510\n3 3 10 10 520\n")
    assert main(["info", "d1.mrc"]) == 0
    assert question not in capsys.readouterr().out
    flags = ["--energy", "3e5", "--normalise", "vacuum", "--vacuum-intensity", "120"]
    assert main(["info", "d1.mrc", "--json", *flags]) == 0
    told = capsys.readouterr()
    record = json.loads(told.out)
    assert record["defocus_angstrom"] == [5100.0] and "nanometres assumed" not in told.err
    assert main(["convert", "d1.mrc", "-o", "o.h5", *flags]) == 0
    assert record["normalisation"] == load_series("o.h5").normalisation
