"""Images that are left out of a reconstruction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.raw import RawSeries

#: In place of numbers of images: none is left out, whatever the file says.
NONE = "none"


def image_numbers(text: str) -> list[int]:
    """``"3,7-9"`` -> [3, 7, 8, 9].

    Raises
    ------
    ConfigError
        It is not written so.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            begin, end = int(first), int(last if dash else first)
        except ValueError:
            begin, end = 0, -1
        if begin < 0 or end < begin or end - begin > 1_000_000:
            raise ConfigError(
                f"--unused: is {text!r}. Write numbers of images from 0, e.g. 3,7-9, or none to use all"
            )
        found += range(begin, end + 1)
    return found


def is_none(unused: Any) -> bool:
    """Whether no image shall be left out, whatever the file says."""
    return isinstance(unused, str) and unused.strip() == NONE


def none_left_out_note(stated: Any, unused: Any, used: np.ndarray | None) -> list[str]:
    """The note where images are used that the file (``stated``) leaves out; none where there are none."""
    if stated is None or used is None or not is_none(unused):
        return []
    count = int(np.count_nonzero(used & ~np.broadcast_to(np.asarray(stated, bool), used.shape)))
    if not count:
        return []
    which = "1 image that the file leaves out is" if count == 1 else f"{count} that the file leaves out are"
    return [f"{which} used (--unused none)"]


def used_images(
    raw: RawSeries, used: Any, unused: str | Iterable[int] | None, shape: tuple[int, int]
) -> np.ndarray | None:
    """`(n_tilt, n_focus)` bool from what the file says and what shall be left out; None: all are used.

    Parameters
    ----------
    used : array_like or None
        As stated; anything that broadcasts to the shape.
    unused : str or iterable of int, optional
        Numbers of images from 0: all foci of the first tilt, then those of the next. "none": all are
        used, those too that the file leaves out.

    Raises
    ------
    ConfigError
        The text is neither numbers nor "none", whatever the file says.
    DataError
        The shape does not fit, there is no image of a number, or none is left.
    """
    if is_none(unused):
        return np.ones(shape, bool) if raw.fillers is None else ~raw.fillers  # these would count twice
    numbers = image_numbers(unused) if isinstance(unused, str) else list(unused or ())
    if used is None and unused is None:
        return None
    try:
        mask = np.array(np.broadcast_to(True if used is None else np.asarray(used, bool), shape))
    except ValueError:
        raise DataError(
            f"has shape {np.shape(used)}, which does not fit {shape}", path=raw.path, field="mask"
        ) from None
    if not mask.any():
        raise DataError(
            "uses no image",
            path=raw.path,
            field="used" if raw.path.suffix.lower() == ".toml" else "mask",
            remedy="Use all with --unused none (used=True in Python); phaset3m convert writes such a file",
        )
    for number in numbers:
        if not 0 <= number < mask.size:
            raise DataError(
                f"there is no image {number}: the {mask.size} images count from 0, tilt by tilt",
                path=raw.path,
                field="--unused",
                remedy="Give numbers of images, e.g. 3,7-9",
            )
        mask.flat[number] = False
    if not mask.any():
        raise DataError("leaves out all images", path=raw.path, field="--unused", remedy="Keep one at least")
    return mask


def fill_unused(values: np.ndarray, used: np.ndarray | None) -> int:
    """Put a number, in place, where unused images hold none; return how many images that were.

    Parameters
    ----------
    values : ndarray
        `(n_tilt, n_focus, ny, nx)`.
    """
    if used is None or values.dtype.kind != "f":
        return 0
    filled = 0
    for tilt, focus in np.argwhere(~used):
        image = values[tilt, focus]
        finite = np.isfinite(image)
        if not finite.all():
            image[~finite] = image[finite].mean(dtype=np.float64) if finite.any() else 1.0
            filled += 1
    return filled
