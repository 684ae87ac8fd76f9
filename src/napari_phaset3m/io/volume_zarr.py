"""Volumes as OME-Zarr (OME-NGFF 0.4, Zarr 2: what most viewers read), with binned levels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.limits import as_real, check_finite, check_memory, check_real

_SMALLEST = 128
_CHUNK = 128
_MAX_CHUNK = 1 << 30
_ANGSTROM = {"angstrom": 1.0, "nanometer": 10.0, "micrometer": 1e4, "picometer": 0.01, "millimeter": 1e7}


def _halve(data: np.ndarray) -> np.ndarray:
    """Mean over 2 x 2 x 2 voxels; an odd last plane is left out."""
    nz, ny, nx = (max(n // 2, 1) for n in data.shape)
    steps = [min(2, n) for n in data.shape]
    cut = data[: nz * steps[0], : ny * steps[1], : nx * steps[2]]
    blocks = cut.reshape(nz, steps[0], ny, steps[1], nx, steps[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def write_zarr_volume(volume: Any, path: Path, record: dict[str, Any]) -> None:
    """Write levels 0, 1, ... until one fits into 128 voxels a side."""
    import zarr

    data = np.asarray(volume.data, np.float32)
    datasets: list[dict[str, Any]] = []
    with atomic_path(path, data.nbytes) as temporary:
        group = zarr.open_group(str(temporary), mode="w", zarr_format=2)
        level = 0
        while True:
            chunks = tuple(min(n, _CHUNK) for n in data.shape)
            array = group.create_array(str(level), shape=data.shape, chunks=chunks, dtype="float32",
                                       chunk_key_encoding={"name": "v2", "separator": "/"})  # fmt: skip
            array[:] = data
            datasets.append(_dataset(volume, level))
            if max(data.shape) <= _SMALLEST or min(data.shape) < 2:
                break
            data, level = _halve(data), level + 1
        axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
        group.attrs["multiscales"] = [
            {"version": "0.4", "name": path.name, "axes": axes, "datasets": datasets}
        ]
        group.attrs["phaset3m"] = {"unit": volume.unit, "provenance": record}


def _dataset(volume: Any, level: int) -> dict[str, Any]:
    factor = 2**level
    voxel = volume.voxel_size_angstrom
    # Binning moves the centre of the first voxel by (factor - 1) / 2 voxels.
    shift = [origin + (factor - 1) / 2 * voxel for origin in volume.origin]
    return {
        "path": str(level),
        "coordinateTransformations": [
            {"type": "scale", "scale": [voxel * factor] * 3},
            {"type": "translation", "translation": shift},
        ],
    }


def read_zarr_volume(path: Path, lazy: bool = False) -> tuple[Any, float | None, dict[str, Any]]:
    """Level 0 of an OME-Zarr (0.4 or 0.5) with scale, origin and provenance."""
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r")
        attributes = json.loads(json.dumps(dict(group.attrs)))
        scales = (attributes.get("ome") or attributes)["multiscales"][0]
        entry = scales["datasets"][0]
        array: Any = group[entry["path"]]
        shape, dtype, chunks = array.shape, array.dtype, array.chunks
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise DataError(
            f"is not OME-Zarr ({type(error).__name__}: {error})".splitlines()[0], path=path
        ) from None
    check_real(array, path, "volume")
    if int(np.prod([int(n) for n in chunks], dtype=object)) * dtype.itemsize > _MAX_CHUNK:
        raise DataError(f"has chunks of {chunks} values", path=path, field="chunks")
    factor = _ANGSTROM.get(str(scales["axes"][-1].get("unit", "")) if scales.get("axes") else "")
    scale, shift = _transform(entry, path)
    if len(set(np.round(scale, 6))) > 1:
        raise DataError(f"has voxels of {scale}, which are not cubes", path=path, field="scale")
    stored = attributes.get("phaset3m", {})
    rest: dict[str, Any] = {
        "unit": str(stored.get("unit", "")),
        "metadata": {"provenance": stored.get("provenance", {}), "source": str(path)},
    }
    if shift is not None:
        rest["origin"] = tuple(value * (factor or 1.0) for value in shift)
    voxel = None if factor is None else float(scale[-1]) * factor
    if lazy:
        return array, voxel, rest
    check_memory(shape, max(dtype.itemsize, 4), path, "volume")
    return _read(array, path), voxel, rest


def _transform(entry: dict[str, Any], path: Path) -> tuple[list[float], list[float] | None]:
    scale: list[float] = [1.0] * 3
    shift: list[float] | None = None
    for item in entry.get("coordinateTransformations", []):
        values = [float(v) for v in item.get(item.get("type", ""), [])][-3:]
        if len(values) == 3 and item["type"] == "scale":
            scale = values
        elif len(values) == 3 and item["type"] == "translation":
            shift = values
    if not np.isfinite(scale).all() or min(scale) <= 0:
        raise DataError(f"is {scale}", path=path, field="scale", remedy="Give voxel_size_angstrom=...")
    return scale, shift


def _read(array: Any, path: Path) -> np.ndarray:
    try:
        stored = np.asarray(array[...])
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"a chunk cannot be read ({str(error).splitlines()[0]})", path=path) from None
    if stored.ndim > 3 and all(n == 1 for n in stored.shape[:-3]):
        stored = stored.reshape(stored.shape[-3:])
    data = as_real(stored)
    if data.ndim == 3:
        check_finite(data, path, "volume", lambda number: stored[number])
    return data
