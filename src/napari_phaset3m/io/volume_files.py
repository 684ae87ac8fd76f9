"""Volumes as one file: MRC, TIFF (ImageJ hyperstack), HDF5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.h5safe import open_h5, read_array, read_text
from napari_phaset3m.io.h5write import write_h5_file
from napari_phaset3m.io.limits import as_real, check_finite, check_memory, check_real
from napari_phaset3m.io.provenance import package_version

#: data, voxel size (None: not stated), the other fields of a Volume
Read = tuple[Any, float | None, dict[str, Any]]
_UNIT_LABEL = "unit="
_PROGRAM = "napari-phaset3m"


def _real(data: np.ndarray, path: Path, field: str = "volume") -> np.ndarray:
    check_real(data, path, field)
    if data.ndim == 3:
        check_memory(data.shape, 4, path, field)
        stored, data = data, as_real(data)
        check_finite(data, path, field, lambda number: stored[number])
    return data


def _origin(value: Any, path: Path) -> tuple[float, float, float]:
    try:
        z, y, x = (float(item) for item in np.asarray(value, float).reshape(-1))
    except (TypeError, ValueError):
        raise DataError("must be three numbers (z, y, x; angstrom)", path=path, field="origin") from None
    return z, y, x


def _provenance(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(
            f"is no JSON ({error})", path=path, field="provenance", remedy="Delete it, or copy the file again"
        ) from None


def read_mrc_volume(path: Path, lazy: bool = False) -> Read:
    """MRC of any mode; voxel size and, where it is stated, origin from the header."""
    from napari_phaset3m.io.mrc import map_mrc

    data, header = map_mrc(path)
    labels = header.labels
    unit = next((part[len(_UNIT_LABEL) :] for label in labels for part in label.split()
                 if part.startswith(_UNIT_LABEL)), "")  # fmt: skip
    rest: dict[str, Any] = {"unit": unit, "metadata": {"labels": labels, "source": str(path)}}
    # Zeros are what other programs write when they know no origin; this one always states it.
    if any(header.origin) or any(label.startswith(_PROGRAM) for label in labels):
        rest["origin"] = header.origin
    return (data if lazy else _real(data, path)), header.pixel_size_angstrom, rest


def is_volume_label(label: str) -> bool:
    """Whether a label of an MRC header is the one that :func:`write_mrc_volume` writes."""
    return label.startswith(_PROGRAM) and f" {_UNIT_LABEL}" in f"{label} "


def write_mrc_volume(volume: Any, path: Path, record: dict[str, Any]) -> None:
    """MRC2014 mode 2 with voxel size, origin and labels."""
    import mrcfile

    inputs = [item["sha256"][:16] for item in record.get("inputs", []) if "sha256" in item]
    lines = [f"{_PROGRAM} {package_version()} {_UNIT_LABEL}{volume.unit}"]
    if inputs:
        lines.append(f"input sha256 {' '.join(inputs)}")
    if "seed" in record or "device" in record:
        lines.append(f"seed {record.get('seed')} device {record.get('device')}")
    with atomic_path(path, volume.data.nbytes + 1024) as temporary, mrcfile.new(temporary) as mrc:
        mrc.set_data(np.ascontiguousarray(volume.data, np.float32))
        mrc.set_volume()
        mrc.voxel_size = volume.voxel_size_angstrom
        z, y, x = volume.origin
        mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z = x, y, z
        for line in lines:
            mrc.add_label(line.encode("ascii", "replace").decode()[:56])


def read_tiff_volume(path: Path, lazy: bool = False) -> Read:
    """TIFF stack; voxel size from ImageJ or OME metadata."""
    from napari_phaset3m.io.tiff import read_stack

    data, info = read_stack(path)
    stored = info.get("phaset3m", {})
    rest = {"unit": str(stored.get("unit", "")), "metadata": {**stored, "source": str(path)}}
    if stored.get("origin"):
        rest["origin"] = _origin(stored["origin"], path)
    return _real(data, path), info.get("pixel_size_angstrom"), rest


def write_tiff_volume(volume: Any, path: Path, record: dict[str, Any]) -> None:
    """ImageJ hyperstack: float32, spacing and unit set, provenance in the description."""
    import tifffile

    from napari_phaset3m.io.tiff import bottom_up

    stored = {"unit": volume.unit, "origin": list(volume.origin), "provenance": record,
              "voxel_size_angstrom": volume.voxel_size_angstrom}  # fmt: skip
    per_pixel = 1.0 / volume.voxel_size_angstrom
    with atomic_path(path, volume.data.nbytes) as temporary:
        tifffile.imwrite(
            temporary,
            bottom_up(np.asarray(volume.data, np.float32)),
            imagej=True,
            resolution=(per_pixel, per_pixel),
            metadata={
                "axes": "ZYX",
                "spacing": volume.voxel_size_angstrom,
                "unit": "angstrom",
                "phaset3m": json.dumps(stored),
            },
        )


def read_h5_volume(path: Path, lazy: bool = False) -> Read:
    """HDF5 with dataset `volume` (or the only 3D one) and attribute or dataset `voxel_size`."""
    with open_h5(path) as file:
        names = [key for key in ("volume", "potential", "object", "recon") if key in file]
        if not names and "tilt_series" in file:
            raise DataError("is a tilt series, not a volume", path=path, field="volume",
                            remedy="Reconstruct it first (phaset3m reconstruct)")  # fmt: skip
        if not names:
            names = [key for key in list(file)[:64] if getattr(file.get(key), "ndim", 0) == 3]
        if not names:
            raise DataError("has no 3D dataset", path=path, field="volume")
        data = read_array(file, names[0], path)
        attributes = file[names[0]].attrs
        voxel = attributes.get("voxel_size_angstrom")
        if voxel is None:
            voxel = next((v for k in ("voxel_size", "pixel_size")
                          if (v := read_array(file, k, path, max_size=3)) is not None), None)  # fmt: skip
        text = read_text(file, "provenance", path) or "{}"
        rest: dict[str, Any] = {
            "unit": str(attributes.get("unit", "")),
            "metadata": {"provenance": _provenance(text, path), "source": str(path)},
        }
        if "origin" in attributes:
            rest["origin"] = _origin(attributes["origin"], path)
    size = None if voxel is None else float(np.asarray(voxel, float).reshape(-1)[0])
    return _real(data, path) if data is not None else None, size, rest


def write_h5_volume(volume: Any, path: Path, record: dict[str, Any]) -> None:
    """HDF5: dataset `volume` with voxel size, unit and origin as attributes."""
    with write_h5_file(path, volume.data.nbytes) as file:
        item = file.create_dataset("volume", data=np.asarray(volume.data, np.float32))
        item.attrs["voxel_size_angstrom"] = volume.voxel_size_angstrom
        item.attrs["unit"] = volume.unit
        item.attrs["origin"] = volume.origin
        item.attrs["axes"] = ["z", "y", "x"]
        # A dataset: attributes are limited to 64 kB.
        file.create_dataset("provenance", data=json.dumps(record))
