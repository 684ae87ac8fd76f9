"""The images of a watched folder that can be used: each read once, checked, and kept small."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_config import ImportConfig, binned_shape, shrink
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_sources import open_images
from napari_phaset3m.io.limits import as_real, is_finite, what_is_wrong
from napari_phaset3m.io.mdoc import read_mdoc
from napari_phaset3m.io.sidecar import mdoc_beside
from napari_phaset3m.jobs.watch.folder import Stamp

_SAME_PIXEL = 1e-3


@dataclass(eq=False)
class Taken:
    """A file that was looked into."""

    stamp: Stamp
    sections: int = 0
    pixel_size_angstrom: float | None = None
    #: Why the whole file is left out.
    refused: str = ""
    #: Why a section is left out.
    bad: dict[int, str] = field(default_factory=dict)


class Shelf:
    """What was read so far.

    Parameters
    ----------
    size_px : int
        Images are binned to at most so many pixels.
    """

    def __init__(self, size_px: int) -> None:
        self._size = size_px
        self._images: dict[tuple[Path, int], np.ndarray] = {}
        self._digests: dict[bytes, tuple[Path, int]] = {}
        self.taken: dict[Path, Taken] = {}
        self.shape: tuple[int, int] | None = None
        self.config = ImportConfig()

    def forget(self, path: Path) -> None:
        """Drop a file and its images."""
        self.taken.pop(path, None)
        self._drop(path, 0)
        if not any(not taken.refused for taken in self.taken.values()):
            self.shape = None

    def _drop(self, path: Path, first: int) -> None:
        self._images = {k: v for k, v in self._images.items() if k[0] != path or k[1] < first}
        self._digests = {d: k for d, k in self._digests.items() if k[0] != path or k[1] < first}

    def take(self, path: Path, stamp: Stamp) -> None:
        """Read what is new in a file and check it; what is wrong is kept as one line in ``taken``."""
        old = self.taken.get(path)
        grown = old is not None and not old.refused and old.stamp.inode == stamp.inode
        grown = grown and old is not None and stamp.size > old.stamp.size
        kept = old if grown and old is not None else Taken(stamp)
        self._drop(path, kept.sections)
        kept.stamp = stamp
        self.taken[path] = kept
        try:
            self._read(path, kept)
        except (DataError, OSError, MemoryError) as error:
            self._drop(path, 0)
            kept.refused, kept.sections, kept.bad = reason(error, path), 0, {}

    def _read(self, path: Path, taken: Taken) -> None:
        raw = open_images(path)
        images = raw.images[None] if raw.images.ndim == 2 else raw.images
        self._check_kind(path, images.shape[1:], raw.fields.get("pixel_size_angstrom"), taken)
        for section in range(taken.sections, images.shape[0]):
            stored = np.asarray(images[section])
            image = as_real(stored)
            problem, small = self._check_image(image, stored, (path, section)), shrink(image, self.config)
            if not problem and not is_finite(small):
                problem = f"holds {what_is_wrong(stored)}"
            if problem:
                taken.bad[section] = problem
            else:
                self._images[path, section] = small
        taken.sections = int(images.shape[0])

    def _check_kind(self, path: Path, shape: tuple[int, ...], pixel: float | None, taken: Taken) -> None:
        """Size and pixel must be those of the images before."""
        if self.shape is None:
            self.shape = (int(shape[0]), int(shape[1]))
            self.config = ImportConfig(bin=-(-max(self.shape) // self._size))
            binned_shape(self.shape, self.config)
        elif self.shape != tuple(shape):
            raise DataError(
                f"is {shape[0]} x {shape[1]} pixels, the series has {self.shape[0]} x {self.shape[1]}",
                remedy="Does it belong to another series? Narrow the pattern",
            )
        others = (t for p, t in self.taken.items() if p != path and not t.refused)
        known = next((t.pixel_size_angstrom for t in others if t.pixel_size_angstrom), None)
        if pixel and known and abs(pixel - known) > _SAME_PIXEL * known:
            raise DataError(f"has pixels of {pixel:g} Å, the series has {known:g} Å",
                            remedy="Does it belong to another series? Narrow the pattern")  # fmt: skip
        taken.pixel_size_angstrom = pixel

    def _check_image(self, image: np.ndarray, stored: np.ndarray, where: tuple[Path, int]) -> str:
        """Why an image cannot be used; empty when it can."""
        if not is_finite(image):
            return f"holds {what_is_wrong(stored)}"
        if image.min() == image.max():
            return "all pixels are alike: was the beam off?"
        digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
        first = self._digests.setdefault(digest, where)
        if first != where:
            return f"is the same image as {first[0].name}" + (f", section {first[1]}" if first[1] else "")
        return ""

    def read(self, entry: ImageEntry) -> np.ndarray:
        """The small image of an entry `(ny, nx)` float32."""
        return self._images[entry.file, entry.section]

    def has(self, entry: ImageEntry) -> bool:
        """Whether the image of an entry was read and is sound."""
        return (entry.file, entry.section) in self._images


def reason(error: BaseException, path: Path) -> str:
    """An error about a file as one line without the file's name."""
    if not isinstance(error, DataError):
        return " ".join(str(error).split()) or type(error).__name__
    where = f"{error.field}: " if error.field else ""
    other = f"{Path(error.path).name}: " if error.path and Path(error.path).name != path.name else ""
    return f"{other}{where}{error.problem}" + (f". {error.remedy}" if error.remedy else "")


def waits_for_mdoc(path: Path) -> str:
    """Why a stack and its mdoc do not fit yet (one is written before the other); empty when they do.

    Raises
    ------
    DataError
        One of them cannot be read.
    """
    from napari_phaset3m.io.mrc import read_header

    mdoc, is_own = mdoc_beside(path)
    if mdoc is None or not is_own or path.suffix.lower() not in (".mrc", ".st", ".ali", ".mrcs"):
        return ""
    read = read_mdoc(mdoc)
    count, sections = len(read.images), read_header(path).shape[0]
    if read.is_montage or not count or count == sections:
        return ""
    return f"{mdoc.name} speaks of {count} images, the stack holds {sections}"
