"""The controls of the Align panel and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.align.pairs import AGAINST, MODES, Look
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.prepare.align.model import Alignment

_ARROWS = {"up": ("↑", 0, 1), "left": ("←", 1, 0), "right": ("→", 1, 2), "down": ("↓", 1, 1)}

TURN_TIP = "Where the axis runs, from vertical: all images are turned by it, about their middle, on Accept"
_AXIS_TIP = (
    "Where the tilt axis runs in the images as they are: angle from vertical, and distance from the centre "
    "across the axis. Errors are one standard deviation; that of the angle can be several times too small "
    "for heavy atoms at low dose, that of the distance is large where images were displaced at random."
)


def tool(text: str, tip: str = "", *, checkable: bool = False) -> QToolButton:
    """Make a flat button."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    set_role(button, "toggle")
    return button


def enable(widget: QWidget, why_not: str, tip: str) -> None:
    """Enable a control, or say why it is not."""
    widget.setEnabled(not why_not)
    widget.setToolTip(why_not or tip)


class CheckBox(QWidget):
    """Which two pictures are compared, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.mode, self.against = ChoiceBox(), ChoiceBox()
        for mode, text in MODES.items():
            self.mode.addItem(text, mode)
        for against, text in AGAINST.items():
            self.against.addItem(text, against)
        for box in (self.mode, self.against):
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.mode.setToolTip("How the two pictures are shown; grey in red / cyan means that they agree")
        self.against.setToolTip("What the shown image is compared with")
        self.stretch = QCheckBox("cos stretch")
        self.stretch.setToolTip("Draw the neighbour out across the axis by the ratio of the cosines")
        self.smooth = QDoubleSpinBox()
        self.smooth.setRange(0, 50)
        self.smooth.setSingleStep(0.5)
        self.smooth.setDecimals(1)
        self.smooth.setSuffix(" px")
        self.smooth.setToolTip(
            "Gaussian low-pass of the pictures, also of those below the canvas: standard deviation in pixels"
        )
        self.model = ChoiceBox()
        for text, key in (("SIRT", "sirt"), ("multislice", "multislice")):
            self.model.addItem(text, key)
        self.model.setToolTip("What makes the re-projections")
        self.predict = QPushButton("Re-project")
        self.text = label("", "muted", wrap=True)
        self._lay_out()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(LINE_SPACING)
        for column, weight in ((0, 1), (2, 1)):
            grid.setColumnStretch(column, weight)
        grid.addWidget(self.mode, 0, 0)
        grid.addWidget(label("with"), 0, 1)
        grid.addWidget(self.against, 0, 2)
        grid.addWidget(self.stretch, 1, 0)
        grid.addWidget(label("blur"), 1, 1)
        grid.addWidget(self.smooth, 1, 2)
        grid.addWidget(self.model, 2, 0)
        grid.addWidget(self.predict, 2, 2)
        grid.addWidget(self.text, 3, 0, 1, 3)

    def show_look(self, look: Look) -> None:
        """Show what the check is set to, without telling anybody."""
        for box, value in ((self.mode, look.mode), (self.against, look.against)):
            box.setCurrentIndex(box.findData(value))
        blocked = self.stretch.blockSignals(True), self.smooth.blockSignals(True)
        self.stretch.setChecked(look.stretch)
        self.smooth.setValue(look.smooth_px)
        self.stretch.blockSignals(blocked[0])
        self.smooth.blockSignals(blocked[1])


class MoveBox(QWidget):
    """Arrows, how far, which images, undo; and the numbers of the shown image."""

    def __init__(self) -> None:
        super().__init__()
        self.arrows = {name: tool(text) for name, (text, _, _) in _ARROWS.items()}
        pad = QGridLayout()
        pad.setSpacing(2)
        for name, (_, row, column) in _ARROWS.items():
            self.arrows[name].setAccessibleName(f"Move {name}")
            pad.addWidget(self.arrows[name], row, column)
        self.keys = tool("Arrow keys", checkable=True)
        self.which = ChoiceBox()
        self.which.addItem("this image", False)
        self.which.addItem("all foci of this tilt", True)
        self.which.setToolTip("What is moved")
        self.which.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.undo, self.redo = tool("↶"), tool("↷")
        self.used = QCheckBox("Use this image")
        self._lay_out(pad)

    def _lay_out(self, pad: QGridLayout) -> None:
        first = QHBoxLayout()
        first.setSpacing(LINE_SPACING)
        for widget in (self.keys, self.undo, self.redo):
            first.addWidget(widget)
        first.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(LINE_SPACING)
        right.addLayout(first)
        right.addWidget(self.which)
        line = QHBoxLayout()
        line.addLayout(pad)
        line.addLayout(right, 1)
        turn = self._turn_line()
        self.numbers, self.axis = label("", wrap=True), label("", "muted", wrap=True)
        for text in (self.numbers, self.axis):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.axis.setToolTip(_AXIS_TIP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(line)
        for widget in (self.used, self.numbers):
            layout.addWidget(widget)
        layout.addLayout(turn)
        layout.addWidget(self.axis)

    def _turn_line(self) -> QHBoxLayout:
        self.angle = QDoubleSpinBox()
        self.angle.setRange(-180, 180)
        self.angle.setDecimals(2)
        self.angle.setSingleStep(0.1)
        self.angle.setSuffix("°")
        self.angle.setKeyboardTracking(False)
        self.angle.setAccessibleName("Angle of the tilt axis")
        line = QHBoxLayout()
        line.addWidget(label("Tilt axis at"))
        line.addWidget(self.angle)
        line.addStretch(1)
        return line

    def show_angle(self, angle_deg: float) -> None:
        """Show where the axis is, without telling anybody."""
        blocked = self.angle.blockSignals(True)
        self.angle.setValue(angle_deg)
        self.angle.blockSignals(blocked)


class AcceptBox(QWidget):
    """Accept, discard, files."""

    def __init__(self) -> None:
        super().__init__()
        self.accept, self.discard = QPushButton("Accept"), QPushButton("Discard")
        self.accept.setMinimumHeight(30)
        self.files = QToolButton()
        self.files.setText("Files")
        self.files.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        set_role(self.files, "button")
        self.menu = QMenu(self.files)
        self.menu.setToolTipsVisible(True)
        self.read = self.menu.addAction("Import .xf or .aln…")
        self.read_own = self.menu.addAction("Import .xf or .aln of these images…")
        self.read_binned = self.menu.addAction("Import .xf or .aln of a binned stack…")
        self.write = self.menu.addAction("Export .xf or .aln…")
        self.menu.addSeparator()
        self.save = self.menu.addAction("Save series as…")
        self.files.setMenu(self.menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.accept, 2)
        layout.addWidget(self.discard, 1)
        layout.addWidget(self.files)

    def show_menu(self, series: TiltFocalSeries | None, why_not: str) -> None:
        """Say what the entries do for this series, or why they cannot be used now (empty: they can)."""
        known = series is not None and series.sections is not None
        raw = f"of {series.sections.name}, as IMOD or AreTomo made it" if series and series.sections else ""
        own = "The file was made for the images as they are here: their order, pixels and centre"
        tips = {
            self.read: f"Rows are the sections {raw}: bin, crop and turn of the import are taken in"
            if known
            else "Rows are in the order of the series: it does not know its sections",
            self.read_own: own,
            self.read_binned: "The file was made for images of larger (or smaller) pixels: asks for how many",
            self.write: f"For the sections {raw}" if known else "In the order of the series",
            self.save: "",
        }
        for action, tip in tips.items():
            action.setEnabled(not why_not)
            action.setToolTip(why_not or tip)
        self.read_own.setVisible(known)


def numbers(alignment: Alignment, tilt: int, focus: int) -> str:
    """Shift with error, rotation and residual of one image, in a line or two."""
    y, x = alignment.shifts_px[tilt, focus]
    assert alignment.shift_error_px is not None and alignment.residual is not None
    dy, dx = alignment.shift_error_px[tilt, focus]
    parts = [f"x {x:+.2f}{_error(dx)} px", f"y {y:+.2f}{_error(dy)} px"]
    if alignment.turned:
        parts.append(f"rotation {alignment.rotation_deg[tilt, focus]:+.2f}°")
        parts.append(f"magnification {alignment.magnification[tilt, focus]:.4f}")
    if np.isfinite(alignment.residual[tilt, focus]):
        parts.append(f"residual {alignment.residual[tilt, focus]:.3g}")
    return "Shift " + "  ·  ".join(parts).replace("-", "−")


def _error(sigma: float) -> str:
    return f" ± {sigma:.2f}" if np.isfinite(sigma) else ""
