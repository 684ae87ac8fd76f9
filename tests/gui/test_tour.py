"""The tour: every step is shown and done with the sample, in a real workspace."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.gui.analyse.inputs import why_not_mask  # noqa: E402
from napari_phaset3m.gui.series.loader import user_settings  # noqa: E402
from napari_phaset3m.gui.tour import STOPS, tour_of  # noqa: E402
from napari_phaset3m.gui.workspace import PANELS, Workspace  # noqa: E402
from napari_phaset3m.io.series import load_series  # noqa: E402
from napari_phaset3m.sample import sample_path  # noqa: E402
from napari_phaset3m.session import RunRecord, session_for  # noqa: E402


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_stops_are_the_steps():
    assert [stop.step for stop in STOPS] == [name for name, *_ in PANELS]


def test_the_tour_from_the_empty_panel_to_the_analysis(qtbot):
    viewer = napari_components.ViewerModel()
    session = session_for(viewer)
    workspace = Workspace(viewer)
    qtbot.addWidget(workspace)
    workspace.show()
    tour, series = workspace.tour, workspace.panel("Series")
    assert tour is tour_of(session) and not tour.isVisible()
    click(qtbot, series.file.tour)
    assert tour.isVisible() and tour.title.text() == "Tour, 1 of 7: Series"
    assert not tour.next.isEnabled() and "series" in tour.next.toolTip()
    click(qtbot, tour.do)
    qtbot.waitUntil(lambda: session.series is not None, timeout=30_000)
    assert session.series_name == "co3o4_sample.h5" and not series.file.tour.isVisible()
    for name in ("Prepare", "Align", "Microscope", "Reconstruct"):
        click(qtbot, tour.next)
        assert tour.title.text().endswith(name) and workspace.stack.currentIndex() == [
            n for n, *_ in PANELS
        ].index(name)
        assert tour.do.isEnabled() == (name == "Reconstruct")
    assert not tour.next.isEnabled() and "Wait" in tour.next.toolTip()
    session.config = ReconstructionConfig(method="sirt", iterations=5)
    qtbot.waitUntil(lambda: workspace.panel("Reconstruct").panel.start.isEnabled(), timeout=20_000)
    click(qtbot, tour.do)
    qtbot.waitUntil(lambda: any(r.status == "finished" for r in session.runs), timeout=60_000)
    qtbot.waitUntil(tour.next.isEnabled, timeout=10_000)
    click(qtbot, tour.next)
    qtbot.waitUntil(tour.do.isEnabled, timeout=10_000)
    click(qtbot, tour.do)
    qtbot.waitUntil(lambda: session.analysis_mask is not None, timeout=60_000)
    click(qtbot, tour.next)
    assert tour.title.text().endswith("Analyse") and tour.next.text() == "End"
    click(qtbot, tour.next)
    assert not tour.isVisible()


def record(name: str, size: int, radius: float) -> RunRecord:
    axis = np.arange(size) - (size - 1) / 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < radius).astype(np.float32) * 10
    return RunRecord(name, ReconstructionConfig(), status="finished", volume=ball, voxel_size_angstrom=0.5,
                     series_name="fake")  # fmt: skip


def test_the_mask_of_the_tour_is_used_where_there_is_one_already(qtbot):
    viewer = napari_components.ViewerModel()
    session = session_for(viewer)
    session.series = load_series(sample_path())
    workspace = Workspace(viewer)
    qtbot.addWidget(workspace)
    workspace.show()
    tour = workspace.tour
    tour.begin()
    session.add_run(record("old", 24, 5.0))
    workspace.show_step("Mask")
    panel = workspace.panel("Mask")
    qtbot.waitUntil(lambda: panel._work.result is not None and not panel._work.busy, timeout=20_000)
    tour._go(5)
    click(qtbot, tour.do)
    assert session.analysis_mask is not None, "the automatic mask is there: nothing is left to wait for"
    assert session.analysis_mask.mask is panel._work.result.mask
    # a mask of an earlier result, with a recipe of one's own
    session.add_run(record("new", 32, 9.0))
    panel._work.set_steps(panel._work.steps[:1])
    qtbot.waitUntil(lambda: not panel._work.busy, timeout=20_000)
    assert panel._work.source.key == "run:old"
    click(qtbot, tour.do)
    qtbot.waitUntil(lambda: session.analysis_mask.mask.shape == (32, 32, 32), timeout=20_000)
    assert panel._work.source.key == "run:new" and panel.ui.volume.currentData() == "run:new"
    workspace.show_step("Analyse")
    analyse = workspace.panel("Analyse")
    assert analyse.work.inputs.source.key == "run:new"
    assert not why_not_mask(session.analysis_mask, analyse.work.inputs.source)


def test_the_tour_is_offered_once(qtbot):
    user_settings().remove("tour offered")
    offered = []
    for _ in range(2):
        workspace = Workspace(napari_components.ViewerModel())
        qtbot.addWidget(workspace)
        workspace.show()
        qtbot.wait(50)
        offered.append([note for note in workspace.bar.notes.shown() if "tour" in note.text.text()])
        if offered[0] and not offered[1:]:
            take, _ = offered[0][0].buttons
            assert not workspace.tour.isVisible()
            click(qtbot, take)
            assert workspace.tour.isVisible() and not workspace.bar.notes.shown()
    assert len(offered[0]) == 1 and not offered[1]


def test_with_the_tour_every_panel_has_room_in_a_window_of_768_px(make_napari_viewer, qtbot):
    """Else the layout lets its parts overlap."""
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, name="Workspace (PhaseT3M)", area="right")
    workspace.tour.show()
    session_for(viewer).series = load_series(sample_path())
    for name, *_ in PANELS:
        workspace.show_step(name)
        panel = workspace.panel(name)
        qtbot.waitUntil(lambda it=panel: it.isVisible() and it.height() > 100)
        qtbot.wait(50)
        assert panel.minimumSizeHint().height() <= panel.height(), name
        assert workspace.height() < 768
