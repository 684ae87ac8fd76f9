"""The live view: wedge in the Fourier tab, ways to see the volume, slices, and the tilt against its model."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qtpy")
sys.path.insert(0, str(Path(__file__).parent))
from _fake import FakeSolver, small_series
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.fourier.view import FourierView
from napari_phaset3m.gui.fourier.wedge import in_plane, wedge_lines
from napari_phaset3m.gui.layers.images import show_image
from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.layers.volume_modes import PROJECTION, SLICES, SURFACE
from napari_phaset3m.gui.reconstruct import live_tilt
from napari_phaset3m.gui.reconstruct.live_slices import LiveSlices, cut
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel
from napari_phaset3m.gui.views import VIEWS_MAX_HEIGHT, ViewsWidget
from napari_phaset3m.jobs import runner as runner_module
from napari_phaset3m.optimise.look import simulated
from napari_phaset3m.session import session_for

WAIT = 20_000


@pytest.fixture
def fake(monkeypatch):
    solver = FakeSolver()
    monkeypatch.setattr(runner_module, "open_events", solver)
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
    qtbot.waitUntil(widget.start.isEnabled, timeout=WAIT)
    return widget


def run_to_end(qtbot, panel):
    panel.start.click()
    assert panel._session.active_run is not None
    qtbot.waitUntil(lambda: panel._session.active_run is None, timeout=WAIT)
    return panel._session.runs[-1]


def test_the_wedge_is_outlined_where_it_can_be_seen(qtbot, panel, viewer):
    view = FourierView(session_for(viewer))
    qtbot.addWidget(view)
    view.resize(400, 240)
    view.show()
    record = run_to_end(qtbot, panel)
    series = session_for(viewer).series
    assert record.tilt_range_deg == (series.tilt_deg.min(), series.tilt_deg.max())
    qtbot.waitUntil(lambda: view.canvas is not None and view._shown is not None, timeout=WAIT)
    seen = {}
    for name in ("3D", "kx–kz", "kx–ky", "ky–kz"):
        view.view.setCurrentText(name)
        seen[name] = view.canvas.wedge.lines.visible
    assert seen == {"3D": True, "kx–kz": True, "kx–ky": False, "ky–kz": False}
    view.view.setCurrentText("kx–kz")
    with_lines = view.canvas.screenshot()
    view.wedge.setChecked(False)
    assert not view.canvas.wedge.lines.visible
    assert np.any(view.canvas.screenshot() != with_lines), "nothing was drawn"
    view.release()


def test_the_planes_in_a_section_are_those_of_the_tilts():
    low, high = -60.0, 50.0
    flat = in_plane(wedge_lines((low, high), 0.5))
    assert np.all(flat[:, 2] == 0)
    ends = flat[np.hypot(*flat[:, :2].T) > 0.499]
    angles = np.unique(np.rint(np.degrees(np.arctan2(-ends[:, 1], ends[:, 0]))) % 180)
    assert set(angles) == {low % 180, high % 180}


def test_the_progress_names_the_device(qtbot, panel):
    record = run_to_end(qtbot, panel)
    assert record.device and record.device in panel.numbers.text()


def test_one_click_switches_surface_projection_and_slices(qtbot, panel, viewer):
    buttons = panel.modes.buttons
    record = run_to_end(qtbot, panel)
    layer = panel._driver.publisher.layer(record.run_id)
    assert layer.rendering == "mip" and buttons[PROJECTION].isChecked()
    buttons[SURFACE].click()
    assert layer.rendering == "iso" and viewer.dims.ndisplay == 3
    low, high = layer.contrast_limits
    assert low < layer.iso_threshold < high and layer.data.max() > layer.iso_threshold
    buttons[SLICES].click()
    assert viewer.dims.ndisplay == 2 and [b.isChecked() for b in buttons.values()] == [False, False, True]
    viewer.dims.ndisplay = 3  # napari's own button
    assert buttons[SURFACE].isChecked() and not buttons[SLICES].isChecked()
    again = run_to_end(qtbot, panel)
    assert panel._driver.publisher.layer(again.run_id) is not layer
    buttons[PROJECTION].click()
    assert {panel._driver.publisher.layer(r.run_id).rendering for r in (record, again)} == {"mip"}


def test_a_new_run_comes_in_the_mode_chosen_before_and_the_users_surface_stays(qtbot, panel, viewer, fake):
    panel.modes.buttons[SURFACE].click()
    fake.n_sweeps, fake.step_seconds = 40, 0.02
    panel.start.click()
    session = session_for(viewer)
    qtbot.waitUntil(lambda: session.frame is not None, timeout=WAIT)
    layer = panel._driver.publisher.layer(session.active_run)
    qtbot.waitUntil(lambda: layer.rendering == "iso", timeout=WAIT)
    qtbot.waitUntil(
        lambda: layer.iso_threshold == pytest.approx(np.mean(layer.contrast_limits)), timeout=WAIT
    )
    layer.iso_threshold = 0.123
    seen = session.frame
    qtbot.waitUntil(lambda: session.frame is not seen, timeout=WAIT)
    assert layer.iso_threshold == pytest.approx(0.123)


def test_slices_are_cut_through_the_voxel_at_the_point():
    z, y, x = np.indices((7, 8, 9), dtype=np.float32)
    volume = 100 * z + 10 * y + x
    found = cut(volume, 2.0, (0.0, 1.0), (2.0, -3.0, 4.0))
    xy, xz, yz = found.planes
    np.testing.assert_array_equal(xy, volume[4])
    np.testing.assert_array_equal(xz, volume[:, 2])
    np.testing.assert_array_equal(yz, volume[:, :, 6])
    assert [p.shape for p in found.powers] == [(8, 9), (7, 9), (7, 8)]
    outside = cut(volume, 2.0, (0.0, 1.0), (99.0, -99.0, 0.0))
    np.testing.assert_array_equal(outside.planes[0], volume[6])
    np.testing.assert_array_equal(outside.planes[1], volume[:, 0])


def test_cross_hair_and_dimension_sliders_move_together(qtbot, panel, viewer):
    view = LiveSlices(session_for(viewer), viewer)
    qtbot.addWidget(view)
    view.resize(700, 420)
    view.show()
    record = run_to_end(qtbot, panel)
    pictures = view.pictures
    qtbot.waitUntil(lambda: "final" in view.info.text() and not view._busy, timeout=WAIT)
    viewer.dims.set_point((0, 1, 2), (0.75, -1.25, 1.75))
    qtbot.waitUntil(lambda: not view._busy and "x 1.8 Å" in view.info.text(), timeout=WAIT)
    assert [line.value() for line in pictures.lines[0]] == [1.75, -1.25]
    assert [line.value() for line in pictures.lines[1]] == [1.75, 0.75]
    np.testing.assert_array_equal(pictures._images[0][0].image, record.volume[9])
    np.testing.assert_array_equal(pictures._images[2][0].image, record.volume[:, :, 11])
    items = [image for image, _ in pictures._images]
    # a press, a move and a release on the upright line of xy, with the mouse
    scene = pictures.graphics.scene()
    line = pictures.lines[0][0]
    viewport = pictures.graphics.viewport()
    start, end = (
        pictures.graphics.mapFromScene(pictures.boxes[0].mapViewToScene(QPointF(x, 2.5)))
        for x in (1.75, -2.25)
    )
    assert scene is line.scene()
    qtbot.mouseMove(viewport, start)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for part in (0.3, 0.6, 1.0):
        at = start + (end - start) * part
        move = QMouseEvent(
            QMouseEvent.Type.MouseMove, QPointF(at), QPointF(viewport.mapToGlobal(at)),
            Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        QApplication.sendEvent(viewport, move)
        qtbot.wait(30)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=end)
    qtbot.waitUntil(lambda: abs(viewer.dims.point[2] + 2.25) < 0.3, timeout=WAIT)
    assert viewer.dims.point[1] == pytest.approx(-1.25) and viewer.dims.point[0] == pytest.approx(0.75)
    view.centre.click()
    qtbot.waitUntil(lambda: np.allclose(viewer.dims.point, 0, atol=0.3), timeout=WAIT)
    assert [image for image, _ in pictures._images] == items, "pictures are exchanged, not made anew"


def test_the_cross_hair_begins_at_the_rotation_centre(qtbot, panel, viewer):
    """Between the voxels of an even box (DESIGN.md: centre at (n - 1) / 2), where napari begins beside it."""
    show_image(publisher_for(session_for(viewer), viewer), small_series(), 0, 0, "fake")
    view = LiveSlices(session_for(viewer), viewer)
    qtbot.addWidget(view)
    view.resize(700, 420)
    view.show()
    record = run_to_end(qtbot, panel)
    assert record.volume.shape == (16, 16, 16)
    qtbot.waitUntil(lambda: "final" in view.info.text() and not view._busy, timeout=WAIT)
    assert np.allclose(viewer.dims.point, 0, atol=1e-5)
    assert [line.value() for pair in view.pictures.lines for line in pair] == [0.0] * 6
    assert view.info.text().startswith("z 0.0 Å  y 0.0 Å  x 0.0 Å")
    run_to_end(qtbot, panel)
    viewer.dims.set_point((0, 1, 2), (0.75, 0.0, 0.0))
    run_to_end(qtbot, panel)
    assert viewer.dims.point[0] == 0.75, "a later run leaves it where the user has put it"


@pytest.mark.parametrize("n", [16, 18, 15])
def test_sliders_of_a_window_do_not_take_the_cross_hair_off_the_centre(make_napari_viewer, qtbot, fake, n):
    """They hold whole voxels only; napari rounds 7.5 up and 8.5 down."""
    viewer = make_napari_viewer()
    session, fake.shape = session_for(viewer), (n, n, n)
    session.series, session.device = small_series(n), "cpu"
    show_image(publisher_for(session, viewer), session.series, 0, 0, "fake")
    made, view = ReconstructPanel(session, viewer), LiveSlices(session, viewer)
    for widget in (made, view):
        qtbot.addWidget(widget)
        widget.show()
    qtbot.waitUntil(made.start.isEnabled, timeout=WAIT)
    record = run_to_end(qtbot, made)
    qtbot.waitUntil(lambda: "final" in view.info.text() and not view._busy, timeout=WAIT)
    for mode in (SLICES, PROJECTION, SLICES):
        made.modes.buttons[mode].click()
        qtbot.wait(50)
        assert view.pictures.point == (0.0, 0.0, 0.0), mode
    assert viewer.dims.current_step == (n // 2,) * 3
    np.testing.assert_array_equal(view.pictures._images[0][0].image, record.volume[n // 2])
    viewer.dims.set_current_step(0, n // 2 - 1)
    assert view.pictures.point == (viewer.dims.point[0], 0.0, 0.0) != (0.0, 0.0, 0.0), "a move is a move"
    view.centre.click()
    qtbot.wait(50)
    assert view.pictures.point == (0.0, 0.0, 0.0) and viewer.dims.current_step == (n // 2,) * 3


def test_nothing_is_cut_while_nobody_looks(qtbot, panel, viewer, monkeypatch):
    view = LiveSlices(session_for(viewer), viewer)
    qtbot.addWidget(view)
    run_to_end(qtbot, panel)
    assert not view._busy and view._shown == (None, None)
    view.show()
    qtbot.waitUntil(lambda: len(view.pictures._images) == 6, timeout=WAIT)


def truth(n: int = 24) -> tuple[TiltFocalSeries, np.ndarray]:
    """Images of a blob off the axis, seen at three tilts, as sums along the beam."""
    z, y, x = (np.indices((n, n, n), dtype=np.float32) - (n - 1) / 2).astype(np.float32)
    volume = (0.01 * np.exp(-((x - 4) ** 2 + (y + 3) ** 2 + (z - 5) ** 2) / 8)).astype(np.float32)
    images = np.repeat(1 - volume.sum(0)[None, None], 3, axis=0)
    series = TiltFocalSeries(
        images=images, tilt_deg=np.array([-20.0, 0.0, 20.0]), pixel_size_angstrom=0.5, energy_ev=300e3
    )
    return series, volume


def test_the_projection_of_a_linear_method_is_compared_with_what_it_fits():
    series, volume = truth()
    config = ReconstructionConfig(method="sirt")
    measured, model = simulated(series, config, volume, 1)
    assert measured.shape == model.shape == (1, 24, 24)
    np.testing.assert_allclose(measured[0], volume.sum(0), atol=1e-6)
    np.testing.assert_allclose(model, measured, atol=0.02 * measured.max())
    _, tilted = simulated(series, config, volume, 2)
    middle = float((tilted[0].sum(0) * (np.arange(24) - 11.5)).sum() / tilted.sum())
    turn = np.deg2rad(20.0)
    assert middle == pytest.approx(4 * np.cos(turn) - 5 * np.sin(turn), abs=0.1)


def test_tilt_view_follows_the_run_and_draws_the_difference(qtbot, viewer, panel, monkeypatch):
    asked = []

    def made(series, config, volume, tilt):
        asked.append((threading.current_thread() is threading.main_thread(), tilt))
        measured = np.full((2, 16, 16), 1.0, np.float32)
        measured[1, 3, 5] = 1.5
        return measured, np.full((2, 16, 16), 0.75, np.float32)

    monkeypatch.setattr(live_tilt, "simulated", made)
    session = session_for(viewer)
    session.shown_image = (0, 1)
    view = live_tilt.LiveTilt(session)
    qtbot.addWidget(view)
    view.show()
    run_to_end(qtbot, panel)
    qtbot.waitUntil(lambda: "final" in view.info.text() and not view._busy, timeout=WAIT)
    assert asked and not any(main for main, _ in asked), "simulated in the main thread"
    difference = view.plots["difference"].image.image
    assert difference[3, 5] == pytest.approx(0.75) and difference[0, 0] == pytest.approx(0.25)
    assert "focus 2 of 2" in view.info.text()
    view.follow.setChecked(False)
    session.shown_image = (2, 0)
    qtbot.waitUntil(lambda: asked[-1][1] == 2 and "tilt 10.0°" in view.info.text(), timeout=WAIT)
    view.hide()
    before = len(asked)
    run_to_end(qtbot, panel)
    assert len(asked) == before, "simulated while nobody looks"


def test_tilt_view_tells_why_there_is_no_picture(qtbot, viewer, panel, monkeypatch):
    def refuses(*args):
        raise DataError("has no defocus", field="defocus_angstrom")

    monkeypatch.setattr(live_tilt, "simulated", refuses)
    view = live_tilt.LiveTilt(session_for(viewer))
    qtbot.addWidget(view)
    view.show()
    run_to_end(qtbot, panel)
    qtbot.waitUntil(lambda: "has no defocus" in view.info.text(), timeout=WAIT)


def test_the_process_ends_after_what_is_computed_in_the_background(tmp_path):
    done = tmp_path / "done"
    script = f"""
