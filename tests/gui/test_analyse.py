"""The Analyse panel in a real napari window: topics, halves, stale results, files, what users do."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

sys.path.insert(0, str(Path(__file__).parent))
from _fake import FakeSolver, small_series  # noqa: E402
from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QFileDialog  # noqa: E402

from napari_phaset3m.analyse.cell import Cell  # noqa: E402
from napari_phaset3m.analyse.fsc import fsc, masked_fsc, wedge_fsc  # noqa: E402
from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.errors import ConfigError, DataError  # noqa: E402
from napari_phaset3m.gui.analyse import work as analyse_work  # noqa: E402
from napari_phaset3m.gui.analyse.compute import TOPICS, Topic  # noqa: E402
from napari_phaset3m.gui.analyse.curves import PLOTS, fsc_plots  # noqa: E402
from napari_phaset3m.gui.analyse.fourier3d import sphere_lines  # noqa: E402
from napari_phaset3m.gui.analyse.inputs import Halves, Inputs, cell_text, parse_cell, same_stamp  # noqa: E402
from napari_phaset3m.gui.analyse.layers import ATOMS, LINE  # noqa: E402
from napari_phaset3m.gui.analyse.panel import AnalysePanel  # noqa: E402
from napari_phaset3m.gui.analyse.plot import legend_html  # noqa: E402
from napari_phaset3m.gui.analyse.slices import SlicesView  # noqa: E402
from napari_phaset3m.gui.analyse.view import view_of  # noqa: E402
from napari_phaset3m.gui.fourier.wedge import wedge_lines  # noqa: E402
from napari_phaset3m.gui.mask.sources import sources  # noqa: E402
from napari_phaset3m.gui.theme import theme_colours  # noqa: E402
from napari_phaset3m.io.volume import Volume, load_volume, save_volume  # noqa: E402
from napari_phaset3m.session import NamedMask, RunRecord, session_for  # noqa: E402

N, VOXEL = 24, 0.5
WAIT = 60_000
#: (x, y, z) from the rotation centre, angstrom, and heights: two heavy atoms and two light ones.
PLACES = np.array([[2.0, 0.0, 0.0], [-2.0, 0.5, 1.0], [0.0, 3.0, -1.0], [0.5, -3.0, 2.0]])
HEIGHTS = np.array([30.0, 28.0, 19.0, 18.0])


def lumps(seed: int = 0, noise: float = 0.05) -> np.ndarray:
    z, y, x = np.meshgrid(*[(np.arange(N) - (N - 1) / 2) * VOXEL] * 3, indexing="ij")
    volume = np.random.default_rng(seed).normal(0, noise, (N, N, N))
    for (px, py, pz), height in zip(PLACES, HEIGHTS, strict=True):
        volume += height * np.exp(-((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / (2 * 0.5**2))
    return volume.astype(np.float32)


def record(run_id: str = "one", **more) -> RunRecord:
    given = {
        "status": "finished", "series_name": "fake", "volume": lumps(), "voxel_size_angstrom": VOXEL,
    }  # fmt: skip
    return RunRecord(run_id, ReconstructionConfig(), **{**given, **more})


def halves(seed: int = 1) -> Halves:
    return Halves((lumps(seed, 2.0), lumps(seed + 1, 2.0)), VOXEL, "odd and even tilts", "one")


def ball_mask() -> NamedMask:
    z, y, x = np.meshgrid(*[(np.arange(N) - (N - 1) / 2) * VOXEL] * 3, indexing="ij")
    mask = np.clip(6 - np.sqrt(x**2 + y**2 + z**2), 0, 1).astype(np.float32)
    return NamedMask(mask, (VOXEL,) * 3, "ball", {})


@pytest.fixture
def empty(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    panel = AnalysePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Analyse", area="right")
    return viewer, panel, session_for(viewer)


@pytest.fixture
def window(empty):
    """(viewer, panel, session) with one result."""
    viewer, panel, session = empty
    session.add_run(record())
    session.update_run("one")
    return viewer, panel, session


def click(qtbot, button) -> None:
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def compute(qtbot, panel, key: str):
    click(qtbot, panel.ui.rows[key].run)
    qtbot.waitUntil(lambda: not panel.work.busy, timeout=WAIT)
    outcome = panel.work.outcomes[key]
    assert not outcome.failed, outcome.text
    return outcome


def test_without_data_everything_says_what_to_do(empty):
    _, panel, _ = empty
    for key in set(TOPICS) - {"optics"}:
        run = panel.ui.rows[key].run
        assert not run.isEnabled() and "volume" in run.toolTip()
    assert "step Series" in panel.ui.rows["optics"].run.toolTip()
    for button in (panel.ui.all, panel.ui.report, panel.ui.draw):
        assert not button.isEnabled() and button.toolTip()
    assert panel.ui.choices.open.isEnabled() and not panel.ui.choices.mask.isEnabled()


def test_slices_have_their_thickness_and_the_view_shows_them(window, qtbot):
    viewer, panel, session = window
    panel.ui.thickness.setValue(1.0)
    found = compute(qtbot, panel, "slices").value
    assert found.thickness_angstrom == 1.0 and "1 Å thick (2 voxels" in panel.ui.rows["slices"].text.text()
    for wanted, shown in ((0.1, "1.00 Å thick"), (1.9, "2.00 Å thick"), (1.0, "1.00 Å thick")):
        panel.work.choose(slice_angstrom=wanted)
        assert panel.ui.thickness.text() == shown, "as many whole voxels as are averaged"
    middle = lumps()[N // 2 - 1 : N // 2 + 1].mean(axis=0)
    np.testing.assert_allclose(found.planes[0], middle, rtol=1e-4, atol=1e-3)
    view = view_of(session, viewer, panel.work)
    assert view.key == "slices" and view.pages.currentWidget() is view.slices
    alone = SlicesView()
    qtbot.addWidget(alone)
    alone.show_slices(found)
    alone.show()
    for size, count in (((420, 220), 4), ((900, 120), 2)):
        alone.resize(*size)
        rows = {row for cells in alone.graphics.ci.items.values() for row, _ in cells}
        assert len(rows) == count, "titles and pictures, twice or once"


def test_fsc_states_criterion_mask_and_halves(window, qtbot):
    viewer, panel, session = window
    assert "half volumes" in panel.ui.rows["fsc"].run.toolTip()
    panel.work.choose(halves=halves())
    found = compute(qtbot, panel, "fsc").value
    pair = halves().volumes
    np.testing.assert_array_equal(found.curve.fsc, fsc(*pair, VOXEL).fsc)
    text = panel.ui.rows["fsc"].text.text()
    assert "0.143" in text and "mask: none" in text and "odd and even tilts" in text
    view = view_of(session, viewer, panel.work)
    assert len(view.curves.widgets) == 2  # no tilts: no curve of a wedge
    session.analysis_mask = ball_mask()
    assert panel.work.stale("fsc") and panel.ui.rows["fsc"].run.text() == "Compute"
    assert panel.ui.rows["fsc"].text.text().startswith("Out of date")
    masked = compute(qtbot, panel, "fsc").value
    expected = masked_fsc(*pair, VOXEL, ball_mask().mask, mask_name="ball", halves="odd and even tilts")
    np.testing.assert_array_equal(masked.curve.corrected, expected.corrected)
    assert "mask: ball" in panel.ui.rows["fsc"].text.text()
    session.series = small_series(N)
    assert compute(qtbot, panel, "fsc").value.wedge is not None and len(view.curves.widgets) == 3


def test_another_series_is_not_taken_along_unless_it_is_asked_for(window, qtbot):
    """Its tilts would be told as the missing wedge of a volume that was made of others."""
    viewer, panel, session = window
    box, work = panel.ui.choices, panel.work
    session.series = small_series(N)
    assert session.series_name == "fake" and box.series.isChecked() and work.inputs.series is session.series
    session.series = small_series(N).replace(metadata={"name": "other"})
    assert not box.series.isChecked() and work.inputs.series is None
    assert box.series_name.full_text().startswith("another: other") and "made of fake" in box.series.toolTip()
    box.series.click()
    assert box.series.isChecked() and work.inputs.series is session.series, "as the user wants it"
    session.add_run(record("two", series_name="other"))
    session.update_run("two")
    chosen = {source.key: source for source in sources(session, viewer)}
    work.choose(source=chosen["run:two"])
    assert work.inputs.series is session.series and box.series_name.full_text().startswith("other")
    box.series.click()
    assert work.inputs.series is None, "left out where it belongs, too"
    work.choose(source=chosen["run:one"])
    assert not box.series.isChecked()
    box.series.click()
    work.choose(source=chosen["run:two"])
    assert work.inputs.series is session.series


def test_a_series_of_the_same_name_in_another_folder_is_another(window, qtbot):
    """By its name alone its tilts would be drawn as the missing wedge of the other's volume."""
    viewer, panel, session = window
    box, work = panel.ui.choices, panel.work
    session.series = small_series(N)
    session.add_run(record("two", series_mark=session.series_mark))
    session.update_run("two")
    work.choose(source={source.key: source for source in sources(session, viewer)}["run:two"])
    assert work.inputs.series is session.series
    other = session.series
    session.series = other.replace(tilt_deg=0.5 * other.tilt_deg)
    assert session.series_name == "fake" and work.inputs.series is session.series, "edited here: the same"
    session.series = other.replace(images=other.images + np.random.default_rng(0).random(other.images.shape))
    assert session.series_name == "fake" and work.inputs.series is None and not box.series.isChecked()
    assert "The volume was made of another fake: tick it only if" in box.series.toolTip()
    assert "made of another fake: open that series" in panel.job.why_not()


