"""The list of runs: what it tells of each, and what can be done with one."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("qtpy.QtWidgets")
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.gui.project.driver import project_for  # noqa: E402
from napari_phaset3m.gui.reconstruct.driver import driver_for  # noqa: E402
from napari_phaset3m.gui.runs.buttons import BUTTONS, delete_question  # noqa: E402
from napari_phaset3m.gui.runs.made_dialog import NOT_KNOWN, made_of_layer, made_of_run, show_made  # noqa: E402
from napari_phaset3m.gui.runs.row import COLUMNS, row_of, thumbnail  # noqa: E402
from napari_phaset3m.gui.runs.view import RunsView  # noqa: E402
from napari_phaset3m.gui.runs.words import setting_words  # noqa: E402
from napari_phaset3m.io.series import load_series, save_series  # noqa: E402
from napari_phaset3m.project.replay import command, python  # noqa: E402
from napari_phaset3m.project.save_run import save_record  # noqa: E402
from napari_phaset3m.reconstruct.events import SweepDone  # noqa: E402
from napari_phaset3m.session import NamedMask, RunRecord, session_for  # noqa: E402

from ._fake import small_series  # noqa: E402

N = 16


def text_of(record, column):
    return row_of(record)[COLUMNS.index(column)]


@pytest.fixture
def made(qtbot, tmp_path):
    """(viewer, session, list, finished record) with the series opened from a file."""
    viewer = ViewerModel()
    session = session_for(viewer)
    path = save_series(small_series(), tmp_path / "fake.h5")
    session.series_path, session.series_read = path, load_series(path)
    session.series = session.series_read
    driver_for(session, viewer)
    config = ReconstructionConfig(method="sirt", iterations=2, rotation="cubic", holdout_fraction=0.1)
    record = RunRecord(
        "ab12", config, status="finished", reason="sweeps", device="CPU, 2 threads", series_name="fake.h5",
        source=session.source(), volume=np.random.default_rng(0).normal(size=(N,) * 3).astype(np.float32),
        voxel_size_angstrom=0.5, seconds=3.0, steps=("bin",),
        sweeps=[SweepDone(n, 0.5 / (n + 1), 0.6, 0.1, 1.5, 1) for n in range(2)],
    )  # fmt: skip
    session.add_run(record)
    runs = RunsView(session)
    qtbot.addWidget(runs)
    return viewer, session, runs, record


def test_a_row_tells_settings_error_resolution_time_and_device(made):
    _, session, runs, record = made
    assert text_of(record, "Run") == "SIRT\nfake.h5"
    assert text_of(record, "Settings") == "2 sweeps\nInterpolation cubic, Held out 0.1"
    assert text_of(record, "Error") == "0.25\n0.6 held out"
    assert (
        text_of(record, "Time") == "3.0 s\nCPU, 2 threads"
        and text_of(record, "State") == "finished\nall sweeps done"
    )
    assert text_of(record, "Resolution") == "–", "only when measured"
    found = {
        "angstrom": 1.634,
        "criterion": "0.143",
        "status": "crossed",
        "statement": "Resolution 1.63 Å: ...",
    }
    session.update_run("ab12", resolution=found)
    item = runs.table.topLevelItem(0)
    column = COLUMNS.index("Resolution")
    assert item.text(column) == "1.63 Å\nFSC 0.143" and item.toolTip(column) == "Resolution 1.63 Å: ..."
    assert not item.icon(0).isNull()
    session.update_run("ab12", resolution={**found, "status": "nyquist"})
    assert item.text(column).startswith("≤ 1.63 Å")


def test_the_picture_is_the_central_slice(made):
    _, _, _, record = made
    record.volume[:] = 0
    record.volume[N // 2, :, N // 2 :] = 1
    image = thumbnail(record).pixmap(N, N).toImage()
    assert image.pixelColor(2, 8).red() == 0 and image.pixelColor(13, 8).red() == 255
    assert thumbnail(RunRecord("x", ReconstructionConfig())) is None


def test_run_again_has_the_same_settings_and_mask(made):
    _, session, runs, record = made
    driver, started = session.attachments["driver"], []
    driver.start = lambda: started.append((session.config, session.mask, session.mask_name))
    mask = np.ones((N,) * 3, np.float32)
    session.update_run("ab12", mask=NamedMask(mask, (0.5,) * 3, "ball", {}))
    session.config = ReconstructionConfig()
    runs.again_button.click()
    assert started[0][0] == record.config and started[0][1] is mask and started[0][2] == "ball"
    session.update_run("ab12", mask=None)
    runs.again_button.click()
    assert started[1][1] is None, "one without a mask runs without one again"
    session.series_path = session.series_path.with_name("other.h5")
    runs._refresh_buttons()
    assert (
        not runs.again_button.isEnabled() and runs.again_button.toolTip() == "Open its series first: fake.h5"
    )


def test_a_measured_resolution_goes_to_its_run(made, monkeypatch):
    from types import SimpleNamespace

    from napari_phaset3m.gui.analyse.work import Outcome, work_of
    from napari_phaset3m.gui.mask.sources import sources

    viewer, session, _, record = made
    work = work_of(session, viewer)
    work.choose(source=sources(session, viewer)[0])
    found = SimpleNamespace(as_dict=lambda: {"angstrom": 2.0, "criterion": "0.143", "statement": "s"})
    value = SimpleNamespace(curve=SimpleNamespace(resolution=lambda: found))
    work.running = "fsc"
    work._on_outcome((work._token, Outcome(value, "", False, "", (), 0.0, (0, 0, 0))))
    assert record.resolution["angstrom"] == 2.0 and text_of(record, "Resolution") == "2 Å\nFSC 0.143"


def test_how_it_was_made_is_told_and_copied(made):
    viewer, session, _, record = made
    dialog = show_made(viewer, made_of_run(session, record))
    text = dialog.text.toPlainText()
    for part in ("SIRT", "fake.h5", "Done to it before: bin", "Interpolation cubic",
                 "2 sweeps in 3 s", "misfit 0.25, of held-out images 0.6",
                 "16 × 16 × 16 voxels (z, y, x) of 0.5 Å, V"):  # fmt: skip
        assert part in text, part
    assert dialog.copy_command.isEnabled()
    dialog.copy_command.click()
    assert QApplication.clipboard().text() == command(dialog.made.recipe)
    assert "--method sirt --iterations 2 --rotation cubic" in QApplication.clipboard().text()
    dialog.copy_python.click()
    assert QApplication.clipboard().text() == python(dialog.made.recipe)
    record.reason = "finished early"
    dialog = show_made(viewer, made_of_run(session, record))
    assert not dialog.copy_command.isEnabled() and "finished by hand" in dialog.copy_command.toolTip()
    dialog.close()


def test_every_volume_layer_tells_how_it_was_made(made, tmp_path):
    viewer, session, _, record = made
    session.attachments["driver"].show(record)
    layer = session.attachments["driver"].publisher.layer("ab12")
    assert made_of_layer(session, viewer, layer).recipe.config == record.config
    (saved, *_) = save_record(record, tmp_path / "saved.mrc")
    viewer.add_image(record.volume, name="From a file", metadata={"phaset3m": {"source": str(saved)}})
    told = made_of_layer(session, viewer, viewer.layers["From a file"])
    assert told.recipe.config == record.config and told.why_not == ""
    viewer.add_image(np.zeros((3, 3, 3)), name="Anything")
    assert made_of_layer(session, viewer, viewer.layers["Anything"]).text == NOT_KNOWN


def test_what_is_deleted_is_named_with_date_and_size(made, qtbot, tmp_path):
    _, session, _, record = made
    record.started_at = datetime(2026, 11, 29, 19, 40).timestamp()
    assert delete_question(session, [record]) == (
        "Delete this run? Its volume is deleted; this cannot be undone.\n\n"
        "SIRT · fake.h5, 2026-11-29 19:40, 16 kB in memory, not on disk"
    )
    project = project_for(session, made[0])
    project.save_as(tmp_path / "a")
    qtbot.waitUntil(lambda: project.folder is not None, timeout=30_000)
    told = sum(path.stat().st_size for path in (project.folder / "runs" / "ab12").iterdir())
    assert told > 16_384
    text = delete_question(session, [record] * 8)
    assert text.startswith("Delete these 8 runs? Their volumes are deleted from the project a.phaset3m too;")
    assert f"19:40, {told / 1e3:.0f} kB on disk" in text and text.endswith("and 2 more")
    project._closed = True
    project._timer.stop()


def test_buttons_say_what_they_do_or_why_not(made):
    _, session, runs, _ = made
    runs.table.clearSelection()
    for name in BUTTONS:
        button = getattr(runs, f"{name}_button")
        if name != "compare":
            assert not button.isEnabled() and button.toolTip() == "Select a run first", name
    runs.table.selectAll()
    for name, (_, tip) in BUTTONS.items():
        button = getattr(runs, f"{name}_button")
        assert button.isEnabled() and button.toolTip() == tip, name
    session.add_run(RunRecord("on", ReconstructionConfig(), status="running"))
    assert not runs.remove_button.isEnabled() and runs.remove_button.toolTip() == "The run is under way"


def test_settings_are_named_as_in_the_form():
    config = ReconstructionConfig(
        slices=12, subset_size="all", voxel_angstrom=0.5, constraints={"positivity": False, "tv_weight": 0.2}
    )
    words = setting_words(config)
    assert words["Slices"] == "12" and words["Tilts per update"] == "all" and words["Voxel"] == "0.5 Å"
    assert words["Positive potential"] == "off" and words["Total variation"] == "0.2 V"
    assert setting_words(ReconstructionConfig()) == {}


def test_a_result_that_is_shown_again_brings_its_transform(qtbot):
    """After a project was reopened nothing has run yet: the views below the canvas follow what is shown."""
    viewer = ViewerModel()
    session = session_for(viewer)
    driver = driver_for(session, viewer)
    data = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    record = RunRecord(
        "old", ReconstructionConfig(), status="finished", volume=data, voxel_size_angstrom=2.0, unit="V"
    )
    session.add_run(record)
    assert session.frame is None
    driver.show(record)
    qtbot.waitUntil(lambda: session.frame is not None, timeout=30_000)
    frame = session.frame
    assert frame.run_id == "old" and frame.final and frame.log_power is not None and frame.volume is data