import time
from pathlib import Path
from qtpy.QtWidgets import QApplication
from napari_phaset3m.gui.worker import in_background
app = QApplication([])
def slow():
    time.sleep(0.7)
    Path({str(done)!r}).touch()
in_background(slow, print, print)
time.sleep(0.1)
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ended.returncode == 0 and done.exists()


def test_the_dock_gives_back_the_height_of_a_tall_view(qtbot, viewer):
    window, dock, canvas = QMainWindow(), QDockWidget(), QWidget()
    views = ViewsWidget(viewer)
    tall = QWidget()
    tall.tall = 0.5
    views.tabs.addTab(tall, "tall")
    window.setCentralWidget(canvas)
    dock.setWidget(views)
    window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    qtbot.addWidget(window)
    window.resize(900, 760)
    window.show()
    views.tabs.setCurrentIndex(1)
    qtbot.waitUntil(lambda: views.height() <= VIEWS_MAX_HEIGHT, timeout=WAIT)
    before = canvas.height()
    views.tabs.setCurrentWidget(tall)
    qtbot.waitUntil(lambda: views.height() == 380, timeout=WAIT)
    views.tabs.setCurrentIndex(1)
    qtbot.waitUntil(lambda: canvas.height() == before, timeout=WAIT)


def test_a_large_window_has_taller_views(qtbot, viewer):
    window, dock = QMainWindow(), QDockWidget()
    views = ViewsWidget(viewer)
    window.setCentralWidget(QWidget())
    dock.setWidget(views)
    window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    qtbot.addWidget(window)
    window.resize(900, 760)
    window.show()
    qtbot.waitUntil(lambda: 200 <= views.height() <= VIEWS_MAX_HEIGHT, timeout=WAIT)
    window.resize(1800, 2000)
    qtbot.waitUntil(lambda: 440 <= views.height() <= 500, timeout=WAIT)
    window.resize(900, 760)
    qtbot.waitUntil(lambda: views.height() <= VIEWS_MAX_HEIGHT, timeout=WAIT)
