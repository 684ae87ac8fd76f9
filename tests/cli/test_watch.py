"""``phaset3m watch``: as a process that is told when enough has arrived, and its refusals."""

import json

import h5py
import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.cli.watch import _Lines, _Table
from napari_phaset3m.jobs.watch import QuickFailed, WatchConfig, loop
from napari_phaset3m.jobs.watch.loop import FolderWatch


def _tilts(folder, angles):
    y, x = np.mgrid[:32, :32] - 16.0
    for angle in angles:
        rng = np.random.default_rng(angle + 90)
        blob = np.exp(-((x - 4 * np.cos(np.radians(angle))) ** 2 + y**2) / 18)
        with mrcfile.new(folder / f"ts_{angle:+03d}.0.mrc") as file:
            file.set_data((100 - 40 * blob + rng.normal(0, 1, (32, 32))).astype(np.float32))
            file.voxel_size = 4.0


def test_watch_writes_series_and_volume(tmp_path, capsys):
    folder = tmp_path / "tilts"
    folder.mkdir()
    _tilts(folder, range(-9, 10, 3))
    series, volume = tmp_path / "s.h5", tmp_path / "v.mrc"
    flags = ["--energy", "300e3", "--interval", "0.05", "--settle", "0.1", "--iterations", "3",
             "--quick-size", "16", "--until", "7"]  # fmt: skip
    code = main(["watch", str(folder), "--save", str(series), "--volume", str(volume), "--json", *flags])
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0 and any(e.get("volume", {}).get("tilts") == 7 for e in events)
    with mrcfile.open(volume) as file:
        assert file.data.shape == (16, 16, 16) and np.isclose(file.voxel_size.x, 8.0)
    with h5py.File(series) as file:
        assert file["tilt_series"].shape == (7, 1, 32, 32) and file["energy"][()] == 3e5
        assert np.abs(file["shifts"][()]).max() > 0


def test_a_volume_that_may_have_to_be_negative_is_told(tmp_path, capsys):
    """As reconstruct tells it; without positivity there is nothing to tell, and values are negative."""
    folder, volume = tmp_path / "tilts", tmp_path / "v.mrc"
    folder.mkdir()
    _tilts(folder, range(-9, 10, 3))
    flags = ["--energy", "300e3", "--interval", "0.05", "--settle", "0.1", "--iterations", "3",
             "--quick-size", "16", "--until", "7", "--volume", str(volume)]  # fmt: skip
    lowest = []
    for more, told in (([], True), (["--no-positivity"], False)):
        assert main(["watch", str(folder), *flags, *more]) == 0
        said = "\n  warning: values may have to be negative: the level of these images is their own"
        out = capsys.readouterr().out
        assert (said in out) == told and ("positive: compare with --no-positivity" in out) == told
        with mrcfile.open(volume) as file:
            lowest.append(file.data.min())
    assert lowest[0] >= 0 > lowest[1]


def test_watch_refuses_in_one_line(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "none")]) == 2
    assert "is not there" in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--save", str(tmp_path / "s.mrc")]) == 2
    assert "saved as .h5" in capsys.readouterr().err
    assert main(["watch", str(tmp_path / "none"), "--energy", "300"]) == 2
    assert "energy is 300 V; it is read in volts" in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--interval", "-1"]) == 2
    assert "interval" in capsys.readouterr().err


@pytest.fixture
def no_endless(monkeypatch):
    """A watch that does not end by itself fails, in place of going on for ever."""
    whole = loop.FolderWatch.look

    def look(self):
        self.looks = getattr(self, "looks", 0) + 1
        assert self.looks < 100, "it goes on for ever"
        yield from whole(self)

    monkeypatch.setattr(loop.FolderWatch, "look", look)


