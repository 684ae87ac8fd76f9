from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_phaset3m.core.series import TiltFocalSeries

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

from napari_phaset3m.gui.series.image_table import DEFOCUS, DOSE, TILT, USE  # noqa: E402
from napari_phaset3m.gui.series.loader import loader_for  # noqa: E402
from napari_phaset3m.gui.series.panel import SeriesPanel  # noqa: E402
from napari_phaset3m.gui.series.view import summary  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402

CS = "spherical_aberration_angstrom"


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def panel(qtbot, viewer):
    made = SeriesPanel(viewer)
    qtbot.addWidget(made)
    made.show()
    return made


def make_series(**more) -> TiltFocalSeries:
    rng = np.random.default_rng(1)
    values = {
        "images": rng.normal(1, 0.1, (5, 3, 12, 16)),
        "tilt_deg": np.arange(-60, 61, 30.0),
        "pixel_size_angstrom": 0.5,
        "energy_ev": 300e3,
        "defocus_angstrom": [900.0, 1700.0, 2700.0],
        "spherical_aberration_angstrom": 2.3e7,
        "dose_per_image": 20.0,
    }
    return TiltFocalSeries(**{**values, **more})


def load(qtbot, panel, path) -> None:
    loader = loader_for(panel._session)
    with qtbot.waitSignal(loader.loaded, timeout=20000):
        panel.file.open_path(path)


def test_an_image_is_given_to_napari_once(panel, viewer):
    """Each time it is uploaded and drawn small; another series, and every edit, gave it twice or anew."""
    session = panel._session
    session.series = make_series()
    layer, given = viewer.layers[0], []
    layer.events.data.connect(lambda event: given.append(event))
    session.series = session.series.replace(energy_ev=2e5)
    assert not given, "its pixels are those that are shown"
    session.series = session.series.replace(images=2 * session.series.images)
    assert len(given) == 1
    np.testing.assert_array_equal(layer.data, session.series.images[panel.view.position()])


def test_pixels_that_may_change_are_given_again():
    from napari_phaset3m.gui.layers.same_pixels import same_pixels

    series, volume = make_series(), np.zeros((4, 4))
    assert series.images[1, 2] is not series.images[1, 2]
    assert same_pixels(series.images[1, 2], series.images[1, 2])
    assert not same_pixels(series.images[1, 2], series.images[1, 1])
    assert not same_pixels(series.images[1, 2, ::2], series.images[1, 2, :6])
    assert same_pixels(volume, volume) and not same_pixels(volume, volume[:])


def test_opens_without_data(panel):
    assert panel.tabs.isHidden() and panel.view.isHidden()
    assert not panel.file.save.isEnabled() and "no series" in panel.file.save.toolTip()
    assert panel.file.path.full_text() == "No series is open"


def test_open_by_clicking_and_look_through(qtbot, panel, viewer, shared_data, monkeypatch):
    path = str(shared_data / "co3o4" / "co3o4_dev.h5")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (path, ""))
    with qtbot.waitSignal(loader_for(panel._session).loaded, timeout=20000):
        qtbot.mouseClick(panel.file.open, Qt.MouseButton.LeftButton, pos=panel.file.open.rect().center() / 2)
    series = panel._session.series
    assert panel.file.summary.text().startswith("27 tilts × 3 foci  ·  96 × 96 px\n4.99 × 4.99 nm  ·  300 kV")
    layer = viewer.layers[0]
    assert {str(unit) for unit in layer.units} == {"angstrom"}
    assert tuple(layer.scale) == (0.52, 0.52)
    panel.view.tilt.setValue(20)
    panel.view.focus.setValue(2)
    assert np.array_equal(layer.data, series.images[20, 2])
    assert panel.view.tilt_readout.text() == "35°"
    assert panel.view.focus_readout.text() == "270 nm"
    assert len(viewer.layers) == 1
    assert panel.table.currentIndex().row() == 62


