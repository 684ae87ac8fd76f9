"""The layer of a run's volume: empty at the start, live while it runs, full size at the end."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.gui.canvas.opengl import preview_voxels
from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, LayerPublisher, LayerSpec
from napari_phaset3m.io.volume import centred_origin
from napari_phaset3m.jobs.frames import display_limits
from napari_phaset3m.reconstruct.methods.registry import METHODS

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.jobs.messages import PreviewFrame
    from napari_phaset3m.session import RunRecord

AXIS_LABELS = ("z", "y", "x")
METHOD_LABELS = {name: entry.label.partition(" (")[0] for name, entry in METHODS.items()}
#: Roles of layers that hide a volume in 3D.
_IN_THE_WAY = ("images", "volume", "absorption", "volume file")
#: By how much the lower display limit lies below the data, as a part of the range: not to be seen.
_BELOW = 1e-6


def publish_frame(publisher: LayerPublisher, record: RunRecord, frame: PreviewFrame) -> str | None:
    """Show a frame of a run; returns the layer's name, or None when nothing was shown.

    Parameters
    ----------
    publisher : LayerPublisher
    record : RunRecord
    frame : PreviewFrame

    Notes
    -----
    A layer that the user deleted stays away until the final volume arrives.
    """
    spec = frame_spec(record, frame)
    first = not publisher.has(record.run_id)
    if first:
        turn_to_volume(publisher)
    alone = _alone(publisher)
    layer = publisher.show(record.run_id, spec, exact=frame.final, revive=frame.final)
    if first and alone:
        publisher.go_to()
        publisher.reset_view()
    return None if layer is None else str(layer.name)


def absorption_key(run_id: str) -> str:
    """Under which the publisher knows the absorptive part of a run."""
    return f"{run_id}:absorption"


def publish_absorption(publisher: LayerPublisher, record: RunRecord) -> str | None:
    """Show the absorptive part of a finished run over its volume; returns the layer's name."""
    data, voxel = record.absorption, record.voxel_size_angstrom
    if data is None or voxel is None:
        return None
    spec = LayerSpec(
        data=data,
        name=f"Absorption · {layer_name(record)}",
        axis_labels=AXIS_LABELS,
        **placement(data.shape, voxel),
        metadata=_metadata(record, "final", len(record.sweeps), record.unit, voxel) | {"role": "absorption"},
        limits=display_limits(data),
        # Put aside: over a noisy volume, or on a light canvas, its glow hides what matters.
        looks={
            "colormap": "inferno",
            "rendering": "mip",
            "blending": "additive",
            "opacity": 0.5,
            "visible": False,
        },
    )
    layer = publisher.show(absorption_key(record.run_id), spec, exact=True)
    return None if layer is None else str(layer.name)


