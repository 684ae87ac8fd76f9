"""Dialogs of a session, one of each kind, that do not keep their window alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.compat import isalive

if TYPE_CHECKING:
    from qtpy.QtWidgets import QDialog

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
