from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qtpy")
from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QRect, Qt, QThreadPool

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "analyse"))
from _crystals import noisy, particle, rotation
from _fake import FakeSolver, small_series

from napari_phaset3m.analyse.peaks_beside import PeaksBeside
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.compare import actions as compare_actions
from napari_phaset3m.gui.compare import items as compare_items
from napari_phaset3m.gui.compare import set as compare_set
from napari_phaset3m.gui.compare import work as compare_work
from napari_phaset3m.gui.compare.canvas import bar_length
from napari_phaset3m.gui.compare.controls import BLINK, DIFFERENCE, SIDE_BY_SIDE
from napari_phaset3m.gui.compare.dock import floating_place, open_compare
from napari_phaset3m.gui.compare.items import Content, shot_of
from napari_phaset3m.gui.compare.pane import VIEWS
from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.reconstruct.driver import driver_for
from napari_phaset3m.gui.runs.view import RunsView
from napari_phaset3m.io.volume import Volume, save_volume
from napari_phaset3m.jobs import runner as runner_module
from napari_phaset3m.session import NamedMask, RunRecord, session_for

pytestmark = pytest.mark.gui
WAIT = 60_000
N, VOXEL = 16, 0.5


def blob(width: float, seed: int = 0, shift: int = 0) -> np.ndarray:
    z, y, x = np.indices((N, N, N), dtype=np.float32) - (N - 1) / 2
    noise = np.random.default_rng(seed).standard_normal((N, N, N)).astype(np.float32)
    return np.exp(-((z - shift) ** 2 + y**2 + x**2) / (2 * width**2)).astype(np.float32) + 0.01 * noise


def add_run(session, volume, method="multislice") -> RunRecord:
    record = RunRecord(
        f"id{len(session.runs)}", ReconstructionConfig(method=method), status="finished", volume=volume,
        voxel_size_angstrom=VOXEL,
    )  # fmt: skip
    session.add_run(record)
    return record


@pytest.fixture
def viewer(qtbot):
    from napari.components import ViewerModel

    model = ViewerModel()
    driver_for(session_for(model), model)
    yield model
    driver = session_for(model).attachments["driver"]
    driver.stop()
    qtbot.waitUntil(lambda: not driver.busy, timeout=WAIT)
    kept = session_for(model).attachments.get("compare")
    view = kept() if kept is not None else None
    if view is not None and isalive(view):
        view.release()
        view.close()
    # a thread that outlives the application finds its signals deleted; napari waits for it as well
    assert QThreadPool.globalInstance().waitForDone(WAIT)


@pytest.fixture
def two(viewer):
    """(session, SIRT's record, PhaseT3M's record)."""
    session = session_for(viewer)
    return session, add_run(session, blob(3.0), "sirt"), add_run(session, 2 * blob(2.5, seed=1))


def shown(qtbot, viewer, keys=None):
    view = open_compare(viewer, keys)
    qtbot.addWidget(view)
    view.resize(700, 500)
    qtbot.waitUntil(lambda: view.canvas is not None and len(view.panes) > 0, timeout=WAIT)
    qtbot.waitUntil(lambda: all(pane.shot is not None for pane in view.panes), timeout=WAIT)
    return view


def test_runs_tab_opens_two_runs_with_the_older_as_reference(qtbot, viewer, two):
    session, sirt, phaset3m = two
    runs = RunsView(session)
    qtbot.addWidget(runs)
    runs.table.selectAll()
    assert runs.compare_button.isEnabled() and not runs.show_button.isEnabled()
    runs.compare_button.click()
    view = shown(qtbot, viewer)
    assert [item.candidate.key for item in view.set.items] == [f"run:{sirt.run_id}", f"run:{phaset3m.run_id}"]
    assert [column.title.text for column in view.canvas.columns] == [
        "A  SIRT · run 1 · final",
        "B  PhaseT3M · run 2 · final",
    ]
    qtbot.waitUntil(lambda: "correlation" in view.numbers.text(), timeout=WAIT)
    found = view.set.numbers[f"run:{phaset3m.run_id}"].comparison
    # independent of the package: the best scale between the two, and their correlation
    expected = np.corrcoef(sirt.volume.ravel(), phaset3m.volume.ravel())[0, 1]
    assert found.correlation == pytest.approx(expected, abs=0.02)
    assert f"{found.correlation:.3f}" in view.numbers.text() and "0.143" in view.numbers.text()
    again = open_compare(viewer)
    assert again is view and len(view.set.items) == 2


