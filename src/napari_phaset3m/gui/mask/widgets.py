"""The controls of the Mask panel and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, label, rule, set_role
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.numbers import show_volume
from napari_phaset3m.gui.widgets.scrolling import DownScroll

if TYPE_CHECKING:
    from napari_phaset3m.analyse.masks_make import MaskResult

#: Share of the box from which a mask confines next to nothing.
NEARLY_ALL = 0.9
WHOLE = "Nearly the whole box is inside. Raise the level, or add a sphere and keep what is common."


class MaskWidgets(QWidget):
    """Volume, steps, result, corrections and what is done with the mask."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        layout.addLayout(self._volume())
        layout.addWidget(rule())
        self.steps = DownScroll()
        self.steps.setMinimumHeight(120)
        layout.addWidget(self.steps, 1)
        layout.addLayout(self._tools())
        layout.addWidget(rule())
        layout.addLayout(self._result())
        layout.addLayout(self._uses())

    def _volume(self) -> QHBoxLayout:
        self.volume = ChoiceBox()
        self.volume.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.volume.setPlaceholderText("No volume yet")
        self.volume.setAccessibleName("Volume to make a mask of")
        self.open = QPushButton("Open…")
        self.open.setToolTip("Open a volume: MRC, TIFF, HDF5 or OME-Zarr")
        line = QHBoxLayout()
        line.addWidget(label("Volume"))
        line.addWidget(self.volume, 1)
        line.addWidget(self.open)
        return line

    def _tools(self) -> QHBoxLayout:
        self.add = QToolButton()
        self.add.setText("Add step")
        self.add.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        set_role(self.add, "button")
        self.paint, self.erase = self._tool("Paint"), self._tool("Erase")
        self.undo, self.redo = self._tool("↶", False), self._tool("↷", False)
        line = QHBoxLayout()
        line.setSpacing(LINE_SPACING)
        line.addWidget(self.add)
        line.addStretch(1)
        for button in (self.paint, self.erase, self.undo, self.redo):
            line.addWidget(button)
        return line

    def _tool(self, text: str, checkable: bool = True) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setCheckable(checkable)
        set_role(button, "toggle")
        return button

    def _result(self) -> QVBoxLayout:
        self.size, self.detail = label("", "title"), label("", "muted", wrap=True)
        self.whole = label(WHOLE, "warning", wrap=True)
        self.whole.hide()
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setFixedHeight(3)
        policy = self.busy.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.busy.setSizePolicy(policy)
        column = QVBoxLayout()
        column.setSpacing(LINE_SPACING)
        for widget in (self.size, self.detail, self.whole, self.busy):
            column.addWidget(widget)
        return column

    def _uses(self) -> QVBoxLayout:
        self.use = QPushButton("Use in reconstruction")
        self.analyse = QPushButton("Use for analysis")
        self.crop, self.save = QPushButton("Crop…"), QPushButton("Save…")
        self.load, self.clear = QPushButton("Load…"), QPushButton("Clear")
        self.load.setToolTip("Take over the recipe of a mask (.mrc …) or of a .yaml or .json file")
        grid = QGridLayout()
        grid.setSpacing(6)
        grid.addWidget(self.use, 0, 0, 1, 2)
        grid.addWidget(self.analyse, 0, 2, 1, 2)
        for column, button in enumerate((self.crop, self.save, self.load, self.clear)):
            grid.addWidget(button, 1, column)
            grid.setColumnStretch(column, 1)
        self.state, self.note = label("", "muted", wrap=True), label("", "muted", wrap=True)
        self.note.hide()
        column_ = QVBoxLayout()
        column_.setSpacing(6)
        column_.addLayout(grid)
        column_.addWidget(self.state)
        column_.addWidget(self.note)
        return column_

    def enable(self, widget: QWidget, why_not: str, tip: str) -> None:
        """Enable a control, or say why it is not."""
        widget.setEnabled(not why_not)
        widget.setToolTip(why_not or tip)

    def show_result(
        self, result: MaskResult | None, preview: bool, problem: str, busy: bool, unit: str = ""
    ) -> None:
        """Write volume, share of the box and threshold in the volume's unit, or what is wrong."""
        self.busy.setVisible(busy)
        self.whole.setVisible(result is not None and result.fraction > NEARLY_ALL)
        if result is None:
            self.size.setText("")
            self.size.hide()
            set_role(self.detail, "error" if problem and not busy and ":" in problem else "muted")
            self.detail.setText("Working out the mask …" if busy and not problem else problem)
            return
        about = "about " if preview else ""
        self.size.show()
        self.size.setText(f"{about}{show_volume(result.volume_nm3)}")
        parts = [f"{100 * result.fraction:.3g} % of the box"]
        parts += [f"threshold {level:.4g} {unit}".rstrip() for level in result.levels]
        set_role(self.detail, "muted")
        self.detail.setText("  ·  ".join(parts) + ("  ·  preview, binned" if preview else ""))

    def show_use(self, reconstruction: bool, stale: bool, analysis: bool) -> None:
        """Write what a mask is used for."""
        parts = []
        if reconstruction:
            parts.append("reconstruction (an earlier version)" if stale else "reconstruction")
        if analysis:
            parts.append("analysis")
        self.state.setText(f"In use for: {', '.join(parts)}" if parts else "")
        self.state.setVisible(bool(parts))
