"""Shifts from the centre of mass, and from the projection onto the tilt axis.

Mass is conserved by a projection: its centre across the axis follows ``X cos - Z sin`` of the
specimen's own centre, and stays where it is along the axis. The projection of every tilt onto the
axis is the same curve, which tells shifts along it however the specimen looks (common line).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.prepare.align.signal import TiltImages, border_level

_BRIGHT = 4.0
_SMOOTH = 0.06
#: Border this quiet against the middle, in parts of its signal: the specimen stands in vacuum.
_QUIET = 0.12


def mass(images: np.ndarray, signal: str, lowpass_per_px: float) -> np.ndarray:
    """What weighs in each image.

    Parameters
    ----------
    images : ndarray
        `(n, ny, nx)`, background 0.
    signal : {"auto", "absorption", "variance", "intensity"}
    lowpass_per_px : float
        Noise beyond this is left out before squaring.

    Returns
    -------
    ndarray
        `(n, ny, nx)` float32, border level taken off, not negative.
    """
    smooth = _lowpassed(images, lowpass_per_px)
    chosen = _chosen(smooth) if signal == "auto" else signal
    if chosen == "variance":
        level, _ = border_level(smooth)
        raw = _lowpassed((smooth - level[:, None, None]) ** 2, _SMOOTH)
    else:
        raw = smooth if chosen == "intensity" else -smooth
    level, spread = border_level(raw)
    return np.asarray(np.maximum(raw - (level + spread)[:, None, None], 0), REAL)


def _chosen(images: np.ndarray) -> str:
    level, spread = border_level(images)
    peak = np.percentile(images, 95, axis=(1, 2)) - level
    pit = level - np.percentile(images, 5, axis=(1, 2))
    bright = np.median(peak) > 2 * np.median(pit) and np.median(peak / np.maximum(spread, 1e-9)) > _BRIGHT
    return "intensity" if bright else "variance"


def _lowpassed(images: np.ndarray, lowpass_per_px: float) -> np.ndarray:
    shape = images.shape[1:]
    k2 = np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1])[None, :] ** 2
    return np.asarray(fft.irfft2(fft.rfft2(images) * np.exp(-k2 / lowpass_per_px**2), s=shape), REAL)


def in_vacuum(weighed: np.ndarray) -> bool:
    """Whether the specimen stands free: hardly any mass at the border of most images."""
    inside = weighed.mean((1, 2))
    wide = max(1, round(0.08 * min(weighed.shape[1:])))
    framed = np.ones(weighed.shape[1:], bool)
    framed[wide:-wide, wide:-wide] = False
    outside = weighed[:, framed].mean(1)
    return bool(np.median(outside / np.maximum(inside, 1e-12)) < _QUIET)


def centres(weighed: np.ndarray) -> np.ndarray:
    """`(n, 2)` (y, x) centres of mass from the image centre, pixels."""
    ny, nx = weighed.shape[1:]
    total = np.maximum(weighed.sum((1, 2), dtype=np.float64), 1e-12)
    y = (weighed.sum(2, dtype=np.float64) * (np.arange(ny) - (ny - 1) / 2)).sum(1) / total
    x = (weighed.sum(1, dtype=np.float64) * (np.arange(nx) - (nx - 1) / 2)).sum(1) / total
    return np.stack((y, x), -1)


def mass_shifts(tilts: TiltImages, signal: str, lowpass_per_px: float) -> tuple[np.ndarray, bool]:
    """Shifts that put the centres of mass on the rotation centre.

    Returns
    -------
    shifts : ndarray
        `(n_tilt, 2)` (y, x).
    free : bool
        Whether the specimen stands in vacuum; else they mean little.
    """
    weighed = mass(tilts.images, signal, lowpass_per_px)
    shifts = centres(weighed)
    shifts[~tilts.usable] = 0
    return shifts, in_vacuum(weighed[tilts.usable])


def line_shifts(images: np.ndarray, usable: np.ndarray, max_shift_px: float, rounds: int = 4) -> np.ndarray:
    """`(n_tilt,)` shifts along y from the projections onto the tilt axis.

    Parameters
    ----------
    images : ndarray
        `(n_tilt, ny, nx)` as :func:`.signal.placed` gives them, axis along y.
    usable : ndarray
        `(n_tilt,)` bool.
    max_shift_px : float
    rounds : int
        Each aligns all profiles to their mean without the own one.
    """
    profiles = images.sum(2, dtype=np.float64)
    ny = profiles.shape[1]
    spectra = np.fft.rfft(profiles, axis=1)
    k = np.fft.rfftfreq(ny)
    shifts = np.zeros(len(images))
    lags = np.fft.fftfreq(4 * ny) * ny  # quarter pixels
    near = np.abs(lags) <= max_shift_px
    for _ in range(rounds):
        moved = spectra * np.exp(2j * np.pi * k * shifts[:, None])
        total = moved[usable].sum(0)
        for tilt in np.flatnonzero(usable):
            surface = np.fft.irfft(np.conj(total - moved[tilt]) * moved[tilt], 4 * ny)
            at = int(np.flatnonzero(near)[surface[near].argmax()])
            left, mid, right = surface[at - 1], surface[at], surface[(at + 1) % surface.size]
            bend = left - 2 * mid + right
            shifts[tilt] += lags[at] + (0.25 * 0.5 * (left - right) / bend if bend < 0 else 0.0)
        shifts[usable] -= shifts[usable].mean()
    return shifts
