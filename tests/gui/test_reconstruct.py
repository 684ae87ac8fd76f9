from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qtpy")
sys.path.insert(0, str(Path(__file__).parent))
from _fake import FakeSolver, small_series

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import DataError, ResourceError
from napari_phaset3m.gui.layers.publisher import METADATA_KEY
from napari_phaset3m.gui.plots.error_curve import ErrorPlot
from napari_phaset3m.gui.reconstruct import forecast_line
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel
from napari_phaset3m.gui.runs.view import RunsView
from napari_phaset3m.io.series import load_series
from napari_phaset3m.jobs import runner as runner_module
from napari_phaset3m.session import session_for

WAIT = 60_000


@dataclass
class FakeForecast:
    memory_bytes: int = 200_000_000
    seconds_per_sweep: float = 0.5
    n_steps: int = 5
    volume_shape: tuple[int, int, int] = (16, 16, 16)
    slices: int = 8
    available_bytes: int = 8_000_000_000
    notes: tuple[str, ...] = ()


@pytest.fixture
def fake(monkeypatch):
    solver = FakeSolver()
    monkeypatch.setattr(runner_module, "open_events", solver)
    monkeypatch.setattr(forecast_line, "forecast_of", lambda *a: FakeForecast())
    return solver


@pytest.fixture
def viewer(qtbot):
    from napari.components import ViewerModel

    model = ViewerModel()
    yield model
    driver = session_for(model).attachments.get("driver")
    if driver is not None:
        driver.stop()
        qtbot.waitUntil(lambda: not driver.busy, timeout=WAIT)


@pytest.fixture
def panel(qtbot, viewer, fake):
    session_for(viewer).series = small_series()
    session_for(viewer).device = "cpu"
    widget = ReconstructPanel(session_for(viewer), viewer)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def run_to_end(qtbot, panel):
    panel.start.click()
    assert panel._session.active_run is not None
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    return panel._session.runs[-1]


def volumes(viewer):
    return [la for la in viewer.layers if la.metadata.get(METADATA_KEY, {}).get("role") == "volume"]


def until_picture(qtbot, viewer):
    def seen():
        return [la.metadata[METADATA_KEY]["stage"] for la in volumes(viewer)] == ["running"]

    qtbot.waitUntil(seen, timeout=WAIT)


def test_no_data_says_why(qtbot, viewer, fake):
    widget = ReconstructPanel(session_for(viewer), viewer)
    qtbot.addWidget(widget)
    assert not widget.start.isEnabled() and "Open a tilt series" in widget.start.toolTip()
    assert widget.pause.toolTip() == "Nothing is running"
    assert widget.maximumWidth() <= 360
    session_for(viewer).series = small_series()
    assert widget.start.isEnabled()


def test_run_finishes_and_shows_the_full_volume_with_units(qtbot, panel, viewer):
    record = run_to_end(qtbot, panel)
    assert record.status == "finished" and len(record.sweeps) == 4
    (layer,) = volumes(viewer)
    assert layer.data is record.volume and layer.metadata[METADATA_KEY]["stage"] == "final"
    assert [f"{u}" for u in layer.units] == ["angstrom"] * 3
    assert tuple(layer.scale) == (0.5,) * 3 and tuple(layer.translate) == pytest.approx((-3.75,) * 3)
    assert viewer.dims.ndisplay == 3 and record.layer_names == [layer.name]
    assert panel.start.isEnabled() and "4 sweeps" in panel.numbers.text()


def test_what_a_run_had_to_change_is_told_and_kept(qtbot, panel, fake):
    fake.note = "GPU memory is short: 2 tilts at a time from here on"
    fake.outcome = "the volume fits worse than an empty one"
    record = run_to_end(qtbot, panel)
    assert record.notes == ("a note", *[fake.note] * 4, fake.outcome)


