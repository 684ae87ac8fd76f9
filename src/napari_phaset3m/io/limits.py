"""Refuse what cannot be held before any of it is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError

#: Share of the free memory that one file may ask for.
MEMORY_SHARE = 0.8
MAX_SECTIONS = 1_000_000
#: The angle of a tilt axis, either way, wherever it is stated or given.
MAX_AXIS_DEG = 360.0
#: Pixels count as squares up to this difference of their edges; headers are rounded.
MOST_UNEQUAL = 0.01
#: By so large a part, and more, is told.
_UNEQUAL = 0.001


#: Names of limit, use and reclaimable cache in the two versions of control groups.
_CGROUP_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def available_memory(root: str | Path = "/sys/fs/cgroup", own: str | Path = "/proc/self/cgroup") -> int:
    """Free memory in bytes: what the machine and the control groups of this process still allow.

    Parameters
    ----------
    root, own : path-like
        Where control groups are mounted and where the process's own are listed.
    """
    groups = (_free_in_group(folder, version) for folder, version in _groups(Path(root), Path(own)))
    return min([_machine_memory(), *(free for free in groups if free is not None)])


def _groups(root: Path, own: Path) -> Iterator[tuple[Path, int]]:
    """Folders that may limit this process, with their version: its own groups and those around them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    for line in [*lines, "0::/", "0:memory:/"]:
        _, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        top, version = (root / "memory", 1) if controllers else (root, 2)
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:depth]), version


def _free_in_group(folder: Path, version: int) -> int | None:
    limit_name, used_name, cache_name = _CGROUP_FILES[version]
    try:
        limit = (folder / limit_name).read_text().strip()
        if limit == "max":
            return None
        free = int(limit) - int((folder / used_name).read_text())
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            free += int(value) if name == cache_name else 0
        return max(0, free)
    except (OSError, ValueError):
        return None


def _machine_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 8 << 30


def nbytes(shape: Sequence[int], itemsize: int) -> int:
    """Bytes of an array, in Python integers that cannot overflow."""
    return math.prod(int(n) for n in shape) * int(itemsize)


def check_memory(shape: Sequence[int], itemsize: int, path: str | Path, field: str = "size") -> None:
    """Raise :class:`DataError` when an array of this shape would not fit in the free memory."""
    wanted, free = nbytes(shape, itemsize), available_memory()
    if wanted > MEMORY_SHARE * free:
        raise DataError(
            f"states {' x '.join(map(str, shape))} values, {wanted / 1e9:.1f} GB, but {free / 1e9:.1f} GB "
            "of memory are free",
            path=path,
            field=field,
            remedy="The header may be damaged; else bin the images or use a larger machine",
        )


def check_exists(path: str | os.PathLike[str]) -> Path:
    """The path, when it is a file or folder that can be read.

    Raises
    ------
    DataError
        It is not there, is empty, or may not be read.
    """
    found = Path(path)
    try:
        if not found.exists():
            raise DataError("no such file", path=found, remedy="Check the name and the folder")
        if not (found.is_file() or found.is_dir()):
            raise DataError("is neither file nor folder", path=found, remedy="Give a file")
        if found.is_file() and found.stat().st_size == 0:
            raise DataError("the file is empty", path=found, remedy="Copy it again")
        if not os.access(found, os.R_OK):
            raise DataError("may not be read", path=found, remedy="Check its permissions")
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"cannot be opened ({reason})",
            path=str(path),
            remedy="Check its name and the permissions of its folder",
        ) from None
    return found


def check_real(array: Any, path: str | Path, field: str) -> None:
    """Raise :class:`DataError` unless the values are real numbers."""
    if np.dtype(array.dtype).kind not in "fiub":
        raise DataError(f"holds {array.dtype}, not real numbers", path=path, field=field)


def is_finite(image: np.ndarray) -> bool:
    """Whether all values are finite; the sum tells most often, at a fraction of the cost."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(image.sum(dtype=np.float64)) or np.isfinite(image).all())


def as_real(values: Any) -> np.ndarray:
    """The values as float32; what is too large for it becomes infinite, which :func:`what_is_wrong` tells."""
    with np.errstate(over="ignore"):
        return np.asarray(values, REAL)


def what_is_wrong(stored: np.ndarray) -> str:
    """What an image cannot be computed with: NaN, infinity, or numbers that float32 or a sum does not hold.

    Parameters
    ----------
    stored : ndarray
        `(ny, nx)` in the type of its file.

    Returns
    -------
    str
        E.g. ``2 NaN or infinite values``; the number of values and, of those too large, the largest. Of an
        image whose values are all sound: that they grow too large when they are summed or binned.
    """
    finite = np.isfinite(stored)
    large = finite & ~np.isfinite(as_real(stored))
    bad, many = int(stored.size - finite.sum()), int(large.sum())
    if not bad and not many:
        largest = max((stored.min().item(), stored.max().item()), key=abs)
        return f"values too large to be binned, scaled or summed: {largest:.4g}"
    told = [f"{bad} NaN or infinite value{'' if bad == 1 else 's'}"] if bad else []
    if many:
        largest = max(stored[large].tolist(), key=abs)
        values = "a value" if many == 1 else f"{many} values"
        told.append(f"{values} too large for float32 (up to {np.finfo(REAL).max:.2g}): {largest:.4g}")
    return " and ".join(told)


def check_finite(
    array: np.ndarray, path: str | Path, field: str, stored: Callable[[int], np.ndarray] | None = None
) -> None:
    """Raise :class:`DataError` naming the first image that holds NaN, infinity or too large numbers.

    ``stored`` gives an image, by its number, in the type of its file; without it ``array`` is that.
    """
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1, *array.shape[-2:])
    for index, image in enumerate(flat):
        if not is_finite(image):
            raise DataError(
                f"image {index} holds {what_is_wrong(image if stored is None else stored(index))}",
                path=path,
                field=field,
                remedy=f"Repair the image, or leave it out with --unused {index} (unused=[{index}] in Python)"
                if field == "tilt_series"
                else "Replace them with numbers",
            )


def not_quite_square(y_angstrom: float, x_angstrom: float) -> list[str]:
    """The note on pixels whose lengths along y and x differ a little; none where they do not."""
    if max(y_angstrom, x_angstrom) <= (1 + _UNEQUAL) * min(y_angstrom, x_angstrom):
        return []
    return [f"pixels are not quite square: {x_angstrom:.4g} x {y_angstrom:.4g} A (x used)"]
