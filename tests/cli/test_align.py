"""``phaset3m align``: what is written, what is told, and what a wrong flag says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.io.imod import read_xf
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.formats import export_alignment, import_alignment
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.history import history

FAST = ["--stages", "match", "--match-bins", "4", "--match-rounds", "1", "--threads", "1"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Projections of balls as 1 - I, shifted, without defocus."""
    from napari_phaset3m.core.series import TiltFocalSeries

    tilts = np.linspace(-60, 60, 9)
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(48) - 23.5, np.arange(48) - 23.5, indexing="ij")
    images = np.ones((9, 1, 48, 48))
    for t, (sy, sx) in enumerate(rng.normal(0, 2, (9, 2))):
        for bx, by, bz in ((0, 0, 0), (8, 5, -3), (-6, 7, 9)):
            across = bx * np.cos(np.radians(tilts[t])) - bz * np.sin(np.radians(tilts[t])) + sx
            images[t, 0] -= 0.2 * np.exp(-((x - across) ** 2 + (y - by - sy) ** 2) / 8)
    path = tmp_path / "small.h5"
    save_series(TiltFocalSeries(images=images, tilt_deg=tilts, pixel_size_angstrom=8.0, energy_ev=3e5), path)
    return path


def test_writes_the_aligned_series(small, tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert main(["align", str(small), "-o", str(out), *FAST]) == 0
    told = capsys.readouterr().out
    assert "match: shifts changed by" in told and str(out) in told
    aligned = load_series(out)
    assert np.abs(aligned.shifts_px).max() > 0.5
    assert history(aligned)[-1]["step"] == "align"
    assert not load_series(small).shifts_px.any()  # the input is as it was


def test_json_and_export(small, tmp_path, capsys):
    out, table = tmp_path / "out.h5", tmp_path / "out.xf"
    assert main(["align", str(small), "-o", str(out), *FAST, "--json", "--export", str(table)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["stages"][0]["name"] == "match" and record["n_used"] == 9
    assert table.is_file() and table.with_suffix(".tlt").is_file()
    again = tmp_path / "again.h5"
    flags = [*FAST, "--import", str(table)]
    assert main(["align", str(small), "-o", str(again), *flags]) == 0


def test_config_file_and_flags(small, tmp_path, capsys):
    config = tmp_path / "align.yaml"
    config.write_text("stages: [grid]\nmatch: {match_rounds: 1}\n")
    out = tmp_path / "out.h5"
    flags = ["--config", str(config), "--stages", "match", "--match-bins", "4", "--json"]
    assert main(["align", str(small), "-o", str(out), *flags]) == 0
    assert [s["name"] for s in json.loads(capsys.readouterr().out)["stages"]] == ["match"]
    assert history(load_series(out))[-1]["parameters"]["match"]["match_rounds"] == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--stages", "polish"], "stages"),
        (["--stages", "match,match"], "once"),
        (["--stages", "optics"], "optics"),
        (["--match-rounds", "0"], "match_rounds"),
        (["--stages", "beads", "--bead-diameter", "900"], "bead_diameter"),
        (["--stages", "local", "--local-patch-size", "0.2"], "16 are needed"),
    ],
)
def test_mistakes_are_told_in_one_line(small, tmp_path, capsys, flags, said):
    out = tmp_path / "out.h5"
    assert main(["align", str(small), "-o", str(out), *flags]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0].replace("-", "_") and lines[0].count("must be") <= 1
    assert not out.exists()


def bead_series(path: Path) -> None:
    """Six dark balls, 13 tilts, each image displaced by 2 px."""
    from napari_phaset3m.core.series import TiltFocalSeries

    tilts, rng = np.linspace(-36, 36, 13), np.random.default_rng(0)
    balls = np.array([(0, 0, 2), (14, 9, -3), (-13, 12, 4), (-10, -15, -2), (16, -12, 1), (2, 18, -4)])
    line = np.arange(64) - 31.5
    images = 1 + rng.normal(0, 0.01, (13, 1, 64, 64))
    for tilt, (sy, sx) in zip(range(13), rng.normal(0, 2, (13, 2)), strict=True):
        angle = np.radians(tilts[tilt])
        for x, y, z in balls:
            across = x * np.cos(angle) - z * np.sin(angle) + sx
            r2 = (line[None] - across) ** 2 + (line[:, None] - y - sy) ** 2
            images[tilt, 0] -= 0.3 * np.exp(-r2 / 6)
    save_series(TiltFocalSeries(images=images, tilt_deg=tilts, pixel_size_angstrom=8.0, energy_ev=3e5), path)


def test_beads_are_told(tmp_path, capsys):
    """How many beads, how large, and where the axis runs."""
    path, out = tmp_path / "beads.h5", tmp_path / "out.h5"
    bead_series(path)
    flags = ["--stages", "beads", "--match-bins", "4", "--threads", "1"]
    assert main(["align", str(path), "-o", str(out), *flags]) == 0
    told = capsys.readouterr().out
    assert "6 beads of" in told and "Tilt axis" in told and "offset" in told
    assert main(["align", str(path), "-o", str(out), *flags, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["stages"][0]["told"]["n_beads"] == 6 and abs(record["axis_angle_deg"]) < 1
    assert record["axis_offset_error_px"] > 0


def test_output_may_not_be_the_input(small, capsys):
    assert main(["align", str(small), "-o", str(small), *FAST]) == 2
    assert "overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.txt", "zz.h5", "zz.tlt", "zz"])
def test_an_export_of_another_kind_is_refused_before_the_run(small, tmp_path, capsys, name):
    out = tmp_path / "out.h5"
    assert main(["align", str(small), "-o", str(out), *FAST, "--export", str(tmp_path / name)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and name in lines[0] and "unknown suffix" in lines[0]
    assert not out.exists() and not (tmp_path / name).exists()


def test_an_export_replaces_no_tlt_that_is_read(small, tmp_path, capsys):
    """Neither one without a .xf, nor that of a stack or of the imported alignment."""
    out, stack = tmp_path / "out.h5", tmp_path / "stack.mrc"
    save_series(load_series(small), tmp_path / "stack.toml")
    (tmp_path / "stack.tlt").write_text("mine\n")
    flags = ["-o", str(out), *FAST, "--export", str(tmp_path / "stack.xf")]
    assert main(["align", str(small), *flags]) == 2
    assert "stack.tlt: is there without stack.xf" in capsys.readouterr().err
    (tmp_path / "stack.xf").write_text("1 0 0 1 0 0\n" * 9)
    assert main(["align", str(stack), *flags]) == 2
    assert "stack.tlt: its .tlt would overwrite the .tlt of the series" in capsys.readouterr().err
    given = tmp_path / "stack.tlt"
    assert main(["align", str(small), *flags, "--tilt-angles", str(given)]) == 2
    assert "would overwrite --tilt-angles" in capsys.readouterr().err
    (tmp_path / "stack.prexg").write_text("1 0 0 1 0 0\n" * 9)
    assert main(["align", str(small), *flags, "--import", str(tmp_path / "stack.prexg")]) == 2
    assert "would overwrite the .tlt of the imported alignment" in capsys.readouterr().err
    assert (tmp_path / "stack.tlt").read_text() == "mine\n" and not out.exists()


def test_what_an_import_had_to_mend_is_told(small, tmp_path, capsys):
    """A .tlt in another order than the series."""
    tilts = np.linspace(-60, 60, 9)[np.argsort(np.abs(np.arange(9) - 4.1))]
    (tmp_path / "in.tlt").write_text("".join(f"{tilt}\n" for tilt in tilts))
    (tmp_path / "in.xf").write_text("1 0 0 1 0 0\n" * 9)
    flags = ["-o", str(tmp_path / "out.h5"), *FAST, "--import", str(tmp_path / "in.xf"), "--json"]
    assert main(["align", str(small), *flags]) == 0
    told = capsys.readouterr()
    assert "in.tlt is in another order" in told.err and "in.tlt" in json.loads(told.out)["notes"][0]
    assert np.allclose(load_series(tmp_path / "out.h5").tilt_deg, np.linspace(-60, 60, 9))


def test_an_import_for_the_raw_stack_and_one_for_the_series(small, tmp_path, capsys):
    """An unsorted stack: cropped, binned, aligned by a .xf of the raw sections, exported for them again."""
    import mrcfile

    given = load_series(small)
    order = np.argsort(np.abs(np.arange(9) - 4.1))
    raw, series, out = tmp_path / "TS.mrc", tmp_path / "s.h5", tmp_path / "out.h5"
    with mrcfile.new(raw) as mrc:
        mrc.set_data(given.images[order, 0])
        mrc.set_image_stack()
        mrc.voxel_size = 8.0
    raw.with_suffix(".rawtlt").write_text("".join(f"{tilt}\n" for tilt in given.tilt_deg[order]))
    flags = ["--bin", "2", "--crop", "4:44,0:48", "--energy", "300e3", "--normalise", "given"]
    assert main(["convert", str(raw), "-o", str(series), *flags]) == 0
    assert "9 images from the 9 sections of TS.mrc" in capsys.readouterr().out
    shifts = np.random.default_rng(3).normal(0, 3, (9, 2))  # (x, y) by section
    rows = (f"1 0 0 1 {-x:.4f} {-y:.4f}\n" for x, y in shifts)
    (tmp_path / "TS.xf").write_text("".join(rows))
    start = import_alignment(tmp_path / "TS.xf", load_series(series))
    assert np.allclose(start.shifts_px[order, 0], shifts[:, ::-1] / 2, atol=1e-3)
    new = tmp_path / "new.xf"
    flags = ["--stages", "match", "--match-bins", "2", "--match-rounds", "1", "--threads", "1"]
    flags += ["--import", str(tmp_path / "TS.xf"), "--export", str(new)]
    assert main(["align", str(series), "-o", str(out), *flags]) == 0
    aligned = load_series(out)
    assert np.allclose(aligned.shifts_px, import_alignment(new, load_series(series)).shifts_px, atol=1e-3)
    assert np.allclose(aligned.shifts_px[order, 0], -read_xf(new)[:, ::-1, 2] / 2, atol=1e-3)
    assert main(["align", str(small), "-o", str(out), *flags, "--import-for", "raw"]) == 2
    assert "--import-for: the series does not know its sections" in capsys.readouterr().err
    assert main(["align", str(series), "-o", str(out), *flags[:-2], "--import-for", "series"]) == 0


def test_a_series_of_two_stacks_has_an_xf_for_each(small, tmp_path, capsys):
    """Written, told, not over what is read, and read back."""
    import mrcfile

    given, out = load_series(small), tmp_path / "out.h5"
    text = ['energy_ev = 3e5\npixel_size_angstrom = 8.0\nnormalisation = "given"\n']
    for name in ("f0", "f1"):
        with mrcfile.new(tmp_path / f"{name}.mrc") as mrc:
            mrc.set_data(given.images[:, 0])
            mrc.set_image_stack()
    text += [
        f'[[image]]\nfile = "{name}.mrc"\nsection = {section}\ntilt_deg = {tilt}\n'
        for section, tilt in enumerate(given.tilt_deg)
        for name in ("f0", "f1")
    ]
    (tmp_path / "s.toml").write_text("".join(text))
    flags = ["--stages", "coarse", "--threads", "1", "--json"]
    command = ["align", str(tmp_path / "s.toml"), "-o", str(out), *flags]
    assert main([*command, "--export", str(tmp_path / "y.xf")]) == 0
    told = capsys.readouterr()
    assert "each has a file of its own: y_f0.xf of f0.mrc, y_f1.xf of f1.mrc" in told.err
    assert json.loads(told.out)["notes"][0].startswith("y.xf: images come from 2 stacks")
    assert len(read_xf(tmp_path / "y_f0.xf")) == len(read_xf(tmp_path / "y_f1.xf")) == 9
    command += ["--import"]
    assert main([*command, str(tmp_path / "y_f1.xf"), "--export", str(tmp_path / "y.xf")]) == 2
    assert "y_f0.xf: the exported y_f0.xf would overwrite the imported y_f0.xf" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "y.xf")]) == 0
    assert "y.xf: read with the files of its 2 stacks: y_f0.xf, y_f1.xf" in capsys.readouterr().err
    for name in ("y_f1.xf", "y_f1.tlt"):
        (tmp_path / name).unlink()
    before, alone = (tmp_path / "y_f0.xf").read_bytes(), [*command, str(tmp_path / "y_f0.xf")]
    assert main([*alone, "--export", str(tmp_path / "y.xf")]) == 2  # serves both stacks: read, too
    assert "y_f0.xf would overwrite the imported" in capsys.readouterr().err
    assert (tmp_path / "y_f0.xf").read_bytes() == before
    (tmp_path / "z.tlt").write_text("not of z.xf, which is not written\n")
    assert main([*alone, "--export", str(tmp_path / "z.xf")]) == 0
    assert {file.name for file in tmp_path.glob("z*")} == {
        "z.tlt",
        *(f"z_f{n}.{e}" for n in "01" for e in ("xf", "tlt")),
    }


