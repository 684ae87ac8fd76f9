"""The cheat sheet: every key of this plugin, made from the table they are bound from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QFrame, QGridLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_phaset3m.gui.keys import BINDINGS
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, follow_theme, label
from napari_phaset3m.gui.widgets.dialogs import show_dialog

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SIZE = (620, 520)
_NAPARI = "napari's own keys: Help ▸ Show all key bindings (Ctrl+Alt+/)."


class KeySheet(QDialog):
    """A table of keys, by where they act.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of PhaseT3M")
        self.resize(*_SIZE)
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(LINE_SPACING + 2)
        grid.setColumnStretch(1, 1)
        row = 0
        for where in dict.fromkeys(binding.where for binding in BINDINGS):
            heading = label(where, "title")
            if row:
                grid.setRowMinimumHeight(row, GROUP_SPACING)
                row += 1
            grid.addWidget(heading, row, 0, 1, 2)
            row += 1
            for binding in (found for found in BINDINGS if found.where == where):
                keys = label(binding.keys)
                keys.setAlignment(Qt.AlignmentFlag.AlignTop)
                grid.addWidget(keys, row, 0)
                text = binding.what if not binding.note else f"{binding.what}\n({binding.note})"
                grid.addWidget(label(text, wrap=True), row, 1)
                row += 1
        grid.setRowStretch(row, 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inside)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(scroll, 1)
        layout.addWidget(label(_NAPARI, "muted", wrap=True))
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        follow_theme(self, viewer)


def show_keys(viewer: ViewerModel) -> KeySheet:
    """Open the cheat sheet of a viewer, made on first use."""
    sheet: KeySheet = show_dialog(viewer, "key sheet", KeySheet)
    return sheet


def keys_command(viewer: napari.Viewer) -> None:
    """Show the keys (a command of napari's menus)."""
    show_keys(viewer)
