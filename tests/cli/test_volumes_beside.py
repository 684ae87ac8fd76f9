"""Volumes bear the name of their tilt series: what lies beside them is of the series."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.io.napari_hooks import read_layers
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import Volume, save_volume

RNG = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _mrc(name: str, n: int = 6) -> None:
    with mrcfile.new(name) as mrc:
        mrc.set_data(RNG.uniform(0.5, 1.5, (n, 16, 16)).astype(np.float32))
        mrc.voxel_size = 2.0


def _info(capsys, name: str, *flags: str) -> dict:
    assert main(["info", name, "--json", *flags]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def _written_by_a_run() -> None:
    data = RNG.uniform(0, 1, (6, 16, 16)).astype(np.float32)
    save_volume(Volume(data=data, voxel_size_angstrom=2.0), "b.mrc", provenance={})


def _without_label() -> None:
    _written_by_a_run()
    with mrcfile.open("b.mrc", "r+") as mrc:
        mrc.header.nlabl = 0


def _without_record() -> None:
    _written_by_a_run()
    Path("b.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("b.rec", lambda: _mrc("b.rec")),
        ("b.mrc", _without_label),
        ("b.mrc", _without_record),
    ],
)
def test_a_volume_beside_the_angles_of_its_series(capsys, name, make):
    """It was refused: 3 angles for 6 images."""
    make()
    Path("b.tlt").write_text("-10\n0\n10\n")
    record = _info(capsys, name)
    assert record["kind"].startswith("volume") and record["shape_zyx"] == [6, 16, 16]
    assert record["notes"] == [f"b.tlt is not used: 3 angles for 6 images in {name}"]


def test_as_many_angles_as_sections(capsys):
    """A stack that is named .rec is a series; this program's volume is none."""
    _mrc("a.rec")
    _written_by_a_run()
    for name in ("a.tlt", "b.tlt"):
        Path(name).write_text("-20\n-10\n0\n10\n20\n30\n")
    assert _info(capsys, "a.rec", "--energy", "3e5")["n_tilt"] == 6
    assert _info(capsys, "b.mrc")["kind"].startswith("volume")
    assert [layer[0].ndim for layer in read_layers(["a.rec", "b.mrc"])] == [4, 3], "as napari shows them"


_DEFOCI = "".join(f"{k} {k} 0.0 0.0 {500 + k}\n" for k in range(1, 4))
_CTFFIND = "# Output from CTFFind version 4.1.14, run on 2024-01-01\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.defocus", _DEFOCI),
        ("tilt.com", "InputProjections b.ali\nEXCLUDELIST 3\n"),
        ("b_output.txt", "Done in 3 s\n"),
    ],
)
@pytest.mark.parametrize("volume", ["b.rec", "b.mrc"])
def test_what_an_import_reads_of_the_series_makes_no_series_of_its_volume(capsys, volume, name, text):
    """The volume was refused, or listed as six tilts of which one is not used."""
    _mrc("b.rec")
    _written_by_a_run()
    Path(name).write_text(text)
    assert _info(capsys, volume)["kind"].startswith("volume")


@pytest.mark.parametrize(
    ("name", "text", "is_read"),
    [
        ("tilt.com", "InputProjections other_ali.mrc\nEXCLUDELIST 5-x\nOFFSET y\n", False),
        ("tilt.com", "InputProjections s_ali.mrc\nEXCLUDELIST 5-x\n", True),
        ("s_output.txt", "Loading 6 images\n1 2 3\n", False),
        ("s_output.txt", _CTFFIND + "1 5000 5000 0 0 0.1 5\n", True),
    ],
)
def test_files_of_others_beside_a_stack_are_passed_over(capsys, name, text, is_read):
    """A .com of another stack, and any program's log, stopped ``info`` and ``convert`` of all stacks."""
    _mrc("s.mrc")
    Path("s.rawtlt").write_text("-20\n-10\n0\n10\n20\n30\n")
    Path(name).write_text(text)
    convert = ["convert", "s.mrc", "-o", "o.h5", "--energy", "3e5"]
    for command in (["info", "s.mrc", "--energy", "3e5"], convert, [*convert, "--bin", "1"]):
        assert main(command) == (2 if is_read else 0), command
        assert (name in capsys.readouterr().err) == is_read
    if not is_read:
        assert load_series("o.h5").used.all()


@pytest.mark.parametrize("angles", ["b.tlt", "b.rawtlt"])
def test_a_volume_of_another_program_without_a_label(capsys, angles):
    """``info`` refused it; what it may be is told both ways, and only images need angles that fit."""
    _mrc("b.mrc")
    Path(angles).write_text("-10\n0\n10\n")
    record = _info(capsys, "b.mrc")
    assert record["kind"].startswith("volume, or a stack") and record["shape_zyx"] == [6, 16, 16]
    assert record["notes"][0] == f"{angles} is not used: 3 angles for 6 images in b.mrc"
    assert "--tilt-angles" in record["notes"][1]
    assert main(["convert", "b.mrc", "-o", "o.h5", "--energy", "3e5"]) == 2
    assert "3 angles for 6 images" in capsys.readouterr().err and not Path("o.h5").exists()


@pytest.mark.parametrize("suffix", [".st", ".ali", ".mrcs", ".ALI"])
def test_a_stack_by_its_suffix_is_no_volume(capsys, suffix):
    _mrc(f"b{suffix}")
    Path("b.tlt").write_text("-10\n0\n10\n")
    assert main(["info", f"b{suffix}"]) == 2
    assert "3 angles for 6 images" in capsys.readouterr().err


@pytest.mark.parametrize("angle", ["85.3", "85,3"])
def test_a_stack_by_its_label_is_no_volume(capsys, angle):
    """SerialEM's label says that these are raw images, and they were shown as a volume."""
    _mrc("b.mrc")
    with mrcfile.open("b.mrc", "r+") as mrc:
        mrc.add_label(f"Tilt axis angle = {angle}, binning = 1")
    Path("b.tlt").write_text("-10\n0\n10\n")
    assert main(["info", "b.mrc"]) == 2
    assert "3 angles for 6 images" in capsys.readouterr().err


def test_damaged_angles_are_not_said_to_be_another_number(capsys):
    _mrc("b.mrc")
    Path("b.tlt").write_text("-10\nfoo\n10\n")
    record = _info(capsys, "b.mrc")
    assert "a stack whose angles cannot be used" in record["kind"] and "line 2" in record["notes"][0]
