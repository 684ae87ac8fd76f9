from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

sys.path.insert(0, str(Path(__file__).parent))
from _steps import noisy_series, until_idle  # noqa: E402

from napari_phaset3m.gui.prepare.motion_view import MotionView  # noqa: E402
from napari_phaset3m.gui.prepare.panel import PreparePanel  # noqa: E402
from napari_phaset3m.gui.prepare.work import PREVIEW  # noqa: E402
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel  # noqa: E402
from napari_phaset3m.gui.steps.driver import step_driver_for  # noqa: E402
from napari_phaset3m.gui.steps.events import Job  # noqa: E402
from napari_phaset3m.prepare.events import Done, Progress  # noqa: E402
from napari_phaset3m.prepare.motion.config import MotionConfig  # noqa: E402
from napari_phaset3m.prepare.motion.correct import iterate_motion  # noqa: E402
from napari_phaset3m.prepare.motion.movie import ArrayMovie  # noqa: E402
from napari_phaset3m.prepare.steps import STEPS  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def panel(qtbot, viewer):
    made = PreparePanel(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    driver = step_driver_for(session_for(viewer))
    driver.stop()
    qtbot.waitUntil(lambda: not driver.busy, timeout=20_000)


def names(session) -> list[str]:
    return [state.name for state in session.history.states]


def test_without_a_series_it_says_why_not(panel):
    assert not panel.run.isEnabled() and "Open a tilt series first" in panel.run.toolTip()
    assert not panel.after.isEnabled() and "Open a tilt series first" in panel.after.toolTip()
    panel._session.series = noisy_series()
    assert panel.run.toolTip() == "Tick a step first"


def test_ticked_steps_run_in_order_and_are_undone(qtbot, panel):
    session = panel._session
    before = session.series = noisy_series()
    for name in ("taper", "bin"):
        qtbot.mouseClick(panel.rows[name].tick, Qt.MouseButton.LeftButton)
    assert panel.run.text() == "Run 2 steps" and panel.run.toolTip() == "Fourier bin, then Soft edge"
    qtbot.mouseClick(panel.run, Qt.MouseButton.LeftButton)
    until_idle(qtbot, session)
    # 16 px of taper are more than half of a binned image of 16 px: the first step stays, the second is told
    assert names(session) == ["Opened", "Fourier bin"] and "Soft edge · Width: " in panel.bar.note.text()
    assert session.series.image_shape == (16, 16) and session.series.pixel_size_angstrom == 1.0
    assert [entry["step"] for entry in session.series.metadata["history"]] == ["bin"]
    panel.history.undo.click()
    assert session.series is before and panel.history.list.currentRow() == 0
    panel.history.redo.click()
    assert session.series.image_shape == (16, 16)
    assert not panel.history.redo.isEnabled() and panel.history.redo.toolTip() == "Nothing to redo"


def test_preview_follows_image_and_parameters(qtbot, panel, viewer):
    session = panel._session
    session.series = noisy_series()
    panel.rows["bin"].heading.click()
    work = panel.work
    qtbot.waitUntil(lambda: work.publisher.layer(PREVIEW) is not None, timeout=10_000)
    layer = work.publisher.layer(PREVIEW)
    assert layer.data.shape == (16, 16) and tuple(layer.scale) == (1.0, 1.0)
    entry, config = STEPS["bin"], work.configs["bin"]
    np.testing.assert_allclose(layer.data, entry.preview(session.series, config, *session.shown_image))
    old = layer.data
    panel.nav.tilt.setValue(4)
    qtbot.waitUntil(lambda: layer.data is not old, timeout=10_000)
    np.testing.assert_allclose(layer.data, entry.preview(session.series, config, 4, 0))
    panel.rows["bin"].form.editors["factor"].widget.setValue(4)
    qtbot.waitUntil(lambda: layer.data.shape == (8, 8), timeout=10_000)
    panel.before.click()
    assert not layer.visible and viewer.layers[0].visible
    panel.rows["bin"].heading.click()
    assert work.publisher.layer(PREVIEW) is None and viewer.layers[0].visible


def test_a_refused_parameter_is_told_in_place(qtbot, panel):
    panel._session.series = noisy_series()
    panel.rows["crop"].heading.click()
    form = panel.rows["crop"].form
    line = form.editors["region_px"].widget
    line.setText("1, 2, three, 4")
    line.editingFinished.emit()
    assert not form.problem.isHidden() and "Region: must" in form.problem.text()
    line.setText("4, 6, 16, 20")
    line.editingFinished.emit()
    assert form.problem.isHidden() and panel.work.configs["crop"].region_px == (4, 6, 16, 20)
    qtbot.waitUntil(lambda: panel.work.publisher.layer(PREVIEW) is not None, timeout=10_000)
    assert panel.work.publisher.layer(PREVIEW).data.shape == (16, 20)


def test_rectangle_is_drawn_on_the_image(panel, viewer):
    panel._session.series = noisy_series()
    row = panel.rows["crop"]
    row.heading.click()
    row.draw_button.click()
    assert panel.work.configs["crop"].region_px == (8, 8, 16, 16)
    shapes = viewer.layers[-1]
    assert {str(unit) for unit in shapes.units} == {"angstrom"}
    shapes.data = [np.array([[1.5, 3.5], [1.5, 23.5], [11.5, 23.5], [11.5, 3.5]])]
    assert panel.work.configs["crop"].region_px == (2, 4, 10, 20)
    assert row.form.editors["region_px"].widget.text() == "2, 4, 10, 20"
    row.heading.click()
    assert [layer.name for layer in viewer.layers] == ["Images · noisy"]


def slow_job(seconds: float = 10.0, log: list | None = None):
    def events(series, control):
        try:
            for i in range(200):
                time.sleep(seconds / 200)
                yield Progress(f"image {i}", i / 200)
                if control.finish_requested():
                    break
            yield Done(series.replace(energy_ev=1e5))
        finally:
            if log is not None:
                log.append("closed")

    return Job("Slow", events)


def test_pause_stop_and_finish(qtbot, panel):
    session, driver = panel._session, panel.driver
    session.series = before = noisy_series()
    log: list[str] = []
    taken = []

    def take(name, done):
        taken.append(name)
        session.apply(done.series, name)

    driver.start("prepare", "Slow work", [slow_job(log=log), slow_job(log=log)], take)
    assert not driver.start("prepare", "Another", [slow_job()], take), "one job at a time"
    qtbot.waitUntil(lambda: driver.update is not None, timeout=10_000)
    assert panel.bar.controls.isVisible() and not panel.history.list.isEnabled()
    assert "Slow work is running" in panel.why_not()
    reconstruct = ReconstructPanel(session, panel._viewer)
    qtbot.addWidget(reconstruct)
    assert "Slow work is running" in reconstruct.start.toolTip() and not reconstruct.start.isEnabled()
    panel.bar.pause.click()
    qtbot.wait(400)
    paused_at = driver.update.progress.text
    qtbot.wait(400)
    assert driver.update.progress.text == paused_at and panel.bar.pause.text() == "Resume"
    panel.bar.stop.click()
    until_idle(qtbot, session)
    assert session.series is before and not taken and log == ["closed"]
    assert panel.bar.note.text() == "Stopped; nothing was changed"
    driver.start("prepare", "Slow work", [slow_job(), slow_job()], take)
    qtbot.waitUntil(lambda: driver.update is not None, timeout=10_000)
    panel.bar.finish.click()
    until_idle(qtbot, session)
    assert taken == ["Slow"] and session.series.energy_ev == 1e5, "the second job is left out"


def test_reopened_panel_finds_the_job(qtbot, viewer):
    session = session_for(viewer)
    session.series = noisy_series()
    first = PreparePanel(viewer)
    first.driver.start("prepare", "Slow work", [slow_job()], lambda name, done: None)
    qtbot.waitUntil(lambda: first.driver.update is not None, timeout=10_000)
    first.close()
    first.deleteLater()
    qtbot.wait(50)
    again = PreparePanel(viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.bar.controls.isVisible() and "Slow" in again.bar.text.text()
    again.bar.stop.click()
    until_idle(qtbot, session)


def test_a_job_ends_when_another_series_is_opened(qtbot, panel):
    session, driver = panel._session, panel.driver
    session.series = noisy_series()
    taken = []
    driver.start("prepare", "Slow work", [slow_job(600.0)], lambda name, done: taken.append(name))
    qtbot.waitUntil(lambda: driver.update is not None, timeout=10_000)
    session.series = session.series.replace(energy_ev=2e5)
    assert driver.busy and not panel.bar.note.text(), "an edit is no other series"
    session.series = noisy_series(n=16)
    told = "Another series was opened: Slow work of the one before was stopped"
    assert panel.bar.note.text() == told
    until_idle(qtbot, session)
    assert not taken and panel.bar.note.text() == told and panel.bar.note.isVisible()
    assert driver.start("prepare", "Work", [slow_job(0.1)], lambda name, done: taken.append(name))
    until_idle(qtbot, session)
    assert len(taken) == 1


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("cuda")])
def test_a_crash_is_told_and_the_next_job_runs(qtbot, panel, error, monkeypatch):
    from napari.utils.notifications import notification_manager

    session, driver = panel._session, panel.driver
    session.series = noisy_series()
    told = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *a: told.append(a))

    def failing(series, control):
        yield Progress("begin", 0.0)
        raise error

    driver.start("prepare", "Failing", [Job("Failing", failing)], lambda name, done: None)
    until_idle(qtbot, session)
    assert str(error) in panel.bar.note.text()
    panel.rows["pad"].tick.click()
    panel.run.click()
    until_idle(qtbot, session)
    assert names(session) == ["Opened", "Pad"] and panel.bar.note.text() == "Done: Pad"


