"""Volumes bear the name of their tilt series: what lies beside them is of the series."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
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
