"""Where the images of a series come from: file, section, and where their pixels lie in the file's image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sections:
    """The sections that images were made from, and what bin, crop, turn and alignment did to their frame.

    Attributes
    ----------
    files : tuple of str
        Full names.
    n_sections : tuple of int
        In each file, with those that are not in the series.
    image_shape : tuple of int
        (ny, nx) of the files' images.
    file : ndarray
        `(n_tilt, n_focus)` index into ``files``.
    section : ndarray
        `(n_tilt, n_focus)`, from 0.
    to_file : ndarray
        `(n_tilt, n_focus, 2, 3)`: ``[[a, b, x], [c, d, y]]`` that takes a place (x, y) of the series' image,
        in its pixels from its centre ``(n - 1) / 2``, to that in the file's image, likewise.
    pixel_ratio : float
        Pixels of the file in one of the series, by bins alone.

    Raises
    ------
    DataError
        Shapes disagree, or a number cannot be.
    """

    files: tuple[str, ...]
    n_sections: tuple[int, ...]
    image_shape: tuple[int, int]
    file: np.ndarray
    section: np.ndarray
    to_file: np.ndarray
    pixel_ratio: float = 1.0

    def __post_init__(self) -> None:
        section = self._freeze("section", np.int64, np.shape(self.section))
        if section.ndim != 2:
            raise DataError(f"has shape {section.shape}, but (n_tilt, n_focus) is needed", field="section")
        file = self._freeze("file", np.int64, section.shape)
        to_file = self._freeze("to_file", np.float64, (*section.shape, 2, 3))
        self._check_numbers(file, section)
        turns = np.linalg.det(to_file[..., :2])
        if not np.isfinite(to_file).all() or not np.all(turns > 0) or not 0 < self.pixel_ratio < np.inf:
            raise DataError("holds a transform that mirrors, squashes or is not finite", field="to_file")

    def _check_numbers(self, file: np.ndarray, section: np.ndarray) -> None:
        if not self.files or len(self.files) != len(self.n_sections):
            raise DataError(f"{len(self.n_sections)} for {len(self.files)} files", field="n_sections")
        if len(self.image_shape) != 2 or min(self.image_shape) < 1:
            raise DataError(f"is {self.image_shape}, but (ny, nx) is needed", field="image_shape")
        if file.min(initial=0) < 0 or file.max(initial=0) >= len(self.files):
            raise DataError(f"is {file.max()} of {len(self.files)} files", field="file")
        if np.any(section < 0) or np.any(section >= np.array(self.n_sections)[file]):
            raise DataError("is not among those of its file", field="section")

    def _freeze(self, name: str, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        try:
            array = np.array(np.broadcast_to(np.asarray(getattr(self, name), dtype), shape))
        except (TypeError, ValueError):
            raise DataError(f"does not fit {shape}", field=name) from None
        array.setflags(write=False)
        object.__setattr__(self, name, array)
        return array

    @property
    def shape(self) -> tuple[int, int]:
        """(n_tilt, n_focus)."""
        return int(self.section.shape[0]), int(self.section.shape[1])

    @property
    def of_tilts(self) -> np.ndarray | None:
        """`(n_tilt,)` section of each tilt where all its foci have the same in files of equal length.

        None where they have not (the foci follow each other in one file, each image is a file).
        """
        alike = len(set(self.n_sections)) == 1 and np.all(self.section == self.section[:, :1])
        whole = len(self.files) in (1, self.shape[1]) and np.all(self.file == self.file[:1])
        return np.asarray(self.section[:, 0]) if alike and whole else None

    @property
    def stack(self) -> int | None:
        """Number of sections of the file that all images come from; None where there are several."""
        return self.n_sections[0] if len(self.files) == 1 else None

    def __str__(self) -> str:
        count = self.section.size
        return f"{count} images from the {sum(self.n_sections)} sections of {self.name}"

    @property
    def name(self) -> str:
        """Of the file, or how many there are."""
        return Path(self.files[0]).name if len(self.files) == 1 else f"{len(self.files)} files"

    @property
    def is_whole_file(self) -> bool:
        """Whether the images are all sections of one file, in its order and its pixels."""
        plain = np.abs(self.to_file - np.eye(2, 3)).max(initial=0.0) < 1e-9
        alike = np.array_equal(self.section.reshape(-1), np.arange(self.section.size))
        return bool(plain and alike and self.stack == self.section.size)

    def moved(self, change: Any, pixel_ratio: float = 1.0) -> Sections:
        """The same sections, for images that were made from the series' images.

        Parameters
        ----------
        change : array_like
            `(2, 3)` or `(n_tilt, n_focus, 2, 3)`: place (x, y) in the old image from that in the new one,
            both from the centres.
        pixel_ratio : float
            Old pixels in a new one, by bins.
        """
        inner = np.asarray(change, np.float64)
        to_file = self.to_file[..., :2] @ inner
        to_file[..., 2] += self.to_file[..., 2]
        return replace(self, to_file=to_file, pixel_ratio=self.pixel_ratio * pixel_ratio)


def turn_matrix(angle_deg: float) -> np.ndarray:
    """`(2, 3)`: place (x, y) before a turn by io/orient.py from that after it, both from the centres."""
    angle = np.radians(angle_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])


def shrink_matrix(moved_px: Any, factor: float = 1.0) -> np.ndarray:
    """`(2, 3)`: place before a crop and a bin from that after them, both from the centres.

    Parameters
    ----------
    moved_px : array_like
        `(2,)` (y, x): what the crop adds to shifts, pixels before the bin.
    factor : float
        Of the bin.
    """
    y, x = moved_px
    return np.array([[factor, 0.0, -x], [0.0, factor, -y]])
