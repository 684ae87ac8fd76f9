"""Asks for what a file does not state, by name, and opens it again with the answer."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.numbers import (
    AXIS,
    QUANTITIES,
    Quantity,
    check_sign,
    parse_angles,
    parse_numbers,
)

_ANGLES = Quantity(
    "tilt_deg", "tilt_angles", "Tilt angles", "°",
    "first:last:step in degrees (e.g. -60:60:2), a list, or the path of a .tlt file", "always", "any",
)  # fmt: skip
_BY_KEY = {quantity.key: quantity for quantity in (*QUANTITIES, AXIS, _ANGLES)}
_EXAMPLES = {
    "pixel_size": "e.g. 0.52",
    "energy": "e.g. 300",
    "tilt_angles": "e.g. -60:60:2",
    "tilt_axis_angle": "e.g. 85.3",
}

#: What opening images as dark field does.
INVERTS = "Invert the images, so that linear methods (SIRT, WBP …) get what they project"


class AskBar(QWidget):
    """One question at a time: name of the field, a line, its unit, and a button."""

    #: Overrides for the loader: {field of the series: value}.
    answered = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quantity: Quantity | None = None
        self.question = label("", "warning", wrap=True)
        self.line = QLineEdit()
        set_role(self.line, "state", "missing")
        self.unit = label("", "muted")
        self.button = QPushButton("Continue")
        self.problem = label("", "error", wrap=True)
        self.problem.hide()
        row = QHBoxLayout()
        row.addWidget(self.line, 1)
        row.addWidget(self.unit)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addWidget(self.question)
        layout.addLayout(row)
        layout.addWidget(self.problem)
        self.line.returnPressed.connect(self._on_answer)
        self.button.clicked.connect(self._on_answer)
        self.hide()

    def can_ask(self, key: str | None) -> bool:
        """Whether a field can be asked for here."""
        return key in _BY_KEY

    def ask(self, key: str, file_name: str, reason: str = "") -> None:
        """Ask for the field that is called ``key`` in files; ``reason``: why theirs cannot be taken."""
        quantity = self._quantity = _BY_KEY[key]
        for widget in (self.line, self.unit):
            widget.show()
        self.button.setText("Continue")
        self.button.setToolTip("Open the file with this value")
        why = reason or f"{quantity.label} is not stated in {file_name}"
        what = f"{quantity.label} in its place" if reason else "it"
        self.question.setText(f"{why}. Give {what} to open the file:")
        self.line.clear()
        self.line.setPlaceholderText(_EXAMPLES.get(key, ""))
        self.line.setToolTip(quantity.tooltip)
        self.line.setAccessibleName(f"{quantity.label}, {quantity.unit}")
        self.unit.setText(quantity.unit)
        self.problem.hide()
        self.show()
        self.line.setFocus()

    def ask_dark_field(self, file_name: str) -> None:
        """Ask whether the images are of STEM, because their level is no bright field's."""
        self._quantity = None
        self.question.setText(
            f"The images of {file_name} have no bright background to scale to 1. "
            "Are they dark-field (HAADF-STEM)?"
        )
        for widget in (self.line, self.unit, self.problem):
            widget.hide()
        self.button.setText("Open as dark field")
        self.button.setToolTip(INVERTS)
        self.show()

    def _value(self, quantity: Quantity) -> Any:
        if quantity is _ANGLES:
            return parse_angles(self.line.text())
        values = parse_numbers(self.line.text(), quantity.unit)
        check_sign(quantity, values)
        if len(values) > 1 and not quantity.many:
            raise ConfigError(f"{quantity.label}: one value is needed")
        return values if quantity.many and len(values) > 1 else values[0]

    def _on_answer(self) -> None:
        if self._quantity is None:
            self.answered.emit({"dark_field": True})
            return
        try:
            value = self._value(self._quantity)
        except ConfigError as error:
            self.problem.setText(f"{error}.")
            self.problem.show()
            return
        self.answered.emit({self._quantity.name: value})
