"""Refine shifts and axis by the consistency of projections, from coarse to fine bands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.consistency import Window, moments, scoring_step, spectral_bases
from napari_phaset3m.prepare.align.mass import mass
from napari_phaset3m.prepare.align.signal import TiltImages, border_level

_BANDS = (0.35, 0.65, 1.0)
_STILL_PX = 2e-3
_MAX_STEP_PX = 2.0
_MAX_TURN_DEG = 1.0
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
    """

    shifts_px: np.ndarray
    errors_px: np.ndarray
    angle_deg: float
    angle_error_deg: float
    fraction: float = 0.0


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


def refine(
    tilts: TiltImages, shifts_px: np.ndarray, angle_deg: float, free: bool, config: CoarseConfig
) -> Iterator[Refined]:
    """Refine all shifts, and the axis where ``config.axis`` says so.

    Parameters
    ----------
    tilts : TiltImages
    shifts_px : ndarray
        `(n_tilt, 2)` start (y, x).
    angle_deg : float
        Start.
    free : bool
        Whether the specimen stands in vacuum.
    config : CoarseConfig

    Yields
    ------
    Refined
        After every step.
    """
    usable = tilts.usable
    images, degrees = levelled(tilts), tilts.tilt_deg[usable]
    count = min(config.degrees, max(3, int(0.6 * usable.sum())))
    bases = spectral_bases(degrees, count)
    shifts, angle = np.array(shifts_px, np.float64), np.radians(angle_deg)
    total = len(_BANDS) * config.consistency_rounds
    for number, band in enumerate(_BANDS):
        for step_number in range(config.consistency_rounds):
            window = window_for(tilts, shifts, free)
            length = 2 * window.half_y_px
            k = np.arange(1, max(3, int(band * config.finest_per_px * length)) + 1) / length
            found = moments(images, shifts[usable], np.full(usable.sum(), angle), window, k, count)
            step = scoring_step(found, bases, window, k, turn=config.axis and number > 0)
            change = np.clip(step.shifts_px, -_MAX_STEP_PX, _MAX_STEP_PX)
            cos, sin = np.cos(angle), np.sin(angle)
            shifts[usable] += np.stack(
                (sin * change[:, 1] + cos * change[:, 0], cos * change[:, 1] - sin * change[:, 0]), -1
            )
            angle += float(np.clip(step.turn_rad, -np.radians(_MAX_TURN_DEG), np.radians(_MAX_TURN_DEG)))
            errors = np.full_like(shifts, np.nan)
            errors[usable] = step.shift_error_px
            part = (number * config.consistency_rounds + step_number + 1) / total
            error_deg = float(np.degrees(step.turn_error_rad))
            yield Refined(shifts.copy(), errors, float(np.degrees(angle)), error_deg, part)
            if np.abs(change).max() < _STILL_PX and abs(step.turn_rad) < 1e-4:
                break
