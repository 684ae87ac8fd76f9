from __future__ import annotations

import sys
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

sys.path.insert(0, str(Path(__file__).parent))
import mrcfile  # noqa: E402

from napari_phaset3m.errors import OutputError  # noqa: E402
from napari_phaset3m.gui.importing.dialog import ImportDialog, open_import  # noqa: E402
from napari_phaset3m.gui.importing.table import COLUMNS  # noqa: E402
from napari_phaset3m.gui.series.panel import SeriesPanel  # noqa: E402
from napari_phaset3m.gui.step_guide import StepGuide  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402

CELL = {cell: number for number, (_, cell, _, _) in enumerate(COLUMNS)}


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def dialog(qtbot, viewer):
    made = ImportDialog(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.work.stop()
    qtbot.waitUntil(lambda: not made.work.busy, timeout=20_000)


@pytest.fixture
def stack(tmp_path):
    """A stack of 4 tilts × 2 foci, 40 × 48 px, with angles beside it."""
    rng = np.random.default_rng(3)
    data = rng.normal(100, 10, (8, 40, 48)).astype(np.float32)
    path = tmp_path / "ts 1.st"
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.voxel_size = 2.0
    angles = np.repeat([-30.0, -10.0, 10.0, 30.0], 2)
    (tmp_path / "ts 1.rawtlt").write_text("\n".join(f"{a:.2f}" for a in angles))
    return path, data


def look(qtbot, dialog, *paths) -> None:
    dialog.work.look([Path(path) for path in paths])
    qtbot.waitUntil(lambda: not dialog.work.looking, timeout=20_000)


def confirm_all(dialog) -> None:
    while dialog.questions.buttons:
        dialog.questions.buttons[0].click()


def set_cell(dialog, row, cell, text) -> bool:
    model = dialog.table.images
    return model.setData(model.index(row, CELL[cell]), text)


def give(dialog, name, text) -> None:
    edit = dialog.whole.rows[name].edit
    edit.setText(text)
    edit.editingFinished.emit()


def test_without_files_it_invites(dialog):
    assert not dialog.go.isEnabled() and "Choose files" in dialog.go.toolTip()
    assert dialog.invitation.isVisible() and not dialog.split.isVisible()


def test_a_stack_is_looked_at_mended_and_imported(qtbot, dialog, viewer, stack):
    path, data = stack
    look(qtbot, dialog, path)
    plan = dialog.work.plan
    assert (plan.n_tilt, plan.n_focus) == (4, 2) and dialog.table.images.rowCount() == 8
    assert "Voltage" in dialog.go.toolTip() or "Confirm" in dialog.go.toolTip()
    give(dialog, "energy_ev", "300")
    confirm_all(dialog)
    assert dialog.go.isEnabled(), dialog.go.toolTip()
    assert set_cell(dialog, 0, "tilt_deg", "-31.5") and set_cell(dialog, 1, "tilt_deg", "-31.5")
    assert set_cell(dialog, 2, "defocus_angstrom", "120 nm")
    assert not set_cell(dialog, 2, "dose", "12 bananas") and "not a unit" in dialog.problem.text()
    dialog.work.target = path.with_name("out.toml")
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    series = session_for(viewer).series
    assert series.images.shape == (4, 2, 40, 48) and series.tilt_deg[0] == pytest.approx(-31.5)
    assert series.pixel_size_angstrom == pytest.approx(2.0) and series.energy_ev == 300e3
    ratio = series.images[3, 1] / data[7]
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)
    assert (path.with_name("out.toml")).exists() and session_for(viewer).series_path == path.with_name(
        "out.h5"
    )
    assert not dialog.isVisible()
    panel = SeriesPanel(viewer)
    qtbot.addWidget(panel)
    assert panel.file.path.full_text() == "out.h5", "as it was written, not edited"


