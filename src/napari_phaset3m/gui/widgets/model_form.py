"""A form made from a parameter model: a row for each field, a folded section for each part."""

from __future__ import annotations

from functools import partial
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

    Rows are made when they are first looked at: most lie folded away, and all at once would hold the window.

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
        self._editors: dict[str, Editor] = {}
        #: Parts that nobody has looked at: prefix of their fields, where the rows go, model.
        self._waiting: dict[str, tuple[QVBoxLayout, type[Model]]] = {}
        #: Fields that show what was refused: it counts as soon as the others let it.
        self._refused: set[str] = set()
        self.folds: dict[str, Fold] = {}
        self.problem = label("", "error", wrap=True)
        self.problem.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        rows = QVBoxLayout()
        rows.setSpacing(LINE_SPACING)
        self._waiting[""] = rows, type(config)
        layout.addLayout(rows)
        layout.addWidget(self.problem)

    @property
    def config(self) -> Any:
        """The model as it stands."""
        return self._config

    @property
    def editors(self) -> dict[str, Editor]:
        """What edits each field, by its dotted path; makes all rows."""
        while self._waiting:
            self._make(next(iter(self._waiting)))
        return self._editors

    def editor(self, path: str) -> Editor:
        """What edits one field; makes the rows of its part."""
        parts = path.split(".")
        for depth in range(len(parts)):
            self._make("".join(f"{part}." for part in parts[:depth]))
        return self._editors[path]

    def showEvent(self, event: Any) -> None:
        """Make the rows that are seen."""
        self._make("")
        super().showEvent(event)

    def _make(self, prefix: str, *_: object) -> None:
        """Make the rows of a part, unless they are there."""
        if prefix not in self._waiting:
            return
        known = set(self._editors)
        self._fill(*self._waiting.pop(prefix), prefix)
        for path in self._editors.keys() - known:
            self._editors[path].show_value(value_at(self._config, path))

    def show_config(self, config: Model) -> None:
        """Show another model of the same type."""
        self._config = config
        self._refused.clear()
        for path, editor in self._editors.items():
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
            self._waiting[f"{path}."] = inner, part
            fold = self.folds[path] = Fold(self._titles.get(path, label_of(name)), content)
            fold.heading.toggled.connect(partial(self._make, f"{path}."))
            layout.addWidget(fold)

    def _add(self, form: QFormLayout, row: Any, info: Any) -> None:
        editor = self._editors[row.path] = Editor(row, info)
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
        self.editor(path).show_value(value)
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
            self._editors[name].widget.setStyleSheet(frame if name in self._refused else "")
        self._say(problem)
        if config != self._config:
            self._config = config
            self.edited.emit(config)

    def _with_shown(self, paths: set[str]) -> tuple[Any, str]:
        """The model with these fields as they are shown, and why that is refused (then as it was)."""
        config = self._config
        try:
            return with_values(config, {path: self._editors[path].value() for path in paths}), ""
        except ConfigError as error:
            labels = {path: editor.row.label for path, editor in self.editors.items()}
            return config, in_words(error, labels)

    def _say(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
        self.refused.emit(text)
