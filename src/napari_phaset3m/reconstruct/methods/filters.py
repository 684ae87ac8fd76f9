"""Filters of direct reconstructions: windowed ramps, and weights for the tilts at hand.

Ramp: Ramachandran & Lakshminarayanan, PNAS 68 (1971) 2236, in the band-limited form of Kak
& Slaney, Principles of Computerized Tomographic Imaging (1988), eq. 3.61. Windows:
Shepp & Logan, IEEE Trans. Nucl. Sci. 21 (1974) 21; Hamming and von Hann as in Harris,
Proc. IEEE 66 (1978) 51.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Window = Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"]
#: A gap this many times wider than the median one is the missing wedge.
_WEDGE = 2.5
#: Width of the low-pass's cosine edge, as a fraction of its frequency.
_EDGE = 0.2


def ramp(size: int) -> np.ndarray:
    """`(size // 2 + 1,)` ramp |k| (cycles per pixel) of a real transform of even ``size``.

    The transform of the ramp's samples in real space: its mean is not 0 but what
    makes the level of the result right.
    """
    n = np.fft.fftfreq(size, 1 / size)
    kernel = np.zeros(size)
    kernel[0] = 0.25
    odd = np.rint(np.abs(n)).astype(int) % 2 == 1
    kernel[odd] = -1 / (np.pi * n[odd]) ** 2
    return np.fft.rfft(kernel).real


def window(name: Window, size: int) -> np.ndarray:
    """`(size // 2 + 1,)` window that a ramp is multiplied with; 1 at zero frequency."""
    k = np.fft.rfftfreq(size)  # Nyquist is 0.5
    if name == "shepp-logan":
        return np.asarray(np.sinc(k))
    if name == "cosine":
        return np.asarray(np.cos(np.pi * k))
    if name == "hamming":
        return np.asarray(0.54 + 0.46 * np.cos(2 * np.pi * k))
    if name == "hann":
        return np.asarray(0.5 + 0.5 * np.cos(2 * np.pi * k))
    return np.ones_like(k)


def angular_weights(tilt_deg: np.ndarray) -> np.ndarray:
    """`(n,)` share of each tilt in the integral over angles, radians.

    Half the way to its neighbours on the circle of 180 degrees. The widest gap, when it
    is over 2.5 usual ones, is the missing wedge: a tilt beside it reaches no farther into it
    than on its other side. Evenly spaced tilts get their spacing, and 0 and 180 degrees
    share one place.
    """
    angles = np.radians(np.asarray(tilt_deg, np.float64)) % np.pi
    order = np.argsort(angles)
    gaps = np.diff(np.append(angles[order], angles[order[0]] + np.pi))  # to the next one
    before = np.roll(gaps, 1)
    ahead, behind = gaps.copy(), before.copy()
    widest = int(np.argmax(gaps))
    if gaps.size > 1 and gaps[widest] > _WEDGE * np.median(gaps[gaps > 0]):
        ahead[widest] = before[widest]
        after = (widest + 1) % gaps.size
        behind[after] = gaps[after]
    weights = np.empty_like(angles)
    weights[order] = 0.5 * (ahead + behind)
    return weights


def exact_weights(tilt_deg: np.ndarray, diameter_px: float, size: int) -> np.ndarray:
    """`(n, size // 2 + 1)` exact weights of each tilt's frequencies across the axis.

    An object of diameter D makes every measured plane 1/D thick. A point at frequency
    k of tilt i lies ``k |sin(a_i - a_j)|`` from plane j and is covered by it to
    ``max(0, 1 - D k |sin|)``: the weight is one over D times the sum over all planes.
    Harauz & van Heel, Optik 73 (1986) 146; Radermacher in Electron Tomography (ed. Frank,
    1992) 91; plane thickness: Crowther, DeRosier & Klug, Proc. R. Soc. A 317 (1970) 319.
    Closely and evenly spaced tilts give the ramp. The sample at zero frequency stands for
    the frequencies around it and relates to its neighbour as in :func:`ramp`: the mere
    value there would lift the level of the whole volume.
    """
    angles = np.radians(np.asarray(tilt_deg, np.float64))
    k = np.fft.rfftfreq(size)
    distance = np.abs(np.sin(angles[:, None] - angles[None, :]))
    overlap = np.empty((angles.size, k.size))
    for row, away in zip(overlap, distance, strict=True):
        row[:] = np.maximum(0, 1 - diameter_px * away[:, None] * k[None, :]).sum(0)
    weights = 1 / (diameter_px * overlap)
    first, second = ramp(size)[:2]
    weights[:, 0] = weights[:, 1] * first / second
    return np.asarray(weights)


def lowpass(kx: np.ndarray, ky: np.ndarray, cutoff: float) -> np.ndarray:
    """`(kx, ky)` radial low-pass: 1 up to ``cutoff``, a cosine edge to 1.2 times it."""
    radius = np.hypot(kx[:, None], ky[None, :]) / cutoff
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 1) / _EDGE, 0, 1)))