def test_a_description_brings_its_bin_and_crop(qtbot, dialog, viewer, stack):
    """What series.toml says is shown, done, and kept in what is written; opening other files begins anew."""
    from napari_phaset3m.io.import_config import ImportConfig
    from napari_phaset3m.io.importing import look as recognise
    from napari_phaset3m.io.importing import write

    path, _ = stack
    config = ImportConfig(bin=2, bin_method="mean", crop=(4, 36, 8, 48))
    plan = recognise(path).edited(energy_ev=3e5, confirm=["focus_index"])
    text, _ = write(plan, path.with_name("before.toml"), config=config)
    look(qtbot, dialog, text)
    assert dialog.work.config == config
    box = dialog.size_box
    assert (box.bin.value(), box.method.currentData(), box.crop.isChecked()) == (2, "mean", True)
    assert "20 × 16 px" in box.text.text() and "4 Å" in box.text.text()
    confirm_all(dialog)
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    series = session_for(viewer).series
    assert series.images.shape == (4, 2, 16, 20) and series.pixel_size_angstrom == pytest.approx(4.0)
    assert series.sections.section.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    look(qtbot, dialog, path)
    assert dialog.work.config == ImportConfig() and box.method.currentData() == "fourier"


def test_values_of_another_unit_are_doubted(qtbot, dialog, stack):
    look(qtbot, dialog, stack[0])
    for name, typed, told in (
        ("energy_ev", "300000", "Is 300 kV meant?"),
        ("spherical_aberration_angstrom", "1200", "Is 1.2 mm meant?"),
    ):
        row = dialog.whole.rows[name]
        give(dialog, name, typed)
        assert told in row.remark.text()
        give(dialog, name, "1.2" if "spherical" in name else "300")
        assert row.remark.text() == ""


def test_bin_crop_and_forecast(qtbot, dialog, viewer, stack):
    path, data = stack
    look(qtbot, dialog, path)
    give(dialog, "energy_ev", "300")
    confirm_all(dialog)
    whole = dialog.work.memory()[0]
    dialog.size_box.bin.setValue(2)
    assert dialog.work.memory()[0] < whole and "24 × 20 px of 4 Å" in dialog.size_box.text.text()
    dialog.size_box.crop.click()
    assert dialog.work.config.crop == (10, 30, 12, 36) and dialog.picture.roi.isVisible()
    dialog.picture.roi.setPos((4, 6), finish=False)
    dialog.picture.roi.setSize((32, 24))
    assert dialog.work.config.crop == (6, 30, 4, 36)
    dialog.size_box.bin.setValue(20)
    assert dialog.work.config.bin == 2 and dialog.size_box.text.text().startswith("Bin: 20 leaves")
    assert not dialog.go.isEnabled(), "what is shown cannot be done, so nothing is"
    dialog.size_box.bin.setValue(1)
    dialog.work.target = path.with_name("cut.toml")
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    images = session_for(viewer).series.images
    ratio = images[0, 0] / data[0, 6:30, 4:36]
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)


def test_places_must_fit(qtbot, dialog, stack):
    look(qtbot, dialog, stack[0])
    give(dialog, "energy_ev", "300")
    confirm_all(dialog)
    assert set_cell(dialog, 1, "focus_index", "1")
    assert "ts 1.st: Tilt no., Focus: 8 images for 4 tilts x 2 foci" in dialog.go.toolTip()
    assert "several are focus 1 of tilt no. 1" in dialog.go.toolTip() and not dialog.go.isEnabled()
    assert set_cell(dialog, 1, "focus_index", "2") or set_cell(dialog, 0, "focus_index", "2")
    assert dialog.go.isEnabled(), dialog.go.toolTip()
    dialog.table.selectAll()
    qtbot.keyClick(dialog.table, Qt.Key.Key_Space)
    assert "At least one image" in dialog.go.toolTip()


@pytest.mark.parametrize(
    ("cell", "typed", "told"),
    [
        ("tilt_deg", "200", "Tilt: must be an angle from -180 to 180 degrees (got 200.0)"),
        ("tilt_index", "0", "Tilt no.: counts from 1 (got 0)"),
        ("focus_index", "1.5", "Focus: needs a whole number"),
        ("dose", "-3", "Dose: must be a number that is not negative (got -3.0)"),
        ("section", "-1", "Section: must be a whole number, counted from 0 (got -1)"),
    ],
)
def test_a_cell_says_what_may_stand_in_it(qtbot, dialog, stack, cell, typed, told):
    look(qtbot, dialog, stack[0])
    assert not set_cell(dialog, 0, cell, typed) and dialog.problem.text() == told