def test_rows_of_the_series_are_imported_beside_an_export(small, tmp_path):
    """Refused as the file of one stack whose other is missing, though it is for the series."""
    import mrcfile

    given, tilts = load_series(small), load_series(small).tilt_deg
    text = ['energy_ev = 3e5\npixel_size_angstrom = 8.0\nnormalisation = "given"\n']
    for name in ("f0", "f1"):
        with mrcfile.new(tmp_path / f"{name}.mrc") as mrc:
            mrc.set_data(given.images[:, 0])
            mrc.set_image_stack()
    for row, tilt in enumerate(tilts):
        for name, section in (("f0", row), ("f1", tilts.size - 1 - row)):
            text += [f'[[image]]\nfile = "{name}.mrc"\nsection = {section}\ntilt_deg = {tilt}\n']
    (tmp_path / "s.toml").write_text("".join(text))
    (tmp_path / "q_f0.xf").write_text("1 0 0 1 0.5 0.5\n" * (2 * tilts.size))
    command = ["align", str(tmp_path / "s.toml"), "-o", str(tmp_path / "o.h5"), "--stages", "coarse"]
    command += ["--threads", "1", "--import", str(tmp_path / "q_f0.xf"), "--import-for", "series"]
    assert main([*command, "--export", str(tmp_path / "z.xf")]) == 0
    assert (tmp_path / "z_f1.xf").is_file()


