"""What motion correction needs of a movie: its frames one after the other, as often as asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.ring import local_median


class Movie(Protocol):
    """Frames of one exposure; :class:`napari_phaset3m.io.movies.Movie` is one."""

    @property
    def n_frames(self) -> int:
        """How many there are."""
        ...

    @property
    def image_shape(self) -> tuple[int, int]:
        """(ny, nx) of a frame."""
        ...

    def frames(self) -> Iterator[np.ndarray]:
        """Each frame `(ny, nx)` in turn, of any real type; may be called again."""
        ...


class ArrayMovie:
    """A movie in memory, or a memory map.

    Parameters
    ----------
    frames : ndarray
        `(n, ny, nx)`.
    """

    def __init__(self, frames: np.ndarray) -> None:
        if frames.ndim != 3 or 0 in frames.shape:
            raise DataError(f"needs shape (n, ny, nx), not {frames.shape}", field="movie")
        self._frames = frames

    @property
    def n_frames(self) -> int:
        return int(self._frames.shape[0])

    @property
    def image_shape(self) -> tuple[int, int]:
        return int(self._frames.shape[1]), int(self._frames.shape[2])

    def frames(self) -> Iterator[np.ndarray]:
        yield from self._frames


class Corrected:
    """The frames of a movie as float32, with gain applied and bad pixels replaced.

    Parameters
    ----------
    movie : Movie
    gain : ndarray or float
        What frames are multiplied with.
    bad : ndarray, optional
        `(ny, nx)` bool.
    """

    def __init__(self, movie: Movie, gain: np.ndarray | float = 1.0, bad: np.ndarray | None = None) -> None:
        self.movie, self.gain = movie, gain
        self.bad = bad if bad is not None and bad.any() else None

    def frames(self) -> Iterator[np.ndarray]:
        """Each frame, `(ny, nx)` float32, one's own to write to.

        Raises
        ------
        DataError
            A frame has another shape, or values that are not finite.
        """
        number = -1
        for number, frame in enumerate(self.movie.frames()):
            if frame.shape != self.movie.image_shape:
                raise DataError(
                    f"frame {number} has {frame.shape} pixels, the first {self.movie.image_shape}",
                    field="movie",
                )
            image = np.array(frame, REAL)
            if not np.isfinite(image.sum(dtype=np.float64)):
                raise DataError(f"frame {number} holds NaN or infinite values", field="movie")
            if not np.isscalar(self.gain):
                image *= self.gain
            if self.bad is not None:
                image[self.bad] = local_median(image, self.bad)
            yield image
        if number + 1 != self.movie.n_frames:
            raise DataError(f"has {number + 1} frames, {self.movie.n_frames} were announced", field="movie")