def test_no_to_focal_groups_makes_each_image_a_tilt(qtbot, dialog, stack):
    look(qtbot, dialog, stack[0])
    assert dialog.work.plan.n_focus == 2
    dialog.questions.apart.click()
    plan = dialog.work.plan
    assert (plan.n_tilt, plan.n_focus) == (8, 1) and [e.section for e in plan.images] == list(range(8))
    assert not [q for q in plan.questions if q.field == "focus_index"]


def test_a_crash_while_looking_leaves_no_plan_of_other_files(qtbot, dialog, stack, tmp_path, monkeypatch):
    look(qtbot, dialog, stack[0])

    def crash(*_, **__):
        raise NameError("odd")

    monkeypatch.setattr("napari_phaset3m.gui.importing.jobs.look", crash)
    with qtbot.captureExceptions() as seen:
        look(qtbot, dialog, tmp_path / "ts 1.rawtlt")
    assert isinstance(seen[0][1], NameError)
    assert dialog.work.plan is None and not dialog.split.isVisible() and "odd" in dialog.problem.text()


def test_a_section_that_is_not_there_is_told_at_once(qtbot, dialog, stack):
    look(qtbot, dialog, stack[0])
    assert set_cell(dialog, 0, "section", "99")
    qtbot.waitUntil(lambda: "section 99 is not among the 8" in dialog.problem.text(), timeout=10_000)
    assert dialog.problem.text().startswith("ts 1.st: Section")


def test_angles_that_no_file_states_are_typed_once(qtbot, dialog, stack):
    path, _ = stack
    path.with_suffix(".rawtlt").unlink()
    look(qtbot, dialog, path)
    give(dialog, "energy_ev", "300")
    assert dialog.go.toolTip() == "Tilt angles are not known: give them"
    assert dialog.given.angles.isVisible() and not dialog.given.gain.isVisible()
    assert dialog.given.angles.property("state") == "missing", "framed, as all that is needed"
    assert len(dialog.questions.buttons) == 1, "Yes is no answer to what the angles are; to the axis it is"
    for wrong, told in (("-30:30:30", "3 angles for 8 images"), ("here and there", "Give angles as")):
        dialog.given.angles.setText(wrong)
        dialog.given.angles.editingFinished.emit()
        assert told in dialog.given.problem.text()
    dialog.given.angles.setText("-30:30:20")
    dialog.given.angles.editingFinished.emit()
    plan = dialog.work.plan
    assert (plan.n_tilt, plan.n_focus) == (4, 2) and [e.section for e in plan.images] == list(range(8))
    assert not dialog.given.isVisible() and "2 foci at each of 4 tilts" in str(plan.questions[-1])
    confirm_all(dialog)
    assert dialog.go.isEnabled(), dialog.go.toolTip()


def test_a_tlt_of_another_count_is_told_and_the_angles_are_given(qtbot, dialog, viewer, stack):
    """It used to be refused, and nothing but renaming the file helped."""
    path, _ = stack
    path.with_suffix(".rawtlt").write_text("1\n2\n3\n")
    look(qtbot, dialog, path)
    told = "ts 1.rawtlt is not used: 3 angles for 8 images in ts 1.st"
    assert not dialog.problem.isVisible() and dialog.table.images.rowCount() == 8
    assert told in shown_questions(dialog) and "; give them in the table or on the right" in shown_questions(
        dialog
    )
    give(dialog, "energy_ev", "300")
    confirm_all(dialog)
    assert dialog.go.toolTip() == "Tilt angles are not known: give them" and not dialog.go.isEnabled()
    assert dialog.given.angles.isVisible()
    for row in range(7):
        assert set_cell(dialog, row, "tilt_deg", str(3 * row - 9))
        assert not dialog.go.isEnabled()
    assert set_cell(dialog, 7, "tilt_deg", "12") and dialog.go.isEnabled(), dialog.go.toolTip()
    assert told in dialog.notes.text(), "the series keeps it"
    dialog.work.target = path.with_name("out.toml")
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    series = session_for(viewer).series
    assert series.tilt_deg.tolist() == list(range(-9, 15, 3)) and told in series.metadata["notes"]


def shown_questions(dialog) -> str:
    from qtpy.QtWidgets import QLabel

    return " ".join(part.text() for line in dialog.questions._lines for part in line.findChildren(QLabel))


