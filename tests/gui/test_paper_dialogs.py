"""Figure… and Film… of a run or layer: what they offer, what they write, and that Cancel leaves nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("qtpy.QtWidgets")
pytest.importorskip("napari")
pytest.importorskip("matplotlib")

from napari.components import ViewerModel  # noqa: E402
from PIL import Image  # noqa: E402

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.errors import DataError  # noqa: E402
from napari_phaset3m.gui.paper import film_dialog  # noqa: E402
from napari_phaset3m.gui.paper import work as paper_work  # noqa: E402
from napari_phaset3m.gui.paper.dialog import open_paper  # noqa: E402
from napari_phaset3m.gui.paper.film_dialog import FilmDialog  # noqa: E402
from napari_phaset3m.gui.paper.subject import subject_of_layer, subject_of_run  # noqa: E402
from napari_phaset3m.gui.reconstruct.driver import driver_for  # noqa: E402
from napari_phaset3m.gui.reconstruct.sweep_pictures import (  # noqa: E402
    MOST_BYTES,
    MOST_PICTURES,
    SweepPictures,
    sweep_pictures_of,
)
from napari_phaset3m.gui.runs.view import RunsView  # noqa: E402
from napari_phaset3m.jobs import PreviewFrame  # noqa: E402
from napari_phaset3m.session import RunRecord, session_for  # noqa: E402

from ._fake import FakeSolver, small_series  # noqa: E402

N = 24


def ball(n: int = N) -> np.ndarray:
    z, y, x = np.indices((n,) * 3) - (n - 1) / 2
    return np.exp(-(z**2 + y**2 + x**2) / 20).astype(np.float32)


def preview(run_id: str, sweep: int, n: int = N, *, final: bool = False) -> PreviewFrame:
    volume = np.full((n,) * 3, float(sweep), np.float32)
    return PreviewFrame(run_id, sweep, volume, None, 0.5, (0.0, 1.0), final=final, unit="V")


@pytest.fixture
def made(qtbot):
    """(viewer, session, list of runs, finished run)."""
    viewer = ViewerModel()
    session = session_for(viewer)
    session.series = small_series()
    driver_for(session, viewer)
    record = RunRecord(
        "ab12", ReconstructionConfig(), status="finished", series_name=session.series_name,
        volume=ball(), voxel_size_angstrom=0.5,
    )  # fmt: skip
    session.add_run(record)
    runs = RunsView(session)
    qtbot.addWidget(runs)
    return viewer, session, runs, record


def opened(session, name):
    return session.attachments[f"{name} dialog"]()


def test_buttons_need_one_run_with_a_volume(made):
    _, session, runs, _ = made
    assert runs.figure_button.isEnabled() and runs.film_button.isEnabled()
    session.add_run(RunRecord("cd34", ReconstructionConfig(), status="stopped"))
    assert not runs.figure_button.isEnabled()
    assert runs.film_button.toolTip() == "This run has no full-size volume"
    runs.table.selectAll()
    assert runs.figure_button.toolTip() == "Select one run"


def test_a_figure_is_previewed_and_written_with_its_record(made, qtbot, tmp_path):
    _, session, runs, _ = made
    runs.figure_button.click()
    dialog = opened(session, "figure")
    assert dialog.isVisible() and not dialog.panels["fsc"].isEnabled()
    assert "step Analyse" in dialog.panels["fsc"].toolTip()
    with qtbot.waitSignal(dialog.work.previewed, timeout=30_000):
        for name in ("surface", "power", "transforms"):
            dialog.panels[name].setChecked(False)
    wide = dialog.picture.pixmap
    assert wide.width() > 2 * wide.height(), "slices alone are a row of three"
    with qtbot.waitSignal(dialog.work.previewed, timeout=30_000):
        dialog.width_mm.setValue(88)
    assert dialog.picture.pixmap.width() == pytest.approx(88 / 25.4 * 300, abs=2)
    dialog.format.setCurrentIndex(dialog.format.findData(".png"))
    with qtbot.waitSignal(dialog.work.saved, timeout=30_000):
        dialog.save(tmp_path / "fig")
    with Image.open(tmp_path / "fig.png") as image:
        told = json.loads(image.text["Description"])
        assert image.width == dialog.picture.pixmap.width()
    assert told["parameters"]["width_mm"] == 88 and told["made"]["parameters"]["method"]
    assert dialog.note.text().startswith("Saved ") and dialog.save_button.isEnabled()
    for box in dialog.panels.values():
        box.setChecked(False)
    assert not dialog.save_button.isEnabled() and dialog.note.text() == "Choose a panel at least"


def test_a_film_has_the_length_that_was_asked_for(made, qtbot, tmp_path):
    _, session, runs, _ = made
    runs.film_button.click()
    dialog = opened(session, "film")
    dialog.kind.setCurrentIndex(dialog.kind.findData("sweeps"))
    assert not dialog.save_button.isEnabled() and "No pictures" in dialog.save_button.toolTip()
    dialog.kind.setCurrentIndex(dialog.kind.findData("slices"))
    dialog.format.setCurrentIndex(dialog.format.findData(".gif"))
    dialog.seconds.setValue(4.0)
    dialog.rate.setValue(10)
    dialog.size_px.setValue(96)
    assert dialog.save_button.isEnabled() and dialog.axis.isEnabled() and not dialog.look.isEnabled()
    with qtbot.waitSignal(dialog.work.previewed, timeout=30_000):
        dialog.inverted.setChecked(True)
    assert dialog.picture.pixmap.width() == 96
    with qtbot.waitSignal(dialog.work.saved, timeout=30_000):
        dialog.save(tmp_path / "through")
    with Image.open(tmp_path / "through.gif") as film:
        shown = sum(film.seek(n) or film.info["duration"] for n in range(film.n_frames))
    assert shown == 4000, "24 planes at 10 a second are held for 4 s"


def test_cancel_and_close_leave_nothing(made, qtbot, tmp_path):
    viewer, session, _, record = made
    dialog = open_paper(viewer, subject_of_run(session, record), FilmDialog)
    dialog.format.setCurrentIndex(dialog.format.findData(".gif"))
    dialog.seconds.setValue(120.0)
    dialog.save(tmp_path / "turn.gif")
    assert dialog.cancel_button.isVisible() and not dialog.save_button.isEnabled()
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=30_000)
    dialog.cancel_button.click()
    qtbot.waitUntil(lambda: not dialog.work.saving, timeout=30_000)
    assert dialog.note.text() == "Cancelled; nothing was written" and not any(tmp_path.iterdir())
    dialog.save(tmp_path / "turn.gif")
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=30_000)
    dialog.close()
    from qtpy.QtCore import QThreadPool

    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=30_000)
    assert not any(tmp_path.iterdir())


def test_a_missing_package_is_one_line(made, qtbot, tmp_path, monkeypatch):
    import importlib.util

    viewer, session, _, record = made
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "imageio_ffmpeg" else find(name, *a)
    )
    dialog = open_paper(viewer, subject_of_run(session, record), FilmDialog)
    assert dialog.format.currentData() == ".gif", "what can be written is proposed"
    dialog.save(tmp_path / "turn.mp4")
    qtbot.waitUntil(lambda: not dialog.work.saving, timeout=30_000)
    assert dialog.note.text().startswith("Not saved: MP4 films need imageio-ffmpeg: ")
    assert "\n" not in dialog.note.text() and not any(tmp_path.iterdir())
    dialog.close()


def test_layers_are_taken_or_refused_with_a_reason(made):
    viewer, session, _, record = made
    session.attachments["driver"].show(record)
    layer = next(layer for layer in viewer.layers if layer.metadata["phaset3m"]["run_id"] == "ab12")
    assert subject_of_layer(session, viewer, layer).volume is record.volume
    assert subject_of_layer(session, viewer, layer).tilt_range_deg == (-10.0, 10.0)
    own = viewer.add_image(ball(), name="own", scale=(0.7,) * 3, units=("angstrom",) * 3)
    assert subject_of_layer(session, viewer, own).voxel_size_angstrom == 0.7
    pixels = viewer.add_image(ball(), name="pixels")
    flat = viewer.add_image(ball()[0], name="flat")
    long = viewer.add_image(ball(), name="long", scale=(1, 1, 2), units=("angstrom",) * 3)
    for bad, why in ((pixels, "unit of length is pixel"), (flat, "no volume"), (long, "no cubes")):
        with pytest.raises(DataError, match=why):
            subject_of_layer(session, viewer, bad)
    with pytest.raises(DataError, match="Select one volume"):
        subject_of_layer(session, viewer, None)


def test_a_run_keeps_a_picture_of_each_sweep_and_they_become_a_film(made, qtbot, tmp_path, monkeypatch):
    from napari_phaset3m.jobs import runner

    viewer, session, _, _ = made
    # slow enough for the window's pace of pictures
    monkeypatch.setattr(runner, "open_events", FakeSolver(n_sweeps=5, n_steps=5, step_seconds=0.12))
    record = session.attachments["driver"].start()
    qtbot.waitUntil(lambda: session.active_run is None, timeout=30_000)
    kept = sweep_pictures_of(session).of(record.run_id)
    assert len(kept.by_sweep) >= 3 and kept.voxel_size_angstrom == 0.5
    for sweep, picture in kept.by_sweep.items():  # the stand-in's volume grows with the sweep
        assert picture.shape == (16, 16) and picture.max() == pytest.approx(sweep + 1)
    dialog = open_paper(viewer, subject_of_run(session, record), FilmDialog)
    dialog.kind.setCurrentIndex(dialog.kind.findData("sweeps"))
    dialog.seconds.setValue(2.0)
    dialog.size_px.setValue(64)
    with qtbot.waitSignal(dialog.work.saved, timeout=30_000):
        dialog.save(tmp_path / "sweeps.gif")
    with Image.open(tmp_path / "sweeps.gif") as film:
        first, last = (np.asarray((film.seek(n), film.convert("L"))[1]) for n in (0, film.n_frames - 1))
    assert last[32, 32] > first[32, 32] + 20, "on one grey scale the last sweep is brighter"
    dialog.close()
    session.remove_run(record.run_id)
    assert sweep_pictures_of(session).of(record.run_id) is None


def test_pictures_are_bounded_in_memory():
    kept = SweepPictures()
    for sweep in range(1000):
        kept.add(preview("a", sweep, 8))
    numbers = sorted(kept.of("a").by_sweep)
    assert MOST_PICTURES / 2 < len(numbers) <= MOST_PICTURES
    assert len(set(np.diff(numbers))) == 1, "evenly thinned"
    kept.add(preview("a", 1008, 16))
    kept.add(preview("a", 1008, 8, final=True))
    assert sorted(kept.of("a").by_sweep) == numbers, "another grid, and the result, are left out"
    per_run = MOST_BYTES // 2 + 1
    edge = int(np.sqrt(per_run / 4)) + 1
    for run in "bcd":
        volume = np.zeros((1, edge, edge), np.float32)
        kept.add(PreviewFrame(run, 0, volume, None, 0.5, (0, 1), unit="V"))
    assert kept.of("a") is None and kept.of("b") is None and kept.of("d") is not None


def test_previews_follow_the_newest_settings(qtbot, monkeypatch):
    """A preview that is out of date is given up, and of many changes only the last is drawn."""
    from threading import Event

    monkeypatch.setattr(paper_work, "DEBOUNCE_MS", 1)
    work, begun, drawn = paper_work.PaperWork(), Event(), []
    work.previewed.connect(drawn.append)

    def slow(show):
        begun.set()
        while True:
            show("drawing", 0.5)

    work.preview(slow)
    qtbot.waitUntil(begun.is_set, timeout=5_000)
    for number in range(5):
        work.preview(lambda show, number=number: number)
    qtbot.waitUntil(lambda: bool(drawn), timeout=5_000)
    assert drawn == [4]


def test_film_settings_count_frames():
    settings = film_dialog.FilmSettings("slices", "mip", "z", 2.5, 12, 480, False)
    assert settings.count == 30


def test_commands_say_why_there_is_nothing_to_draw(monkeypatch):
    from napari.utils import notifications

    from napari_phaset3m.gui.paper.figure_dialog import figure_command

    said = []
    monkeypatch.setattr(notifications, "show_info", said.append)
    figure_command(ViewerModel())
    assert said and said[0].startswith("Select one volume first")
