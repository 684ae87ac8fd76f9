"""The publisher of the input images: one 2D layer in angstrom, fed by our own sliders.

A stack with a tilt axis beside a volume would take the unit off napari's scale
bar for all layers; a 2D layer in angstrom does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from weakref import ReferenceType, ref

import numpy as np
from psygnal import Signal

from napari_phaset3m.gui.publisher import METADATA_KEY, SteadyContrast

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_phaset3m.core.series import TiltFocalSeries


def image_limits(series: TiltFocalSeries) -> tuple[float, float]:
    """Return a robust range of all images, so that moving a slider does not change the contrast."""
    pixels = series.images.reshape(-1)
    low, high = np.percentile(pixels[:: max(1, pixels.size // 400_000)], (0.3, 99.7))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1e-6)


class ImagePublisher:
    """Adds and updates the layer that shows one image of the series.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Held weakly.
    """

    visibility_changed: ClassVar[Signal] = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._layer: ReferenceType[Image] | None = None
        self._contrast: SteadyContrast | None = None

    def layer(self) -> Image | None:
        """Return the layer, unless the user deleted it."""
        viewer, layer = self._viewer(), self._layer() if self._layer is not None else None
        return layer if viewer is not None and layer is not None and layer in viewer.layers else None

    def show(self, series: TiltFocalSeries, tilt: int, focus: int, title: str) -> None:
        """Show image ``(tilt, focus)``; the layer is made when there is none."""
        viewer = self._viewer()
        if viewer is None:
            return
        mine = {"role": "images", "stage": "input", "series": title, "tilt_index": tilt, "focus_index": focus}
        mine["tilt_deg"] = float(series.tilt_deg[tilt])
        layer, data = self.layer(), series.images[tilt, focus]
        scale = (series.pixel_size_angstrom,) * 2
        if layer is None:
            self._add(viewer, series, data, title, mine)
            return
        reframe = layer.data.shape != data.shape or tuple(layer.scale) != scale
        if layer.data is not data:
            layer.data = data
        if reframe:
            layer.scale = scale
            if viewer.dims.ndisplay == 2:
                viewer.reset_view()
        layer.metadata[METADATA_KEY] = mine

    def new_series(self, series: TiltFocalSeries, title: str) -> None:
        """Fit name and contrast of an existing layer to another series."""
        layer = self.layer()
        if layer is None:
            return
        layer.name = f"Images · {title}"
        self._contrast = SteadyContrast(layer)
        self._contrast.propose(image_limits(series), exact=True)

    def _add(
        self,
        viewer: ViewerModel,
        series: TiltFocalSeries,
        data: np.ndarray,
        title: str,
        mine: dict[str, object],
    ) -> None:
        from napari.layers import Image

        limits = image_limits(series)
        layer = Image(
            data,
            name=f"Images · {title}",
            scale=(series.pixel_size_angstrom,) * 2,
            units=("angstrom",) * 2,
            axis_labels=("y", "x"),
            colormap="gray",
            contrast_limits=limits,
            metadata={METADATA_KEY: mine},
        )
        self._layer, self._contrast = ref(layer), SteadyContrast(layer)
        self._contrast.propose((limits[0], limits[1]), exact=True)
        layer.events.visible.connect(self._on_visible)
        viewer.add_layer(layer)
        scale_bar = viewer.canvas.overlays.scale_bar
        scale_bar.visible = True

    def _on_visible(self, event: object = None) -> None:
        self.visibility_changed.emit()

    def hidden(self) -> bool:
        """Tell whether the images cannot be seen now (none, invisible, or the canvas is in 3D)."""
        viewer, layer = self._viewer(), self.layer()
        return viewer is None or layer is None or not layer.visible or viewer.dims.ndisplay == 3

    def bring_forward(self) -> None:
        """Show the images flat and in front."""
        viewer, layer = self._viewer(), self.layer()
        if viewer is None or layer is None:
            return
        viewer.dims.ndisplay = 2
        layer.visible = True
        viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))
        viewer.reset_view()


def publisher_for(viewer: ViewerModel, attachments: dict[str, object]) -> ImagePublisher:
    """Return the image publisher of a session; all its panels share one layer."""
    found = attachments.get("images")
    if not isinstance(found, ImagePublisher):
        found = attachments["images"] = ImagePublisher(viewer)
    return found