def test_twice_in_a_row_gives_two_layers(qtbot, panel, viewer):
    first, second = run_to_end(qtbot, panel), run_to_end(qtbot, panel)
    assert first.run_id != second.run_id
    assert [la.metadata[METADATA_KEY]["run_id"] for la in volumes(viewer)] == [first.run_id, second.run_id]


def test_runtime_error_surfaces_and_the_panel_works_again(qtbot, panel, fake, monkeypatch):
    from napari.utils.notifications import notification_manager

    told = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *a: told.append(a))
    fake.fail_at = (1, RuntimeError("CUDA went away"))
    record = run_to_end(qtbot, panel)
    assert record.status == "failed" and "CUDA went away" in record.error
    assert "CUDA went away" in panel.error.text() and panel.start.isEnabled()
    assert fake.closed and "MainThread" not in fake.closed
    fake.fail_at = None
    assert run_to_end(qtbot, panel).status == "finished"
    assert not panel.error.isVisibleTo(panel)


def test_users_error_is_inline_and_names_the_field(qtbot, panel, fake):
    fake.fail_at = (0, DataError("is missing", field="defocus_values", remedy="Type it in the Series panel"))
    record = run_to_end(qtbot, panel)
    assert record.status == "failed" and panel.error.text().startswith("Failed: Defocus is missing")
    assert "Series step" in panel.error.text()


def test_forecast_problem_blocks_start_with_its_reason(qtbot, panel, monkeypatch):
    def refuse(*args):
        raise ResourceError("needs 9 GiB; use larger voxels (--voxel), a thinner box (--depth) or crop")

    monkeypatch.setattr(forecast_line, "forecast_of", refuse)
    panel._session.config = ReconstructionConfig(slices=5)
    qtbot.waitUntil(lambda: "larger voxels (“Voxel”)" in panel.error.text(), timeout=WAIT)
    assert not panel.start.isEnabled() and "(“Depth”)" in panel.start.toolTip()
    assert "--" not in panel.error.text()
    monkeypatch.setattr(forecast_line, "forecast_of", lambda *a: FakeForecast())
    panel._session.config = ReconstructionConfig(slices=6)
    qtbot.waitUntil(lambda: "16 × 16 × 16" in panel.forecast.text(), timeout=WAIT)
    assert panel.start.isEnabled()


def test_pause_resume_finish(qtbot, panel, fake):
    fake.n_sweeps, fake.step_seconds = 500, 0.01
    panel.start.click()
    session = panel._session
    qtbot.waitUntil(lambda: session.progress is not None, timeout=WAIT)
    panel.pause.click()
    qtbot.waitUntil(lambda: session.runs[-1].status == "paused", timeout=WAIT)
    assert panel.pause.text() == "Resume" and panel.finish.isEnabled()
    held = session.progress
    qtbot.wait(150)
    assert session.progress is held
    panel.pause.click()
    qtbot.waitUntil(lambda: session.progress is not held, timeout=WAIT)
    panel.finish.click()
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)
    assert session.runs[-1].status == "finished" and "finished early" in session.runs[-1].reason


@pytest.mark.parametrize("paused", [False, True])
def test_stop_keeps_the_last_preview(qtbot, panel, viewer, fake, paused):
    fake.n_sweeps = 1000
    panel.start.click()
    until_picture(qtbot, viewer)
    if paused:
        panel.pause.click()
        qtbot.waitUntil(lambda: panel._session.runs[-1].status == "paused", timeout=WAIT)
    panel.stop.click()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert panel._session.runs[-1].status == "stopped" and len(volumes(viewer)) == 1
    assert panel.start.isEnabled() and len(fake.closed) == 1


