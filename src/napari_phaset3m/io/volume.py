"""Volumes in and out: MRC, TIFF, HDF5 and OME-Zarr, with voxel size, origin, unit and provenance."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.install import install_command, pip_install
from napari_phaset3m.core.precision import to_real
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.limits import check_exists

#: An origin that puts the volume's centre, (n - 1) / 2, at 0: where the specimen rotates.
CENTRED = (math.nan, math.nan, math.nan)
#: Boxes that differ by less than this part count as the same.
SAME_BOX = 0.01
#: What writes and reads each format.
_LIBRARIES = {"mrc": "mrcfile", "tiff": "tifffile", "h5": "h5py", "zarr": "zarr"}
_SUFFIXES = ".mrc, .tif, .h5 or .ome.zarr"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """A 3D map.

    Parameters
    ----------
    data : ndarray
        `(nz, ny, nx)` float32; the beam travels toward +z.
    voxel_size_angstrom : float
    unit : str
        ``"V"`` for an electrostatic potential; ``""`` when not known.
    origin : tuple of float
        (z, y, x) of the centre of voxel (0, 0, 0), angstrom from the rotation centre. When not given,
        the rotation centre is at `(n - 1) / 2` on each axis.
    metadata : mapping
        Provenance and anything else worth keeping.

    Raises
    ------
    DataError
        Not three-dimensional, empty, a value is too large for float32, or the voxel size is not positive.
    """

    data: np.ndarray
    voxel_size_angstrom: float
    unit: str = "V"
    origin: tuple[float, float, float] = CENTRED
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or 0 in self.data.shape:
            raise DataError(f"needs shape (nz, ny, nx), not {tuple(self.data.shape)}", field="volume")
        if not np.isfinite(self.voxel_size_angstrom) or self.voxel_size_angstrom <= 0:
            raise DataError(f"is {self.voxel_size_angstrom}, but must be positive", field="voxel_size")
        if isinstance(self.data, np.ndarray):
            object.__setattr__(self, "data", to_real(self.data, "volume"))
        object.__setattr__(self, "voxel_size_angstrom", float(self.voxel_size_angstrom))
        stated = not any(math.isnan(value) for value in self.origin)
        z, y, x = self.origin if stated else centred_origin(self.data.shape, self.voxel_size_angstrom)
        object.__setattr__(self, "origin", (float(z), float(y), float(x)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx)."""
        nz, ny, nx = self.data.shape
        return int(nz), int(ny), int(nx)


def centred_origin(shape: Sequence[int], voxel_size_angstrom: float) -> tuple[float, ...]:
    """Where the centre of the first voxel lies, angstrom, when the middle `(n - 1) / 2` lies at 0."""
    return tuple(-(n - 1) / 2 * voxel_size_angstrom for n in shape)


def require_box(
    shape: Sequence[int],
    voxel_size_angstrom: float,
    box_angstrom: tuple[float, float, float],
    *,
    path: str | os.PathLike[str],
    field: str,
    remedy: str = "Resample or crop it to that box",
) -> None:
    """Refuse a volume that is not of a box, given as (z, y, x) edge lengths; any sampling of it will do.

    Raises
    ------
    DataError
        The message names both sizes.
    """
    found = tuple(n * voxel_size_angstrom for n in shape)
    # Half a voxel: another sampling of the same box is rounded to whole voxels.
    edge = voxel_size_angstrom
    if all(abs(a - b) <= max(SAME_BOX * b, edge / 2) for a, b in zip(found, box_angstrom, strict=True)):
        return
    have, want = (" x ".join(f"{v:.4g}" for v in size) for size in (found, box_angstrom))
    raise DataError(
        f"is of {have} Å (z, y, x; {' x '.join(map(str, shape))} voxels of {voxel_size_angstrom:g} Å), "
        f"but the reconstruction is of {want} Å",
        path=path,
        field=field,
        remedy=remedy,
    )


def volume_format(path: str | os.PathLike[str]) -> str | None:
    """``"mrc"``, ``"tiff"``, ``"h5"`` or ``"zarr"`` by the suffix; None for another one."""
    name = os.fspath(path).lower().rstrip("/")
    if name.endswith((".mrc", ".map", ".rec", ".st", ".ali", ".mrcs")):
        return "mrc"
    if name.endswith((".tif", ".tiff")):
        return "tiff"
    if name.endswith((".h5", ".hdf5")):
        return "h5"
    return "zarr" if name.endswith(".zarr") else None