def test_scale_bar_unit_survives_beside_a_volume(panel, viewer):
    viewer.add_image(np.zeros((4, 5, 6), np.float32), units=("angstrom",) * 3, scale=(0.5,) * 3,
                     axis_labels=("z", "y", "x"))  # fmt: skip
    panel._session.series = make_series()
    assert viewer.layers.units is not None
    assert {str(unit) for unit in viewer.layers.units} == {"angstrom"}


def test_table_selects_toggles_and_sorts(qtbot, panel, viewer):
    session = panel._session
    session.series = make_series(defocus_angstrom=[2700.0, 900.0, 1700.0])
    model = panel.table.images
    index = model.index(4, USE)
    assert model.setData(index, Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert not session.series.used[1, 1] and session.series.used.sum() == 14
    panel.table.sortByColumn(DEFOCUS, Qt.SortOrder.AscendingOrder)
    panel.table.setCurrentIndex(panel.table.model().index(0, TILT))
    assert panel.view.position()[1] == 1, "the smallest defocus is the second focus"
    panel.table.selectAll()
    qtbot.keyClick(panel.table, Qt.Key.Key_Space)
    assert session.series.used.any(), "the last image cannot be switched off"


@pytest.mark.parametrize(
    ("column", "typed", "name", "expected"),
    [
        (TILT, "-58.5", "tilt_deg", -58.5),
        (DEFOCUS, "95", "defocus_angstrom", 950.0),
        (DOSE, "12", "dose_per_image", 12),
    ],
)
def test_cells_are_edited_with_units(panel, column, typed, name, expected):
    session = panel._session
    before = session.series = make_series()
    model = panel.table.images
    assert model.setData(model.index(0, column), typed)
    assert np.ravel(getattr(session.series, name))[0] == pytest.approx(expected)
    assert np.shares_memory(session.series.images, before.images) and session.series is not before
    assert not model.setData(model.index(0, column), "12 bananas")
    assert "not a unit" in panel.file.problem.text()


def type_into(panel, name, text):
    edit = panel.form.rows[name].edit
    edit.setText(text)
    edit.editingFinished.emit()
    return panel.form.rows[name]


def test_metadata_takes_units(panel):
    session = panel._session
    session.series = make_series()
    type_into(panel, "energy_ev", "200")
    type_into(panel, "spherical_aberration_angstrom", "1.2 mm")
    type_into(panel, "pixel_size_angstrom", "0.06 nm")
    type_into(panel, "defocus_angstrom", "100 / 200 / 300")
    type_into(panel, "focal_spread_angstrom", "45 Å")
    series = session.series
    assert series.energy_ev == 200e3
    assert series.spherical_aberration_angstrom == pytest.approx(1.2e7)
    assert series.pixel_size_angstrom == pytest.approx(0.6)
    assert np.allclose(series.defocus_angstrom, [[1000, 2000, 3000]] * 5)
    assert series.focal_spread_angstrom == 45
    assert panel.form.rows["focal_spread_angstrom"].edit.text() == "4.5"


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("pixel_size_angstrom", "0", "greater than 0"),
        ("pixel_size_angstrom", "", "is needed"),
        ("energy_ev", "fast", "not a number"),
        ("energy_ev", "3 mm", "not a unit"),
        ("energy_spread_ev", "-1", "must not be negative"),
        ("defocus_angstrom", "10 / 20", "2 given, but 3 needed"),
        ("defocus_angstrom", "10", "1 given, but 3 needed"),
        ("dose_per_image", "10, 20", "2 given, but 1 or 3 needed"),
    ],
)
def test_wrong_metadata_is_told_in_place(panel, name, typed, said):
    before = panel._session.series = make_series()
    row = type_into(panel, name, typed)
    assert said in row.remark.text() and row.edit.property("state") == "wrong"
    assert panel._session.series is before