def test_the_layer_is_there_before_the_solver_runs(qtbot, panel, viewer, fake, monkeypatch):
    """Putting it in takes napari longer than a running run may be held up."""
    at_start = []
    inner = fake.__class__.__call__

    def opened(*args):
        at_start.append([la.metadata[METADATA_KEY]["stage"] for la in volumes(viewer)])
        return inner(fake, *args)

    panel._driver.publisher.visibility_changed.connect(lambda key: at_start.append(key))
    monkeypatch.setattr(runner_module, "open_events", opened)
    record = run_to_end(qtbot, panel)
    assert at_start == [record.run_id, ["empty"]]
    assert volumes(viewer)[0].data is record.volume


def test_stop_before_the_first_picture_takes_the_empty_layer_away(qtbot, panel, viewer, fake):
    panel.start.click()
    assert panel._session.active_run is not None and panel._driver.busy and not panel.start.isEnabled()
    assert panel._driver.start() is None, "one run at a time"
    panel.stop.click()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert panel._session.runs[-1].status == "stopped" and not volumes(viewer) and not fake.started
    assert "before the first picture" in panel.status.text()
    assert run_to_end(qtbot, panel).status == "finished"


def test_earlier_volumes_are_put_aside_for_a_run_and_come_back_when_it_shows_nothing(qtbot, panel, viewer):
    run_to_end(qtbot, panel)
    (first,) = volumes(viewer)
    panel.start.click()
    qtbot.waitUntil(lambda: len(volumes(viewer)) == 2 or not panel._driver.busy, timeout=WAIT)
    assert not first.visible
    panel.stop.click()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    shown = [layer.visible for layer in volumes(viewer)]
    assert shown == [True] or shown == [False, True]  # stopped before the first picture, or after it
    run_to_end(qtbot, panel)
    assert [layer.visible for layer in volumes(viewer)][-1] and not first.visible


def test_trouble_with_the_canvas_does_not_hang_the_run(qtbot, panel, monkeypatch):
    def broken(*args):
        raise OSError("no canvas")

    monkeypatch.setattr("napari_phaset3m.gui.reconstruct.pictures.publish_empty", broken)
    with qtbot.captureExceptions() as told:
        record = run_to_end(qtbot, panel)
    assert record.status == "finished" and [str(entry[1]) for entry in told] == ["no canvas"]


def test_worker_quit_ends_a_paused_run(qtbot, panel, fake):
    fake.n_sweeps = 1000
    panel.start.click()
    qtbot.waitUntil(lambda: panel._session.progress is not None, timeout=WAIT)
    panel.pause.click()
    qtbot.waitUntil(lambda: panel._session.runs[-1].status == "paused", timeout=WAIT)
    panel._driver._worker.quit()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert panel._session.runs[-1].status == "stopped"


def test_renamed_layer_is_updated_and_deleted_one_stays_away_until_the_end(qtbot, panel, viewer, fake):
    fake.n_sweeps = 1000
    panel.start.click()
    until_picture(qtbot, viewer)
    (layer,) = volumes(viewer)
    layer.name = "mine"
    data = layer.data
    qtbot.waitUntil(lambda: layer.data is not data, timeout=WAIT)
    assert volumes(viewer) == [layer] and layer.name == "mine"
    viewer.layers.remove(layer)
    qtbot.wait(700)
    assert not volumes(viewer)
    panel.finish.click()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert len(volumes(viewer)) == 1


def test_hidden_layer_is_not_touched_until_shown(qtbot, panel, viewer, fake):
    fake.n_sweeps = 1000
    panel.start.click()
    until_picture(qtbot, viewer)
    (layer,) = volumes(viewer)
    layer.visible = False
    data = layer.data
    qtbot.wait(800)
    assert layer.data is data
    layer.visible = True
    assert layer.data is not data


def test_contrast_belongs_to_the_user_once_touched(qtbot, panel, viewer, fake):
    fake.n_sweeps = 1000
    panel.start.click()
    until_picture(qtbot, viewer)
    (layer,) = volumes(viewer)
    layer.contrast_limits = (0.1, 0.2)
    panel.finish.click()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert tuple(layer.contrast_limits) == (0.1, 0.2)


