"""Keys: bound from one table, told by the cheat sheet, and no clash with napari's."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402
from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QLabel, QShortcut  # noqa: E402

from napari_phaset3m.gui.key_sheet import show_keys  # noqa: E402
from napari_phaset3m.gui.keys import BINDINGS, keys_for  # noqa: E402
from napari_phaset3m.gui.layers.publisher import publisher_for  # noqa: E402
from napari_phaset3m.gui.reconstruct.driver import driver_for  # noqa: E402
from napari_phaset3m.gui.workspace import Workspace  # noqa: E402
from napari_phaset3m.jobs import runner  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402

from ._fake import FakeSolver, small_series  # noqa: E402

WAIT = 20_000
#: In the names of napari's keys that act in a layer of one kind.
_OF_LAYERS = (
    "label", "points", "shape", "polygon", "brush", "vertex", "direct", "select_mode", "path", "line",
    "rectangle", "ellipse", "plane", "contrast", "image_", "vectors", "tracks", "surface", "in_slice",
)  # fmt: skip


@pytest.fixture
def window(make_napari_viewer, qtbot):
    """(viewer, workspace, session) with a series, its first image shown."""
    viewer = make_napari_viewer()
    made = Workspace(viewer)
    viewer.window.add_dock_widget(made, name="Workspace (PhaseT3M)", area="right")
    session = session_for(viewer)
    session.series = small_series()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=WAIT)
    session.shown_image = (0, 0)
    yield viewer, made, session
    made.project._closed = True
    made.project._timer.stop()


def canvas_of(viewer):
    return viewer.window._qt_window._qt_viewer.canvas.native


def press(target, key):
    QTest.keyClick(canvas_of(target) if hasattr(target, "layers") else target, key)


def test_tilts_by_n_and_p_and_the_mask_by_m(qtbot, window):
    from napari_phaset3m.gui.mask.layer import MASK, show_mask

    viewer, made, session = window
    assert session.shown_image == (0, 0)
    press(viewer, Qt.Key.Key_N)
    assert session.shown_image == (1, 0)
    assert viewer.layers[0].metadata["phaset3m"]["tilt_index"] == 1
    made.setFocus()
    press(made, Qt.Key.Key_N)
    press(made, Qt.Key.Key_N)
    assert session.shown_image == (2, 0), "the last tilt is the last"
    press(made._views, Qt.Key.Key_P)
    assert session.shown_image == (1, 0)
    press(viewer, Qt.Key.Key_P)
    assert session.shown_image == (0, 0)
    # M: the mask, or the step that makes one
    press(viewer, Qt.Key.Key_M)
    assert made.step == "Mask"
    labels = show_mask(publisher_for(session, viewer), np.ones((4, 4, 4), np.uint8), (1.0,) * 3, (0.0,) * 3)
    assert labels is publisher_for(session, viewer).layer(MASK) and labels.visible
    made.keys.mask()
    assert not labels.visible
    made.keys.mask()
    assert labels.visible


def test_m_takes_the_mask_that_is_selected(qtbot, window):
    from napari_phaset3m.gui.mask.layer import MASK, show_mask

    viewer, _, session = window
    publisher = publisher_for(session, viewer)
    mask = show_mask(publisher, np.ones((4, 4, 4), np.uint8), (1.0,) * 3, (0.0,) * 3)
    assert viewer.layers.selection.active is mask, "napari selects what is added"
    press(viewer, Qt.Key.Key_M)
    assert not mask.visible and mask.selected_label == 1, "napari's M would have chosen a new label"
    press(viewer, Qt.Key.Key_M)
    assert mask.visible
    place = {"scale": mask.scale, "units": mask.units, "axis_labels": mask.axis_labels}
    second = viewer.add_labels(mask.data.copy(), metadata={"phaset3m": {"role": "mask"}}, **place)
    press(viewer, Qt.Key.Key_M)
    assert mask.visible and not second.visible
    viewer.layers.selection.active = viewer.layers[0]
    press(viewer, Qt.Key.Key_M)
    assert publisher.layer(MASK) is mask and not mask.visible and not second.visible
    others = viewer.add_labels(np.zeros((4, 4, 4), int), **place)
    press(viewer, Qt.Key.Key_M)
    assert others.visible and not mask.visible, "other labels: napari's"


def test_space_pauses_and_goes_on_where_nothing_is_drawn(qtbot, window, monkeypatch):
    viewer, made, session = window
    monkeypatch.setattr(runner, "open_events", FakeSolver(n_sweeps=500, step_seconds=0.005))
    driver = driver_for(session, viewer)
    driver.start()

    def status():
        return session.runs[-1].status

    qtbot.waitUntil(lambda: status() == "running", timeout=WAIT)
    press(viewer, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: status() == "paused", timeout=WAIT)
    press(made, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: status() == "running", timeout=WAIT)
    # while drawing it is napari's: it pans as long as it is held
    labels = viewer.add_labels(np.zeros((16, 16), int), scale=(0.5, 0.5), units="angstrom")
    labels.mode = "paint"
    QTest.keyPress(canvas_of(viewer), Qt.Key.Key_Space)
    assert str(labels.mode) == "pan_zoom"
    QTest.keyRelease(canvas_of(viewer), Qt.Key.Key_Space)
    assert str(labels.mode) == "paint" and status() == "running"
    driver.stop()
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)


def test_without_a_run_space_is_napari_s():
    viewer = ViewerModel()
    session = session_for(viewer)
    keys = keys_for(session, viewer)

    def bound():
        return any(str(key) == "Space" for key in viewer.keymap)

    assert not keys.pausable and not bound()
    session.active_run = "on"
    assert keys.pausable and bound()
    session.active_run = None
    assert not bound()


def test_keys_of_layers_that_are_drawn_in_stay_napari_s(qtbot, window):
    viewer, _, session = window
    labels = viewer.add_labels(np.zeros((16, 16), int), scale=(0.5, 0.5), units="angstrom")
    before = session.shown_image
    preserved = labels.preserve_labels
    press(viewer, Qt.Key.Key_B)
    assert labels.preserve_labels is not preserved, "B: napari's"
    label = labels.selected_label
    labels.data[0, 0] = 5
    press(viewer, Qt.Key.Key_M)
    assert labels.selected_label != label, "M: napari's"
    press(viewer, Qt.Key.Key_P)
    assert str(labels.mode) == "paint" and session.shown_image == before, "P: napari's"


def test_no_key_takes_one_of_napari_s_viewer():
    from napari.utils.shortcuts import default_shortcuts

    viewer_wide = {
        str(key)
        for name, keys in default_shortcuts.items()
        for key in keys
        if not any(word in name for word in _OF_LAYERS)
    }
    assert "Space" in viewer_wide and "Left" in viewer_wide, "the list is of the right kind"
    assert {"N", "P", "B", "M", "F1"}.isdisjoint(viewer_wide)


def test_b_blinks_the_alignment_by_hand(qtbot, window):
    viewer, made, _ = window
    made.show_step("Align")
    check = made.panel("Align").check_
    check.activate(True)  # as the panel does once it is seen
    viewer.layers.selection.clear()
    press(viewer, Qt.Key.Key_B)
    assert check.look.mode == "blink" and made.panel("Align").check.mode.currentData() == "blink"
    qtbot.waitUntil(lambda: check._pair is not None and check._blink.isActive(), timeout=WAIT)
    second = check._second
    press(viewer, Qt.Key.Key_B)
    assert check._second is not second and not check._blink.isActive(), "by hand from now on"


def test_the_sheet_is_made_of_the_table(qtbot, window):
    viewer, made, session = window
    (shortcut,) = (found for found in made.findChildren(QShortcut) if found.key().toString() == "F1")
    shortcut.activated.emit()
    sheet = session.attachments["key sheet"]()
    assert sheet.isVisible() and show_keys(viewer) is sheet
    texts = [found.text() for found in sheet.findChildren(QLabel)]
    for binding in BINDINGS:
        assert binding.keys in texts and binding.where in texts
        assert any(text.startswith(binding.what) and binding.note in text for text in texts), binding
    named = {binding.name for binding in BINDINGS if binding.name} - {"keys"}
    assert named == set(made.keys.actions), "every action that is bound is told"
    sheet.accept()
    made.bar.keys.click()
    assert sheet.isVisible()
    sheet.accept()
