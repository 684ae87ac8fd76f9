"""Gain references of movies: read, turned, brought to the frames' size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import as_real, check_exists, check_memory, what_is_wrong

if TYPE_CHECKING:
    from napari_phaset3m.io.movies import MovieConfig


def read_gain(
    gain: str | os.PathLike[str] | np.ndarray, shape: tuple[int, int], config: MovieConfig, notes: list[str]
) -> np.ndarray:
    """What frames of ``shape`` are to be multiplied by, float32.

    Dead pixels of the reference (0, negative, NaN) get 0, so that they can be found and mended.

    Raises
    ------
    DataError
        It cannot be read, its size is not that of the frames, its double or its half, or a value is too
        large (small, where it divides) for float32.
    """
    path = "gain" if isinstance(gain, np.ndarray) else gain
    image = np.asarray(gain) if isinstance(gain, np.ndarray) else _read(check_exists(gain))
    if image.ndim != 2:
        raise DataError(f"has shape {image.shape}; a gain reference is one image", path=path, field="gain")
    stored = image.shape
    if np.any(np.isinf(as_real(image)) & np.isfinite(image)):
        raise DataError(f"holds {what_is_wrong(image)}", path=path, field="gain")
    image = np.rot90(as_real(image), -config.gain_rotate)  # rows run upwards: clockwise in array terms
    if config.gain_flip != "none":
        image = image[::-1] if config.gain_flip == "up-down" else image[:, ::-1]
    fitted = _fit(image, shape, notes)
    if fitted is None:
        raise _misfit(stored, shape, config.gain_rotate, path)
    image = fitted
    good = np.isfinite(image) & (image > 0)
    if not good.any():
        raise DataError("holds no positive value", path=path, field="gain")
    safe = np.where(good, image, REAL(1))
    with np.errstate(over="ignore"):
        result = safe if config.gain_mode == "multiply" else 1 / safe
    if not np.isfinite(result).all():
        raise DataError(f"holds {safe.min():.4g}, by which frames cannot be divided", path=path, field="gain")
    bad = int(good.size - np.count_nonzero(good))
    if bad:
        notes.append(f"{bad} dead pixels of the gain reference are set to 0")
    return np.ascontiguousarray(np.where(good, result, 0), dtype=REAL)


def _fit(image: np.ndarray, shape: tuple[int, int], notes: list[str]) -> np.ndarray | None:
    """A reference of the double, half, fourfold or quarter size brought to that of the frames; else None."""
    for factor in (1, 2, 4):
        if image.shape == (shape[0] * factor, shape[1] * factor):
            if factor > 1:
                notes.append(f"gain reference binned by {factor}")
            blocks = image.reshape(shape[0], factor, shape[1], factor)
            return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64), REAL)
        if shape == (image.shape[0] * factor, image.shape[1] * factor):
            notes.append(f"gain reference repeated by {factor}")
            return image.repeat(factor, axis=0).repeat(factor, axis=1)
    return None


def _misfit(
    stored: tuple[int, ...], shape: tuple[int, int], turns: int, path: str | os.PathLike[str]
) -> DataError:
    """What is wrong with the size of a reference, and the turn that mends it where one does."""
    turned = f", turned by {turns} quarter turn{'s' * (turns > 1)}" if turns % 2 else ""
    other = stored if turns % 2 else stored[::-1]
    fits = any(
        other == (shape[0] * n, shape[1] * n) or shape == (other[0] * n, other[1] * n) for n in (1, 2, 4)
    )
    remedy = "It fits with gain_rotate " + ("0 or 2" if turns % 2 else "1 or 3")
    return DataError(
        f"is {stored[0]} x {stored[1]}{turned}, the frames are {shape[0]} x {shape[1]} pixels (y, x)",
        path=path,
        field="gain",
        remedy=remedy if fits else "Give the reference of this camera and mode: no quarter turn makes it fit",
    )


def _read(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff", ".gain"):
        from napari_phaset3m.io.tiff import read_stack

        image = read_stack(path)[0]
    elif suffix in (".dm3", ".dm4"):
        from napari_phaset3m.io.vendor import read_vendor

        image = read_vendor(path).images
    else:
        from napari_phaset3m.io.mrc import map_mrc

        image = map_mrc(path)[0]
    image = np.squeeze(image)
    check_memory(image.shape, 8, path, "gain")
    return np.asarray(image)
