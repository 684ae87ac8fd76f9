from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

sys.path.insert(0, str(Path(__file__).parent))
from _steps import noisy_series, until_idle  # noqa: E402

from napari_phaset3m.cli import main  # noqa: E402
from napari_phaset3m.gui.align.check import CHECK  # noqa: E402
from napari_phaset3m.gui.align.pairs import make_pair  # noqa: E402
from napari_phaset3m.gui.align.panel import SETTLED_MS, AlignPanel  # noqa: E402
from napari_phaset3m.gui.align.view import AlignView, per_focus  # noqa: E402
from napari_phaset3m.gui.step_guide import hint, next_step  # noqa: E402
from napari_phaset3m.io.series import load_series, save_series  # noqa: E402
from napari_phaset3m.prepare.align import compose  # noqa: E402
from napari_phaset3m.prepare.align.apply import apply  # noqa: E402
from napari_phaset3m.prepare.align.config import AlignConfig  # noqa: E402
from napari_phaset3m.prepare.align.formats import export_alignment  # noqa: E402
from napari_phaset3m.prepare.align.model import Alignment  # noqa: E402
from napari_phaset3m.prepare.align.result import AlignResult, StageResult  # noqa: E402
from napari_phaset3m.prepare.events import Done, Progress  # noqa: E402
from napari_phaset3m.prepare.history import recorded  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


def stage(*, kept: bool = True) -> StageResult:
    return StageResult("match", 1.5, 0.8, 0.4, 10.0, 20.0, 1.0, kept)