@pytest.mark.parametrize("flag", ["--import-for=raw", "--import-for=series", "--import-pixel-ratio=4"])
def test_what_an_import_is_for_needs_an_import(small, tmp_path, capsys, flag):
    out = tmp_path / "out.h5"
    assert main(["align", str(small), "-o", str(out), flag]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"phaset3m: {flag.split('=')[0]}: says what an imported alignment is for. Name that with --import"
    )
    assert error.count("\n") == 1 and not out.exists()


def test_an_import_for_a_binned_stack(small, tmp_path, capsys):
    given, out, table = load_series(small), tmp_path / "out.h5", tmp_path / "binned.xf"
    given = given.replace(images=np.random.default_rng(1).uniform(0.9, 1.1, given.images.shape))
    save_series(given, tmp_path / "noise.h5")
    moved = np.random.default_rng(3).normal(0, 0.5, (given.n_tilt, given.n_focus, 2))
    start = Alignment.of(given).replace(shifts_px=moved)
    export_alignment(start, table, given)
    rows = read_xf(table)
    text = (" ".join(f"{v:.6f}" for v in (*row[:, :2].ravel(), *(row[:, 2] / 4))) for row in rows)
    table.write_text("\n".join(text))
    export_alignment(start, tmp_path / "raw.xf", given)
    flags = ["--stages", "match", "--match-bins", "2", "--match-rounds", "1", "--threads", "1", "--import"]
    plain = ["align", str(tmp_path / "noise.h5"), *flags]
    assert main([*plain, str(tmp_path / "raw.xf"), "-o", str(tmp_path / "raw.h5")]) == 0
    assert main([*plain, str(table), "-o", str(tmp_path / "quarter.h5")]) == 0
    capsys.readouterr()
    command = [*plain, str(table), "-o", str(out), "--import-pixel-ratio"]
    assert main([*command, "4"]) == 0
    assert "binned.xf: shifts were multiplied by 4 (the pixel ratio given)" in capsys.readouterr().err
    read, raw, quarter = (
        load_series(p).shifts_px for p in (out, tmp_path / "raw.h5", tmp_path / "quarter.h5")
    )
    apart = np.abs(read - raw).max()
    assert apart < 0.05 * np.abs(quarter - raw).max(), "the same shifts as of the file of the raw stack"
    capsys.readouterr()
    assert main([*command, "0"]) == 2
    assert "phaset3m: --import-pixel-ratio: is 0. Give a positive number" in capsys.readouterr().err


