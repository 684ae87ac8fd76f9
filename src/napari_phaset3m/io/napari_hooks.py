"""napari's reader and writer: layers in angstrom, with their metadata.

A tilt/focal stack is shown 4D `(tilt, focus, y, x)`: the tilt axis has no unit and the other three
angstrom, because napari's scale bar only survives beside a 3D volume when the last axes agree in unit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError

LayerData = tuple[Any, dict[str, Any], str]
_PATTERNS = (
    ".mrc", ".st", ".ali", ".rec", ".mrcs", ".map", ".h5", ".hdf5", ".toml", ".zarr", ".mdoc", ".dm3", ".dm4",
    ".emd", ".ser", ".hspy",
)  # fmt: skip
_SAMPLE = 200_000
_UNITS = {
    "angstrom": 1.0, "å": 1.0, "nanometer": 10.0, "nm": 10.0, "micrometer": 1e4, "um": 1e4, "µm": 1e4,
    "picometer": 0.01, "millimeter": 1e7, "meter": 1e10,
}  # fmt: skip


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """The reader for these paths, or None when they are not ours."""
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not paths or not all(os.fspath(item).lower().rstrip("/").endswith(_PATTERNS) for item in paths):
        return None
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read series and volumes as image layers."""
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    return [_read_one(Path(item)) for item in paths]


def _is_volume(path: Path) -> bool:
    from napari_phaset3m.io.volume import volume_format

    kind = volume_format(path)
    if kind == "h5":
        from napari_phaset3m.io.h5safe import open_h5

        with open_h5(path) as file:
            return "tilt_series" not in file
    return kind == "zarr"


def _read_one(path: Path) -> LayerData:
    from napari_phaset3m.io.says_volume import says_volume
    from napari_phaset3m.io.series import read_raw
    from napari_phaset3m.io.volume import load_volume

    if _is_volume(path):
        return volume_layer(load_volume(path), path.name)
    raw = read_raw(path)
    is_mrc_stack = raw.metadata.get("format") == "mrc" and raw.images.shape[0] > 1
    if is_mrc_stack and (raw.fields.get("tilt_deg") is None or says_volume(path)):
        return volume_layer(
            load_volume(path, voxel_size_angstrom=raw.fields.get("pixel_size_angstrom", 1.0)), path.name
        )
    return _series_layer(raw, path)


def contrast_limits(data: Any) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles of a regular subsample, never empty."""
    shape = data.shape
    step = max(int(np.ceil((np.prod(shape, dtype=float) / _SAMPLE) ** (1 / len(shape)))), 1)
    sample = np.asarray(data[tuple(slice(None, None, min(step, n)) for n in shape)], dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, (0.5, 99.5)))
    return (low, high) if high > low else (low, low + 1.0)


def volume_layer(volume: Any, name: str) -> LayerData:
    """A volume as a 3D image layer; the rotation centre is at 0."""
    metadata = {"kind": "volume", "unit": volume.unit, **dict(volume.metadata)}
    options = {
        "name": name,
        "scale": (volume.voxel_size_angstrom,) * 3,
        "translate": volume.origin,
        "units": ("angstrom",) * 3,
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": contrast_limits(volume.data),
        "metadata": {"phaset3m": metadata},
    }
    return volume.data, options, "image"


def _series_layer(raw: Any, path: Path) -> LayerData:
    """A stack as it is on disk; energy and the like may still be missing here."""
    from napari_phaset3m.io.divide import divide
    from napari_phaset3m.io.limits import check_finite
    from napari_phaset3m.io.volume import centred_origin

    images = divide(raw, None)
    if isinstance(images, np.ndarray):
        check_finite(images, path, "tilt_series")
    pixel = raw.fields.get("pixel_size_angstrom")
    if pixel is not None and not pixel > 0:
        raise DataError(f"is {pixel:g}, but must be positive", path=path, field="pixel_size")
    size = 1.0 if pixel is None else float(pixel)
    notes = list(raw.notes)
    if pixel is None:
        notes.append("pixel size is not in the file: shown as 1 A per pixel")
    found = {
        key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in raw.fields.items()
    }
    metadata = {
        "kind": "series",
        "source": str(path),
        "pixel_size_known": pixel is not None,
        "notes": notes,
        **found,
    }
    *_, top, left = centred_origin(images.shape, size)
    options = {
        "name": path.name,
        # The focus axis stands where a volume has z: the same unit, one slider step per focus.
        "scale": (1.0, size, size, size),
        "translate": (0.0, 0.0, top, left),  # the tilt axis at 0, as in a volume
        "units": ("pixel", "angstrom", "angstrom", "angstrom"),
        "axis_labels": ("tilt", "focus", "y", "x"),
        "contrast_limits": contrast_limits(images),
        "metadata": {"phaset3m": metadata},
    }
    return images, options, "image"


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a 3D image layer as .mrc, .tif, .h5 or .ome.zarr; return what was written.

    Raises DataError or OutputError, one line each; nothing half-written is left.
    """
    from napari_phaset3m.io.volume import Volume, save_volume

    array = np.asarray(data)
    if array.ndim != 3:
        raise DataError(
            f"has {array.ndim} axes; a volume has 3",
            path=path,
            field=str(attributes.get("name", "layer")),
            remedy="Save a series with phaset3m convert or the Series panel",
        )
    scale = [float(v) for v in attributes.get("scale", (1.0,) * 3)][-3:]
    factors = [_to_angstrom(unit, path) for unit in (attributes.get("units") or ("pixel",) * 3)][-3:]
    voxels = [abs(s * f) for s, f in zip(scale, factors, strict=True)]
    if max(voxels) > 1.001 * min(voxels):
        raise DataError(f"has voxels of {voxels} A, which are not cubes", path=path, field="scale")
    shift = [float(v) for v in attributes.get("translate", (0.0,) * 3)][-3:]
    metadata = dict((attributes.get("metadata") or {}).get("phaset3m", {}))
    origin = (shift[0] * factors[0], shift[1] * factors[1], shift[2] * factors[2])
    volume = Volume(data=array, voxel_size_angstrom=voxels[0], unit=str(metadata.get("unit", "")),
                    origin=origin, metadata=metadata)  # fmt: skip
    return [os.fspath(save_volume(volume, path))]


def _to_angstrom(unit: Any, path: str) -> float:
    """Angstrom per napari (pint) unit."""
    name = str(getattr(unit, "units", unit)).lower()
    if name not in _UNITS:
        raise DataError(
            f"cannot be written: the layer's unit is {name!r}, which is no length",
            path=path,
            field="units",
            remedy="Give the layer its voxel size first, e.g. layer.scale = 0.5 and layer.units = 'angstrom'",
        )
    return _UNITS[name]
