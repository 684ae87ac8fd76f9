"""One row of the Mask panel for each step of the recipe, with sliders in Å."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.mask.numbers import NumberSlider, VectorEdit
from napari_phaset3m.gui.theme import LINE_SPACING, ElidedLabel, label
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox

TITLES = {
    "threshold": "Threshold", "sphere": "Sphere", "ellipsoid": "Ellipsoid", "box": "Box",
    "largest": "Largest parts", "fill": "Fill holes", "dilate": "Dilate", "erode": "Erode",
    "soft": "Soft edge", "invert": "Invert", "combine": "Mask file", "painted": "Painted",
}  # fmt: skip
#: Field that stands on the title's line, if the step has one number only.
_SINGLE = {"dilate": "distance_angstrom", "erode": "distance_angstrom", "soft": "width_angstrom"}
_VECTORS = {"ellipsoid": ("diameters_angstrom", "Diameter"), "box": ("edges_angstrom", "Edges")}
_HOWS = (("add", "union"), ("keep common", "intersection"), ("take away", "difference"))
_TITLE_WIDTH = 84


class StepRow(QWidget):
    """The controls of one step.

    Parameters
    ----------
    step : a step of a recipe
    first : bool
        It makes the mask: there is nothing to combine it with yet.
    box_angstrom : float
        Longest edge of the volume.
    values : tuple of float
        Lowest and highest value of the volume.
    unit : str
        Of the volume's values.
    """

    #: Field and its new value.
    edited = Signal(str, object)
    removed = Signal()
    raised = Signal()

    def __init__(
        self, step: Any, first: bool, box_angstrom: float, values: tuple[float, float], unit: str
    ) -> None:
        super().__init__()
        self.step, self._first, self._box = step, first, box_angstrom
        self._values, self._unit = values, unit
        self._editors: dict[str, Any] = {}
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnMinimumWidth(0, _TITLE_WIDTH)
        self._head()
        self._body()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, LINE_SPACING // 2, 0, LINE_SPACING // 2)
        layout.addLayout(self._grid)
        self.show_step(step)

    @property
    def kind(self) -> str:
        """Kind of the step."""
        return str(self.step.kind)

    def _head(self) -> None:
        self._grid.addWidget(label(TITLES[self.kind]), 0, 0)
        line = QHBoxLayout()
        line.setSpacing(2)
        if self.kind == "threshold":
            line.addWidget(self._combo("value", (("Otsu", "otsu"), ("level", "level"))), 1)
        if self.kind in _SINGLE:
            most = self._box / 4
            line.addWidget(self._slider(_SINGLE[self.kind], most, " Å", f"{TITLES[self.kind]}, Å"), 1)
        elif self.kind == "largest":
            line.addWidget(self._count(), 0)
        elif self.kind in ("combine", "painted"):
            self._text = ElidedLabel()
            line.addWidget(self._text, 1)
        if hasattr(self.step, "how") and not self._first:
            line.addWidget(self._combo("how", _HOWS), 1)
        if self.kind not in ("threshold", "combine", "painted", *_SINGLE) and not hasattr(self.step, "how"):
            line.addStretch(1)
        if self._first and hasattr(self.step, "how") and self.kind not in ("threshold", "combine"):
            line.addStretch(1)
        if not self._first:
            line.addWidget(self._button("↑", "Move this step up", self.raised))
        line.addWidget(self._button("✕", "Remove this step", self.removed))
        self._grid.addLayout(line, 0, 1)

    def _body(self) -> None:
        if self.kind == "threshold":
            unit = f" {self._unit}" if self._unit else ""
            low, high = self._values
            level = self._slider("level", high, unit, "Level: what lies above is inside", low=min(low, 0.0))
            self._row(1, "Level", level)
            self._row(2, "Low-pass", self._slider("lowpass_angstrom", self._box / 4, " Å",
                                                  "Low-pass before the threshold, Å; 0: off"))  # fmt: skip
        elif self.kind == "sphere":
            slider = self._slider("diameter_angstrom", self._box, " Å", "Diameter, Å")
            self._row(1, "Diameter", slider)
        elif self.kind in _VECTORS:
            field, text = _VECTORS[self.kind]
            self._row(1, text, self._vector(field, text, 0.01))
        if hasattr(self.step, "center_angstrom"):
            self._row(2, "Centre", self._vector("center_angstrom", "Centre from the rotation centre", -1e5))

    def _row(self, row: int, text: str, editor: QWidget) -> None:
        name = label(text, "muted")
        name.setContentsMargins(10, 0, 0, 0)
        self._grid.addWidget(name, row, 0)
        self._grid.addWidget(editor, row, 1)
        editor.setProperty("name", name)

    def _button(self, text: str, tip: str, signal: Any) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setAccessibleName(f"{tip}: {TITLES[self.kind]}")
        button.setAutoRaise(True)
        button.setFixedSize(24, 22)
        button.clicked.connect(lambda: signal.emit())
        return button

    def _slider(self, field: str, high: float, suffix: str, what: str, low: float = 0.0) -> NumberSlider:
        made = NumberSlider(high, suffix, what, low)
        made.changed.connect(lambda value: self._on_number(field, value))
        self._editors[field] = made
        return made

    def _vector(self, field: str, what: str, low: float) -> VectorEdit:
        made = VectorEdit(what, low)
        made.changed.connect(lambda values: self.edited.emit(field, values))
        self._editors[field] = made
        return made

    def _count(self) -> QSpinBox:
        spin = QSpinBox()
        spin.setRange(1, 999)
        spin.setToolTip("How many connected parts are kept, the largest first")
        spin.setAccessibleName(spin.toolTip())
        spin.valueChanged.connect(lambda value: self.edited.emit("count", value))
        self._editors["count"] = spin
        return spin

    def _combo(self, field: str, choices: Sequence[tuple[str, str]]) -> QComboBox:
        combo = ChoiceBox()
        for text, value in choices:
            combo.addItem(text, value)
        tips = {"how": "What becomes of the mask so far", "value": "Otsu finds the level itself"}
        combo.setToolTip(tips[field])
        combo.setAccessibleName(tips[field])
        combo.activated.connect(lambda _: self._on_choice(field, combo.currentData()))
        self._editors[field] = combo
        return combo

    def _on_number(self, field: str, value: float) -> None:
        if field == "lowpass_angstrom":
            self.edited.emit(field, value or None)
        else:
            self.edited.emit("value" if field == "level" else field, value)

    def _on_choice(self, field: str, value: str) -> None:
        if field == "value" and value == "level":
            self.edited.emit(field, self._editors["level"].value())
        else:
            self.edited.emit(field, value)

    def show_step(self, step: Any, level: float | None = None) -> None:
        """Bring the controls in line with a step of the same kind; ``level`` is what Otsu found."""
        self.step = step
        for field, editor in self._editors.items():
            if isinstance(editor, QComboBox):
                value = getattr(step, field)
                value = "level" if field == "value" and value != "otsu" else value
                editor.setCurrentIndex(max(0, editor.findData(value)))
            elif field == "level":
                self._show_level(editor, level)
            elif isinstance(editor, QSpinBox):
                blocked = editor.blockSignals(True)
                editor.setValue(step.count)
                editor.blockSignals(blocked)
            else:
                editor.set(getattr(step, field) or 0.0)
        if self.kind == "combine":
            self._text.set_full_text(step.path.rsplit("/", 1)[-1], step.path)
        elif self.kind == "painted":
            parts = [word for word, patch in (("added", step.added), ("erased", step.erased)) if patch]
            self._text.set_full_text(" and ".join(parts) or "nothing yet", "Corrections made by hand")

    def _show_level(self, editor: NumberSlider, level: float | None) -> None:
        automatic = self.step.value == "otsu"
        if not automatic:
            editor.set(self.step.value)
        elif level is not None:
            editor.set(level)
        # Moving what Otsu found takes the level over.
        editor.setEnabled(True)
        editor.slider.setToolTip(
            "Otsu found this level; move it to set your own" if automatic else "What lies above is inside"
        )