def test_missing_values_are_asked_for(panel):
    panel._session.series = make_series(defocus_angstrom=None, spherical_aberration_angstrom=None)
    assert panel.tabs.tabText(1) == "Microscope · 2 missing" and panel.tabs.currentIndex() == 1
    row = panel.form.rows["defocus_angstrom"]
    assert row.edit.property("state") == "missing" and "Defocus is missing" in row.remark.text()
    assert "Default: 0 nm" in panel.form.rows["focal_spread_angstrom"].remark.text()
    type_into(panel, "defocus_angstrom", "90, 170, 270")
    type_into(panel, "spherical_aberration_angstrom", "2.3")
    assert panel.tabs.tabText(1) == "Microscope"


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("energy_ev", "300000", "Voltage is 300000 kV; microscopes have 10 to 3000 kV. Is 300 kV meant?"),
        ("energy_ev", "3", "Voltage is 3 kV; microscopes have 10 to 3000 kV."),
        (CS, "2700", "Cs is 2700 mm; usual are 0.001 to 10 mm. Is 2.7 mm meant?"),
        (CS, "-13", "Cs is -13 mm; usual are 0.001 to 10 mm. Is -0.013 mm meant?"),
    ],
)
def test_values_of_another_unit_are_doubted_in_one_line(panel, name, typed, said):
    panel._session.series = make_series()
    row = type_into(panel, name, typed)
    assert row.remark.text() == said and row.remark.isVisibleTo(panel.form)
    assert row.edit.property("state") == "missing" and panel.tabs.tabText(1) == "Microscope · check"
    remarks = [other.remark for other in panel.form.rows.values()]
    assert [remark.text() for remark in remarks if remark.property("role") == "warning"] == [said]
    type_into(panel, name, "1.2" if name == CS else "300")
    assert row.remark.text() == "" and panel.tabs.tabText(1) == "Microscope"


def test_a_file_with_doubtful_values_opens_at_them_and_says_it_once(qtbot, panel, tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for key, value in {"tilt_series": np.ones((3, 1, 8, 8), np.float32), "tilt_angles": [-10.0, 0, 10],
                           "defocus_values": [1000.0], "pixel_size": 1.0, "energy": 300.0,
                           "spherical_aberration": 1.2e7}.items():  # fmt: skip
            file[key] = value
    load(qtbot, panel, tmp_path / "s.h5")
    assert panel.tabs.currentIndex() == 1
    assert "Is 300 kV meant?" in panel.form.rows["energy_ev"].remark.text()
    assert "warning" not in panel.form.notes.text()


def write_h5(path: Path, **without) -> Path:
    with h5py.File(path, "w") as file:
        values = {"tilt_series": np.ones((3, 1, 8, 8), np.float32), "tilt_angles": [-10.0, 0, 10],
                  "defocus_values": [1000.0], "pixel_size": 1.0, "energy": 2e5}  # fmt: skip
        for key, value in {**values, **without}.items():
            if value is not None:
                file[key] = value
    return path


def test_a_file_without_pixel_size_is_completed(qtbot, panel, tmp_path):
    path = write_h5(tmp_path / "no pixel å.h5", pixel_size=None)
    loader = loader_for(panel._session)
    with qtbot.waitSignal(loader.failed, timeout=20000):
        panel.file.open_path(path)
    assert not panel.file.ask.isHidden() and "Pixel size is not stated" in panel.file.ask.question.text()
    panel.file.ask.line.setText("-3")
    panel.file.ask.button.click()
    assert "greater than 0" in panel.file.ask.problem.text()
    panel.file.ask.line.setText("0.7")
    with qtbot.waitSignal(loader.loaded, timeout=20000):
        panel.file.ask.button.click()
    assert panel._session.series.pixel_size_angstrom == pytest.approx(0.7) and panel.file.ask.isHidden()


@pytest.mark.parametrize("kind", ["truncated", "nan", "absent", "angles"])
def test_bad_files_are_told_in_one_line(qtbot, panel, tmp_path, kind):
    path = tmp_path / "bad.h5"
    if kind == "truncated":
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    elif kind == "nan":
        write_h5(path, tilt_series=np.full((3, 1, 8, 8), np.nan, np.float32))
    elif kind == "angles":
        write_h5(path, tilt_angles=[0.0, 1.0])
    panel._session.series = kept = make_series()
    with qtbot.waitSignal(loader_for(panel._session).failed, timeout=20000):
        panel.file.open_path(path)
    text = panel.file.problem.text()
    assert "bad.h5" in text and "\n" not in text and not panel.file.problem.isHidden()
    assert panel._session.series is kept and panel.file.open.isEnabled()


def test_dropping_and_saving(qtbot, panel, tmp_path, monkeypatch):
    path = write_h5(tmp_path / "a.h5")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                       Qt.KeyboardModifier.NoModifier)  # fmt: skip
    loader = loader_for(panel._session)
    with qtbot.waitSignal(loader.loaded, timeout=20000):
        panel.dropEvent(event)
    type_into(panel, "energy_ev", "120")
    assert panel.file.path.full_text() == "a.h5 (edited)"
    before = path.read_bytes()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    panel.file.save.click()
    assert "never overwritten" in panel.file.problem.text() and path.read_bytes() == before
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "b"), ""))
    with qtbot.waitSignal(loader.saved, timeout=20000):
        panel.file.save.click()
    load(qtbot, panel, tmp_path / "b.h5")
    assert panel._session.series.energy_ev == 120e3