def test_cameras_slice_and_level_are_common(qtbot, viewer, two):
    view = shown(qtbot, viewer)
    above = [column.above.camera for column in view.canvas.columns]
    below = [column.below.camera for column in view.canvas.columns]
    above[1].rect = (-2, -3, 4, 4)
    assert above[0].rect.pos == (-2, -3) and below[0].rect.pos != (-2, -3)
    below[0].rect = (-0.1, -0.2, 0.3, 0.3)
    assert below[1].rect.pos == (-0.1, -0.2) and above[0].rect.pos == (-2, -3)
    view.controls.position.setValue(4)  # voxels of 0.5 Å: 2 Å from the centre
    assert view.controls.position_angstrom == 2.0 and "z = 2 Å" in view.controls.position_text.text()
    assert {pane.plane_index() for pane in view.panes} == {12}, "centre 7.5, plus 4, rounded up"
    view.controls.view.setCurrentText("Surface")
    percentile = view.controls.percentile
    for pane, record in zip(view.panes, session_for(viewer).runs, strict=True):
        expected = np.percentile(record.volume, percentile)
        span = float(np.ptp(record.volume))
        assert pane.solid.method == "iso" and pane.solid.threshold == pytest.approx(expected, abs=0.02 * span)
    above = [column.above.camera for column in view.canvas.columns]
    above[0].azimuth = 33.0
    assert above[1].azimuth == 33.0


@pytest.mark.parametrize("layout", [SIDE_BY_SIDE, BLINK, DIFFERENCE])
@pytest.mark.parametrize("name", ["x–z slice", "Projection"])
def test_every_layout_draws_something(qtbot, viewer, two, layout, name):
    view = shown(qtbot, viewer)
    qtbot.waitUntil(lambda: bool(view.set.numbers), timeout=WAIT)
    view.controls.layouts.setCurrentText(layout)
    view.controls.view.setCurrentText(name)
    columns = {SIDE_BY_SIDE: 2, BLINK: 1, DIFFERENCE: 3}[layout]
    assert len(view.canvas.columns) == columns
    picture = view.canvas.screenshot()[..., :3].max(axis=2)
    for part in np.array_split(picture, columns, axis=1):
        for half in np.array_split(part, 2, axis=0):
            assert (half > 60).mean() > 0.01, "nothing to see in one of the views"


def test_blink_goes_round_by_key_and_by_itself(qtbot, viewer, two):
    view = shown(qtbot, viewer)
    view.controls.blink.setChecked(False)
    view.controls.layouts.setCurrentText(BLINK)
    assert [pane.flat.visible for pane in view.panes] == [True, False]
    view.blink()
    assert [pane.flat.visible for pane in view.panes] == [False, True]
    assert view.canvas.columns[0].title.text.startswith("B  PhaseT3M")
    view.blink()
    view.controls.interval.setValue(100)
    view.controls.blink.setChecked(True)
    qtbot.waitUntil(lambda: view.panes[1].flat.visible, timeout=WAIT)
    view.controls.layouts.setCurrentText(SIDE_BY_SIDE)
    assert not view._blink.isActive() and all(pane.flat.visible for pane in view.panes)


