"""Whether the frames support a drift: their agreement along it, against what chance alone gives.

A search takes, for each frame, the highest of thousands of correlation peaks, and noise has highest peaks
too. So the same search is made on scrambled frames: the same amplitudes with random phases, which have
nothing in common. A drift counts when the frames agree along it clearly better than scrambled ones do along
theirs. Where they do not, drifts of a shorter reach are tried, which fewer chance peaks compete with.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.prepare.motion.spectra import FIRST_BFACTOR_PX2, Spectra, weighting
from napari_phaset3m.prepare.motion.whole import coarse, total_of

#: Side of the images that the first search is made on.
_COARSE = 512
#: Agreement, over sqrt(n / 2), beyond which chance need not be asked: the best of pure noise has 4 to 5.5
#: (128² to 512², 6 to 20 frames).
_CLEAR = 16.0
#: Searches in scrambled frames; a drift that is not this far above the mean of those made is given up.
_SCRAMBLED, _HOPELESS = 8, 1.0
#: So far above it, chance is not asked more than a few times, and no shorter reach is tried.
_SURE, _FEW = 12.0, 3
#: Standard deviations (at least 1, which is what they scatter by) above the mean of scrambled frames.
_SIGMA = 4.0
#: Variation over the level: rounding makes up to 6e-6 of a constant image (64² to 4096², four levels).
_FLAT = 3e-5
#: Parts of the largest drift that are looked for, one after the other.
_REACH = (1.0, 0.25, 0.0625)
#: Agreement that Newton steps from no shift reach in noise: mean over sqrt(n / 2), and above it (20 and
#: more movies of 6 to 20 frames: mean 1.4 to 1.7, never 4.5 above).
_LOCAL, _LOCAL_ABOVE = 1.4, 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where the fine alignment begins.

    Attributes
    ----------
    shifts : ndarray
        `(n, 2)` pixels; zero where no drift is supported.
    reach_px : float
        Farthest drift that was looked for in it; 0: none is supported.
    """

    shifts: np.ndarray
    reach_px: float


def agreement(spectra: Spectra, shifts: np.ndarray, used: np.ndarray, weight: np.ndarray) -> float:
    """Weighted correlation of all pairs of frames moved back by ``shifts``, in its standard deviations.

    Frames of noise have a mean of 0 and a deviation of 1 along shifts that were not chosen to suit them.

    Parameters
    ----------
    spectra : Spectra
    shifts : ndarray
        `(n, 2)` pixels.
    used : ndarray
        `(n,)` bool.
    weight : ndarray
        `(my, mx // 2 + 1)`, counting the half spectrum's twins.
    """
    total = total_of(spectra, shifts, used)
    power = np.zeros(weight.shape, REAL)
    squares = np.zeros(weight.shape, np.float64)
    for values in spectra.values[used]:
        own = values.real**2 + values.imag**2
        power += own
        squares += own.astype(np.float64) ** 2
    pairs = (total.real**2 + total.imag**2 - power) / 2
    variance = (np.square(power, dtype=np.float64) - squares) / 4
    spread = float((np.square(weight, dtype=np.float64) * variance).sum())
    return float((weight * pairs).sum(dtype=np.float64) / max(spread, 1e-60) ** 0.5)


def has_contrast(spectra: Spectra, level: np.ndarray) -> np.ndarray:
    """`(n,)` bool: whether frames show more than their level and what rounding makes of it.

    Parameters
    ----------
    spectra : Spectra
    level : ndarray
        `(n,)` means of the frames.
    """
    power = np.array([np.vdot(values, values).real for values in spectra.values], np.float64)
    # A half spectrum has half the power (Parseval): this is the root mean square in pixels.
    rms = np.sqrt(2 * power) / (spectra.full[0] * spectra.full[1])
    return np.asarray(rms > _FLAT * np.abs(level))


def chance_of_none(n: int) -> float:
    """Agreement that frames of noise do not reach by small steps from no shift; n is their number."""
    return float(_LOCAL * (n / 2) ** 0.5 + _LOCAL_ABOVE)


def supported_start(
    spectra: Spectra, used: np.ndarray, max_shift: float, at: float
) -> Generator[Progress, None, Start]:
    """The coarse drift that the frames support, of the longest reach unless a shorter one stands out more.

    Parameters
    ----------
    spectra : Spectra
    used : ndarray
        `(n,)` bool.
    max_shift : float
        Pixels.
    at : float
        Fraction done, for the events.
    """
    shape = tuple(min(n, _COARSE) for n in spectra.shape)
    small = spectra.cropped((shape[0], shape[1]))
    zero = np.zeros((len(small.values), 2))
    weight = weighting(small, zero, used, bfactor_px2=FIRST_BFACTOR_PX2).weight
    clear = _CLEAR * (int(used.sum()) / 2) ** 0.5
    best, margin = Start(zero, 0.0), 0.0
    least = max(spectra.full[0] / shape[0], 1.0)
    for part in _REACH:
        reach = max_shift * part
        if reach < least and part < 1:
            break
        yield Progress("Coarse alignment" if part == 1 else f"Coarse alignment within {reach:.1f} px", at)
        shifts = coarse(small, used, weight, reach)
        found = agreement(small, shifts, used, weight)
        if found > clear:
            return Start(shifts, reach)
        above = yield from _above_chance(small, used, (weight, reach, found), at)
        if above > _SURE:
            return Start(shifts, reach)
        if above > margin:
            best, margin = Start(shifts, reach), above
    return best


def _above_chance(
    small: Spectra, used: np.ndarray, what: tuple[np.ndarray, float, float], at: float
) -> Generator[Progress, None, float]:
    """By how much an agreement is above that of scrambled frames, searched alike; 0: not by enough."""
    weight, reach, found = what
    rng = np.random.default_rng(0)
    chance: list[float] = []
    for number in range(_SCRAMBLED):
        yield Progress(f"Chance peaks {number + 1} of {_SCRAMBLED}", at)
        noise = _scrambled(small, rng)
        shifts = coarse(noise, used, weight, reach)
        chance.append(agreement(noise, shifts, used, weight))
        if found < float(np.mean(chance)) + _HOPELESS:
            return 0.0
        if number + 1 == _FEW and found > float(np.mean(chance)) + _SURE:
            break
    above = found - float(np.mean(chance))
    return above if above > _SIGMA * max(float(np.std(chance)), 1.0) else 0.0


def _scrambled(spectra: Spectra, rng: np.random.Generator) -> Spectra:
    """The same amplitudes with the phases of white noise."""
    values = np.empty_like(spectra.values)
    for out, frame in zip(values, spectra.values, strict=True):
        noise = fft.rfft2(rng.standard_normal(spectra.shape, REAL))
        out[:] = np.abs(frame) * (noise / np.maximum(np.abs(noise), REAL(1e-20))).astype(COMPLEX)
    return replace(spectra, values=values)
