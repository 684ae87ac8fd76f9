"""Single pixels that cannot be signal: X-ray hits and dead or hot pixels in one image.

A pixel is taken out only if all of these hold, ``m`` being the level of the ring around it:

1. noise: its signed Poisson deviance ``r = sqrt(2 [n ln(n/m) - (n - m)])``, with values counted in
   effective electrons, is beyond ``sigma``. The tail of a Poisson variable beyond r is that of a
   Gaussian beyond r sigma, even at a few electrons (McCullagh & Nelder, Generalized Linear Models,
   1989), where "mean + k standard deviations" would take true counts away;
2. structure: it is ``sigma`` times farther from m than the surroundings scatter;
3. sharpness: it stands out ``SHARP`` times as far as any pixel of the ring but one (which may be
   another hit), which atoms and fringes with a full width of 2.5 pixels or more do not. (In the noise
   that means about 10 standard deviations for a hit in a single image.)

Neighbours of such a pixel that pass 1 and 2 with half of ``sigma`` belong to the same hit.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_phaset3m.prepare.ring import ring_statistics

SHARP = 8.0
#: How far (in standard deviations of a 7 x 7 box, itself included) a pixel must stand out to be looked
#: at: a hit of 2 x 2 pixels reaches 3.3, whatever its height.
_LOOK = 2.5
_SAMPLE = 5_000
#: Pixels looked at in one go, and rows around them that their surroundings need.
_PART, _HALO = 1 << 20, 8


def electron_size(image: np.ndarray, known: float | None = None) -> float:
    """Intensity of one effective electron: variance / mean of the image around local levels.

    At least 1 / (electrons per unit) where the dose is known, and at least the smallest step between
    values, so that sparse counts (most of them 0) are not taken for noiseless.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    known : float, optional
        Electrons per pixel at intensity 1.
    """
    rng = np.random.default_rng(0)
    flat = rng.integers(0, image.size, min(_SAMPLE, image.size))
    places = np.stack(np.unravel_index(flat, image.shape), axis=1)
    values = image[places[:, 0], places[:, 1]].astype(np.float64)
    level, _, _ = ring_statistics(image, places)
    usable = level > 0
    measured = 0.0
    if usable.any():
        ratio = (values[usable] - level[usable]) / np.sqrt(level[usable])
        # The level itself scatters: variance of the middle half of 16 is about 1/14 of a pixel's.
        measured = (1.4826 * float(np.median(np.abs(ratio)))) ** 2 / (1 + 1 / 14)
    floor = 0.0 if known is None else 1 / known
    return max(measured, floor, _quantum(values))


def _quantum(values: np.ndarray) -> float:
    steps = np.diff(np.unique(values))
    large = steps[steps > 1e-6 * max(float(np.abs(values).max()), 1e-30)]
    # Only where values are truly discrete is the smallest step an electron's (or a digital unit's).
    return float(large.min()) if 0 < len(large) < len(values) / 20 else 0.0


def deviance(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Signed root of the Poisson deviance; like a Gaussian variable of unit variance.

    Parameters
    ----------
    counts, expected : ndarray
        Electrons; expected > 0.
    """
    n = np.maximum(counts, 0.0)
    logs = np.zeros_like(n)
    np.log(n / expected, out=logs, where=n > 0)
    return np.asarray(np.sign(n - expected) * np.sqrt(np.maximum(2 * (n * logs - (n - expected)), 0)))


def find_spikes(image: np.ndarray, sigma: float, electron: float) -> np.ndarray:
    """Pixels of one image that cannot be signal.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)` float32.
    sigma : float
        Threshold, in standard deviations of an equivalent Gaussian.
    electron : float
        Intensity of one electron (:func:`electron_size`); 0 (nothing scatters): none is found.

    Returns
    -------
    ndarray
        `(ny, nx)` bool.
    """
    found = np.zeros(image.shape, bool)
    places = np.argwhere(_stand_out(image))
    if not len(places) or electron <= 0:
        return found
    sure, _ = _judge(image, places, sigma, electron, sharp=True)
    found[tuple(places[sure].T)] = True
    if not sure.any():
        return found
    from scipy.ndimage import binary_dilation

    nearby = np.argwhere(binary_dilation(found, np.ones((3, 3), bool)) & ~found)
    also, up = _judge(image, nearby, sigma / 2, electron, sharp=False)
    grown = nearby[also & up]
    found[tuple(grown.T)] = True
    return found


def find_spikes_in_parts(
    image: np.ndarray, sigma: float, electron: float
) -> Generator[float, None, np.ndarray]:
    """:func:`find_spikes` of a large image, rows by rows: yields the done part, 0..1, returns the mask."""
    found = np.zeros(image.shape, bool)
    ny = len(image)
    rows = max(_PART // image.shape[1], 2 * _HALO)
    for top in range(0, ny, rows):
        first, last = max(top - _HALO, 0), min(top + rows + _HALO, ny)
        part = find_spikes(image[first:last], sigma, electron)
        found[top : top + rows] = part[top - first : top - first + rows]
        yield min(top + rows, ny) / ny
    return found


def _judge(
    image: np.ndarray, places: np.ndarray, sigma: float, electron: float, *, sharp: bool
) -> tuple[np.ndarray, np.ndarray]:
    level, extremes, scatter = ring_statistics(image, places)
    values = image[places[:, 0], places[:, 1]].astype(np.float64)
    # One electron more in the 16 pixels of the ring: a ring of zeros does not mean that none can come.
    expected = np.maximum(level / electron, 0) + 1 / 16
    significance = np.abs(deviance(values / electron, expected))
    up = values > level
    distance = np.abs(values - level)
    passed = (significance > sigma) & (distance > sigma * scatter)
    if sharp:
        passed &= distance > SHARP * np.where(up, extremes[:, 0], extremes[:, 1])
    return passed, up


def _stand_out(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    base = np.float32(np.median(image[:: max(image.shape[0] // 64, 1), :: max(image.shape[1] // 64, 1)]))
    shifted = image - base
    mean = uniform_filter(shifted, 7, mode="mirror")
    variance = uniform_filter(shifted * shifted, 7, mode="mirror") - mean * mean
    return np.asarray((shifted - mean) ** 2 > _LOOK**2 * np.maximum(variance, 0))
