"""A STEM series in the window: asked about rather than refused, and given a method that suits it."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

from napari_phaset3m.gui.importing.dialog import ImportDialog  # noqa: E402
from napari_phaset3m.gui.microscope.ctf_work import ctf_work_for  # noqa: E402
from napari_phaset3m.gui.optimise.plan import missing  # noqa: E402
from napari_phaset3m.gui.reconstruct.needed_fields import NeededFields, lacking, why_lacking  # noqa: E402
from napari_phaset3m.gui.series.image_table import DEFOCUS  # noqa: E402
from napari_phaset3m.gui.series.loader import loader_for  # noqa: E402
from napari_phaset3m.gui.series.panel import SeriesPanel  # noqa: E402
from napari_phaset3m.gui.step_guide import hint  # noqa: E402
from napari_phaset3m.io.series import load_series  # noqa: E402
from napari_phaset3m.io.toml_plan import read_plan  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


@pytest.fixture
def stack(tmp_path):
    """Five tilts of a bright disc on a background far below zero, as FEI's signed integers have it."""
    y, x = np.mgrid[:32, :32] - 16
    disc = np.where(np.hypot(y, x) < 6, 4000, 0)
    rng = np.random.default_rng(0)
    path = tmp_path / "stem.mrc"
    with mrcfile.new(path) as file:
        file.set_data((-30_000 + disc + rng.normal(0, 20, (5, 32, 32))).astype(np.int16))
        file.voxel_size = 10.0
    path.with_suffix(".rawtlt").write_text("-6\n-3\n0\n3\n6\n")
    return path


def test_a_stem_series_is_asked_about_and_reconstructed_linearly(qtbot, stack):
    viewer = napari_components.ViewerModel()
    session, panel = session_for(viewer), SeriesPanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    panel.file.open_path(stack, energy_ev=200e3)
    ask = panel.file.ask
    qtbot.waitUntil(ask.isVisible, timeout=20_000)
    assert "dark-field" in ask.question.text() and not ask.line.isVisible() and session.series is None
    qtbot.mouseClick(ask.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.series is not None, timeout=20_000)
    images = session.series.images[:, 0]
    assert images[:, 16, 16].mean() < 0.2 and abs(images[:, :4].mean() - 1) < 0.05
    assert session.config.method == "sirt" and "SIRT" in session.message
    assert session.series.energy_ev == 200e3 and not ask.isVisible()


def test_the_import_asks_too(qtbot, stack):
    viewer = napari_components.ViewerModel()
    session, dialog = session_for(viewer), ImportDialog(viewer)
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.work.look([stack])
    qtbot.waitUntil(lambda: not dialog.work.looking, timeout=20_000)
    dialog.work.edit(confirm=[q.field for q in dialog.work.plan.questions], energy_ev=200e3)
    assert not dialog.as_dark_field.isVisible()
    qtbot.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dialog.work.busy, timeout=20_000)
    assert "dark-field" in dialog.problem.text() and session.series is None
    qtbot.mouseClick(dialog.as_dark_field, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.series is not None and not dialog.work.busy, timeout=20_000)
    images = session.series.images[:, 0]
    assert images[:, 16, 16].mean() < 0.2 and abs(images[:, :4].mean() - 1) < 0.05
    assert session.config.method == "sirt" and stack.with_name("stem_imported.h5").exists()
    text = stack.with_name("stem_imported.toml")
    assert "dark_field = true" in text.read_text()
    again = load_series(text)
    assert again.is_dark_field and np.allclose(again.images, session.series.images, atol=1e-5)
    assert read_plan(text).dark_field, "mending it further keeps it"


def test_no_optics_are_missed_in_dark_field(qtbot, stack):
    viewer = napari_components.ViewerModel()
    session, panel = session_for(viewer), SeriesPanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    with qtbot.waitSignal(loader_for(session).loaded, timeout=20_000):
        loader_for(session).load(stack, energy_ev=200e3, dark_field=True)
    assert session.series.spherical_aberration_angstrom is None
    assert panel.tabs.tabText(1) == "Microscope" and panel.tabs.currentIndex() == 0
    said = [row.remark.text() for row in panel.form.rows.values()]
    assert not [text for text in said if "missing" in text]
    assert panel.table.images.text(0, DEFOCUS) == "–" and "unknown" not in panel.view.remark.text()
    needed = NeededFields(session)
    qtbot.addWidget(needed)
    session.config = session.config.model_copy(update={"method": "multislice"})
    assert lacking(session.series, session.config) == [] and needed.isHidden()
    assert why_lacking(session.series, session.config).startswith("Dark field has no phase to retrieve")
    assert "missing" not in hint(session)[0]
    corrected = session.config.model_copy(update={"method": "sirt", "ctf_correction": "wiener"})
    assert "Dark field has no CTF" in why_lacking(session.series, corrected)
    assert missing(session.series) == "Dark field has no optics to search"
    assert ctf_work_for(session, viewer).why_not_fit() == "Dark field has no CTF to fit"


def test_the_choice_of_a_linear_method_is_kept(qtbot, stack):
    session = session_for(napari_components.ViewerModel())
    session.config = session.config.model_copy(update={"method": "wbp"})
    loader = loader_for(session)
    with qtbot.waitSignal(loader.loaded, timeout=20_000):
        loader.load(stack, energy_ev=200e3, dark_field=True)
    assert session.config.method == "wbp"


def test_a_question_for_a_value_after_the_one_about_dark_field_has_its_line(qtbot, stack):
    panel = SeriesPanel(napari_components.ViewerModel())
    qtbot.addWidget(panel)
    panel.show()
    panel.file.ask.ask_dark_field("a.mrc")
    panel.file.ask.ask("energy", "a.mrc")
    assert panel.file.ask.line.isVisible() and panel.file.ask.button.text() == "Continue"
