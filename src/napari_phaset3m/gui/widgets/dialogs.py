"""Dialogs of a session, one of each kind, that do not keep their window alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.compat import isalive

from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QDialog, QWidget

    from napari_phaset3m.session import Session


def dialog_of(session: Session, key: str) -> Any:
    """The dialog of a kind that was kept, unless it is gone."""
    kept = session.attachments.get(key)
    found = kept() if kept is not None else None
    return found if found is not None and isalive(found) else None


def keep_dialog(session: Session, key: str, dialog: QDialog) -> None:
    """Remember a dialog; its window holds it, or it itself where there is none."""
    session.attachments[key] = ref(dialog)
    if dialog.parent() is None:
        session.attachments[f"{key} kept"] = dialog


def show_dialog(
    viewer: ViewerModel, key: str, make: Callable[[ViewerModel, QWidget | None], Any], *, anew: bool = False
) -> Any:
    """Show a viewer's only dialog of a kind, in front.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    key : str
        Names the kind.
    make : callable
        From viewer and parent; used when there is none yet.
    anew : bool
        In place of one that is there.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands proxies to commands
    session = session_for(viewer)
    dialog = dialog_of(session, key)
    if dialog is not None and anew:
        dialog.close()
        dialog.deleteLater()
    if dialog is None or anew:
        window = getattr(viewer, "window", None)
        dialog = make(viewer, None if window is None else window._qt_window)
        keep_dialog(session, key, dialog)
    dialog.show()
    dialog.raise_()
    return dialog
