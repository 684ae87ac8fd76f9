"""The settings of a reconstruction as a form: one row per field of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.reconstruct.positivity_line import PositivityLine
from napari_phaset3m.gui.reconstruct.preset_offer import PresetOffer
from napari_phaset3m.gui.reconstruct.rows import (
    ADVANCED,
    CONSTRAINTS,
    MAIN,
    METHOD,
    MORE,
    field_of,
    help_of,
    reason_unused,
)
from napari_phaset3m.gui.theme import theme_colours, wrapped
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.editors import Editor, Fold, Row
from napari_phaset3m.gui.widgets.model_rows import value_at, with_value
from napari_phaset3m.presets import PRESETS, preset_config, preset_of
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.session import Session

#: What the settings are called when they are no preset.
OWN = "Own settings"


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
        self._editors: dict[str, Editor] = {}
        #: Rows that nobody has looked at, with where they go: all at once would hold the window.
        self._waiting: dict[str, tuple[QFormLayout, Sequence[Row]]] = {}
        self._labels: dict[str, QLabel] = {}
        self.main = QFormLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.offer = PresetOffer(session)
        layout.addWidget(self.offer)
        self.preset = self._make_preset()
        self.main.addRow("Preset", self.preset)
        layout.addLayout(self.main)
        self._fill(self.main, MAIN)
        self._own = QFormLayout()
        layout.addLayout(self._own)
        self._fill(self._own, METHOD)
        self._own_of = ""
        self.positivity = PositivityLine(session)
        layout.addWidget(self.positivity)
        self.constraints = self._folded("Constraints", CONSTRAINTS)
        self.advanced = self._folded("Advanced", ADVANCED)
        self.more = self._folded("More", MORE)
        for fold in (self.constraints, self.advanced, self.more):
            layout.addWidget(fold)
        follow(session.events.config, self.refresh)
        self.refresh()

    def _make_preset(self) -> QComboBox:
        box = ChoiceBox()
        for name, preset in PRESETS.items():
            box.addItem(preset.label, name)
            box.setItemData(box.count() - 1, wrapped(preset.why), Qt.ItemDataRole.ToolTipRole)
        box.addItem(OWN, None)
        box.setItemData(box.count() - 1, "What is set below", Qt.ItemDataRole.ToolTipRole)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.setAccessibleName("Preset")
        box.activated.connect(self._on_preset)
        return box

    def _on_preset(self, index: int) -> None:
        name = self.preset.itemData(index)
        if name is None:
            self._show_preset()
        else:
            self._session.config = preset_config(name, self._session.config)

    def _show_preset(self) -> None:
        name = preset_of(self._session.config)
        self.preset.setCurrentIndex(len(PRESETS) if name is None else list(PRESETS).index(name))
        why = (
            "Settings of your own. Choose a kind of specimen to begin with"
            if name is None
            else PRESETS[name].why
        )
        self.preset.setToolTip(wrapped(why))

    def _folded(self, title: str, rows: Sequence[Row]) -> Fold:
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        self._waiting[title] = form, rows
        fold = Fold(title, content)
        fold.heading.toggled.connect(partial(self._make, title))
        return fold

    def _make(self, title: str, *_: object) -> None:
        """Make the rows of a fold, unless they are there."""
        if title in self._waiting:
            form, rows = self._waiting.pop(title)
            self._fill(form, rows)
            self._show([row.path for row in rows])

    @property
    def editors(self) -> dict[str, Editor]:
        """What edits each field, by its dotted path; makes all rows."""
        for title in list(self._waiting):
            self._make(title)
        return self._editors

    def _fill(self, form: QFormLayout, rows: Sequence[Row]) -> None:
        form.setHorizontalSpacing(10)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for row in rows:
            editor = self._editors[row.path] = Editor(row, field_of(row.path))
            editor.tip = wrapped(help_of(row))
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
        editor = self._editors[path]
        try:
            config = with_value(self._session.config, path, editor.value())
        except ConfigError as error:
            editor.widget.setStyleSheet(f"border: 1px solid {theme_colours().error};")
            self.refused.emit(str(error))
            return
        editor.widget.setStyleSheet("")
        self.refused.emit("")
        self._session.config = config

    def take_typed(self) -> None:
        """Take over what was typed and not yet left: not everywhere does a button take the focus."""
        for editor in self._editors.values():
            if isinstance(editor.widget, QAbstractSpinBox):
                editor.widget.interpretText()

    def refresh(self) -> None:
        """Show what the session's config holds."""
        self._show_preset()
        if self._session.config.method != self._own_of:
            self._arrange(self._session.config.method)
        self._show(self._editors)

    def _show(self, paths: Iterable[str]) -> None:
        config = self._session.config
        for path in paths:
            editor = self._editors[path]
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
            for widget in (labels[row.path], self._editors[row.path].widget):
                widget.setVisible(used)
            if used:
                self._own.addRow(labels[row.path], self._editors[row.path].widget)
