from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.history import history, recorded
from napari_phaset3m.project import LayerData, ProjectLock, ProjectStore, take_snapshot
from napari_phaset3m.project.recovery import OpenMark, forget, lost_states, unnamed_project
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.session import NamedMask, RunRecord, Session

N = 12


@pytest.fixture
def series_file(tmp_path):
    rng = np.random.default_rng(0)
    series = TiltFocalSeries(
        images=rng.normal(1, 0.1, (3, 2, N, N)),
        tilt_deg=[-20.0, 0.0, 20.0],
        pixel_size_angstrom=0.8,
        energy_ev=300e3,
        defocus_angstrom=[300.0, 600.0],
        spherical_aberration_angstrom=1e7,
    )
    return save_series(series, tmp_path / "blob.h5")


def opened(path, **overrides) -> Session:
    session = Session(config=ReconstructionConfig(method="sirt", iterations=7), device="cpu")
    session.series_read = load_series(path, **overrides)
    session.series_overrides, session.series_path = overrides, path
    session.series = session.series_read
    return session


def run_of(session, run_id="ab12", **more) -> RunRecord:
    rng = np.random.default_rng(1)
    values = {
        "status": "finished", "device": "CPU", "series_name": session.series_name, "source": session.source(),
        "sweeps": [SweepDone(0, 0.5, None, 0.02, 1.0, 1000), SweepDone(1, 0.25, 0.3, 0.02, 1.0, 1000)],
        "n_sweeps": 2, "volume": rng.normal(size=(N, N, N)).astype(np.float32), "voxel_size_angstrom": 0.8,
        "reason": "sweeps", "notes": ("a note",), "settings": {"resolved": {"slices": 8}}, "seconds": 2.0,
    }  # fmt: skip
    record = RunRecord(run_id, session.config, **{**values, **more})
    session.add_run(record)
    return record