def test_binned_previews_overlay_the_full_volume(qtbot, panel, viewer, fake):
    fake.n_sweeps, fake.bin = 1000, 2
    panel.start.click()
    until_picture(qtbot, viewer)
    (layer,) = volumes(viewer)
    low, high = layer.extent.world
    panel.finish.click()
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert layer.data.shape == (16, 16, 16)
    # edges (not centres) of first and last voxel coincide
    half = np.array([[-0.25], [0.25]])
    np.testing.assert_allclose(np.array([low - 0.5, high + 0.5]), layer.extent.world + half)


def test_reopened_panel_finds_the_run(qtbot, panel, viewer, fake):
    fake.n_sweeps = 1000
    panel.start.click()
    qtbot.waitUntil(lambda: panel._session.progress is not None, timeout=WAIT)
    panel.close()
    qtbot.wait(100)
    again = ReconstructPanel(session_for(viewer), viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.stop.isEnabled() and not again.start.isEnabled()
    qtbot.waitUntil(lambda: "Sweep" in again.numbers.text(), timeout=WAIT)
    again.stop.click()
    qtbot.waitUntil(lambda: again._session.active_run is None, timeout=WAIT)


def test_closing_the_window_stops_the_run(qtbot, viewer, fake):
    from qtpy.QtWidgets import QMainWindow

    session_for(viewer).series, session_for(viewer).device = small_series(), "cpu"
    fake.n_sweeps = 1000
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(ReconstructPanel(session_for(viewer), viewer))
    window.show()
    window.centralWidget().start.click()
    session = session_for(viewer)
    qtbot.waitUntil(lambda: session.progress is not None, timeout=WAIT)
    window.close()
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)
    assert session.runs[-1].status == "stopped"


def test_two_viewers_do_not_mix(qtbot, panel, viewer, fake):
    from napari.components import ViewerModel

    other = ViewerModel()
    session_for(other).series, session_for(other).device = small_series(), "cpu"
    second = ReconstructPanel(session_for(other), other)
    qtbot.addWidget(second)
    second.show()
    panel.start.click()
    second.start.click()
    for widget in (panel, second):
        qtbot.waitUntil(lambda w=widget: w._session.active_run is None, timeout=WAIT)
    assert len(volumes(viewer)) == len(volumes(other)) == 1
    assert len(session_for(other).runs) == 1


def test_live_off_shows_only_the_result(qtbot, panel, viewer, fake):
    panel.live.setChecked(False)
    fake.n_sweeps, fake.step_seconds = 20, 0.01
    panel.start.click()
    qtbot.wait(600)
    assert not volumes(viewer)
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    assert len(volumes(viewer)) == 1


def test_form_edits_the_one_model(qtbot, panel):
    editors = panel.form.editors
    editors["iterations"].widget.setValue(7)
    editors["constraints.tv_weight"].widget.setValue(0.05)
    assert panel._session.config.iterations == 7
    assert panel._session.config.constraints.tv_weight == pytest.approx(0.05)
    editors["iterations"].widget.setValue(0)
    assert panel._session.config.iterations == "auto"
    panel._session.config = ReconstructionConfig(method="sirt", voxel_angstrom=1.25)
    assert editors["method"].value() == "sirt" and editors["voxel_angstrom"].value() == 1.25
    assert not editors["slices"].widget.isEnabled() and "SIRT" in editors["slices"].widget.toolTip()
    panel._session.config = ReconstructionConfig(iterations=4000, voxel_angstrom=1234.5, seed=123456)
    shown = [editors[name].value() for name in ("iterations", "voxel_angstrom", "seed")]
    assert shown == [4000, 1234.5, 123456], "what is used is shown, however large"