def test_fsc_plot_has_criteria_noise_bound_and_every_curve():
    pair, mask = halves().volumes, ball_mask().mask
    curve = masked_fsc(*pair, VOXEL, mask, mask_name="ball")

    class Cones:
        def rows(self):
            return [{"angle_to_beam_deg": 10.0, "resolution_angstrom": None, "in_wedge": True},
                    {"angle_to_beam_deg": 80.0, "resolution_angstrom": 2.0, "in_wedge": False}]  # fmt: skip

    class Result:
        wedge, cones, free = None, Cones(), None

    Result.curve = curve
    first, cones = fsc_plots(Result())
    assert [one.name for one in first.curves] == [
        "corrected",
        "masked",
        "no mask",
        "random phases",
        "half-bit",
    ]
    assert [level for level, _ in first.levels] == [0.5, 0.143]
    np.testing.assert_array_equal(first.band[1], curve.noise_bound)
    mark = first.marks[0][1].replace(" ", "&nbsp;")
    assert mark.endswith("at&nbsp;0.143") and mark in legend_html(first, theme_colours())
    styles = {(one.colour, one.dash) for one in first.curves}
    assert len(styles) == 5 and len({one.dash for one in first.curves[:4]}) == 4
    assert [one.name for one in cones.curves] == ["measured", "missing wedge"]
    assert "Å" in cones.ylabel
    Result.wedge, Result.free = wedge_fsc(*pair, VOXEL, [-60, 60], mask=mask), curve
    first, wedge, _ = fsc_plots(Result())
    np.testing.assert_array_equal(wedge.band[1], Result.wedge.wedge.noise_bound)
    assert [one.name for one in wedge.curves][-1] == "half-bit, wedge"
    whites = [one.name for one in first.curves if one.colour < 0]
    assert whites == ["half-bit"], "white broken lines cannot be told apart"
    assert len({(one.colour, one.dash) for one in first.curves}) == len(first.curves)
    assert cones.curves[0].y == [0.5] and cones.curves[1].y == [0.0]  # 1/Å; no resolution at 0


