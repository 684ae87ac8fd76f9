"""Commands of napari's menus and palette that act on the workspace."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.compat import isalive

from napari_phaset3m.session import session_for


def workspace_of(viewer: Any) -> Any:
    """The workspace of a viewer, opened when there is none."""
    from napari_phaset3m.gui.launch import add_workspace

    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands proxies to commands
    session = session_for(viewer)
    kept = session.attachments.get("workspace")
    found = kept() if kept is not None else None
    if found is None or not isalive(found) or found.parent() is None:
        add_workspace(viewer)
        found = session.attachments["workspace"]()
    return found


def open_project(viewer: napari.Viewer) -> None:
    """Choose a project and open it."""
    workspace_of(viewer).bar.choose_project()


def save_project(viewer: napari.Viewer) -> None:
    """Save the project; one without a name is asked for it."""
    workspace_of(viewer).bar.save()


def new_project(viewer: napari.Viewer) -> None:
    """Begin anew with an empty project."""
    workspace_of(viewer).bar.begin_anew()
