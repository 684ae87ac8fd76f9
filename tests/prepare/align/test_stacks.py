"""A series of several stacks: each has an alignment file of its own, in the order of its sections."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _raw_stack import newstack, ours, worst, write_stack

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.imod import read_angles, read_xf
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.align.formats import export_alignment, export_files, import_alignment
from napari_phaset3m.prepare.align.model import Alignment

#: Tilts of the sections of two stacks: another order, and the first has one that the other has not.
OF_STACKS = ((20.0, 0.0, 7.0, -20.0), (-20.0, 0.0, 20.0))
TILTS = (-20.0, 0.0, 20.0)


def two_stacks(folder: Path, names: tuple[str, str] = ("f0.mrc", "f1.mrc")) -> tuple[TiltFocalSeries, list]:
    """A series of both foci, binned and cropped, and the images of the stacks."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
    raws = [write_stack(folder / name, len(tilts), np.array(tilts), first=10 * k)
            for k, (name, tilts) in enumerate(zip(names, OF_STACKS, strict=True))]  # fmt: skip
    text = ['energy_ev = 3e5\npixel_size_angstrom = 1.5\nnormalisation = "given"']
    text += ["bin = 2\ncrop = [9, 114, 6, 151]"]
    for tilt in TILTS:
        for name, tilts in zip(names, OF_STACKS, strict=True):
            text += [f'[[image]]\nfile = "{name}"\nsection = {tilts.index(tilt)}\ntilt_deg = {tilt}']
    (folder / "s.toml").write_text("\n".join(text))
    return load_series(folder / "s.toml"), raws


def some(series: TiltFocalSeries, magnified: float = 0.01) -> Alignment:
    rng, images = np.random.default_rng(1), (series.n_tilt, series.n_focus)
    start = Alignment.of(series)
    return start.replace(
        shifts_px=start.shifts_px + rng.normal(0, 2, (*images, 2)),
        rotation_deg=rng.normal(0, 3, images),
        magnification=1 + rng.normal(0, 1, images) * magnified,
        tilt_deg=start.tilt_deg + 0.25,
    )


def is_same(one: Alignment, other: Alignment) -> bool:
    names = ("shifts_px", "rotation_deg", "magnification", "tilt_deg", "used")
    return all(np.allclose(getattr(one, n), getattr(other, n), atol=6e-3) for n in names)


def test_newstack_of_each_stack_with_its_own_xf_gives_our_alignment(tmp_path: Path):
    series, raws = two_stacks(tmp_path)
    wanted, told = some(series), list[str]()
    files = export_alignment(wanted, tmp_path / "y.xf", series, note=told.append)
    assert [f.name for f in files] == ["y_f0.xf", "y_f0.tlt", "y_f1.xf", "y_f1.tlt"]
    assert not (tmp_path / "y.xf").exists()
    said = "y.xf: images come from 2 stacks, and each has a file of its own: y_f0.xf of f0.mrc, y_f1.xf of f1"
    assert told[0] == f"{said}.mrc"
    assert told[1].startswith("y_f0.xf: 1 of the 4 sections") and told[1].endswith("EXCLUDELIST 3")
    for focus, tilts in enumerate(OF_STACKS):
        rows = read_xf(files[2 * focus])
        assert len(rows) == len(tilts)
        angles = [tilt + 0.25 if tilt in TILTS else 0.0 for tilt in tilts]
        assert np.allclose(read_angles(files[2 * focus + 1]), angles, atol=0.01)
        for tilt in range(3):
            section = tilts.index(TILTS[tilt])
            by_us = ours(series, wanted, (tilt, focus), 0.5)
            assert worst(newstack(raws[focus][section], rows[section]), *by_us) < 0.003


@pytest.mark.parametrize("name", ["y", "y_f0", "y_f1"])
@pytest.mark.parametrize("suffix", [".xf", ".aln"])
def test_files_of_all_stacks_are_read_back_by_any_of_their_names(tmp_path: Path, suffix, name):
    series, _ = two_stacks(tmp_path)
    if suffix == ".aln":  # states the tilt of each section: none may be missing
        series = whole(series)
    wanted = some(series, magnified=0.01 * (suffix == ".xf"))
    wanted = wanted.replace(used=np.array([[True, True], [True, False], [True, True]]))
    export_alignment(wanted, tmp_path / f"y{suffix}", series, note=lambda _: None)
    told: list[str] = []
    found = import_alignment(tmp_path / f"{name}{suffix}", series, note=told.append)
    if suffix == ".xf":  # it does not tell which are used
        wanted = wanted.replace(used=np.ones((3, 2), bool))
        assert is_same(found, wanted)
    else:
        seen = wanted.used
        assert np.array_equal(found.used, seen) and np.allclose(found.tilt_deg, wanted.tilt_deg, atol=6e-3)
        assert np.allclose(found.shifts_px[seen], wanted.shifts_px[seen], atol=6e-3)
        assert np.allclose(found.rotation_deg[seen], wanted.rotation_deg[seen], atol=6e-3)
    others = ", ".join(f"y_{f}{suffix}" for f in ("f0", "f1") if name != f"y_{f}")
    assert told[0] == f"{name}{suffix}: read with the files of its 2 stacks: {others}"


@pytest.mark.parametrize("form", ["{}_st.xf", "{}.mrc.aln", "{}.xf"])
def test_files_named_as_aretomo_and_imod_name_them_are_of_their_stacks(tmp_path: Path, form):
    """f1.mrc.aln beside f0.mrc.aln went to all foci, without a word."""
    series, names = whole(two_stacks(tmp_path)[0]), [form.format(name) for name in ("f0", "f1")]
    ending = Path(form).suffix
    wanted = some(series, magnified=0.01 * (ending == ".xf"))
    for file in export_alignment(wanted, tmp_path / f"y{ending}", series, note=lambda _: None):
        stack, end = file.stem.removeprefix("y_"), file.suffix
        file.rename(tmp_path / names[int(stack[1])].replace(ending, end))
    told: list[str] = []
    found = import_alignment(tmp_path / names[1], series, note=told.append)
    assert is_same(found, wanted)
    assert told[0] == f"{names[1]}: read with the files of its 2 stacks: {names[0]}"


