"""Columns that scroll down where the room is short."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget


class Column(QWidget):
    """Needs no more height than it must have: what scrolls in it does so first, and it as a whole last.

    Qt would take what it would like to have: a scroll area around it then scrolls much too soon.
    """

    def heightForWidth(self, width: int) -> int:
        """The least height at this width."""
        layout = self.layout()
        return self.sizeHint().height() if layout is None else layout.minimumHeightForWidth(width)


class DownScroll(QScrollArea):
    """Scrolls down only, without a frame.

    Parameters
    ----------
    widget : QWidget, optional
        What it shows.
    """

    def __init__(self, widget: QWidget | None = None) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        if widget is not None:
            self.setWidget(widget)
