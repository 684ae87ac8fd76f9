"""The scale bar says nm and Å, never kÅ."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec  # noqa: E402
from napari_phaset3m.gui.layers.scale_bar import plain_length  # noqa: E402


@pytest.mark.parametrize(
    ("napari_s", "plain"),
    [("1 kÅ", "100 nm"), ("2.5 kÅ", "250 nm"), ("1 MÅ", "100 µm"), ("200 mÅ", "0.2 Å"),
     ("500 Å", "500 Å"), ("15 Å", "15 Å"), ("1 kpx", "1 kpx"), ("5 nm", "5 nm")],
)  # fmt: skip
def test_prefixes_of_angstrom_are_written_out(napari_s, plain):
    assert plain_length(napari_s) == plain


def test_the_bar_of_a_window_is_plain_at_any_zoom(make_napari_viewer):
    viewer = make_napari_viewer()
    spec = LayerSpec(np.zeros((64, 64), np.float32), "a", ("y", "x"), (8.0, 8.0), (0.0, 0.0), {}, (0.0, 1.0))
    LayerPublisher(viewer).show("a", spec)
    canvas = viewer.window._qt_viewer.canvas
    (bar,) = canvas._viewer_overlay_to_visual[viewer.canvas.overlays.scale_bar]
    told = []
    for zoom in (0.1, 1.0, 400.0, 0.02):
        viewer.scene.camera.zoom = zoom
        told.append(bar.node.text.text)
    assert told == ["100 nm", "125 Å", "0.2 Å", "500 nm"]
    viewer.canvas.overlays.scale_bar.visible = False
    viewer.canvas.overlays.scale_bar.visible = True
    viewer.scene.camera.zoom = 0.1
    assert bar.node.text.text == "100 nm"
