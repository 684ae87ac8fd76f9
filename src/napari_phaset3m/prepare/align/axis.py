"""A wide search for the angle of the tilt axis, before it is refined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.consistency import moments, scoring_step, spectral_bases, spectrum
from napari_phaset3m.prepare.align.refine_coarse import levelled, window_for
from napari_phaset3m.prepare.align.signal import TiltImages

_STEP_DEG = 1.0
_DEGREES = 6
_FINEST = 0.15


@dataclass(frozen=True, slots=True)
class Axis:
    """The angle of the axis in the given images, and half the step of the search, degrees."""

    angle_deg: float
    error_deg: float


def search_axis(
    tilts: TiltImages, shifts_px: np.ndarray, free: bool, config: CoarseConfig
) -> Iterator[float | Axis]:
    """Try angles in steps of a degree on either side of the stated one.

    At each the shifts are refined by two steps of :mod:`.consistency`, and the part of the signal that
    contradicts is compared; the best and its neighbours give a parabola.

    Yields
    ------
    float, at last Axis
        The done part.
    """
    usable = tilts.usable
    images = levelled(tilts)
    bases = spectral_bases(tilts.tilt_deg[usable], min(_DEGREES, int(usable.sum()) - 1))
    window = window_for(tilts, shifts_px, free)
    length = 2 * window.half_y_px
    k = np.arange(1, max(4, int(_FINEST * length)) + 1) / length
    count = int(np.ceil(config.axis_range_deg / _STEP_DEG))
    angles = np.linspace(-config.axis_range_deg, config.axis_range_deg, 2 * count + 1)
    cost = np.empty(angles.size)
    for i, angle in enumerate(np.radians(angles)):
        shifts, turned = shifts_px[usable].copy(), np.full(int(usable.sum()), angle)
        cos, sin = np.cos(angle), np.sin(angle)
        for _ in range(2):
            found = moments(images, shifts, turned, window, k, len(bases))
            d = np.clip(scoring_step(found, bases, window, k, turn=False).shifts_px, -3, 3)
            shifts += np.stack((sin * d[:, 1] + cos * d[:, 0], cos * d[:, 1] - sin * d[:, 0]), -1)
        found = moments(images, shifts, turned, window, k, len(bases))
        cost[i] = contradiction(found.value, bases)
        yield (i + 1) / angles.size
    best = int(cost.argmin())
    fine = 0.0
    if 0 < best < angles.size - 1:
        bend = cost[best - 1] - 2 * cost[best] + cost[best + 1]
        fine = 0.5 * (cost[best - 1] - cost[best + 1]) / bend if bend > 0 else 0.0
    step = float(angles[1] - angles[0])
    yield Axis(float(angles[best]) + fine * step, step / 2)


def contradiction(value: np.ndarray, bases: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Part of the moments' power that is no projection of one object, each k weighing by its power."""
    signal = spectrum(value, bases).signal
    rest = np.abs(value - signal) ** 2
    return float(rest.sum() / (np.abs(value) ** 2).sum())