def test_atoms_appear_where_they_are_and_are_exported(window, qtbot, tmp_path, monkeypatch):
    viewer, panel, _ = window
    found = compute(qtbot, panel, "atoms").value.atoms
    assert len(found) == 4 and list(found.species) == [0, 0, 1, 1]
    layer = panel.work.publisher.layer(ATOMS)
    order = np.argsort(-HEIGHTS)
    np.testing.assert_allclose(layer.data[:, ::-1], PLACES[order], atol=0.05)
    colours = {tuple(np.round(c, 3)) for c in layer.face_color}
    assert len(colours) == 2 and len({str(s) for s in layer.symbol}) == 2
    target = tmp_path / "a.xyz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    click(qtbot, panel.ui.xyz)
    qtbot.waitUntil(lambda: panel.ui.note.text() == "Saved a.xyz", timeout=WAIT)
    lines = target.read_text().splitlines()
    assert lines[0] == "4" and len(lines) == 6
    np.testing.assert_allclose([float(v) for v in lines[2].split()[1:4]], PLACES[0], atol=0.05)
    viewer.layers.remove(layer)
    panel.ui.species.setValue(1)
    assert panel.work.stale("atoms")
    assert list(compute(qtbot, panel, "atoms").value.atoms.species) == [0] * 4
    again = panel.work.publisher.layer(ATOMS)
    assert again is not None and again is not layer and len({tuple(c) for c in again.face_color}) == 1


