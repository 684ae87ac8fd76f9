"""Put images back that a local refinement can no longer reach.

Gauss-Newton follows a shift only within about half the finest feature. An image that
starts farther away fits somewhere else and stays there; the peak of its cross-correlation
with what the volume predicts tells where it belongs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.precision import Array
from napari_phaset3m.reconstruct.problem import Problem

#: Farthest move, as a fraction of the image; nearest that is no matter for Gauss-Newton, pixels.
FARTHEST, NEAREST_PX = 0.15, 0.9


class Relocate:
    """A :class:`..reconstruct.refine.Hook` that moves images by whole pixels.

    Parameters
    ----------
    schedule : Schedule
        After which sweeps it acts; by default after the second of each sampling, when the volume
        is there but few wrong images have left their mark on it.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.schedule = schedule or Schedule(start=1, stop=2)

    def active(self, sweep: int) -> bool:
        """By the schedule."""
        return self.schedule.active(sweep)

    def refine(self, method: Any, problem: Problem, volume: Array) -> None:
        """See :class:`..reconstruct.refine.Hook`."""
        seen = (problem.weight > 0) | problem.held_out
        inner = problem.pixel_weight
        for tilt in np.flatnonzero(seen.any(1)):
            predicted = asnumpy(method.predict(volume, int(tilt)))
            for focus in np.flatnonzero(seen[tilt]):
                dx, dy = peak(predicted[focus] * inner, problem.images[tilt, focus] * inner)
                if max(abs(dx), abs(dy)) > NEAREST_PX:
                    problem.shifts_px[tilt, focus] += (dy, dx)


def peak(reference: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """Whole pixels along both axes by which ``image`` is moved against ``reference``.

    Parameters
    ----------
    reference, image : ndarray
        `(n0, n1)`.
    """
    spectra = [np.fft.rfft2(a - a.mean()) for a in (reference, image)]
    correlation = np.fft.irfft2(spectra[1] * np.conj(spectra[0]), s=reference.shape)
    axes = [np.fft.fftfreq(n) for n in reference.shape]
    near = (np.abs(axes[0])[:, None] <= FARTHEST) & (np.abs(axes[1])[None] <= FARTHEST)
    where = np.unravel_index(np.argmax(np.where(near, correlation, -np.inf)), correlation.shape)
    return tuple(float(axis[i] * n) for axis, i, n in zip(axes, where, reference.shape, strict=True))  # type: ignore[return-value]
