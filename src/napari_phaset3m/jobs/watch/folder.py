"""Which files of a folder are written to their end: by polling, because network drives tell nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from napari_phaset3m.io.import_sources import IMAGE_SUFFIXES
from napari_phaset3m.io.mrc import stated_bytes as mrc_bytes

_MDOC = (".mdoc", ".idoc")
_VOLUMES = (".rec", ".map")
_MRC = (".mrc", ".st", ".ali", ".mrcs")
_TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class Stamp:
    """Size (bytes), time of change and identity of a file: when one differs, it was written."""

    size: int
    mtime_ns: int
    inode: int


def listed(folder: Path, patterns: Iterable[str]) -> dict[Path, Stamp] | None:
    """Image files and mdocs of a folder; None when it cannot be read (unplugged, unmounted)."""
    found: dict[Path, Stamp] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                suffix = Path(entry.name).suffix.lower()
                wanted = suffix in IMAGE_SUFFIXES and suffix not in _VOLUMES
                if entry.name.startswith(".") or not (wanted or suffix in _MDOC):
                    continue
                if wanted and not any(fnmatch(entry.name, pattern) for pattern in patterns):
                    continue
                try:
                    status = entry.stat()
                except OSError:  # renamed or deleted since
                    continue
                if entry.is_file():
                    found[Path(entry.path)] = Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError:
        return None
    return found


def is_mdoc(path: Path) -> bool:
    """Whether a file describes images rather than holding them."""
    return path.suffix.lower() in _MDOC


class Settling:
    """Remembers since when each file has not changed."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Stamp, float]] = {}

    def update(self, found: dict[Path, Stamp], now: float) -> None:
        """Take in what the folder holds at a time (s, any clock that only rises)."""
        kept = {}
        for path, stamp in found.items():
            known = self._seen.get(path)
            kept[path] = known if known is not None and known[0] == stamp else (stamp, now)
        self._seen = kept

    def still_s(self, path: Path, now: float) -> float:
        """For how long a file has not changed, s."""
        return now - self._seen[path][1]


def missing_bytes(path: Path, size: int) -> tuple[int, int] | None:
    """(bytes there are, bytes its header states) of an incomplete file; None when nothing is missing.

    Formats whose size is not stated up front only settle.

    Raises
    ------
    DataError
        The header cannot be.
    """
    suffix = path.suffix.lower()
    if size == 0:
        return 0, 1
    if suffix in _MRC:
        stated = mrc_bytes(path)
    elif suffix in _TIFF:
        stated = _tiff_bytes(path, size)
    else:
        return None
    return (size, stated) if stated > size else None


def _tiff_bytes(path: Path, size: int) -> int:
    """End of the last strip; one byte more than there is while the list of pages is not there."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            ends = [
                offset + count
                for page in file.pages
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            ]
    except Exception:  # tifffile lets struct and index errors through
        return size + 1
    return max(ends, default=size + 1)


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file now; None when it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
