"""Frames of a film: slices one after the other, a turning specimen, or sweeps of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from napari_phaset3m.analyse.figures.pictures import levels
from napari_phaset3m.analyse.figures.rays import along_rays, shaded
from napari_phaset3m.analyse.figures.surface import surface_level
from napari_phaset3m.analyse.film.marks import burn, letter_size, position_text
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError

Kind = Literal["turntable", "slices"]
Look = Literal["mip", "surface"]
Axis = Literal["z", "y", "x"]
KINDS, LOOKS, AXES = get_args(Kind), get_args(Look), get_args(Axis)
#: Tip of the specimen towards the viewer in a turntable, degrees: seen a little from above.
ELEVATION_DEG = -12.0
#: Longest edge of a volume that is turned, voxels: a picture of 240 pixels shows no more.
_LONGEST = 192
#: Smallest and largest edge of a frame, px.
SIZES = (64, 2160)


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """Frames that are drawn one by one, when they are asked for.

    Attributes
    ----------
    count : int
    size : (int, int)
        Width and height, px; both even, as H.264 needs them.
    draw : callable
        Number of a frame (from 0) to `(height, width, 3)` uint8.
    """

    count: int
    size: tuple[int, int]
    draw: Callable[[int], np.ndarray]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.draw(number) for number in range(self.count))


def stretched(film: Film, count: int) -> Film:
    """A film of so many frames: each is held, or some are passed over.

    Parameters
    ----------
    film : Film
    count : int
    """
    _check(max(film.size), count)
    return Film(count, film.size, lambda number: film.draw(number * film.count // count))


def slice_film(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    *,
    axis: Axis = "z",
    size: int = 480,
    frames: int | None = None,
    thickness_angstrom: float = 0.0,
    inverted: bool = False,
) -> Film:
    """Slices across an axis from one face of the volume to the other.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    axis : {"z", "y", "x"}
        Along which the slices follow each other; their position is told from the rotation centre.
    size : int
        Longest edge of a frame, px.
    frames : int, optional
        One for each plane when omitted; never more.
    thickness_angstrom : float
        Each frame is the mean over so much; one plane at least.
    inverted : bool
        Black on white.

    Raises
    ------
    ConfigError
        A setting makes no sense.
    """
    _check(size, frames)
    number = {"z": 0, "y": 1, "x": 2}[_one_of("axis", axis, AXES)]
    planes = np.moveaxis(volume, number, 0)
    count = len(planes) if frames is None else min(frames, len(planes))
    chosen = np.round(np.linspace(0, len(planes) - 1, count)).astype(int) if count > 1 else [len(planes) // 2]
    if not thickness_angstrom >= 0:
        raise ConfigError(f"thickness_angstrom: is {thickness_angstrom:g}. Use 0 or more, in Å")
    thick = max(1, round(thickness_angstrom / voxel_size_angstrom))
    limits = _limits(volume)
    width, height, pixel = _fitting(planes.shape[1:], voxel_size_angstrom, size)

    def draw(index: int) -> np.ndarray:
        at = int(chosen[index])
        first = at - (thick - 1) // 2
        plane = planes[max(0, first) : first + thick].mean(axis=0, dtype=REAL)
        place = (at - (len(planes) - 1) / 2) * voxel_size_angstrom
        label = position_text(axis, place, size=letter_size(height))
        return burn(_grey(plane, limits, (width, height), inverted), pixel, label, light=inverted)

    return Film(count, (width, height), draw)


def turntable_film(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    *,
    look: Look = "mip",
    size: int = 480,
    frames: int = 90,
    level: float | None = None,
    inverted: bool = False,
) -> Film:
    """One turn about the tilt axis y.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    look : {"mip", "surface"}
        Maximum along the line of sight, or the lit surface of a level.
    size : int
        Edge of a frame, px.
    frames : int
    level : float, optional
        Of the surface, in the volume's unit; Otsu's threshold when omitted.
    inverted : bool
        On white.

    Raises
    ------
    ConfigError
        A setting makes no sense, or nothing of the volume reaches the level.
    """
    _check(size, frames)
    _one_of("look", look, LOOKS)
    small, factor = _binned(np.asarray(volume, REAL), _LONGEST)
    low, high = _limits(volume)
    threshold = surface_level(small) if level is None else level
    if look == "surface" and not small.max() >= threshold:
        raise ConfigError(f"level: nothing of the volume reaches {threshold:g}. Choose a lower one")
    half = _reach(small, threshold if look == "surface" else low + 0.3 * (high - low))
    edge = size - size % 2
    pixel = 2 * half * factor * voxel_size_angstrom / edge

    def draw(index: int) -> np.ndarray:
        angle = 360.0 * index / frames
        view = (angle, ELEVATION_DEG)
        if look == "mip":
            seen, _ = along_rays(small, view, half)
            picture = _grey(seen.max(axis=0), (low, high), (edge, edge), inverted)
        else:
            bright = shaded(small, threshold, view, half_width=half).brightness
            picture = _lit(bright, (edge, edge), inverted)
        return burn(picture, pixel, f"{angle:.0f}°" if _has_degree(edge) else "", light=inverted)

    return Film(frames, (edge, edge), draw)


def sweep_film(
    pictures: Sequence[tuple[str, np.ndarray]],
    voxel_size_angstrom: float,
    *,
    size: int = 480,
    inverted: bool = False,
) -> Film:
    """The same slice after each sweep of a run, on the grey scale of the last one.

    Parameters
    ----------
    pictures : sequence of (str, ndarray)
        Label, and a slice or projection `(rows, columns)`; all of one shape.
    voxel_size_angstrom : float
    size : int
        Longest edge of a frame, px.
    inverted : bool

    Raises
    ------
    ConfigError
        There are none, or their shapes differ.
    """
    _check(size, None)
    if not pictures or len({picture.shape for _, picture in pictures}) != 1:
        raise ConfigError("pictures: a film needs one or more sweeps of one shape")
    limits = levels([pictures[-1][1]], 0.5)
    width, height, pixel = _fitting(pictures[0][1].shape, voxel_size_angstrom, size)

    def draw(index: int) -> np.ndarray:
        label, picture = pictures[index]
        grey = _grey(picture, limits, (width, height), inverted)
        return burn(grey, pixel, label, light=inverted)

    return Film(len(pictures), (width, height), draw)


def _check(size: int, frames: int | None) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise ConfigError(f"size: is {size} px. Use {SIZES[0]} to {SIZES[1]}")
    if frames is not None and not 1 <= frames <= 10_000:
        raise ConfigError(f"frames: is {frames}. Use 1 to 10000")


def _one_of(field: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ConfigError(f"{field}: is {value!r}. Use {', '.join(allowed)}")
    return value


def _limits(volume: np.ndarray) -> tuple[float, float]:
    """Black and white over the whole film, from a thinned copy."""
    stride = max(1, round(float(volume.size / 500_000) ** (1 / 3)))
    return levels([volume[::stride, ::stride, ::stride]], 0.5)


def _fitting(shape: tuple[int, ...], voxel: float, size: int) -> tuple[int, int, float]:
    """Width and height (even) of a frame whose longest edge is about ``size``, and its pixel in Å."""
    rows, columns = shape
    scale = size / max(rows, columns)
    width, height = (max(2, 2 * round(n * scale / 2)) for n in (columns, rows))
    return width, height, columns * voxel / width


def _grey(
    plane: np.ndarray, limits: tuple[float, float], size: tuple[int, int], inverted: bool
) -> np.ndarray:
    from PIL import Image

    low, high = limits
    scaled = np.clip((np.asarray(plane, REAL) - low) / (high - low), 0, 1)
    image = Image.fromarray(scaled)
    resized = np.clip(np.asarray(image.resize(size, Image.Resampling.BICUBIC)), 0, 1)
    shown = 1 - resized if inverted else resized
    return np.repeat(np.round(255 * shown).astype(np.uint8)[..., None], 3, axis=2)


def _lit(brightness: np.ndarray, size: tuple[int, int], inverted: bool) -> np.ndarray:
    """A surface in warm white on black, or in blue on white."""
    from PIL import Image

    there = np.isfinite(brightness)[..., None]
    shine = np.nan_to_num(brightness)[..., None]
    colour = np.array((0.35, 0.62, 0.86) if inverted else (0.92, 0.9, 0.86), REAL)
    paper = 1.0 if inverted else 0.0
    rgb = np.where(there, np.clip(1.25 * shine * colour, 0, 1), paper)
    image = Image.fromarray(np.round(255 * rgb).astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def _binned(volume: np.ndarray, longest: int) -> tuple[np.ndarray, int]:
    factor = -(-max(volume.shape) // longest)
    if factor == 1:
        return volume, 1
    from skimage.measure import block_reduce

    cut = volume[tuple(slice(0, n - n % factor) for n in volume.shape)]
    return np.asarray(block_reduce(cut, (factor,) * 3, np.mean), REAL), factor


def _reach(volume: np.ndarray, level: float) -> float:
    """Half the width that holds nearly all over a level from every side, voxels."""
    places = np.nonzero(volume >= level)
    whole = 0.5 * float(np.linalg.norm(volume.shape))
    if len(places[0]) == 0:
        return whole
    away = np.sqrt(sum((p - (n - 1) / 2) ** 2 for p, n in zip(places, volume.shape, strict=True)))
    return float(np.clip(1.12 * np.quantile(away, 0.995) + 1, 0.15 * whole, whole))


def _has_degree(edge: int) -> bool:
    from napari_phaset3m.analyse.film.marks import font

    return font(letter_size(edge))[1]