def test_atoms_are_matched_to_a_model(window, qtbot, tmp_path, monkeypatch):
    _, panel, _ = window
    model = tmp_path / "model.xyz"
    symbols = ["Co", "Co", "O", "O", "O"]  # the last one is nowhere in the volume
    places = np.vstack([PLACES + np.array([0.0, 0.0, 0.3]), [5.0, 5.0, 5.0]])
    rows = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(symbols, places, strict=True)]
    model.write_text("\n".join(["5", "shifted by 0.3 Å along z", *rows]) + "\n")
    first = compute(qtbot, panel, "atoms")
    assert "model" not in first.text
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(model), ""))
    click(qtbot, panel.ui.model)
    qtbot.waitUntil(lambda: panel.work.inputs.model is not None, timeout=WAIT)
    assert "model.xyz, 5 atoms" in panel.ui.note.text() and panel.work.stale("atoms")
    outcome = compute(qtbot, panel, "atoms")
    assert "4 of 5 atoms of the model found" in outcome.text
    assert "2 of 2 atoms of the model found" in outcome.text, "the heavy ones"
    assert outcome.value.match.rmsd_angstrom < 0.1 and outcome.value.names == ("Co", "O")
    assert "4 of 5" in panel.ui.rows["atoms"].text.text()
    click(qtbot, panel.ui.model)
    assert panel.work.inputs.model is None and panel.work.stale("atoms")
    model.write_text("no atoms")
    click(qtbot, panel.ui.model)
    qtbot.waitUntil(lambda: "number of atoms" in panel.ui.note.text(), timeout=WAIT)
    assert panel.work.inputs.model is None


def test_the_aperture_limits_the_transfer(window, qtbot):
    from napari_phaset3m.analyse.ctf import series_microscope
    from napari_phaset3m.gui.analyse.curves import optics_plots

    _, panel, session = window
    session.series = small_series()
    free = compute(qtbot, panel, "optics").value.curves[0]
    assert free.diffraction_limit_per_angstrom is None
    panel.ui.aperture.setValue(10)
    assert panel.work.stale("optics")
    outcome = compute(qtbot, panel, "optics")
    expected = 10e-3 / series_microscope(session.series).wavelength_angstrom
    assert outcome.value.curves[0].diffraction_limit_per_angstrom == pytest.approx(expected)
    beyond = outcome.value.curves[0].frequency_per_angstrom > 1.001 * expected
    assert beyond.any() and not outcome.value.curves[0].transfer[beyond].any()
    assert optics_plots(outcome.value)[0].marks[0][0] <= expected * 1.0001
    assert "diffraction" in outcome.text


def test_ssnr_of_any_set_of_defoci(window, qtbot):
    _, panel, session = window
    session.series = small_series()
    first = compute(qtbot, panel, "optics")
    own = first.value.together.defocus_angstrom
    assert "nearest to 0°" in first.text
    field = panel.ui.defoci
    assert "nm" in field.placeholderText() and "underfocus" in field.toolTip()
    QTest.keyClicks(field, "50, 90,120")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert panel.work.stale("optics") and field.text() == "50; 90; 120 nm"
    outcome = compute(qtbot, panel, "optics")
    assert outcome.value.together.defocus_angstrom == (500, 900, 1200)
    assert [one.defocus_angstrom for one in outcome.value.curves] == [500, 900, 1200]
    assert "50, 90, 120 nm" in outcome.text and "asked for" in outcome.text
    field.setText("fifty")
    field.editingFinished.emit()
    assert "Defoci" in panel.ui.note.text() and panel.work.inputs.ssnr_defoci_angstrom == (500, 900, 1200)
    field.clear()
    field.editingFinished.emit()
    assert compute(qtbot, panel, "optics").value.together.defocus_angstrom == own