def test_difference_is_aligned_and_scaled(qtbot, viewer):
    session = session_for(viewer)
    add_run(session, blob(3.0))
    add_run(session, 5 * blob(3.0, shift=2))
    view = shown(qtbot, viewer)
    qtbot.waitUntil(lambda: bool(view.set.numbers), timeout=WAIT)
    view.controls.layouts.setCurrentText(DIFFERENCE)
    measured = view.set.numbers["run:id1"]
    assert abs(measured.comparison.shift_angstrom[0]) == pytest.approx(2 * VOXEL, abs=0.1)
    assert measured.comparison.scale == pytest.approx(0.2, rel=0.1)
    rest = view._difference.shot.content.volume
    assert np.abs(rest).max() < 0.1, "only noise is left"
    low, high = view._difference.limits()
    assert low == -high


def test_follows_a_run_that_is_still_going_on(qtbot, viewer, two, monkeypatch):
    session, sirt, _ = two
    solver = FakeSolver(n_sweeps=10_000, step_seconds=0.01)
    monkeypatch.setattr(runner_module, "open_events", solver)
    session.series, session.device = small_series(), "cpu"
    driver = session.attachments["driver"]
    record = driver.start()
    view = open_compare(viewer, [f"run:{sirt.run_id}", f"run:{record.run_id}"])
    qtbot.addWidget(view)
    qtbot.waitUntil(lambda: any(pane.shot is not None for pane in view.panes[1:]), timeout=WAIT)
    first = view.panes[1].shot.content
    assert first.state.startswith("sweep")
    (layer,) = [la for la in viewer.layers if la.name.startswith("PhaseT3M")]
    layer.visible = False
    qtbot.waitUntil(lambda: view.panes[1].shot.content.volume is not first.volume, timeout=WAIT)
    viewer.layers.remove(layer)
    second = view.panes[1].shot.content
    qtbot.waitUntil(lambda: view.panes[1].shot.content.volume is not second.volume, timeout=WAIT)
    view.hide()
    assert not view.set.active
    driver.finish()
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)
    view.show()

    def result_is_shown():
        return len(view.panes) == 2 and view.panes[1].shot.content.volume is record.volume

    qtbot.waitUntil(result_is_shown, timeout=WAIT)
    assert view.canvas.columns[1].title.text.endswith("final")


def test_layers_and_files_and_their_going(qtbot, viewer, two, tmp_path):
    session, sirt, _ = two
    cube = {"units": ("nm",) * 3, "axis_labels": ("z", "y", "x")}
    layer = viewer.add_image(blob(2.0), name="mine", scale=(0.05,) * 3, **cube)
    flat = viewer.add_image(blob(2.0), name="flat", scale=(0.05, 0.05, 0.1), **cube)
    viewer.add_image(blob(2.0), name="pixels")
    view = shown(qtbot, viewer)
    known = {candidate.label: candidate for candidate in view.set.candidates()}
    assert known["mine"].fetch().voxel_size_angstrom == pytest.approx(0.5)
    assert "no cubes" in known["flat"].problem and "unit of length" in known["pixels"].problem
    view.compare([f"run:{sirt.run_id}", known["mine"].key])
    qtbot.waitUntil(lambda: all(pane.shot is not None for pane in view.panes), timeout=WAIT)
    layer.name = "renamed"
    viewer.layers.remove(layer)
    viewer.layers.remove(flat)
    assert view.canvas.columns[1].title.text == "B  mine · removed" and view.panes[1].shot is not None
    path = tmp_path / "other.mrc"
    save_volume(Volume(data=blob(2.2)[:14], voxel_size_angstrom=0.6, unit="V"), path)
    view.set.open_file(path)
    qtbot.waitUntil(lambda: len(view.panes) == 3 and view.panes[2].shot is not None, timeout=WAIT)
    qtbot.waitUntil(lambda: len(view.set.numbers) == 2, timeout=WAIT)
    assert "C against A" in view.numbers.text() and "resampled" in view.numbers.text()
    session.remove_run(sirt.run_id)
    assert view.canvas.columns[0].title.text.endswith("removed")
    view.set.open_file(tmp_path / "absent.mrc")
    qtbot.waitUntil(lambda: "absent.mrc" in view.problem.text(), timeout=WAIT)
    assert "\n" not in view.problem.text()


