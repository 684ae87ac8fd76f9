from __future__ import annotations

import gc
from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtWidgets import QDockWidget

from napari_phaset3m.core.series import TiltFocalSeries

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402

from napari_phaset3m.gui.align.check import CHECK  # noqa: E402
from napari_phaset3m.gui.analyse.compute import TOPICS  # noqa: E402
from napari_phaset3m.gui.analyse.work import Outcome, work_of  # noqa: E402
from napari_phaset3m.gui.layers.images import IMAGES  # noqa: E402
from napari_phaset3m.gui.layers.publisher import publisher_for  # noqa: E402
from napari_phaset3m.gui.mask.sources import sources  # noqa: E402
from napari_phaset3m.gui.plots.error_curve import ErrorPlot  # noqa: E402
from napari_phaset3m.gui.prepare.panel import PreparePanel  # noqa: E402
from napari_phaset3m.gui.step_guide import hint, next_step, steps  # noqa: E402
from napari_phaset3m.gui.views import dock_of  # noqa: E402
from napari_phaset3m.gui.widgets.notes import MOST  # noqa: E402
from napari_phaset3m.gui.workspace import PANELS, Workspace  # noqa: E402
from napari_phaset3m.prepare.history import recorded  # noqa: E402
from napari_phaset3m.session import RunRecord, Session, session_for  # noqa: E402

from ._fake import small_series  # noqa: E402


def make_series(**more) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.ones((3, 1, 8, 8)), tilt_deg=[-10, 0, 10], pixel_size_angstrom=1.0, energy_ev=2e5, **more
    )


def test_guide_says_what_is_next_and_why_not():
    session = Session()
    assert [step.state for step in steps(session)] == ["next", *["blocked"] * 4, "next", "next"]
    assert [steps(session)[i].reason for i in range(1, 5)] == ["Open a series first."] * 4
    session.series = make_series()
    assert [step.state for step in steps(session)] == ["done", *["next"] * 6]
    assert hint(session) == ("Cs and Defocus are missing; only linear methods work without.", "warning")
    session.config = session.config.model_copy(update={"method": "sirt"})
    assert hint(session)[1] == "muted"
    session.series = recorded(session.series, "import")
    assert hint(session)[0].startswith("Next: prepare and align"), "an import is no preparation"
    session.series = recorded(session.series, "normalise")
    assert hint(session)[0].startswith("Next: align")
    session.series = recorded(session.series, "align")
    assert hint(session)[0].startswith("Next: check the settings of step Reconstruct")
    assert next_step(session) == "Reconstruct"


def test_guide_leads_on_from_a_result():
    session = Session()
    session.series = make_series()
    session.config = session.config.model_copy(update={"method": "sirt"})
    session.add_run(RunRecord("one", session.config, series_name=session.series_name))
    session.active_run = "one"
    assert hint(session)[0].startswith("Running") and next_step(session) == "", "nothing to be done meanwhile"
    session.update_run("one", status="paused")
    assert hint(session)[0].startswith("Paused")
    session.update_run("one", status="finished")
    session.active_run = None
    assert hint(session)[0].startswith("Next: mask and analyse") and next_step(session) == "Analyse"
    session.analysis_mask = object()
    assert hint(session)[0].startswith("Next: analyse the result") and next_step(session) == "Analyse"
    session.update_run("one", resolution={"fsc 0.143": 2.0})
    assert hint(session)[0].startswith("Next: export the result (Runs)") and next_step(session) == ""
    session.series = make_series(metadata={"name": "another"})
    assert next_step(session) == "Prepare", "runs of another series do not count"
    assert [step.state for step in steps(session)][4] == "next"


def test_only_results_of_the_volume_that_is_chosen_lead_on():
    session, viewer = Session(), ViewerModel()
    session.series = make_series()
    session.config = session.config.model_copy(update={"method": "sirt"})
    for name in ("one", "two"):
        given = {"status": "finished", "series_name": session.series_name, "voxel_size_angstrom": 1.0}
        session.add_run(RunRecord(name, session.config, volume=np.ones((8, 8, 8), np.float32), **given))
    work = work_of(session, viewer)
    chosen = {source.key: source for source in sources(session, viewer)}
    work.choose(source=chosen["run:two"])

    def put(key: str, *, failed: bool = False) -> None:
        of = work.inputs.source.name if "source" in TOPICS[key].uses else ""
        stamp = work.inputs.stamp(TOPICS[key].uses)
        work.outcomes[key] = Outcome(None if failed else 1, "", failed, of, stamp, 0.0, (0.0,) * 3)

    def told() -> tuple[str, bool]:
        return steps(session)[-1].state, "export the newest result" in hint(session)[0]

    put("slices", failed=True)
    assert told() == ("next", False), "failed"
    put("optics")
    assert told() == ("done", False), "transfer of the series says nothing of the result"
    put("slices")
    assert told() == ("done", True)
    work.outcomes.pop("optics")
    work.choose(source=chosen["run:one"])
    assert told() == ("next", False), "out of date: of another run"
    work.choose(source=chosen["run:two"])
    assert told() == ("done", True)
    session.series = make_series(metadata={"name": "another"})
    assert not work.stale("slices") and told() == ("next", False), "of a series before"
    session.add_run(RunRecord("three", session.config, status="finished", series_name="another"))
    assert told() == ("next", False), "a run of this series, a result of another"


