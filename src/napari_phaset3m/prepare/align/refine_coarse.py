"""Refine shifts and axis by the consistency of projections, from coarse to fine bands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.consistency import Moments, Window, moments, scoring_step, spectral_bases
from napari_phaset3m.prepare.align.mass import mass
from napari_phaset3m.prepare.align.signal import TiltImages, border_level

_BANDS = (0.35, 0.65, 1.0)
_STILL_PX = 5e-3
_MAX_STEP_PX = 2.0
#: A film is taken to be so thick against the radius used.
_FILM = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Where the refinement is.

    Attributes
    ----------
    shifts_px, errors_px : ndarray
        `(n_tilt, 2)` (y, x) in the given images; errors in aligned axes.
    angle_deg, angle_error_deg : float
        Of the axis.
    fraction : float
        Done part.
    beyond : bool
        The axis is not among the angles that were tried first.
    """

    shifts_px: np.ndarray
    errors_px: np.ndarray
    angle_deg: float
    angle_error_deg: float
    fraction: float = 0.0
    beyond: bool = False


def levelled(tilts: TiltImages) -> np.ndarray:
    """`(n, ny, nx)` the usable images with the level of their borders at 0."""
    images = tilts.images[tilts.usable]
    level, _ = border_level(images)
    return np.asarray(images - level[:, None, None], np.float32)


def window_for(tilts: TiltImages, shifts_px: np.ndarray, free: bool) -> Window:
    """What of the images holds the specimen at all tilts.

    Around a specimen in vacuum a disc that holds it; else as much as all images show, narrower with
    tilt as a film is.
    """
    usable = tilts.usable
    shifts = shifts_px[usable]
    ny, nx = tilts.images.shape[1:]
    room_y = max(ny / 4, ny / 2 - np.abs(shifts[:, 0]).max() - 1)
    room_x = max(nx / 4, nx / 2 - np.abs(shifts[:, 1]).max() - 1)
    angle = np.radians(tilts.tilt_deg[usable])
    if free:
        radius = min(room_x, 1.25 * _extent(tilts, shifts_px) + 4)
        return Window(np.full(angle.size, radius), room_y, radius)
    half = room_x * np.minimum(1, np.cos(angle) + _FILM * np.abs(np.sin(angle)))
    return Window(half, room_y, room_x)


def _extent(tilts: TiltImages, shifts_px: np.ndarray) -> float:
    weighed = mass(tilts.images[tilts.usable], "auto", 0.2)
    nx = weighed.shape[2]
    x = np.arange(nx) - (nx - 1) / 2
    widest = 0.0
    for profile, shift in zip(weighed.sum(1), shifts_px[tilts.usable, 1], strict=True):
        order = np.argsort(np.abs(x - shift))
        part = np.cumsum(profile[order]) / max(float(profile.sum()), 1e-12)
        widest = max(widest, float(np.abs(x - shift)[order][np.searchsorted(part, 0.98)]))
    return widest


class Problem:
    """Images, window and frequencies of the consistency in one band.

    Parameters
    ----------
    tilts : TiltImages
    shifts_px : ndarray
        `(n_tilt, 2)`; the window leaves room for them.
    free : bool
        Whether the specimen stands in vacuum.
    config : CoarseConfig
    band : float
        Part of the finest frequency.
    """

    def __init__(
        self, tilts: TiltImages, shifts_px: np.ndarray, free: bool, config: CoarseConfig, band: float
    ) -> None:
        self.images, self.count = levelled(tilts), int(tilts.usable.sum())
        self.degrees = min(config.degrees, max(3, int(0.6 * self.count)))
        self.bases = spectral_bases(tilts.tilt_deg[tilts.usable], self.degrees)
        self.window = window_for(tilts, shifts_px, free)
        length = 2 * self.window.half_y_px
        self.k = np.arange(1, max(3, int(band * config.finest_per_px * length)) + 1) / length

    def moments(self, shifts_px: np.ndarray, angle_rad: float) -> Moments:
        """Moments with the usable tilts' shifts `(n, 2)` and the axis at this angle."""
        turned = np.full(self.count, angle_rad)
        return moments(self.images, shifts_px, turned, self.window, self.k, self.degrees)


def refine(
    tilts: TiltImages, shifts_px: np.ndarray, angle_deg: float, free: bool, config: CoarseConfig
) -> Iterator[Refined]:
    """Refine all shifts from coarse to fine bands, the axis at ``angle_deg``.

    Parameters
    ----------
    tilts : TiltImages
    shifts_px : ndarray
        `(n_tilt, 2)` start (y, x).
    angle_deg : float
    free : bool
        Whether the specimen stands in vacuum.
    config : CoarseConfig

    Yields
    ------
    Refined
        After every step.
    """
    usable = tilts.usable
    shifts, angle = np.array(shifts_px, np.float64), float(np.radians(angle_deg))
    total = len(_BANDS) * config.consistency_rounds
    for number, band in enumerate(_BANDS):
        for step_number in range(config.consistency_rounds):
            problem = Problem(tilts, shifts, free, config, band)
            found = problem.moments(shifts[usable], angle)
            step = scoring_step(found, problem.bases, problem.window, problem.k)
            change = np.clip(step.shifts_px, -_MAX_STEP_PX, _MAX_STEP_PX)
            shifts[usable] += given_axes(change, angle)
            errors = np.full_like(shifts, np.nan)
            errors[usable] = step.shift_error_px
            part = (number * config.consistency_rounds + step_number + 1) / total
            yield Refined(shifts.copy(), errors, angle_deg, np.nan, part)
            if np.abs(change).max() < _STILL_PX:
                break


def given_axes(change: np.ndarray, angle_rad: float) -> np.ndarray:
    """`(n, 2)` (y, x) in aligned axes as seen in given ones."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    y, x = change[:, 0], change[:, 1]
    return np.stack((sin * x + cos * y, cos * x - sin * y), -1)
