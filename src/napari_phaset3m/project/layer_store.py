"""Layers of the user's own in a project: TIFF for images and labels, NumPy files for points and shapes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.project.model import LayerEntry
from napari_phaset3m.project.snapshot import LayerData

FOLDER = "layers"
_PIXELS = ("image", "labels")


def save_layers(folder: Path, layers: tuple[LayerData, ...]) -> tuple[LayerEntry, ...]:
    """Write what is not there yet; returns how ``project.json`` names them.

    Raises
    ------
    OutputError
    """
    return tuple(
        LayerEntry(
            key=layer.key, kind=layer.kind, name=layer.name, state=dict(layer.state),
            metadata=dict(layer.metadata), file="" if layer.data is None else _save(folder, layer),
            path=layer.path,
        )
        for layer in layers
    )  # fmt: skip


def _save(folder: Path, layer: LayerData) -> str:
    parts = layer.data if isinstance(layer.data, list) else [np.asarray(layer.data)]
    digest = hashlib.sha256(layer.kind.encode())
    for part in parts:
        digest.update(repr((part.shape, part.dtype.str)).encode())
        digest.update(np.ascontiguousarray(part).data)
    name = digest.hexdigest()[:16]
    pixels = layer.kind in _PIXELS and len(parts) == 1
    path = folder / FOLDER / (f"{name}.tif" if pixels else f"{name}.npz")
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path, sum(part.nbytes for part in parts)) as temporary:
            if pixels:
                import tifffile

                tifffile.imwrite(temporary, parts[0], photometric="minisblack", metadata=None)
            else:
                np.savez(temporary, *parts)
    return f"{FOLDER}/{path.name}"


def load_layer(folder: Path, entry: LayerEntry) -> Any:
    """The data of a layer: an array, or a list of them for shapes.

    Raises
    ------
    DataError
        The file is damaged or not there.
    """
    if entry.path:
        return load_volume(entry.path).data
    path = folder / entry.file
    try:
        if path.suffix == ".tif":
            import tifffile

            return tifffile.imread(path)
        with np.load(path, allow_pickle=False) as stored:
            parts = [stored[name] for name in stored.files]
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot be read ({reason}): layer {entry.name} is left out", path=path) from None
    return parts if entry.kind in ("shapes", "surface") else parts[0]


def forget_layers(folder: Path, kept: tuple[LayerEntry, ...]) -> None:
    """Delete files of layers that are gone."""
    names = {Path(entry.file).name for entry in kept if entry.file}
    root = folder / FOLDER
    for path in root.iterdir() if root.is_dir() else ():
        if path.name not in names and path.suffix in (".tif", ".npz"):
            path.unlink(missing_ok=True)
