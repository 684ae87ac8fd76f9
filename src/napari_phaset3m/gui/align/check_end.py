"""Takes the layer of the check away when its panel leaves the window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_phaset3m.gui.views import dock_of
from napari_phaset3m.gui.widgets.turns import in_turns

if TYPE_CHECKING:
    from napari_phaset3m.gui.align.check import AlignCheck


class CheckEnd(QObject):
    """Tells a panel that went from one behind another step, whose layer is kept for the next time.

    Parameters
    ----------
    panel : QWidget
    check : AlignCheck
    """

    def __init__(self, panel: QWidget, check: AlignCheck) -> None:
        super().__init__(panel)
        self._panel, self._check = ref(panel), check

    def watch(self) -> None:
        """Hear when what the dock holds, the panel or a workspace around it, is taken out of it.

        A panel behind another step is sent nothing then.
        """
        top = self._panel()
        while top is not None:
            above = top.parentWidget()
            if above is None or isinstance(above, QDockWidget):
                top.installEventFilter(self)  # once, however often it is called
                return
            top = above

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Look after it where the workspace was put into something else, or into nothing."""
        if event.type() == QEvent.Type.ParentChange:
            self.look()
        return False

    def look(self) -> None:
        """Take the layer away, in a turn of its own, unless the panel is still in a dock by then."""
        if isalive(self._check):  # else the session is gone with the application
            in_turns(self._check, partial(_end, self._panel, self._check))


def _end(panel: ref[QWidget], check: AlignCheck) -> None:
    found = panel()
    # A workspace that was closed is out of its dock, and may live on.
    if found is None or not isalive(found) or dock_of(found) is None:
        check.take_away()
