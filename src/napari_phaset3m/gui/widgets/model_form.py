"""A form made from a parameter model: a row for each field, a folded section for each part."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.config import Model
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role, theme_colours
from napari_phaset3m.gui.widgets.editors import Editor, Fold
from napari_phaset3m.gui.widgets.field_words import in_words
from napari_phaset3m.gui.widgets.model_rows import (
    is_file,
    label_of,
    rows_of,
    sections_of,
    value_at,
    with_values,
)

#: Width of the names beside the fields, px.
_NAMES = 112


class ModelForm(QWidget):
    """Edits a frozen model; what is refused is said and does not become the value.

    Parameters
    ----------
    config : Model
        What is shown at first.
    hidden : tuple of str
        Fields that have no row here (dotted paths; a section's name hides all of it).
    titles : dict
        Headings of sections, by their names.
    """

    #: The new model.
    edited = Signal(object)
    #: Why an entry is refused; empty when all is well again.
    refused = Signal(str)

    def __init__(
        self, config: Model, hidden: tuple[str, ...] = (), titles: dict[str, str] | None = None
    ) -> None:
        super().__init__()
        self._config, self._hidden, self._titles = config, hidden, titles or {}
        self.editors: dict[str, Editor] = {}
        #: Fields that show what was refused: it counts as soon as the others let it.
        self._refused: set[str] = set()
        self.folds: dict[str, Fold] = {}
        self.problem = label("", "error", wrap=True)
        self.problem.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        self._fill(layout, type(config), "")
        layout.addWidget(self.problem)
        self.show_config(config)

    @property
    def config(self) -> Any:
        """The model as it stands."""
        return self._config

    def show_config(self, config: Model) -> None:
        """Show another model of the same type."""
        self._config = config
        self._refused.clear()
        for path, editor in self.editors.items():
            editor.show_value(value_at(config, path))
            editor.widget.setStyleSheet("")
        self._say("")

    def _fill(self, layout: QVBoxLayout, model: type[Model], prefix: str) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(10)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for row, info in rows_of(model, prefix):
            if row.path not in self._hidden:
                self._add(form, row, info)
        if form.rowCount():
            layout.addLayout(form)
        for name, part in sections_of(model).items():
            path = f"{prefix}{name}"
            if path in self._hidden:
                continue
            content = QWidget()
            inner = QVBoxLayout(content)
            inner.setContentsMargins(8, 0, 0, 4)
            self._fill(inner, part, f"{path}.")
            fold = self.folds[path] = Fold(self._titles.get(path, label_of(name)), content)
            layout.addWidget(fold)

    def _add(self, form: QFormLayout, row: Any, info: Any) -> None:
        editor = self.editors[row.path] = Editor(row, info)
        editor.connect(self._on_edited)
        if isinstance(editor.widget, QCheckBox):
            form.addRow("", editor.widget)
            return
        name = label(row.label, wrap=True)
        name.setFixedWidth(_NAMES)
        name.setBuddy(editor.widget)
        name.setToolTip(editor.tip)
        form.addRow(name, self._with_browse(editor) if is_file(row.path) else editor.widget)

    def _with_browse(self, editor: Editor) -> QWidget:
        """The line of a file's name with a button that asks for the file."""
        both, button = QWidget(), QToolButton()
        button.setText("…")
        button.setToolTip("Choose a file")
        set_role(button, "toggle")
        row = QHBoxLayout(both)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addWidget(editor.widget, 1)
        row.addWidget(button)
        line = editor.widget
        assert isinstance(line, QLineEdit)

        def browse(*_: object) -> None:
            path, _ = QFileDialog.getOpenFileName(line, "Choose a file", "", "All files (*)")
            if path:
                line.setText(path)
                line.editingFinished.emit()

        button.clicked.connect(browse)
        return both

    def type_value(self, path: str, value: Any) -> None:
        """Put a value into a field as if it had been typed."""
        self.editors[path].show_value(value)
        self._take(path)

    def _on_edited(self, *_: object) -> None:
        self._take(self.sender().objectName())

    def _take(self, path: str) -> None:
        """Make what is shown the value, if it can be."""
        before = set(self._refused)
        self._refused.discard(path)
        config, problem = self._with_shown({path, *self._refused})
        if problem and self._refused:  # by itself it may be fine
            config, alone = self._with_shown({path})
        else:
            alone = problem
        if not problem:
            self._refused.clear()
        elif alone:
            self._refused.add(path)
            problem = alone
        frame = f"border: 1px solid {theme_colours().error};"
        for name in before ^ self._refused:
            self.editors[name].widget.setStyleSheet(frame if name in self._refused else "")
        self._say(problem)
        if config != self._config:
            self._config = config
            self.edited.emit(config)

    def _with_shown(self, paths: set[str]) -> tuple[Any, str]:
        """The model with these fields as they are shown, and why that is refused (then as it was)."""
        config = self._config
        labels = {path: editor.row.label for path, editor in self.editors.items()}
        try:
            return with_values(config, {path: self.editors[path].value() for path in paths}), ""
        except ConfigError as error:
            return config, in_words(error, labels)

    def _say(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
        self.refused.emit(text)
