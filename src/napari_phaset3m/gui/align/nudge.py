"""Steps by which a picture is moved by hand."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_phaset3m.gui.align.widgets import MoveBox
from napari_phaset3m.gui.align.work import AlignWork

#: Pixels of one step: plain, and with Shift.
FINE, COARSE = 0.1, 1.0


class Nudge:
    """Moves what is chosen by a fixed step; with Shift held on a button, by the coarse one."""

    def __init__(self, work: AlignWork, box: MoveBox, dy: float, dx: float) -> None:
        self._work, self._box, self._step = work, box, (dy, dx)

    def __call__(self, *_: object) -> None:
        dy, dx = self._step
        shift = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
        if shift and max(abs(dy), abs(dx)) < COARSE:
            dy, dx = dy * COARSE / FINE, dx * COARSE / FINE
        self._work.nudge(dy, dx, whole_tilt=bool(self._box.which.currentData()))