def test_a_line_that_is_drawn_has_its_profile(window, qtbot):
    viewer, panel, _ = window
    viewer.dims.ndisplay = 3
    click(qtbot, panel.ui.draw)
    qtbot.waitUntil(lambda: "profile" in panel.work.outcomes and not panel.work.busy, timeout=WAIT)
    assert viewer.dims.ndisplay == 2
    layer = panel.work.publisher.layer(LINE)
    assert layer.mode == "add_line"
    layer.add_lines(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 4.0]]))
    qtbot.waitUntil(lambda: panel.work.inputs.line == ((0.0, 0.0, 0.0), (4.0, 0.0, 0.0)), timeout=WAIT)
    qtbot.waitUntil(lambda: not panel.work.busy, timeout=WAIT)
    found = panel.work.outcomes["profile"].value
    assert found.distance_angstrom[-1] == 4.0
    assert found.distance_angstrom[int(np.argmax(found.value))] == pytest.approx(2.0, abs=0.3)
    viewer.layers.remove(layer)
    click(qtbot, panel.ui.draw)
    assert panel.work.publisher.layer(LINE) is not None


def test_results_stay_when_the_panel_is_closed_and_are_marked_when_the_volume_changes(window, qtbot):
    viewer, panel, session = window
    compute(qtbot, panel, "spectrum")
    viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    gc.collect()
    again = AnalysePanel(viewer)
    qtbot.addWidget(again)
    row = again.ui.rows["spectrum"]
    assert row.text.text().startswith("Mean power in shells") and row.run.text() == "Show"
    session.add_run(record("two", volume=lumps(5)))
    session.update_run("two")
    assert again.work.inputs.source.key == "run:one" and not again.work.stale("spectrum")
    again.ui.choices.volume.setCurrentIndex(0)
    again.ui.choices.volume.activated.emit(0)
    assert again.work.inputs.source.key == "run:two" and again.work.stale("spectrum")
    assert row.text.text().startswith("Out of date")
    session.remove_run("two")
    assert again.work.inputs.source.key == "run:one" and row.run.text() == "Show"


def test_two_viewers_have_their_own_results(window, make_napari_viewer, qtbot):
    _, panel, _ = window
    other = AnalysePanel(make_napari_viewer())
    qtbot.addWidget(other)
    compute(qtbot, panel, "spectrum")
    assert other.work is not panel.work and not other.work.outcomes and other.work.inputs.source is None


def test_failures_are_told_in_their_place_and_crashes_too(window, qtbot, monkeypatch):
    _, panel, session = window
    panel.work.choose(halves=Halves((np.zeros((8,) * 3), np.zeros((8,) * 3)), VOXEL, "odd and even tilts"))
    click(qtbot, panel.ui.rows["fsc"].run)
    qtbot.waitUntil(lambda: "fsc" in panel.work.outcomes, timeout=WAIT)
    text = panel.ui.rows["fsc"].text
    assert "first half" in text.text() and "same grid" in text.text() and text.property("role") == "error"
    session.analysis_mask = NamedMask(np.ones((4,) * 3, np.float32), (VOXEL,) * 3, "other", {})
    assert not panel.ui.choices.mask.isEnabled() and "another grid" in panel.ui.choices.mask.toolTip()
    assert panel.work.inputs.mask is None