@pytest.mark.usefixtures("no_endless")
def test_without_quick_volumes_it_ends_when_all_has_arrived(tmp_path, capsys):
    _tilts(tmp_path, range(-9, 10, 3))
    flags = ["--energy", "300e3", "--interval", "0.05", "--settle", "0.1", "--no-quick"]
    assert main(["watch", str(tmp_path), *flags, "--until", "7"]) == 0
    out = capsys.readouterr().out
    assert "7 tilts, 7 images" in out and "quick volume" not in out


@pytest.mark.usefixtures("no_endless")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            ["--until", "5", "--min-tilts", "7"],
            "--until: is 5, and the first quick volume is made of 7 tilts",
        ),
        (["--until", "4"], "--until: is 4, and the first quick volume is made of 5 tilts (--min-tilts)"),
        (["--until", "7", "--no-quick", "--save", "s.h5"], "--save: is written with every quick volume, and"),
        (["--until", "7", "--no-quick", "--volume", "v.mrc"], "--volume: is written with every quick volume"),
    ],
)
def test_what_waits_for_a_quick_volume_that_never_comes_is_refused(tmp_path, capsys, monkeypatch, more, told):
    monkeypatch.chdir(tmp_path)
    _tilts(tmp_path, range(-9, 10, 3))
    flags = ["--energy", "300e3", "--interval", "0.05", "--settle", "0.1"]
    assert main(["watch", str(tmp_path), *flags, *more]) == 2
    read = capsys.readouterr()
    assert told in read.err and read.err.count("\n") == 1 and not read.out


def _stack_and_com(folder, excluded):
    rng = np.random.default_rng(0)
    with mrcfile.new(folder / "s.mrc") as file:
        file.set_data(rng.uniform(90, 110, (5, 32, 32)).astype(np.float32))
        file.set_image_stack()
        file.voxel_size = 4.0
    (folder / "s.rawtlt").write_text("-20\n-10\n0\n10\n20\n")
    (folder / "tilt.com").write_text(f"InputProjections s_ali.mrc\nEXCLUDELIST {excluded}\n")


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_what_was_read_beside_the_images_is_told(tmp_path, capsys, how):
    """A view that a tilt.com leaves out was not used, and nothing said so."""
    _stack_and_com(tmp_path, 2)
    flags = [
        "--energy",
        "300e3",
        "--interval",
        "0.05",
        "--settle",
        "0.1",
        "--quick-size",
        "16",
        "--until",
        "5",
    ]
    assert main(["watch", str(tmp_path), *flags, "--iterations", "2", *how]) == 0
    note, out = "1 view is not used, as tilt.com leaves it out", capsys.readouterr().out
    if how:
        told = [json.loads(line).get("looked", {}).get("notes", []) for line in out.splitlines()]
        assert any(note in notes for notes in told)
    else:
        assert out.splitlines().count(f"Note: {note}") == 1


def _looked(folder, **settings):
    """What a folder tells at a look, three times."""
    watch = FolderWatch(folder, WatchConfig(energy_ev=3e5, settle_seconds=0.0, **settings))
    return [list(watch.look())[-1] for _ in range(3)]


def _rotated(folder):
    _stack_and_com(folder, 2)
    (folder / "s.rawtlt").unlink()
    rows = "".join(f"[ZValue = {k}]\nTiltAngle = {10 * k - 20}\nRotationAngle = 175.3\n" for k in range(5))
    (folder / "s.mrc.mdoc").write_text(rows)


def test_a_note_and_a_question_are_told_once_though_the_folder_is_looked_at_often(tmp_path, capsys):
    """A tilt axis that follows from RotationAngle was used without a word."""
    _rotated(tmp_path)
    lines = _Lines(as_json=False)
    for event in _looked(tmp_path):
        lines.show(event)
    out = capsys.readouterr().out.splitlines()
    assert out.count("Note: 1 view is not used, as tilt.com leaves it out") == 1
    asked = (
        "To confirm: --tilt-axis-angle: s.mrc.mdoc: 85.3 degrees, from RotationAngle - 90; no title states it"
    )
    assert out.count(asked) == 1
    assert sum("exposure order: " in line for line in out) == 1, "no flag of this command answers it"
    lines = _Lines(as_json=True)
    for event in _looked(tmp_path, tilt_axis_angle_deg=85.0):
        lines.show(event)
    told = [json.loads(line)["looked"]["to_confirm"] for line in capsys.readouterr().out.splitlines()]
    assert told and not any("RotationAngle" in text for text in told[-1])


