from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLineEdit, QSpinBox

pytest.importorskip("qtpy")
pytestmark = pytest.mark.gui

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt  # noqa: E402
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox  # noqa: E402
from napari_phaset3m.gui.widgets.model_form import ModelForm  # noqa: E402
from napari_phaset3m.prepare.align.config import AlignConfig  # noqa: E402
from napari_phaset3m.prepare.ctf.config import CtfConfig  # noqa: E402
from napari_phaset3m.prepare.steps import STEPS  # noqa: E402


class Part(Model):
    """A section."""

    width_px: PositiveInt = Field(4, description="Width, pixels")


class Example(Model):
    """One field of each kind."""

    method: Literal["fast", "good"] = Field("good", description="Method")
    count: int = Field(3, ge=1, le=9, description="How many")
    limit_angstrom: PositiveFloat | Auto = Field("auto", description="Limit, Å")
    lowpass_angstrom: Annotated[float, Field(ge=0)] | None = Field(None, description="Low-pass, Å")
    defocus_step_angstrom: float = Field(500.0, gt=0, description="Step, Å (as before: 80 Å); 2 e/Å² each")
    focus: Annotated[int, Field(ge=0)] | Auto | Literal["mean"] = Field("auto", description="Which focus")
    mass: Auto | bool = Field("auto", description="Whether")
    smooth: bool = Field(True, description="Smooth")
    bins: tuple[PositiveInt, ...] | Auto = Field("auto", description="Bins")
    parts: tuple[str, ...] = Field((), description="Parts")
    part: Part = Part()


@pytest.fixture
def form(qtbot):
    made = ModelForm(Example())
    qtbot.addWidget(made)
    made.show()
    return made


def change(form, path, value) -> None:
    widget = form.editors[path].widget
    if isinstance(widget, QLineEdit):
        widget.setText(value)
        widget.editingFinished.emit()
    elif isinstance(widget, QComboBox):
        widget.setCurrentText(value)
    elif isinstance(widget, QCheckBox):
        widget.setChecked(value)
    else:
        widget.setValue(value)


def test_each_kind_has_its_widget_with_unit_and_bounds(form):
    kinds = {path: type(editor.widget) for path, editor in form.editors.items()}
    assert kinds == {
        "method": ChoiceBox, "count": QSpinBox, "limit_angstrom": QDoubleSpinBox,
        "lowpass_angstrom": QDoubleSpinBox, "defocus_step_angstrom": QDoubleSpinBox, "focus": QLineEdit,
        "mass": ChoiceBox, "smooth": QCheckBox, "bins": QLineEdit, "parts": QLineEdit,
        "part.width_px": QSpinBox,
    }  # fmt: skip
    spin = form.editors["limit_angstrom"].widget
    assert spin.text() == "auto" and spin.suffix() == " Å"
    assert form.editors["lowpass_angstrom"].widget.text() == "off"
    step = form.editors["defocus_step_angstrom"].widget
    assert step.suffix() == " nm" and step.value() == pytest.approx(50.0), "as microscopists write it"
    assert step.toolTip() == "Step, nm (as before: 8 nm); 2 e/Å² each"
    assert form.editors["parts"].widget.placeholderText() == "none"
    assert (form.editors["count"].widget.minimum(), form.editors["count"].widget.maximum()) == (1, 9)
    assert form.folds["part"].content.isHidden() and form.editors["part.width_px"].widget.suffix() == " px"


def test_rows_are_made_when_they_are_looked_at(qtbot):
    made = ModelForm(Example())
    qtbot.addWidget(made)
    boxes = lambda: {box.objectName() for box in made.findChildren(QSpinBox)}  # noqa: E731
    assert boxes() == set(), "nobody has seen it"
    made.show_config(Example(count=5, part=Part(width_px=7)))
    made.show()
    assert boxes() == {"count"}, "not those that are folded away"
    made.folds["part"].heading.click()
    assert boxes() == {"count", "part.width_px"}
    assert made.editor("count").value() == 5 and made.editor("part.width_px").value() == 7


@pytest.mark.parametrize(
    ("path", "typed", "expected"),
    [
        ("method", "fast", "fast"),
        ("count", 7, 7),
        ("limit_angstrom", 2.5, 2.5),
        ("lowpass_angstrom", 0.0, 0.0),
        ("defocus_step_angstrom", 12.0, 120.0),
        ("focus", "mean", "mean"),
        ("focus", "2", 2),
        ("mass", "no", False),
        ("smooth", False, False),
        ("bins", "8, 4, 2", (8, 4, 2)),
        ("part.width_px", 9, 9),
    ],
)
def test_what_is_typed_becomes_the_model(form, path, typed, expected):
    change(form, path, typed)
    value = form.config
    for name in path.split("."):
        value = getattr(value, name)
    assert value == expected and form.problem.isHidden()
    again = ModelForm(form.config)
    shown = again.editors[path].value()
    texts = tuple(map(str, shown)) if isinstance(shown, tuple) else str(shown)
    wanted = tuple(map(str, expected)) if isinstance(expected, tuple) else str(expected)
    assert texts == wanted, "and is shown as it is"


def test_what_is_refused_is_told_and_not_taken(form):
    change(form, "bins", "8, four")
    assert "Bins" in form.problem.text() and form.config.bins == "auto"
    change(form, "bins", "auto")
    assert form.problem.isHidden()


@pytest.mark.parametrize("config", [AlignConfig(), CtfConfig(), *(e.config for e in STEPS.values())])
def test_every_model_of_the_steps_has_a_form_that_keeps_its_values(qtbot, config):
    model = config if isinstance(config, Model) else config()
    form = ModelForm(model)
    qtbot.addWidget(form)
    for path, editor in form.editors.items():
        assert editor.tip, path
        shown = editor.value()
        value = model
        for name in path.split("."):
            value = getattr(value, name)
        if isinstance(value, float) and isinstance(shown, float):
            assert shown == pytest.approx(value, rel=0.02), path
        elif isinstance(value, tuple):
            assert tuple(type(v)(s) for v, s in zip(value, shown, strict=True)) == value, path
        else:
            assert shown == value or str(shown) == str(value), path
