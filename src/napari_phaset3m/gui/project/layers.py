"""Layers of a viewer on their way into a project, and back in their order and with their looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, LayerPublisher
from napari_phaset3m.gui.mask.layer import MASK
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.io.provenance import jsonable
from napari_phaset3m.project import LayerData

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_phaset3m.project.model import LayerEntry
    from napari_phaset3m.session import Session

#: How any layer looks, and what its kind adds; all of it may be set again.
_LOOKS = ("visible", "opacity", "blending")
_LOOKS_OF = {
    "image": ("colormap", "contrast_limits", "gamma", "interpolation2d", "interpolation3d", "rendering",
              "iso_threshold", "attenuation", "depiction"),
    "labels": ("contour",),
}  # fmt: skip
#: Where a layer of the user's own lies, and what its items are.
_PLACE = ("affine", "axis_labels", "scale", "translate", "rotate", "shear", "units")
_ITEMS = {
    "image": ("rgb",),
    "points": ("size", "symbol", "face_color", "border_color", "border_width", "features", "ndim"),
    "shapes": ("shape_type", "edge_width", "edge_color", "face_color", "z_index", "features", "ndim"),
    "vectors": ("edge_width", "length", "features"),
}
#: Kinds whose data can be kept.
_KEPT = ("image", "labels", "points", "shapes", "vectors")
#: Pictures of one moment: made anew by the panel that shows them.
_PASSING = ("prepare preview", "alignment check", "rectangle", "optimise volume")


def capture_layers(session: Session, publisher: LayerPublisher) -> tuple[LayerData, ...]:
    """What a project keeps of each layer, bottom first."""
    viewer = publisher.viewer
    found = () if viewer is None else tuple(_captured(session, publisher, layer) for layer in viewer.layers)
    seen = _stand_in(session, publisher)
    return tuple(
        replace(layer, state={**layer.state, "visible": True}) if layer.key and layer.key == seen else layer
        for layer in found
        if layer is not None
    )


def _stand_in(session: Session, publisher: LayerPublisher) -> str:
    """What to see in place of a run under way, which no project keeps; empty where none is seen.

    Its layer hides the earlier ones: a window that is killed then would come back with nothing in view.
    """
    layers = {record.run_id: publisher.layer(record.run_id) for record in session.runs}
    seen = {key for key, layer in layers.items() if layer is not None and layer.visible}
    going = {record.run_id for record in session.runs if record.active}
    if not seen or seen - going:
        return ""
    kept = [key for key, layer in layers.items() if layer is not None and key not in going]
    return kept[-1] if kept else IMAGES


def _captured(session: Session, publisher: LayerPublisher, layer: Layer) -> LayerData | None:
    key, kind = publisher.key_of(layer), type(layer).__name__.lower()
    told = {name: _plain(layer, name) for name in (*_LOOKS, *_LOOKS_OF.get(kind, ()))}
    ours = jsonable(layer.metadata.get(METADATA_KEY, {}))
    if _made_anew(session, key):
        return LayerData(key, kind, str(layer.name), told, ours)
    if kind not in _KEPT or key.startswith(_PASSING) or getattr(layer, "multiscale", False):
        return None
    told |= {name: _plain(layer, name) for name in (*_PLACE, *_ITEMS.get(kind, ()))}
    if key.startswith("file:"):
        return LayerData(key, kind, str(layer.name), told, ours, path=key.removeprefix("file:"))
    data = layer.data
    if kind == "shapes":
        data = [np.array(shape) for shape in data]
    elif not isinstance(data, np.ndarray):
        data = np.asarray(data)
    return LayerData(key, kind, str(layer.name), told, ours, data)


def _made_anew(session: Session, key: str) -> bool:
    """Whether a layer comes back with what it shows: the images, a run, the mask."""
    return key in (IMAGES, MASK) or session.run(key.partition(":")[0]) is not None


def _plain(layer: Layer, name: str) -> Any:
    value = getattr(layer, name)
    if name == "colormap":
        return str(value.name)
    if name == "affine":
        return np.asarray(value.affine_matrix).tolist()
    if name == "units":
        return [str(unit) for unit in value]
    if name == "features":
        return {str(column): jsonable(value[column].to_numpy()) for column in value.columns}
    if name in ("symbol", "shape_type"):
        return [str(getattr(item, "value", item)) for item in value]
    return jsonable(getattr(value, "value", value))


def make_layer(entry: LayerEntry, data: Any) -> Layer:
    """A layer of the user's own, as it was."""
    from napari.layers import Layer

    state = {name: value for name, value in entry.state.items() if value is not None}
    if entry.kind == "shapes" and not data:
        state = {name: state[name] for name in (*_LOOKS, *_PLACE) if name in state} | {"ndim": state["ndim"]}
    if "colormap" in state and not _known_colormap(state["colormap"]):
        del state["colormap"]
    metadata = {METADATA_KEY: dict(entry.metadata)} if entry.metadata else {}
    return Layer.create(data, {**state, "name": entry.name, "metadata": metadata}, entry.kind)


def _known_colormap(name: str) -> bool:
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    return name in AVAILABLE_COLORMAPS


class LayersAsTheyWere(QObject):
    """Gives layers their looks and places back as they arrive; some are worked out only later.

    Parameters
    ----------
    publisher : LayerPublisher
    entries : sequence of LayerEntry
        Bottom first.
    data : mapping
        Of layers of the user's own, by place in ``entries``.
    """

    def __init__(
        self, publisher: LayerPublisher, entries: tuple[LayerEntry, ...], data: Mapping[int, Any]
    ) -> None:
        super().__init__()
        self._publisher, self._entries = publisher, entries
        self._pending = {entry.key: entry for entry in entries if not (entry.file or entry.path)}
        self._places: dict[int, int] = {}
        viewer = publisher.viewer
        if viewer is None:
            return
        follow(viewer.layers.events.inserted, self._on_inserted)
        for place, entry in enumerate(entries):
            if place not in data:
                continue
            layer = make_layer(entry, data[place])
            self._places[id(layer)] = place
            viewer.add_layer(layer)
            if entry.key:
                publisher.adopt(entry.key, layer)
        for layer in list(viewer.layers):
            self._settle(layer)

    def _on_inserted(self, event: Any) -> None:
        self._settle(event.value)

    def _settle(self, layer: Layer) -> None:
        entry = self._pending.pop(self._publisher.key_of(layer), None)
        if entry is None:
            return
        self._places[id(layer)] = self._entries.index(entry)
        layer.name = entry.name
        for name, value in entry.state.items():
            if value is None or (name == "colormap" and not _known_colormap(value)):
                continue
            if getattr(layer, name, value) != value:
                setattr(layer, name, value)
        self.order()

    def order(self) -> None:
        """Put the layers that are there into the order they had."""
        viewer = self._publisher.viewer
        if viewer is None:
            return
        wanted = sorted(
            (layer for layer in viewer.layers if id(layer) in self._places),
            key=lambda layer: self._places[id(layer)],
        )
        for layer in wanted:
            viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))

    @property
    def pending(self) -> tuple[str, ...]:
        """Layers that are not there yet."""
        return tuple(self._pending)