def test_rows_of_a_method_are_shown_for_it_alone(qtbot, panel):
    from napari_phaset3m.reconstruct.methods import METHODS

    editors = panel.form.editors
    assert [value for _, value in editors["method"].row.choices] == list(METHODS)
    for method, entry in METHODS.items():
        panel._session.config = ReconstructionConfig(method=method)
        for path in ("relaxation", "fbp_filter", "wbp_weighting", "tv_strength", "projection"):
            assert editors[path].widget.isHidden() == (path not in entry.parameters), (method, path)


def test_runs_and_plots_follow(qtbot, panel, viewer, monkeypatch):
    from qtpy.QtWidgets import QMessageBox

    runs, plots = RunsView(session_for(viewer)), ErrorPlot(session_for(viewer))
    qtbot.addWidget(runs)
    qtbot.addWidget(plots)
    assert not runs.show_button.isEnabled() and runs.show_button.toolTip() == "Select a run first"
    record = run_to_end(qtbot, panel)
    used, held = plots._curves[record.run_id]
    assert len(used.xData) == len(held.xData) == 4
    assert runs.table.topLevelItemCount() == 1 and runs.selected() is record
    for layer in volumes(viewer):
        viewer.layers.remove(layer)
    runs.show_button.click()
    (layer,) = volumes(viewer)
    assert layer.metadata[METADATA_KEY]["stage"] == "final" and layer.metadata[METADATA_KEY]["unit"] == "V"
    asked = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *given: (asked.append(given), answers.pop(0))[1])
    runs.remove_button.click()
    assert runs.table.topLevelItemCount() == 1 and "Delete this run?" in asked[0][2]
    assert asked[0][4] == QMessageBox.StandardButton.No, "Return deletes nothing"
    runs.remove_button.click()
    assert runs.table.topLevelItemCount() == 0 and not plots._curves


def test_legend_names_only_curves_with_points(qtbot, panel, fake):
    plots = ErrorPlot(panel._session)
    qtbot.addWidget(plots)
    fake.held_out = False

    def legend():
        return [entry.text for _, entry in plots.legend.items]

    run_to_end(qtbot, panel)
    assert legend() == ["images used"]
    fake.held_out = True
    run_to_end(qtbot, panel)
    assert legend() == ["images used", "held out"]


def test_fourier_view_has_its_own_canvas_in_inverse_angstrom(qtbot, panel, viewer, fake):
    from napari_phaset3m.gui.fourier.view import FourierView

    view = FourierView(session_for(viewer))
    qtbot.addWidget(view)
    view.resize(400, 240)
    view.show()
    assert panel._session.watch_fourier
    run_to_end(qtbot, panel)
    qtbot.waitUntil(lambda: view.canvas is not None and view._shown is not None, timeout=WAIT)
    np.testing.assert_allclose(view.canvas.frequency_of((8, 8, 8)), 0.0, atol=1e-9)
    np.testing.assert_allclose(view.canvas.frequency_of((8, 8, 9)), (0, 0, 1 / (16 * 0.5)), atol=1e-9)
    assert all("log power" not in la.name for la in viewer.layers)
    for name in ("kx–kz", "ky–kz", "kx–ky", "3D"):
        view.view.setCurrentText(name)
        assert view.canvas.name == name and view.canvas._volume.visible == (name == "3D")
        picture = view.canvas.screenshot()[..., :3]
        used = np.flatnonzero(picture.max(axis=(1, 2)) > 40)
        assert len(used) > 0.6 * len(picture), f"{name}: framed too small"
        assert used[0] >= 0 and picture[:, [2, -3]].max() == 0, f"{name}: framed too large"
    view.rings.setChecked(False)
    assert not view.canvas.marks.rings.visible
    view.hide()
    assert not panel._session.watch_fourier
    view.release()