def same_series(one, other):
    for name in ("images", "tilt_deg", "defocus_angstrom", "shifts_px", "used"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert history(one) == history(other)


def test_everything_comes_back(series_file, tmp_path):
    session = opened(series_file, spherical_aberration_angstrom=2e7)
    session.series = recorded(session.series.replace(shifts_px=np.full((3, 2, 2), 0.3)), "align")
    mask = np.zeros((N, N, N), np.float32)
    mask[3:9, 3:9, 3:9] = 1
    named = NamedMask(mask, (0.8, 0.8, 0.8), "ball", {"steps": [{"kind": "sphere"}]})
    record = run_of(session, mask=named, absorption=np.ones((N, N, N), np.float32))
    session.update_run("ab12", resolution={"resolution_angstrom": 1.6, "criterion": "0.143"})
    session.mask, session.mask_name, session.shown_image = mask, "ball", (2, 1)
    session.analysis_mask = named
    points = LayerData("", "points", "Picked", {"size": 3.0}, data=np.array([[1.0, 2.0, 3.0]]))
    shapes = LayerData("", "shapes", "Area", data=[np.zeros((4, 2)), np.ones((3, 2))])
    image = LayerData("", "image", "Mine", data=np.arange(60, dtype=np.uint16).reshape(3, 4, 5))
    own = LayerData("ab12", "image", "Volume", {"visible": False})
    folder = tmp_path / "mine.phaset3m"
    snapshot = take_snapshot(
        session,
        panels={"align": {"x": 1}},
        view={"camera": {"zoom": 2.0}},
        layers=(points, shapes, image, own),
    )
    ProjectStore(folder).save(snapshot)

    back = ProjectStore(folder).load()
    assert back.problems == () and back.missing is None and back.path == series_file
    same_series(back.series, session.series)
    assert back.series.spherical_aberration_angstrom == 2e7
    assert back.project.config == session.config and back.project.device == "cpu"
    assert back.project.series.shown_image == (2, 1)
    assert back.project.panels == {"align": {"x": 1}} and back.project.view == {"camera": {"zoom": 2.0}}
    (run,) = back.runs
    for name in ("volume", "absorption"):
        np.testing.assert_array_equal(getattr(run, name), getattr(record, name))
    np.testing.assert_array_equal(run.mask.mask, mask)
    for name in ("config", "sweeps", "n_sweeps", "notes", "settings", "seconds", "started_at", "reason",
                 "resolution", "series_name", "device", "voxel_size_angstrom"):  # fmt: skip
        assert getattr(run, name) == getattr(record, name), name
    assert asdict(run.source) == asdict(record.source)
    np.testing.assert_array_equal(back.mask.mask, mask)
    assert back.mask.name == "ball" and back.analysis_mask.recipe == named.recipe
    np.testing.assert_array_equal(back.layer_data[0], points.data)
    np.testing.assert_array_equal(back.layer_data[1][1], shapes.data[1])
    assert back.layer_data[2].dtype == np.uint16 and back.project.layers[3].state == {"visible": False}
    assert not list(folder.rglob("*.tmp*")) and not (folder / "series").exists(), "images are not duplicated"


def test_images_of_no_file_are_kept_once_and_their_runs_can_be_replayed(series_file, tmp_path):
    session = opened(series_file)
    session.series = recorded(session.series.replace(images=session.series.images * 2), "normalise")
    record = run_of(session)
    assert record.source.path is None
    folder = tmp_path / "p.phaset3m"
    store = ProjectStore(folder)
    saved = store.save(take_snapshot(session, made_of={"ab12": session.series}))
    assert saved.sources["ab12"].path.parent == folder / "series"
    # a later step that changes metadata only writes no images again
    session.update_run("ab12", source=saved.sources["ab12"])
    session.series = session.series.replace(defocus_angstrom=[310.0, 610.0])
    stamp = saved.sources["ab12"].path.stat().st_mtime_ns
    store.save(take_snapshot(session))
    assert len(list((folder / "series").iterdir())) == 1
    assert saved.sources["ab12"].path.stat().st_mtime_ns == stamp
    # moved as a whole: what is inside is found
    moved = tmp_path / "elsewhere" / "p.phaset3m"
    moved.parent.mkdir()
    shutil.move(folder, moved)
    back = ProjectStore(moved).load()
    same_series(back.series, session.series)
    assert back.runs[0].source.path == moved / "series" / stamp_name(saved)
    told = json.loads((moved / "runs" / "ab12" / "volume.json").read_text())
    assert told["parameters"]["method"] == "sirt"
    # saved under another name, everything goes along
    session = opened(back.path)
    session.series = back.series
    session.add_run(back.runs[0])
    other = tmp_path / "other.phaset3m"
    ProjectStore(other).save(take_snapshot(session))
    shutil.rmtree(moved)
    again = ProjectStore(other).load()
    assert again.problems == () and again.runs[0].source.path.parent == other / "series"
    same_series(again.series, back.series)


def stamp_name(saved):
    return saved.sources["ab12"].path.name


def test_moved_series_is_asked_for_and_another_one_refused(series_file, tmp_path):
    session = opened(series_file)
    run_of(session)
    folder = tmp_path / "p.phaset3m"
    ProjectStore(folder).save(take_snapshot(session))
    (tmp_path / "data").mkdir()
    place = series_file.rename(tmp_path / "data" / "moved.h5")
    store = ProjectStore(folder)
    back = store.load()
    assert back.series is None and back.missing.file.endswith("blob.h5") and len(back.runs) == 1
    # saving meanwhile does not forget where it was
    lost = Session()
    lost.add_run(back.runs[0])
    store.save(take_snapshot(lost))
    assert ProjectStore(folder).load().missing is not None
    found = ProjectStore(folder).load(series_at=place)
    same_series(found.series, session.series)
    wrong = save_series(session.series.replace(images=session.series.images + 1), tmp_path / "wrong.h5")
    with pytest.raises(DataError, match=r"wrong\.h5: holds other images than the project's series"):
        ProjectStore(folder).load(series_at=wrong)


def test_project_moved_with_its_data_finds_them(series_file, tmp_path):
    ProjectStore(tmp_path / "p.phaset3m").save(take_snapshot(opened(series_file)))
    there = tmp_path / "there"
    there.mkdir()
    series_file.rename(there / "blob.h5")
    shutil.move(tmp_path / "p.phaset3m", there)
    back = ProjectStore(there / "p.phaset3m").load()
    assert back.missing is None and back.path.resolve() == (there / "blob.h5").resolve()


def test_damage_is_one_line_and_the_rest_opens(series_file, tmp_path):
    session = opened(series_file)
    for name in ("aa", "bb", "cc"):
        run_of(session, name)
    folder = tmp_path / "p.phaset3m"
    ProjectStore(folder).save(take_snapshot(session))
    (folder / "runs" / "aa" / "volume.mrc").write_bytes(b"short")
    (folder / "runs" / "bb" / "run.json").write_text("{")
    back = ProjectStore(folder).load()
    assert [record.run_id for record in back.runs] == ["aa", "cc"]
    assert back.runs[0].volume is None and back.runs[1].volume is not None
    assert len(back.problems) == 2 and all("\n" not in line for line in back.problems)
    text = (folder / "project.json").read_text()
    for damaged, message in (
        ("{", "project.json: is damaged"),
        (text.replace('"format": 1', '"format": 99'), "format 99; this one reads 1.*Update napari-phaset3m"),
        (text.replace('"iterations": 7', '"iterations": -7'), "is damaged: .*iterations"),
        ('{"program": "other"}', "is not of this program"),
    ):
        (folder / "project.json").write_text(damaged)
        with pytest.raises(DataError, match=message) as error:
            ProjectStore(folder).load()
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="is no project"):
        ProjectStore(tmp_path).load()


def test_deleted_runs_go_from_the_disk_and_others_are_not_written_again(series_file, tmp_path):
    session = opened(series_file)
    run_of(session, "aa")
    run_of(session, "bb")
    folder = tmp_path / "p.phaset3m"
    store = ProjectStore(folder)
    store.save(take_snapshot(session))
    stamp = (folder / "runs" / "bb" / "volume.mrc").stat().st_mtime_ns
    session.remove_run("aa")
    store.save(take_snapshot(session))
    assert not (folder / "runs" / "aa").exists()
    assert (folder / "runs" / "bb" / "volume.mrc").stat().st_mtime_ns == stamp


