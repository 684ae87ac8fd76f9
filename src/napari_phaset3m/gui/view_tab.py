"""A view of a step as a tab below the canvas, or as a dock of its own where there are no views."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, ref

from qtpy.compat import isalive

from napari_phaset3m.gui.theme import follow_theme
from napari_phaset3m.gui.views import VIEWS_MIN_HEIGHT, ViewsWidget, dock_of
from napari_phaset3m.gui.widgets.turns import in_turns

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget

    from napari_phaset3m.session import Session


def tab_of(session: Session, viewer: ViewerModel, title: str, make: Callable[[], QWidget]) -> QWidget | None:
    """Return the view of a title, made on first use and put into the window.

    None where there is no window.
    """
    key = f"view {title}"
    kept = session.attachments.get(key)
    view = kept() if kept is not None else None
    window = getattr(viewer, "window", None)
    if window is None:
        return view if view is not None and isalive(view) else None
    if view is not None and isalive(view) and view.window() is not view:
        return view
    if view is None or not isalive(view):
        view = make()
    session.attachments[key] = ref(view)
    views = _views(session)
    if views is not None:
        views.tabs.addTab(view, title)
    else:
        view.setMinimumHeight(VIEWS_MIN_HEIGHT)
        window.add_dock_widget(view, name=f"{title} (PhaseT3M)", area="bottom", add_vertical_stretch=False)
        follow_theme(view, viewer)
    return view


def bring_forward(view: QWidget) -> None:
    """Show the view's tab, unfolded, or its dock."""
    dock = dock_of(view)
    if dock is not None and not dock.isVisible():
        dock.show()
    parent = view.parentWidget()
    while parent is not None and not isinstance(parent, ViewsWidget):
        parent = parent.parentWidget()
    if parent is not None:
        parent.tabs.setCurrentWidget(view)
        if parent.collapsed:
            parent.collapse(False)


def bring_up(panel: QWidget, view_of: Callable[[], QWidget | None]) -> None:
    """Make a panel's view and show it, once the panel is painted: both at once would hold the window.

    ``view_of``: a method of the panel; None where there is nothing to show (then).
    """
    in_turns(panel, partial(_bring_up, WeakMethod(view_of)))


def _bring_up(view_of: WeakMethod[Callable[[], QWidget | None]]) -> None:
    method: Any = view_of()
    view = method() if method is not None and method.__self__.isVisible() else None
    if view is not None:
        bring_forward(view)


def _views(session: Session) -> ViewsWidget | None:
    kept = session.attachments.get("views")
    found = kept() if kept is not None else None
    usable = found is not None and isalive(found) and dock_of(found) is not None
    return found if usable else None