def test_a_rotation_is_searched_told_and_taken_out(qtbot, viewer):
    from napari_phaset3m.analyse.turning import turned

    session = session_for(viewer)
    one = np.zeros((N, N, N), np.float32)  # four balls, so that a turn shows
    z, y, x = np.indices(one.shape) - (N - 1) / 2
    for at in ((4, 0, 0), (-3, 2, 4), (0, -4, 3), (2, 3, -4)):
        one += np.exp(-((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2) / 3).astype(np.float32)
    add_run(session, one)
    add_run(session, 2 * turned(one, np.array([0, -4.0, 0])))
    view = shown(qtbot, viewer)
    box = view.alignment.box
    assert box.currentText() == "Shift only"
    qtbot.waitUntil(lambda: bool(view.set.numbers), timeout=WAIT)
    box.setCurrentText("Shift, rotation about the tilt axis")
    assert "measuring" in view.numbers.text() and not view.set.numbers
    qtbot.waitUntil(lambda: bool(view.set.numbers), timeout=WAIT)
    found = view.set.numbers["run:id1"].comparison
    assert found.turn_deg == pytest.approx((0, 4, 0), abs=0.3)
    assert f"rotated by {found.turn_deg[1]:.2f}° about the tilt axis" in view.numbers.text()
    view.controls.layouts.setCurrentText(DIFFERENCE)
    assert "rotated" in view.canvas.columns[2].title.text
    box.setCurrentText("Shift only")
    assert "measuring" in view.numbers.text() and not view.set.numbers
    qtbot.waitUntil(lambda: bool(view.set.numbers), timeout=WAIT)
    plain = view.set.numbers["run:id1"].comparison
    assert plain.turn_deg == (0, 0, 0) and "rotat" not in view.numbers.text()
    assert plain.relative_difference > 1.5 * found.relative_difference
    box.setCurrentText("Shift, rotation about x, y and z")
    qtbot.waitUntil(lambda: bool(view.set.numbers), timeout=WAIT)
    assert "° about x, y, z" in view.numbers.text()


def test_no_rotation_is_searched_while_a_run_goes_on(qtbot, viewer, two, monkeypatch):
    session, sirt, _ = two
    monkeypatch.setattr(runner_module, "open_events", FakeSolver(n_sweeps=10_000, step_seconds=0.02))
    session.series, session.device = small_series(), "cpu"
    driver = session.attachments["driver"]
    record = driver.start()
    view = open_compare(viewer, [f"run:{sirt.run_id}", f"run:{record.run_id}"])
    qtbot.addWidget(view)
    view.alignment.box.setCurrentText("Shift, rotation about the tilt axis")
    qtbot.waitUntil(lambda: "rotation: when the run has ended" in view.numbers.text(), timeout=WAIT)
    driver.stop()  # its last picture stays, and is searched now
    qtbot.waitUntil(
        lambda: "rotat" in view.numbers.text() and "ended" not in view.numbers.text(), timeout=WAIT
    )


def test_what_cannot_be_compared_is_said(qtbot, viewer, monkeypatch):
    session = session_for(viewer)
    add_run(session, np.zeros((N, N, N), np.float32))
    add_run(session, np.full((N, N, N), np.nan, np.float32))
    view = shown(qtbot, viewer)
    qtbot.waitUntil(lambda: not view.problem.isHidden(), timeout=WAIT)
    assert "finite" in view.problem.text()


def test_closed_and_opened_again(qtbot, viewer, two):
    view = shown(qtbot, viewer)
    keys = [item.candidate.key for item in view.set.items]
    view.close()
    assert view.canvas is None and not view.set.active
    again = open_compare(viewer)
    assert again is view
    qtbot.waitUntil(lambda: view.canvas is not None and len(view.panes) == 2, timeout=WAIT)
    assert [item.candidate.key for item in view.set.items] == keys


def test_floating_and_docking_builds_the_canvas_anew(qtbot, viewer, two):
    """An OpenGL widget that changes its window gets another context; the old textures are gone."""
    from qtpy.QtWidgets import QDockWidget, QMainWindow

    window = QMainWindow()
    qtbot.addWidget(window)
    dock = QDockWidget()
    view = shown(qtbot, viewer)
    dock.setWidget(view)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    qtbot.waitUntil(lambda: view.canvas is not None and len(view.panes) == 2, timeout=WAIT)
    for floating in (True, False):
        before = view.canvas
        dock.setFloating(floating)
        qtbot.waitUntil(lambda old=before: view.canvas not in (None, old) and bool(view.panes), timeout=WAIT)
        assert view.canvas.screenshot()[..., :3].max() > 60
    view.release()


def test_opens_with_nothing_and_one_volume(qtbot, viewer):
    view = open_compare(viewer)
    qtbot.addWidget(view)
    qtbot.waitUntil(lambda: view.canvas is not None, timeout=WAIT)
    assert "Choose two volumes" in view.numbers.text() and view.panes == []
    add_run(session_for(viewer), blob(3.0))
    assert view.slots.slots[0].count() == 2
    view.slots.slots[0].setCurrentIndex(1)
    view.slots.slots[0].activated.emit(1)
    qtbot.waitUntil(lambda: any(pane.shot is not None for pane in view.panes), timeout=WAIT)
    for layout in (BLINK, DIFFERENCE, SIDE_BY_SIDE):
        view.controls.layouts.setCurrentText(layout)


@pytest.mark.parametrize(
    "screen", [QRect(0, 0, 1366, 768), QRect(0, 0, 1600, 1000), QRect(1600, 20, 800, 600)]
)
@pytest.mark.parametrize("corner", [QPoint(0, 0), QPoint(1700, 300)])
def test_the_floating_window_fits_on_the_screen(screen, corner):
    place = floating_place(screen, corner)
    assert screen.contains(place) and place.width() > 700 and place.height() > 500


def test_levels_are_percentiles():
    volume = blob(3.0)
    shot = shot_of(Content(volume, VOXEL, "final"))
    for percentile in (1, 50, 99, 99.9):
        assert shot.level(percentile) == pytest.approx(np.percentile(volume, percentile), abs=0.01)
    assert shot.power.shape == volume.shape
    assert [bar_length(h) for h in (20, 48, 1200)] == [10, 20, 500]
    assert {cut for cut, _ in VIEWS.values()} == {0, 1, 2, None}
    assert compare_set.MOST == 4


@pytest.fixture
def listed(qtbot, viewer, two, monkeypatch):
    """The view of two volumes with a list of two peaks beside it, and the calls that asked for it."""
    asked = []

    class Found:
        names = ("A", "B")

        def statements(self):
            return ["Lattice of A, a = 8.000 Å, used for all."]

        def rows(self):
            return [peak(2, 0, 0, 4.0, (0.0, 0.0, 0.25), 9.0), peak(0, 2, 2, 2.828, (0.25, 0.25, 0.0), 3.0)]

    def find(measured, known, show):
        asked.append((measured, known))
        return Found()

    monkeypatch.setattr(compare_work, "find_peaks", find)
    view = shown(qtbot, viewer)
    view.alignment.peaks.click()
    qtbot.waitUntil(lambda: view.peaks.table.model().rowCount() == 2, timeout=WAIT)
    return view, asked


def peak(h, k, l, d, q, snr):  # noqa: E741
    height = {"snr": snr, "found": snr > 5}
    volumes = [height | {"phase_agreement": p, "phase_agreed": p is not None} for p in (None, 0.5)]
    place = dict(zip(("qz_per_angstrom", "qy_per_angstrom", "qx_per_angstrom"), q, strict=True))
    return {"h": h, "k": k, "l": l, "d_angstrom": d, "in_wedge": None, "volumes": volumes} | place


def test_a_click_on_a_peak_takes_all_transforms_there(qtbot, viewer, listed):
    view, asked = listed
    (measured, known), table = asked[0], view.peaks.table
    assert len(measured) == 1 and known.source is None
    headings = [table.model().headerData(n, Qt.Orientation.Horizontal) for n in range(6)]
    assert headings == ["h k l", "d Å", "A SNR", "B SNR", "phase B", "wedge"]
    assert [table.model().index(0, n).data() for n in range(6)] == [
        "2 0 0", "4.000", "9.0", "9.0", "0.50", "not known",
    ]  # fmt: skip
    row = table.visualRect(table.model().index(1, 0))  # kz, ky = 0.25
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=row.center())
    for column, pane in zip(view.canvas.columns, view.panes, strict=True):
        assert column.below.camera.rect.center == pytest.approx((0.0, 0.25))
        assert column.marks.mark.visible and "0 2 2" in column.marks.mark_label.text
        # 16 voxels of 0.5 Å: steps of 1/8 Å⁻¹, zero at plane 8
        shown_plane = np.asarray(pane.power_flat._data)
        assert np.allclose(shown_plane, pane.shot.power[10])
    view.controls.view.setCurrentText("Projection")
    assert not view.canvas.columns[0].marks.mark.visible, "another view shows all of it"
    table.clicked.emit(table.model().index(0, 0))
    assert view.canvas.columns[1].below.camera.center == pytest.approx((0.25, 0.0, 0.0))
    view.controls.home.click()
    assert view.canvas.columns[0].below.camera.center == (0, 0, 0)


