"""Image files of an import: opened lazily, read one section at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.limits import as_real, check_exists, check_real
from napari_phaset3m.io.movie_sources import TiffFrames, tiff_error
from napari_phaset3m.io.movies import open_movie
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.sidecar import look_beside
from napari_phaset3m.io.stack_axes import take_axis

#: Image files that a folder may hold; .h5 series are opened directly.
IMAGE_SUFFIXES = (
    ".mrc", ".st", ".ali", ".mrcs", ".rec", ".map", ".tif", ".tiff", ".dm3", ".dm4", ".emd", ".ser", ".hspy",
    ".eer", ".npy", ".gif", ".mat",
)  # fmt: skip
_OPEN_FILES = 4


class LazyTiff:
    """Pages of a TIFF as an array `(n, ny, nx)` that is read when it is indexed."""

    def __init__(self, path: Path) -> None:
        try:
            self._frames = TiffFrames(path)
        except DataError:
            raise
        except Exception as error:
            raise tiff_error(path, error, "header") from None
        self.shape = (self._frames.n_frames, *self._frames.image_shape)
        self.dtype, self.ndim = self._frames.dtype, 3
        self.pixel_size_angstrom = self._frames.pixel_size_angstrom

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames.read(index)


def open_images(path: Path) -> RawSeries:
    """A file's metadata, and images that are read section by section where the format allows it.

    Raises
    ------
    DataError
        Not an image file, or damaged.
    """
    from napari_phaset3m.io.series import read_raw

    found = check_exists(path)
    if found.suffix.lower() not in (".tif", ".tiff"):
        raw = read_raw(found)
        check_real(raw.images, found, "images")
        if raw.images.ndim > 3:
            raw.images = raw.images.reshape(-1, *raw.images.shape[-2:])
        return raw
    images = LazyTiff(found)
    raw = RawSeries(found, images, metadata={"format": "tiff"})
    beside = look_beside(found, images.shape)
    raw.notes += beside.notes
    raw.refused = tuple(beside.refused)
    for name in ("tilt_deg", "pixel_size_angstrom", "energy_ev", "dose_per_image", "defocus_angstrom"):
        if getattr(beside, name) is not None:
            raw.fields[name] = getattr(beside, name)
    if images.pixel_size_angstrom:
        raw.fields["pixel_size_angstrom"] = images.pixel_size_angstrom
    take_axis(raw, beside)
    return raw


class Reader:
    """Reads the image of an entry, keeping a few files open.

    Parameters
    ----------
    plan : ImportPlan
        For its size, and how its movies are read.
    """

    def __init__(self, plan: ImportPlan) -> None:
        self._plan = plan
        self._open: dict[Path, Any] = {}
        self._gain: np.ndarray | None = None

    def read(self, entry: ImageEntry) -> np.ndarray:
        """`(ny, nx)` float32, as in the file; a movie is summed.

        Raises
        ------
        DataError
            There is no such section, or it has another size than the first image.
        """
        return as_real(self.stored(entry))

    def stored(self, entry: ImageEntry) -> np.ndarray:
        """As :meth:`read`, in the type of the file."""
        image = self._sum(entry) if entry.frames == entry.file else self._section(entry)
        if image.shape != self._plan.image_shape:
            ny, nx = self._plan.image_shape
            raise DataError(f"is {image.shape[0]} x {image.shape[1]}, the first image is {ny} x {nx}",
                            path=entry.file, field=f"section {entry.section}")  # fmt: skip
        return image

    def count(self, entry: ImageEntry) -> int:
        """How many sections the file of an entry has; a movie is one image.

        Raises
        ------
        DataError
            It cannot be read.
        """
        if entry.frames == entry.file:
            return 1
        images = self._opened(entry.file)
        return 1 if images.ndim == 2 else int(images.shape[0])

    def _section(self, entry: ImageEntry) -> np.ndarray:
        images = self._opened(entry.file)
        if images.ndim == 2:
            images = images[None]
        if not 0 <= entry.section < images.shape[0]:
            raise DataError(f"section {entry.section} is not among the {images.shape[0]}", path=entry.file,
                            field="section", remedy="Sections count from 0")  # fmt: skip
        return np.asarray(images[entry.section])

    def _opened(self, path: Path) -> Any:
        if path not in self._open:
            while len(self._open) >= _OPEN_FILES:
                self._open.pop(next(iter(self._open)))
            self._open[path] = open_images(path).images
        return self._open[path]

    def _sum(self, entry: ImageEntry) -> np.ndarray:
        gain: Any = self._plan.gain if self._gain is None else None
        movie = open_movie(entry.file, gain, config=self._plan.movies, frame_range=entry.frame_range)
        if self._plan.gain is not None and self._gain is None:
            self._gain = movie.gain
        total = np.zeros(movie.image_shape, REAL)
        for image in movie.frames():
            total += image
        return total if gain is not None or self._gain is None else total * self._gain


def natural(path: Path) -> tuple[Any, ...]:
    """Sort key by which ``img2`` comes before ``img10``."""
    import re

    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", path.name)
    )


def folder_files(folder: Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """Files of a folder that are wanted, in natural order; hidden ones are skipped."""
    found = (p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file() and wanted(p))
    yield from sorted(found, key=natural)