def test_rows_that_serve_all_stacks_are_told_whatever_the_file_is_called(tmp_path: Path):
    series, told = whole(two_stacks(tmp_path)[0], (2, 1, 0), (2, 1, 0)), list[str]()
    (tmp_path / "other.xf").write_text("1 0 0 1 0 6\n1 0 0 1 0 4\n1 0 0 1 0 2\n")
    import_alignment(tmp_path / "other.xf", series, note=told.append)
    assert "the sections of 2 files (one row for the same section of each), in its" in told[0]


def whole(series: TiltFocalSeries, *order: tuple[int, int, int]) -> TiltFocalSeries:
    """The series as of two stacks with three sections each, all of them in it."""
    assert series.sections is not None
    section = np.transpose(order or ((2, 1, 0), (0, 1, 2)))
    return series.replace(sections=replace(series.sections, section=section, n_sections=(3, 3)))


def test_the_saved_series_still_has_a_file_for_each_stack(tmp_path: Path):
    series, _ = two_stacks(tmp_path)
    wanted = some(series)
    export_alignment(wanted, tmp_path / "y.xf", series, note=lambda _: None)
    again = load_series(save_series(series, tmp_path / "s.h5"))
    assert is_same(import_alignment(tmp_path / "y.xf", again, note=lambda _: None), wanted)


def test_a_file_of_one_stack_alone(tmp_path: Path):
    """IMOD solved one focus: its rows serve the other where they can, told; else it is refused."""
    series, _ = two_stacks(tmp_path)
    export_alignment(some(series), tmp_path / "y.xf", series, note=lambda _: None)
    for name in ("y_f1.xf", "y_f1.tlt"):
        (tmp_path / name).unlink()
    with pytest.raises(
        DataError, match=r"y_f0\.xf: is named after one stack, y_f1\.xf is not beside it, and"
    ):
        import_alignment(tmp_path / "y_f0.xf", series)
    with pytest.raises(DataError, match=r"y\.xf: there is none of this name, and of 2 stacks y_f1\.xf is"):
        import_alignment(tmp_path / "y.xf", series)
    told, alike = list[str](), whole(series, (2, 1, 0), (2, 1, 0))
    (tmp_path / "f1.xf").write_text("1 0 0 1 0 6\n1 0 0 1 0 4\n1 0 0 1 0 2\n")
    found = import_alignment(tmp_path / "f1.xf", alike, note=told.append)
    assert told[0] == "f1.xf: is named after one stack, and f0.xf is not beside it: it is taken for all"
    start = Alignment.of(alike).shifts_px[..., 0]
    assert np.allclose(found.shifts_px[..., 0] - start, np.array([[-1], [-2], [-3]]), atol=0.01)
    export_alignment(some(series), tmp_path / "y.xf", series, note=lambda _: None)
    rows = (tmp_path / "y_f1.xf").read_text().splitlines(keepends=True)
    (tmp_path / "y_f1.xf").write_text("".join(rows[:2]))
    (tmp_path / "y_f1.tlt").unlink()
    with pytest.raises(DataError, match=r"y_f1\.xf: .*2 transforms for the 3 sections of f1\.mrc"):
        import_alignment(tmp_path / "y_f0.xf", series, note=lambda _: None)


def test_stacks_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    series, _ = two_stacks(tmp_path, ("a/TS.mrc", "b/TS.mrc"))
    assert [f.name for f in export_files(tmp_path / "y.aln", series)] == ["y_a_TS.aln", "y_b_TS.aln"]
    (tmp_path / "y_b_TS.tlt").write_text("0\n")
    with pytest.raises(OutputError, match=r"y_b_TS\.tlt: is there without y_b_TS\.xf"):
        export_alignment(some(series), tmp_path / "y.xf", series)
    assert not list(tmp_path.glob("*.xf"))


def test_an_aln_that_one_stack_cannot_have_leaves_no_file(tmp_path: Path):
    series, _ = two_stacks(tmp_path)
    with pytest.raises(DataError, match=r"y_f0\.aln: SEC: sections 2 \(from 0\) of f0\.mrc are not in"):
        export_alignment(some(series, 0.0), tmp_path / "y.aln", series)
    magnified = some(whole(series), 0.0)
    magnified = magnified.replace(magnification=np.array([[1, 1.1]] * 3))
    with pytest.raises(DataError, match=r"y_f1\.aln: magnification"):
        export_alignment(magnified, tmp_path / "y.aln", whole(series))
    assert not list(tmp_path.glob("*.aln"))


def test_files_whose_tilts_differ_are_told(tmp_path: Path):
    series, _ = two_stacks(tmp_path)
    export_alignment(some(series), tmp_path / "y.xf", series, note=lambda _: None)
    angles = read_angles(tmp_path / "y_f1.tlt") + np.array([0.0, 0.4, 0.0])
    (tmp_path / "y_f1.tlt").write_text("".join(f"{angle}\n" for angle in angles))
    told: list[str] = []
    found = import_alignment(tmp_path / "y.xf", series, note=told.append)
    assert np.allclose(found.tilt_deg, np.add(TILTS, [0.25, 0.45, 0.25]), atol=0.01)
    assert told[-1] == "files of the stacks tell tilts up to 0.20° from their mean, which was taken"
