"""Open HDF5 files of unknown origin without links, foreign filters or unbounded allocation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import check_exists, check_memory, check_real, nbytes

_KNOWN_FILTERS = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    32000: "lzf",
}
_SMALL = 64 << 20
#: deflate cannot do better than about 1032 : 1 in one pass.
_MAX_EXPANSION = 1100
_MAX_CHUNK = 1 << 30


@contextmanager
def open_h5(path: str | Path) -> Iterator[Any]:
    """Open for reading; every failure inside becomes a one-line :class:`DataError`."""
    import h5py

    found = check_exists(path)
    if not found.is_file() or not h5py.is_hdf5(found):
        raise DataError("is not an HDF5 file, or its start is damaged", path=path,
                        remedy="Is it the right file? Else copy it again")  # fmt: skip
    try:
        with h5py.File(found, "r") as file:
            yield file
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = f"cannot be read, the file is truncated or damaged ({reason})"
        raise DataError(problem, path=path, remedy="Copy the file again") from None


def dataset(group: Any, key: str, path: str | Path) -> Any | None:
    """The dataset under ``key``, checked but not read; None when there is none."""
    import h5py

    link = group.get(key, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.ExternalLink):
        raise DataError(
            "is a link into another file", path=path, field=key, remedy="Copy the data into this file"
        )
    item = group[key]
    if not isinstance(item, h5py.Dataset):
        return None
    if item.external or item.is_virtual:
        raise DataError(
            "is stored in another file", path=path, field=key, remedy="Copy the data into this file"
        )
    if item.dtype.hasobject:
        text = h5py.check_string_dtype(item.dtype)
        if text is None or item.size != 1:
            raise DataError("holds objects, not numbers", path=path, field=key)
    _check_filters(item, path, key)
    return item


def _check_filters(item: Any, path: str | Path, key: str) -> None:
    plist = item.id.get_create_plist()
    codes = [int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())]
    foreign = [code for code in codes if code not in _KNOWN_FILTERS]
    if foreign:
        raise DataError(
            f"is compressed with HDF5 filter {foreign[0]}, which needs a plug-in",
            path=path,
            field=key,
            remedy="Save it again with gzip or without compression",
        )
    if len(codes) != len(set(codes)):
        raise DataError("is compressed several times over", path=path, field=key)
    size = nbytes(item.shape, item.dtype.itemsize)
    if item.chunks and nbytes(item.chunks, item.dtype.itemsize) > min(_MAX_CHUNK, max(4 * size, _SMALL)):
        raise DataError(f"has chunks of {item.chunks} values, far more than it holds", path=path, field=key)
    stored = int(item.id.get_storage_size())
    if size > _SMALL and size > _MAX_EXPANSION * max(stored, 1):
        raise DataError(
            f"states {size / 1e9:.1f} GB but stores {stored / 1e6:.3f} MB",
            path=path,
            field=key,
            remedy="The file is truncated or not what it says",
        )


def read_array(group: Any, key: str, path: str | Path, max_size: int | None = None) -> np.ndarray | None:
    """The numbers under ``key``, or None. Checked against memory before they are read."""
    item = dataset(group, key, path)
    if item is None:
        return None
    check_real(item, path, key)
    if item.shape is None or 0 in item.shape:
        raise DataError("is empty", path=path, field=key)
    if max_size is not None and math.prod(item.shape) > max_size:
        raise DataError(
            f"has {math.prod(item.shape)} values, at most {max_size} make sense", path=path, field=key
        )
    check_memory(item.shape, item.dtype.itemsize, path, key)
    return np.asarray(item[()])


def read_text(group: Any, key: str, path: str | Path) -> str | None:
    """A string from the attribute or scalar dataset ``key``, or None."""
    value = group.attrs.get(key)
    if value is None:
        item = dataset(group, key, path)
        value = None if item is None else item[()]
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def check_tree(path: str | Path, max_items: int = 20_000) -> None:
    """Check every dataset of a file that another library is going to read.

    Raises
    ------
    DataError
        A link out of the file, a foreign filter, objects, or far more items than make sense.
    """
    import h5py

    with open_h5(path) as file:
        waiting, seen = [(file, "")], 0
        while waiting:
            group, where = waiting.pop()
            for key in group:
                seen += 1
                if seen > max_items or where.count("/") > 24:
                    raise DataError(f"holds more than {max_items} items", path=path)
                link = group.get(key, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    continue
                if not isinstance(link, h5py.ExternalLink) and isinstance(group[key], h5py.Group):
                    waiting.append((group[key], f"{where}/{key}"))
                elif not _is_text(group, key, link):
                    dataset(group, key, path)


def _is_text(group: Any, key: str, link: Any) -> bool:
    """Velox keeps lists of JSON texts; h5py reads those without running anything."""
    import h5py

    if isinstance(link, h5py.ExternalLink):
        return False
    item = group[key]
    return isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype) is not None