@pytest.mark.parametrize("how", ["resolution", "analysis"])
def test_an_older_run_that_was_analysed_does_not_speak_for_the_newest(how):
    session, viewer = Session(), ViewerModel()
    session.series = make_series()
    session.config = session.config.model_copy(update={"method": "sirt"})
    given = {"status": "finished", "series_name": session.series_name, "voxel_size_angstrom": 1.0}
    old, new = (
        RunRecord(name, session.config, volume=np.ones((8, 8, 8), np.float32), **given)
        for name in ("old", "new")
    )
    session.add_run(old)
    if how == "resolution":
        session.update_run("old", resolution={"fsc 0.143": 2.0})
    else:
        work = work_of(session, viewer)
        work.choose(source=next(s for s in sources(session, viewer) if s.key == "run:old"))
        stamp = work.inputs.stamp(TOPICS["slices"].uses)
        work.outcomes["slices"] = Outcome(1, "", False, work.inputs.source.name, stamp, 0.0, (0.0,) * 3)
    assert hint(session)[0].startswith("Next: export the result")
    session.add_run(new)
    assert hint(session)[0].startswith("Next: mask and analyse the newest result")
    assert next_step(session) == "Analyse"
    session.update_run("new", resolution={"fsc 0.143": 2.0})
    assert hint(session)[0].startswith("Next: export the newest result") and next_step(session) == ""


def test_the_guide_hears_of_another_volume(workspace, qtbot):
    viewer, made = workspace
    session = made._session
    session.series = make_series()
    given = {"status": "finished", "series_name": session.series_name, "voxel_size_angstrom": 1.0}
    for name in ("one", "two"):
        session.add_run(RunRecord(name, session.config, volume=np.ones((8, 8, 8), np.float32), **given))
    made.show_step("Analyse")
    work = made.panel("Analyse").work
    chosen = {source.key: source for source in sources(session, viewer)}
    work.choose(source=chosen["run:one"])
    work.compute("slices")
    mark = made.guide.buttons[-1]
    qtbot.waitUntil(lambda: mark.text().startswith("✓"), timeout=20000)
    work.choose(source=chosen["run:two"])
    assert not mark.text().startswith("✓")


