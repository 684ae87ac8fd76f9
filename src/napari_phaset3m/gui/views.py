"""The bottom dock: Fourier, plots and runs in tabs, collapsible."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QDockWidget,
    QMainWindow,
    QSizePolicy,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.theme import PANEL_MIN_WIDTH, follow_theme
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Tallest that the dock may be, px, or part of the window where that is more; with what is around the tabs.
VIEWS_MAX_HEIGHT, VIEWS_MAX_PART = 260, 0.25
VIEWS_MIN_HEIGHT = 200
_FRAME = 8
#: Bounds, px, of a view that names the part of the window's height it wants, as ``tall``.
TALL_HEIGHT = (300, 620)
#: Tab, module below gui, class.
VIEWS = (
    ("Fourier", "fourier.view", "FourierView"),
    ("Plots", "plots.error_curve", "ErrorPlot"),
    ("Runs", "runs.view", "RunsView"),
)


class ViewsWidget(QWidget):
    """Tabs with the views of a session.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    collapsed_changed = Signal(bool)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        # A long line in a view must not make the window wider than a small screen.
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.collapsed = False
        self._room = QTimer(self)
        self._room.setSingleShot(True)
        self._room.setInterval(0)
        self._room.timeout.connect(self._give_room)
        self._size = QTimer(self)  # not within a layout under way
        self._size.setSingleShot(True)
        self._size.setInterval(0)
        self._size.timeout.connect(lambda: self.collapse(self.collapsed))
        self._session = session_for(viewer)
        self.tabs = QTabWidget()
        for title, module, name in VIEWS:
            view = getattr(import_module(f"napari_phaset3m.gui.{module}"), name)(self._session)
            self.tabs.addTab(view, title)
        self.fold = QToolButton()
        self.fold.setAutoRaise(True)
        self.fold.clicked.connect(self._on_fold)
        self.tabs.setCornerWidget(self.fold, Qt.Corner.TopRightCorner)
        self.tabs.tabBarClicked.connect(self._on_tab)
        self.tabs.currentChanged.connect(self._on_current)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.addWidget(self.tabs)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        follow_theme(self, viewer)
        self.collapse(False)

    def resizeEvent(self, event: Any) -> None:
        """A larger window may have taller views."""
        super().resizeEvent(event)
        if not self.collapsed and self.maximumHeight() != self._heights()[1]:
            self._size.start()

    def keyPressEvent(self, event: Any) -> None:
        """Keys that nothing in the views wanted."""
        keys = self._session.attachments.get("keys")
        if keys is None or not keys.handle(event):
            super().keyPressEvent(event)

    def collapse(self, collapsed: bool) -> None:
        """Leave only the tabs, or unfold."""
        self.collapsed = collapsed
        for index in range(self.tabs.count()):
            page = self.tabs.widget(index)
            page.setVisible(not collapsed and index == self.tabs.currentIndex())
        bar = self.tabs.tabBar().sizeHint().height() + _FRAME
        least, most = (bar, bar) if collapsed else self._heights()
        self.setMinimumHeight(least)
        self.setMaximumHeight(most)
        self.fold.setArrowType(Qt.ArrowType.UpArrow if collapsed else Qt.ArrowType.DownArrow)
        self.fold.setToolTip("Unfold the views" if collapsed else "Fold the views away")
        self.fold.setAccessibleName(self.fold.toolTip())
        self.collapsed_changed.emit(collapsed)
        self._room.start()

    def _heights(self) -> tuple[int, int]:
        """Least and most, px, that the view in front needs."""
        part = getattr(self.tabs.currentWidget(), "tall", 0.0)
        if not part:
            most = max(VIEWS_MAX_HEIGHT, round(VIEWS_MAX_PART * self.window().height()))
            return VIEWS_MIN_HEIGHT, most - _FRAME
        wanted = min(max(round(part * self.window().height()), TALL_HEIGHT[0]), TALL_HEIGHT[1])
        return wanted, wanted

    def _on_current(self, index: int) -> None:
        if not self.collapsed:
            self.collapse(False)

    def _give_room(self) -> None:
        """Let the canvas have what the dock no longer needs: Qt by itself only ever makes it larger."""
        dock, window = dock_of(self), self.window()
        if dock is not None and isinstance(window, QMainWindow) and not dock.isFloating():
            dock.setMinimumHeight(self.minimumHeight())
            dock.setMaximumHeight(self.maximumHeight())
            window.resizeDocks([dock], [self.maximumHeight()], Qt.Orientation.Vertical)

    def _on_fold(self) -> None:
        self.collapse(not self.collapsed)

    def _on_tab(self, index: int) -> None:
        if self.collapsed and index >= 0:
            self.tabs.setCurrentIndex(index)
            self.collapse(False)

    def sizeHint(self) -> Any:
        """As high as it may be."""
        hint = super().sizeHint()
        hint.setHeight(self.maximumHeight())
        return hint


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Find the dock a widget sits in, None when it is in no window."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