def test_gain_of_movies_is_asked_for_and_checked(qtbot, dialog, viewer, tmp_path):
    rng = np.random.default_rng(3)
    frames, gain = rng.poisson(9, (3, 5, 40, 48)).astype(np.float32), rng.uniform(0.5, 2, (40, 48))
    lines = ["Voltage = 300", "PixelSpacing = 2", "[T = Tilt axis angle = 0.0]"]
    for k in range(3):
        lines += [f"[ZValue = {k}]", f"TiltAngle = {k}", f"SubFramePath = X:\\m{k}.mrc", "ExposureDose = 3",
                  f"DateTime = 01-Jan-24  10:00:0{k}"]  # fmt: skip
    images = {f"m{k}": frames[k] for k in range(3)} | {"gain": gain[None], "small": gain[None, :20]}
    (tmp_path / "all").mkdir()
    for name, data in images.items():
        with mrcfile.new(tmp_path / "all" / f"{name}.mrc") as file:
            file.set_data(data.astype(np.float32))
    (tmp_path / "all" / "ts_01.mrc.mdoc").write_text("\n".join(lines))
    look(qtbot, dialog, tmp_path / "all" / "ts_01.mrc.mdoc")
    assert dialog.work.target == tmp_path / "all" / "ts_01_imported.toml"
    edit = dialog.given.gain
    assert edit.isVisible() and not dialog.given.angles.isVisible()
    for wrong, told in (("absent.mrc", "no such file"), (str(tmp_path / "all" / "small.mrc"), "is 20 x 48")):
        edit.setText(wrong)
        edit.editingFinished.emit()
        qtbot.waitUntil(
            lambda told=told: told in dialog.given.problem.text() + dialog.problem.text(), timeout=10_000
        )
    edit.setText(str(tmp_path / "all" / "gain.mrc"))
    with qtbot.waitSignal(dialog.work.pictured, timeout=10_000) as shown:
        edit.editingFinished.emit()
    np.testing.assert_allclose(shown.args[0], frames[0].sum(0) * gain, rtol=1e-5)
    assert dialog.problem.text() == "" and dialog.given.problem.text() == ""
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    assert session_for(viewer).series.metadata["gain"].endswith("gain.mrc"), (
        "motion correction takes it from there"
    )


def test_orientation_of_the_gain_is_chosen_and_kept(qtbot, dialog, viewer, tmp_path):
    rng = np.random.default_rng(3)
    frames, gain = rng.poisson(9, (5, 40, 48)).astype(np.float32), rng.uniform(0.5, 2, (40, 48))
    stored = np.rot90(gain[::-1], 1)  # what one quarter turn and a flip bring back
    for name, data in (("m", frames), ("gain", stored)):
        with mrcfile.new(tmp_path / f"{name}.mrc") as file:
            file.set_data(data.astype(np.float32))
    lines = ["Voltage = 300", "PixelSpacing = 2", "[T = Tilt axis angle = 0.0]", "[ZValue = 0]",
             "TiltAngle = 0", "SubFramePath = X:\\m.mrc", "ExposureDose = 3"]  # fmt: skip
    (tmp_path / "ts.mdoc").write_text("\n".join(lines))
    look(qtbot, dialog, tmp_path / "ts.mdoc")
    rows = dialog.given.movies
    assert not rows.isVisible(), "without a gain there is nothing to turn"
    dialog.given.gain.setText(str(tmp_path / "gain.mrc"))
    dialog.given.gain.editingFinished.emit()
    told = "is 48 x 40, the frames are 40 x 48 pixels (y, x). It fits with Gain quarter turns 1 or 3"
    qtbot.waitUntil(lambda: told in dialog.problem.text(), timeout=10_000)
    assert rows.choices["gain_rotate"].isVisible() and not rows.choices["eer_upsampling"].isVisible()
    for key, value in (("gain_flip", "up-down"), ("gain_mode", "divide"), ("gain_rotate", 1)):
        box = rows.choices[key]
        box.setCurrentIndex(box.findData(value))
        with qtbot.waitSignal(dialog.work.pictured, timeout=10_000) as shown:
            box.activated.emit(box.currentIndex())
    np.testing.assert_allclose(shown.args[0], frames.sum(0) / gain, rtol=1e-5)
    confirm_all(dialog)
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    kept = session_for(viewer).series.metadata["movie_settings"]
    assert (kept["gain_rotate"], kept["gain_flip"], kept["gain_mode"]) == (1, "up-down", "divide")


