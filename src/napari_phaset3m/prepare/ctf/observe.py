"""A spectrum made ready for fitting: background divided out, noise known, smooth functions at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.prepare.ctf.model import CtfValues, RingModel
from napari_phaset3m.prepare.ctf.spectrum import Spectrum

#: Smooth functions of k for what is left of the background, and for the envelope of the rings.
BACKGROUND_TERMS, ENVELOPE_TERMS = 8, 6
#: The same for what of the background depends on azimuth.
STRETCH_TERMS = 4


def splines(k: np.ndarray, terms: int) -> np.ndarray:
    """`(n_k, terms)` cubic B-splines over the range of k; each is 0 or positive and they sum to 1."""
    inner = np.linspace(k[0], k[-1], terms - 2)
    knots = np.concatenate([[k[0]] * 3, inner, [k[-1]] * 3])
    return np.asarray(BSpline.design_matrix(k, knots, 3, extrapolate=True).toarray())


def smooth_background(k: np.ndarray, mean: np.ndarray, weight: np.ndarray, terms: int) -> np.ndarray:
    """A positive smooth curve through the middle of the rings: splines fitted to the logarithm."""
    basis = splines(k, terms)
    good = (mean > 0) & (weight > 0)
    root = np.sqrt(weight[good])
    logs = np.log(mean[good])
    coefficients = np.linalg.lstsq(basis[good] * root[:, None], logs * root, rcond=None)[0]
    curve = np.exp(basis @ coefficients)
    # The mean of a logarithm lies below the logarithm of the mean.
    return np.asarray(curve * np.sum(weight[good] * mean[good] / curve[good]) / np.sum(weight[good]))


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One spectrum within the fitted range.

    Attributes
    ----------
    k : ndarray
        `(n_k,)` ring centres, 1/angstrom.
    y : ndarray
        `(SECTORS, n_k)` power over smooth background, minus 1.
    weight : ndarray
        `(SECTORS, n_k)` samples in each bin.
    noise : float
        Variance of ``y`` for one sample, from neighbouring sectors.
    model : RingModel
    background : ndarray
        `(n_k,)` the smooth background.
    focus_step_angstrom, height_angstrom : float
        Known differences of this spectrum's defocus from that of the group: the stated step of its
        focus (scaled when the fit does so), and the specimen's height there.
    spectrum : Spectrum
    first : int
        Number of the first ring in the spectrum's grid.
    """

    k: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    noise: float
    model: RingModel
    background: np.ndarray
    focus_step_angstrom: float
    height_angstrom: float
    spectrum: Spectrum
    first: int

    def step(self, values: CtfValues) -> float:
        """How far this spectrum's defocus is from the group's, angstrom."""
        return self.focus_step_angstrom * values.step_scale + self.height_angstrom


def observe(
    spectrum: Spectrum,
    microscope: Microscope,
    limits_per_angstrom: tuple[float, float],
    amplitude_contrast: float,
    *,
    focus_step_angstrom: float = 0.0,
    height_angstrom: float = 0.0,
) -> Observation:
    """Cut a spectrum to the fitted range and divide its smooth background out."""
    grid = spectrum.grid
    inside = np.flatnonzero((grid.radius >= limits_per_angstrom[0]) & (grid.radius <= limits_per_angstrom[1]))
    cut = slice(int(inside[0]), int(inside[-1]) + 1)
    k, weight = grid.radius[cut], grid.count[:, cut].astype(np.float64)
    polar = spectrum.polar[:, cut]
    ring_weight = weight.sum(0)
    mean = (polar * weight).sum(0) / np.maximum(ring_weight, 1)
    background = smooth_background(k, mean, ring_weight, 6)
    y = np.where(weight > 0, polar / background - 1, 0.0)
    y = y - _stretched(k, y, weight, grid.azimuth[:, cut])
    return Observation(
        k=k,
        y=y,
        weight=weight,
        noise=_noise(y, weight),
        model=RingModel(
            microscope, np.maximum(grid.k[:, cut], 1e-9), grid.azimuth[:, cut], amplitude_contrast
        ),
        background=background,
        focus_step_angstrom=focus_step_angstrom,
        height_angstrom=height_angstrom,
        spectrum=spectrum,
        first=cut.start,
    )


def _stretched(k: np.ndarray, y: np.ndarray, weight: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """The smooth part of a spectrum that is longer in one direction (drift, astigmatic illumination).

    Rings oscillate in k and have little of it, but left in place it is fitted as the first ring of a small
    and very astigmatic defocus.
    """
    basis = splines(k, STRETCH_TERMS)
    total = np.zeros_like(y)
    for wave in (np.cos(2 * azimuth), np.sin(2 * azimuth)):
        strength = (weight * wave**2).sum(0)
        normal = basis.T @ (strength[:, None] * basis)
        right = basis.T @ (weight * wave * y).sum(0)
        total += wave * (basis @ np.linalg.lstsq(normal, right, rcond=None)[0])
    return np.asarray(np.where(weight > 0, total, 0.0))


def _noise(y: np.ndarray, weight: np.ndarray) -> float:
    """Variance of one sample: what neighbouring sectors of a ring differ by."""
    first, second = weight, np.roll(weight, -1, axis=0)
    both = (first > 0) & (second > 0)
    if not both.any():
        return 1.0
    difference = (y - np.roll(y, -1, axis=0))[both]
    share = 1 / (1 / first[both] + 1 / second[both])
    # Rings of an astigmatic spectrum differ too, on few bins: that does not move a median (0.455: of chi^2).
    return float(max(np.median(difference**2 * share) / 0.455, 1e-12))


def ring_signal(found: Sequence[Observation]) -> np.ndarray:
    """`(n_k,)` estimate of the rings' amplitude: excess variance of y, smoothed over a tenth of the range."""
    total = np.zeros(found[0].k.size)
    weight = np.zeros_like(total)
    for item in found:
        total += (item.weight * item.y**2).sum(0) - item.noise * (item.weight > 0).sum(0)
        weight += item.weight.sum(0)
    width = max(3, total.size // 10)
    kernel = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(total, kernel, "same") / np.maximum(np.convolve(weight, kernel, "same"), 1e-9)
    amplitude = np.sqrt(np.maximum(smooth, 0))
    return np.asarray(np.maximum(amplitude, 0.05 * amplitude.max(initial=1e-6)))
