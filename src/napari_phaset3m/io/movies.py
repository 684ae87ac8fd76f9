"""Movies: frames of one exposure, read one at a time and divided by nothing but the gain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from napari_phaset3m.config import Model, PositiveInt
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import as_real, check_exists, is_finite, what_is_wrong
from napari_phaset3m.io.movie_gain import read_gain
from napari_phaset3m.io.movie_sources import EerFrames, FrameSource, MrcFrames, TiffFrames, tiff_error

MOVIE_SUFFIXES = (".eer", ".tif", ".tiff", ".mrc", ".mrcs", ".st")
_GROUPS = 40


def whole(value: Any) -> Any:
    """A whole number that is written as text (a flag) as a number; anything else as it is."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class MovieConfig(Model):
    """How a movie and its gain reference are read."""

    eer_upsampling: Annotated[Literal[1, 2, 4], BeforeValidator(whole)] = Field(
        1,
        title="EER upsampling",
        description="Pixels per detector pixel along each side (EER); the pixel size follows",
    )
    eer_group: PositiveInt | None = Field(
        None,
        title="EER frames per fraction",
        description="Raw frames summed into one (EER); none: from the dose, else 40 fractions",
    )
    eer_group_dose: float = Field(
        0.5,
        gt=0,
        le=100,
        title="EER dose per fraction (e/Å²)",
        description="Dose of one fraction, e/Å² (EER), where the dose is known and no number is given",
    )
    gain_rotate: Annotated[Literal[0, 1, 2, 3], BeforeValidator(whole)] = Field(
        0,
        title="Gain quarter turns",
        description="Quarter turns of the gain reference, counter-clockwise on screen, before the flip",
    )
    gain_flip: Literal["none", "up-down", "left-right"] = Field(
        "none", description="Flip of the gain reference, after the turn"
    )
    gain_mode: Literal["multiply", "divide"] = Field(
        "multiply", description="Frames are multiplied by the reference (SerialEM, Gatan), or divided by it"
    )


@dataclass(frozen=True, eq=False)
class Movie:
    """Frames of one exposure; nothing of them is held.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        (n_frames, ny, nx), after grouping and upsampling.
    source_dtype : dtype
        Of the stored values; :meth:`frames` gives float32.
    dose_per_frame : float or None
        e/Å².
    pixel_size_angstrom : float or None
        Of these frames: upsampling is taken in.
    gain : ndarray or None
        `(ny, nx)` float32, by which frames are multiplied.
    group : int
        Stored frames in one of these.
    notes : tuple of str
    """

    path: Path
    shape: tuple[int, int, int]
    source_dtype: np.dtype[Any]
    dose_per_frame: float | None
    pixel_size_angstrom: float | None
    gain: np.ndarray | None
    group: int
    first: int
    notes: tuple[str, ...]
    source: FrameSource

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.shape[0]

    @property
    def image_shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.shape[1], self.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what :meth:`frames` gives: float32."""
        return np.dtype(REAL)

    @property
    def total_dose(self) -> float | None:
        """e/Å² of all frames."""
        return None if self.dose_per_frame is None else self.dose_per_frame * self.n_frames

    def frame(self, index: int) -> np.ndarray:
        """One frame `(ny, nx)` float32, with the gain applied.

        Raises
        ------
        IndexError
            There is no such frame.
        DataError
            It is damaged.
        """
        if not 0 <= index < self.n_frames:
            raise IndexError(f"frame {index} of {self.n_frames}")
        start = self.first + index * self.group
        numbers = range(start, start + self.group)
        image = np.array(as_real(self.source.read(start)))
        for number in numbers[1:]:
            with np.errstate(over="ignore", invalid="ignore"):  # told below
                image += as_real(self.source.read(number))
        if not is_finite(image):
            wrong = (frame for frame in map(self.source.read, numbers) if not is_finite(as_real(frame)))
            raise DataError(
                f"holds {what_is_wrong(next(wrong, self.source.read(start)))}",
                path=self.path,
                field=f"frame {index}",
                remedy="Copy the movie again, or leave it out",
            )
        if self.gain is not None:
            with np.errstate(over="ignore"):
                image *= self.gain
            if not is_finite(image):
                raise DataError(
                    f"makes frame {index} of {self.path.name} infinite: it is up to {self.gain.max():.4g}",
                    field="gain",
                    remedy="Give the reference of this camera, or leave it out",
                )
        return image

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Frames one by one, `(ny, nx)` float32, with the gain applied.

        Parameters
        ----------
        start, stop : int
            First frame, and the one after the last; all by default.
        """
        for index in range(*slice(start, stop).indices(self.n_frames)):
            yield self.frame(index)

    def total(self) -> np.ndarray:
        """Sum of all frames `(ny, nx)` float32, unaligned."""
        total = np.zeros(self.image_shape, REAL)
        for image in self.frames():
            total += image
        return total


