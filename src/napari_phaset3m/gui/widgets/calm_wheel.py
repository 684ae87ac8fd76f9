"""Numbers and choices that the mouse wheel leaves alone until they have been clicked.

Qt changes whatever lies below the mouse, so that scrolling a panel would change a defocus on the way.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QWidget


class _Calm(QObject):
    """Hands wheel events of a widget without the keyboard on to what it lies in."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Ignore the wheel; an ignored event goes to the parent."""
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def calm_wheel(widget: QWidget) -> None:
    """Let a number or a choice, or all in a widget, answer the wheel only once they have the keyboard."""
    found: list[QWidget] = [widget] if isinstance(widget, QAbstractSpinBox | QComboBox) else []
    for kind in (QAbstractSpinBox, QComboBox):
        found += widget.findChildren(kind)
    for each in found:
        if each.focusPolicy() == Qt.FocusPolicy.WheelFocus:  # the wheel itself would bring it the keyboard
            each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            each.installEventFilter(_Calm(each))