def test_what_a_step_found_is_told(qtbot, panel):
    session = panel._session
    series = noisy_series()
    images = np.array(series.images)
    images[..., 5, 7] += 50
    session.series = series.replace(images=images)
    panel.rows["outliers"].tick.click()
    panel.run.click()
    until_idle(qtbot, session)
    found = "1 hot, 0 dead pixels, 0 of X-ray hits"
    assert panel.bar.note.text() == f"Done: Hot pixels and spikes ({found})"
    assert panel.history.list.item(1).toolTip() == found
    session.apply(session.series.replace(tilt_deg=session.series.tilt_deg + 1), "Tilt angles edited")
    assert panel.history.list.item(2).toolTip() == ""
    for name in ("outliers", "pad"):
        panel.rows[name].tick.click()
    panel.run.click()
    until_idle(qtbot, session)
    assert panel.bar.note.text() == "Done: Hot pixels and spikes, Pad", "no more lines than there is room for"


def test_what_was_said_of_a_step_goes_when_the_step_is_taken_back(qtbot, panel):
    session = panel._session
    session.series = noisy_series()
    panel.rows["pad"].tick.click()
    panel.run.click()
    until_idle(qtbot, session)
    assert panel.bar.note.text() == "Done: Pad" and panel.driver.last_said[1] == "Done: Pad"
    panel.history.undo.click()
    assert panel.bar.note.text() == "" and panel.driver.last_said[1] == ""
    panel.history.redo.click()
    assert panel.bar.note.text() == ""