def test_cancel_drops_what_is_computed(window, qtbot, monkeypatch):
    from threading import Event

    _, panel, _ = window
    gate = Event()

    def slow(subject, inputs, results):
        gate.wait(20)
        return "late"

    monkeypatch.setitem(analyse_work.TOPICS, "bragg", Topic("bragg", "Bragg peaks", "", ("source",), slow))
    click(qtbot, panel.ui.rows["bragg"].run)
    assert panel.work.busy and panel.ui.cancel.isVisibleTo(panel.ui)
    assert not panel.ui.rows["bragg"].run.isEnabled() and not panel.ui.report.isEnabled()
    click(qtbot, panel.ui.cancel)
    assert not panel.work.busy and panel.ui.note.text() == "Cancelled"
    gate.set()
    qtbot.wait(200)
    assert "bragg" not in panel.work.outcomes
    compute(qtbot, panel, "spectrum")


def test_halves_are_computed_with_progress_and_correlated(window, qtbot, monkeypatch):
    _, panel, session = window
    solver = FakeSolver(n_sweeps=3, shape=(N,) * 3, step_seconds=0.01)
    monkeypatch.setattr("napari_phaset3m.jobs.runner.open_events", solver)
    panel._refresh_menu()
    menu = panel.ui.choices.halves.menu()
    assert not menu.actions()[0].isEnabled() and "series" in menu.actions()[0].toolTip()
    session.series = small_series(N)
    panel._refresh_menu()
    seen = []
    panel.job.changed.connect(lambda: seen.append(panel.job.progress and panel.job.progress.fraction))
    menu.actions()[0].trigger()
    assert panel.job.busy and panel.ui.job.isVisibleTo(panel.ui)
    click(qtbot, panel.ui.job.pause)
    assert panel.ui.job.pause.text() == "Resume"
    click(qtbot, panel.ui.job.pause)
    qtbot.waitUntil(lambda: not panel.job.busy, timeout=WAIT)
    assert solver.started == 2, panel.ui.note.text()
    assert any(part for part in seen)
    found = panel.work.inputs.halves
    assert found.name == "odd and even tilts" and found.volumes[0].shape == (N,) * 3
    qtbot.waitUntil(lambda: "fsc" in panel.work.outcomes and not panel.work.busy, timeout=WAIT)
    assert not panel.ui.job.isVisibleTo(panel.ui)


def test_halves_can_be_stopped_and_failures_are_told(window, qtbot, monkeypatch):
    _, panel, session = window
    session.series = small_series(N)
    solver = FakeSolver(n_sweeps=50, shape=(N,) * 3, step_seconds=0.02)
    monkeypatch.setattr("napari_phaset3m.jobs.runner.open_events", solver)
    panel.job.start("tilts")
    qtbot.waitUntil(lambda: panel.job.progress is not None, timeout=WAIT)
    click(qtbot, panel.ui.job.stop)
    qtbot.waitUntil(lambda: not panel.job.busy, timeout=WAIT)
    assert panel.work.inputs.halves is None and "stopped" in panel.ui.note.text()
    monkeypatch.setattr(
        "napari_phaset3m.jobs.runner.open_events", FakeSolver(fail_at=(0, DataError("is bad", field="x")))
    )
    panel.job.start("foci")
    qtbot.waitUntil(lambda: not panel.job.busy, timeout=WAIT)
    assert "is bad" in panel.ui.note.text() and panel.work.inputs.halves is None


def test_halves_from_files_and_back(window, qtbot, tmp_path):
    _, panel, _ = window
    pair = halves().volumes
    for n, data in enumerate(pair, 1):
        save_volume(Volume(data=data, voxel_size_angstrom=VOXEL), tmp_path / f"h{n}.mrc")
    panel.job.open([str(tmp_path / "h1.mrc")])
    assert "two files" in panel.ui.note.text()
    panel.job.open([str(tmp_path / f"h{n}.mrc") for n in (1, 2)])
    qtbot.waitUntil(lambda: panel.work.inputs.halves is not None, timeout=WAIT)
    assert "h1.mrc and h2.mrc" in panel.ui.choices.halves_name.full_text()
    compute(qtbot, panel, "fsc")
    panel.job.save(tmp_path / "v.mrc")
    qtbot.waitUntil(lambda: panel.ui.note.text().startswith("Saved v_half1.mrc"), timeout=WAIT)
    np.testing.assert_array_equal(load_volume(tmp_path / "v_half2.mrc").data, pair[1])
    assert (tmp_path / "v_fsc.csv").read_text().startswith("frequency_per_angstrom")
    panel.job.open([str(tmp_path / "h1.mrc"), str(tmp_path / "nowhere.mrc")])
    qtbot.waitUntil(lambda: "nowhere.mrc" in panel.ui.note.text(), timeout=WAIT)


