"""The settings of a reconstruction as a form: one row per field of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.binding import follow
from napari_phaset3m.gui.reconstruct_rows import (
    ADVANCED,
    CONSTRAINTS,
    MAIN,
    METHOD,
    MORE,
    Row,
    field_of,
    reason_unused,
    value_at,
    with_value,
)
from napari_phaset3m.gui.theme import LINE_SPACING, set_role, theme_colours
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.session import Session


class Editor:
    """One row's widget with the model's value in and out."""

    def __init__(self, row: Row) -> None:
        self.row = row
        info = field_of(row.path)
        self.widget: QWidget
        if row.choices:
            self.widget = self._combo()
        elif info.annotation is bool:
            self.widget = QCheckBox(row.label)
        else:
            self.widget = self._spin()
        self.tip = row.tip or str(info.description or row.label)
        self.widget.setToolTip(self.tip)
        self.widget.setObjectName(row.path)

    def _combo(self) -> QComboBox:
        box = QComboBox()
        for text, value in self.row.choices:
            box.addItem(text, value)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return box

    def _spin(self) -> QAbstractSpinBox:
        row = self.row
        box: QSpinBox | QDoubleSpinBox
        if row.decimals:
            box = QDoubleSpinBox()
            box.setDecimals(row.decimals)
            box.setMaximum(row.high)
            box.setSingleStep(row.step)
        else:
            box = QSpinBox()
            box.setMaximum(int(row.high))
            box.setSingleStep(int(row.step))
        box.setMinimum(-row.step if row.zero else 0)
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
        else:
            widget.valueChanged.connect(slot)

    def value(self) -> Any:
        """What the model should get."""
        widget, special = self.widget, self.row.special
        if isinstance(widget, QComboBox):
            return widget.currentData()
        if isinstance(widget, QCheckBox):
            return widget.isChecked()
        if special is not None and widget.value() == widget.minimum():
            return special[1]
        return widget.value()

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
            widget.setValue(widget.minimum())
        else:
            widget.setValue(value)
        widget.blockSignals(False)


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


class ReconstructForm(QWidget):
    """The settings in :attr:`Session.config`, editable; most of them folded away.

    Parameters
    ----------
    session : Session
    """

    refused = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.editors: dict[str, Editor] = {}
        self._labels: dict[str, QLabel] = {}
        self.main = QFormLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.main)
        self._fill(self.main, MAIN)
        self._own = QFormLayout()
        layout.addLayout(self._own)
        self._fill(self._own, METHOD)
        self._own_of = ""
        self.constraints = self._folded("Constraints", CONSTRAINTS)
        self.advanced = self._folded("Advanced", ADVANCED)
        self.more = self._folded("More", MORE)
        for fold in (self.constraints, self.advanced, self.more):
            layout.addWidget(fold)
        follow(session.events.config, self.refresh)
        self.refresh()

    def _folded(self, title: str, rows: Sequence[Row]) -> Fold:
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        self._fill(form, rows)
        return Fold(title, content)

    def _fill(self, form: QFormLayout, rows: Sequence[Row]) -> None:
        form.setHorizontalSpacing(10)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for row in rows:
            editor = self.editors[row.path] = Editor(row)
            editor.connect(self._on_edited)
            if isinstance(editor.widget, QCheckBox):
                form.addRow("", editor.widget)
                continue
            label = QLabel(row.label)
            label.setMinimumWidth(100)
            label.setBuddy(editor.widget)
            label.setToolTip(editor.tip)
            self._labels[row.path] = label
            form.addRow(label, editor.widget)

    def _on_edited(self, *_: object) -> None:
        path = self.sender().objectName()
        editor = self.editors[path]
        try:
            config = with_value(self._session.config, path, editor.value())
        except ConfigError as error:
            editor.widget.setStyleSheet(f"border: 1px solid {theme_colours().error};")
            self.refused.emit(str(error))
            return
        editor.widget.setStyleSheet("")
        self.refused.emit("")
        self._session.config = config

    def refresh(self) -> None:
        """Show what the session's config holds."""
        config = self._session.config
        if config.method != self._own_of:
            self._arrange(config.method)
        for path, editor in self.editors.items():
            editor.show_value(value_at(config, path))
            reason = reason_unused(config, path)
            editor.widget.setEnabled(not reason)
            editor.widget.setToolTip(reason or editor.tip)

    def _arrange(self, method: str) -> None:
        # Rows are taken out, not hidden: hidden ones leave their spacing, and Qt 5 cannot hide rows.
        self._own_of = method
        labels = {row.path: self._labels[row.path] for row in METHOD}
        while self._own.rowCount():
            self._own.takeRow(0)
        for row in METHOD:
            used = row.path in METHODS[method].parameters
            for widget in (labels[row.path], self.editors[row.path].widget):
                widget.setVisible(used)
            if used:
                self._own.addRow(labels[row.path], self.editors[row.path].widget)