def test_two_viewers_do_not_meet(qtbot, panel):
    other = napari_components.ViewerModel()
    second = PreparePanel(other)
    qtbot.addWidget(second)
    panel._session.series = noisy_series()
    panel.rows["pad"].tick.click()
    panel.run.click()
    until_idle(qtbot, panel._session)
    assert session_for(other).series is None and not second.work.chosen
    assert second.history.list.count() == 0


def test_before_and_after_the_last_step(qtbot, panel, viewer):
    session = panel._session
    before = session.series = noisy_series()
    assert not panel.before.isEnabled()
    panel.rows["pad"].tick.click()
    panel.run.click()
    until_idle(qtbot, session)
    panel.before.click()
    layer = panel.work.publisher.layer(PREVIEW)
    np.testing.assert_array_equal(layer.data, before.images[0, 0])
    assert layer.visible and not viewer.layers[0].visible and "Last step: Pad" in panel.preview_text.text()
    panel.nav.tilt.setValue(2)
    np.testing.assert_array_equal(layer.data, before.images[2, 0])
    panel.after.click()
    assert panel.work.publisher.layer(PREVIEW) is None and viewer.layers[0].visible


def test_motion_of_movies_shows_its_drift(qtbot, panel, tmp_path):
    import mrcfile

    rng = np.random.default_rng(5)
    specimen = rng.normal(20, 8, (96, 96)).clip(1)
    drift = np.array([(0, 0), (1, 2), (2, 4), (3, 6)])
    movies = []
    for number in range(2):
        frames = np.stack([np.roll(specimen, tuple(d), (0, 1)) for d in drift])
        path = tmp_path / f"movie{number}.mrc"
        with mrcfile.new(path) as file:
            file.set_data(rng.poisson(frames)[:, 16:80, 16:80].astype(np.int16))
            file.voxel_size = 0.5
        movies.append([{"path": str(path)}])
    session = panel._session
    series = noisy_series(n=64, n_tilt=2, n_focus=1)
    session.series = series.replace(metadata={**series.metadata, "movies": movies})
    panel.rows["motion"].tick.click()
    panel.run.click()
    until_idle(qtbot, session, 60_000)
    assert panel.work.motion, panel.bar.note.text()
    view = MotionView(session, panel.work)
    qtbot.addWidget(view)
    x = next(curve for curve in view.drift._curves if curve.name == "x track")
    np.testing.assert_allclose(x.y, drift[:, 1], atol=0.2)
    assert "over 4 frames" in view.text.text() and view.after.image.image is not None
    session.undo()
    assert not np.may_share_memory(session.series.images, session.history.states[1].series.images)


