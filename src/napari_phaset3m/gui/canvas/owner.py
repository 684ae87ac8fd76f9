"""A widget around one canvas that is built when somebody looks and given back when its context goes."""

from __future__ import annotations

from typing import Any, TypeVar

from qtpy.compat import isalive
from qtpy.QtWidgets import QVBoxLayout, QWidget

_C = TypeVar("_C")


class CanvasOwner(QWidget):
    """Holds at most one canvas (an object with ``widget`` and ``close()``) in :attr:`place`.

    Attributes
    ----------
    canvas : object or None
        None before the first look and after :meth:`release`.
    place : QVBoxLayout
        Where it goes; the subclass lays this out.
    """

    canvas: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.place = QVBoxLayout()

    def hold(self, canvas: _C) -> _C:
        """Show a new canvas; returns it."""
        self.canvas = canvas
        self.place.addWidget(self.canvas.widget)
        return canvas

    def release(self) -> None:
        """Give the canvas back; it is built again when needed."""
        old, self.canvas = self.canvas, None
        if old is not None:
            self.place.removeWidget(old.widget)
            old.close()

    def catch_up(self) -> None:
        """Build the canvas where it is missing and somebody looks, and fill it."""
        raise NotImplementedError

    def on_lost(self) -> None:
        """Begin again with a new canvas: the OpenGL context of the old one is gone."""
        if isalive(self):
            self.release()
            self.catch_up()

    def closeEvent(self, event: Any) -> None:
        """Release the canvas."""
        self.release()
        super().closeEvent(event)
