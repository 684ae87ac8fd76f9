"""Saving, reopening and recovering everything of a window, in a real napari window."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from qtpy.QtWidgets import QFileDialog  # noqa: E402

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.gui.layers.images import IMAGES  # noqa: E402
from napari_phaset3m.gui.project import driver as project_driver  # noqa: E402
from napari_phaset3m.gui.project.driver import project_for  # noqa: E402
from napari_phaset3m.gui.series.loader import loader_for  # noqa: E402
from napari_phaset3m.gui.workspace import Workspace  # noqa: E402
from napari_phaset3m.io.series import save_series  # noqa: E402
from napari_phaset3m.project import ProjectStore  # noqa: E402
from napari_phaset3m.project.recovery import recovery_folder, unnamed_project  # noqa: E402
from napari_phaset3m.series_identity import is_of_open_series  # noqa: E402
from napari_phaset3m.session import RunRecord, session_for  # noqa: E402

WAIT = 30_000
N = 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHASET3M_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(project_driver, "DELAY_MS", 50)


@pytest.fixture
def series_file(tmp_path):
    y, x = np.indices((N, N)) - (N - 1) / 2
    blob = np.exp(-(x**2 + y**2) / 8)
    series = TiltFocalSeries(
        images=np.stack([[1 - 0.1 * blob, 1 - 0.2 * blob]] * 3),
        tilt_deg=[-20.0, 0.0, 20.0],
        pixel_size_angstrom=0.8,
        energy_ev=300e3,
        defocus_angstrom=[300.0, 600.0],
        spherical_aberration_angstrom=1e7,
    )
    return save_series(series, tmp_path / "blob.h5")


@pytest.fixture
def windows(make_napari_viewer, qtbot):
    """Makes (viewer, workspace, session, project) of a new window."""
    made = []

    def make():
        viewer = make_napari_viewer()
        workspace = Workspace(viewer)
        viewer.window.add_dock_widget(workspace, name="Workspace (PhaseT3M)", area="right")
        session = session_for(viewer)
        session.device = "cpu"
        qtbot.waitUntil(lambda: workspace._views is not None, timeout=WAIT)
        made.append(project_for(session, viewer))
        return viewer, workspace, session, made[-1]

    yield make
    for project in made:
        qtbot.waitUntil(lambda p=project: not p.working, timeout=WAIT)
        project._closed = True
        project._timer.stop()
        project._release()


def load(qtbot, session, path):
    loader_for(session).load(path)
    qtbot.waitUntil(lambda: session.series is not None, timeout=WAIT)


def add_run(session, run_id="ab12", **more):
    z, y, x = np.indices((N, N, N)) - (N - 1) / 2
    volume = np.exp(-(x**2 + y**2 + z**2) / 9).astype(np.float32)
    values = {"status": "finished", "volume": volume, "voxel_size_angstrom": 0.8, "reason": "sweeps",
              "series_name": session.series_name, "source": session.source(), "device": "CPU"}  # fmt: skip
    record = RunRecord(run_id, session.config, **{**values, **more})
    session.add_run(record)
    return record


def settled(qtbot, project):
    qtbot.waitUntil(lambda: not (project.working or project.dirty) and project.saved_at != "", timeout=WAIT)


def save_as(qtbot, project, folder):
    project.save_as(folder)
    qtbot.waitUntil(lambda: project.folder == folder and not project.working, timeout=WAIT)
    settled(qtbot, project)


def reopen(qtbot, project, folder, **more):
    with qtbot.waitSignal(project.opened, timeout=WAIT) as caught:
        project.open(folder, **more)
    qtbot.wait(50)
    return caught.args[0]


def test_layers_view_and_panels_come_back(qtbot, windows, series_file, tmp_path):
    from napari_phaset3m.gui.reconstruct.driver import driver_for

    viewer, workspace, session, project = windows()
    load(qtbot, session, series_file)
    session.config = ReconstructionConfig(method="sirt", iterations=3)
    session.series = session.series.replace(shifts_px=np.full((3, 2, 2), 0.25))
    record = add_run(session)
    driver_for(session, viewer).show(record)
    viewer.add_points(
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        name="Picked",
        size=3,
        face_color="red",
        scale=(0.8,) * 3,
        units="angstrom",
    )
    viewer.add_shapes(
        [np.array([[0, 0], [0, 3], [3, 3]])], shape_type="polygon", name="Area", units="angstrom"
    )
    layer = driver_for(session, viewer).publisher.layer("ab12")
    layer.rendering, layer.opacity, layer.contrast_limits, layer.colormap = (
        "attenuated_mip",
        0.7,
        (0.1, 0.9),
        "magma",
    )
    layer.name = "My particle"
    viewer.layers["Picked"].visible = False
    workspace.show_step("Align")
    workspace.panel("Align").work.config = workspace.panel("Align").work.config.model_copy(update={"seed": 5})
    workspace.show_step("Mask")
    mask_work = workspace.panel("Mask")._work
    qtbot.waitUntil(lambda: mask_work.result is not None and not mask_work.busy, timeout=WAIT)
    session.mask = mask_work.result.mask
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles, viewer.scene.camera.zoom = (10.0, 20.0, 30.0), 7.5
    workspace._views.tabs.setCurrentIndex(2)
    names = [found.name for found in viewer.layers]
    folder = tmp_path / "mine.phaset3m"
    save_as(qtbot, project, folder)
    assert project.name == "mine" and (folder / "lock.json").exists()
    qtbot.waitUntil(lambda: not unnamed_project(project.token).exists(), timeout=WAIT)
    steps = [step.model_dump() for step in mask_work.steps]
    project.close_project()
    assert session.series is None and not session.runs and not len(viewer.layers)
    assert session.mask is None and not (folder / "lock.json").exists()
    # in another window
    viewer, workspace, session, project = windows()
    loaded = reopen(qtbot, project, folder)
    assert loaded.problems == ()
    again = workspace.panel("Mask")._work
    qtbot.waitUntil(lambda: again.result is not None and not again.busy, timeout=WAIT)
    qtbot.wait(50)
    assert [found.name for found in viewer.layers] == names
    layer = driver_for(session, viewer).publisher.layer("ab12")
    assert layer.name == "My particle" and layer.rendering == "attenuated_mip" and layer.opacity == 0.7
    assert tuple(layer.contrast_limits) == (0.1, 0.9) and layer.colormap.name == "magma"
    picked = viewer.layers["Picked"]
    assert not picked.visible and tuple(picked.scale) == (0.8,) * 3 and picked.size[0] == 3
    np.testing.assert_array_equal(picked.data, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(picked.face_color[0], [1, 0, 0, 1])
    assert viewer.layers["Area"].shape_type == ["polygon"]
    assert viewer.dims.ndisplay == 3 and viewer.scene.camera.zoom == 7.5
    np.testing.assert_allclose(viewer.scene.camera.angles, (10, 20, 30), atol=1e-6)
    assert workspace.step == "Mask" and workspace._views.tabs.currentIndex() == 2
    assert [step.model_dump() for step in again.steps] == steps
    assert session.mask is not None and session.config.method == "sirt"
    assert session.series.shifts_px[0, 0, 0] == 0.25 and session.series_path == series_file
    workspace.show_step("Align")
    assert workspace.panel("Align").work.config.seed == 5


def test_killed_in_a_run_it_shows_the_volume_before(qtbot, windows, series_file, tmp_path):
    from napari_phaset3m.gui.layers.volumes import publish_empty
    from napari_phaset3m.gui.project.layers import capture_layers
    from napari_phaset3m.gui.reconstruct.driver import driver_for

    viewer, _, session, project = windows()
    load(qtbot, session, series_file)
    publisher = driver_for(session, viewer).publisher
    driver_for(session, viewer).show(add_run(session))
    assert publisher.layer("ab12").visible and not publisher.layer(IMAGES).visible
    going = add_run(session, "cd34", status="running", volume=None)
    publish_empty(publisher, going, session.series)
    assert not publisher.layer("ab12").visible, "the run under way has the canvas"
    folder = tmp_path / "mine.phaset3m"
    save_as(qtbot, project, folder)
    assert not publisher.layer("ab12").visible, "saving changes nothing in the window"
    viewer2, _, session2, project2 = windows()
    reopen(qtbot, project2, folder)
    again = driver_for(session2, viewer2).publisher
    assert [r.run_id for r in session2.runs] == ["ab12"] and again.layer("ab12").visible
    # without a finished run there are the images
    publisher.remove("ab12")
    assert {layer.key: layer.state["visible"] for layer in capture_layers(session, publisher)}[IMAGES]


def test_saved_by_itself_and_offered_after_a_crash(qtbot, windows, series_file):
    _, workspace, session, project = windows()
    assert project.empty and not recovery_folder().exists(), "nothing to keep yet"
    load(qtbot, session, series_file)
    session.apply(session.series.replace(images=session.series.images * 1.5), "Normalise")
    record = add_run(session, series_mark=session.series_mark)
    assert record.source.path is None
    qtbot.waitUntil(
        lambda: project.saved_at != "" and not project.working and not project.dirty, timeout=WAIT
    )
    folder = unnamed_project(project.token)
    assert record.source.path is not None and record.source.path.parent == folder / "series"
    assert workspace.bar.state.text().startswith("Autosaved")
    # the process is gone without closing
    mark = recovery_folder() / f"{project.token}.json"
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "pid": done.pid}))
    project._closed = True
    _, second, session2, project2 = windows()
    qtbot.waitUntil(lambda: second.bar.notes.shown() != [], timeout=WAIT)
    (note,) = second.bar.notes.shown()
    assert "not closed properly" in note.text.text()
    with qtbot.waitSignal(project2.opened, timeout=WAIT):
        note.buttons[0].click()
    settled(qtbot, project2)
    np.testing.assert_array_equal(session2.series.images, session.series.images)
    assert [r.run_id for r in session2.runs] == ["ab12"]
    np.testing.assert_array_equal(session2.runs[0].volume, record.volume)
    assert session2.series_name == "blob.h5" == session2.runs[0].series_name, "not the name of the copy"
    assert is_of_open_series(session2, session2.runs[0]), "the copy's images are not those that were opened"
    assert not folder.exists() and not mark.exists() and unnamed_project(project2.token).exists()
    assert session2.runs[0].source.path.exists()


def test_closing_leaves_no_lock_and_keeps_the_unnamed_one_as_the_last(qtbot, windows, series_file, tmp_path):
    from napari_phaset3m.project.recovery import last_unnamed, lost_states

    _, _, session, project = windows()
    load(qtbot, session, series_file)
    add_run(session)
    settled(qtbot, project)
    project.close()
    qtbot.waitUntil(lambda: last_unnamed().exists(), timeout=WAIT)
    qtbot.waitUntil(lambda: not list(recovery_folder().glob("*.json")), timeout=WAIT)
    assert lost_states() == []
    _, workspace, session, project = windows()
    workspace.bar._on_menu()
    assert workspace.bar.actions_["Reopen last unnamed"].isEnabled()
    with qtbot.waitSignal(project.opened, timeout=WAIT):
        workspace.bar.actions_["Reopen last unnamed"].trigger()
    assert len(session.runs) == 1 and project.folder is None
    settled(qtbot, project)
    save_as(qtbot, project, tmp_path / "now.phaset3m")
    assert session.series_name == "blob.h5"
    session.config = ReconstructionConfig(iterations=9)
    project.close()
    qtbot.waitUntil(lambda: not (tmp_path / "now.phaset3m" / "lock.json").exists(), timeout=WAIT)
    assert ProjectStore(tmp_path / "now.phaset3m").load().project.config.iterations == 9


def test_opened_twice_is_read_only_until_taken_over(qtbot, windows, series_file, tmp_path):
    _, _, session, project = windows()
    load(qtbot, session, series_file)
    folder = tmp_path / "p.phaset3m"
    save_as(qtbot, project, folder)
    _, second, session2, project2 = windows()
    reopen(qtbot, project2, folder)
    assert project2.read_only and second.bar.state.text() == "Read-only"
    (note,) = second.bar.notes.shown()
    assert "is open in another window" in note.text.text()
    before = (folder / "project.json").read_bytes()
    session2.config = ReconstructionConfig(iterations=5)
    project2.save()
    qtbot.wait(200)
    assert (folder / "project.json").read_bytes() == before and "reading only" in project2.why_not_save()
    note.buttons[0].click()
    settled(qtbot, project2)
    assert ProjectStore(folder).load().project.config.iterations == 5


def test_moved_series_is_found_again_by_the_user(qtbot, windows, series_file, tmp_path, monkeypatch):
    _, _, session, project = windows()
    load(qtbot, session, series_file)
    add_run(session)
    folder = tmp_path / "p.phaset3m"
    save_as(qtbot, project, folder)
    project.close_project()
    (tmp_path / "far").mkdir()
    moved = Path(series_file).rename(tmp_path / "far" / "else.h5")
    _, workspace, session, project = windows()
    reopen(qtbot, project, folder)
    assert session.series is None and len(session.runs) == 1
    (note,) = workspace.bar.notes.shown()
    assert note.text.text().startswith("blob.h5 is not at")
    wrong = save_series(
        TiltFocalSeries(
            images=np.ones((3, 2, N, N)), tilt_deg=[0, 1, 2], pixel_size_angstrom=1, energy_ev=1e5
        ),
        tmp_path / "wrong.h5",
    )
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(wrong), ""))
    with qtbot.waitSignal(project.said, timeout=WAIT) as caught:
        workspace.bar.actions_["Find series…"].trigger()
    assert "other images" in caught.args[0] and len(session.runs) == 1
    qtbot.waitUntil(lambda: not project.working, timeout=WAIT)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(moved), ""))
    with qtbot.waitSignal(project.opened, timeout=WAIT):
        workspace.bar.actions_["Find series…"].trigger()
    assert session.series is not None and session.series_path == moved
    project.touch()
    settled(qtbot, project)
    assert ProjectStore(folder).load().path == moved


def test_saving_that_fails_is_told_and_tried_again(qtbot, windows, series_file, tmp_path, monkeypatch):
    from napari_phaset3m.errors import OutputError
    from napari_phaset3m.project import store

    _, workspace, session, project = windows()
    load(qtbot, session, series_file)
    folder = tmp_path / "p.phaset3m"
    save_as(qtbot, project, folder)
    good = store.write_project

    def gone(*args):
        raise OutputError("p.phaset3m: cannot be written (No such device). Choose another place")

    monkeypatch.setattr(store, "write_project", gone)
    monkeypatch.setattr(project_driver, "RETRY_MS", 100)
    session.config = ReconstructionConfig(iterations=5)
    qtbot.waitUntil(lambda: project.error != "" and not project.working, timeout=WAIT)
    assert workspace.bar.state.text() == "Not saved" and "No such device" in project.error
    monkeypatch.setattr(store, "write_project", good)
    settled(qtbot, project)
    assert project.error == "" and ProjectStore(folder).load().project.config.iterations == 5


def test_newer_and_damaged_projects_leave_the_window_as_it_is(qtbot, windows, series_file, tmp_path):
    _, workspace, session, project = windows()
    load(qtbot, session, series_file)
    for name, text in (("new", '{"program": "napari-phaset3m", "format": 7}'), ("bad", "{")):
        (tmp_path / f"{name}.phaset3m").mkdir()
        (tmp_path / f"{name}.phaset3m" / "project.json").write_text(text)
        with qtbot.waitSignal(project.said, timeout=WAIT):
            project.open(tmp_path / f"{name}.phaset3m")
        assert session.series is not None and session.series_path == series_file
        line = workspace.bar.notes.shown()[-1].text.text()
        assert ("Update napari-phaset3m" if name == "new" else "is damaged") in line and "\n" not in line


def test_nothing_is_opened_while_a_run_goes_on(qtbot, windows, tmp_path):
    _, workspace, session, project = windows()
    session.add_run(RunRecord("r", ReconstructionConfig(), status="running"))
    session.active_run = "r"
    workspace.bar._on_menu()
    for title in ("Open project…", "New project"):
        action = workspace.bar.actions_[title]
        assert not action.isEnabled() and "running" in action.toolTip()
    project.open(tmp_path)
    assert "running" in project.error and project.working == ""
    session.update_run("r", status="stopped")
    session.active_run = None


def test_errors_do_not_pile_up_and_go_when_saving_works_again(qtbot, windows, series_file, tmp_path):
    """Four of them made the window taller than a small screen."""
    _, workspace, session, project = windows()
    load(qtbot, session, series_file)
    folder = tmp_path / "p.phaset3m"
    save_as(qtbot, project, folder)
    shown = workspace.bar.notes.shown
    for place in ("nowhere", "neither"):
        project.save_as(tmp_path / place / "x.phaset3m")
        qtbot.waitUntil(lambda p=place: any(p in note.text.text() for note in shown()), timeout=WAIT)
        assert len(shown()) == 1 and shown()[0].text.text().startswith("Not saved")
    shutil.rmtree(folder)  # an unplugged disk that comes back empty
    project.save()
    qtbot.waitUntil(lambda: (folder / "project.json").exists() and not shown(), timeout=WAIT)
    assert (folder / "lock.json").exists() and not project.error