def publish_empty(publisher: LayerPublisher, record: RunRecord, series: TiltFocalSeries) -> list[Layer]:
    """Put a run's layer in before it starts: making one takes longer than a running run may be held up.

    Returns the layers of earlier runs that were hidden for it.
    """
    full, voxel = expected_volume(series, record.config)
    factor = -(-max(full) // preview_voxels())
    shape = tuple(max(1, n // factor) for n in full)
    spec = LayerSpec(
        data=np.zeros(shape, np.float32),
        name=layer_name(record),
        axis_labels=AXIS_LABELS,
        **placement(shape, voxel * factor),
        metadata=_metadata(record, "empty", None, "V", voxel * factor),
        limits=(0.0, 1.0),
        looks={"colormap": "gray", "rendering": "mip"},
    )
    alone = _alone(publisher)
    aside = _put_aside_earlier(publisher, record.run_id)
    publisher.show(record.run_id, spec, empty=True)
    if alone:
        publisher.go_to()
        publisher.reset_view()
    return aside


def _put_aside_earlier(publisher: LayerPublisher, run_id: str) -> list[Layer]:
    """Hide the volumes of other runs: a surface or projection of two in the same place is neither."""
    aside = []
    for layer in () if publisher.viewer is None else publisher.viewer.layers:
        told = layer.metadata.get(METADATA_KEY, {})
        other = told.get("role") in ("volume", "absorption") and told.get("run_id") != run_id
        if other and layer.visible:
            layer.visible = False
            aside.append(layer)
    return aside


def show_opened(publisher: LayerPublisher, opened: Layer) -> None:
    """Frame a volume that was opened; in 3D put aside what lies in the same place and would hide it."""
    viewer = publisher.viewer
    if viewer is None:
        return
    if viewer.dims.ndisplay == 3:
        for layer in viewer.layers:
            told = layer.metadata.get(METADATA_KEY, {})
            if layer is not opened and (told.get("role") in _IN_THE_WAY or told.get("kind") == "volume"):
                layer.visible = False
    publisher.reset_view()


def turn_to_volume(publisher: LayerPublisher) -> bool:
    """Turn the canvas to 3D, the images put aside; whether there was anything to do."""
    return publisher.turn_to_volume(IMAGES)


def _alone(publisher: LayerPublisher) -> bool:
    """Whether no volume is there yet, so that the view has to be framed for the first one."""
    viewer = publisher.viewer
    return viewer is not None and all(layer.ndim < 3 for layer in viewer.layers)


def expected_volume(
    series: TiltFocalSeries, config: ReconstructionConfig
) -> tuple[tuple[int, int, int], float]:
    """((nz, ny, nx), voxel in angstrom) that a run is going to have, to within a voxel."""
    pixel = series.pixel_size_angstrom
    voxel = config.voxel_angstrom or pixel
    ny, nx = (max(1, round(n * pixel / voxel)) for n in series.image_shape)
    nz = nx if config.depth_angstrom is None else max(1, round(config.depth_angstrom / voxel))
    return (nz, ny, nx), voxel


def frame_spec(record: RunRecord, frame: PreviewFrame) -> LayerSpec:
    """A frame as a layer with the rotation centre at 0."""
    stage = "final" if frame.final else "running"
    return LayerSpec(
        data=frame.volume,
        name=layer_name(record),
        axis_labels=AXIS_LABELS,
        **placement(frame.volume.shape, frame.voxel_size_angstrom),
        metadata=_metadata(record, stage, frame.sweep, frame.unit, frame.voxel_size_angstrom),
        limits=opaque(frame.limits),
        looks={"colormap": "gray", "rendering": "mip"},
    )


def opaque(limits: tuple[float, float]) -> tuple[float, float]:
    """Display limits with which napari's projection has no holes.

    It is see-through where nothing along a ray lies above the lower limit: with positivity, wherever all
    voxels are 0, which a light theme shows as white specks.
    """
    low, high = limits
    return low - _BELOW * (high - low), high


def layer_name(record: RunRecord) -> str:
    """What the layer of a run is called at first."""
    series = record.series_name.rsplit(".", 1)[0]
    label = METHOD_LABELS.get(record.config.method, record.config.method)
    return f"{label} · {series}" if series else label


def _metadata(record: RunRecord, stage: str, sweep: int | None, unit: str, voxel: float) -> dict[str, Any]:
    """Which run, which stage, which settings."""
    return {
        "run_id": record.run_id,
        "role": "volume",
        "stage": stage,
        "sweep": sweep,
        "method": record.config.method,
        "series": record.series_name,
        "unit": unit,
        "voxel_size_angstrom": voxel,
        "config": record.config.model_dump(mode="json"),
    }


def placement(shape: tuple[int, ...], voxel_angstrom: float) -> dict[str, Any]:
    """Scale and translation, angstrom, that put the rotation centre at 0, as files have it.

    Binned and full-size volumes then lie on each other (to half a full voxel where bins do not divide it).
    """
    return {"scale": (voxel_angstrom,) * 3, "translate": centred_origin(shape, voxel_angstrom)}


def import_for_display() -> None:
    """Import what napari needs at its first 3D picture: a second that the window would stand still."""
    for name in ("scipy.spatial.transform", "scipy.ndimage", "napari.layers"):
        import_module(name)
