"""GIF frames, NumPy arrays and MATLAB files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.h5safe import open_h5, read_array
from napari_phaset3m.io.limits import MEMORY_SHARE, available_memory, check_memory, check_real
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.tiff import bottom_up

_AGAIN = "Is it the right file? Else copy it again"
_COMPRESSED = 15  # miCOMPRESSED


def read_gif(path: Path) -> RawSeries:
    """The frames of an animated GIF, as grey levels."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path, formats=("GIF",)) as image:
            count = int(getattr(image, "n_frames", 1))
            check_memory((count, image.height, image.width), 4, path, "frames")
            frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(image)]
    except DataError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        problem = f"cannot be read as GIF ({str(error).splitlines()[0]})"
        raise DataError(problem, path=path, remedy=_AGAIN) from None
    return RawSeries(path, bottom_up(np.stack(frames)), metadata={"format": "gif"})


def read_npy(path: Path) -> RawSeries:
    """A `.npy` array, mapped; pickled objects are refused."""
    with path.open("rb") as stream:
        if not stream.read(6).startswith((b"\x93NUMPY", b"PK\x03\x04")):
            raise DataError("is not a NumPy array file", path=path, remedy="Save one array with numpy.save")
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise DataError(
                "holds pickled Python objects, which could run code",
                path=path,
                remedy="Save a plain array with numpy.save",
            ) from None
        raise DataError(f"is truncated or damaged ({error})", path=path, remedy=_AGAIN) from None
    if not isinstance(data, np.ndarray):
        raise DataError("holds several arrays", path=path, remedy="Save one array with numpy.save")
    check_real(data, path, "array")
    return RawSeries(path, data, metadata={"format": "npy"})


def _inflated_size(path: Path, limit: int) -> int:
    """What the compressed elements of a MATLAB 5 file inflate to, without keeping any of it."""
    total = 0
    with path.open("rb") as stream:
        order = "big" if stream.read(128)[126:128] == b"MI" else "little"
        while len(tag := stream.read(8)) == 8:
            kind = int.from_bytes(tag[:4], order)  # type: ignore[arg-type]
            left = int.from_bytes(tag[4:], order)  # type: ignore[arg-type]
            if kind != _COMPRESSED:
                total += left
                stream.seek(left, 1)
                continue
            inflater = zlib.decompressobj()
            while left > 0 and (block := stream.read(min(left, 1 << 16))):
                left -= len(block)
                while block:
                    total += len(inflater.decompress(block, 1 << 20))
                    block = inflater.unconsumed_tail
                    if total > limit:
                        return total
    return total


def _load_matlab(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        start = stream.read(128)
    if start.startswith(b"MATLAB 7.3"):
        return _load_matlab_h5(path)
    from scipy.io import loadmat

    limit = int(MEMORY_SHARE * available_memory() / 2)
    try:
        if _inflated_size(path, limit) > limit:
            raise DataError("inflates to more than the free memory", path=path, field="array")
        values: dict[str, Any] = loadmat(path, simplify_cells=True)
    except DataError:
        raise
    except Exception as error:  # scipy lets zlib, struct and type errors through
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"cannot be read as MATLAB file ({reason})", path=path, remedy=_AGAIN) from None
    return values


def _load_matlab_h5(path: Path) -> dict[str, Any]:
    import h5py

    values: dict[str, Any] = {}
    with open_h5(path) as file:

        def visit(group: Any, prefix: str, depth: int) -> None:
            for key in list(group)[:64]:
                if isinstance(group.get(key, getlink=True), h5py.HardLink) and not key.startswith("#"):
                    item = group[key]
                    if isinstance(item, h5py.Group) and depth < 3:
                        visit(item, f"{prefix}{key}.", depth + 1)
                    elif isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
                        array = read_array(group, key, path)
                        # MATLAB stores columns first: HDF5 sees the axes reversed.
                        values[prefix + key] = None if array is None else array.T

        visit(file, "", 0)
    return values


def _flatten(values: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and depth < 4:
            flat |= _flatten(value, f"{prefix}{key}.", depth + 1)
        elif not str(key).startswith("__"):
            flat[prefix + str(key)] = value
    return flat


def read_mat(path: Path) -> RawSeries:
    """The largest 3D array of a MATLAB file, `(ny, nx, n)`; angles and pixel size (nm) when named."""
    flat = _flatten(_load_matlab(path))
    arrays = {key: value for key, value in flat.items() if isinstance(value, np.ndarray) and value.ndim == 3}
    if not arrays:
        raise DataError(f"has no 3D array among {', '.join(flat) or 'nothing'}", path=path, field="array")
    key = max(arrays, key=lambda name: arrays[name].size)
    check_real(arrays[key], path, key)
    raw = RawSeries(path, np.moveaxis(arrays[key], -1, 0), metadata={"format": "mat", "array": key})
    for name, value in flat.items():
        word = name.rpartition(".")[2].lower()
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            continue
        if word in ("angles", "tilt", "tilts", "theta", "tilt_angles") and array.size == raw.images.shape[0]:
            raw.fields["tilt_deg"] = array.reshape(-1)
        elif word in ("pix_sz", "pixel_size_nm") and array.size == 1:
            raw.fields["pixel_size_angstrom"] = float(f"{float(array.reshape(())) * 10:.6g}")
            raw.notes.append(f"{name} taken as nanometres")
    return raw


READERS: Mapping[str, Callable[[Path], RawSeries]] = {".gif": read_gif, ".npy": read_npy, ".mat": read_mat}
