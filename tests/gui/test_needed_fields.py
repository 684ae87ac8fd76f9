"""The window speaks of its own fields, asks for what is lacking, and reaches every setting it names."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("qtpy.QtWidgets")
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402

from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.errors import ConfigError, DataError, PhaseT3MError  # noqa: E402
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel  # noqa: E402
from napari_phaset3m.gui.reconstruct.rows import ALL, field_of  # noqa: E402
from napari_phaset3m.gui.runs.words import in_window  # noqa: E402
from napari_phaset3m.gui.widgets.model_rows import value_at  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402

WAIT = 60_000


def bare_series(**more):
    return TiltFocalSeries(
        images=np.ones((3, 2, 16, 16), np.float32), tilt_deg=[-10.0, 0.0, 10.0],
        pixel_size_angstrom=0.5, energy_ev=300e3, **more,
    )  # fmt: skip


@pytest.fixture
def panel(qtbot):
    viewer = ViewerModel()
    session_for(viewer).series = bare_series()
    widget = ReconstructPanel(session_for(viewer), viewer)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def type_in(line, text):
    line.setText(text)
    line.editingFinished.emit()


def test_start_waits_for_defocus_and_cs_and_asks_for_them(qtbot, panel):
    session, rows = panel._session, panel.needed.rows
    assert not panel.start.isEnabled()
    assert panel.start.toolTip() == "Cs and Defocus are missing, and PhaseT3M (multislice) needs them"
    assert panel.error.text() == panel.start.toolTip() and panel.needed.isVisibleTo(panel)
    type_in(rows["defocus_angstrom"].edit, "90 / 170 / 30")
    assert "3 given, but 2 needed" in rows["defocus_angstrom"].remark.text()
    type_in(rows["defocus_angstrom"].edit, "90 / 170")
    np.testing.assert_allclose(session.series.defocus_angstrom, [[900, 1700]] * 3)
    assert (
        rows["defocus_angstrom"].edit.isHidden() and not rows["spherical_aberration_angstrom"].edit.isHidden()
    )
    assert panel.start.toolTip().startswith("Cs is missing")
    type_in(rows["spherical_aberration_angstrom"].edit, "2.3")
    assert session.series.spherical_aberration_angstrom == pytest.approx(2.3e7)
    assert panel.needed.isHidden() and not panel.error.isVisibleTo(panel)
    qtbot.waitUntil(panel.start.isEnabled, timeout=WAIT)


def test_linear_methods_need_optics_for_ctf_correction_only(qtbot, panel):
    panel._session.config = ReconstructionConfig(method="sirt")
    assert panel.needed.isHidden() and panel.start.isEnabled()
    panel._session.config = ReconstructionConfig(method="sirt", ctf_correction="wiener")
    assert "CTF correction needs them" in panel.start.toolTip() and not panel.start.isEnabled()


def test_errors_of_the_engine_name_fields_of_the_window():
    from napari_phaset3m.reconstruct.forecast import Forecast
    from napari_phaset3m.reconstruct.problem import build_problem

    with pytest.raises(DataError) as told:
        build_problem(bare_series(), ReconstructionConfig())
    assert in_window(told.value).startswith("Defocus is missing") and "--" not in in_window(told.value)
    with pytest.raises(PhaseT3MError) as told:
        Forecast(2**40, 2**30, 1.0, (4, 4, 4), 4).check()
    assert "“Voxel”" in in_window(told.value) and "“Depth”" in in_window(told.value)
    with pytest.raises(ConfigError) as told:
        ReconstructionConfig.parse(patience=0)
    assert in_window(told.value).startswith("Patience: must be")


def test_no_error_of_the_engine_leaves_a_flag_of_the_form_in_the_window():
    from napari_phaset3m.wording import flag

    for row in ALL:
        name = flag(row.path.rpartition(".")[2])
        assert not re.search(r"--\w", in_window(ConfigError(f"use another one ({name})"))), row.path


@pytest.mark.parametrize("fraction", ["auto", 0.0, 0.1])
def test_held_out_may_be_automatic_none_or_a_fraction(panel, fraction):
    editor = panel.form.editors["holdout_fraction"]
    panel._session.config = ReconstructionConfig(holdout_fraction=fraction)
    assert editor.value() == fraction
    assert editor.widget.text() == {"auto": "auto", 0.0: "0.00", 0.1: "0.10"}[fraction]


def test_none_held_out_can_be_chosen(panel):
    box = panel.form.editors["holdout_fraction"].widget
    assert panel._session.config.holdout_fraction == "auto"
    box.stepUp()
    assert panel._session.config.holdout_fraction == 0.0
    box.stepDown()
    assert panel._session.config.holdout_fraction == "auto"


def test_every_row_shows_and_sets_its_field(panel):
    session, editors = panel._session, panel.form.editors
    for path, value in {
        "multiresolution": (4, 2), "constraints.highpass_angstrom": 20.0, "constraints.threshold_volts": 0.5,
        "convergence_semiangle_mrad": 0.0, "constraints.sparsity": 0.0, "refine.refine_defocus": "image",
        "refine.refine_shifts": True, "refine.refine_schedule.start": 4, "momentum": "none",
    }.items():  # fmt: skip
        editor = editors[path]
        editor.show_value(value)
        assert editor.value() == value, path
        panel.form.refresh()
        default = value_at(session.config, path)
        assert editor.value() == default, path
        if editor.row.choices:
            held = [editor.widget.itemData(i) for i in range(editor.widget.count())]
            editor.widget.setCurrentIndex(held.index(value))
        elif isinstance(value, bool):
            editor.widget.setChecked(value)
        else:
            editor.widget.setValue(value)
        assert value_at(session.config, path) == value, path
    assert field_of("refine.refine_schedule.start").description


def test_rows_fit_a_panel_of_360_px(qtbot, panel):
    panel.resize(360, 900)
    form = panel.form
    for fold in (form.constraints, form.advanced, form.more):
        fold.heading.setChecked(True)
    qtbot.wait(50)
    assert form.minimumSizeHint().width() <= 344, "no row may need more than the panel has"
    for path, editor in form.editors.items():
        if editor.widget.isVisibleTo(form):
            assert editor.widget.geometry().right() <= form.width(), path
            assert editor.tip, path