def turned_differently(path: Path, table: Path, angle: float) -> Alignment:
    """Write an alignment that turns and magnifies each image in its own way."""
    series, rng = load_series(path), np.random.default_rng(5)
    images = (series.n_tilt, 1)
    wanted = Alignment.of(series).replace(
        shifts_px=rng.normal(0, 1, (*images, 2)),
        rotation_deg=angle + rng.normal(0, 1, images),
        magnification=1 + rng.normal(0, 0.01, images),
    )
    export_alignment(wanted, table, series)
    return wanted


def test_an_export_after_an_import_is_of_the_given_images(small, tmp_path, capsys):
    """Rotation and magnification of each image come through, and the output is what the export says."""
    out, old, new = tmp_path / "out.h5", tmp_path / "old.xf", tmp_path / "new.xf"
    wanted = turned_differently(small, old, 30.0)
    flags = [*FAST, "--import", str(old), "--export"]
    assert main(["align", str(small), "-o", str(out), *flags, str(new)]) == 0
    given, aligned = load_series(small), load_series(out)
    found = import_alignment(new, given)
    assert np.allclose(found.rotation_deg, wanted.rotation_deg, atol=1e-3)
    assert np.allclose(found.magnification, wanted.magnification, atol=1e-5)
    told = apply(given, found)
    assert np.allclose(told.images, aligned.images, atol=1e-4)
    assert np.allclose(told.shifts_px, aligned.shifts_px, atol=1e-3)
    out.unlink()
    assert main(["align", str(small), "-o", str(out), *flags, str(tmp_path / "new.aln")]) == 2
    assert "magnification: is not 1" in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize("stages", ["beads", "beads,local"])
def test_images_are_resampled_once_after_an_import(tmp_path, monkeypatch, stages):
    """Beads turn the images once more; both alignments go into one resampling of the given images."""
    path, out, old, new = (tmp_path / name for name in ("beads.h5", "out.h5", "old.xf", "new.xf"))
    bead_series(path)
    turned_differently(path, old, 2.0)
    flags = ["--stages", stages, "--threads", "1", "--match-bins", "4", "--local-patch-size", "0.4"]
    fields = []
    from napari_phaset3m.prepare.align import compose

    monkeypatch.setattr(compose, "apply", lambda *given: fields.append(given[2]) or apply(*given))
    assert main(["align", str(path), "-o", str(out), *flags, "--import", str(old), "--export", str(new)]) == 0
    given, aligned = load_series(path), load_series(out)
    told = apply(given, import_alignment(new, given), fields[-1])
    assert (fields[-1] is None) == (stages == "beads")
    assert np.allclose(told.images, aligned.images, atol=1e-4)
    assert np.allclose(told.shifts_px, aligned.shifts_px, atol=1e-3)