def test_saving_as_text_keeps_the_series(qtbot, panel, tmp_path, monkeypatch):
    path = write_h5(tmp_path / "a.h5", spherical_aberration=2.3e7)
    load(qtbot, panel, path)
    type_into(panel, "energy_ev", "120")
    offered = []

    def choose(parent, title, start, filters):
        offered.append(filters)
        return str(tmp_path / "edited"), filters.split(";;")[1]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    with qtbot.waitSignal(loader_for(panel._session).saved, timeout=20000):
        panel.file.save.click()
    assert "*.h5" in offered[0] and "*.toml" in offered[0]
    assert (tmp_path / "edited.toml").exists() and (tmp_path / "edited_images.mrc").exists()
    before = panel._session.series
    load(qtbot, panel, tmp_path / "edited.toml")
    after = panel._session.series
    assert after is not before and after.energy_ev == 120e3
    np.testing.assert_array_equal(after.images, before.images)
    np.testing.assert_allclose(after.defocus_angstrom, before.defocus_angstrom)


def test_deleted_layer_comes_back_with_the_slider(panel, viewer):
    panel._session.series = make_series()
    viewer.layers.clear()
    assert not panel.view.forward.isHidden()
    panel.view.tilt.setValue(0)
    assert len(viewer.layers) == 1


def test_renamed_layer_is_kept(panel, viewer):
    panel._session.series = make_series()
    viewer.layers[0].name = "mine"
    panel.view.tilt.setValue(0)
    type_into(panel, "energy_ev", "200")
    assert panel.view.position() == (0, 0), "an edit must not move the sliders"
    assert [layer.name for layer in viewer.layers] == ["mine"]


def test_two_viewers_and_two_panels(qtbot, panel, viewer):
    other = napari_components.ViewerModel()
    second = SeriesPanel(other)
    twin = SeriesPanel(viewer)
    for widget in (second, twin):
        qtbot.addWidget(widget)
    panel._session.series = make_series()
    assert session_for(other).series is None and len(other.layers) == 0
    assert twin.table.images.rowCount() == 15 and len(viewer.layers) == 1


def test_closing_and_reopening_keeps_everything(qtbot, viewer):
    first = SeriesPanel(viewer)
    first._session.series = make_series()
    type_into(first, "energy_ev", "80")
    first.deleteLater()
    qtbot.wait(20)
    session_for(viewer).series = session_for(viewer).series.replace(energy_ev=60e3)
    again = SeriesPanel(viewer)
    qtbot.addWidget(again)
    assert again.form.rows["energy_ev"].edit.text() == "60"