def test_upsampling_of_eer_changes_size_pixel_and_crop(qtbot, dialog, tmp_path):
    pytest.importorskip("imagecodecs")
    sys.path.insert(0, str(Path(__file__).parents[1] / "io"))
    from _eer import write_eer

    rng = np.random.default_rng(1)
    for tilt in (-3, 0, 3):
        places = rng.choice(32 * 40, 100, replace=False)
        events = [(int(p // 40), int(p % 40), int(p % 4), 1) for p in places]
        write_eer(tmp_path / f"m_{tilt}.eer", [events] * 4, (32, 40), dose_px=1.0)
    look(qtbot, dialog, *sorted(tmp_path.glob("*.eer")))
    give(dialog, "pixel_size_angstrom", "1")
    rows = dialog.given.movies
    box = rows.choices["eer_upsampling"]
    assert box.isVisible() and not rows.choices["gain_rotate"].isVisible()
    assert dialog.work.set_config(crop=(4, 20, 8, 32)) == ""
    box.setCurrentIndex(box.findData(4))
    box.activated.emit(box.currentIndex())
    plan = dialog.work.plan
    assert plan.image_shape == (128, 160) and plan.pixel_size_angstrom == 0.25
    assert (
        dialog.work.config.crop == (16, 80, 32, 128) and "96 × 64 px of 0.25 Å" in dialog.size_box.text.text()
    )
    box.setCurrentIndex(box.findData(1))
    box.activated.emit(box.currentIndex())
    assert dialog.work.config.crop == (4, 20, 8, 32) and dialog.work.plan.pixel_size_angstrom == 1.0
    rows.group.setValue(2)
    assert dialog.work.plan.movies.eer_group == 2


def test_axis_turns_the_images(qtbot, dialog, viewer, stack):
    look(qtbot, dialog, stack[0])
    give(dialog, "energy_ev", "300")
    give(dialog, "tilt_axis_angle_deg", "90")
    give(dialog, "spherical_aberration_angstrom", "2.7")
    confirm_all(dialog)
    dialog.work.target = stack[0].with_name("turned.toml")
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    series = session_for(viewer).series
    assert series.image_shape == (48, 40) and series.tilt_axis_angle_deg == 90
    assert series.spherical_aberration_angstrom == pytest.approx(2.7e7)


def test_hot_pixels_are_mended_before_the_turn_when_asked(qtbot, dialog, viewer, stack):
    look(qtbot, dialog, stack[0])
    give(dialog, "energy_ev", "300")
    give(dialog, "tilt_axis_angle_deg", "12")
    confirm_all(dialog)
    box = dialog.size_box.outliers
    assert box.isVisible() and not box.isChecked() and "spreads them" in box.toolTip()
    box.click()
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    (step,) = session_for(viewer).series.metadata["history"]
    assert step["parameters"]["outliers"]["hot"] and step["told"]["hot_pixels"] == 0


def test_dropping_and_bad_files(qtbot, dialog, tmp_path, stack):
    (tmp_path / "bad.mrc").write_bytes(b"no image at all")
    look(qtbot, dialog, tmp_path / "bad.mrc")
    assert "bad.mrc" in dialog.problem.text() and "\n" not in dialog.problem.text()
    assert dialog.problem.isVisible(), "also while there is no table"
    assert not dialog.go.isEnabled()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(stack[0]))])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    dialog.dropEvent(event)
    qtbot.waitUntil(lambda: dialog.work.plan is not None, timeout=20_000)
    assert dialog.problem.text() == ""


def test_buttons_ask_for_files(qtbot, dialog, stack, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *a, **k: ([str(stack[0])], ""))
    dialog.files.click()
    qtbot.waitUntil(lambda: dialog.work.plan is not None, timeout=20_000)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(stack[0].with_name("x")), ""))
    dialog.browse.click()
    assert dialog.target.full_text() == "x.toml and x.h5"


