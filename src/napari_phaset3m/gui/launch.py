"""Opens napari with the workspace, from the command line or a script."""

from __future__ import annotations

import gc
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from napari_phaset3m.config import ReconstructionConfig

if TYPE_CHECKING:
    import napari

#: What napari's plugin menu calls the dock, so that the menu finds the one opened here.
WORKSPACE_TITLE = "Workspace (PhaseT3M)"


def add_workspace(viewer: napari.Viewer) -> None:
    """Dock the workspace in a viewer; brings an open one back to the front."""
    from napari_phaset3m.gui.workspace import Workspace

    viewer.window.add_dock_widget(
        Workspace(viewer), name=WORKSPACE_TITLE, area="right", add_vertical_stretch=False
    )


def open_workspace(
    path: str | Path | None = None,
    start: bool = False,
    config: ReconstructionConfig | None = None,
    *,
    run: bool = True,
) -> napari.Viewer:
    """Open napari with the workspace; returns when the window is closed.

    Parameters
    ----------
    path : path-like, optional
        Series to load (in the background).
    start : bool
        Start the reconstruction as soon as the series is loaded.
    config : ReconstructionConfig, optional
    run : bool
        Enter the event loop; False returns the viewer at once.

    Returns
    -------
    napari.Viewer
    """
    import napari

    _spare_collections()
    viewer = napari.Viewer(title="PhaseT3M")
    add_workspace(viewer)
    _fill_session(viewer, path, start, config)
    if run:
        napari.run()
    return viewer


def _spare_collections() -> None:
    """Keep what was imported out of full garbage collections, each of which holds up the window.

    They go through every object: 0.3 s for the half million of a window with results, most of them classes
    and functions that live as long as the process. Not beside another viewer: it would never be freed.
    """
    import napari

    if napari.current_viewer() is None:
        for name in ("napari._qt.qt_main_window", "napari._vispy.layers"):
            import_module(name)
        gc.collect()
        gc.freeze()


def _fill_session(
    viewer: napari.Viewer, path: str | Path | None, start: bool, config: ReconstructionConfig | None
) -> None:
    from napari_phaset3m.gui.series.loader import loader_for
    from napari_phaset3m.session import session_for

    session = session_for(viewer)
    if config is not None:
        session.config = config
    if path is None:
        return
    if start:
        _start_once_loaded(viewer)
    loader_for(session).load(path)


def _start_once_loaded(viewer: napari.Viewer) -> None:
    from napari_phaset3m.gui.reconstruct.driver import driver_for
    from napari_phaset3m.gui.series.loader import loader_for
    from napari_phaset3m.gui.workspace import Workspace
    from napari_phaset3m.session import session_for

    session = session_for(viewer)
    loader, driver = loader_for(session), driver_for(session, viewer)
    window = viewer.window

    def begin() -> None:
        loader.loaded.disconnect(begin)
        driver.start()
        for widget in window.dock_widgets.values():
            if isinstance(widget, Workspace):
                widget.show_step("Reconstruct")

    loader.loaded.connect(begin)