def test_peaks_that_cannot_be_listed_say_why_and_are_not_tried_again(qtbot, viewer, two, monkeypatch):
    calls = []

    def fail(*_):
        calls.append(1)
        raise DataError("the volume is constant")

    monkeypatch.setattr(compare_work, "find_peaks", fail)
    view = shown(qtbot, viewer)
    view.alignment.peaks.click()
    qtbot.waitUntil(lambda: "constant" in view.peaks.says.text(), timeout=WAIT)
    qtbot.wait(50)
    assert len(calls) == 1 and not view.actions.work.running and view.peaks.table.isHidden()


def test_the_report_is_written_as_the_command_writes_it(qtbot, viewer, two, tmp_path, monkeypatch):
    session, sirt, _ = two
    mask = np.ones(sirt.volume.shape, np.float32)
    session.analysis_mask = NamedMask(mask, (VOXEL,) * 3, "my mask", {})
    view = shown(qtbot, viewer)
    assert view.alignment.opened.isHidden()
    qtbot.waitUntil(view.alignment.report.isEnabled, timeout=WAIT)
    chosen = tmp_path / "pair"
    monkeypatch.setattr(compare_actions.QFileDialog, "getSaveFileName", lambda *a: (str(chosen), ""))
    view.alignment.report.click()
    assert view.alignment.report.text() == "Stop report"
    qtbot.waitUntil(lambda: view.actions.work.report_path is not None, timeout=WAIT)
    page = chosen.with_suffix(".html").read_text()
    for part in ("SIRT · run 1", "PhaseT3M · run 2", "Bragg peaks side by side", "my mask"):
        assert part in page
    assert not view.alignment.opened.isHidden() and view.alignment.report.text() == "Write report…"


