"""The layer of the input images: one 2D image in angstrom, fed by our own sliders.

A stack with a tilt axis beside a volume would take the unit off napari's scale
bar for all layers; a 2D layer in angstrom does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec
from napari_phaset3m.io.volume import centred_origin

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries

#: Key of the layer at the publisher.
IMAGES = "images"


def image_limits(series: TiltFocalSeries) -> tuple[float, float]:
    """Return a robust range of all images, so that moving a slider does not change the contrast."""
    pixels = series.images.reshape(-1)
    low, high = np.percentile(pixels[:: max(1, pixels.size // 400_000)], (0.3, 99.7))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1e-6)


def image_spec(
    series: TiltFocalSeries, tilt: int, focus: int, title: str, limits: tuple[float, float] | None
) -> LayerSpec:
    """Image ``(tilt, focus)`` of a series as a layer.

    Parameters
    ----------
    series : TiltFocalSeries
    tilt, focus : int
        Indices.
    title : str
        What the series is called.
    limits : tuple of float, optional
        Display range; None leaves it as it is.
    """
    return LayerSpec(
        data=series.images[tilt, focus],
        name=layer_name(title),
        axis_labels=("y", "x"),
        scale=(series.pixel_size_angstrom,) * 2,
        translate=centred_origin(series.image_shape, series.pixel_size_angstrom),
        metadata={
            "role": "images", "stage": "input", "series": title, "tilt_index": tilt, "focus_index": focus,
            "tilt_deg": float(series.tilt_deg[tilt]),
        },
        limits=limits,
        looks={"colormap": "gray"},
    )  # fmt: skip


def layer_name(title: str) -> str:
    """What the layer of a series' images is called at first."""
    return f"Images · {title}"


def show_image(
    publisher: LayerPublisher,
    series: TiltFocalSeries,
    tilt: int,
    focus: int,
    title: str,
    *,
    anew: bool = False,
) -> None:
    """Put one image on the canvas; the view is framed anew when its size in angstrom has changed."""
    old = publisher.layer(IMAGES)
    before = None if old is None else (old.data.shape, tuple(old.scale))
    limits = image_limits(series) if old is None or anew else None
    spec = image_spec(series, tilt, focus, title, limits)
    publisher.show(IMAGES, spec, exact=True)
    viewer = publisher.viewer
    same_frame = before in (None, (spec.data.shape, spec.scale))
    if viewer is not None and viewer.dims.ndisplay == 2 and not same_frame:
        viewer.reset_view()


def show_new_series(
    publisher: LayerPublisher, series: TiltFocalSeries, tilt: int, focus: int, title: str
) -> None:
    """Like :func:`show_image`, with name and contrast fitted to another series."""
    publisher.begin_anew(IMAGES, layer_name(title))
    show_image(publisher, series, tilt, focus, title, anew=True)


def show_changed_images(
    publisher: LayerPublisher, series: TiltFocalSeries, tilt: int, focus: int, title: str
) -> None:
    """Like :func:`show_image`, with contrast fitted to images that a step has made; the name stays."""
    layer = publisher.layer(IMAGES)
    if layer is not None:
        publisher.begin_anew(IMAGES, layer.name)
    show_image(publisher, series, tilt, focus, title, anew=True)