def test_the_report_is_one_page_and_can_be_cancelled(window, qtbot, tmp_path, monkeypatch):
    from napari_phaset3m.report import analysis

    pytest.importorskip("matplotlib")
    _, panel, _ = window
    panel.work.choose(halves=halves())
    # what takes longest is tested elsewhere
    for module, name in (
        ("bragg_sections", "measure"), ("atom_sections", "section"), ("fourier_sections", "sections"),
        ("fourier_sections", "spectrum"), ("volume_sections", "slices"), ("volume_sections", "profiles"),
    ):  # fmt: skip
        monkeypatch.setattr(getattr(analysis, module), name, _refuse)
    target = tmp_path / "r.html"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    click(qtbot, panel.ui.report)
    assert panel.work.busy and panel.work.running == "report"
    qtbot.waitUntil(lambda: not panel.work.busy, timeout=WAIT)
    assert panel.ui.note.text() == "Report written: r.html" and panel.ui.open_report.isVisibleTo(panel.ui)
    page = target.read_text()
    assert "odd and even tilts" in page and "<script" not in page and "no peaks here" in page
    target.unlink()
    click(qtbot, panel.ui.report)
    click(qtbot, panel.ui.cancel)
    qtbot.wait(1500)
    assert not target.exists() and not panel.work.busy


def _refuse(*_):
    raise DataError("no peaks here")