def open_movie(
    path: str | os.PathLike[str],
    gain: str | os.PathLike[str] | np.ndarray | None = None,
    *,
    config: MovieConfig | None = None,
    dose: float | None = None,
    pixel_size_angstrom: float | None = None,
    frame_range: tuple[int, int] | None = None,
) -> Movie:
    """Open a movie; frames are read when they are asked for.

    Parameters
    ----------
    path : path-like
        MRC or TIFF stack of frames, or EER.
    gain : path-like or ndarray, optional
        Reference image (MRC, TIFF, ``.gain``, DM3, DM4), or a `(ny, nx)` array in the frames' orientation,
        which ``config`` turns too. Of twice or half the size it is binned or repeated (super-resolution).
    config : MovieConfig, optional
    dose : float, optional
        e/Å² of the whole movie (of ``frame_range`` when given).
    pixel_size_angstrom : float, optional
        Of the stored frames (detector pixels for EER); replaces what the file says.
    frame_range : (int, int), optional
        First and last stored frame to use, from 0 (SerialEM's ``FrameTSStartEndFrames``).

    Returns
    -------
    Movie

    Raises
    ------
    DataError
        It is no movie, is damaged, or the gain reference does not fit.
    ConfigError
        A number is out of bounds.
    """
    settings = config or MovieConfig()
    found = check_exists(path)
    source = _source(found, settings)
    notes = list(source.notes)
    first, count = _range(source, frame_range, found)
    pixel = pixel_size_angstrom or source.pixel_size_angstrom
    if pixel is not None and not pixel > 0:
        raise ConfigError(f"pixel_size_angstrom: is {pixel:g}, but must be positive")
    if dose is None and source.total_dose_px and pixel:
        dose = source.total_dose_px / pixel**2 * count / source.n_frames
        notes.append(f"dose of {dose:.3g} e/Å² from the file's total dose per pixel")
    group = _group(source, count, settings, dose, notes) if isinstance(source, EerFrames) else 1
    n_frames = count // group
    if count % group:
        notes.append(f"last {count % group} of {count} stored frames left out: groups of {group}")
    reference = None if gain is None else read_gain(gain, source.image_shape, settings, notes)
    upsampling = settings.eer_upsampling if isinstance(source, EerFrames) else 1
    return Movie(
        path=found,
        shape=(n_frames, *source.image_shape),
        source_dtype=source.dtype,
        dose_per_frame=None if dose is None else float(dose) * group / count,
        pixel_size_angstrom=None if pixel is None else float(pixel) / upsampling,
        gain=reference,
        group=group,
        first=first,
        notes=tuple(notes),
        source=source,
    )


def _source(path: Path, config: MovieConfig) -> FrameSource:
    suffix = path.suffix.lower()
    if path.is_dir() or suffix not in MOVIE_SUFFIXES:
        raise DataError("is no movie format that is known", path=path,
                        remedy=f"Known are {', '.join(MOVIE_SUFFIXES)}")  # fmt: skip
    if suffix not in (".eer", ".tif", ".tiff"):
        return MrcFrames(path)
    try:
        return EerFrames(path, config.eer_upsampling) if suffix == ".eer" else TiffFrames(path)
    except DataError:
        raise
    except Exception as error:  # tags of damaged files raise anything
        raise tiff_error(path, error, "header") from None


def _range(source: FrameSource, wanted: tuple[int, int] | None, path: Path) -> tuple[int, int]:
    """First stored frame and how many."""
    if wanted is None:
        return 0, source.n_frames
    first, last = wanted
    if not 0 <= first <= last < source.n_frames:
        raise DataError(f"frames {first} to {last} are not among the {source.n_frames} of the movie",
                        path=path, field="frames", remedy="Is it the movie of this mdoc?")  # fmt: skip
    return first, last - first + 1


def _group(source: FrameSource, count: int, config: MovieConfig, dose: float | None, notes: list[str]) -> int:
    """How many raw frames make one."""
    if config.eer_group is not None:
        if config.eer_group > count:
            raise ConfigError(f"eer_group: is {config.eer_group}, but the movie has {count} raw frames")
        return config.eer_group
    if dose is not None and dose > 0:
        group = min(max(round(config.eer_group_dose * count / dose), 1), count)
        notes.append(f"{group} raw frames to a frame, {dose * group / count:.3g} e/Å²")
        return group
    group = max(count // _GROUPS, 1)
    notes.append(f"dose is not stated: {group} raw frames to a frame, {count // group} frames")
    return group