def test_motion_has_rows_for_the_gain_and_eer(panel):
    row = panel.rows["motion"]
    row.heading.click()
    for path, value in (("gain_rotate", 3), ("gain_flip", "up-down"), ("gain_mode", "divide"),
                        ("eer_upsampling", 2), ("eer_group", 20)):  # fmt: skip
        assert getattr(panel.work.configs["motion"], path) == "auto"
        row.form.type_value(path, value)
        assert row.refused == "" and getattr(panel.work.configs["motion"], path) == value
    assert row.form.editors["eer_group"].row.label == "EER frames per fraction"


def test_a_movie_without_a_drift_says_why(qtbot, panel):
    noise = np.random.default_rng(0).poisson(1, (6, 128, 128)).astype(np.uint8)
    *_, result = iterate_motion(ArrayMovie(noise), MotionConfig(patches=1))
    session = panel._session
    session.series = noisy_series(n=64, n_tilt=2, n_focus=1)
    panel.work.motion = {(0, 0): result.as_dict()}
    session.shown_image = (0, 0)
    view = MotionView(session, panel.work)
    qtbot.addWidget(view)
    assert view.text.text().startswith("No drift over 6 frames\nNo drift is applied: along none within")
    assert all(not np.any(curve.y) for curve in view.drift._curves)


def test_deleted_layers_come_back(qtbot, panel, viewer):
    panel._session.series = noisy_series()
    panel.rows["bin"].heading.click()
    qtbot.waitUntil(lambda: panel.work.publisher.layer(PREVIEW) is not None, timeout=10_000)
    viewer.layers.clear()
    panel.nav.tilt.setValue(1)
    qtbot.waitUntil(lambda: panel.work.publisher.layer(PREVIEW) is not None, timeout=10_000)
    panel.rows["bin"].heading.click()
    assert [layer.name for layer in viewer.layers] == ["Images · noisy"] and viewer.layers[0].visible