@pytest.fixture
def workspace(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    made = Workspace(viewer)
    viewer.window.add_dock_widget(made, name="Workspace (PhaseT3M)", area="right")
    qtbot.waitUntil(lambda: made._views is not None and dock_of(made._views) is not None, timeout=10000)
    return viewer, made


def test_workspace_docks_views_once(workspace, qtbot):
    viewer, made = workspace
    second = Workspace(viewer)
    viewer.window.add_dock_widget(second, name="Workspace (napari-phaset3m)", area="right")
    qtbot.waitUntil(lambda: second._views is not None, timeout=10000)
    assert second._views is made._views
    assert made.maximumWidth() <= 360 and made._views.maximumHeight() <= 260


def test_panels_have_the_style_once(workspace, make_napari_viewer, qtbot):
    """In the workspace it is worked out for every widget once more; by itself a panel needs it."""
    viewer, made = workspace
    made.show_step("Align")
    assert made.styleSheet() and not made.panel("Align").styleSheet()
    alone = PreparePanel(viewer)
    viewer.window.add_dock_widget(alone, name="Prepare (PhaseT3M)", area="right")
    viewer.window._qt_window.show()
    qtbot.waitUntil(lambda: bool(alone.styleSheet()), timeout=10000)
    assert alone.styleSheet() == made.styleSheet()


@pytest.fixture
def checked(workspace, qtbot):
    """(viewer, workspace, publisher) in step Align, with the layer of its check on the canvas."""
    viewer, made = workspace
    viewer.window._qt_window.show()
    made._session.series = make_series()
    made.show_step("Align")
    publisher = made.panel("Align").work.publisher
    qtbot.waitUntil(lambda: not publisher.hidden(CHECK), timeout=10000)
    return viewer, made, publisher


def test_the_layer_of_the_check_waits_for_the_next_time(checked, qtbot):
    """To make and to remove a layer takes napari 0.1 s each."""
    viewer, made, publisher = checked
    layer = publisher.layer(CHECK)
    made.show_step("Prepare")
    qtbot.wait(100)
    assert publisher.layer(CHECK) is layer and not layer.visible
    assert viewer.layers.selection.active is publisher.layer(IMAGES), "controls and status bar speak of it"
    made.show_step("Align")
    qtbot.waitUntil(lambda: layer.visible, timeout=10000)
    assert viewer.layers[-1] is layer and publisher.layer(CHECK) is layer, "in front again"
    made.show_step("Prepare")
    made._session.series = make_series()
    qtbot.waitUntil(lambda: publisher.layer(CHECK) is None, timeout=10000)
    viewer.dims.ndisplay = 3
    made.show_step("Align")
    qtbot.waitUntil(lambda: not publisher.hidden(CHECK), timeout=10000)
    assert viewer.dims.ndisplay == 2, "made while a volume was looked at"
    made.show_step("Prepare")
    viewer.dims.ndisplay = 3
    made.show_step("Align")
    qtbot.waitUntil(lambda: not publisher.hidden(CHECK), timeout=10000)


@pytest.mark.parametrize("step", ["Align", "Prepare"])
def test_the_layer_of_the_check_goes_with_the_workspace(checked, qtbot, step):
    viewer, made, publisher = checked
    made.show_step(step)
    qtbot.wait(100)
    assert publisher.layer(CHECK) is not None
    viewer.window.remove_dock_widget(made)
    qtbot.waitUntil(lambda: publisher.layer(CHECK) is None, timeout=10000)
    assert publisher.layer(IMAGES).visible
    qtbot.addWidget(made)


def test_views_fold_and_come_back_after_being_closed(workspace, qtbot):
    viewer, made = workspace
    views = made._views
    views.fold.click()
    assert views.collapsed and views.maximumHeight() < 60
    views.fold.click()
    assert not views.collapsed and not views.tabs.currentWidget().isHidden()
    viewer.window.remove_dock_widget(views)
    qtbot.wait(50)
    made.show_views()
    assert isinstance(dock_of(made._views), QDockWidget)


def test_plots_follow_the_theme_of_the_window(workspace):
    """napari's shortcut changes the theme of a window and leaves the settings as they are."""
    viewer, made = workspace
    plot = made._views.findChild(ErrorPlot).plot
    for theme, low, high in (("light", 128, 255), ("dark", 0, 127), ("light", 128, 255), ("dark", 0, 127)):
        viewer.theme = theme
        assert low <= plot.backgroundBrush().color().lightness() <= high, theme


def test_steps_unlock_and_panels_are_made_when_needed(workspace):
    viewer, made = workspace
    for index in range(1, 5):
        button = made.guide.buttons[index]
        assert not button.isEnabled() and button.toolTip() == "Open a series first."
        assert made.panels[index] is None
    session_for(viewer).series = make_series()
    for index in range(1, 7):
        made.guide.buttons[index].click()
        assert made.panels[index] is not None and made.stack.currentIndex() == index
        assert made.panels[index].minimumSizeHint().width() <= 360


def test_closed_workspace_goes_and_state_stays(workspace, qtbot):
    viewer, made = workspace
    session_for(viewer).series = make_series()
    viewer.window.remove_dock_widget(made)
    made.deleteLater()
    del made
    qtbot.wait(50)
    gc.collect()
    session_for(viewer).series = make_series(defocus_angstrom=[900.0])
    again = Workspace(viewer)
    qtbot.addWidget(again)
    assert again.panels[0].table.images.rowCount() == 3


def test_names_of_the_steps_are_never_cut(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    made = Workspace(viewer)
    viewer.window.add_dock_widget(made, name="Workspace (PhaseT3M)", area="right")
    qtbot.wait(200)
    session_for(viewer).series = make_series()
    qtbot.wait(200)
    assert made.width() <= 360
    for button in made.guide.buttons:
        text = button.fontMetrics().horizontalAdvance(button.text())
        assert button.width() >= text + 6, button.text()
    for row in (made.guide.buttons[:4], made.guide.buttons[4:]):
        edges = [(b.geometry().left(), b.geometry().right()) for b in row]
        assert all(right < left for (_, right), (left, _) in pairwise(edges))


def test_imports_are_kept_out_of_collections_unless_a_viewer_is_there(monkeypatch):
    import napari

    from napari_phaset3m.gui.launch import _spare_collections

    gc.unfreeze()
    monkeypatch.setattr(napari, "current_viewer", object)
    _spare_collections()
    assert gc.get_freeze_count() == 0, "it would never be freed"
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    try:
        _spare_collections()
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()


def test_panels_opened_by_themselves_are_tabs_and_the_window_keeps_its_height(make_napari_viewer, qtbot):
    from qtpy.QtWidgets import QDockWidget

    from napari_phaset3m.gui.mask.panel import MaskPanel
    from napari_phaset3m.gui.series.panel import SeriesPanel

    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.setGeometry(0, 0, 1366, 768)
    made = Workspace(viewer)
    docks = [viewer.window.add_dock_widget(made, name="Workspace (PhaseT3M)", area="right")]
    qtbot.waitUntil(lambda: made._views is not None, timeout=10_000)
    for kind in (SeriesPanel, MaskPanel):
        docks.append(viewer.window.add_dock_widget(kind(viewer), name=kind.__name__, area="right"))
        qtbot.wait(100)
    assert set(window.tabifiedDockWidgets(docks[0])) == set(docks[1:])
    assert window.height() <= 768 and docks[-1].widget().isVisible()
    made.show_step("Mask")  # within the workspace a panel stays where it is
    qtbot.wait(100)
    assert made.panel("Mask").window() is window and len(window.findChildren(QDockWidget)) >= 4
    assert set(window.tabifiedDockWidgets(docks[0])) == set(docks[1:])


def test_a_sample_opened_beside_a_series_is_offered(make_napari_viewer, qtbot):
    from napari_phaset3m.sample import co3o4_sample, sample_path

    viewer = make_napari_viewer()
    made = Workspace(viewer)
    viewer.window.add_dock_widget(made, name="Workspace (PhaseT3M)", area="right")
    session = session_for(viewer)
    session.series = small_series()
    ((data, options, _),) = co3o4_sample()
    viewer.add_image(data, **options)
    (note,) = [one for one in made.bar.notes.shown() if "co3o4_sample.h5 is a layer only" in one.text.text()]
    assert session.series.n_tilt != 31
    session.series = small_series()
    assert not made.bar.notes.shown(), "what was said of the series before is over"
    viewer.add_image(data, **options)
    (note,) = made.bar.notes.shown()
    note.buttons[0].click()
    qtbot.waitUntil(lambda: session.series.n_tilt == 31, timeout=30_000)
    qtbot.waitUntil(lambda: session.series_path == sample_path() and len(viewer.layers) == 1, timeout=10_000)


def test_the_window_fits_a_small_screen_whatever_stands_above_the_panels(make_napari_viewer, qtbot):
    """After a crash, with the tour open: napari's window grows with its docks, off the edge of 768 px."""
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, name="Workspace (PhaseT3M)", area="right")
    session = session_for(viewer)
    session.series = make_series()
    for name, *_ in PANELS:
        workspace.show_step(name)
        qtbot.wait(50)
    workspace.tour.begin()
    for number in range(MOST):
        text = f"PhaseT3M was not closed properly. Its last state is kept: long_name_{number}, 29 Nov 21:45."
        workspace.bar.notes.add(text, "warning", [("Reopen it", print), ("Discard", print)])
    for name in ("Prepare", "Mask"):  # the two that do not scroll by themselves
        workspace.show_step(name)
        qtbot.wait(200)
        assert window.height() <= 768 and window.minimumSizeHint().height() <= 768
        panel = workspace.panel(name)
        area = panel.parentWidget().parentWidget()
        assert panel.height() > area.viewport().height() and area.verticalScrollBar().isVisible()
        assert panel.width() == area.viewport().width() >= panel.minimumWidth(), "nothing below its bar"
    workspace.tour.end()
    workspace.bar.notes.clear()
    for name in ("Series", "Prepare", "Mask"):
        workspace.show_step(name)
        area = workspace.panel(name).parentWidget().parentWidget()
        qtbot.wait(200)
        assert (
            not area.verticalScrollBar().isVisible()
            and workspace.panel(name).height() == area.viewport().height()
        )
    above = sum(w.height() for w in (workspace.bar, workspace.guide))
    assert workspace.stack.height() > workspace.height() - above - 20, "no empty stretch below the panel"


def test_nothing_is_shown_in_a_closed_window(workspace, qtbot):
    viewer, made = workspace
    viewer.window._qt_window.show()
    made._session.series = make_series()
    publisher = publisher_for(made._session, viewer)
    qtbot.waitUntil(lambda: publisher.layer(IMAGES) is not None, timeout=10000)
    spec = publisher.newest(IMAGES)
    viewer.close()
    assert publisher.viewer is None and publisher.layer(IMAGES) is None
    assert publisher.show("late", spec) is None
    publisher.remove(IMAGES)
