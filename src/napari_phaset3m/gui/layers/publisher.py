"""The only place that adds or updates this package's layers in a viewer.

Layers are recognised by their metadata and by who made them, never by their name:
users rename. What a layer shows comes as a :class:`LayerSpec`, made in
:mod:`.images` (the input) or :mod:`.volumes` (what a run gives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import ReferenceType, ref

import numpy as np
from psygnal import Signal
from qtpy.compat import isalive

from napari_phaset3m.gui.canvas.frame import KeptInFrame
from napari_phaset3m.gui.layers.same_pixels import same_pixels
from napari_phaset3m.gui.layers.scale_bar import write_plainly
from napari_phaset3m.gui.layers.steady_contrast import SteadyContrast

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_phaset3m.session import Session

#: Key of this package's entry in ``layer.metadata``.
METADATA_KEY = "phaset3m"
_ATTACHMENT = "publisher"
#: Of a step of a slider: napari rounds halves to even numbers.
_UP = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LayerSpec:
    """What a layer is to show.

    Attributes
    ----------
    data : ndarray
        `(ny, nx)` or `(nz, ny, nx)`; `(n, 3)` points; `(n, m, 3)` shapes.
    name : str
        Of a new layer; an existing one keeps the name it has.
    axis_labels : tuple of str
        One for each axis.
    scale, translate : tuple of float
        Per axis, angstrom.
    metadata : mapping
        Entry of ``layer.metadata["phaset3m"]``; updates what is there.
    limits : tuple of float, optional
        Display range; None for all but images.
    looks : mapping
        Further arguments of a new layer (``colormap``, ``rendering``, ...).
    kind : {"image", "labels", "points", "shapes"}
    """

    data: np.ndarray
    name: str
    axis_labels: tuple[str, ...]
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    metadata: Mapping[str, Any]
    limits: tuple[float, float] | None = None
    looks: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["image", "labels", "points", "shapes"] = "image"


@dataclass
class _Shown:
    layer: ReferenceType[Layer]
    contrast: SteadyContrast | None
    #: Not yet filled with anything that deserves its contrast to be kept.
    empty: bool
    pending: LayerSpec | None = None


class LayerPublisher:
    """Shows arrays as layers of one viewer, each under a key, and keeps them up to date.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Held weakly.
    """

    #: A layer of ours was shown, hidden or put in; its key.
    visibility_changed: ClassVar[Signal] = Signal(str)
    #: Something new was handed over for a key, whether or not its layer can show it.
    published: ClassVar[Signal] = Signal(str, LayerSpec)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._shown: dict[str, _Shown] = {}
        self._newest: dict[str, LayerSpec] = {}
        self._frame = KeptInFrame(viewer)

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer, unless it is gone; a closed window leaves its viewer behind, which can show nothing."""
        viewer = self._viewer()
        window = getattr(viewer, "window", None)
        inner = getattr(window, "_qt_window", None)
        return viewer if window is None or (inner is not None and isalive(inner)) else None

    def layer(self, key: str) -> Layer | None:
        """Return the layer of a key, unless there is none or the user deleted it."""
        viewer, shown = self.viewer, self._shown.get(key)
        layer = shown.layer() if shown is not None else None
        return layer if viewer is not None and layer is not None and layer in viewer.layers else None

    def key_of(self, layer: Layer) -> str:
        """Under which key a layer was put in; empty for one that somebody else made."""
        return next((key for key, shown in self._shown.items() if shown.layer() is layer), "")

    def adopt(self, key: str, layer: Layer) -> None:
        """Take a layer that is in the viewer already as the one of a key."""
        contrast = SteadyContrast(layer) if hasattr(layer, "contrast_limits") else None
        if contrast is not None:
            contrast.user_owned = True
        self._shown[key] = _Shown(ref(layer), contrast, empty=False)
        layer.events.visible.connect(self._on_visible(key))

    def has(self, key: str) -> bool:
        """Whether a layer was ever put in under a key (the user may have deleted it)."""
        return key in self._shown

    def reset_view(self) -> None:
        """Frame what is in the viewer."""
        if (viewer := self.viewer) is not None:
            viewer.reset_view()

    def go_to(self, point: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        """Put the dimension sliders on (z, y, x), angstrom from the rotation centre.

        Between two voxels they take the upper one, as central slices (``n // 2``) do everywhere.
        """
        if (viewer := self.viewer) is not None:
            dims = viewer.dims
            axes = range(dims.ndim)[-3:]
            at = zip(axes, point[-len(axes) :], strict=True)
            dims.set_point(axes, [value + _UP * dims.range[axis].step for axis, value in at])

    def newest(self, key: str) -> LayerSpec | None:
        """What was handed over last for a key, also where its layer is hidden or deleted."""
        return self._newest.get(key)

    def forget(self, key: str) -> None:
        """Let go of what was handed over for a key; its layer stays."""
        self._newest.pop(key, None)

    def show(
        self, key: str, spec: LayerSpec, *, exact: bool = False, revive: bool = True, empty: bool = False
    ) -> Layer | None:
        """Show an array; None when nothing is shown.

        Parameters
        ----------
        key : str
            Whose layer it is; made when there is none.
        spec : LayerSpec
        exact : bool
            Take the display range as it is, and fill a hidden layer too. Without it
            the range only widens, and a hidden layer is brought up to date when it is
            shown again.
        revive : bool
            Bring a layer back that the user deleted.
        empty : bool
            There is nothing to see yet; the next display range is taken as it is.
        """
        self._newest[key] = spec
        self.published.emit(key, spec)
        viewer = self.viewer
        if viewer is None:
            return None
        layer = self.layer(key)
        if layer is None:
            if key in self._shown and not revive:
                return None
            return self._add(viewer, key, spec, empty)
        shown = self._shown[key]
        if not layer.visible and not exact:
            shown.pending = spec
        else:
            self._update(layer, shown, spec, exact)
            shown.empty = empty
        return layer

    def begin_anew(self, key: str, name: str) -> None:
        """Prepare the layer of a key for something else: name and contrast are ours again."""
        layer = self.layer(key)
        if layer is None:
            return
        shown = self._shown[key]
        layer.name, shown.empty = name, True
        if shown.contrast is not None:
            shown.contrast.user_owned = False

    def remove(self, key: str, *, only_empty: bool = False) -> None:
        """Take a layer out of the viewer (``only_empty``: unless something was shown in it)."""
        layer, viewer = self.layer(key), self.viewer
        if layer is None or viewer is None or (only_empty and not self._shown[key].empty):
            return
        del self._shown[key]
        viewer.layers.remove(layer)

    def turn_to_volume(self, images: str) -> bool:
        """Turn the canvas to 3D and put the images (their key) aside; whether there was anything to do."""
        viewer = self.viewer
        if viewer is None or viewer.dims.ndisplay == 3:
            return False
        layer = self.layer(images)
        if layer is not None:
            layer.visible = False
        viewer.dims.ndisplay = 3
        return True

    def flatten(self) -> None:
        """Turn the canvas to 2D."""
        if (viewer := self.viewer) is not None:
            viewer.dims.ndisplay = 2

    def bring_forward(self, key: str) -> None:
        """Show a flat layer as it is meant to be seen, and in front."""
        viewer, layer = self.viewer, self.layer(key)
        if viewer is None or layer is None:
            return
        self.flatten()
        layer.visible = True
        viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))
        viewer.reset_view()

    def hidden(self, key: str) -> bool:
        """Tell whether a flat layer cannot be seen now (none, invisible, or the canvas is in 3D)."""
        viewer, layer = self.viewer, self.layer(key)
        return viewer is None or layer is None or not layer.visible or viewer.dims.ndisplay == 3

    def _add(self, viewer: ViewerModel, key: str, spec: LayerSpec, empty: bool) -> Layer:
        from napari import layers

        layer = getattr(layers, spec.kind.capitalize())(
            spec.data,
            name=spec.name,
            scale=spec.scale,
            translate=spec.translate,
            units=("angstrom",) * len(spec.scale),
            axis_labels=spec.axis_labels,
            metadata={METADATA_KEY: dict(spec.metadata)},
            **({} if spec.limits is None else {"contrast_limits": spec.limits}),
            **spec.looks,
        )
        contrast = SteadyContrast(layer) if spec.limits is not None else None
        self._shown[key] = _Shown(ref(layer), contrast, empty)
        if contrast is not None and spec.limits is not None:
            contrast.propose(spec.limits, exact=True)
        layer.events.visible.connect(self._on_visible(key))
        viewer.add_layer(layer)
        viewer.canvas.overlays.scale_bar.visible = True
        write_plainly(viewer)
        self.visibility_changed.emit(key)
        return layer

    def _on_visible(self, key: str) -> Callable[..., None]:
        this = ref(self)

        def on_visible(event: object = None) -> None:
            publisher = this()
            shown = publisher._shown.get(key) if publisher is not None else None
            layer = shown.layer() if shown is not None else None
            if publisher is None or shown is None or layer is None:
                return
            if layer.visible and shown.pending is not None:
                publisher._update(layer, shown, shown.pending, False)
                shown.empty = False
            publisher.visibility_changed.emit(key)

        return on_visible

    def _update(self, layer: Layer, shown: _Shown, spec: LayerSpec, exact: bool) -> None:
        shown.pending = None
        if not same_pixels(layer.data, spec.data):
            layer.data = spec.data
        for name, value in (("scale", spec.scale), ("translate", spec.translate)):
            if tuple(getattr(layer, name)) != value:
                setattr(layer, name, value)
        if shown.contrast is not None and spec.limits is not None:
            shown.contrast.propose(spec.limits, exact=exact or shown.empty)
        layer.metadata[METADATA_KEY] = {**layer.metadata.get(METADATA_KEY, {}), **spec.metadata}


def publisher_for(session: Session, viewer: ViewerModel) -> LayerPublisher:
    """Return the publisher of a session, made on first use; all its panels share it."""
    found: LayerPublisher | None = session.attachments.get(_ATTACHMENT)
    if found is None:
        found = session.attachments[_ATTACHMENT] = LayerPublisher(viewer)
    return found