def test_a_report_is_given_up(qtbot, viewer, two, tmp_path, monkeypatch):
    view = shown(qtbot, viewer)
    qtbot.waitUntil(view.alignment.report.isEnabled, timeout=WAIT)
    path = tmp_path / "pair.html"
    monkeypatch.setattr(compare_actions.QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    view.alignment.report.click()
    view.alignment.report.click()
    assert not view.actions.work.running and "Cancelled" in view.alignment.says.full_text()
    assert QThreadPool.globalInstance().waitForDone(WAIT)
    qtbot.wait(20)
    assert not path.exists() and view.actions.work.report_path is None


def test_peaks_are_measured_on_what_was_aligned(qtbot, viewer, monkeypatch):
    """The work of the thread itself, on a crystal: mask and lattice, phases against A."""
    crystal, session = noisy(particle(rotation(3)), 0.2), session_for(viewer)
    for shift in (0, 1):
        add_run(session, np.roll(crystal, shift, axis=0))
    z, y, x = np.indices(crystal.shape) - (len(crystal) - 1) / 2
    ball = (x**2 + y**2 + z**2 < 22**2).astype(np.float32)
    session.analysis_mask = NamedMask(ball, (VOXEL,) * 3, "ball", {})
    view = shown(qtbot, viewer)
    view.alignment.peaks.click()
    qtbot.waitUntil(lambda: view.peaks.table.model().rowCount() > 0, timeout=3 * WAIT)
    assert "Lattice of A, a = " in view.peaks.says.text()
    rows = view.peaks.table.peaks.peaks
    strong = [row for row in rows if row["volumes"][0]["found"]]
    assert len(strong) > 20 and strong[0]["d_angstrom"] == pytest.approx(8.084 / 3**0.5, abs=0.05)
    # B was moved by a voxel; measured where it was, the phases of fine planes would be off by up to 120°
    assert all(row["volumes"][1]["phase_agreement"] > 0.95 for row in strong)
    asked = []
    nothing = PeaksBeside((), (), None)
    monkeypatch.setattr(compare_work, "find_peaks", lambda *given: asked.append(given) or nothing)
    session.analysis_mask = None  # another mask, another list
    qtbot.waitUntil(lambda: bool(asked) and "No lattice" in view.peaks.says.text(), timeout=WAIT)


def test_the_circle_of_a_turned_volume_is_turned_back(qtbot, viewer, listed):
    view, _ = listed
    item = view.set.items[1]
    key = item.candidate.key
    found = view.set.numbers[key]
    view.set.numbers[key] = replace(found, comparison=replace(found.comparison, turn_deg=(0.0, 5.0, 0.0)))
    # B was tilted by 5° to lie on A: x' = x cos - z sin
    kz, _, kx = view.set.frequency_in(item, (0.0, 0.0, 0.5))
    assert (kx, kz) == pytest.approx((0.5 * np.cos(np.deg2rad(5)), -0.5 * np.sin(np.deg2rad(5))))
    view.controls.view.setCurrentText("x–z slice")
    view.peaks.wanted.emit((0.0, 0.0, 0.5), "peak")
    circles = [np.asarray(c.marks.mark.pos).mean(axis=0) for c in view.canvas.columns]
    assert circles[0][:2] == pytest.approx((0.5, 0.0), abs=1e-6)
    assert circles[1][:2] == pytest.approx((kx, kz), abs=1e-6)


def test_a_series_that_is_not_theirs_says_nothing_about_them(qtbot, viewer, two):
    session, *records = two
    session.series = small_series()
    view = shown(qtbot, viewer)
    assert records[0].series_name != (session.series_name or "x")
    for record in records:
        record.series_name = "another.h5"
    assert view.actions.work.known().series is None
    for record in records:
        record.series_name = session.series_name
    assert view.actions.work.known().series is session.series


def test_a_correction_is_named(viewer):
    session = session_for(viewer)
    add_run(session, blob(3.0), "sirt")
    session.runs[0].config = ReconstructionConfig(method="sirt", ctf_correction="wiener")
    found = compare_items.candidates(session, publisher_for(session, viewer))
    assert found[0].label == "SIRT, Wiener · run 1"
