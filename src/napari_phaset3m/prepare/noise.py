"""How noisy an image is, from the image itself: ``variance = gain * intensity + read_variance``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.precision import REAL

#: Relative spread of block means below which the slope of variance against mean says nothing.
_FLAT = 0.05


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Variance of the noise in dependence on the intensity.

    Attributes
    ----------
    gain : float
        Intensity units that one electron makes (Poisson part: variance = gain * intensity).
    read_variance : float
        Part that does not depend on the intensity.
    """

    gain: float
    read_variance: float

    def sigma(self, intensity: float) -> float:
        """Standard deviation of the noise at an intensity."""
        return float(np.sqrt(max(self.gain * max(intensity, 0.0) + self.read_variance, 0.0)))


def noise_sigma(image: np.ndarray) -> float:
    """Standard deviation of white noise, whatever (smooth) the image shows.

    The difference ``(a - b - c + d) / 2`` over each 2 x 2 square has the variance of the noise and is
    blind to gradients; its median absolute value is blind to a few edges (after Immerkaer, CVIU 64
    (1996) 300). White noise is meant: what was interpolated looks less noisy than it is.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    """
    return float(1.4826 * np.median(np.abs(_square_difference(image))))


def estimate_noise(image: np.ndarray) -> NoiseModel:
    """Fit gain and read-out variance to the scatter in blocks of the image.

    In each block the noise variance is the mean square of the 2 x 2 difference of :func:`noise_sigma`,
    which goes against the block's mean in a line fitted by reweighted least squares (Foi et al., IEEE
    Trans. Image Process. 17 (2008) 1737). Where the image is too even to tell slope from offset, all
    noise is taken as Poisson's.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`, not negative on average.

    Returns
    -------
    NoiseModel
    """
    size = 16 if min(image.shape) >= 128 else 8
    mean = _blocks(np.asarray(image, np.float64), size).mean(axis=1)
    square = _square_difference(image) ** 2
    variance = _blocks(np.pad(square, ((0, 1), (0, 1)), mode="edge"), size).mean(axis=1)
    typical, level = float(np.median(variance)), float(np.median(mean))
    spread = float(np.subtract(*np.percentile(mean, (90, 10))))
    if level > 0 and spread > _FLAT * level:
        gain, offset = _line(mean, variance)
        if gain > 0 and offset >= 0:
            return NoiseModel(gain, offset)
        if gain <= 0:
            return NoiseModel(0.0, typical)
    if level > 0:
        return NoiseModel(float(np.median(variance / np.maximum(mean, 0.1 * level))), 0.0)
    return NoiseModel(0.0, typical)


def _square_difference(image: np.ndarray) -> np.ndarray:
    x = np.asarray(image, REAL)
    return np.asarray((x[:-1, :-1] - x[:-1, 1:] - x[1:, :-1] + x[1:, 1:]) / 2)


def _blocks(image: np.ndarray, size: int) -> np.ndarray:
    """`(blocks, size * size)`; what does not fill a block is left out."""
    size = min(size, *image.shape)
    ny, nx = (n // size for n in image.shape)
    cut = image[: ny * size, : nx * size].reshape(ny, size, nx, size)
    return cut.transpose(0, 2, 1, 3).reshape(ny * nx, size * size)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset; blocks with structure (too much variance) lose their weight."""
    design = np.stack((x, np.ones_like(x)), axis=1)
    weights = np.ones_like(x)
    slope = offset = 0.0
    for _ in range(20):
        slope, offset = np.linalg.lstsq(design * weights[:, None], y * weights, rcond=None)[0]
        expected = np.maximum(slope * x + offset, 1e-12)
        # A block's variance scatters in proportion to itself.
        ratio = (y - expected) / expected
        scale = max(1.4826 * float(np.median(np.abs(ratio))), 1e-6)
        weights = np.sqrt(np.clip(1 - (ratio / (4.685 * scale)) ** 2, 0, None) ** 2) / expected
        weights /= max(float(weights.max()), 1e-300)
    return float(slope), float(offset)
