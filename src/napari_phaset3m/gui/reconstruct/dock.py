"""The Reconstruct panel as a dock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea

from napari_phaset3m.gui.panel_dock import as_panel
from napari_phaset3m.gui.reconstruct.panel import ReconstructPanel
from napari_phaset3m.gui.theme import PANEL_MAX_WIDTH, PANEL_MIN_WIDTH
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components


class ReconstructDock(QScrollArea):
    """Scrolls the panel, so that nothing is cut off in a low window.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        self.panel = ReconstructPanel(session_for(napari_viewer), napari_viewer)
        self.setWidget(self.panel)
        as_panel(self, napari_viewer)
