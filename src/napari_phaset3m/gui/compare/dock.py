"""Opens the comparison beside a viewer, once, and brings it back to the front."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QRect

from napari_phaset3m.gui.views import dock_of
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components
    from qtpy.QtWidgets import QWidget

    from napari_phaset3m.gui.compare.view import CompareView

COMPARE_TITLE = "Compare (PhaseT3M)"
#: Size of the floating window, px.
_WIDTH, _HEIGHT = 1100, 760
#: Room for its frame at each edge of the screen, px.
_FRAME = 24
#: Where it appears beside the corner of the viewer, px.
_OFFSET = 60
_KEY = "compare"


def open_compare(viewer: napari.components.ViewerModel, keys: list[str] | None = None) -> CompareView:
    """Show the comparison of a viewer, made on first use.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    keys : list of str, optional
        What to compare (``run:ID``, ...), the reference first; what was compared before when omitted.

    Returns
    -------
    CompareView
        In a floating dock of the viewer's window, or a window of its own where there is none.
    """
    from napari_phaset3m.gui.compare.view import CompareView

    session = session_for(viewer)
    kept = session.attachments.get(_KEY)
    view = kept() if kept is not None else None
    if view is None or not isalive(view):
        view = CompareView(viewer)
        session.attachments[_KEY] = ref(view)
    window = getattr(viewer, "window", None)
    dock = dock_of(view)
    if dock is None and window is not None:
        dock = window.add_dock_widget(view, name=COMPARE_TITLE, area="right", add_vertical_stretch=False)
        dock.setFloating(True)
        _place(dock, window._qt_window)
    shown = dock if dock is not None else view
    shown.show()
    shown.raise_()
    if keys:
        view.compare(keys)
    return view


def _place(dock: QWidget, beside: QWidget) -> None:
    """Beside a window's corner, all of it on the screen."""
    place = floating_place(beside.screen().availableGeometry(), beside.pos())
    dock.resize(place.size())
    dock.move(place.topLeft())


def floating_place(screen: QRect, corner: QPoint) -> QRect:
    """Where the floating window goes: as large as it wants to be and, with its frame, the screen lets it."""
    width = min(_WIDTH, screen.width() - 2 * _FRAME)
    height = min(_HEIGHT, screen.height() - 2 * _FRAME)
    left = min(corner.x() + _OFFSET, screen.right() + 1 - _FRAME - width)
    top = min(corner.y() + _OFFSET, screen.bottom() + 1 - _FRAME - height)
    return QRect(max(left, screen.left() + _FRAME), max(top, screen.top() + _FRAME), width, height)
