"""Masks in files: a volume with values in 0..1, and its recipe in the provenance beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.volume import (
    CENTRED,
    Volume,
    load_volume,
    require_box,
    require_cubic,
    save_volume,
)

_SAMPLING = "Make it on a volume of this run (phaset3m mask VOLUME -o MASK.mrc)"


def mask_sha256(mask: np.ndarray) -> str:
    """Hex digest of a mask's shape and float32 values, whatever file it is in."""
    array = np.ascontiguousarray(mask, "<f4")
    digest = hashlib.sha256(json.dumps(array.shape).encode())
    digest.update(array.data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskFile:
    """A mask as it was read.

    Attributes
    ----------
    mask : ndarray
        `(nz, ny, nx)` float32 in 0..1, read-only.
    voxel_size_angstrom : float or None
        None when the file states none.
    origin : tuple of float
        (z, y, x) of voxel (0, 0, 0) from the rotation centre, angstrom.
    recipe : dict or None
        The steps that it was made with; None when they are not known, or when the record beside
        the file is of another mask.
    path : Path
    sha256 : str
        See :func:`mask_sha256`.
    """

    mask: np.ndarray
    voxel_size_angstrom: float | None
    origin: tuple[float, float, float]
    recipe: dict[str, Any] | None
    path: Path
    sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx)."""
        nz, ny, nx = self.mask.shape
        return int(nz), int(ny), int(nx)

    def record(self) -> dict[str, Any]:
        """What a run's provenance says about its mask."""
        return {"path": str(self.path.resolve()), "sha256": self.sha256, "recipe": self.recipe}


def load_mask(path: str | os.PathLike[str]) -> MaskFile:
    """Read a mask and, where it is known, its recipe.

    Raises
    ------
    DataError
        It cannot be read, is empty, or has values outside 0..1.
    """
    volume, voxel = _read(path)
    data = volume.data
    low, high = float(data.min()), float(data.max())
    if not (low >= 0 and high <= 1):
        problem = f"has values from {low:g} to {high:g}, not in 0..1"
        raise DataError(problem, path=path, field="mask", remedy="Make a mask of it with phaset3m mask")
    if high == 0:
        raise DataError("is empty: all values are 0", path=path, field="mask", remedy="Make another one")
    data.flags.writeable = False
    digest = mask_sha256(data)
    return MaskFile(
        mask=data,
        voxel_size_angstrom=voxel,
        origin=volume.origin,
        recipe=_recipe_beside(Path(path), volume.metadata, digest),
        path=Path(path),
        sha256=digest,
    )


def _read(path: str | os.PathLike[str]) -> tuple[Volume, float | None]:
    if Path(path).is_file():
        require_cubic(path)
    try:
        volume = load_volume(path)
    except DataError as error:
        if error.field != "voxel_size":
            raise
        # Other programs write masks without a voxel size; their shape is still checked.
        return load_volume(path, voxel_size_angstrom=1.0), None
    return volume, volume.voxel_size_angstrom


def _recipe_beside(path: Path, metadata: Mapping[str, Any], digest: str) -> dict[str, Any] | None:
    from napari_phaset3m.io.provenance import provenance_path

    record: Any = metadata.get("provenance")
    if not record:
        try:
            record = json.loads(provenance_path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
    if not isinstance(record, dict) or record.get("mask_sha256") != digest:
        return None
    recipe = record.get("recipe")
    return recipe if isinstance(recipe, dict) else None


def save_mask(
    path: str | os.PathLike[str],
    mask: np.ndarray,
    voxel_size_angstrom: float,
    *,
    origin: tuple[float, float, float] = CENTRED,
    recipe: Any = None,
    source: str | os.PathLike[str] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Write a mask and, as NAME.json beside it, how it was made.

    Parameters
    ----------
    path, mask, voxel_size_angstrom, origin
        As of a volume: a name by format, `(nz, ny, nx)` in 0..1, float, (z, y, x) angstrom.
    recipe : Recipe or dict, optional
    source : path-like, optional
        The volume that it was made from; named with its SHA-256. What else is given goes into the
        record as it is, e.g. ``volume_nm3``.

    Returns
    -------
    dict

    Raises
    ------
    OutputError
        It could not be written.
    """
    from napari_phaset3m.io.provenance import provenance

    data = np.asarray(mask, REAL)
    record = provenance(
        source, None, None, kind="mask", recipe=recipe, mask_sha256=mask_sha256(data), **extra
    )
    record["file"] = Path(path).name
    volume = Volume(data=data, voxel_size_angstrom=voxel_size_angstrom, unit="", origin=origin)
    save_volume(volume, path, record)
    return record


def check_box(mask: MaskFile, box_angstrom: tuple[float, float, float]) -> None:
    """Refuse a mask that is not of a box, given as (z, y, x) edge lengths; any sampling of it will do.

    Raises
    ------
    DataError
        The message names both sizes.
    """
    edge = mask.voxel_size_angstrom
    if edge is not None:
        require_box(mask.shape, edge, box_angstrom, path=mask.path, field="mask", remedy=_SAMPLING)


def _bounds(mask: np.ndarray, grow: int) -> tuple[slice, slice, slice]:
    cut = []
    for axis, size in enumerate(mask.shape):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if hits.size == 0:
            raise DataError("is empty", field="mask")
        cut.append(slice(max(0, int(hits[0]) - grow), min(size, int(hits[-1]) + 1 + grow)))
    z, y, x = cut
    return z, y, x


def crop_to_mask(
    volume: Volume, mask: np.ndarray, margin_angstrom: float = 0.0, *, keep_outside: bool = False
) -> Volume:
    """Cut the box around a mask out of a volume.

    Parameters
    ----------
    volume : Volume
    mask : ndarray
        `(nz, ny, nx)` in 0..1, of the volume's shape.
    margin_angstrom : float
        Added on each side, as far as the volume reaches.
    keep_outside : bool
        False: values are multiplied with the mask.

    Returns
    -------
    Volume
        Its origin is where its first voxel lies in the given volume.

    Raises
    ------
    DataError
        The shapes differ or the mask is empty.
    """
    if mask.shape != volume.shape:
        raise DataError(f"has shape {mask.shape} (z, y, x), but the volume has {volume.shape}", field="mask")
    edge = volume.voxel_size_angstrom
    box = _bounds(mask, round(margin_angstrom / edge))
    data = np.array(volume.data[box], REAL)
    if not keep_outside:
        data *= mask[box]
    z, y, x = (o + s.start * edge for o, s in zip(volume.origin, box, strict=True))
    return Volume(
        data=data, voxel_size_angstrom=edge, unit=volume.unit, origin=(z, y, x), metadata=volume.metadata
    )
