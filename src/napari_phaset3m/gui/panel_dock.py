"""A panel opened by itself becomes a tab beside the others; below them it would outgrow the screen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_phaset3m.gui.theme import PANEL_MAX_WIDTH, PANEL_MIN_WIDTH, follow_theme
from napari_phaset3m.gui.widgets.calm_wheel import calm_wheel
from napari_phaset3m.gui.widgets.scrolling import DownScroll
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Property of the docks that hold something of ours in the column on the right.
_OURS = "phaset3m panel"


class ScrollPanel(DownScroll):
    """A panel that scrolls as a whole.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session_for(viewer)
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.setMaximumWidth(PANEL_MAX_WIDTH)


def as_panel(panel: QWidget, viewer: ViewerModel) -> None:
    """Give a panel the style of the viewer's theme, and its dock a place; for panels and the workspace.

    Style and place come when it is first shown: only then is it known whether it lies in the workspace.
    """
    calm_wheel(panel)
    panel.setProperty(_OURS, True)
    panel.installEventFilter(_FirstShow(panel, viewer))


class _FirstShow(QObject):
    """Waits until the panel is seen in a dock; from then on the place is the user's."""

    def __init__(self, panel: QWidget, viewer: ViewerModel) -> None:
        super().__init__(panel)
        self._viewer = ref(viewer)
        window = getattr(getattr(viewer, "window", None), "_qt_window", None)
        self._height = 0 if window is None else window.height()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() == QEvent.Type.Show:
            watched.removeEventFilter(self)
            viewer = self._viewer()
            # The workspace has the style already; once more, it would be worked out for every widget again.
            if viewer is not None and not watched.styleSheet() and not _within_ours(watched):
                follow_theme(watched, viewer)
            join_column(watched, self._height)
        return False


def _within_ours(panel: QWidget) -> bool:
    """Whether a panel is one of the workspace's."""
    above = panel.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        if above.property(_OURS):
            return True
        above = above.parentWidget()
    return False


def join_column(panel: QWidget, height: int) -> None:
    """Make a tab of a panel's dock where there is one of ours in the same area; not within the workspace.

    ``height`` is the window's of before: to hold one dock below the other it was made taller, and stays so.
    """
    if _within_ours(panel):
        return
    dock = panel.parentWidget()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    main = None if dock is None else dock.parentWidget()
    if dock is None or not isinstance(main, QMainWindow):
        return
    others = [other for other in main.findChildren(QDockWidget) if other.property(_OURS)]
    dock.setProperty(_OURS, True)
    area = Qt.DockWidgetArea.RightDockWidgetArea
    beside = [other for other in others if other is not dock and not other.isFloating() and other.isVisible()]
    if beside and all(main.dockWidgetArea(each) == area for each in (dock, beside[0])):
        main.tabifyDockWidget(beside[0], dock)
        QTimer.singleShot(0, partial(_settle, ref(dock), height))


def _settle(dock: Any, height: int) -> None:
    found = dock()
    if found is None or not isalive(found):
        return
    found.raise_()
    main = found.parentWidget()
    if isinstance(main, QMainWindow) and 0 < height < main.height() and not main.isMaximized():
        main.resize(main.width(), height)
