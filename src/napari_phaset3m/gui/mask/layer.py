"""The layer of the mask: outline in slices, translucent surface in 3D, and painting in it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec

if TYPE_CHECKING:
    from napari.layers import Labels

MASK = "mask"
#: Labels: nothing, inside, soft edge.
INSIDE, EDGE = 1, 2
#: Orange and sky blue of Okabe and Ito, told apart by colour-blind readers.
_COLOURS: dict[int | None, str] = {INSIDE: "#e69f00", EDGE: "#56b4e9"}


def labels_of(mask: np.ndarray) -> np.ndarray:
    """`(nz, ny, nx)` uint8 labels of a mask: what is wholly inside, and its soft edge."""
    labels = np.zeros(mask.shape, np.uint8)
    labels[mask > 0] = EDGE
    labels[mask >= 1] = INSIDE
    return labels


def show_mask(
    publisher: LayerPublisher, labels: np.ndarray, voxel: tuple[float, ...], origin: tuple[float, ...]
) -> Labels | None:
    """Show labels as the mask's layer, made when there is none (or the user deleted it)."""
    layer: Any = publisher.layer(MASK)
    if layer is not None and painting(layer) and layer.data.shape == labels.shape:
        # In place: a stroke that is being drawn must not be lost.
        changed = layer.data != labels
        layer.data[changed] = labels[changed]
        layer.refresh()
        return layer
    if layer is not None and layer.data.shape != labels.shape:
        layer.mode = "pan_zoom"
    spec = LayerSpec(
        data=labels,
        name="Mask",
        axis_labels=("z", "y", "x"),
        scale=tuple(voxel),
        translate=tuple(origin),
        metadata={"role": "mask", "voxel_size_angstrom": list(voxel)},
        kind="labels",
        looks={"rendering": "iso_categorical", "iso_gradient_mode": "smooth"},
    )
    shown: Any = publisher.show(MASK, spec, exact=True)
    if shown is not None and shown is not layer:
        shown.n_edit_dimensions = 3
        shown.selected_label = INSIDE
        _suit_canvas(publisher, shown)
    return shown


def _suit_canvas(publisher: LayerPublisher, layer: Any) -> None:
    """Outlines in slices; in 3D the surface of what is wholly inside, which the soft edge would hide."""
    dims, target = publisher.viewer.dims, ref(layer)  # type: ignore[union-attr]
    ours = layer.opacity
    # napari draws once before anybody else hears of the turn, and would warn every time.
    warnings.filterwarnings("ignore", message="Contours are not displayed during 3D rendering")

    def suit(event: object = None) -> None:
        nonlocal ours
        found = target()
        if found is None:
            dims.events.ndisplay.disconnect(suit)
            return
        flat = dims.ndisplay == 2
        found.contour = 1 if flat else 0
        found.colormap = mask_colours(edge=flat)
        # A projection leaves the depth of its brightest voxels, noise here and there, which would cut holes.
        found.blending = "translucent" if flat else "translucent_no_depth"
        if found.opacity == ours:  # else the user has set it
            ours = found.opacity = 1.0 if flat else 0.5

    suit()
    dims.events.ndisplay.connect(suit)


def painting(layer: Any) -> bool:
    """Whether the user is correcting the mask by hand."""
    return layer is not None and str(layer.mode) in ("paint", "erase", "fill", "polygon")


def begin_painting(publisher: LayerPublisher, *, erase: bool) -> None:
    """Give the user a ball-shaped brush (or rubber) in slices."""
    layer: Any = publisher.layer(MASK)
    viewer = publisher.viewer
    if layer is None or viewer is None:
        return
    viewer.dims.ndisplay = 2
    viewer.layers.selection.active = layer
    layer.visible = True
    layer.n_edit_dimensions = 3
    layer.selected_label = INSIDE
    layer.mode = "erase" if erase else "paint"


def end_painting(publisher: LayerPublisher) -> None:
    """Put the brush down."""
    layer: Any = publisher.layer(MASK)
    if painting(layer):
        layer.mode = "pan_zoom"


def mask_colours(*, edge: bool) -> Any:
    """napari's colormap of the mask, with the soft edge or without it."""
    from napari.utils.colormaps import DirectLabelColormap

    shown = {**_COLOURS, EDGE: _COLOURS[EDGE] if edge else "transparent"}
    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **shown})
