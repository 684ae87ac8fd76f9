from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")
pytest.importorskip("skopt")

sys.path[:0] = [str(Path(__file__).parent)]
from _steps import noisy_series, until_idle  # noqa: E402

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries  # noqa: E402
from napari_phaset3m.config import ConstraintConfig  # noqa: E402
from napari_phaset3m.core.backend import resolve_device  # noqa: E402
from napari_phaset3m.gui.microscope.panel import MicroscopePanel  # noqa: E402
from napari_phaset3m.gui.optimise.correlation import CorrelationTable  # noqa: E402
from napari_phaset3m.gui.optimise.rounds import Round  # noqa: E402
from napari_phaset3m.gui.optimise.table import FROM, NAME, STATED, TO  # noqa: E402
from napari_phaset3m.gui.optimise.units import parsed, shown, with_error  # noqa: E402
from napari_phaset3m.gui.optimise.view import OptimiseView, convergence_curves, slice_curves  # noqa: E402
from napari_phaset3m.gui.optimise.words import (  # noqa: E402
    bound_words,
    comparison_rows,
    determined_rows,
    exchange_words,
    stage_tip,
)
from napari_phaset3m.gui.optimise.work import APPLIED, VOLUME  # noqa: E402
from napari_phaset3m.gui.plots.tilt_plot import TiltPlot, name_axis  # noqa: E402
from napari_phaset3m.gui.theme import style_sheet  # noqa: E402
from napari_phaset3m.optimise.auto import AutoConfig, Stage  # noqa: E402
from napari_phaset3m.optimise.config import OptimiseConfig, TrialConfig  # noqa: E402
from napari_phaset3m.optimise.parameters import PARAMETERS  # noqa: E402
from napari_phaset3m.optimise.trials import Trial, failed_words  # noqa: E402
from napari_phaset3m.optimise.uncertainty import Determined  # noqa: E402
from napari_phaset3m.reconstruct.methods import make_method  # noqa: E402
from napari_phaset3m.reconstruct.problem import build_problem  # noqa: E402

ROWS = {name: row for row, name in enumerate(PARAMETERS)}
CS = ROWS["cs_angstrom"]


def short() -> ReconstructionConfig:
    free = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)
    return ReconstructionConfig(iterations=6, slices=6, padding_px=0, constraints=free, threads=1)


def blobs(n: int = 24, cs: float = 1.2e7) -> TiltFocalSeries:
    """Images of a few atoms as the multislice model makes them."""
    rng = np.random.default_rng(4)
    tilts = np.linspace(-60, 60, 9)
    true = TiltFocalSeries(
        images=np.ones((9, 2, n, n), np.float32), tilt_deg=tilts, pixel_size_angstrom=0.7, energy_ev=3e5,
        defocus_angstrom=[400.0, 900.0], spherical_aberration_angstrom=cs, focal_spread_angstrom=20.0,
        metadata={"name": "blobs"},
    )  # fmt: skip
    problem = build_problem(true, short())
    method = make_method(problem, short(), 1, resolve_device("cpu"))
    axis = np.arange(n) - (n - 1) / 2
    z, x, y = np.meshgrid(axis, axis, axis, indexing="ij")
    atoms = rng.uniform(-5, 5, (8, 3))
    potential = sum(30 * np.exp(-((z - a) ** 2 + (x - b) ** 2 + (y - c) ** 2) / 2) for a, b, c in atoms)
    phase = np.ascontiguousarray(potential[None] / method.volts_per_unit, np.float32)
    images = np.stack([method.predict(phase, t) for t in range(tilts.size)]).swapaxes(2, 3)
    return true.replace(images=images)


