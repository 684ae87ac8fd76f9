"""The live view: wedge in the Fourier tab, ways to see the volume, slices, and the tilt against its model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qtpy")
sys.path.insert(0, str(Path(__file__).parent))
from _fake import FakeSolver, small_series

from napari_phaset3m.gui.fourier_view import FourierView
from napari_phaset3m.gui.fourier_wedge import in_plane, wedge_lines
from napari_phaset3m.gui.reconstruct_panel import ReconstructPanel
from napari_phaset3m.jobs import runner as runner_module
from napari_phaset3m.session import session_for

WAIT = 60_000


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
