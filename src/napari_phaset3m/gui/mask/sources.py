"""The volumes that a mask can be made of: results, the live preview, files, other layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.gui.layers.publisher import METADATA_KEY
from napari_phaset3m.gui.layers.volumes import layer_name
from napari_phaset3m.io.volume import Volume, centred_origin

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import RunRecord, Session

Zyx = tuple[float, float, float]
_FILES = "mask files"
LIVE = "live"


@dataclass(frozen=True, eq=False)
class MaskSource:
    """A volume to make a mask of.

    Attributes
    ----------
    key : str
        Stays the same for as long as it is the same volume.
    name : str
    data : ndarray
        `(nz, ny, nx)`.
    voxel, origin : tuple of float
        (z, y, x), angstrom: edge of a voxel; centre of the first one.
    unit : str
    path : Path or None
        File it was read from.
    """

    key: str
    name: str
    data: np.ndarray
    voxel: Zyx
    origin: Zyx
    unit: str = "V"
    path: Path | None = None

    @property
    def live(self) -> bool:
        """Whether it changes while a run goes on."""
        return self.key == LIVE

    def centre(self) -> np.ndarray:
        """(z, y, x) of the middle of the box, angstrom."""
        return np.asarray(self.origin) + (np.asarray(self.data.shape) - 1) / 2 * np.asarray(self.voxel)


def sources(session: Session, viewer: ViewerModel) -> list[MaskSource]:
    """What there is now: newest results first, then the preview, files and layers of others."""
    found = [_of_run(record) for record in reversed(session.runs) if record.volume is not None]
    live = _preview(session)
    if live is not None:
        found.insert(0, live)
    found += session.attachments.get(_FILES, [])
    return _distinct(found + _foreign_layers(viewer))


def add_file(session: Session, volume: Volume, path: Path) -> MaskSource:
    """Keep a file that was opened; the same file replaces itself."""
    edge = (volume.voxel_size_angstrom,) * 3
    made = MaskSource(f"file:{path}", path.name, volume.data, edge, volume.origin, volume.unit, path)
    kept: list[MaskSource] = session.attachments.setdefault(_FILES, [])
    kept[:] = [made, *(other for other in kept if other.key != made.key)]
    return made


def _of_run(record: RunRecord) -> MaskSource:
    assert record.volume is not None and record.voxel_size_angstrom is not None
    return _centred(
        f"run:{record.run_id}", layer_name(record), record.volume, record.voxel_size_angstrom, record.unit
    )


def _centred(key: str, name: str, data: np.ndarray, voxel: float, unit: str) -> MaskSource:
    z, y, x = centred_origin(data.shape, voxel)
    return MaskSource(key, name, data, (voxel,) * 3, (z, y, x), unit)


def _preview(session: Session) -> MaskSource | None:
    frame = session.frame
    record = session.run(frame.run_id) if frame is not None else None
    if frame is None or record is None or record.volume is not None:
        return None
    word = "Live preview" if record.active else "Last preview"
    name = f"{word} · {layer_name(record)}"
    return _centred(LIVE, name, frame.volume, frame.voxel_size_angstrom, frame.unit)


def _foreign_layers(viewer: ViewerModel) -> list[MaskSource]:
    from napari.layers import Image

    found = []
    for layer in viewer.layers:
        if not isinstance(layer, Image) or layer.rgb or layer.ndim != 3 or layer.multiscale:
            continue
        if layer.metadata.get(METADATA_KEY, {}).get("role"):
            continue
        voxel, origin = (tuple(float(v) for v in values) for values in (layer.scale, layer.translate))
        data = layer.data
        found.append(MaskSource(f"layer:{id(layer)}", str(layer.name), data, _zyx(voxel), _zyx(origin), ""))
    return found


def _zyx(values: Any) -> Zyx:
    z, y, x = values
    return z, y, x


def _distinct(found: list[MaskSource]) -> list[MaskSource]:
    """Number names that occur more than once, so that the user can tell them apart."""
    from dataclasses import replace

    names = [source.name for source in found]
    return [
        replace(source, name=f"{source.name} ({names[: i + 1].count(source.name)})")
        if names.count(source.name) > 1
        else source
        for i, source in enumerate(found)
    ]
