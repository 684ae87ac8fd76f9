"""Another series is opened: it is seen, and nothing that was of the one before stays."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402

from napari_phaset3m.gui.align.panel import AlignPanel  # noqa: E402
from napari_phaset3m.gui.layers.images import IMAGES  # noqa: E402
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, publisher_for  # noqa: E402
from napari_phaset3m.gui.mask.panel import MaskPanel  # noqa: E402
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel  # noqa: E402
from napari_phaset3m.gui.runs.view import RunsView  # noqa: E402
from napari_phaset3m.gui.series.loader import loader_for  # noqa: E402
from napari_phaset3m.gui.series.panel import SeriesPanel  # noqa: E402
from napari_phaset3m.gui.step_guide import hint  # noqa: E402
from napari_phaset3m.gui.steps.driver import step_driver_for  # noqa: E402
from napari_phaset3m.gui.workspace import Workspace  # noqa: E402
from napari_phaset3m.io.volume import Volume, save_volume  # noqa: E402
from napari_phaset3m.sample import sample_path  # noqa: E402
from napari_phaset3m.session import RunRecord, Session, session_for  # noqa: E402

from ._fake import small_series  # noqa: E402

WAIT = 30_000
BOX = Volume(data=np.ones((6, 6, 6), np.float32), voxel_size_angstrom=4.0)


def other_series(pixel: float = 8.0):
    return small_series(20).replace(pixel_size_angstrom=pixel, metadata={"name": "other"})


def volume_layer(viewer, role: str = "volume"):
    data = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    return viewer.add_image(data, scale=(0.5,) * 3, units=("angstrom",) * 3, axis_labels=("z", "y", "x"),
                            metadata={METADATA_KEY: {"role": role, "run_id": "one"}})  # fmt: skip


@pytest.fixture
def panel(qtbot):
    viewer = ViewerModel()
    made = SeriesPanel(viewer)
    qtbot.addWidget(made)
    made.show()
    return viewer, session_for(viewer), made


def test_a_series_opened_in_3d_is_seen(qtbot, panel):
    viewer, session, made = panel
    session.series = small_series()
    volume_layer(viewer)
    viewer.dims.ndisplay = 3
    with qtbot.waitSignal(loader_for(session).loaded, timeout=WAIT):
        made.file.open_path(sample_path("hiv"))
    images = publisher_for(session, viewer).layer(IMAGES)
    assert viewer.dims.ndisplay == 2 and images.visible and viewer.layers[-1] is images
    assert not made.view.forward.isVisible()


def test_a_series_opened_while_its_layer_is_put_aside_is_seen(qtbot, panel):
    """As during a run, when a stack that was dropped has turned the canvas to 2D."""
    viewer, session, made = panel
    session.series = small_series()
    images = publisher_for(session, viewer).layer(IMAGES)
    images.visible = False
    viewer.add_image(np.zeros((2, 2, 8, 8)))
    with qtbot.waitSignal(loader_for(session).loaded, timeout=WAIT):
        made.file.open_path(sample_path("hiv"))
    assert images.visible and viewer.layers[-1] is images and not made.view.forward.isVisible()


def test_an_edit_or_an_undo_leaves_the_canvas_in_3d(panel):
    viewer, session, _ = panel
    session.series_read = session.series = small_series()
    viewer.dims.ndisplay = 3
    session.series = session.series.replace(energy_ev=200e3)
    session.undo()
    assert session.series.energy_ev == 300e3 and session.history.can_redo, "Redo survives the last Undo"
    assert viewer.dims.ndisplay == 3


def test_a_panel_opened_later_leaves_the_canvas_in_3d(qtbot):
    viewer = ViewerModel()
    session_for(viewer).series = small_series()
    volume_layer(viewer)
    viewer.dims.ndisplay = 3
    made = SeriesPanel(viewer)
    qtbot.addWidget(made)
    assert viewer.dims.ndisplay == 3


def test_samples_and_volumes_that_napari_opens_in_3d_are_seen(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer()
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, name="Workspace (PhaseT3M)", area="right")
    session_for(viewer).series = small_series()
    run = volume_layer(viewer)
    viewer.dims.ndisplay = 3
    path = save_volume(BOX, tmp_path / "v.mrc")
    (opened,) = viewer.open(str(path), plugin="napari-phaset3m")
    qtbot.waitUntil(lambda: not run.visible, timeout=WAIT)
    assert opened.visible and viewer.dims.ndisplay == 3
    viewer.open_sample("napari-phaset3m", "hiv")
    qtbot.waitUntil(lambda: viewer.dims.ndisplay == 2, timeout=WAIT)
    assert viewer.layers[-1].name == "hiv_sample.h5" and viewer.layers[-1].visible
    workspace.project._closed = True
    workspace.project._timer.stop()


def test_a_volume_opened_for_a_mask_in_3d_is_seen(qtbot, tmp_path):
    viewer = ViewerModel()
    run = volume_layer(viewer)
    viewer.dims.ndisplay = 3
    made = MaskPanel(viewer)
    qtbot.addWidget(made)
    path = save_volume(BOX, tmp_path / "v.mrc")
    with qtbot.waitSignal(made.actions_.opened, timeout=WAIT):
        made.actions_.open_volume(path)
    layer = publisher_for(session_for(viewer), viewer).layer(f"file:{path}")
    assert layer.visible and not run.visible
    qtbot.waitUntil(lambda: not made._work.busy, timeout=WAIT)


def test_messages_of_the_series_before_are_gone(qtbot):
    viewer = ViewerModel()
    session = session_for(viewer)
    session.series = small_series()
    panels = align, mask, runs, reconstruct = (
        AlignPanel(viewer), MaskPanel(viewer), RunsView(session), ReconstructPanel(session, viewer),
    )  # fmt: skip
    for made in panels:
        qtbot.addWidget(made)
        made.show()
    session.add_run(RunRecord("one", session.config, status="finished", series_name="fake", device="a CPU"))
    session.message = "Saved first.h5"
    step_driver_for(session).say("align", "Accepted: the series has this alignment now", "good")
    mask._say("The mask goes into the next run.", "good")
    runs.say("Saved first.mrc")
    assert hint(session)[0] == "Saved first.h5" and "a CPU" in reconstruct.numbers.text()
    assert align.bar.note.text() and reconstruct.status.text() == "Saved first.h5"
    session.series = other_series()
    labels = (align.bar.note, mask.ui.note, runs.note, reconstruct.status, reconstruct.numbers)
    assert [label.text() for label in labels] == [""] * 5
    assert session.message == step_driver_for(session).last_said[1] == ""


def test_messages_of_a_run_that_goes_on_stay():
    session = Session(series=small_series())
    session.active_run, session.message = "one", "Running"
    session.series = other_series()
    assert session.message == "Running"


def test_a_typed_voxel_stays_for_its_series_only(tmp_path):
    session = Session()
    session.config = session.config.model_copy(update={"voxel_angstrom": 2.0})
    session.series_path = tmp_path / "a.h5"
    session.series = small_series()
    assert session.config.voxel_angstrom == 2.0, "set before anything was open: by a script or a project"
    session.series = session.series.replace(energy_ev=200e3)
    session.series = small_series()  # the same file, read again
    assert session.config.voxel_angstrom == 2.0
    session.series = other_series(8.0)
    assert session.config.voxel_angstrom is None and "2 Å" in session.message
    session.config = session.config.model_copy(update={"voxel_angstrom": 12.0})
    session.series_path = tmp_path / "b.h5"
    session.series = other_series(8.0)
    assert session.config.voxel_angstrom is None, "another file of the same pixel"


def test_a_project_brings_its_own_voxel_back():
    session = Session(series=small_series())
    session.series = None
    session.config = session.config.model_copy(update={"voxel_angstrom": 12.0})
    session.series = other_series()
    assert session.config.voxel_angstrom == 12.0
