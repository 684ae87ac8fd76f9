"""Make Poisson noise even, and undo it without bias (generalised Anscombe transform).

For x = gain * Poisson(y) + Gaussian(0, read variance), with both counted in electrons,
``z = 2 sqrt(x + 3/8 + s^2)`` has unit variance. The inverse is not the algebraic one, which is biased at
low counts, but the closed form of the exact unbiased inverse by Mäkitalo & Foi (IEEE Trans. Image
Process. 20 (2011) 2697; with Gaussian noise 22 (2013) 91).
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.prepare.noise import NoiseModel

_ROOT = float(np.sqrt(1.5))


def stabilised(image: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """The image with noise of unit variance (float64)."""
    x, read = _electrons(image, noise)
    return np.asarray(2 * np.sqrt(np.maximum(x + 3 / 8 + read, 0)))


def unstabilised(values: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """Means in image units, from means of stabilised values."""
    read = noise.read_variance / noise.gain**2
    d = np.maximum(values, 2 * np.sqrt(3 / 8 + read))
    # As a function of the mean alone: the Gaussian part only shifts it.
    mean = d**2 / 4 + _ROOT / 4 / d - 11 / 8 / d**2 + 5 / 8 * _ROOT / d**3 - 1 / 8 - read
    return np.asarray(np.maximum(mean, 0) * noise.gain)


def _electrons(image: np.ndarray, noise: NoiseModel) -> tuple[np.ndarray, float]:
    return np.asarray(image, np.float64) / noise.gain, noise.read_variance / noise.gain**2
