"""The only place that adds or updates a run's layers in a viewer.

Layers are recognised by their metadata, never by their name: users rename.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from napari_phaset3m.jobs.messages import PreviewFrame
from napari_phaset3m.session import RunRecord

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

#: Key of this package's entry in ``layer.metadata``.
METADATA_KEY = "phaset3m"
AXIS_LABELS = ("z", "y", "x")
#: The display range follows the volume once it would have to grow by this factor.
HYSTERESIS = 1.15
METHOD_LABELS = {"multislice": "PhaseT3M", "singleslice": "Single-slice", "sirt": "SIRT"}


class SteadyContrast:
    """Contrast that only widens while a run goes on, and is the user's once touched.

    Parameters
    ----------
    layer : napari Image layer
    """

    def __init__(self, layer: Image) -> None:
        self._layer = ref(layer)
        self._ours = False
        self.user_owned = False
        layer.events.contrast_limits.connect(self._on_limits)

    def _on_limits(self, event: object = None) -> None:
        if not self._ours:
            self.user_owned = True

    def propose(self, limits: tuple[float, float], *, exact: bool = False) -> None:
        """Offer new limits; taken when they would widen the range enough, or ``exact``."""
        layer = self._layer()
        if layer is None or self.user_owned:
            return
        low, high = layer.contrast_limits
        slack = (HYSTERESIS - 1) * (high - low)
        if not exact:
            limits = (
                limits[0] if limits[0] < low - slack else low,
                limits[1] if limits[1] > high + slack else high,
            )
        if limits == (low, high):
            return
        self._ours = True
        try:
            layer.contrast_limits_range = (min(0.0, limits[0]), max(limits[1] * 1.5, limits[0] + 1e-9))
            layer.contrast_limits = limits
        finally:
            self._ours = False


@dataclass
class _Shown:
    layer: ReferenceType[Image]
    contrast: SteadyContrast
    pending: PreviewFrame | None = None


class LayerPublisher:
    """Shows the volume of a run in a viewer and keeps it up to date.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Held weakly.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._shown: dict[str, _Shown] = {}

    def publish(self, record: RunRecord, frame: PreviewFrame, voxel_angstrom: float) -> str | None:
        """Show a frame; returns the layer's name, or None when nothing was shown.

        Parameters
        ----------
        record : RunRecord
        frame : PreviewFrame
        voxel_angstrom : float
            Voxel of the full-size volume: binned previews are placed on its grid.

        Notes
        -----
        A layer that the user deleted stays away until the final volume arrives;
        one that is hidden is brought up to date when it is shown again.
        """
        viewer = self._viewer()
        if viewer is None:
            return None
        layer, deleted = self._find(viewer, record.run_id)
        if layer is None:
            if deleted and not frame.final:
                return None
            return self._add(viewer, record, frame, voxel_angstrom)
        shown = self._shown[record.run_id]
        if not layer.visible and not frame.final:
            shown.pending = frame
            return str(layer.name)
        self._update(layer, shown, frame, voxel_angstrom)
        return str(layer.name)

    def turn_to_volume(self) -> bool:
        """Turn the canvas to 3D before the first volume; whether there was anything to do.

        The images would stand in the way and are put aside.
        """
        viewer = self._viewer()
        if viewer is None or self._shown or viewer.dims.ndisplay == 3:
            return False
        for layer in viewer.layers:
            if layer.metadata.get(METADATA_KEY, {}).get("role") == "images":
                layer.visible = False
        viewer.dims.ndisplay = 3
        return True

    def layer_of(self, run_id: str) -> Image | None:
        """The layer of a run, if it is in the viewer."""
        viewer = self._viewer()
        return None if viewer is None else self._find(viewer, run_id)[0]

    def _find(self, viewer: ViewerModel, run_id: str) -> tuple[Image | None, bool]:
        shown = self._shown.get(run_id)
        if shown is None:
            return None, False
        layer = shown.layer()
        if layer is None or layer not in viewer.layers:
            return None, True
        return layer, False

    def _add(self, viewer: ViewerModel, record: RunRecord, frame: PreviewFrame, voxel_angstrom: float) -> str:
        from napari.layers import Image

        first = not self._shown
        if first:
            self.turn_to_volume()
        layer = Image(
            frame.volume,
            name=layer_name(record),
            colormap="gray",
            rendering="mip",
            contrast_limits=frame.limits,
            units=("angstrom",) * 3,
            axis_labels=AXIS_LABELS,
            metadata={METADATA_KEY: frame_metadata(record, frame)},
            **placement(frame.voxel_size_angstrom, voxel_angstrom),
        )
        shown = _Shown(ref(layer), SteadyContrast(layer))
        self._shown[record.run_id] = shown
        layer.events.visible.connect(self._show_pending(record.run_id, voxel_angstrom))
        viewer.add_layer(layer)
        if first:
            viewer.reset_view()
        return str(layer.name)

    def _show_pending(self, run_id: str, voxel_angstrom: float) -> Callable[..., None]:
        this = ref(self)

        def on_visible(event: object = None) -> None:
            publisher = this()
            shown = publisher._shown.get(run_id) if publisher is not None else None
            layer = shown.layer() if shown is not None else None
            if publisher is None or shown is None or layer is None or not layer.visible:
                return
            if shown.pending is not None:
                publisher._update(layer, shown, shown.pending, voxel_angstrom)

        return on_visible

    def _update(self, layer: Image, shown: _Shown, frame: PreviewFrame, voxel_angstrom: float) -> None:
        shown.pending = None
        if layer.data is not frame.volume:
            layer.data = frame.volume
        for name, value in placement(frame.voxel_size_angstrom, voxel_angstrom).items():
            if tuple(getattr(layer, name)) != value:
                setattr(layer, name, value)
        shown.contrast.propose(frame.limits, exact=frame.final)
        mine = dict(layer.metadata.get(METADATA_KEY, {}))
        mine.update(stage="final" if frame.final else "running", sweep=frame.sweep, unit=frame.unit)
        mine["voxel_size_angstrom"] = frame.voxel_size_angstrom
        layer.metadata[METADATA_KEY] = mine


def layer_name(record: RunRecord) -> str:
    """What the layer of a run is called at first."""
    series = record.series_name.rsplit(".", 1)[0]
    label = METHOD_LABELS.get(record.config.method, record.config.method)
    return f"{label} · {series}" if series else label


def frame_metadata(record: RunRecord, frame: PreviewFrame) -> dict[str, Any]:
    """The ``metadata["phaset3m"]`` entry: which run, which stage, which settings."""
    return {
        "run_id": record.run_id,
        "role": "volume",
        "stage": "final" if frame.final else "running",
        "sweep": frame.sweep,
        "method": record.config.method,
        "series": record.series_name,
        "unit": frame.unit,
        "voxel_size_angstrom": frame.voxel_size_angstrom,
        "config": record.config.model_dump(mode="json"),
    }


def placement(voxel_angstrom: float, full_voxel_angstrom: float) -> dict[str, tuple[float, float, float]]:
    """Scale and translation that put a binned volume onto the full one.

    The centre of a bin of b voxels lies (b - 1)/2 full voxels from the centre of
    its first one. Distances in angstrom.
    """
    shift = (voxel_angstrom - full_voxel_angstrom) / 2
    return {"scale": (voxel_angstrom,) * 3, "translate": (shift,) * 3}


def import_for_display() -> None:
    """Import what napari needs at its first 3D picture: a second that the window would stand still."""
    for name in ("scipy.spatial.transform", "scipy.ndimage", "napari.layers"):
        import_module(name)