def quick(calls: int = 5) -> AutoConfig:
    trial = TrialConfig(bin=1, coarser=(), sweeps=2, holdout_fraction=0.2, refine_optics=())
    search = OptimiseConfig(calls=calls, initial=3, stop_gain=0.0, trial=trial)
    return AutoConfig(search=search, bins=(), sweeps=2, rounds=1)


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def whole(qtbot, viewer):
    made = MicroscopePanel(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.work.driver.stop()
    qtbot.waitUntil(lambda: not made.work.driver.busy, timeout=20_000)


@pytest.fixture
def panel(whole):
    whole.tabs.setCurrentIndex(1)
    return whole.optimise


def tick(panel, name: str, on: bool = True) -> None:
    model = panel.parameters
    state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
    model.setData(model.index(ROWS[name], NAME), state, Qt.ItemDataRole.CheckStateRole)


def type_in(panel, name: str, column: int, text: str) -> bool:
    model = panel.parameters
    return model.setData(model.index(ROWS[name], column), text)


def why(panel) -> str:
    assert panel.problem.text() == ("" if panel.start.isEnabled() else panel.start.toolTip())
    return panel.problem.text()


def test_says_before_the_run_why_not(panel):
    assert "Open a tilt series first" in why(panel)
    session = panel._session
    session.series = noisy_series(spherical_aberration_angstrom=None)
    assert "Cs is missing" in why(panel) and panel.parameters.text(CS, STATED) == "–"
    session.series = noisy_series(defocus_angstrom=None)
    assert "Defocus is missing" in why(panel)
    session.series = noisy_series()
    assert why(panel) == "" and panel.start.isEnabled()
    tick(panel, "cs_angstrom", False)
    assert "tick at least one" in why(panel)
    tick(panel, "tilt_offset_deg")
    assert "only turns the volume" in why(panel)
    tick(panel, "tilt_offset_deg", False)
    tick(panel, "c12_cos_angstrom")
    assert "take it out of refine_optics" in why(panel) and "Astigmatism, cos" in why(panel)
    tick(panel, "c12_cos_angstrom", False)
    type_in(panel, "cs_angstrom", FROM, "3")
    type_in(panel, "cs_angstrom", TO, "2 mm")
    assert why(panel) == "Cs: 3 is not below 2 mm; give the lower bound first"
    session.config = session.config.model_copy(update={"method": "sirt"})
    type_in(panel, "cs_angstrom", TO, "4")
    assert "multislice" in why(panel)


def test_table_speaks_in_microscopists_units(panel):
    panel._session.series = noisy_series()
    text = panel.parameters.text
    assert text(CS, NAME) == "Cs (mm)" and text(CS, STATED) == "2.3" and text(CS, FROM) == "1.8"
    spread = ROWS["focal_spread_angstrom"]
    assert text(spread, NAME) == "Focal spread (nm)"
    assert text(ROWS["defocus_offset_angstrom"], TO) == "30"
    assert type_in(panel, "cs_angstrom", TO, "2.9") and panel.work.plan.limits["cs_angstrom"][
        1
    ] == pytest.approx(2.9e7)
    assert not type_in(panel, "cs_angstrom", TO, "many") and text(CS, TO) == "2.9"
    assert type_in(panel, "cs_angstrom", TO, "") and text(CS, TO) == "2.8"
    assert type_in(panel, "magnification", FROM, "0.98") and "magnification" in panel.work.plan.names
    stated = ROWS["cs_angstrom"], STATED
    assert not type_in(panel, "cs_angstrom", STATED, "2.5") and not panel.work.plan.sigmas
    assert not type_in(panel, "cs_angstrom", STATED, "± many") and text(*stated) == "2.3"
    assert type_in(panel, "cs_angstrom", STATED, "± 0.2 mm") and text(*stated) == "2.3 ± 0.2"
    assert text(CS, FROM) == "1.7" and panel.work.plan.range_of("cs_angstrom").sigma == pytest.approx(2e6)
    assert type_in(panel, "cs_angstrom", STATED, "2.3") and text(*stated) == "2.3"
    found = panel.work.plan.search().ranges
    assert [item.name for item in found] == ["cs_angstrom", "magnification"]


def test_settings_are_the_models(panel):
    panel._session.series = noisy_series()
    panel.fold.heading.click()
    panel.form.editors["search.trial.sweeps"].widget.setValue(4)
    panel.calls.setValue(7)
    assert panel.work.plan.config.search.trial.sweeps == 4 and panel.work.plan.config.search.calls == 7
    assert panel.form.config.search.calls == 7
    assert panel.form.editors["rounds"].widget.isEnabled()
    panel.mode.setCurrentIndex(1)
    assert not panel.work.plan.auto and not panel.form.editors["rounds"].widget.isEnabled()
    assert "search.ranges" not in panel.form.editors


def test_auto_search_apply_compare_revert(qtbot, panel, viewer):
    session, work = panel._session, panel.work
    before = session.series = blobs().replace(spherical_aberration_angstrom=1.7e7)
    session.config = short()
    work.set_plan(config=quick())
    seen: list[tuple[int, list[tuple[str, ...]], str]] = []
    work.changed.connect(lambda: seen.append((len(work.rounds[-1].trials) if work.rounds else 0,
                                              panel.best.rows(), work.stage)))  # fmt: skip
    panel.start.click()
    assert not panel.start.isEnabled() and not panel.table.isEnabled()
    until_idle(qtbot, session, 120_000)
    assert work.result is not None, panel.bar.note.text()
    live = [entry for entry in seen if 0 < entry[0] < 5]
    assert live and any("Trial" in entry[2] for entry in live) and any(entry[1] for entry in live)
    # with error bars: from the model while it searches, from the curvature at the end
    assert any("±" in entry[1][0][1] for entry in seen if entry[1])
    assert session.series is before and panel.start.isEnabled()
    assert [row[0] for row in panel.stages.rows()][-2:] == ["Search", "Gradient"]
    assert all(row[2] in ("kept", "undone") for row in panel.stages.rows())
    kept = any(stage.kept for stage in work.result.stages)
    assert bool(panel.compared.rows()) == kept
    panel.apply.click()
    assert session.series is work.found and session.history.current.name == APPLIED
    assert "has these values" in panel.apply.toolTip()
    assert session.series.metadata["history"][-1]["step"] == "optimise auto"
    panel.revert.click()
    assert session.series is before and panel.apply.isEnabled()
    assert work.volume is not None
    view = OptimiseView(session, work)
    qtbot.addWidget(view)
    view.show()
    session.shown_image = (4, 1)
    view.right.setCurrentIndex(1)
    view.refresh()
    qtbot.waitUntil(lambda: view.look.picture is not None, timeout=10_000)
    assert "measured | simulated, 0.0°" in view.images.title.text()
    np.testing.assert_allclose(view.look.picture[:, :12], before.images[4, 1][:, :12], atol=1e-6)
    assert np.abs(view.look.picture[:, 12:] - before.images[4, 1][:, 12:]).max() > 0
    view.right.setCurrentIndex(2)
    view.refresh()
    assert view.shifts.image.image.shape == (17, 17) and "0.0°: least at" in view.shifts.title.text()
    panel.volume.click()
    layer = work.publisher.layer(VOLUME)
    assert layer.data.shape == (24, 24, 24) and layer.scale[0] == pytest.approx(0.7)
    panel.revert.click()
    assert work.found is None and session.series is before and not panel.best.isVisible()


def test_search_keeps_and_resumes_trials(qtbot, panel, tmp_path):
    session, work = panel._session, panel.work
    session.series, session.config = blobs(), short()
    work.set_plan(config=quick(4), auto=False)
    panel.keep_in(tmp_path / "found.jsonl")
    panel.start.click()
    until_idle(qtbot, session, 120_000)
    first = work.rounds[0].trials
    assert len(first) >= 4 and panel.stages.rows() == []
    panel.volume.click()
    assert work.publisher.layer(VOLUME).data.shape == work.result.volume.shape == (24, 24, 24)
    assert "exists" in why(panel) and panel.resume.isEnabled()
    panel.resume.click()
    panel.calls.setValue(7)
    panel.start.click()
    until_idle(qtbot, session, 120_000)
    again = work.rounds[0].trials
    assert len(again) >= 7 and [t.point for t in again[: len(first)]] == [t.point for t in first]
    view = OptimiseView(session, work)
    qtbot.addWidget(view)
    assert view.first.currentText() == "Cs" and view.stack.currentWidget() is view.slice
    assert "model" in [curve.name for curve in view.slice._curves]


def test_a_map_of_two_parameters(qtbot, panel):
    session, work = panel._session, panel.work
    session.series, session.config = blobs(), short()
    work.set_plan(config=quick(5), auto=False, names=("cs_angstrom", "magnification"))
    panel.start.click()
    until_idle(qtbot, session, 120_000)
    view = OptimiseView(session, work)
    qtbot.addWidget(view)
    view.show()
    view.second.setCurrentIndex(2)
    view.refresh()
    qtbot.waitUntil(lambda: work.map is not None, timeout=10_000)
    qtbot.waitUntil(lambda: view.map.image.image is not None, timeout=10_000)
    assert view.stack.currentWidget() is view.map and view.map.image.image.shape == (61, 61)
    mean = work.map[1].mean
    np.testing.assert_allclose(view.map.image.image, mean.T)  # rows: magnification, columns: Cs


def test_a_grid_is_shown_as_a_map_of_what_was_measured(qtbot, panel):
    session, work = panel._session, panel.work
    session.series, session.config = blobs(), short()
    config = quick(9)
    config = config.model_copy(update={"search": config.search.model_copy(update={"method": "grid"})})
    work.set_plan(config=config, auto=False, names=("cs_angstrom", "magnification"))
    panel.start.click()
    until_idle(qtbot, session, 120_000)
    view = OptimiseView(session, work)
    qtbot.addWidget(view)
    view.show()
    view.second.setCurrentIndex(2)
    view.refresh()
    qtbot.waitUntil(lambda: view.map.image.image is not None, timeout=10_000)
    scores = {trial.point: trial.score for trial in work.rounds[0].trials}
    shown_map = view.map.image.image
    assert len(scores) == 9 and shown_map[-1, 0] == pytest.approx(scores[0.0, 1.0], rel=1e-5)
    assert shown_map[30, 30] == pytest.approx(scores[0.5, 0.5], rel=1e-5)


def test_solver_settings_go_into_the_reconstruction(qtbot, panel):
    session, work = panel._session, panel.work
    session.series, session.config = blobs(), short()
    work.set_plan(config=quick(3), auto=False, names=("step",))
    panel.start.click()
    until_idle(qtbot, session, 120_000)
    panel.apply.click()
    assert session.config.step == pytest.approx(work.rounds[0].best.values["step"])
    panel.revert.click()
    assert session.config == short()


def test_the_pipeline_applies_the_settings_that_it_kept(qtbot, panel):
    session, work = panel._session, panel.work
    session.series, session.config = blobs(), short().model_copy(update={"step": 0.02})
    plan = quick(3).model_copy(update={"error_groups": 0})
    work.set_plan(config=plan, auto=True, names=("step",))
    panel.start.click()
    until_idle(qtbot, session, 240_000)
    kept = work.result.solver
    assert kept and work.volume_config.step == kept["step"]
    panel.apply.click()
    assert session.config.step == kept["step"]


def test_files_of_an_earlier_run_are_in_the_way(panel, tmp_path):
    panel._session.series, panel._session.config = blobs(), short()
    path = tmp_path / "t.jsonl"
    (tmp_path / "t.2.jsonl").touch()
    plan = quick(3).model_copy(update={"rounds": 2})
    panel.work.set_plan(config=plan, auto=True, names=("cs_angstrom",))
    panel.keep_in(path)
    assert why(panel) == "t.2.jsonl exists: choose another file"
    panel.work.set_plan(auto=False)
    assert why(panel) == ""
    path.touch()
    panel.work.set_plan(auto=True)
    assert why(panel).startswith("t.jsonl exists: tick Resume")


def test_stop_leaves_everything(qtbot, panel):
    session, work = panel._session, panel.work
    before = session.series = blobs()
    session.config = short()
    work.set_plan(config=quick(200), auto=False)
    panel.start.click()
    qtbot.waitUntil(lambda: bool(work.rounds) and len(work.rounds[0].trials) > 1, timeout=60_000)
    panel.bar.stop.click()
    until_idle(qtbot, session, 60_000)
    assert session.series is before and work.found is None and panel.start.isEnabled()
    assert panel.best.rows() and not panel.apply.isEnabled()


def test_another_series_drops_the_result(qtbot, panel):
    session, work = panel._session, panel.work
    session.series, session.config = blobs(), short()
    work.set_plan(config=quick(3), auto=False)
    panel.start.click()
    until_idle(qtbot, session, 120_000)
    edited = session.series.replace(energy_ev=2e5)
    session.apply(edited, "Voltage")
    assert "changed since" in panel.apply.toolTip() and not panel.apply.isEnabled()
    session.series = noisy_series()
    assert work.found is None and work.rounds == []


def trial(number: int, x: float, score: float | None, value: float) -> Trial:
    return Trial(number, (x,), {"cs_angstrom": value}, "done" if score else "diverged", score)


def test_curves():
    first = Round([trial(0, 0.5, 0.4, 2e7), trial(1, 0.2, None, 1.4e7), trial(2, 0.7, 0.3, 2.4e7)],
                  {"cs_angstrom": (1e7, 3e7)})  # fmt: skip
    second = Round([trial(0, 0.5, 0.6, 2.4e7)], {"cs_angstrom": (1.9e7, 2.9e7)})
    points, best, later, _, failed = convergence_curves([first, second])
    np.testing.assert_array_equal(best.y, [0.4, 0.4, 0.3])
    assert np.isnan(points.y[1]) and later.x.tolist() == [4.0]
    assert failed.name == "failed" and (failed.x.tolist(), failed.y.tolist()) == ([2.0], [0.6])
    assert len(convergence_curves([second])) == 2
    nothing = Round([trial(0, 0.5, None, 2e7)], {"cs_angstrom": (1e7, 3e7)})
    assert convergence_curves([nothing])[-1].y.tolist() == [1.0]
    names = {curve.name: curve for curve in slice_curves(first, 0)}
    assert names["trials"].x.tolist() == [2.0, 2.4] and names["best"].y.tolist() == [0.3]
    assert failed_words([*first.trials, *second.trials]) == ("1 trial diverged, passed over",)
    first.trials.append(Trial(3, (0.1,), {"cs_angstrom": 1e7}, "out of memory", message="needs 9 GiB"))
    lines = failed_words(first.trials)
    assert lines == ("1 trial diverged, passed over", "1 trial ran out of memory, passed over: needs 9 GiB")
    assert failed_words(second.trials) == ()


def test_a_bound_is_told_in_the_unit_that_is_shown():
    axes = SimpleNamespace(limits={"cs_angstrom": (2.2e7, 3.2e7)})
    search = SimpleNamespace(best=trial(0, 0.0, 0.5, 2.2e7), axes=axes)
    assert bound_words(search) == "Cs: the best value, 2.2 mm, lies at a bound of its range; widen it"
    search.best = trial(0, 0.3, 0.5, 2.5e7)
    assert bound_words(search) == ""


def test_another_name_of_an_axis_is_in_the_middle(qtbot):
    plot = TiltPlot("y", "x")
    qtbot.addWidget(plot)
    plot.resize(300, 200)
    plot.show()
    name_axis(plot.plot, "left", "A longer name (Å)")
    axis = plot.plot.getAxis("left")
    middle = axis.label.pos().y() - axis.label.boundingRect().width() / 2
    assert abs(middle - axis.size().height() / 2) <= 1


def test_words():
    assert shown("cs_angstrom", 2.7e7) == "2.7" and parsed("cs_angstrom", "2.7 mm") == pytest.approx(2.7e7)
    assert parsed("c12_cos_angstrom", "−6,5 nm") == pytest.approx(-65.0) and parsed("step", "x") is None
    assert with_error(2.3127, 0.041) == "2.313 ± 0.041" and with_error(-3.0, None) == "−3"
    assert with_error(0.5, 22.0) == "0.5 ± 22" and with_error(0.0, 3.0) == "0.0 ± 3.0"
    correlation = np.array([[1, -0.97, 0.1], [-0.97, 1, 0], [0.1, 0, 1]])
    found = Determined(("defocus", "C30", "C12 cos"), np.array([12.0, 4e5, 1.0]), correlation, np.zeros(1))
    series = noisy_series(aberrations={"C12": 60.0, "phi12": 0.0})
    rows = dict(determined_rows(found, series))
    assert rows["Defocus, all"] == "130.0 ± 1.2 nm" and rows["Cs"] == "2.300 ± 0.040 mm"
    assert rows["Astigmatism cos"] == "6.00 ± 0.10 nm"
    text = exchange_words(found)
    assert "Defocus, all and Cs" in text and "−0.97" in text and len(text.splitlines()) == 1
    after = series.replace(spherical_aberration_angstrom=2.7e7, shifts_px=np.full((5, 2, 2), 0.5))
    told = comparison_rows(series, after)
    assert ("Cs (mm)", "2.3", "2.7") in told and told[-1] == ("Shifts (px) by", "", "0.5 RMS")
    assert comparison_rows(series, series) == []
    change = {"shift_rms_px": 0.2, "ball_radius_angstrom": 16.5}
    tip = stage_tip(Stage("fine", 1.0, 0.9, change, True, 7.0))
    assert tip == "Changed shifts by 0.2 px (RMS); volumes within a ball 3.3 nm across; 7 s"


@pytest.mark.parametrize("styled", [True, False])
def test_correlations_are_coloured(qtbot, styled):
    """A style sheet's background of items stands before the one that an item has."""
    table = CorrelationTable()
    qtbot.addWidget(table)
    if styled:
        table.setStyleSheet(style_sheet("dark") + "QTableView { background: #000000; }")
    else:
        table.table.setStyleSheet("QTableView { background: #000000; }")
    correlation = np.array([[1, -0.97, 0.0], [-0.97, 1, 0.6], [0.0, 0.6, 1]])
    table.show_found(Determined(("defocus", "C30", "C12 cos"), np.ones(3), correlation, np.zeros(1)))
    table.resize(300, 200)
    table.show()
    picture = table.table.viewport().grab().toImage()

    def colour(row: int, column: int):
        corner = table.table.visualItemRect(table.table.item(row, column)).topLeft()
        return picture.pixelColor(corner.x() + 2, corner.y() + 2)

    red, plain, none = colour(0, 1), colour(1, 2), colour(0, 2)
    assert red.red() > 1.3 * red.blue() and red.red() > 60, "exchangeable"
    assert abs(red.red() - 0.5 * 0.97 * 255) < 12, "painted once"
    assert plain.blue() > plain.red() and plain.lightness() > none.lightness() + 10


def test_names_with_their_units_fit_beside_a_scroll_bar(qtbot, panel):
    """322 px is what a panel with a scroll bar leaves to the table."""
    panel._session.series = blobs()
    table = panel.table
    table.setStyleSheet(style_sheet("dark"))
    table.setParent(None)
    qtbot.addWidget(table)
    table.resize(322, table.height())
    table.show()
    qtbot.waitExposed(table)
    model = table.model()
    needed = {
        model.index(row, NAME).data(): table.sizeHintForIndex(model.index(row, NAME)).width()
        for row in range(model.rowCount())
    }
    assert needed and max(needed.values()) <= table.columnWidth(NAME), (needed, table.columnWidth(NAME))
