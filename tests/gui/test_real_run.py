"""The real solver on a tiny series, steered through the real panel in a real napari window."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from qtpy.QtCore import Qt  # noqa: E402

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.gui.layers.publisher import METADATA_KEY  # noqa: E402
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel  # noqa: E402
from napari_phaset3m.gui.workspace import Workspace  # noqa: E402
from napari_phaset3m.jobs import runner  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402

WAIT = 60_000  # the first run of a fresh checkout compiles
N = 20


def tiny_series() -> TiltFocalSeries:
    """A weak Gaussian blob seen at five tilts and two defoci, the same from everywhere."""
    y, x = np.indices((N, N)) - (N - 1) / 2
    blob = np.exp(-(x**2 + y**2) / 8)
    images = np.stack([[1 - 0.1 * blob, 1 - 0.2 * blob]] * 5).astype(np.float32)
    return TiltFocalSeries(
        images=images,
        tilt_deg=np.linspace(-40, 40, 5),
        pixel_size_angstrom=0.8,
        energy_ev=300e3,
        defocus_angstrom=np.array([300.0, 600.0]),
        spherical_aberration_angstrom=0.0,
        metadata={"name": "tiny"},
    )


@pytest.fixture
def window(make_napari_viewer, qtbot):
    """(viewer, panel, session) of a workspace with the tiny series, the panel in front."""
    viewer = make_napari_viewer()
    made = Workspace(viewer)
    viewer.window.add_dock_widget(made, name="Workspace (PhaseT3M)", area="right")
    session = session_for(viewer)
    session.device, session.series = "cpu", tiny_series()
    made.show_step("Reconstruct")
    panel = made.findChild(ReconstructPanel)
    yield viewer, panel, session
    panel._driver.stop()
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)


def start(qtbot, panel, sweeps=100_000):
    constraints = {"atomic_basis_sigma_angstrom": None}
    panel._session.config = ReconstructionConfig(
        iterations=sweeps,
        holdout_fraction=0.0,
        tolerance=0.0,
        patience=sweeps,  # it is the test that ends the run
        constraints=constraints,
        threads=1,
    )
    qtbot.waitUntil(panel.start.isEnabled, timeout=WAIT)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    assert panel._session.active_run is not None


def until_running(qtbot, session):
    qtbot.waitUntil(lambda: session.progress is not None and session.frame is not None, timeout=WAIT)


def until_ended(qtbot, session):
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)
    return session.runs[-1]


def volumes(viewer):
    return [la for la in viewer.layers if la.metadata.get(METADATA_KEY, {}).get("role") == "volume"]


def test_pause_resume_finish_now_and_again(window, qtbot):
    viewer, panel, session = window
    start(qtbot, panel)
    until_running(qtbot, session)
    qtbot.mouseClick(panel.pause, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.runs[-1].status == "paused", timeout=WAIT)
    held = session.progress
    qtbot.wait(300)
    assert session.progress is held and panel.pause.text() == "Resume"
    qtbot.mouseClick(panel.pause, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.progress.sweep > held.sweep + 1, timeout=WAIT)
    seen = session.frame
    qtbot.waitUntil(lambda: session.frame is not seen and session.frame.sweep > seen.sweep, timeout=WAIT)
    assert not session.frame.final and volumes(viewer)[0].data is session.frame.volume
    qtbot.mouseClick(panel.finish, Qt.MouseButton.LeftButton)
    record = until_ended(qtbot, session)
    assert record.status == "finished" and record.reason == "finished early", record.error
    (layer,) = volumes(viewer)
    assert layer.data is record.volume and record.volume.shape == (N, N, N)
    assert [str(u) for u in layer.units] == ["angstrom"] * 3 and tuple(layer.scale) == (0.8,) * 3
    # the solver really ran: the specimen is where it should be, and fits better than nothing
    assert record.sweeps[-1].error < 0.5
    peak = np.unravel_index(np.argmax(record.volume), record.volume.shape)
    assert np.all(np.abs(np.array(peak) - (N - 1) / 2)[1:] <= 2)

    start(qtbot, panel, sweeps=2)
    again = until_ended(qtbot, session)
    assert again.status == "finished" and len(again.sweeps) == 2, again.error
    assert [la.metadata[METADATA_KEY]["run_id"] for la in volumes(viewer)] == [record.run_id, again.run_id]


def test_stop_then_error_then_a_good_run(window, qtbot, monkeypatch):
    viewer, panel, session = window
    start(qtbot, panel)
    until_running(qtbot, session)
    qtbot.mouseClick(panel.stop, Qt.MouseButton.LeftButton)
    assert until_ended(qtbot, session).status == "stopped" and len(volumes(viewer)) == 1

    real = runner.open_events

    def breaks(*args):
        for count, event in enumerate(real(*args)):
            if count == 4:
                raise RuntimeError("an illegal memory access was encountered")
            yield event

    monkeypatch.setattr(runner, "open_events", breaks)
    start(qtbot, panel)
    record = until_ended(qtbot, session)
    assert record.status == "failed" and "illegal memory access" in panel.error.text()
    monkeypatch.setattr(runner, "open_events", real)
    start(qtbot, panel, sweeps=1)
    assert until_ended(qtbot, session).status == "finished" and not panel.error.isVisibleTo(panel)


def test_closing_the_window_ends_the_run_and_frees_the_device(window, qtbot):
    viewer, panel, session = window
    start(qtbot, panel)
    until_running(qtbot, session)
    driver = panel._driver
    viewer.close()
    record = until_ended(qtbot, session)
    assert record.status == "stopped" and not driver.busy