def test_closed_and_reopened_dialog_keeps_the_plan(qtbot, viewer, stack):
    first = ImportDialog(viewer)
    look(qtbot, first, stack[0])
    first.close()
    first.deleteLater()
    qtbot.wait(50)
    again = open_import(viewer)
    qtbot.addWidget(again)
    assert again.table.images.rowCount() == 8 and open_import(viewer) is again
    other = ImportDialog(napari_components.ViewerModel())
    qtbot.addWidget(other)
    assert other.work.plan is None


def test_a_picture_of_the_chosen_row(qtbot, dialog, stack):
    look(qtbot, dialog, stack[0])
    qtbot.waitUntil(lambda: dialog.picture.picture.image.image is not None, timeout=10_000)
    first = dialog.picture.picture.image.image
    dialog.table.selectRow(5)
    qtbot.waitUntil(lambda: dialog.picture.picture.image.image is not first, timeout=10_000)
    assert dialog.work.row == 5


def test_other_files_begin_with_their_first_image(qtbot, dialog, stack, tmp_path):
    look(qtbot, dialog, stack[0])
    dialog.table.selectRow(5)
    other = tmp_path / "ts 2.st"
    other.write_bytes(stack[0].read_bytes())
    (tmp_path / "ts 2.rawtlt").write_text((tmp_path / "ts 1.rawtlt").read_text())
    look(qtbot, dialog, other)
    assert dialog.table.currentIndex().row() == dialog.work.row == 0


def test_dark_field_is_stated_in_the_dialog(qtbot, dialog, viewer, stack):
    """Images of a STEM with a bright background would else be taken for bright field without a word."""
    path, data = stack
    look(qtbot, dialog, path)
    give(dialog, "energy_ev", "300")
    confirm_all(dialog)
    assert not dialog.whole.dark_field.isChecked()
    dialog.whole.dark_field.click()
    assert dialog.work.plan.dark_field
    dialog.work.target = path.with_name("dark.toml")
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    series = session_for(viewer).series
    assert series.is_dark_field
    assert np.corrcoef(series.images[0, 0].ravel(), data[0].ravel())[0, 1] < -0.999, "inverted"


def test_command_of_the_menu_takes_a_proxy(qtbot, viewer):
    proxies = pytest.importorskip("napari.utils._proxies")
    made = open_import(proxies.PublicOnlyProxy(viewer))
    qtbot.addWidget(made)
    assert made is open_import(viewer) and made.isVisible()


@pytest.fixture
def held(monkeypatch):
    """Events with which an import can be held where it reads and where it writes."""
    from types import SimpleNamespace

    from napari_phaset3m.gui.importing import jobs

    gates = SimpleNamespace(read=Event(), write=Event(), reading=Event(), writing=Event(), full=False)
    load, write = jobs.iterate_load, jobs.write

    def slow_load(*args, **more):
        for number, event in enumerate(load(*args, **more)):
            yield event
            if not number:
                gates.reading.set()
                assert gates.read.wait(20)

    def slow_write(*args, **more):
        gates.writing.set()
        assert gates.write.wait(20)
        if gates.full:
            raise OutputError("ts 1_imported.h5: cannot be written (No space left on device)")
        return write(*args, **more)

    monkeypatch.setattr(jobs, "iterate_load", slow_load)
    monkeypatch.setattr(jobs, "write", slow_write)
    yield gates
    gates.read.set()
    gates.write.set()


def ready(qtbot, dialog, stack) -> Path:
    """A dialog that can import, and the folder."""
    look(qtbot, dialog, stack[0])
    give(dialog, "energy_ev", "300")
    confirm_all(dialog)
    assert dialog.go.isEnabled(), dialog.go.toolTip()
    return stack[0].parent


def test_stopped_while_it_reads_nothing_is_left_and_it_can_be_tried_again(qtbot, dialog, viewer, stack, held):
    folder = ready(qtbot, dialog, stack)
    before = set(folder.iterdir())
    dialog.go.click()
    qtbot.waitUntil(held.reading.is_set, timeout=20_000)
    assert dialog.cancel.text() == "Stop"
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(stack[0]))])
    buttons = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drag = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, *buttons)
    dialog.dragEnterEvent(drag)
    assert not drag.isAccepted(), "not while it imports"
    dialog.cancel.click()
    held.read.set()
    qtbot.waitUntil(lambda: not dialog.work.busy, timeout=20_000)
    assert dialog.state.text() == "Stopped; nothing was written" and set(folder.iterdir()) == before
    assert session_for(viewer).series is None and dialog.isVisible() and dialog.go.isEnabled()
    held.write.set()
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    assert session_for(viewer).series is not None


