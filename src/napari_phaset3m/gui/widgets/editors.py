"""Widgets that edit one field of a parameter model, and sections that fold away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, get_origin

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.theme import LINE_SPACING, set_role
from napari_phaset3m.gui.widgets.calm_wheel import calm_wheel
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox


@dataclass(frozen=True)
class Row:
    """How one field of a model is edited.

    Attributes
    ----------
    path : str
        Name of the field, dotted for nested models.
    label : str
    choices : tuple of (text, value)
        A combo box; empty: a spin box or, for booleans, a check box.
    special : tuple of (text, value), optional
        What the lowest position of the spin box stands for.
    low, high, step : float
        Of the spin box, in the unit that is shown.
    zero : bool
        ``low`` is a value of its own, and the special one lies a step below it.
    tip : str
        What to say instead of the field's own description.
    factor : float
        The shown unit in the model's (10 for nm of a field in angstrom).
    text : bool
        A line to type in: several numbers separated by commas, or words.
    """

    path: str
    label: str
    choices: tuple[tuple[str, Any], ...] = ()
    special: tuple[str, Any] | None = None
    high: float = 999.0
    step: float = 1.0
    decimals: int = 0
    suffix: str = ""
    zero: bool = False
    tip: str = ""
    low: float = 0.0
    factor: float = 1.0
    text: bool = False


class Editor:
    """One row's widget with the model's value in and out.

    Parameters
    ----------
    row : Row
    info : pydantic FieldInfo
        Of the field.
    """

    def __init__(self, row: Row, info: Any) -> None:
        self.row = row
        self._many = get_origin(info.annotation) is tuple
        self.widget: QWidget
        if row.choices:
            self.widget = self._combo()
        elif row.text:
            line = self.widget = QLineEdit()
            line.setPlaceholderText("none" if self._many else "")
        elif info.annotation is bool:
            self.widget = QCheckBox(row.label)
        else:
            self.widget = self._spin()
        calm_wheel(self.widget)
        self.tip = _in_unit(row.tip or str(info.description or row.label), row)
        self.widget.setToolTip(self.tip)
        self.widget.setObjectName(row.path)

    def _combo(self) -> QComboBox:
        box = ChoiceBox()
        for text, value in self.row.choices:
            box.addItem(text, value)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return box

    def _spin(self) -> QAbstractSpinBox:
        row = self.row
        box: QSpinBox | QDoubleSpinBox
        lowest = row.low - row.step if row.zero else row.low
        if row.decimals:
            box = QDoubleSpinBox()
            box.setDecimals(row.decimals)
            box.setRange(lowest, row.high)
            box.setSingleStep(row.step)
        else:
            box = QSpinBox()
            box.setRange(int(lowest), int(row.high))
            box.setSingleStep(int(row.step))
        box.setSuffix(row.suffix)
        box.setKeyboardTracking(False)
        if row.special is not None:
            box.setSpecialValueText(row.special[0])
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return box

    def connect(self, slot: Any) -> None:
        """Call ``slot`` when the user changes the value."""
        widget = self.widget
        if isinstance(widget, QComboBox):
            widget.currentIndexChanged.connect(slot)
        elif isinstance(widget, QCheckBox):
            widget.toggled.connect(slot)
        elif isinstance(widget, QLineEdit):
            widget.editingFinished.connect(slot)
        else:
            widget.valueChanged.connect(slot)

    def value(self) -> Any:
        """What the model should get."""
        widget, special = self.widget, self.row.special
        if isinstance(widget, QComboBox):
            return widget.currentData()
        if isinstance(widget, QCheckBox):
            return widget.isChecked()
        if isinstance(widget, QLineEdit):
            return self._typed(widget.text().strip())
        if special is not None and widget.value() == widget.minimum():
            return special[1]
        value = widget.value()
        return value if self.row.factor == 1 else value * self.row.factor

    def _typed(self, text: str) -> Any:
        special = self.row.special
        if special is not None and text in ("", special[0]):
            return special[1]
        if self._many or "," in text:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text

    def show_value(self, value: Any) -> None:
        """Show the model's value without announcing a change."""
        widget, special = self.widget, self.row.special
        widget.blockSignals(True)
        if isinstance(widget, QComboBox):
            # Not findData: Qt compares Python objects such as tuples by identity.
            held = [widget.itemData(i) for i in range(widget.count())]
            index = held.index(value) if value in held else -1
            if index < 0:
                widget.addItem(f"{value}", value)
                index = widget.count() - 1
            widget.setCurrentIndex(index)
        elif isinstance(widget, QCheckBox):
            widget.setChecked(bool(value))
        elif special is not None and value == special[1]:
            widget.setText(special[0]) if isinstance(widget, QLineEdit) else widget.setValue(widget.minimum())
        elif isinstance(widget, QLineEdit):
            many = isinstance(value, tuple | list)
            widget.setText(", ".join(f"{item}" for item in value) if many else f"{value}")
        else:
            number = value if self.row.factor == 1 else value / self.row.factor
            widget.setMaximum(max(widget.maximum(), number))  # another run's settings may go further
            widget.setValue(number)
        widget.blockSignals(False)


def _in_unit(tip: str, row: Row) -> str:
    """A description that speaks of angstrom, in the unit that the field is shown in."""
    if row.suffix != " nm" or row.factor == 1:
        return tip
    tip = re.sub(r"([\d.]*\d) Å", lambda m: f"{float(m[1]) / row.factor:g} nm", tip)
    return re.sub(r"Å(?![\w²])", "nm", tip)


class Fold(QWidget):
    """A section under a heading that opens and closes it; closed at first.

    Parameters
    ----------
    title : str
    content : QWidget
    """

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self.content = content
        self.heading = QToolButton()
        self.heading.setText(title)
        self.heading.setCheckable(True)
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        set_role(self.heading, "fold")
        self.heading.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addWidget(self.heading)
        layout.addWidget(content)
        self._on_toggled(False)

    def _on_toggled(self, opened: bool) -> None:
        self.heading.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.content.setVisible(opened)