class FakeEngine:
    """In place of ``iterate_align``: moves every image by (0.5, -1), in a second or so."""

    def __init__(self, rotation: float = 0.0, steps: int = 5) -> None:
        self.rotation, self.steps, self.started_from = rotation, steps, None
        self.cs = self.local = None
        self.stages, self.note = (stage(),), ""

    def __call__(self, series, config, *, finish=None, device="auto"):
        start = Alignment.of(series)
        self.started_from = start.shifts_px
        for step in range(self.steps):
            time.sleep(0.08)
            part = start.shifts_px + np.array([0.5, -1.0]) * (step + 1) / self.steps
            yield Progress(f"round {step}", step / self.steps, {"shifts_px": part})
            if finish is not None and finish.finish_requested():
                break
        found = start.replace(
            shifts_px=start.shifts_px + np.array([0.5, -1.0]),
            rotation_deg=np.full(start.used.shape, self.rotation),
            residual=np.full(start.used.shape, 0.4),
            shift_error_px=np.full(start.shifts_px.shape, 0.05),
        )
        after = recorded(series.replace(shifts_px=found.shifts_px), "align")
        if self.cs is not None:
            after = after.replace(
                spherical_aberration_angstrom=self.cs, aberrations={"C12": 80.0, "phi12": 0.5}
            )
        yield Done(after, AlignResult(found, self.stages, local_px=self.local, reference_note=self.note))


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def panel(qtbot, viewer):
    made = AlignPanel(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.work.driver.stop()
    qtbot.waitUntil(lambda: not made.work.driver.busy, timeout=20_000)


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setattr(compose, "iterate_align", fake)
    return fake


def shown(panel):
    return panel.work.publisher.layer(CHECK)


def wait_shown(qtbot, panel):
    qtbot.waitUntil(lambda: shown(panel) is not None and not panel.check_._running, timeout=10_000)
    return shown(panel)


def test_without_a_series_it_says_why_not(qtbot, panel):
    for widget in (panel.run, panel.move_.keys, panel.check.predict, panel.ends.accept, panel.ends.files):
        assert not widget.isEnabled() and "Open a tilt series first" in widget.toolTip()
    panel._session.series = noisy_series()
    assert panel.run.isEnabled() and panel.move_.keys.isEnabled()
    assert "nothing to accept" in panel.ends.accept.toolTip()


def test_check_is_on_the_canvas_while_the_panel_is_looked_at(qtbot, panel, viewer):
    panel._session.series = noisy_series()
    layer = wait_shown(qtbot, panel)
    assert layer.rgb and layer.data.shape == (32, 32, 3) and {str(u) for u in layer.units} == {"angstrom"}
    assert panel.check.text.text() == "−40.0° against −20.0°"
    before = layer.data
    panel.nav.tilt.setValue(4)
    qtbot.waitUntil(lambda: layer.data is not before, timeout=10_000)
    assert "has no next tilt" in panel.check.text.text()
    panel.hide()
    assert not shown(panel).visible
    qtbot.waitUntil(lambda: shown(panel) is None, timeout=10_000)  # in a slot of its own
    panel.show()
    wait_shown(qtbot, panel)
    panel.hide()
    panel.show()
    wait_shown(qtbot, panel)


@pytest.mark.parametrize("how", ["deleted", "cleared", "closed"])
def test_a_check_that_vanished_while_it_was_looked_at_is_seen_again(qtbot, panel, viewer, how):
    panel._session.series = noisy_series()
    layer = wait_shown(qtbot, panel)
    qtbot.waitUntil(lambda: layer.visible, timeout=10_000)
    if how == "deleted":
        viewer.layers.remove(layer)
        panel.nav.tilt.setValue(3)
    elif how == "cleared":
        viewer.layers.clear()
        panel._session.series = noisy_series(n_tilt=7)
    else:
        panel._session.series = None
        assert shown(panel) is None
        panel._session.series = noisy_series(n_tilt=7)
    qtbot.waitUntil(lambda: shown(panel) not in (None, layer) and shown(panel).visible, timeout=10_000)
    assert viewer.layers[-1] is shown(panel)


def test_modes_of_the_check(qtbot, panel):
    panel._session.series = noisy_series()
    layer = wait_shown(qtbot, panel)
    assert not np.array_equal(layer.data[..., 0], layer.data[..., 1]), "two images differ in colour"
    for mode in ("difference", "image"):
        panel.check.mode.setCurrentIndex(panel.check.mode.findData(mode))
        panel.check.mode.activated.emit(panel.check.mode.currentIndex())
        qtbot.waitUntil(lambda: np.array_equal(layer.data[..., 0], layer.data[..., 1]), timeout=10_000)
    panel.check.mode.setCurrentIndex(panel.check.mode.findData("blink"))
    panel.check.mode.activated.emit(panel.check.mode.currentIndex())
    qtbot.waitUntil(lambda: panel.check_._blink.isActive(), timeout=10_000)
    first = layer.data
    qtbot.waitUntil(lambda: not np.array_equal(layer.data, first), timeout=10_000)
    panel.hide()
    assert not panel.check_._blink.isActive()


def test_arrows_move_the_picture_and_are_undone(qtbot, panel):
    session, work = panel._session, panel.work
    session.series = noisy_series()
    session.shown_image = (1, 0)
    qtbot.mouseClick(panel.move_.arrows["right"], Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.move_.arrows["right"], Qt.MouseButton.LeftButton)
    # the picture goes to the right: a feature at p + 0.2 is where p + shift was, so the shift shrinks
    np.testing.assert_allclose(work.alignment.shifts_px[1, 0], (0, -0.2))
    assert np.count_nonzero(work.alignment.shifts_px) == 1 and "x −0.20" in panel.move_.numbers.text()
    assert np.all(session.series.shifts_px == 0), "the series changes only when it is accepted"
    panel.move_.which.setCurrentIndex(1)
    qtbot.mouseClick(panel.move_.arrows["down"], Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier)
    moved = work.alignment.shifts_px[1, :, 0]
    assert np.allclose(moved, -1.0) or np.allclose(moved, -0.1), "Shift is the coarse step"
    panel.move_.undo.click()
    np.testing.assert_allclose(work.alignment.shifts_px[1, 0], (0, -0.2))
    panel.move_.undo.click()
    assert work.draft is None and not panel.move_.undo.isEnabled(), "nudges in a row are one step"
    panel.move_.redo.click()
    np.testing.assert_allclose(work.alignment.shifts_px[1, 0], (0, -0.2))


def test_nudged_picture_moves_as_it_is_said(qtbot, panel):
    images = np.ones((3, 1, 32, 32), np.float32)
    images[:, :, 10:13, 10:13] = 0.2
    panel._session.series = noisy_series(images=images, tilt_deg=[-10, 0, 10], defocus_angstrom=None)
    panel._session.shown_image = (1, 0)
    panel.check_.set_look(mode="image", smooth_px=0.0)
    layer = wait_shown(qtbot, panel)
    qtbot.waitUntil(lambda: layer.data[11, 11, 0] < 60, timeout=10_000)
    for _ in range(5):
        panel.work.nudge(0.0, 1.0, whole_tilt=False)
    qtbot.waitUntil(lambda: layer.data[11, 16, 0] < 60 and layer.data[11, 11, 0] > 60, timeout=10_000)


def test_images_are_left_out_but_never_all(panel):
    panel._session.series = noisy_series(n_tilt=2, n_focus=1)
    panel.move_.used.click()
    assert not panel.work.alignment.used[0, 0] and not panel.move_.used.isChecked()
    panel._session.shown_image = (1, 0)
    panel.move_.used.click()
    assert panel.work.alignment.used[1, 0] and "At least one" in panel.bar.note.text()
    names = [curve.name for curve in per_focus(panel.work.alignment, np.zeros((2, 1)))]
    assert names == ["used", "left out"]


def test_run_becomes_a_draft_that_is_accepted(qtbot, panel, engine):
    session, work = panel._session, panel.work
    before = session.series = noisy_series()
    work.nudge(0.0, 1.0, whole_tilt=False)
    ran_with = work.config
    panel.run.click()
    qtbot.waitUntil(lambda: "shifts_px" in work.live, timeout=10_000)
    assert not panel.run.isEnabled() and not panel.move_.keys.isEnabled()
    work.config = ran_with.model_copy(update={"seed": 99})
    panel._on_undo()
    assert work.draft is not None, "Ctrl+Z waits for the run"
    until_idle(qtbot, session)
    assert engine.started_from[0, 0, 1] == -1.0, "it starts from what was moved by hand"
    np.testing.assert_allclose(work.alignment.shifts_px[1, 1], (0.5, -1.0))
    assert session.series is before
    assert "Projection matching: moved 1.50 px (RMS), unpredicted part 0.8 → 0.4" in panel.bar.note.text()
    assert next_step(session) == "Align" and "accept or discard" in hint(session)[0]
    assert "± 0.05" in panel.move_.numbers.text() and "residual 0.4" in panel.move_.numbers.text()
    work.nudge(0.0, 1.0, whole_tilt=False)
    work.undo()
    assert "moved 1.50 px" in panel.bar.note.text(), "it is still that run's"
    work.undo()
    assert panel.bar.note.text() == "", "what the run told is taken back with it"
    work.redo()
    panel.ends.accept.click()
    np.testing.assert_allclose(session.series.shifts_px[1, 1], (0.5, -1.0))
    assert np.may_share_memory(session.series.images, before.images), "nothing is resampled"
    step = session.series.metadata["history"][-1]
    assert step["step"] == "align" and step["parameters"]["seed"] == ran_with.seed, "the settings it ran with"
    assert [s.name for s in session.history.states] == ["Opened", "Alignment"] and work.draft is None
    assert next_step(session) == "Reconstruct" and "accept or discard" not in hint(session)[0]
    assert "± 0.05" in panel.move_.numbers.text(), "errors stay known after accepting"
    session.undo()
    assert session.series is before and "±" not in panel.move_.numbers.text()
    assert panel.bar.note.text() == ""


def test_what_images_were_compared_with_is_told(qtbot, panel, engine):
    engine.note = "volumes that may be negative tell 295 nats of an image"
    panel._session.series = noisy_series()
    panel.run.click()
    until_idle(qtbot, panel._session)
    assert "Volumes that may be negative tell 295 nats" in panel.bar.note.text()


def test_the_end_of_a_run_is_scrolled_to(qtbot, panel, engine):
    """In a low window Accept, and what the run says, lie below the edge."""
    session = panel._session
    session.series = noisy_series()
    panel.resize(panel.width(), 300)
    qtbot.waitUntil(lambda: panel.verticalScrollBar().maximum() > 0)
    panel.verticalScrollBar().setValue(0)
    panel.run.click()
    until_idle(qtbot, session)

    def seen(widget):
        top = widget.mapTo(panel.viewport(), widget.rect().topLeft()).y()
        return top >= 0 and top + widget.height() <= panel.viewport().height()

    qtbot.waitUntil(lambda: seen(panel.ends), timeout=5_000)
    qtbot.wait(2 * SETTLED_MS)
    assert seen(panel.ends)
    panel.verticalScrollBar().setValue(0)
    panel.check_.changed.emit()
    qtbot.wait(50)
    assert panel.verticalScrollBar().value() == 0, "only the end of a run scrolls"


def test_optics_that_a_stage_found_are_accepted_too(qtbot, panel, engine):
    engine.cs = 2.2e7
    session = panel._session
    session.series = noisy_series()
    panel.run.click()
    until_idle(qtbot, session)
    assert "Cs 2.200 mm" in panel.bar.note.text() and "astigmatism 8.00 nm at 29°" in panel.bar.note.text()
    panel.move_.undo.click()
    assert not panel.work.origin.optics
    panel.move_.redo.click()
    panel.ends.accept.click()
    assert session.series.spherical_aberration_angstrom == 2.2e7
    assert session.series.aberrations["C12"] == 80.0


def test_a_turned_alignment_is_applied_in_the_background(qtbot, panel, engine):
    engine.rotation = 3.0
    session = panel._session
    before = session.series = noisy_series()
    panel.run.click()
    until_idle(qtbot, session)
    assert "rotation +3.00°" in panel.move_.numbers.text()
    panel.run.click()
    until_idle(qtbot, session)
    assert "rotation +6.00°" in panel.move_.numbers.text(), "a run goes on from a draft that turns the images"
    assert session.series is before, "which are only turned on Accept"
    panel.ends.accept.click()
    until_idle(qtbot, session)
    np.testing.assert_array_equal(session.series.images, apply(before, found_twice(before)).images)
    assert session.series.tilt_axis_angle_deg == pytest.approx(6.0)


def found_twice(series):
    """What two runs of the fake engine with 3° give, told of the given images."""
    cos, sin = np.cos(np.radians(3.0)), np.sin(np.radians(3.0))
    # (y, x): the first shift, and the second one, which is in the axes of the images turned by 3°
    whole = (0.5 + 0.5 * cos - 1.0 * sin, -1.0 - 0.5 * sin - 1.0 * cos)
    images = series.used.shape
    return Alignment.of(series).replace(
        shifts_px=np.broadcast_to(whole, (*images, 2)), rotation_deg=np.full(images, 6.0)
    )


def test_a_run_that_gains_nothing_changes_nothing(qtbot, panel, engine):
    engine.stages = (stage(kept=False),)
    panel._session.series = noisy_series()
    panel.run.click()
    until_idle(qtbot, panel._session)
    assert panel.work.draft is None and "Nothing was gained" in panel.bar.note.text()
    assert "nothing to accept" in panel.ends.accept.toolTip()


def test_stopped_run_leaves_the_alignment(qtbot, panel, engine):
    engine.steps = 500
    session = panel._session
    session.series = noisy_series()
    panel.run.click()
    qtbot.waitUntil(lambda: bool(panel.work.live), timeout=10_000)
    panel.bar.stop.click()
    until_idle(qtbot, session)
    assert panel.work.draft is None and not panel.work.live
    engine.steps = 3
    panel.run.click()
    until_idle(qtbot, session)
    assert panel.work.draft is not None, "twice in a row"


def test_another_series_opened_while_a_run_goes_on_is_drawn_by_itself(qtbot, panel, engine):
    """Shifts of 5 tilts were drawn over the angles of 3."""
    engine.steps = 500
    session, work = panel._session, panel.work
    session.series = noisy_series()
    panel.run.click()
    qtbot.waitUntil(lambda: bool(work.live), timeout=10_000)
    view = AlignView(session, work, panel.check_)
    qtbot.addWidget(view)
    session.series = noisy_series(n_tilt=3)
    view.refresh()
    assert not work.live
    until_idle(qtbot, session)
    view.refresh()
    assert work.draft is None and "Another series was opened" in panel.bar.note.text()


def test_new_images_drop_the_draft_and_edits_keep_it(panel):
    session = panel._session
    session.series = noisy_series()
    panel.work.nudge(0, 1, whole_tilt=False)
    session.series = session.series.replace(energy_ev=2e5)
    assert panel.work.draft is not None
    session.series = noisy_series(n=16)
    assert panel.work.draft is None and "was dropped" in panel.bar.note.text()


def test_files_go_in_and_out(qtbot, panel, tmp_path, monkeypatch):
    session = panel._session
    series = session.series = noisy_series(n_focus=1)
    wanted = Alignment.of(series).replace(shifts_px=np.arange(10.0).reshape(5, 1, 2))
    export_alignment(wanted, tmp_path / "in.xf", series)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "in.xf"), ""))
    panel.ends.read.trigger()
    qtbot.waitUntil(lambda: panel.work.draft is not None, timeout=10_000)
    np.testing.assert_allclose(panel.work.alignment.shifts_px, wanted.shifts_px, atol=2e-3)
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "out"), "AreTomo (*.aln)")
    )
    panel.ends.write.trigger()
    qtbot.waitUntil(lambda: "Wrote out.aln" in panel.bar.note.text(), timeout=10_000)
    assert not panel.ends.read_own.isVisible(), "the series does not know its sections"
    assert "rows are in the order of rising tilt" in panel.bar.note.text()
    (tmp_path / "bad.xf").write_text("1 2 three\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "bad.xf"), ""))
    panel.ends.read.trigger()
    qtbot.waitUntil(lambda: "bad.xf" in panel.bar.note.text(), timeout=10_000)


def test_a_file_is_of_the_raw_sections_or_of_these_images(qtbot, panel, tmp_path, monkeypatch):
    """Rows by section, in pixels of the raw stack, or as the images are here: two entries of the menu."""
    from napari_phaset3m.core.sections import Sections, shrink_matrix

    session, order = panel._session, np.array([[3], [1], [0], [2], [4]])
    sections = Sections(
        files=("/raw/TS.mrc",), n_sections=(5,), image_shape=(80, 90), section=order,
        file=np.zeros((5, 1), int), to_file=shrink_matrix((4.0, -6.0), 2), pixel_ratio=2,
    )  # fmt: skip
    session.series = noisy_series(n_focus=1).replace(sections=sections)
    assert panel.ends.read_own.isVisible() and "sections of TS.mrc" in panel.ends.read.toolTip()
    shifts = np.arange(10.0).reshape(5, 2)  # (x, y) of each section
    rows = [f"1 0 0 1 {-x:.3f} {-y:.3f}" for x, y in shifts]
    (tmp_path / "in.xf").write_text("\n".join(rows))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "in.xf"), ""))
    panel.ends.read_own.trigger()
    qtbot.waitUntil(lambda: panel.work.draft is not None, timeout=10_000)
    np.testing.assert_allclose(panel.work.alignment.shifts_px[:, 0], shifts[:, ::-1], atol=2e-3)
    panel.work.discard()
    panel.ends.read.trigger()
    qtbot.waitUntil(lambda: panel.work.draft is not None, timeout=10_000)
    wanted = (shifts[order[:, 0], ::-1] + (4.0, -6.0)) / 2
    np.testing.assert_allclose(panel.work.alignment.shifts_px[:, 0], wanted, atol=2e-3)
    panel.work.discard()
    asked = []
    for answer in ((4.0, False), (4.0, True)):
        monkeypatch.setattr(QInputDialog, "getDouble", lambda *a, a_=answer, **k: asked.append(a[2]) or a_)
        panel.ends.read_binned.trigger()
    qtbot.waitUntil(lambda: panel.work.draft is not None, timeout=10_000)
    assert len(asked) == 2 and "in.xf was made for, in pixels of TS.mrc" in asked[0]
    wanted = (4 * shifts[order[:, 0], ::-1] + (4.0, -6.0)) / 2
    np.testing.assert_allclose(panel.work.alignment.shifts_px[:, 0], wanted, atol=5e-3)


