"""The dose of each image, told by the number of its electrons against what the volume predicts.

For counts of Poisson statistics the likeliest scale of a prediction is the ratio of sums,
``sum(I) / sum(P)``; unlike the mean of an image alone (``prepare normalise``) it allows for what the
specimen scatters out of the field.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.gauss_newton import seen_weights
from napari_phaset3m.reconstruct.problem import Problem


class Levels:
    """A :class:`..reconstruct.refine.Hook` that changes nothing and measures each image's dose.

    Parameters
    ----------
    at : int
        Sweep (of each sampling, from 0) from which on it measures.

    Attributes
    ----------
    found : ndarray or None
        `(n_tilt, n_focus)` dose over the stated one; 1 for unused images.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.found: np.ndarray | None = None

    def active(self, sweep: int) -> bool:
        """From the asked sweep on."""
        return sweep >= self.at

    def refine(self, method: Any, problem: Problem, volume: Array) -> None:
        """See :class:`..reconstruct.refine.Hook`."""
        seen, inner = seen_weights(problem) > 0, np.asarray(problem.pixel_weight, np.float64)
        self.found = np.ones(seen.shape)
        for tilt in np.flatnonzero(seen.any(1)):
            predicted = asnumpy(method.predict(volume, int(tilt)))
            for focus in np.flatnonzero(seen[tilt]):
                measured = float((problem.images[tilt, focus] * inner).sum())
                self.found[tilt, focus] = measured / max(float((predicted[focus] * inner).sum()), 1e-30)


def levelled(series: TiltFocalSeries, levels: np.ndarray) -> TiltFocalSeries:
    """The series with each image's intensity divided by its level, and its dose multiplied by it."""
    images = series.images / np.asarray(levels, REAL)[:, :, None, None]
    dose = series.dose_per_image
    return series.replace(images=images, dose_per_image=None if dose is None else dose * levels)