def require_cubic(path: str | os.PathLike[str]) -> None:
    """Refuse an MRC file whose header states unequal voxel edges: volumes here have one.

    Raises
    ------
    DataError
    """
    if volume_format(path) != "mrc":
        return
    with Path(path).open("rb") as stream:
        block = stream.read(216)
    if len(block) < 52:  # no header at all: the reader says so
        return
    order = ">" if block[212:213] == b"\x11" else "<"
    intervals, cell = np.frombuffer(block[28:40], order + "i4"), np.frombuffer(block[40:52], order + "f4")
    if (intervals <= 0).any() or not np.isfinite(cell).all() or (cell <= 0).any():
        return
    x, y, z = (float(value) for value in cell / intervals)
    if max(x, y, z) / min(x, y, z) > 1 + SAME_BOX:
        raise DataError(
            f"has voxels of {x:g} x {y:g} x {z:g} Å (x, y, z)",
            path=path,
            field="voxel_size",
            remedy="Resample it to cubic voxels, or state one size (voxel_size_angstrom=..., --voxel)",
        )


def require_library(path: str | os.PathLike[str]) -> None:
    """Refuse a name whose format needs a library that is not installed; any other name passes.

    Raises
    ------
    OutputError
        With the command that installs it.
    """
    kind = volume_format(path)
    library = _LIBRARIES.get(kind or "", "math")
    if importlib.util.find_spec(library) is None:
        command = install_command("zarr") if kind == "zarr" else pip_install(library)
        raise OutputError(
            f"{os.fspath(path)}: needs {library}, which is not installed. Install it: {command}"
        )


def load_volume(
    path: str | os.PathLike[str], *, voxel_size_angstrom: float | None = None, lazy: bool = False
) -> Volume:
    """Read a volume.

    Parameters
    ----------
    path : path-like
        MRC, TIFF, HDF5 or OME-Zarr, chosen by the suffix.
    voxel_size_angstrom : float, optional
        Replaces what the file states; needed when it states none.
    lazy : bool
        Leave the data on disk where the format allows (MRC: memory map, OME-Zarr: zarr array).

    Raises
    ------
    DataError
        Damaged, not a volume, or without a voxel size.
    """
    from napari_phaset3m.io import volume_files, volume_zarr

    found = check_exists(path)
    readers = {
        "mrc": volume_files.read_mrc_volume,
        "tiff": volume_files.read_tiff_volume,
        "h5": volume_files.read_h5_volume,
        "zarr": volume_zarr.read_zarr_volume,
    }
    kind = volume_format(path)
    if kind is None:
        raise DataError("is no volume format that is known", path=path, remedy=f"Use {_SUFFIXES}")
    if kind == "mrc" and voxel_size_angstrom is None:
        require_cubic(found)
    data, voxel, rest = readers[kind](found, lazy)
    return _checked(data, voxel if voxel_size_angstrom is None else voxel_size_angstrom, rest, path)


def _checked(data: Any, voxel: float | None, rest: Mapping[str, Any], path: str | os.PathLike[str]) -> Volume:
    if voxel is None or voxel == 0:
        raise DataError(
            "is not in the file" if voxel is None else "is zero",
            path=path,
            field="voxel_size",
            remedy="Give voxel_size_angstrom=... in Python or --voxel (angstrom)",
        )
    try:
        return Volume(data=data, voxel_size_angstrom=voxel, **rest)
    except DataError as error:
        raise DataError(error.problem, path=path, field=error.field, remedy=error.remedy) from None


def save_volume(
    volume: Volume, path: str | os.PathLike[str], provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write a volume, atomically; the suffix chooses MRC, TIFF, HDF5 or OME-Zarr.

    Parameters
    ----------
    volume : Volume
    path : path-like
    provenance : mapping, optional
        Written beside the volume as ``NAME.json`` and into its labels or attributes.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    OutputError
        The suffix is unknown, NAME.json is the record of something else, or it could not be
        written; nothing half-written is left.
    """
    from napari_phaset3m.io import volume_files, volume_zarr
    from napari_phaset3m.io.provenance import check_record, jsonable, write_provenance

    writers = {
        "mrc": volume_files.write_mrc_volume,
        "tiff": volume_files.write_tiff_volume,
        "h5": volume_files.write_h5_volume,
        "zarr": volume_zarr.write_zarr_volume,
    }
    kind = volume_format(path)
    require_library(path)
    if kind is None:
        raise OutputError(f"{os.fspath(path)}: cannot be written (unknown suffix). Use {_SUFFIXES}")
    if provenance is not None:
        check_record(path)
    given = provenance if provenance is not None else volume.metadata.get("provenance", {})
    record: dict[str, Any] = jsonable(given)
    writers[kind](volume, Path(path), record)
    if provenance is not None:
        write_provenance(path, record)
    return Path(path)
