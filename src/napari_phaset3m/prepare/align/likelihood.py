"""Where an image lies on its prediction: Gaussian likelihood in rings of frequency.

The measured spectrum is ``B = c A exp(-2 pi i k.s) + noise`` with the predicted spectrum A.
How far the prediction can be trusted (c) and the power of what it leaves (P) are measured in
rings over images that the reference has not seen, so that noise in the reference, an
unknown dose, the detector's transfer and errors that are still to be mended are all weighed
by what they do. The log-likelihood of a shift s is then ``sum_k Re(B A* e^(2 pi i k.s)) c / P``
(matched filter of Sigworth, J. Struct. Biol. 122 (1998) 328; rings as in Scheres, J. Struct.
Biol. 180 (2012) 519).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.grid import Grid

#: Least part of a ring's power that counts as noise.
_FLOOR = 0.02
#: Standard deviations of chance below which a ring's correlation says nothing.
_CHANCE = 2.0


@dataclass(frozen=True, slots=True)
class Rings:
    """Statistics of predictions against images.

    Attributes
    ----------
    index : ndarray
        `(nx, ny)` ring of each frequency.
    gain, noise : ndarray
        `(n_ring,)` c and P.
    correlation : ndarray
        `(n_ring,)` of prediction and image.
    explained, power : float
        Power of the images that the scaled prediction explains, and all of it.
    """

    index: np.ndarray
    gain: np.ndarray
    noise: np.ndarray
    correlation: np.ndarray
    explained: float
    power: float

    @property
    def information(self) -> float:
        """Mutual information of prediction and image, nats (Gaussian, rings independent)."""
        count = np.bincount(self.index.ravel())[1:] / 2  # a real image: half of them are independent
        trusted = np.clip(self.correlation[1:], 0, 1 - 1e-6)
        return float(-(count * np.log1p(-(trusted**2))).sum())

    @property
    def cross_weight(self) -> np.ndarray:
        """`(nx, ny)` c / P."""
        return np.asarray((self.gain / self.noise)[self.index])

    @property
    def power_weight(self) -> np.ndarray:
        """`(nx, ny)` c^2 / P."""
        return np.asarray((self.gain**2 / self.noise)[self.index])


def ring_index(grid: Grid) -> np.ndarray:
    """`(nx, ny)` int: distance from zero frequency in steps of the longer side."""
    step = 1 / (max(grid.nx, grid.ny) * grid.pixel_size_angstrom)
    return np.asarray(np.rint(np.sqrt(grid.k2) / step), np.int64)


def measure_rings(grid: Grid, measured: np.ndarray, predicted: np.ndarray) -> Rings:
    """Compare `(n, nx, ny)` spectra of images with those predicted at their places."""
    index = ring_index(grid)
    count = np.bincount(index.ravel())

    def ring(values: np.ndarray) -> np.ndarray:
        return np.bincount(index.ravel(), values.sum(0).ravel(), minlength=count.size)

    cross = ring((measured * predicted.conj()).real)
    own, power = ring(np.abs(predicted) ** 2), ring(np.abs(measured) ** 2)
    correlation = cross / np.sqrt(np.maximum(own * power, 1e-60))
    gain = np.maximum(cross, 0) / np.maximum(own, 1e-30) * _beyond_chance(correlation, len(measured) * count)
    gain = np.convolve(np.pad(gain, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    gain[0] = 0
    left = np.maximum(power - 2 * gain * cross + gain**2 * own, _FLOOR * power)
    noise = left / (len(measured) * np.maximum(count, 1))
    noise[noise <= 0] = max(float(noise.max()), 1e-30)
    gained = np.maximum(cross, 0) ** 2 / np.maximum(own, 1e-30)
    return Rings(index, gain, noise, correlation, float(gained[1:].sum()), float(power[1:].sum()))


def _beyond_chance(correlation: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Part of each ring's gain that is kept: none where chance would correlate as well.

    A prediction that is only rounding (past the model's band limit) would else be scaled up to the
    noise, and so would its derivatives.
    """
    agreed = np.clip(correlation, 0, 1) ** 2
    likely = count * agreed / np.maximum(1 - agreed, 1e-12)
    return np.asarray(1 - np.minimum(_CHANCE**2 / np.maximum(likely, 1e-12), 1))


@dataclass(frozen=True, slots=True)
class ShiftGrid:
    """Places at which likelihoods are computed.

    Attributes
    ----------
    points : ndarray
        `(m,)` shifts along either axis, pixels of the grid; symmetric about 0.
    across, along : ndarray
        `(m, nx)`, `(ny, m)` Fourier kernels.
    """

    points: np.ndarray
    across: np.ndarray
    along: np.ndarray

    @classmethod
    def make(cls, grid: Grid, radius_px: float, step_px: float) -> ShiftGrid:
        """All shifts up to ``radius_px`` by ``step_px``, pixels of the grid."""
        count = max(2, int(np.ceil(radius_px / step_px)))
        points = np.arange(-count, count + 1) * step_px
        kx, ky = grid.kx * grid.pixel_size_angstrom, grid.ky * grid.pixel_size_angstrom
        across = np.exp(2j * np.pi * np.outer(points, kx))
        return cls(points, across, np.exp(2j * np.pi * np.outer(ky, points)))

    def maps(self, cross: np.ndarray) -> np.ndarray:
        """`(..., y, x)` values of ``Re sum_k cross(k) exp(2 pi i k.s)`` for `(..., nx, ny)` spectra."""
        return np.asarray((self.across @ cross @ self.along).real.swapaxes(-1, -2))


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and spread of a shift, (y, x) pixels of the grid."""

    mean: np.ndarray
    sigma: np.ndarray


def moments(log_density: np.ndarray, points: np.ndarray) -> Moments:
    """Posterior mean and standard deviation of a shift from its log-density `(y, x)`.

    Where the peak is narrower than the grid, the parabola through its top says both.
    """
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mean, sigma = np.empty(2), np.empty(2)
    step = float(points[1] - points[0])
    top = np.unravel_index(int(log_density.argmax()), log_density.shape)
    for axis in range(2):
        marginal = density.sum(1 - axis)
        mean[axis] = float(marginal @ points)
        sigma[axis] = float(np.sqrt(marginal @ (points - mean[axis]) ** 2))
    narrow = bool((sigma < step).any())
    for axis in range(2):
        line = log_density[:, top[1]] if axis == 0 else log_density[top[0]]
        offset, width = parabola(line, int(top[axis]))
        if narrow:
            mean[axis] = points[top[axis]] + offset * step
            sigma[axis] = width * step
    return Moments(mean, sigma)


def parabola(values: np.ndarray, top: int) -> tuple[float, float]:
    """Offset of the maximum from ``top`` and Gaussian width of exp(values), in steps."""
    if not 0 < top < values.size - 1:
        return 0.0, float("nan")
    left, middle, right = (float(v) for v in values[top - 1 : top + 2])
    bend = 2 * middle - left - right
    if bend <= 0:
        return 0.0, float("nan")
    return float(np.clip(0.5 * (right - left) / bend, -0.5, 0.5)), float(1 / np.sqrt(bend))
