"""Keeps what was framed in the canvas framed when the canvas changes its size.

napari frames the layers once; a view below the canvas that becomes taller would then cut them off. A zoom or
place of the user's own stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel


class KeptInFrame:
    """Frames the layers of one viewer again, at any new size of its canvas, until the camera is moved.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Held weakly.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(getattr(viewer, "__wrapped__", viewer))
        self._framed: tuple[float, tuple[float, ...]] | None = None
        # not a bound method: napari would hold it weakly, and this object with it
        viewer.events.reset_view.connect(lambda event: self._note())
        viewer.canvas.events.size.connect(lambda event: self._on_size())

    def _camera(self) -> tuple[float, tuple[float, ...]] | None:
        viewer = self._viewer()
        if viewer is None:
            return None
        camera: Any = viewer.scene.camera
        return float(camera.zoom), tuple(camera.center)[-2:]  # the depth is the slice's

    def _note(self) -> None:
        self._framed = self._camera()

    def _on_size(self) -> None:
        viewer, now = self._viewer(), self._camera()
        if viewer is None or now is None or self._framed is None or not viewer.layers:
            return
        if np.allclose(now[0], self._framed[0]) and np.allclose(now[1], self._framed[1]):
            viewer.fit_to_view()