def test_a_folder_that_was_gone_is_written_whole_again(series_file, tmp_path):
    """An unplugged disk: the runs' records had been written once, and must not be taken for there."""
    session = opened(series_file)
    record = run_of(session, "aa")
    folder = tmp_path / "p.phaset3m"
    store = ProjectStore(folder)
    store.save(take_snapshot(session))
    shutil.rmtree(folder)
    store.save(take_snapshot(session))
    loaded = ProjectStore(folder).load()
    assert not loaded.problems and [run.run_id for run in loaded.runs] == ["aa"]
    np.testing.assert_array_equal(loaded.runs[0].volume, record.volume)


def test_a_broken_off_saving_loses_nothing(series_file, tmp_path, monkeypatch):
    session = opened(series_file)
    folder = tmp_path / "p.phaset3m"
    store = ProjectStore(folder)
    store.save(take_snapshot(session))
    before = (folder / "project.json").read_bytes()
    run_of(session)

    def full(*args, **kwargs):
        raise OutputError("volume.mrc: cannot be written (No space left on device). Free some space")

    monkeypatch.setattr("napari_phaset3m.project.run_store.save_record", full)
    with pytest.raises(OutputError, match="No space left"):
        store.save(take_snapshot(session))
    assert (folder / "project.json").read_bytes() == before
    with pytest.raises(OutputError):
        ProjectStore(tmp_path / "new.phaset3m").save(take_snapshot(session))
    assert not (tmp_path / "new.phaset3m").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="other things in it"):
        ProjectStore(tmp_path / "full").save(take_snapshot(session))


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_project_is_open_for_writing_once(tmp_path):
    first, second = ProjectLock(tmp_path), ProjectLock(tmp_path)
    assert first.take("one") is None and first.holder() is None
    other = second.take("two")
    assert other is not None and other.token == "one" and other.words().startswith("in another window since")
    second.release()
    assert (tmp_path / "lock.json").exists(), "only its owner gives it back"
    assert second.take("two", over=True) is None and first.holder().token == "two"
    second.release()
    assert not (tmp_path / "lock.json").exists()
    # a process that is gone holds nothing, also when its number is used again
    for pid, started in ((dead_process(), 1.0), (os.getpid(), 1.0)):
        first.take("one")
        told = json.loads((tmp_path / "lock.json").read_text())
        (tmp_path / "lock.json").write_text(json.dumps({**told, "pid": pid, "started": started}))
        assert second.left_behind() and second.take("two") is None
        second.release()
        (tmp_path / "lock.json").unlink(missing_ok=True)


def test_what_a_crash_left_is_offered_until_it_is_taken(series_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PHASET3M_CACHE", str(tmp_path / "cache"))
    folder = unnamed_project("tok")
    folder.parent.mkdir(parents=True)
    ProjectStore(folder).save(take_snapshot(opened(series_file)))
    mark = OpenMark("tok")
    mark.set(folder, "blob")
    assert lost_states() == [], "the window is open"
    told = json.loads(mark.path.read_text())
    mark.path.write_text(json.dumps({**told, "pid": dead_process()}))
    (state,) = lost_states()
    assert state.folder == folder and not state.named and state.words().startswith("blob, as of")
    forget(state)
    assert lost_states() == [] and not folder.exists()
    named = tmp_path / "named.phaset3m"
    ProjectStore(named).save(take_snapshot(opened(series_file)))
    mark.set(named, "named")
    told = json.loads(mark.path.read_text())
    mark.path.write_text(json.dumps({**told, "pid": dead_process()}))
    (state,) = lost_states()
    assert state.named
    forget(state)
    assert named.exists()
    mark.set(named, "named")
    mark.clear()
    assert lost_states() == []


def test_records_are_frozen_in_a_snapshot(series_file):
    session = opened(series_file)
    record = run_of(session)
    session.add_run(replace(record, run_id="run", status="running"))
    snapshot = take_snapshot(session)
    assert [kept.run_id for kept in snapshot.runs] == ["ab12"], "a run that goes on is not a result"
    record.sweeps.clear()
    assert len(snapshot.runs[0].sweeps) == 2


def test_a_run_keeps_the_tilts_that_its_wedge_is_drawn_from(tmp_path):
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.project.run_store import RunStore

    for run_id, tilts in (("ab12", (-66.0, 60.5)), ("cd34", None)):
        record = RunRecord(run_id, ReconstructionConfig(), status="stopped", tilt_range_deg=tilts)
        RunStore(tmp_path).save(record)
        assert RunStore(tmp_path).load(run_id)[0].tilt_range_deg == tilts
    path = RunStore(tmp_path).folder("ab12") / "run.json"
    told = json.loads(path.read_text())
    del told["tilt_range_deg"]  # as it was written before
    path.write_text(json.dumps(told))
    assert RunStore(tmp_path).load("ab12")[0].tilt_range_deg is None
