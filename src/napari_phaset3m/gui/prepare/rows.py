"""One row of the Prepare panel: a step to tick, with what it does and its parameters folded below."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_phaset3m.config import Model
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.model_form import ModelForm
from napari_phaset3m.prepare.steps import StepEntry

#: Field that is a rectangle on the image.
REGION = "region_px"


class StepRow(QWidget):
    """A step with its switch.

    Parameters
    ----------
    entry : StepEntry
    config : Model
        Its parameters at first.
    """

    chosen = Signal(str, bool)
    edited = Signal(str, object)
    #: The step was opened or closed.
    opened = Signal(str, bool)
    #: Why an entry is refused; empty when all is well again.
    refusal = Signal(str)
    #: A rectangle is to be drawn for it.
    draw = Signal(str)

    def __init__(self, entry: StepEntry, config: Model) -> None:
        super().__init__()
        self.entry = entry
        self.form: ModelForm | None = None
        self.draw_button: QPushButton | None = None
        self._config = config
        self.tick = QCheckBox()
        self.tick.setAccessibleName(f"Run {entry.label}")
        self.tick.setToolTip("Run this step")
        self.heading = QToolButton()
        self.heading.setText(entry.label)
        self.heading.setCheckable(True)
        self.heading.setToolTip(entry.help)
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setArrowType(Qt.ArrowType.RightArrow)
        self.heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        set_role(self.heading, "fold")
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.tick)
        line.addWidget(self.heading, 1)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(LINE_SPACING)
        self._layout.addLayout(line)
        self._body: QWidget | None = None
        self.tick.toggled.connect(self._on_tick)
        self.heading.toggled.connect(self._on_heading)

    def _on_tick(self, on: bool) -> None:
        self.chosen.emit(self.entry.name, on)

    def _on_heading(self, open_: bool) -> None:
        self.heading.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        if open_ and self._body is None:
            self._make_body()
        if self._body is not None:
            self._body.setVisible(open_)
        self.opened.emit(self.entry.name, open_)

    def _make_body(self) -> None:
        self._body = QWidget()
        column = QVBoxLayout(self._body)
        column.setContentsMargins(22, 0, 0, 4)
        column.setSpacing(LINE_SPACING)
        column.addWidget(label(self.entry.help, "muted", wrap=True))
        self.form = ModelForm(self._config)
        self.form.edited.connect(self._on_edited)
        self.form.refused.connect(self.refusal)
        column.addWidget(self.form)
        if REGION in type(self._config).model_fields:
            self.draw_button = QPushButton("Draw rectangle")
            self.draw_button.setToolTip("Draw it on the image; drag its corners to change it")
            self.draw_button.clicked.connect(self._on_draw)
            column.addWidget(self.draw_button)
        self._layout.addWidget(self._body)

    def _on_draw(self) -> None:
        self.draw.emit(self.entry.name)

    def _on_edited(self, config: Model) -> None:
        self._config = config
        self.edited.emit(self.entry.name, config)

    def show_config(self, config: Model) -> None:
        """Show parameters that were changed elsewhere."""
        if config != self._config:
            self._config = config
            if self.form is not None:
                self.form.show_config(config)

    def show_choice(self, on: bool, why_not: str) -> None:
        """Tick it or not; a step that cannot run says why."""
        blocked = self.tick.blockSignals(True)
        self.tick.setChecked(on)
        self.tick.blockSignals(blocked)
        self.tick.setToolTip(f"Needs: {why_not}" if why_not else "Run this step")

    @property
    def refused(self) -> str:
        """Why an entry that is shown is not taken; empty when all are."""
        return self.form.problem.text() if self.form is not None else ""

    def close_body(self) -> None:
        """Fold the parameters away without telling anybody."""
        blocked = self.heading.blockSignals(True)
        self.heading.setChecked(False)
        self.heading.setArrowType(Qt.ArrowType.RightArrow)
        self.heading.blockSignals(blocked)
        if self._body is not None:
            self._body.hide()

    def sizeHint(self) -> Any:
        """No wider than the panel."""
        hint = super().sizeHint()
        hint.setWidth(min(hint.width(), 300))
        return hint
