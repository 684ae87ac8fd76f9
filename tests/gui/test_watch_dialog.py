"""The watch window: tilts that arrive are listed, a quick volume is shown, and the series is taken over."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

from napari_phaset3m.gui.series.panel import SeriesPanel  # noqa: E402
from napari_phaset3m.gui.watch.dialog import WatchDialog, open_watch  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


def drop(folder, angle, size=32):
    y, x = np.mgrid[:size, :size] - size / 2
    rng = np.random.default_rng(int(angle) + 90)
    blob = np.exp(-((x - 4 * np.cos(np.radians(angle))) ** 2 + y**2) / 18)
    with mrcfile.new(folder / f"ts_{angle:+05.1f}.mrc", overwrite=True) as file:
        file.set_data((100 - 40 * blob + rng.normal(0, 1, (size, size))).astype(np.float32))
        file.voxel_size = 4.0


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def dialog(qtbot, viewer, tmp_path):
    made = WatchDialog(viewer)
    qtbot.addWidget(made)
    made.show()
    made.work.set_folder(tmp_path)
    assert not made.work.set_config(
        interval_seconds=0.05, settle_seconds=0.1, quick_size_px=16, iterations=2, min_tilts=5
    )
    yield made
    made.work.stop()
    qtbot.waitUntil(lambda: not made.work.busy, timeout=20_000)


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_tilts_arrive_and_become_the_series(qtbot, dialog, viewer, tmp_path):
    work, session = dialog.work, session_for(viewer)
    panel = SeriesPanel(viewer)
    qtbot.addWidget(panel)
    assert not dialog.use.isEnabled() and "No tilt" in dialog.use.toolTip()
    qtbot.keyClicks(dialog.fields["energy_ev"], "300")
    click(qtbot, dialog.go)
    for angle in (0.0, 3.0, -3.0, 6.0, -6.0):
        drop(tmp_path, angle)
    drop(tmp_path, 9.0, size=16)
    qtbot.waitUntil(lambda: work.quick is not None, timeout=30_000)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 6, timeout=10_000)
    qtbot.waitUntil(lambda: "being written" not in dialog.table.item(5, 2).text(), timeout=30_000)
    shown = [[dialog.table.item(r, c).text() for c in range(3)] for r in range(6)]
    assert [row[0] for row in shown] == ["−6.0°", "−3.0°", "0.0°", "3.0°", "6.0°", ""]
    assert "16 x 16" in shown[-1][2] and "5 tilts" in dialog.status.text()
    layer = viewer.layers[0]
    assert layer.name.startswith("Quick volume") and layer.data.shape == (16, 16, 16)
    assert tuple(layer.scale) == pytest.approx((8.0,) * 3) and viewer.dims.ndisplay == 3
    click(qtbot, dialog.use)
    qtbot.waitUntil(lambda: session.series is not None, timeout=20_000)
    assert session.series.tilt_deg.tolist() == [-6.0, -3.0, 0.0, 3.0, 6.0]
    assert session.series.image_shape == (32, 32) and "5 tilts" in session.series_name
    assert viewer.dims.ndisplay == 2 and not layer.visible
    drop(tmp_path, 12.0)  # watching goes on
    qtbot.waitUntil(lambda: work.quick.n_tilt == 6, timeout=20_000)
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: not work.busy, timeout=20_000)
    assert dialog.go.text() == "Start" and dialog.use.isEnabled()


def test_notes_of_the_command_are_shown(qtbot, dialog, tmp_path):
    """What a tilt.com leaves out, and that values may have to be negative."""
    rng = np.random.default_rng(0)
    (tmp_path / "s.rawtlt").write_text("-20\n-10\n0\n10\n20\n-30\n")
    (tmp_path / "tilt.com").write_text("InputProjections s_ali.mrc\nEXCLUDELIST 2\n")
    with mrcfile.new(tmp_path / "s.mrc") as file:
        file.set_data(rng.uniform(90, 110, (6, 32, 32)).astype(np.float32))
        file.set_image_stack()
        file.voxel_size = 4.0
    qtbot.keyClicks(dialog.fields["energy_ev"], "300")
    assert not dialog.notes.isVisible() and dialog.positive.isChecked()
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: dialog.work.quick is not None, timeout=30_000)
    qtbot.waitUntil(lambda: "may have to be negative" in dialog.notes.text(), timeout=10_000)
    told = dialog.notes.text()
    assert dialog.notes.isVisible() and "1 view is not used, as tilt.com leaves it out" in told
    assert told.endswith("“Positive potential” is on: compare with it off.") and "--" not in told
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: not dialog.work.busy, timeout=20_000)
    dialog.positive.click()
    dialog.work.quick = None
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: dialog.work.quick is not None, timeout=30_000)
    assert "negative" not in dialog.notes.text() and dialog.work.quick.volume.min() < 0


def test_what_is_missing_and_what_is_wrong_is_said(qtbot, dialog, tmp_path):
    drop(tmp_path, 0.0)
    dialog.fields["pixel_size_angstrom"].setText("four")
    click(qtbot, dialog.go)
    assert "four is no number" in dialog.problem.text() and not dialog.work.busy
    dialog.fields["pixel_size_angstrom"].setText("-1")
    click(qtbot, dialog.go)
    assert "pixel_size" in dialog.problem.text() and not dialog.work.busy
    dialog.fields["pixel_size_angstrom"].clear()
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: "voltage" in dialog.problem.text(), timeout=20_000)
    assert not dialog.use.isEnabled() and "--" not in dialog.problem.text()


def test_the_series_panel_opens_it_and_it_outlives_its_window(qtbot, viewer, tmp_path):
    panel = SeriesPanel(viewer)
    qtbot.addWidget(panel)
    panel.file.watch.trigger()
    dialog = session_for(viewer).attachments["watch dialog"]()
    dialog.work.set_folder(tmp_path)
    dialog.work.start()
    dialog.close()
    assert dialog.work.busy and open_watch(viewer) is dialog and dialog.isVisible()
    dialog.work.stop()
    qtbot.waitUntil(lambda: not dialog.work.busy, timeout=20_000)
    dialog.close()


def test_what_was_assumed_is_told(qtbot, dialog, tmp_path):
    """The axis that follows from RotationAngle was used without a word."""
    rng = np.random.default_rng(0)
    with mrcfile.new(tmp_path / "s.mrc") as file:
        file.set_data(rng.uniform(90, 110, (5, 32, 32)).astype(np.float32))
        file.set_image_stack()
        file.voxel_size = 4.0
    rows = "".join(f"[ZValue = {k}]\nTiltAngle = {10 * k - 20}\nRotationAngle = 175.3\n" for k in range(5))
    (tmp_path / "s.mrc.mdoc").write_text(rows)
    qtbot.keyClicks(dialog.fields["energy_ev"], "300")
    assert not dialog.told.isVisible()
    click(qtbot, dialog.go)
    qtbot.waitUntil(dialog.told.isVisible, timeout=20_000)
    told = dialog.told.text().splitlines()
    assert (
        "To confirm: Tilt axis: s.mrc.mdoc: 85.3 degrees, from RotationAngle - 90; no title states it" in told
    )
    assert not any("Voltage" in line or "--" in line for line in told)
