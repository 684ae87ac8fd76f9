"""Images that are left out of a reconstruction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.raw import RawSeries


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
            raise ConfigError(f"--unused: is {text!r}. Write numbers of images from 0, e.g. 3,7-9")
        found += range(begin, end + 1)
    return found


def used_images(
    raw: RawSeries, used: Any, unused: str | Iterable[int] | None, shape: tuple[int, int]
) -> np.ndarray | None:
    """`(n_tilt, n_focus)` bool from what the file says and what shall be left out; None: all are used.

    Parameters
    ----------
    used : array_like or None
        As stated; anything that broadcasts to the shape.
    unused : str or iterable of int, optional
        Numbers of images from 0: all foci of the first tilt, then those of the next.

    Raises
    ------
    DataError
        The shape does not fit, there is no image of a number, or none is left.
    """
    if used is None and unused is None:
        return None
    try:
        mask = np.array(np.broadcast_to(True if used is None else np.asarray(used, bool), shape))
    except ValueError:
        raise DataError(
            f"has shape {np.shape(used)}, which does not fit {shape}", path=raw.path, field="mask"
        ) from None
    if not mask.any():
        raise DataError("uses no image", path=raw.path, field="mask", remedy="Set it to 1 for one at least")
    numbers = image_numbers(unused) if isinstance(unused, str) else list(unused or ())
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
