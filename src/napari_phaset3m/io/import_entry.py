"""A row of an import's table, and what is to be confirmed of one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from napari_phaset3m.errors import DataError


@dataclass(frozen=True)
class ImageEntry:
    """One image.

    Attributes
    ----------
    file : Path
        Where its pixels are.
    section : int
        In the file, from 0.
    tilt_deg : float or None
        None: not known yet.
    tilt_index, focus_index : int
        Where it goes in the series; indices rise with the angle and with underfocus.
    defocus_angstrom : float or None
        Underfocus positive.
    dose : float or None
        Of this image, e/Å².
    prior_dose : float or None
        What the specimen had before it, e/Å².
    exposure_order : int or None
        0 for the image that was taken first.
    used : bool
    frames : Path or None
        The movie that the image was made from, when it is there. When ``file`` is the movie itself, the
        image is the plain sum of its frames.
    frame_range : (int, int) or None
        First and last frame of this image in a movie of several.
    is_filler : bool
        Stands in for an image that was never taken: a repeat, not used, without dose.
    shift_px : (float, float) or None
        (y, x), pixels of the file as it is.
    raw : int or None
        Which image of the plan's ``sections`` it is, tilt by tilt, where the file holds images that were made
        from others.
    """

    file: Path
    section: int = 0
    tilt_deg: float | None = None
    tilt_index: int = 0
    focus_index: int = 0
    defocus_angstrom: float | None = None
    dose: float | None = None
    prior_dose: float | None = None
    exposure_order: int | None = None
    used: bool = True
    frames: Path | None = None
    frame_range: tuple[int, int] | None = None
    is_filler: bool = False
    shift_px: tuple[float, float] | None = None
    raw: int | None = None


@dataclass(frozen=True)
class Question:
    """What a person should confirm.

    Attributes
    ----------
    field : str
        What it is about.
    text : str
        Why.
    refusal : DataError or None
        Raised on loading where it is not answered; None: it is only told then.
    """

    field: str
    text: str
    refusal: DataError | None = dataclasses.field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"
