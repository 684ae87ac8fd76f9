"""The series of a project: by reference to its file, or as images of its own where no file has them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.provenance import jsonable
from napari_phaset3m.io.raw import FIELDS
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.io.series_edits import apply_edits, series_edits
from napari_phaset3m.prepare.history import KEY, history
from napari_phaset3m.project.model import SUFFIX, SeriesEntry
from napari_phaset3m.session import SeriesSource

FOLDER = "series"


def images_digest(images: np.ndarray) -> str:
    """Hex digest of the shape and the float32 values of images `(n_tilt, n_focus, ny, nx)`."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for tilt in images:
        digest.update(np.ascontiguousarray(tilt, "<f4").data)
    return digest.hexdigest()


@dataclass
class SeriesStore:
    """Keeps images that are in no file, each set once, under its digest.

    Parameters
    ----------
    folder : Path
        Of the project.
    """

    folder: Path
    #: Metadata, by digest, that is written with the images.
    _written: dict[str, dict[str, Any]] = field(default_factory=dict)
    _digests: dict[int, tuple[Any, str]] = field(default_factory=dict)

    def digest(self, series: TiltFocalSeries) -> str:
        """Digest of a series' images; worked out once for each array."""
        owner = _owner(series.images)
        known = self._digests.get(id(owner))
        if known is not None and known[0]() is owner:
            return known[1]
        found = images_digest(series.images)
        self._digests[id(owner)] = (ref(owner), found)
        return found

    def path_of(self, digest: str) -> Path:
        """Where images of a digest are kept."""
        return self.folder / FOLDER / f"{digest[:16]}.h5"

    def keep(self, series: TiltFocalSeries) -> SeriesSource:
        """Write the images if they are not there yet; returns from where the series can be read again.

        Raises
        ------
        OutputError
        """
        digest = self.digest(series)
        path = self.path_of(digest)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            save_series(series, path)
            self._written[digest] = _metadata(series)
        elif digest not in self._written:
            self._written[digest] = _metadata(load_series(path))
        written: Any = SimpleNamespace(images=series.images, **self._written[digest])
        return SeriesSource(path, {}, series_edits(written, series) or {})

    def kept(self, entry: SeriesEntry) -> tuple[Path, dict[str, Any]]:
        """(file, metadata in it) of a series whose images are kept here."""
        return self.folder / entry.file, dict(self._written[entry.digest])

    def entry(
        self,
        series: TiltFocalSeries,
        read: TiltFocalSeries | None,
        path: Path | None,
        overrides: Mapping[str, Any],
        *,
        copy: bool = False,
    ) -> SeriesEntry:
        """Describe the series of a window for ``project.json``.

        Parameters
        ----------
        series, read, path, overrides
            As :class:`.Snapshot` has them.
        copy : bool
            Keep the images in the project even where a file has them.
        """
        edits = series_edits(read, series) if read is not None else None
        if edits is None or path is None or copy or of_other_project(path, self.folder):
            kept = self.keep(series)
            assert kept.path is not None
            path, overrides, edits = kept.path, {}, kept.edits
        full, root = path.resolve(), self.folder.resolve()
        inside = full.is_relative_to(root)
        return SeriesEntry(
            file=full.relative_to(root).as_posix() if inside else str(full),
            beside="" if inside else _beside(full, root),
            digest=self.digest(series),
            shape=series.images.shape,
            overrides=jsonable(overrides),
            edits=jsonable(edits),
            history=[jsonable(item) for item in history(series)],
        )

    def locate(self, entry: SeriesEntry) -> Path | None:
        """Where the series is now; None when it was moved."""
        if entry.inside:
            found = self.folder / entry.file
            return found if found.exists() else None
        places = [Path(entry.file)]
        if entry.beside:
            places.append(self.folder / entry.beside)
        return next((place for place in places if place.exists()), None)

    def load(
        self, entry: SeriesEntry, path: Path | None = None
    ) -> tuple[TiltFocalSeries, TiltFocalSeries, Path]:
        """(the series, the same as it was read, its file).

        Parameters
        ----------
        entry : SeriesEntry
        path : Path, optional
            Where the user says that it is now.

        Raises
        ------
        DataError
            It is not there, cannot be read, or holds other images.
        """
        place = path or self.locate(entry)
        if place is None:
            raise DataError("is not there any more", path=entry.file, remedy="Say where it is (Find series…)")
        read = load_series(place, **entry.overrides)
        if read.images.shape != entry.shape or self.digest(read) != entry.digest:
            raise DataError(
                "holds other images than the project's series",
                path=place,
                remedy="Choose the file that the project was made with",
            )
        if entry.inside:
            self._written[entry.digest] = _metadata(read)
        series = apply_edits(read, entry.edits)
        if entry.history is not None and list(history(series)) != entry.history:
            series = series.replace(metadata={**series.metadata, KEY: tuple(entry.history)})
        return series, read, place


def _metadata(series: TiltFocalSeries) -> dict[str, Any]:
    return {name: getattr(series, name) for name in FIELDS}


def _owner(images: np.ndarray) -> np.ndarray:
    while isinstance(images.base, np.ndarray):
        images = images.base
    return images


def _beside(full: Path, root: Path) -> str:
    try:
        return Path(os.path.relpath(full, root)).as_posix()
    except ValueError:  # another drive
        return ""


def of_other_project(path: Path, folder: Path) -> bool:
    """Whether images lie in the folder of a project that is not this one."""
    owner = path.parent.parent
    return path.parent.name == FOLDER and owner.suffix == SUFFIX and owner.resolve() != folder.resolve()
