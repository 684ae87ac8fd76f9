"""The Reconstruct panel as a dock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.gui.panel_dock import ScrollPanel, as_panel
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel

if TYPE_CHECKING:
    import napari.components


class ReconstructDock(ScrollPanel):
    """Scrolls the panel, so that nothing is cut off in a low window.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.panel = ReconstructPanel(self._session, napari_viewer)
        self.setWidget(self.panel)
        as_panel(self, napari_viewer)