def test_closing_the_window_while_computing_is_safe(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    panel = AnalysePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Analyse", area="right")
    work = panel.work
    session = session_for(viewer)
    session.add_run(record())
    session.update_run("one")
    work.compute("atoms")
    viewer.close()
    qtbot.wait(1500)
    assert not work.busy or "atoms" not in work.outcomes


def test_a_cell_is_read_as_it_is_written(window, qtbot):
    _, panel, _ = window
    assert parse_cell("8.084 F") == Cell.cubic(8.084, "F")
    assert parse_cell(" ") is None and cell_text(parse_cell("4 Å i")) == "4 I"
    for wrong in ("cubic", "8 X", "8 8 8"):
        with pytest.raises(ConfigError):
            parse_cell(wrong)
    line = panel.ui.choices.cell
    line.setText("8.084 f")
    line.editingFinished.emit()
    assert panel.work.inputs.cell == Cell.cubic(8.084, "F") and line.text() == "8.084 F"
    line.setText("nonsense")
    line.editingFinished.emit()
    assert "8.084 F" in panel.ui.note.text() and panel.work.inputs.cell is not None


def test_the_peak_that_is_clicked_is_in_the_middle(qtbot):
    from napari_phaset3m.gui.analyse.compute import FourierResult
    from napari_phaset3m.gui.analyse.fourier3d import FourierPage

    power = np.zeros((N,) * 3, np.float32)
    power[N // 2 + 3, N // 2 - 2, N // 2 + 5] = 1
    step = 1 / (N * VOXEL)
    page = FourierPage()
    qtbot.addWidget(page)
    page.resize(700, 200)
    page.show()
    page.show_result(FourierResult(power, VOXEL, (0.0, 1.0), (-60.0, 60.0)))
    row = {
        "h": 2, "k": -2, "l": 0, "d_angstrom": 1.9, "snr": 9.0, "phase_agreement": None, "in_wedge": False,
        "found": True, "qz_per_angstrom": 3 * step, "qy_per_angstrom": -2 * step, "qx_per_angstrom": 5 * step,
    }  # fmt: skip
    page.show_peaks([row])
    page.table.selectRow(0)
    np.testing.assert_allclose(page.canvas.middle(), (5 * step, -2 * step, 3 * step), atol=1e-9)
    assert page.canvas.frequency_of((N // 2 + 3, N // 2 - 2, N // 2 + 5)) == pytest.approx(
        (3 * step, -2 * step, 5 * step)
    )
    assert page.canvas.marks.mark.visible and page.canvas.wedge.lines.visible
    page.wedge.setChecked(False)
    assert not page.canvas.wedge.lines.visible
    page.mode.setCurrentText("Projection")
    assert page.canvas._volume.method == "mip" and not page.level.isEnabled()
    page.whole.click()
    np.testing.assert_allclose(page.canvas.middle(), 0)
    page.release()


def test_stamps_tell_what_changed():
    volume = lumps()
    one, other = Inputs(slice_angstrom=2.0), Inputs(slice_angstrom=3.0)
    names = ("source", "slice_angstrom")
    assert same_stamp(one.stamp(names), Inputs().stamp(names))
    assert not same_stamp(one.stamp(names), other.stamp(names))
    assert same_stamp((volume,), (volume,)) and not same_stamp((volume,), (volume.copy(),))


def test_shells_and_wedge_lie_where_they_are_measured():
    np.testing.assert_allclose(np.linalg.norm(sphere_lines(0.4), axis=1), 0.4)
    low, high = -60.0, 50.0
    points = wedge_lines((low, high), 0.5)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(0.5)
    beyond = points[np.hypot(points[:, 0], points[:, 2]) > 1e-6]
    # a measured plane at tilt t holds (cos t, 0, -sin t)
    tilt = np.rad2deg(np.arctan(-beyond[:, 2] / beyond[:, 0]))
    assert np.all(np.isclose(tilt, low) | np.isclose(tilt, high))
    assert np.isclose(tilt, low).any() and np.isclose(tilt, high).any()


def test_families_are_marked_by_name_and_the_legend_escapes(window, qtbot):
    from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot
    from napari_phaset3m.gui.analyse.plot import CurveView, legend_html
    from napari_phaset3m.gui.theme import theme_colours

    x = np.linspace(0.01, 1, 20)
    curves = (Curve("<b>&", x, x), Curve("two", x, x**2, 1, "dash"))
    plot = CurvePlot(
        curves=curves, xlabel="", ylabel="", frequency=True, log_y=True, marks=((0.4, "{422}"),), band=(x, x)
    )
    text = legend_html(plot, theme_colours())
    assert "&lt;b&gt;&amp;" in text and "noise" in text
    assert "{422}" in text, "a mark over a band is in the legend"
    view = CurveView()
    qtbot.addWidget(view)
    view.show_plots([replace(plot, band=None)])
    assert "{422}" not in legend_html(replace(plot, band=None), theme_colours()), "it stands at its line"
    import pyqtgraph as pg

    widget = view.widgets[0].findChild(pg.PlotWidget)
    labels = [item.label.toPlainText() for item in widget.getPlotItem().items if hasattr(item, "label")]
    assert "{422}" in labels


def test_numbers_on_a_narrow_axis_keep_apart(window, qtbot):
    import pyqtgraph as pg

    from napari_phaset3m.gui.analyse.curves import Curve, CurvePlot
    from napari_phaset3m.gui.analyse.plot import CurveView

    x = np.linspace(0, 0.96, 20)
    view = CurveView()
    qtbot.addWidget(view)
    view.show_plots([CurvePlot(curves=(Curve("a", x, x),), xlabel="1/Å", ylabel="FSC", frequency=True)])
    view.resize(150, 160)
    view.show()
    axis = view.widgets[0].getAxis("bottom")
    assert isinstance(view.widgets[0], pg.PlotWidget)
    for size in (70.0, 300.0):
        step = axis.tickSpacing(0.0, 0.96, size)
        assert len(step) == 1 and 26 <= step[0][0] / 0.96 * size <= 90


def test_every_drawn_topic_has_its_plot_and_themes_change(window, qtbot):
    viewer, panel, session = window
    session.series = small_series(N)
    for key in ("spectrum", "wedge", "optics"):
        outcome = compute(qtbot, panel, key)
        assert PLOTS[key](outcome.value)[0].curves
    view = view_of(session, viewer, panel.work)
    before = view.curves.widgets
    from napari.settings import get_settings

    get_settings().appearance.theme = "light"
    assert view.curves.widgets and view.curves.widgets != before
    get_settings().appearance.theme = "dark"
    assert set(PLOTS) <= set(TOPICS)
