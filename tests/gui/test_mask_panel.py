"""The Mask panel in a real napari window: steps, painting, use, files, and what users do to it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtGui import QRegion  # noqa: E402
from qtpy.QtWidgets import QFileDialog  # noqa: E402

from napari_phaset3m.analyse.masks import Recipe, Soft, Sphere, automatic  # noqa: E402
from napari_phaset3m.analyse.masks_make import make_mask  # noqa: E402
from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.gui.mask import compute as mask_compute  # noqa: E402
from napari_phaset3m.gui.mask.layer import EDGE, INSIDE, MASK  # noqa: E402
from napari_phaset3m.gui.mask.panel import NO_VOLUME, MaskPanel  # noqa: E402
from napari_phaset3m.io.mask import load_mask, save_mask  # noqa: E402
from napari_phaset3m.io.volume import Volume, centred_origin, load_volume, save_volume  # noqa: E402
from napari_phaset3m.jobs.messages import PreviewFrame  # noqa: E402
from napari_phaset3m.session import RunRecord, session_for  # noqa: E402

N, VOXEL = 32, 0.8
WAIT = 30_000


def ball(n: int = N, radius: float = 6.0, voxel: float = VOXEL) -> np.ndarray:
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * voxel] * 3, indexing="ij")
    noise = np.random.default_rng(0).normal(size=(n, n, n))
    return (10.0 * (x**2 + y**2 + z**2 <= radius**2) + noise).astype(np.float32)


def record(run_id: str = "one", **more) -> RunRecord:
    given = {"status": "finished", "series_name": "s.h5", "volume": ball(), "voxel_size_angstrom": VOXEL}
    return RunRecord(run_id, ReconstructionConfig(), **{**given, **more})


def series(n: int = N) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.ones((3, 1, n, n), np.float32),
        tilt_deg=[-10, 0, 10],
        pixel_size_angstrom=VOXEL,
        energy_ev=2e5,
    )


@pytest.fixture
def empty(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    panel = MaskPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Mask", area="right")
    return viewer, panel, session_for(viewer)


def until_done(qtbot, panel) -> None:
    work = panel._work
    qtbot.waitUntil(
        lambda: not work.busy and (work.error != "" or (work.result is not None and not work.preview)),
        timeout=WAIT,
    )


@pytest.fixture
def window(empty, qtbot):
    """(viewer, panel, session) with one result, its automatic mask made."""
    viewer, panel, session = empty
    session.add_run(record())
    session.update_run("one")
    until_done(qtbot, panel)
    return viewer, panel, session


def steps_of(panel) -> list[str]:
    return [step.kind for step in panel._work.steps]


def click(qtbot, button) -> None:
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def add(panel, text: str) -> None:
    next(action for action in panel.ui.add.menu().actions() if action.text() == text).trigger()


def row(panel, kind: str):
    return next(row for row in panel.recipe.rows if row.kind == kind)


def test_without_data_it_says_what_to_do(empty):
    _, panel, _ = empty
    assert panel.ui.detail.text() == NO_VOLUME and not panel.recipe.rows
    ui = panel.ui
    for button in (ui.use, ui.analyse, ui.crop, ui.save, ui.add, ui.paint, ui.erase):
        assert not button.isEnabled() and button.toolTip() == NO_VOLUME
    assert ui.open.isEnabled() and ui.load.isEnabled()
    assert not ui.clear.isEnabled() and ui.clear.toolTip() == "There is no mask"


def test_the_automatic_mask_of_a_result_appears_with_its_volume(window):
    _, panel, _ = window
    work = panel._work
    assert work.steps == automatic(VOXEL).steps and not work.error
    expected = make_mask(automatic(VOXEL), ball(), VOXEL)
    assert panel.ui.size.text() == f"{expected.volume_nm3:.4g} nm³"
    assert f"{100 * expected.fraction:.3g} % of the box" in panel.ui.detail.text()
    layer = work.publisher.layer(MASK)
    np.testing.assert_array_equal(layer.data == INSIDE, expected.mask == 1)
    np.testing.assert_array_equal(layer.data == EDGE, (expected.mask > 0) & (expected.mask < 1))
    assert tuple(layer.scale) == (VOXEL,) * 3 and str(layer.units[0]) == "angstrom"
    np.testing.assert_allclose(layer.translate, centred_origin((N,) * 3, VOXEL))
    assert layer.n_edit_dimensions == 3 and layer.rendering == "iso_categorical"


def test_outline_in_slices_surface_in_3d(window):
    viewer, panel, _ = window
    layer = panel._work.publisher.layer(MASK)
    for ndisplay, contour in ((2, 1), (3, 0), (2, 1)):
        viewer.dims.ndisplay = ndisplay
        assert layer.contour == contour
        assert (layer.colormap.map(EDGE)[3] > 0) == (ndisplay == 2) and layer.colormap.map(INSIDE)[3] > 0
    layer.opacity = 0.9
    viewer.dims.ndisplay = 3
    assert layer.opacity == 0.9  # the user's


def test_every_step_fits_into_the_narrowest_panel(window, qtbot):
    _, panel, _ = window
    for kind in ("Sphere", "Ellipsoid", "Box", "Erode", "Invert"):
        add(panel, kind)
        until_done(qtbot, panel)
    bar = panel.ui.steps.verticalScrollBar().sizeHint().width()
    margins = panel.ui.layout().contentsMargins()
    room = panel.minimumWidth() - margins.left() - margins.right() - bar
    assert panel.recipe.minimumSizeHint().width() <= room, "there is no bar to bring the rest to sight"
    sphere = row(panel, "sphere")
    sphere._editors["center_angstrom"].set((-560.5, 0.0, 1120.0))
    assert [spin.value() for spin in sphere._editors["center_angstrom"].spins] == [-560.5, 0.0, 1120.0]


def test_a_mask_of_nearly_the_whole_box_says_what_to_do(window, qtbot):
    _, panel, _ = window
    assert panel.ui.whole.isHidden()
    panel._work.set_steps((Sphere(diameter_angstrom=10 * N * VOXEL),))
    until_done(qtbot, panel)
    assert panel._work.result.fraction == 1.0 and not panel.ui.whole.isHidden()
    # what the line says: a sphere, and what is common
    add(panel, "Sphere")
    until_done(qtbot, panel)
    assert panel._work.result.fraction < 0.2 and panel.ui.whole.isHidden()
    panel._work.set_steps(())
    assert panel.ui.whole.isHidden()


def test_a_slider_changes_the_mask_and_is_undone_in_one_go(window, qtbot):
    _, panel, _ = window
    before, steps = panel._work.result.volume_nm3, panel._work.steps
    slider = row(panel, "dilate")._editors["distance_angstrom"].slider
    for tick in (20, 40, 150):
        slider.setValue(tick)
    until_done(qtbot, panel)
    assert panel._work.result.volume_nm3 > before
    distance = next(s for s in panel._work.steps if s.kind == "dilate").distance_angstrom
    assert distance == pytest.approx(150 / 200 * N * VOXEL / 4, abs=0.06)
    click(qtbot, panel.ui.undo)
    until_done(qtbot, panel)
    assert panel._work.steps == steps and panel._work.result.volume_nm3 == before
    assert row(panel, "dilate")._editors["distance_angstrom"].value() == pytest.approx(
        next(s for s in steps if s.kind == "dilate").distance_angstrom
    )
    click(qtbot, panel.ui.redo)
    until_done(qtbot, panel)
    assert panel._work.result.volume_nm3 > before


def test_steps_are_added_ahead_of_the_soft_edge_moved_and_removed(window, qtbot):
    _, panel, _ = window
    add(panel, "Sphere")
    assert steps_of(panel) == ["threshold", "largest", "fill", "dilate", "sphere", "soft"]
    sphere = row(panel, "sphere")
    sphere._editors["diameter_angstrom"].spin.setValue(8.0)
    sphere._editors["center_angstrom"].spins[0].setValue(2.0)
    until_done(qtbot, panel)
    assert panel._work.steps[4] == Sphere(diameter_angstrom=8, center_angstrom=(2, 0, 0), how="intersection")
    np.testing.assert_array_equal(
        panel._work.result.mask, make_mask(Recipe(steps=panel._work.steps), ball(), VOXEL).mask
    )
    row(panel, "sphere").raised.emit()
    assert steps_of(panel)[3:5] == ["sphere", "dilate"]
    for kind in ("largest", "fill", "threshold"):
        row(panel, kind).removed.emit()
    # What is first now makes the mask.
    assert steps_of(panel) == ["sphere", "dilate", "soft"] and panel._work.steps[0].how == "union"
    row(panel, "sphere").removed.emit()
    assert "first step must make a mask" in panel.ui.note.text() and steps_of(panel)[0] == "sphere"


def test_an_empty_mask_is_told_and_its_outline_goes(window, qtbot):
    _, panel, _ = window
    row(panel, "threshold").edited.emit("value", 1e4)
    until_done(qtbot, panel)
    assert "nothing lies above 10000" in panel.ui.detail.text() and panel._work.result is None
    assert not panel._work.publisher.layer(MASK).data.any()
    assert not panel.ui.use.isEnabled() and "nothing lies above" in panel.ui.use.toolTip()
    click(qtbot, panel.ui.undo)
    until_done(qtbot, panel)
    assert panel._work.publisher.layer(MASK).data.any()


def test_the_level_otsu_found_is_taken_over_by_moving_it(window, qtbot):
    _, panel, _ = window
    editor = row(panel, "threshold")._editors["level"]
    assert editor.value() == pytest.approx(panel._work.result.levels[0], abs=0.06)
    editor.spin.setValue(5.0)
    until_done(qtbot, panel)
    assert panel._work.steps[0].value == 5.0 and panel._work.result.levels == (5.0,)


def test_painting_becomes_a_step_that_is_undone(window, qtbot):
    viewer, panel, _ = window
    before = panel._work.result.mask
    click(qtbot, panel.ui.paint)
    layer = panel._work.publisher.layer(MASK)
    assert layer.mode == "paint" and viewer.dims.ndisplay == 2 and panel.ui.paint.isChecked()
    layer.brush_size = 3
    layer.paint((3, 3, 3), INSIDE)
    layer.paint((27, 4, 5), INSIDE)  # before the first one is worked in
    qtbot.waitUntil(lambda: "painted" in steps_of(panel), timeout=WAIT)
    until_done(qtbot, panel)
    mask = panel._work.result.mask
    assert mask[3, 3, 3] == mask[27, 4, 5] == 1 and before[3, 3, 3] == before[27, 4, 5] == 0
    assert steps_of(panel)[-2:] == ["painted", "soft"]
    np.testing.assert_array_equal(layer.data == INSIDE, mask == 1)
    assert 0 < mask[3, 3, 7] < 1  # the soft edge goes around what was painted too
    click(qtbot, panel.ui.erase)
    layer.paint((16, 16, 16), 0)
    qtbot.waitUntil(lambda: panel._work.steps[-2].erased is not None, timeout=WAIT)
    until_done(qtbot, panel)
    assert panel._work.result.mask[16, 16, 16] < 1 and panel._work.result.mask[3, 3, 3] == 1
    click(qtbot, panel.ui.erase)
    assert layer.mode == "pan_zoom"
    while panel._work.can_undo:
        panel._work.undo()
    until_done(qtbot, panel)
    np.testing.assert_array_equal(panel._work.result.mask, before)


def test_painting_has_no_place_before_steps_after_the_soft_edge(window, qtbot):
    _, panel, _ = window
    add(panel, "Invert")
    until_done(qtbot, panel)
    assert not panel.ui.paint.isEnabled() and "soft edge" in panel.ui.paint.toolTip()


def test_the_mask_goes_into_runs_and_analysis_and_out_again(window, qtbot):
    _, panel, session = window
    assert not panel.ui.use.isEnabled() and "series" in panel.ui.use.toolTip()
    session.series = series()
    click(qtbot, panel.ui.use)
    np.testing.assert_array_equal(session.mask, panel._work.result.mask)
    assert panel.ui.note.text() == "The mask goes into the next run."
    click(qtbot, panel.ui.analyse)
    assert session.analysis_mask.mask is panel._work.result.mask
    assert Recipe.parse(**session.analysis_mask.recipe).steps == panel._work.steps
    assert panel.ui.state.text() == "In use for: reconstruction, analysis"
    row(panel, "dilate").edited.emit("distance_angstrom", 3.0)
    until_done(qtbot, panel)
    assert "earlier version" in panel.ui.state.text()
    click(qtbot, panel.ui.clear)
    assert session.mask is None and session.analysis_mask is None and not panel.recipe.rows
    assert not panel.ui.clear.isEnabled()
    click(qtbot, panel.ui.undo)
    until_done(qtbot, panel)
    assert panel._work.result is not None


def test_a_mask_of_another_box_is_refused(window, qtbot):
    _, panel, session = window
    session.series = series(2 * N)
    click(qtbot, panel.ui.use)
    assert (
        session.mask is None and "but the reconstruction is of 51.2 x 51.2 x 51.2 Å" in panel.ui.note.text()
    )


def test_large_volumes_are_shown_binned_first(empty, qtbot, monkeypatch):
    _, panel, session = empty
    monkeypatch.setattr(mask_compute, "PREVIEW_VOXELS", 10)
    seen = []
    panel._work.computed.connect(
        lambda: seen.append((panel._work.preview, panel._work.result and panel._work.result.mask.shape))
    )
    session.add_run(record())
    session.update_run("one")
    until_done(qtbot, panel)
    shapes = [shape for preview, shape in seen if shape is not None]
    assert shapes[0] == (8, 8, 8) and shapes[-1] == (N, N, N)
    layer = panel._work.publisher.layer(MASK)
    middle = np.array(layer.translate) + (np.array(layer.data.shape) - 1) / 2 * np.array(layer.scale)
    np.testing.assert_allclose(middle, 0, atol=1e-6)


def test_the_live_preview_is_followed_and_its_mask_fits_the_run(empty, qtbot):
    _, panel, session = empty
    # a hidden panel does not follow, nor one behind another's tab
    panel.isVisible, panel.visibleRegion = lambda: True, lambda: QRegion(0, 0, 9, 9)
    session.series = series()
    session.add_run(record(status="running", volume=None))
    session.active_run = "one"
    half = ball(N // 2, voxel=2 * VOXEL)
    session.frame = PreviewFrame("one", 0, half, None, 2 * VOXEL)
    until_done(qtbot, panel)
    assert panel.ui.volume.currentText().startswith("Live preview")
    click(qtbot, panel.ui.use)
    assert session.mask.shape == (N, N, N) and panel.ui.note.text() == "The mask acts from the next sweep on."
    assert session.mask[N // 2, N // 2, N // 2] == 1
    middle = [np.average(np.arange(N), weights=session.mask.sum(tuple({0, 1, 2} - {a}))) for a in range(3)]
    np.testing.assert_allclose(middle, (N - 1) / 2, atol=0.3)
    other = ball(N // 2, radius=4, voxel=2 * VOXEL)
    session.frame = PreviewFrame("one", 1, other, None, 2 * VOXEL)
    qtbot.waitUntil(lambda: panel._work.source.data is other, timeout=WAIT)
    until_done(qtbot, panel)
    session.update_run("one", status="finished", volume=ball(), voxel_size_angstrom=VOXEL)
    session.active_run = None
    until_done(qtbot, panel)
    assert panel._work.source.key == "run:one" and panel._work.result.mask.shape == (N, N, N)


def test_deleting_and_renaming_layers_is_safe(window, qtbot):
    viewer, panel, _ = window
    layer = panel._work.publisher.layer(MASK)
    layer.name = "mine"
    row(panel, "dilate").edited.emit("distance_angstrom", 1.0)
    until_done(qtbot, panel)
    assert panel._work.publisher.layer(MASK) is layer and layer.name == "mine"
    viewer.layers.remove(layer)
    assert panel.ui.save.isEnabled()
    row(panel, "dilate").edited.emit("distance_angstrom", 2.0)
    until_done(qtbot, panel)
    again = panel._work.publisher.layer(MASK)
    assert again is not None and again is not layer and again.data.any()
    viewer.layers.clear()
    click(qtbot, panel.ui.paint)
    until_done(qtbot, panel)
    assert panel._work.publisher.layer(MASK) is not None


def test_layers_of_others_can_be_masked_with_their_own_voxels(empty, qtbot):
    viewer, panel, _ = empty
    layer = viewer.add_image(ball(), scale=(1.6, 0.8, 0.4), name="theirs")
    until_done(qtbot, panel)
    assert panel.ui.volume.currentText() == "theirs"
    assert panel._work.result.voxel_size_angstrom == (1.6, 0.8, 0.4)
    assert tuple(panel._work.publisher.layer(MASK).scale) == (1.6, 0.8, 0.4)
    viewer.layers.remove(layer)
    assert panel._work.result is not None


def test_files_are_saved_cropped_and_loaded(window, qtbot, tmp_path, monkeypatch):
    viewer, panel, _ = window
    result = panel._work.result
    target = tmp_path / "m.mrc"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    click(qtbot, panel.ui.save)
    qtbot.waitUntil(lambda: panel.ui.note.text() == "Saved m.mrc", timeout=WAIT)
    found = load_mask(target)
    np.testing.assert_array_equal(found.mask, result.mask)
    assert Recipe.parse(**found.recipe) == result.recipe
    np.testing.assert_allclose(found.origin, centred_origin((N,) * 3, VOXEL), atol=1e-4)
    target = tmp_path / "c.mrc"
    click(qtbot, panel.ui.crop)
    qtbot.waitUntil(lambda: panel.ui.note.text() == "Saved c.mrc", timeout=WAIT)
    cut = load_volume(target)
    layer = next(la for la in viewer.layers if la.name == "c.mrc")
    np.testing.assert_allclose(layer.translate, cut.origin, atol=1e-4)
    assert cut.data.max() == pytest.approx((ball() * result.mask).max())
    click(qtbot, panel.ui.clear)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "m.mrc"), ""))
    click(qtbot, panel.ui.load)
    until_done(qtbot, panel)
    np.testing.assert_array_equal(panel._work.result.mask, result.mask)
    save_mask(tmp_path / "plain.mrc", result.mask, VOXEL)
    panel.actions_.load(tmp_path / "plain.mrc")
    qtbot.waitUntil(lambda: steps_of(panel) == ["combine"], timeout=WAIT)
    until_done(qtbot, panel)
    np.testing.assert_array_equal(panel._work.result.mask, result.mask)


@pytest.mark.parametrize("name", ["nowhere.mrc", "bad.yaml", "bad.json", "big.mrc"])
def test_files_that_are_no_masks_are_refused_in_one_line(window, qtbot, tmp_path, name):
    _, panel, _ = window
    (tmp_path / "bad.yaml").write_text("steps: [{kind: cone}]")
    (tmp_path / "bad.json").write_text("{")
    save_volume(Volume(data=ball(), voxel_size_angstrom=VOXEL), tmp_path / "big.mrc")
    steps = panel._work.steps
    panel.actions_.load(tmp_path / name)
    qtbot.waitUntil(
        lambda: name in panel.ui.note.text() and "Loading" not in panel.ui.note.text(), timeout=WAIT
    )
    assert "\n" not in panel.ui.note.text() and panel._work.steps == steps


def test_a_file_is_opened_shown_and_masked(empty, qtbot, tmp_path):
    viewer, panel, _ = empty
    save_volume(Volume(data=ball(), voxel_size_angstrom=VOXEL), tmp_path / "v.mrc")
    panel.actions_.open_volume(tmp_path / "v.mrc")
    until_done(qtbot, panel)
    assert panel.ui.volume.currentText() == "v.mrc" and "v.mrc" in [la.name for la in viewer.layers]
    assert [panel.ui.volume.itemText(i) for i in range(panel.ui.volume.count())] == ["v.mrc"]
    assert panel._work.source.path == tmp_path / "v.mrc"


def test_a_panel_closed_while_computing_comes_back_as_it_was(window, qtbot):
    viewer, panel, _ = window
    work = panel._work
    row(panel, "dilate").edited.emit("distance_angstrom", 1.5)
    viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    qtbot.waitUntil(lambda: not work.busy and work.result is not None and not work.preview, timeout=WAIT)
    again = MaskPanel(viewer)
    qtbot.addWidget(again)
    assert again._work is work and [r.kind for r in again.recipe.rows] == [s.kind for s in work.steps]
    assert again.ui.size.text().endswith("nm³")


def test_two_viewers_have_masks_of_their_own(window, make_napari_viewer, qtbot):
    _, panel, _ = window
    other = make_napari_viewer()
    second = MaskPanel(other)
    qtbot.addWidget(second)
    assert second._work is not panel._work and second.ui.detail.text() == NO_VOLUME
    session_for(other).add_run(record("two", volume=ball(radius=4)))
    session_for(other).update_run("two")
    until_done(qtbot, second)
    second._work.set_steps((Sphere(diameter_angstrom=9), Soft(width_angstrom=2)))
    until_done(qtbot, second)
    assert second._work.result.volume_nm3 != panel._work.result.volume_nm3
    assert steps_of(panel) == [s.kind for s in automatic(VOXEL).steps]


def test_closing_the_window_while_computing_is_quiet(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    panel = MaskPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Mask", area="right")
    session = session_for(viewer)
    session.add_run(record())
    session.update_run("one")
    work = panel._work
    assert work.busy
    viewer.close()
    qtbot.wait(500)
    assert work.publisher.layer(MASK) is None


def test_the_workspace_brings_it(make_napari_viewer, qtbot):
    from napari_phaset3m.gui.workspace import Workspace

    viewer = make_napari_viewer()
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, name="Workspace (PhaseT3M)", area="right")
    workspace.guide.buttons[5].click()
    assert isinstance(workspace.panels[5], MaskPanel)
    session_for(viewer).mask = np.ones((4, 4, 4), np.float32)
    assert "✓" in workspace.guide.buttons[5].text()
    assert workspace.maximumWidth() <= 360 and workspace.panels[5].minimumSizeHint().width() <= 360


def test_no_mask_covers_the_volume_of_another_step(make_napari_viewer, qtbot):
    """The panel was looked at once, then left: a result that comes later is shown without a mask."""
    viewer = make_napari_viewer(show=True)
    panel, session = MaskPanel(viewer), session_for(viewer)
    dock = viewer.window.add_dock_widget(panel, name="Mask", area="right")
    qtbot.waitUntil(panel.isVisible)
    dock.hide()
    session.add_run(record())
    session.update_run("one")
    qtbot.wait(300)
    assert panel._work.source is None and panel._work.publisher.layer(MASK) is None
    dock.show()
    until_done(qtbot, panel)
    assert panel._work.publisher.layer(MASK) is not None


def test_colours_of_the_first_mask_are_compiled_before_it_is_made():
    """numba takes 0.4 to 0.9 s for it, in which the window would stand still; vispy's dashes take 0.04 s."""
    code = """
import sys
from napari.utils.colormaps import _accelerated_cmap
from vispy.visuals.line import dash_atlas
from napari_phaset3m.gui.mask.layer import mask_colours
from napari_phaset3m.gui.warm_up import _warm_labels

compiled = _accelerated_cmap._labels_raw_to_texture_direct_inner_loop
mask_colours(edge=True)
assert not compiled.signatures, "the colours alone compile nothing"
_warm_labels()
assert compiled.signatures and "pandas" in sys.modules
before = dash_atlas._make_pattern.cache_info().misses
dash_atlas.DashAtlas()
assert before and dash_atlas._make_pattern.cache_info().misses == before, "all are known"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