def test_presets_fill_the_form_and_say_why(qtbot, panel):
    from napari_phaset3m.gui.reconstruct.form import OWN
    from napari_phaset3m.presets import PRESETS, preset_config

    box, session = panel.form.preset, panel._session
    session.config = ReconstructionConfig(threads=2)
    assert box.currentText() == "Nanoparticle on carbon"
    index = box.findData("vitrified")
    box.setCurrentIndex(index)
    box.activated.emit(index)
    assert session.config == preset_config("vitrified", session.config) and session.config.threads == 2
    assert not panel.form.editors["constraints.positivity"].widget.isChecked()
    assert box.toolTip().replace("\n", " ") == PRESETS["vitrified"].why
    session.config = session.config.model_copy(update={"slices": 9})
    assert box.currentText() == OWN


def test_the_form_says_what_the_voxels_cannot_hold(qtbot, panel, monkeypatch):
    from napari_phaset3m.reconstruct.api import forecast

    monkeypatch.setattr(forecast_line, "forecast_of", forecast)
    session = panel._session
    session.config = session.config.model_copy(update={"voxel_angstrom": 1.0})
    said = "Voxels of 1 Å hold nothing finer than 2 Å"
    note = panel.forecast.note
    qtbot.waitUntil(lambda: said in note.text().replace("\u00a0", " "), timeout=WAIT)
    assert note.isVisible() and note.property("role") == "warning" and panel.start.isEnabled()
    session.config = session.config.model_copy(update={"voxel_angstrom": None})
    qtbot.waitUntil(lambda: "voxels" in panel.forecast.text(), timeout=WAIT)
    assert note.text() == "" and not note.isVisible()


def test_ice_is_offered_its_preset_and_nothing_is_changed_without_a_click(qtbot, panel):
    from napari_phaset3m.presets import preset_of
    from napari_phaset3m.sample import sample_path

    session, offer = panel._session, panel.form.offer
    session.config = ReconstructionConfig(threads=2)
    session.series = load_series(sample_path("co3o4"))
    assert offer.shown() == []
    session.series = load_series(sample_path("hiv"))
    (note,) = offer.shown()
    assert note.text.text() == (
        "3 e/Å² in an image and pixels of 8 Å: the preset “Vitrified cell or virus” suits this series better."
    )
    assert session.config == ReconstructionConfig(threads=2)
    note.dismiss.click()
    session.config = session.config.model_copy(update={"threads": 1})
    assert offer.shown() == [], "said once"
    session.series = load_series(sample_path("hiv"))
    (note,) = offer.shown()
    note.buttons[0].click()
    assert preset_of(session.config) == "vitrified" and session.config.threads == 1 and offer.shown() == []
    session.series = load_series(sample_path("hiv"))
    assert offer.shown() == [], "chosen already"


def test_images_levelled_by_their_mean_are_told_that_values_may_be_negative(qtbot, panel):
    session, line = panel._session, panel.form.positivity
    session.config = ReconstructionConfig(method="sirt")
    assert not line.isVisible(), "nothing is known of the level"
    session.series = small_series().replace(normalisation="mean")
    assert line.isVisible() and "their own mean" in line.text.text()
    assert session.config.constraints.positivity, "nothing is changed without a click"
    session.config = ReconstructionConfig()
    assert not line.isVisible(), "multislice"
    session.config = ReconstructionConfig(method="sirt", threads=2)
    below = panel.form.editors["constraints.positivity"].widget
    panel.form.constraints.heading.setChecked(True)
    qtbot.wait(50)
    at, box = (widget.mapTo(panel.form, widget.rect().topLeft()).y() for widget in (line, below))
    assert 0 < box - at < 140, "beside the box"
    line.allow.click()
    assert session.config == ReconstructionConfig.parse(
        method="sirt", threads=2, constraints={"positivity": False}
    )
    assert not line.isVisible() and not below.isChecked()


def test_every_tooltip_of_the_form_tells_range_and_default(qtbot, panel):
    for path, editor in panel.form.editors.items():
        assert "\nRange: " in editor.tip and "\nDefault: " in editor.tip, path
        assert max(map(len, editor.tip.splitlines())) <= 64, path