def test_stopped_while_it_writes_it_says_what_was_written(qtbot, dialog, viewer, stack, held):
    folder = ready(qtbot, dialog, stack)
    held.read.set()
    dialog.go.click()
    qtbot.waitUntil(held.writing.is_set, timeout=20_000)
    dialog.cancel.click()
    held.write.set()
    qtbot.waitUntil(lambda: not dialog.work.busy, timeout=20_000)
    assert dialog.state.text() == "Stopped when ts 1_imported.h5 was written already; it is not open"
    assert (folder / "ts 1_imported.h5").exists() and (folder / "ts 1_imported.toml").exists()
    assert session_for(viewer).series is None


@pytest.mark.parametrize("end", ["done", "stopped", "failed"])
def test_closed_with_esc_while_it_reads_the_panel_tells_how_far_it_is(
    qtbot, dialog, viewer, stack, held, monkeypatch, end
):
    panel = SeriesPanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    ready(qtbot, dialog, stack)
    assert not panel.importing.isVisible()
    dialog.go.click()
    qtbot.waitUntil(held.reading.is_set, timeout=20_000)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible() and dialog.work.busy and panel.importing.isVisible()
    qtbot.waitUntil(lambda: "Importing ts 1.st" in panel.importing.text.full_text(), timeout=5_000)
    guide = StepGuide(session_for(viewer))
    qtbot.addWidget(guide)
    assert guide.hint.text().startswith("An import is running")
    if end == "stopped":
        panel.importing.stop.click()
    held.full = end == "failed"
    held.read.set()
    held.write.set()
    qtbot.waitUntil(lambda: not dialog.work.busy, timeout=30_000)
    assert guide.hint.text().startswith("Next: " if end != "done" else "Cs and Defocus"), guide.hint.text()
    assert not panel.importing.isVisible() and (session_for(viewer).series is not None) == (end == "done")
    told = panel.file.problem.text()
    assert (told.startswith("Import: ") and "No space left" in told) == (end == "failed"), told
    assert panel.file.problem.isVisible() == (end == "failed")


def test_imported_twice_says_that_it_replaces_and_never_takes_the_place_of_its_input(
    qtbot, dialog, viewer, stack
):
    folder = ready(qtbot, dialog, stack)
    assert dialog.target.full_text() == "ts 1_imported.toml and ts 1_imported.h5"
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    first = session_for(viewer).series
    ready(qtbot, dialog, stack)
    assert dialog.target.full_text().endswith(" (both are replaced)")
    with qtbot.waitSignal(dialog.work.finished, timeout=30_000):
        dialog.go.click()
    again = session_for(viewer).series
    assert again is not first and np.array_equal(again.images, first.images)
    assert sorted(path.name for path in folder.iterdir()) == [
        "ts 1.rawtlt", "ts 1.st", "ts 1_imported.h5", "ts 1_imported.toml"
    ]  # fmt: skip
    look(qtbot, dialog, folder / "ts 1_imported.toml")
    dialog.work.target = folder / "ts 1_imported.toml"
    dialog.work.changed.emit()
    assert not dialog.go.isEnabled() and "ts 1_imported.toml is what is imported" in dialog.go.toolTip()


def test_images_of_no_import_are_not_replaced(qtbot, dialog, stack):
    """The file dialog asks about the .toml alone; the .h5 beside it is somebody's own."""
    folder = ready(qtbot, dialog, stack)
    own = folder / "ts 1_imported.h5"
    own.write_bytes(b"mine")
    dialog.work.changed.emit()
    assert not dialog.go.isEnabled()
    assert "ts 1_imported.h5 is there already, and of no import" in dialog.go.toolTip()
    assert "of no import" in dialog.target.full_text()
    own.with_suffix(".toml").touch()
    own.unlink()
    dialog.work.changed.emit()
    assert dialog.go.isEnabled()
    assert dialog.target.full_text().endswith("(ts 1_imported.toml is replaced)")