def test_the_table_of_a_terminal_tells_notes_and_questions(tmp_path):
    from rich.console import Console

    _rotated(tmp_path)
    table, console = _Table(), Console(width=200)
    table.show(_looked(tmp_path)[-1])
    with console.capture() as shown:
        console.print(table._drawn())
    text = shown.get()
    assert "Note: 1 view is not used, as tilt.com leaves it out" in text
    assert "To confirm: --tilt-axis-angle: s.mrc.mdoc: 85.3 degrees, from RotationAngle - 90" in text


def test_what_a_series_lacks_is_its_problem_and_no_question(tmp_path):
    _stack_and_com(tmp_path, 2)
    watch = FolderWatch(tmp_path, WatchConfig(settle_seconds=0.0))
    event = list(watch.look())[-1]
    assert "voltage" in event.problem and "energy_ev" not in {q.field for q in event.questions}
    assert "tilt_axis_angle_deg" in {q.field for q in event.questions}


def _stack_with_comma(folder):
    rng = np.random.default_rng(0)
    with mrcfile.new(folder / "s.mrc") as file:
        file.set_data(rng.uniform(90, 110, (5, 32, 32)).astype(np.float32))
        file.set_image_stack()
        file.voxel_size = 4.0
        file.add_label("Tilt axis angle = 85,3, binning = 1")
    (folder / "s.rawtlt").write_text("-20\n-10\n0\n10\n20\n")


def test_an_axis_that_must_be_given_ends_it_when_all_has_arrived(tmp_path, capsys):
    """It went through all tilts, wrote nothing and ended as if all were well."""
    folder, out = tmp_path / "tilts", tmp_path / "w.h5"
    folder.mkdir()
    _stack_with_comma(folder)
    flags = ["--energy", "300e3", "--interval", "0.05", "--settle", "0.1", "--quick-size", "16",
             "--iterations", "2", "--save", str(out), "--until", "5"]  # fmt: skip
    assert main(["watch", str(folder), *flags]) == 2
    read = capsys.readouterr()
    assert "s.mrc: tilt_axis_angle: the angle in the label (85,3) has a decimal comma" in read.err
    assert "--tilt-axis-angle" in read.err and read.err.count("\n") == 1
    assert "quick volume" not in read.out and not out.exists()
    assert main(["watch", str(folder), *flags, "--tilt-axis-angle", "0"]) == 0
    assert out.exists()


def test_such_an_axis_is_told_at_the_first_look(tmp_path):
    _stack_with_comma(tmp_path)
    times = iter(range(100))
    watch = FolderWatch(tmp_path, WatchConfig(energy_ev=3e5, settle_seconds=0.5), lambda: float(next(times)))
    looked = [[*watch.look()][-1] for _ in range(3)][-1]
    told = "tilt axis: the angle in the label (85,3) has a decimal comma and is not read (s.mrc). Give it (--"
    assert looked.n_tilt == 5 and looked.problem.startswith(told)


def test_a_run_that_makes_no_quick_volume_fails(tmp_path, capsys, monkeypatch):
    _tilts(tmp_path, range(-9, 10, 3))

    def failing(*_):
        yield QuickFailed("too little memory")

    monkeypatch.setattr(loop, "iterate_quick", failing)
    flags = ["--energy", "300e3", "--interval", "0.05", "--settle", "0.1", "--until", "7"]
    assert main(["watch", str(tmp_path), *flags]) == 1
    assert "no quick volume: too little memory" in capsys.readouterr().err