def test_edits_are_undone(qtbot, panel):
    session = panel._session
    before = session.series = make_series()
    type_into(panel, "energy_ev", "80")
    assert panel.table.images.setData(panel.table.images.index(0, TILT), "-58.5")
    panel._on_undo()
    assert session.series.tilt_deg[0] == -60 and session.series.energy_ev == 80e3
    panel._on_undo()
    assert session.series is before and panel.form.rows["energy_ev"].edit.text() == "300"
    panel._on_redo()
    assert session.series.energy_ev == 80e3
    assert panel.view.position() == (2, 0), "the sliders stay where they are"


def test_summary_never_shows_raw_floats():
    text = summary(make_series(pixel_size_angstrom=0.1 + 0.2, dose_per_image=21.5))
    assert "0.48 × 0.36 nm" in text and "322.5 e/Å² in all" in text


def test_angles_beside_a_stack_that_do_not_fit_are_asked_for_with_the_reason(qtbot, panel, tmp_path):
    """The refusal was told, and nothing but renaming the file helped."""
    import mrcfile

    path = tmp_path / "t.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.random.default_rng(0).uniform(50, 99, (5, 32, 32)).astype(np.float32))
        file.voxel_size = 2.0
    path.with_suffix(".rawtlt").write_text("1\n2\n")
    panel.file.open_path(path, energy_ev=300e3)
    ask, session = panel.file.ask, panel._session
    qtbot.waitUntil(ask.isVisible, timeout=20_000)
    told = "t.rawtlt: 2 angles for 5 images in t.mrc. Give Tilt angles in its place to open the file:"
    assert ask.question.text() == told and session.series is None
    ask.line.setText("-6:6:3")
    qtbot.mouseClick(ask.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.series is not None, timeout=20_000)
    assert session.series.tilt_deg.tolist() == [-6, -3, 0, 3, 6] and not ask.isVisible()
    assert any("t.rawtlt is not used" in note for note in session.series.metadata["notes"])


@pytest.mark.parametrize("where", ["mdoc", "label"])
def test_an_axis_with_a_decimal_comma_is_asked_for(qtbot, panel, tmp_path, where):
    """It was refused without a field to give it in."""
    import mrcfile

    path, title = tmp_path / "t.mrc", "Tilt axis angle = 85,3, binning = 1"
    images = np.random.default_rng(0).uniform(50, 99, (3, 32, 32)).astype(np.float32)
    with mrcfile.new(path) as file:
        file.set_data(images)
        file.voxel_size = 2.0
        if where == "label":
            file.add_label(title)
    path.with_suffix(".rawtlt").write_text("-6\n0\n6\n")
    if where == "mdoc":
        rows = "".join(f"[ZValue = {k}]\nTiltAngle = {6 * k - 6}\n" for k in range(3))
        (tmp_path / "t.mrc.mdoc").write_text(f"[T = {title}]\n{rows}")
    panel.file.open_path(path, energy_ev=300e3)
    ask, session = panel.file.ask, panel._session
    qtbot.waitUntil(ask.isVisible, timeout=20_000)
    told = "has a decimal comma and is not read. Give Tilt axis in its place to open the file:"
    assert ask.question.text().endswith(told) and session.series is None and ask.unit.text() == "°"
    ask.line.setText("400")
    qtbot.mouseClick(ask.button, Qt.MouseButton.LeftButton)
    assert ask.problem.text() == "Tilt axis must lie within ±360 °." and session.series is None
    ask.line.setText("−85.3")
    qtbot.mouseClick(ask.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.series is not None, timeout=20_000)
    assert session.series.tilt_axis_angle_deg == -85.3 and not ask.isVisible()
    assert session.series_overrides["tilt_axis_angle_deg"] == -85.3, "a run replays it"
