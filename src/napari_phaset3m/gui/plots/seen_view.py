"""A view that is drawn soon after something changed, and only while it is seen."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

#: Changes that come within this are drawn together, ms.
REFRESH_MS = 60


class SeenView(QWidget):
    """Base of views; connect what changes them to :meth:`soon`."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)

    def refresh(self) -> None:
        """Draw what there is."""
        raise NotImplementedError

    def soon(self, *_: object) -> None:
        """Draw anew soon, if it is seen."""
        if self.isVisible():
            self._timer.start()

    def showEvent(self, event: Any) -> None:
        """Catch up."""
        super().showEvent(event)
        self.soon()
