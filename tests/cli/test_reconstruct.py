"""Runs of the command: what is written, replay, resume, stop, and what a failure leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.errors import OutputError, ResourceError
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

FAST = ["--iterations", "2", "--threads", "1"]


def reconstruct(series: Path, output: Path, *flags: str) -> int:
    return main(["reconstruct", str(series), "-o", str(output), *FAST, *flags])


def without(source: Path, target: Path, *keys: str) -> Path:
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        for key in keys:
            del file[key]
    return target


def one_line(capsys) -> str:
    told = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in told if not line.startswith("multislice: ")]  # what a run says when it begins
    assert len(lines) == 1, lines
    return lines[0]


def test_result_and_record(tiny, tmp_path, capsys) -> None:
    output = tmp_path / "v.mrc"
    assert reconstruct(tiny, output, "--seed", "5", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    record = json.loads((tmp_path / "v.json").read_text())
    assert printed == record
    assert record["parameters"]["seed"] == record["seed"] == 5
    assert record["device"].startswith("CPU")
    assert len(record["error_per_iteration"]) == len(record["seconds_per_iteration"]) == 2
    assert record["error_per_iteration"][1] < record["error_per_iteration"][0]
    assert record["peak_memory_bytes"] > 1e6
    assert record["inputs"][0]["path"] == str(tiny.resolve())
    with mrcfile.open(output) as file:
        assert file.data.shape == (32, 32, 32)
        assert float(file.voxel_size.x) == pytest.approx(0.5)
        assert file.data.max() > 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.json", "v.mrc"]


def test_replay_gives_the_same_volume_and_flags_win(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "a.mrc", "--seed", "2", "--slices", "4") == 0
    record = str(tmp_path / "a.json")
    assert main(["reconstruct", "--from", record, "-o", str(tmp_path / "b.mrc")]) == 0
    first, second = (load_volume(tmp_path / f"{name}.mrc").data for name in "ab")
    np.testing.assert_array_equal(first, second)
    assert main(["reconstruct", "--from", record, "-o", str(tmp_path / "c.mrc"), "--iterations", "1"]) == 0
    parameters = json.loads((tmp_path / "c.json").read_text())["parameters"]
    assert (parameters["iterations"], parameters["seed"], parameters["slices"]) == (1, 2, 4)


def test_replay_says_when_the_series_has_changed(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "a.mrc") == 0
    other = without(tiny, tmp_path / "other.h5")
    with h5py.File(other, "r+") as file:
        file["tilt_series"][0, 0, 0, 0] = 2.0
    capsys.readouterr()
    command = ["reconstruct", str(other), "--from", str(tmp_path / "a.json"), "-o", str(tmp_path / "b.mrc")]
    assert main(command) == 0
    assert "is not the file" in one_line(capsys)


@pytest.mark.parametrize("text", ["not json", "{}", '{"parameters": {"slices": -1}}'])
def test_bad_record(tiny, tmp_path, capsys, text) -> None:
    record = tmp_path / "r.json"
    record.write_text(text)
    assert main(["reconstruct", str(tiny), "--from", str(record), "-o", str(tmp_path / "v.mrc")]) == 2
    one_line(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("key", ["defocus_values", "spherical_aberration"])
def test_missing_optics(tiny, tmp_path, capsys, key) -> None:
    path = without(tiny, tmp_path / "s.h5", key)
    assert reconstruct(path, tmp_path / "v.mrc") == 2
    told = one_line(capsys)
    assert key in told
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]
    # the flag that the message names mends it, and a replay knows it
    flag = next(word.rstrip(",") for word in told.split() if word.startswith("--"))
    assert reconstruct(path, tmp_path / "v.mrc", flag, {"--defocus": "300,600", "--cs": "1.2e7"}[flag]) == 0
    again = ["reconstruct", "--from", str(tmp_path / "v.json"), "-o", str(tmp_path / "w.mrc")]
    assert main(again) == 0


def test_linear_method_needs_no_optics(tiny, tmp_path, capsys) -> None:
    path = without(tiny, tmp_path / "s.h5", "defocus_values", "spherical_aberration")
    assert reconstruct(path, tmp_path / "v.mrc", "--method", "sirt") == 0


@pytest.mark.parametrize("where", ["file/v.mrc", "none/v.mrc", "v.png", "/proc/v.mrc"])
def test_unwritable_output(tiny, tmp_path, capsys, where) -> None:
    (tmp_path / "file").write_text("x")
    assert reconstruct(tiny, tmp_path / where) == 2
    assert Path(where).name in one_line(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_output_never_replaces_an_input(tiny, tmp_path, capsys) -> None:
    path = without(tiny, tmp_path / "s.h5")
    before = path.read_bytes()
    assert reconstruct(path, path) == 2
    assert "would overwrite the series" in one_line(capsys)
    output = tmp_path / "v.h5"
    assert reconstruct(path, output, "--checkpoint", str(output)) == 2
    one_line(capsys)
    assert path.read_bytes() == before


def test_bad_mask(tiny, tmp_path, capsys) -> None:
    mask = tmp_path / "m.mrc"
    for data in (np.full((32, 32, 32), 2, np.float32), np.ones((3, 32, 32), np.float32)):
        with mrcfile.new(mask, data, overwrite=True) as file:
            file.voxel_size = 0.5
        assert reconstruct(tiny, tmp_path / "v.mrc", "--mask", str(mask)) == 2
        assert "mask" in one_line(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["m.mrc"]


def test_absorption_is_kept(tiny, tmp_path) -> None:
    assert reconstruct(tiny, tmp_path / "v.mrc", "--absorption") == 0
    assert load_volume(tmp_path / "v_absorption.mrc").shape == (32, 32, 32)


def test_every_format(tiny, tmp_path) -> None:
    volumes = []
    for suffix in (".mrc", ".tif", ".h5", ".ome.zarr"):
        name = f"v_{suffix[1:4]}{suffix}"
        assert reconstruct(tiny, tmp_path / name) == 0
        volumes.append(load_volume(tmp_path / name))
    for volume in volumes[1:]:
        np.testing.assert_array_equal(volume.data, volumes[0].data)
        assert volume.voxel_size_angstrom == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("error", "late", "code"),
    [(ResourceError, True, 1), (ResourceError, False, 2), (OutputError, True, 1)],
)
def test_a_failure_in_the_run_is_1(tiny, tmp_path, capsys, monkeypatch, error, late, code) -> None:
    import napari_phaset3m.jobs as jobs

    def run(*args: object, **options: object):
        if late:
            yield jobs.Progress("r", 0, 0, 1, 1, 0.5, 0.1, None)
        raise error("the disk is full")
        yield

    monkeypatch.setattr(jobs, "run", run)
    assert reconstruct(tiny, tmp_path / "v.mrc") == code
    assert one_line(capsys) == "phaset3m: the disk is full"
    assert not list(tmp_path.iterdir())


def test_a_result_that_cannot_be_kept_is_1(tiny, tmp_path, capsys, monkeypatch) -> None:
    import napari_phaset3m.io.volume as volume

    def fail(*args: object) -> None:
        raise OutputError("v.mrc: cannot be written (No space left on device)")

    monkeypatch.setattr(volume, "save_volume", fail)
    assert reconstruct(tiny, tmp_path / "v.mrc") == 1
    assert "No space" in one_line(capsys)


def start(series: Path, folder: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from napari_phaset3m.cli import main; sys.exit(main())"]
    command += ["reconstruct", str(series), "-o", str(folder / "v.mrc"), "--threads", "1", "--tolerance", "0"]
    return subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_resumes_to_the_same_numbers(tiny, tmp_path, capsys, number) -> None:
    checkpoint = tmp_path / "c.h5"
    process = start(tiny, tmp_path, "--iterations", "5000", "--checkpoint", str(checkpoint))
    wait_for(checkpoint, process)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1].strip()
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 1
        assert error.splitlines()[-1].endswith(
            f"{checkpoint} holds the last sweep saved: go on with --resume"
        )
    assert not (tmp_path / "v.mrc").exists()
    with h5py.File(checkpoint) as file:
        assert file.attrs["complete"]
    numbers = resume_to(tiny, tmp_path, checkpoint)
    assert numbers["resumed"] == numbers["whole"]
    a, b = (load_volume(tmp_path / f"{name}.mrc").data for name in ("resumed", "whole"))
    np.testing.assert_array_equal(a, b)


def resume_to(series: Path, folder: Path, checkpoint: Path) -> dict[str, list[float]]:
    """The errors of the run resumed for three more sweeps, and of one that never was stopped."""
    from napari_phaset3m.io.checkpoint import load_checkpoint

    done = len(json.loads(str(load_checkpoint(checkpoint)["history"])))
    found = {}
    for name, more in (("resumed", ["--checkpoint", str(checkpoint), "--resume"]), ("whole", [])):
        flags = ["--threads", "1", "--tolerance", "0", "--iterations", str(done + 3), *more]
        assert main(["reconstruct", str(series), "-o", str(folder / f"{name}.mrc"), *flags]) == 0
        found[name] = json.loads((folder / f"{name}.json").read_text())["error_per_iteration"]
        assert len(found[name]) == done + 3
    return found


def test_a_checkpoint_of_other_settings_is_refused(tiny, tmp_path, capsys) -> None:
    checkpoint = ["--checkpoint", str(tmp_path / "c.h5")]
    assert reconstruct(tiny, tmp_path / "v.mrc", *checkpoint) == 0
    capsys.readouterr()
    assert reconstruct(tiny, tmp_path / "w.mrc", *checkpoint, "--resume", "--slices", "3") == 2
    assert "other settings" in one_line(capsys)
    assert not (tmp_path / "w.mrc").exists()


def test_a_run_stopped_in_its_first_sweep_says_that_nothing_was_kept(
    tiny, tmp_path, capsys, monkeypatch
) -> None:
    import napari_phaset3m.jobs as jobs

    monkeypatch.setattr(jobs, "run", lambda *args, **options: iter([jobs.Stopped("r", ())]))
    assert reconstruct(tiny, tmp_path / "v.mrc", "--checkpoint", str(tmp_path / "c.h5")) == 1
    assert one_line(capsys).endswith("no volume was written, nor a checkpoint yet")


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_that_is_no_checkpoint_is_never_overwritten(tiny, tmp_path, capsys, resume) -> None:
    other = shutil.copy(tiny, tmp_path / "other_series.h5")
    before = Path(other).read_bytes()
    flags = ["--checkpoint", str(other), *(["--resume"] if resume else [])]
    assert reconstruct(tiny, tmp_path / "v.mrc", *flags) == 2
    assert "is no checkpoint" in one_line(capsys)
    assert Path(other).read_bytes() == before and not (tmp_path / "v.mrc").exists()


def test_a_checkpoint_is_not_begun_anew_over_a_run(tiny, tmp_path, capsys) -> None:
    flags = ["--checkpoint", str(tmp_path / "c.h5")]
    assert reconstruct(tiny, tmp_path / "v.mrc", *flags) == 0
    before = (tmp_path / "c.h5").read_bytes()
    capsys.readouterr()
    assert reconstruct(tiny, tmp_path / "w.mrc", *flags) == 2
    assert "Add --resume, or name another file" in one_line(capsys)
    assert (tmp_path / "c.h5").read_bytes() == before


@pytest.mark.parametrize("text", ['{"atoms": 5}', "notes", '{"program": "napari-phaset3m", "file": "v.tif"}'])
def test_a_json_of_something_else_is_never_overwritten(tiny, tmp_path, capsys, text) -> None:
    (tmp_path / "v.json").write_text(text)
    assert reconstruct(tiny, tmp_path / "v.mrc") == 2
    assert "v.json" in one_line(capsys)
    assert (tmp_path / "v.json").read_text() == text and not (tmp_path / "v.mrc").exists()


def test_a_volume_and_its_own_record_may_be_made_again(tiny, tmp_path) -> None:
    for seed in ("1", "2"):
        assert reconstruct(tiny, tmp_path / "v.mrc", "--seed", seed) == 0
    record = json.loads((tmp_path / "v.json").read_text())
    assert (record["seed"], record["file"]) == (2, "v.mrc")


def test_a_start_volume_is_used_recorded_and_replayed(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "a.mrc") == 0
    assert reconstruct(tiny, tmp_path / "b.mrc", "--start", str(tmp_path / "a.mrc")) == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert first["start"] is None and second["start"]["path"] == str(tmp_path / "a.mrc")
    assert second["error_per_iteration"][0] < 0.8 * first["error_per_iteration"][0]
    again = ["reconstruct", "--from", str(tmp_path / "b.json"), "-o", str(tmp_path / "c.mrc")]
    assert main(again) == 0
    b, c = (load_volume(tmp_path / f"{name}.mrc").data for name in "bc")
    np.testing.assert_array_equal(b, c)
    # Changed, missing, or left out on purpose.
    capsys.readouterr()
    shutil.copy(tmp_path / "b.mrc", tmp_path / "a.mrc")
    assert main(again) == 2
    assert "is not the start that the parameters were used with" in one_line(capsys)
    (tmp_path / "a.mrc").unlink()
    assert main(again) == 2
    assert "a.mrc: --start: is not there" in one_line(capsys)
    assert main([*again, "--start", "none"]) == 0
    assert json.loads((tmp_path / "c.json").read_text())["start"] is None


def test_a_start_volume_of_another_box_is_refused(tiny, tmp_path, capsys) -> None:
    for name, n, voxel in (("big", 64, 0.5), ("odd", 33, 0.5), ("flat", (32, 32, 8), 0.5)):
        shape = (n, n, n) if isinstance(n, int) else n
        save_volume(
            Volume(data=np.ones(shape, np.float32), voxel_size_angstrom=voxel), tmp_path / f"{name}.mrc"
        )
        assert reconstruct(tiny, tmp_path / "v.mrc", "--start", str(tmp_path / f"{name}.mrc")) == 2
        assert "--start: is of" in one_line(capsys)
    save_volume(
        Volume(data=np.ones((64, 64, 64), np.float32), voxel_size_angstrom=0.25), tmp_path / "finer.mrc"
    )
    assert reconstruct(tiny, tmp_path / "v.mrc", "--start", str(tmp_path / "finer.mrc")) == 0


def test_a_mask_without_a_voxel_size_must_be_of_the_runs_shape(tiny, tmp_path, capsys) -> None:
    mask = tmp_path / "m.mrc"
    for n, code in ((64, 2), (32, 0)):
        with mrcfile.new(mask, np.ones((n, n, n), np.float32), overwrite=True) as file:
            file.voxel_size = 0.0
        assert reconstruct(tiny, tmp_path / "v.mrc", "--mask", str(mask)) == code
        if code:
            assert "states no voxel size" in one_line(capsys)


def test_a_replay_says_when_the_mask_of_the_run_is_not_known(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "a.mrc") == 0
    record = json.loads((tmp_path / "a.json").read_text())
    record["resolved"]["mask"] = [{"from_sweep": 1, "sha256": "ab", "fraction": 0.5}]
    (tmp_path / "a.json").write_text(json.dumps(record))
    again = ["reconstruct", "--from", str(tmp_path / "a.json"), "-o", str(tmp_path / "b.mrc")]
    capsys.readouterr()
    assert main(again) == 2
    assert "had a mask whose file is not known" in one_line(capsys)
    assert main([*again, "--mask", "none"]) == 0


def test_resume_without_a_checkpoint_yet(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "v.mrc", "--checkpoint", str(tmp_path / "c.h5"), "--resume") == 0
    assert "starts anew" in one_line(capsys)


def test_a_run_says_what_it_chose_and_the_record_holds_it(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "v.mrc", "--iterations", "2", "--slices", "4") == 0
    line = next(text for text in capsys.readouterr().err.splitlines() if text.startswith("multislice: "))
    record = json.loads((tmp_path / "v.json").read_text())
    chosen = record["resolved"]
    for said in ("4 slices of", f"loss {chosen['loss']}", "2 sweeps of", f"step {chosen['step']:.4g}",
                 "sparsity 1", "32 x 32 x 32 voxels", "padded by 8 px"):  # fmt: skip
        assert said in line, said
    # The solver's own unit is 1 / (voxels in depth).
    assert record["step_size_per_iteration"][0] == pytest.approx(chosen["step"] / 32)
    assert len(record["step_size_per_iteration"]) == 2
    assert reconstruct(tiny, tmp_path / "w.mrc", "--iterations", "1", "--step", "0.7") == 0
    assert json.loads((tmp_path / "w.json").read_text())["resolved"]["step"] == pytest.approx(0.7)
    assert reconstruct(tiny, tmp_path / "x.mrc", "--iterations", "1", "--method", "sirt") == 0
    assert "relaxation 1" in capsys.readouterr().err


def test_help_says_that_an_older_result_is_replaced(capsys) -> None:
    assert main(["reconstruct", "--help"]) == 0
    assert "is replaced" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_a_direct_method_says_direct_and_numbers_have_their_plural(tiny, tmp_path, capsys) -> None:
    assert reconstruct(tiny, tmp_path / "f.mrc", "--method", "fbp") == 0
    told = capsys.readouterr()
    line = next(text for text in told.err.splitlines() if text.startswith("fbp: "))
    assert "direct, from 5 tilts" in line and "sweep" not in line + told.out
    error = json.loads((tmp_path / "f.json").read_text())["error_per_iteration"][-1]
    assert f"direct, error {error:.4f}, after negative values were cut off" in told.out
    assert ("times the misfit of an empty one" in told.err) == (error > 1)
    assert reconstruct(tiny, tmp_path / "s.mrc", "--method", "sart", "--iterations", "1") == 0
    told = capsys.readouterr()
    assert "1 sweep of 1 tilt per update" in told.err and "s.mrc: 1 sweep, error" in told.out


def test_line_projections_of_images_at_their_own_level_are_told_to_be_held_positive(
    tiny, tmp_path, capsys
) -> None:
    own = tmp_path / "own.h5"
    assert main(["prepare", str(tiny), "-o", str(own), "--normalise", "--normalise-level", "mean"]) == 0
    for flags, told in (([], 1), (["--no-positivity"], 0)):
        capsys.readouterr()
        assert reconstruct(own, tmp_path / "v.mrc", "--method", "sirt", *flags) == 0
        lines = capsys.readouterr().err.splitlines()
        assert sum(line.startswith("warning: values may have to be negative") for line in lines) == told
        assert sum("--no-positivity" in line for line in lines) == told
        kept = json.loads((tmp_path / "v.json").read_text())["notes"]
        assert sum(note.startswith("warning: values may have to be negative") for note in kept) == told


@pytest.mark.parametrize(("method", "worse"), [("fbp", True), ("wbp", False)])
def test_a_result_worse_than_an_empty_volume_is_told_once_and_kept(
    tiny, tmp_path, capsys, method, worse
) -> None:
    assert reconstruct(tiny, tmp_path / "f.mrc", "--method", method) == 0
    told, kept = capsys.readouterr().err, json.loads((tmp_path / "f.json").read_text())
    assert (kept["error_per_iteration"][-1] > 1) == worse, "else this test says nothing"
    said = [note for note in kept["notes"] if "times the misfit of an empty one" in note]
    assert len(said) == worse == told.count("times the misfit of an empty one")
    assert all(f"Note: {note}\n" in told for note in said)


def test_worse_than_an_empty_volume_is_noted() -> None:
    from napari_phaset3m.reconstruct.plan import outcome_note

    said = outcome_note("fbp", 9.124, positivity=True)
    assert said is not None and "FBP volume, its negative values cut off, has 9.12 times" in said
    assert "cut off" not in str(outcome_note("sirt", 1.5, positivity=False))
    assert outcome_note("fbp", 1.0, positivity=True) is None
    assert outcome_note("multislice", 3.0, positivity=True) is None