def test_files_of_several_stacks_are_replaced_only_when_that_is_confirmed(
    qtbot, panel, tmp_path, monkeypatch
):
    """The file dialog asks of out.xf, but out_f0.xf and out_f1.xf are written."""
    from napari_phaset3m.core.sections import Sections

    places = np.repeat(np.arange(5)[:, None], 2, axis=1)
    sections = Sections(
        files=("/raw/f0.mrc", "/raw/f1.mrc"), n_sections=(5, 5), image_shape=(24, 24), section=places,
        file=np.array([0, 1]), to_file=np.eye(2, 3),
    )  # fmt: skip
    panel._session.series = noisy_series(n_focus=2).replace(sections=sections)
    kept, asked = tmp_path / "out_f1.xf", list[str]()
    kept.write_text("mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "out.xf"), ".xf"))
    for answer in (QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes):
        monkeypatch.setattr(QMessageBox, "question", lambda *a, a_=answer, **k: asked.append(a[2]) or a_)
        panel.ends.write.trigger()
        if answer == QMessageBox.StandardButton.No:
            assert kept.read_text() == "mine" and not (tmp_path / "out_f0.xf").exists()
    qtbot.waitUntil(lambda: "Wrote out_f0.xf, out_f0.tlt, out_f1.xf" in panel.bar.note.text(), timeout=10_000)
    assert asked == ["out_f1.xf: already there. Replace?"] * 2
    assert "out_f0.xf of f0.mrc" in panel.bar.note.text() and len(kept.read_text().splitlines()) == 5


def bead_images() -> np.ndarray:
    """Beads of 8 px on a noisy ground about an axis that is turned by 1.5°, seven tilts."""
    rng = np.random.default_rng(2)
    turn, tilts = np.radians(1.5), np.radians(np.linspace(-45, 45, 7))
    y, x = np.meshgrid(np.arange(96) - 47.5, np.arange(96) - 47.5, indexing="ij")
    images = 1 + rng.normal(0, 0.02, (7, 1, 96, 96))
    for bz, by, bx in rng.uniform((-8, -30, -30), (8, 30, 30), (9, 3)):
        for image, tilt in zip(images[:, 0], tilts, strict=True):
            across = bx * np.cos(tilt) - bz * np.sin(tilt)
            px = across * np.cos(turn) - by * np.sin(turn)
            py = across * np.sin(turn) + by * np.cos(turn)
            image -= 0.7 * (np.hypot(x - px, y - py) < 4)
    return images.astype(np.float32)


def test_an_imported_alignment_is_aligned_on_and_images_are_interpolated_once(
    qtbot, panel, tmp_path, monkeypatch
):
    """As the command does it: its output and what is accepted here have the same images."""
    path, old, out = tmp_path / "beads.h5", tmp_path / "old.xf", tmp_path / "out.h5"
    session = panel._session
    given = noisy_series(
        images=bead_images(),
        tilt_deg=np.linspace(-45, 45, 7),
        defocus_angstrom=None,
        pixel_size_angstrom=12.0,
    )
    save_series(given, path)
    rng = np.random.default_rng(1)
    first = Alignment.of(given).replace(rotation_deg=30.0 + rng.normal(0, 1, (7, 1)))
    export_alignment(first, old, given)
    flags = ["--stages", "beads", "--match-bins", "4", "--threads", "1"]
    assert main(["align", str(path), "-o", str(out), *flags, "--import", str(old)]) == 0
    wanted = load_series(out)
    session.series = load_series(path)
    calls = []
    monkeypatch.setattr(compose, "iterate_align", counted(compose.iterate_align, calls))
    panel.work.config = AlignConfig.parse(stages=["beads"], match={"match_bins": [4]}, threads=1)
    panel.files.read(old)
    qtbot.waitUntil(lambda: panel.work.draft is not None, timeout=10_000)
    panel.run.click()
    until_idle(qtbot, session, 60_000)
    assert calls[0].tilt_axis_angle_deg == pytest.approx(first.axis_angle_deg, abs=0.01), "from the draft"
    assert "Gold beads: moved" in panel.bar.note.text() and "undone" not in panel.bar.note.text()
    panel.ends.accept.click()
    until_idle(qtbot, session)
    np.testing.assert_allclose(session.series.images, wanted.images, atol=1e-5)
    np.testing.assert_allclose(session.series.shifts_px, wanted.shifts_px, atol=1e-4)
    assert session.series.tilt_axis_angle_deg == pytest.approx(wanted.tilt_axis_angle_deg, abs=1e-3)
    assert session.series.metadata["history"][-1]["told"]["imported"] == "old.xf"
    twice = apply(apply(given, first), Alignment.of(given).replace(rotation_deg=1.0))
    assert np.abs(twice.images - wanted.images).max() > 1e-2, "this test could fail"


def counted(events, calls):
    """An engine that tells what it was given."""

    def called(series, *args, **kwargs):
        calls.append(series)
        return events(series, *args, **kwargs)

    return called


def test_a_reprojection_of_a_turned_draft_is_compared_in_its_own_axes(qtbot, panel):
    """Its pictures are turned already, so shifts must be told in the axes of the turned images."""
    session = panel._session
    images = np.ones((5, 1, 48, 48), np.float32)
    y, x = np.meshgrid(np.arange(48) - 23.5, np.arange(48) - 23.5, indexing="ij")
    images[:] += np.exp(-((x - 10) ** 2 + y**2) / 8)  # on a tilt axis along x
    session.series = noisy_series(images=images, defocus_angstrom=None)
    turned = Alignment.of(session.series).replace(
        rotation_deg=-90.0, shifts_px=np.broadcast_to((0.0, 4.0), (5, 1, 2))
    )
    panel.work.set_draft(turned)
    session.shown_image = (2, 0)
    panel.check.predict.click()
    until_idle(qtbot, session, 60_000)
    assert not panel.check_.stale()
    found = panel.check_.predictions.aligned("measured", 2, 0)
    at = np.array(np.unravel_index(np.abs(found).argmax(), found.shape)) - 23.5
    np.testing.assert_allclose(at, (6.0, 0.0), atol=0.6)  # x 10 − 4 in the given image is along the axis
    panel.work.turn_axis(-80.0)
    assert panel.check_.stale(), "turned on since"


def test_reprojection_and_plots(qtbot, panel):
    session = panel._session
    session.series = noisy_series(n=24, n_focus=1)
    view = AlignView(session, panel.work, panel.check_)
    qtbot.addWidget(view)
    view.resize(700, 220)
    view.show()
    panel.check.predict.click()
    until_idle(qtbot, session, 60_000)
    found = panel.check_.predictions
    assert found is not None and panel.check_.look.against == "prediction"
    qtbot.waitUntil(lambda: "SIRT re-projection" in panel.check.text.text(), timeout=10_000)
    view.page.setCurrentIndex(2)
    qtbot.waitUntil(lambda: "power is not predicted" in view.text.text(), timeout=10_000)
    panel.work.nudge(0, 1, whole_tilt=True)
    assert panel.check_.stale()
    view.page.setCurrentIndex(1)
    qtbot.waitUntil(lambda: view.sino.image.image is not None, timeout=10_000)
    assert view.sino.image.image.shape == (5, 24) and "5 rows averaged" in view.row_text.text()
    sharp = view.sino.image.image.copy()
    panel.check.smooth.setValue(3.0)
    qtbot.waitUntil(lambda: view.sino.image.image.std() < 0.7 * sharp.std(), timeout=10_000)
    assert "13 rows averaged" in view.row_text.text()
    panel.check.smooth.setValue(1.0)
    view.page.setCurrentIndex(0)
    qtbot.waitUntil(lambda: "series" in [c.name for c in view.shift_x._curves], timeout=10_000)
    view.shift_x.clicked.emit(3, 0)
    assert session.shown_image == (3, 0) and panel.nav.position() == (3, 0)


def test_another_series_after_a_reprojection_opens(qtbot, panel):
    """Its images are not as many: what was re-projected of the first must not be compared with it."""
    session = panel._session
    session.series = noisy_series(n=24, n_focus=1)
    panel.check.predict.click()
    until_idle(qtbot, session, 60_000)
    assert panel.check_.predictions is not None
    session.series = noisy_series(n=24, n_tilt=3, n_focus=1)
    assert panel.check_.predictions is None and not panel.check_.stale()


def test_arrow_keys_are_taken_only_while_wanted(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    made = AlignPanel(viewer)
    viewer.window.add_dock_widget(made, name="Align (PhaseT3M)", area="right")
    session = session_for(viewer)
    session.series = noisy_series()
    canvas = viewer.window._qt_viewer.canvas.native
    before = {str(key) for key in viewer.keymap}
    qtbot.waitUntil(made.isVisible, timeout=10_000)
    made.move_.keys.click()
    assert {str(key) for key in viewer.keymap} - before >= {"Left", "Right", "Up", "Down"}
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    np.testing.assert_allclose(made.work.alignment.shifts_px[0, 0], (0, -0.1))
    qtbot.keyClick(canvas, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_allclose(made.work.alignment.shifts_px[0, 0], (-1.0, -0.1))
    made.move_.keys.click()
    assert {str(key) for key in viewer.keymap} == before
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    np.testing.assert_allclose(made.work.alignment.shifts_px[0, 0], (-1.0, -0.1))
    made.move_.keys.click()
    viewer.window.remove_dock_widget(made)
    qtbot.wait(50)
    assert {str(key) for key in viewer.keymap} == before, "a closed panel gives the keys back"
    assert made.work.publisher.layer(CHECK) is None


def test_stages_are_chosen(panel):
    stages = panel.stages
    assert panel.work.config.stages == "auto" and not stages.ticks["match"].isEnabled()
    panel._session.series = noisy_series()
    assert stages.chosen() == ("match", "gradient"), "what suits a series with defocus and Cs"
    panel._session.series = noisy_series(defocus_angstrom=None)
    assert stages.chosen() == ("coarse", "match")
    stages.auto.click()
    assert panel.work.config.stages == ("coarse", "match") and stages.ticks["match"].isEnabled()
    stages.ticks["match"].click()
    stages.ticks["coarse"].click()
    assert panel.work.config.stages == ("coarse",), "one stage at least"
    stages.form.editors["match.match_rounds"].widget.setValue(2)
    assert panel.work.config.match.match_rounds == 2 and panel.work.config.stages == ("coarse",)
    stages.auto.click()
    assert panel.work.config.stages == "auto" and panel.work.config.match.match_rounds == 2


def test_stages_that_do_not_suit_say_why(panel):
    stages = panel.stages
    panel._session.series = noisy_series(n_focus=1, defocus_angstrom=None)
    stages.auto.click()
    for name, reason in (("focal", "several foci"), ("gradient", "multislice model"), ("local", "px wide")):
        assert not stages.ticks[name].isEnabled() and reason in stages.ticks[name].toolTip()
    assert stages.ticks["beads"].isEnabled() and "Beads" in stages.ticks["beads"].toolTip()
    panel.work.config = panel.work.config.model_copy(update={"stages": ("focal",)})
    panel._refresh()
    assert not panel.run.isEnabled() and "Untick the stage Focal" in panel.run.toolTip()


def test_a_local_field_is_accepted_with_its_alignment(qtbot, panel, engine):
    """Parts of the images move: they are resampled once, in the background, and can be undone."""
    session = panel._session
    before = session.series = noisy_series()
    engine.local = np.full((5, 2, 2, 3, 3), 1.5)
    layer = wait_shown(qtbot, panel)
    panel.run.click()
    until_idle(qtbot, session)
    series, draft, local = session.series, panel.work.draft, panel.work.origin.local_px
    place, look = session.shown_image, panel.check_.look
    pair = [make_pair(0, series, draft, place, look, None, field)[1].a for field in (local, None)]
    qtbot.waitUntil(lambda: np.array_equal(layer.data, pair[0]), timeout=10_000)
    assert not np.array_equal(*pair), "the check shows what Accept will do to the images"
    panel.ends.accept.click()
    until_idle(qtbot, session)
    unbent = session.series.images[:, :, 4:-4, 4:-4]
    assert np.abs(unbent - before.images[:, :, 4:-4, 4:-4]).max() > 0.1
    session.undo()
    np.testing.assert_array_equal(session.series.images, before.images)


def test_the_axis_is_turned_by_hand(qtbot, panel):
    """Its error was that of another angle; the images are turned on Accept, and undo takes it back."""
    session, work = panel._session, panel.work
    series = session.series = noisy_series()
    work.set_draft(Alignment.of(series).replace(axis_error_deg=0.1))
    assert panel.move_.angle.value() == 0.0 and "± 0.10°" in panel.move_.axis.text()
    panel.move_.angle.setValue(2.5)
    panel.move_.angle.setValue(3.0)
    assert work.alignment.axis_angle_deg == pytest.approx(3.0)
    assert "+3.00°" in panel.move_.axis.text() and "± 0.10°" not in panel.move_.axis.text()
    panel.ends.accept.click()
    until_idle(qtbot, session)
    assert session.series.tilt_axis_angle_deg == pytest.approx(3.0) and panel.move_.angle.value() == 0.0
    session.undo()
    assert session.series is series
    panel.move_.angle.setValue(1.0)
    work.undo()
    assert work.draft is None and panel.move_.angle.value() == 0.0


def test_the_axis_is_told(panel):
    series = noisy_series()
    tilt = np.radians(series.tilt_deg)
    shifts = np.zeros((5, 2, 2))
    shifts[..., 1] = (3.0 + 5 * np.cos(tilt))[:, None]
    panel._session.series = series.replace(shifts_px=shifts)
    text = panel.move_.axis.text()
    assert "offset +3.00 ± 0.00 px" in text and f"({3 * series.pixel_size_angstrom:+.1f} Å)" in text


def test_two_viewers_do_not_meet(qtbot, panel):
    other = napari_components.ViewerModel()
    second = AlignPanel(other)
    qtbot.addWidget(second)
    second.show()
    panel._session.series = noisy_series()
    panel.work.nudge(0, 1, whole_tilt=False)
    assert second.work.draft is None and second.work.alignment is None and len(other.layers) == 0


def test_too_few_tilts_say_so_before_anything_is_run(panel):
    panel._session.series = noisy_series(n_tilt=1, n_focus=1)
    assert not panel.run.isEnabled()
    assert panel.run.toolTip() == "Projection matching needs two tilts in use, but there is 1"
    assert "three tilts" in panel.stages.ticks["coarse"].toolTip()
    panel._session.series = noisy_series(n_tilt=1, n_focus=2)
    assert panel.stages.chosen() == ("focal",) and panel.run.isEnabled(), "foci of one tilt can be aligned"
    panel._session.series = noisy_series(n_tilt=2, n_focus=2)
    assert panel.stages.chosen() == ("match", "gradient") and panel.run.isEnabled()
