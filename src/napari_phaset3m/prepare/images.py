"""Going through the images of a series, and what their values mean in electrons."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.events import Progress

#: Seconds between two Progress events, at most about this.
EVERY_S = 0.3
Value = TypeVar("Value")


def each_image(series: TiltFocalSeries) -> Iterator[tuple[int, int]]:
    """(tilt, focus) of each image, tilt by tilt."""
    for tilt in range(series.n_tilt):
        for focus in range(series.n_focus):
            yield tilt, focus


def paced(
    series: TiltFocalSeries, text: str, start: float = 0.0, stop: float = 1.0
) -> Iterator[Progress | tuple[int, int]]:
    """Go through the images: yields (tilt, focus) or, when it is time to tell, a Progress.

    Parameters
    ----------
    series : TiltFocalSeries
    text : str
        What is being done.
    start, stop : float
        Part of the step that this pass is, 0..1.
    """
    total, told = series.n_tilt * series.n_focus, -np.inf
    for number, place in enumerate(each_image(series)):
        now = time.monotonic()
        if now - told >= EVERY_S:
            told = now
            part = start + (stop - start) * number / total
            yield Progress(f"{text}: image {number + 1} of {total}", part)
        yield place


def changed_images(
    series: TiltFocalSeries,
    text: str,
    change: Callable[[np.ndarray, int, int], np.ndarray],
    shape: tuple[int, int] | None = None,
) -> Generator[Progress, None, np.ndarray]:
    """Make a new stack image by image; a generator of Progress that returns the stack.

    Parameters
    ----------
    series : TiltFocalSeries
    text : str
    change : callable
        `(image (ny, nx), tilt, focus)` -> new image.
    shape : tuple of int, optional
        (ny, nx) of the new images, when it differs.

    Returns
    -------
    ndarray
        `(n_tilt, n_focus, ny, nx)` float32 (``stack = yield from changed_images(...)``).
    """
    images = np.empty((series.n_tilt, series.n_focus, *(shape or series.image_shape)), REAL)
    for item in paced(series, text):
        if isinstance(item, Progress):
            yield item
        else:
            images[item] = change(series.images[item], *item)
    return images


def electrons_per_unit(series: TiltFocalSeries, tilt: int, focus: int) -> float | None:
    """Electrons per pixel at intensity 1, from the dose; None where no dose is stated."""
    if series.dose_per_image is None:
        return None
    number = float(series.dose_per_image[tilt, focus]) * series.pixel_size_angstrom**2
    return number if number > 0 else None


def scale_of(series: TiltFocalSeries) -> np.ndarray:
    """`(n_tilt, n_focus)`: by what the file's values were divided to give the images (1: unknown)."""
    value = np.asarray(series.metadata.get("scale", 1.0), np.float64)
    try:
        return np.array(np.broadcast_to(value, series.images.shape[:2]))
    except ValueError:  # written by an older step for other images
        return np.ones(series.images.shape[:2])


def with_scale(series: TiltFocalSeries, scale: np.ndarray) -> Mapping[str, Any]:
    """The metadata with another ``scale`` `(n_tilt, n_focus)`."""
    plain: Any = scale if np.ptp(scale) else float(scale.flat[0])
    return {**series.metadata, "scale": plain}


def telling(parts: Generator[float, None, Value], at: Progress) -> Generator[Progress, None, Value]:
    """Go through the parts of one image's work, telling where the step is after each; returns the result."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            value: Value = end.value
            return value
        yield at


def finished(parts: Generator[Any, None, Value]) -> Value:
    """The result of work in parts, done in one go."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            value: Value = end.value
            return value
