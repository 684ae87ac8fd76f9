"""What this computer offers, as ``phaset3m doctor`` tells it, to read and to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.core.system import system_report, system_text
from napari_phaset3m.gui.canvas.opengl import opengl_words
from napari_phaset3m.gui.theme import GROUP_SPACING, follow_theme, label
from napari_phaset3m.gui.widgets.dialogs import show_dialog
from napari_phaset3m.gui.worker import in_background

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SIZE = (640, 320)
_KEY = "system dialog"


class SystemDialog(QDialog):
    """The text of the report, found out in a worker thread.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("System")
        self.resize(*_SIZE)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName("System")
        self.text.setPlaceholderText("Looking …")
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.note = label(
            "What the program found here; the same as phaset3m doctor, and what paints.", "muted", wrap=True
        )
        self.copy, self.close_ = QPushButton("Copy"), QPushButton("Close")
        self.copy.setToolTip("Put this text into the clipboard, e.g. for a bug report")
        self.copy.setEnabled(False)
        self.copy.clicked.connect(self._on_copy)
        self.close_.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addStretch(1)
        row.addWidget(self.close_)
        layout = QVBoxLayout(self)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.note)
        layout.addLayout(row)
        follow_theme(self, viewer)
        in_background(system_report, self._on_report, self._on_error)

    def _on_report(self, report: dict[str, Any]) -> None:
        self.text.setPlainText(system_text(report | {"opengl": opengl_words()}))
        self.copy.setEnabled(True)

    def _on_error(self, error: Exception) -> None:
        self.text.setPlainText(f"Not found out: {error}")

    def _on_copy(self) -> None:
        QApplication.clipboard().setText(self.text.toPlainText())
        self.note.setText("The text is in the clipboard")


def show_system(viewer: ViewerModel) -> SystemDialog:
    """Open the dialog of a viewer, made anew each time: packages may have been installed since."""
    dialog: SystemDialog = show_dialog(viewer, _KEY, SystemDialog, anew=True)
    return dialog


def system_command(viewer: napari.Viewer) -> None:
    """Show what this computer offers (a command of napari's menus)."""
    show_system(viewer)