def test_closing_the_window_stops_what_runs(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    made = PreparePanel(viewer)
    viewer.window.add_dock_widget(made, name="Prepare (PhaseT3M)", area="right")
    session = session_for(viewer)
    session.series = noisy_series()
    qtbot.waitUntil(made.isVisible, timeout=10_000)
    log: list[str] = []
    driver = made.driver
    driver.start("prepare", "Slow work", [slow_job(30.0, log=log)], lambda name, done: None)
    qtbot.waitUntil(lambda: driver.update is not None, timeout=10_000)
    viewer.window.remove_dock_widget(made)
    qtbot.wait(100)
    assert driver.busy, "closing the panel does not touch the job"
    window = viewer.window._qt_window
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(window), "_save_current_window_settings", lambda self: None)
        viewer.close()
    qtbot.waitUntil(lambda: log == ["closed"], timeout=10_000)
    qtbot.waitUntil(lambda: not driver.busy, timeout=10_000)
    made.deleteLater()


def test_an_entry_that_waits_for_another_counts_once_that_is_given(qtbot, panel):
    panel._session.series = noisy_series()
    row = panel.rows["normalise"]
    row.heading.click()
    level = row.form.editors["level"].widget
    level.setCurrentIndex(level.findText("region"))
    assert row.refused.startswith("Region: is needed for Level = region")
    qtbot.mouseClick(row.tick, Qt.MouseButton.LeftButton)
    # what is shown is not what would be run
    assert not panel.run.isEnabled() and panel.run.toolTip().startswith("Normalise: Region: is needed")
    panel._on_drawn("normalise", (2, 3, 8, 9))
    config = panel.work.configs["normalise"]
    assert (config.level, config.region_px) == ("region", (2, 3, 8, 9)) and not row.refused
    assert level.currentText() == "region" and panel.run.isEnabled()
    line = row.form.editors["region_px"].widget
    line.setText("-1,0,8,8")
    line.editingFinished.emit()
    assert row.refused.startswith("Region: must be 4 whole numbers") and not panel.run.isEnabled()
    line.setText("0,0,8,8")
    line.editingFinished.emit()
    assert panel.work.configs["normalise"].region_px == (0, 0, 8, 8) and panel.run.isEnabled()


def test_errors_name_what_the_panel_shows_and_go_once_it_is_mended(qtbot, panel):
    session = panel._session
    session.series = noisy_series()
    row = panel.rows["crop"]
    row.heading.click()
    row.form.type_value("region_px", (0, 0, 400, 400))
    qtbot.waitUntil(lambda: "reaches out of the image" in panel.preview_text.text(), timeout=10_000)
    assert panel.preview_text.text().startswith("Crop · Region: 0,0,400,400 reaches out")
    qtbot.mouseClick(row.tick, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.run, Qt.MouseButton.LeftButton)
    until_idle(qtbot, session)
    assert panel.bar.note.text().startswith("Preparation: Crop · Region: 0,0,400,400 reaches out")
    assert panel.preview_text.text() == panel.bar.note.text() == panel.before.toolTip(), "not “Unfold a step”"
    assert panel.preview_text.property("role") == "error"
    row.form.type_value("region_px", (4, 4, 16, 16))
    assert panel.bar.note.text() == ""
    assert panel.preview_text.text().startswith("Unfold a step")
    assert panel.preview_text.property("role") == "muted"
    panel.work.choose("crop", True)
    panel.run.click()
    until_idle(qtbot, session)
    assert session.history.can_undo, "mended, it is cropped"
    row.form.type_value("region_px", (0, 0, 400, 400))
    panel.work.choose("crop", True)
    panel.run.click()
    until_idle(qtbot, session)
    assert panel.preview_text.text().startswith("Preparation: Crop · Region"), "not “Last step: Crop”"
    assert panel.before.isEnabled(), "the step before it can still be compared"


def test_a_default_is_shown_with_all_its_digits(panel):
    row = panel.rows["dose"]
    row.heading.click()
    assert row.form.editors["b"].widget.value() == pytest.approx(-1.665)
    assert row.form.editors["b"].row.label == "Curve b"
