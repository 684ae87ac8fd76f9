"""What is framed stays framed when the canvas becomes smaller; a zoom of the user's own stays too."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui
ViewerModel = pytest.importorskip("napari.components").ViewerModel

from napari_phaset3m.gui.layers.publisher import publisher_for  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    publisher_for(session_for(viewer), viewer)
    viewer.canvas.size = (400, 600)
    viewer.add_image(np.ones((20, 40, 40)), scale=(8.0,) * 3)
    return viewer


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_all_of_the_layer_fits_into_a_smaller_canvas(viewer, ndisplay):
    viewer.dims.ndisplay = ndisplay
    viewer.reset_view()
    for height in (300, 200, 500):
        viewer.canvas.size = (height, 600)
        assert viewer.scene.camera.zoom * 320 == pytest.approx(0.95 * height, rel=0.01)
    viewer.dims.set_point(0, 40.0)  # another slice is not another place
    viewer.canvas.size = (250, 600)
    assert viewer.scene.camera.zoom * 320 == pytest.approx(0.95 * 250, rel=0.01)


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_a_view_of_the_users_own_stays(viewer, ndisplay):
    viewer.dims.ndisplay = ndisplay
    viewer.reset_view()
    viewer.scene.camera.zoom *= 3
    zoom = viewer.scene.camera.zoom
    viewer.canvas.size = (300, 600)
    assert viewer.scene.camera.zoom == zoom
    viewer.reset_view()
    viewer.scene.camera.center = (0.0, 100.0, 100.0)
    zoom = viewer.scene.camera.zoom
    viewer.canvas.size = (200, 600)
    assert viewer.scene.camera.zoom == zoom and tuple(viewer.scene.camera.center)[1:] == (100.0, 100.0)
