"""What a person judges a fit by: equiphase-averaged curve, fitted resolution, Thon rings beside their fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.prepare.ctf.model import CtfValues, RingModel
from napari_phaset3m.prepare.ctf.observe import Observation
from napari_phaset3m.prepare.ctf.refine import JOINED, Explained
from napari_phaset3m.prepare.ctf.spectrum import SECTORS

#: Rings count as fitted while measured and fitted curve correlate by more than this, locally.
AGREE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class RingCurve:
    """The equiphase-averaged spectrum of one image and its fit.

    Averaged are samples of the same transfer phase, not of the same radius, so that astigmatism does
    not wash the rings out (Zhang, J. Struct. Biol. 193 (2016) 1).

    Attributes
    ----------
    frequency_per_angstrom : ndarray
        `(n,)`, along which the defocus is the mean one.
    measured : ndarray
        `(n,)` spectrum without background, divided by the rings' envelope: ``sin^2`` where all is well.
    fitted : ndarray
        `(n,)` ``sin^2 gamma``.
    agreement : ndarray
        `(n,)` correlation of both within about one and a half rings.
    background, envelope : ndarray
        `(n,)` fitted background (units of the tiles' power), and the rings' amplitude relative to it.
    """

    frequency_per_angstrom: np.ndarray
    measured: np.ndarray
    fitted: np.ndarray
    agreement: np.ndarray
    background: np.ndarray
    envelope: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class RingPicture:
    """Thon rings for an overlay, rows and columns as in the image, zero frequency at ``n // 2``.

    Attributes
    ----------
    measured, fitted : ndarray
        `(n, n)` float32; the spectrum without background over its envelope, averaged along arcs where
        it is noisy and clipped to -0.5..1.5, and ``sin^2 gamma``; NaN outside the fitted range.
    step_per_angstrom : float
        Frequency between neighbouring samples.
    """

    measured: np.ndarray
    fitted: np.ndarray
    step_per_angstrom: float

    def halves(self) -> np.ndarray:
        """`(n, n)` measured on the left, fitted on the right."""
        both = self.measured.copy()
        middle = both.shape[1] // 2
        both[:, middle:] = self.fitted[:, middle:]
        return both


def equiphase_frequency(
    item: Observation, values: CtfValues, microscope: Microscope, step_angstrom: float
) -> np.ndarray:
    """`(SECTORS, n_k)` radius at which each bin's phase is found at a defocus without astigmatism.

    Parameters
    ----------
    step_angstrom : float
        From ``values`` to that defocus: the image's own at the rotation centre, whichever band ``item`` is.
    """
    wavelength = microscope.wavelength_angstrom
    linear = np.pi * wavelength * (values.defocus_angstrom + step_angstrom)
    square = 0.5 * np.pi * microscope.spherical_aberration_angstrom * wavelength**3
    u = item.model.slope / (np.pi * wavelength)
    even = item.model.gamma(values.with_(c12_cos=0.0, c12_sin=0.0), step_angstrom)
    phase = linear * u - square * u**2 + item.model.gamma(values, item.step(values)) - even
    if square == 0:
        solved = phase / linear if linear else u
    else:
        # Both sides of the turning point of the phase: each bin stays on its own.
        root = np.sqrt(np.maximum(linear**2 - 4 * square * phase, 0))
        before = u < linear / (2 * square)
        solved = np.where(before, linear - root, linear + root) / (2 * square)
    return np.asarray(np.sqrt(np.maximum(solved, 0)))


def ring_curve(
    items: Sequence[Observation], values: CtfValues, microscope: Microscope, amplitude_contrast: float
) -> RingCurve:
    """Average an image's spectra (of all its bands) over equal phase and compare them with their fit."""
    k = items[0].k
    centre = items[0].focus_step_angstrom * values.step_scale
    total, weight = np.zeros(k.size), np.zeros(k.size)
    background, envelope = np.zeros(k.size), np.zeros(k.size)
    for item in items:
        _, smooth, shape = Explained(item).solve(values)
        even = equiphase_frequency(item, values, microscope, centre)
        index = np.rint((even - k[0]) / (k[1] - k[0])).astype(int)
        inside = (index >= 0) & (index < k.size) & (item.weight > 0)
        weight += np.bincount(index[inside], item.weight[inside], k.size)
        total += np.bincount(index[inside], ((item.y - smooth) * item.weight)[inside], k.size)
        background += item.background * (1 + smooth) / len(items)
        envelope += shape / len(items)
    rings = total / np.maximum(weight, 1e-9)
    model = RingModel(microscope, k, np.zeros_like(k), amplitude_contrast)
    gamma = model.gamma(values.with_(c12_cos=0.0, c12_sin=0.0), centre)
    scale = np.maximum(envelope, 0.1 * envelope.max(initial=1e-9))
    return RingCurve(
        frequency_per_angstrom=k,
        measured=np.clip(0.5 + 0.5 * rings / np.maximum(scale, 1e-12), -1, 2),
        fitted=np.sin(gamma) ** 2,
        agreement=_local(rings, -np.cos(2 * gamma), weight, _turns(gamma)),
        background=background,
        envelope=envelope,
    )


def _turns(gamma: np.ndarray) -> np.ndarray:
    """Rings passed since the first sample: the phase of ``sin^2`` over 2 pi, never falling."""
    change = np.abs(np.diff(2 * gamma)) / (2 * np.pi)
    return np.concatenate([[0.0], np.cumsum(change)])


def _local(a: np.ndarray, b: np.ndarray, weight: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Weighted correlation of two curves within 3/4 of a ring on both sides."""
    found = np.zeros(a.size)
    low = np.searchsorted(turns, turns - 0.75)
    high = np.searchsorted(turns, turns + 0.75, side="right")
    for i in range(a.size):
        cut = slice(max(0, int(min(low[i], i - 3))), int(max(high[i], i + 4)))
        found[i] = correlation(a[cut], b[cut], weight[cut])
    return found


def correlation(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> float:
    """Normalised cross-correlation with weights; 0 when one of both is constant."""
    total = float(weight.sum())
    if total <= 0:
        return 0.0
    a = a - float((weight * a).sum()) / total
    b = b - float((weight * b).sum()) / total
    norm = float(np.sqrt((weight * a * a).sum() * (weight * b * b).sum()))
    return float((weight * a * b).sum()) / norm if norm > 1e-30 else 0.0


def fitted_range(curve: RingCurve) -> tuple[int, float, float]:
    """How far the rings are fitted.

    Returns
    -------
    last : int
        Number of the last sample that agrees (-1: none does).
    rings : float
        Rings up to there.
    score : float
        Correlation of measured and fitted curve up to there.
    """
    good = curve.agreement > AGREE
    if not good.any():
        return -1, 0.0, 0.0
    # Low frequencies may be bad (the specimen's own structure); a gap of a tenth further out ends it.
    first = int(np.argmax(good))
    gap = max(3, curve.agreement.size // 10)
    bad = np.convolve(~good[first:], np.ones(gap), "full")[: good.size - first] >= gap
    end = first + int(np.argmax(bad)) if bad.any() else good.size
    last = int(np.flatnonzero(good[:end])[-1])
    cut = slice(0, last + 1)
    phase = np.arcsin(np.sqrt(np.clip(curve.fitted[cut], 0, 1)))  # folded: |change| is kept
    rings = float(np.abs(np.diff(phase)).sum() / np.pi)
    weight = curve.frequency_per_angstrom[cut]
    return last, rings, correlation(curve.measured[cut], curve.fitted[cut], weight)


def ring_picture(
    item: Observation, values: CtfValues, microscope: Microscope, amplitude: float, size: int = 256
) -> RingPicture:
    """Thon rings and their fit on a square grid.

    Parameters
    ----------
    size : int
        Most samples along an edge; the lowest frequencies are shown when the spectrum has more.
    """
    grid = item.spectrum.grid
    step = 1 / (grid.tile * grid.pixel_angstrom)
    half = min(size, 2 * (item.first + item.k.size), grid.tile - 2) // 2
    steps = np.arange(-half, half + 1)
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    k, azimuth = step * np.hypot(rows, columns), np.arctan2(rows, columns)
    ring = np.rint(k / step).astype(int) - 1 - item.first
    inside = (ring >= 0) & (ring < item.k.size)
    sector = np.minimum((np.mod(azimuth, np.pi) / np.pi * SECTORS).astype(int), SECTORS - 1)
    shown = _along_rings(item, values)[sector, np.clip(ring, 0, item.k.size - 1)]
    model = RingModel(microscope, np.maximum(k, 1e-9), azimuth, amplitude)
    fitted = np.sin(model.gamma(values, item.step(values))) ** 2
    hidden = np.where(inside, 1.0, np.nan)
    return RingPicture(
        (np.clip(shown, -0.5, 1.5) * hidden).astype(np.float32), (fitted * hidden).astype(np.float32), step
    )


def _along_rings(item: Observation, values: CtfValues) -> np.ndarray:
    """`(SECTORS, n_k)` spectrum over its envelope, averaged over neighbouring sectors as its noise asks for.

    One sample is mostly chance: without an average of about ten times the noise over the rings' power
    an eye sees no rings. At most a sixth of the circle on both sides is joined.
    """
    _, smooth, envelope = Explained(item).solve(values)
    scale = np.maximum(envelope, 0.1 * envelope.max(initial=1e-9))
    chance = item.noise * JOINED / (np.maximum(item.weight.mean(0), 1) * np.maximum(scale, 1e-9) ** 2)
    width = float(np.clip(3 * np.median(chance), 0.3, SECTORS / 8))
    total = gaussian_filter1d(item.weight * (item.y - smooth), width, axis=0, mode="wrap")
    weight = gaussian_filter1d(item.weight, width, axis=0, mode="wrap")
    # Across the rings by a tenth of their usual distance.
    turn = float(np.median(np.abs(np.diff(item.model.gamma(values, item.step(values)), axis=1)))) / np.pi
    across = float(np.clip(0.1 / max(turn, 1e-6), 0.01, 3.0))
    rings = gaussian_filter1d(total / np.maximum(weight, 1e-9), across, axis=1)
    return np.asarray(0.5 + 0.5 * rings / np.maximum(scale, 1e-12))
