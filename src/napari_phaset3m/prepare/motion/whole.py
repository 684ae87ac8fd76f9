"""Shifts of frames against the sum of the others, round by round."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import COMPLEX
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.spectra import FIRST_BFACTOR_PX2, Spectra, Weighting, weighting
from napari_phaset3m.prepare.motion.track import bounded, smoothed

_COARSE_ROUNDS = 4
#: A frame that correlates with the others less than this part of the median frame is left out.
_LEAST_CORRELATION = 0.25


@dataclass(slots=True, eq=False)
class Found:
    """Shifts of the frames.

    Attributes
    ----------
    shifts : ndarray
        `(n, 2)` (y, x) pixels: a feature at p of the sum is at p + shift in the frame; mean 0 over
        the used frames.
    error : ndarray
        `(n, 2)` standard deviations.
    measured : ndarray
        `(n, 2)`: before smoothing.
    used : ndarray
        `(n,)` bool: frames that were measured.
    change : float
        Largest change of the last round, pixels.
    weighting : Weighting
    note : str
        What was held back, for a person.
    """

    shifts: np.ndarray
    error: np.ndarray
    measured: np.ndarray
    used: np.ndarray
    change: float
    weighting: Weighting
    note: str = ""


def unmoved(spectra: Spectra, used: np.ndarray, note: str) -> Found:
    """No frame is moved, and nothing was measured."""
    still, empty = np.zeros((len(spectra.values), 2)), np.zeros(spectra.values.shape[1:], np.float32)
    none = Weighting(empty, empty, np.zeros(1))
    return Found(still, np.full_like(still, np.inf), still, used, 0.0, none, note)


def given_up(found: Found, used: np.ndarray, why: str) -> Found:
    """No frame is moved, and none is left out for not agreeing with the others."""
    still = np.zeros_like(found.shifts)
    return replace(
        found,
        shifts=still,
        measured=still,
        error=np.full_like(still, np.inf),
        used=used,
        note=f"no drift is applied: {why}",
    )


def coarse(small: Spectra, used: np.ndarray, weight: np.ndarray, max_shift: float) -> np.ndarray:
    """`(n, 2)` shifts to about a pixel: the better of two starts.

    From no shift, each frame goes against the sum of the others; and from the middle outwards, each
    against the sum of those that are aligned already (fast drift blurs the first sum to nothing).

    Parameters
    ----------
    small : Spectra
        Cropped to what the search is made on.
    used : ndarray
        `(n,)` bool.
    weight : ndarray
        Of each frequency, counting the half spectrum's twins.
    max_shift : float
        Farthest that is looked at from no shift, pixels.
    """
    zero = np.zeros((len(small.values), 2))
    starts = [zero, _outwards(small, used, weight, max_shift)]
    tracks = []
    for start in starts:
        track = start
        for _ in range(_COARSE_ROUNDS):
            track = _searched(small, track, used, weight, max_shift)
        tracks.append(track)
    power = [float((weight * np.abs(total_of(small, track, used)) ** 2).sum()) for track in tracks]
    return tracks[int(np.argmax(power))]


def _outwards(spectra: Spectra, used: np.ndarray, weight: np.ndarray, max_shift: float) -> np.ndarray:
    n = len(spectra.values)
    shifts = np.zeros((n, 2))
    middle = n // 2
    total = spectra.values[middle].copy()
    order = sorted((i for i in range(n) if used[i] and i != middle), key=lambda i: abs(i - middle))
    for i in order:
        neighbour = i + 1 if i < middle else i - 1
        shifts[i] = _peak(spectra, spectra.values[i], total, weight, max_shift)
        if not used[neighbour]:
            shifts[neighbour] = shifts[i]
        ramp_y, ramp_x = spectra.ramps(shifts[i])
        total += spectra.values[i] * ramp_y[:, None] * ramp_x
    return _centred(shifts, used)


def _searched(
    spectra: Spectra, shifts: np.ndarray, used: np.ndarray, weight: np.ndarray, max_shift: float
) -> np.ndarray:
    total = total_of(spectra, shifts, used)
    found = shifts.copy()
    for i in np.flatnonzero(used):
        ramp_y, ramp_x = spectra.ramps(shifts[i])
        others = total - spectra.values[i] * ramp_y[:, None] * ramp_x
        found[i] = _peak(spectra, spectra.values[i], others, weight, max_shift)
    return _centred(found, used)


def _peak(
    spectra: Spectra, frame: np.ndarray, others: np.ndarray, weight: np.ndarray, max_shift: float
) -> np.ndarray:
    """`(2,)` shift of a frame against a sum, to a fraction of a sample (parabola through the peak)."""
    # frame = S exp(−i k d): conj(others) frame has its peak at d.
    plane = fft.irfft2(np.conj(others) * frame * weight, s=spectra.shape)
    my, mx = spectra.shape
    step = spectra.full[0] / my, spectra.full[1] / mx
    y, x = np.fft.fftfreq(my, 1 / my) * step[0], np.fft.fftfreq(mx, 1 / mx) * step[1]
    allowed = (np.abs(y)[:, None] <= max_shift) & (np.abs(x)[None, :] <= max_shift)
    iy, ix = np.unravel_index(int(np.argmax(np.where(allowed, plane, -np.inf))), plane.shape)
    dy = _vertex(plane[iy - 1, ix], plane[iy, ix], plane[(iy + 1) % my, ix])
    dx = _vertex(plane[iy, ix - 1], plane[iy, ix], plane[iy, (ix + 1) % mx])
    return np.array([y[iy] + dy * step[0], x[ix] + dx * step[1]])


def _vertex(before: float, at: float, after: float) -> float:
    bend = before - 2 * at + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


def total_of(spectra: Spectra, shifts: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Sum of the used frames' spectra, each moved back by its shift."""
    from napari_phaset3m.prepare.motion.kernels import add_shifted

    total = np.zeros(spectra.values.shape[1:], COMPLEX)
    for i in np.flatnonzero(used):
        add_shifted(total, spectra.values[i], *spectra.ramps(shifts[i]))
    return total


def _centred(shifts: np.ndarray, used: np.ndarray) -> np.ndarray:
    return np.asarray(shifts - shifts[used].mean(axis=0))


def refine(
    spectra: Spectra,
    start: np.ndarray,
    used: np.ndarray,
    config: MotionConfig,
    *,
    smooth: bool,
    threads: int = 2,
    given: Weighting | None = None,
) -> Iterator[Found]:
    """Newton steps of all frames on their correlation with the sum of the others.

    Parameters
    ----------
    spectra : Spectra
    start : ndarray
        `(n, 2)` pixels, within a pixel or two of the truth.
    used : ndarray
        `(n,)` bool.
    config : MotionConfig
    smooth : bool
        Draw the track to a smooth one between rounds.
    threads : int
    given : Weighting, optional
        Used as it is (patches take that of the whole frames).

    Yields
    ------
    Found
        After each round; the last is the result.
    """
    shifts, used = _centred(start, used), used.copy()
    fixed = None if config.bfactor_px2 == "auto" else float(config.bfactor_px2)
    weights = given or weighting(
        spectra, shifts, used, bfactor_px2=FIRST_BFACTOR_PX2 if fixed is None else fixed
    )
    limit = spectra.full[0] / spectra.shape[0]  # one sample
    with ThreadPoolExecutor(threads) as pool:
        for number in range(config.iterations):
            measured, error, value = _newton(spectra, shifts, used, weights, limit, pool)
            if given is None:
                alike = used & (value > _LEAST_CORRELATION * np.median(value[used]))
                if alike.sum() < 2:  # nothing that the frames have in common
                    yield Found(shifts, np.full_like(error, np.inf), measured, used, 0.0, weights)
                    return
                used = alike
            error[~used] = np.inf
            new = measured
            if smooth or not used.all():
                new, _, _ = smoothed(measured, error)
                new = bounded(new, used)
            new = _centred(new, used)
            change = float(np.abs(new - shifts)[used].max())
            shifts = new
            yield Found(shifts, error, measured, used, change, weights)
            settled = number >= 2 or given is not None or fixed is not None
            if change < config.tolerance_px and settled:
                return
            if given is None and fixed is None and number < 3:
                weights = weighting(spectra, shifts, used, bfactor_px2=None)


def _newton(
    spectra: Spectra,
    shifts: np.ndarray,
    used: np.ndarray,
    weights: Weighting,
    limit: float,
    pool: ThreadPoolExecutor,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of each frame: shifts, standard deviations, correlations."""
    from napari_phaset3m.prepare.motion.kernels import moments

    total = total_of(spectra, shifts, used)

    def one(i: int) -> np.ndarray:
        ramps = spectra.ramps(shifts[i])
        around = total if used[i] else total + spectra.values[i] * ramps[0][:, None] * ramps[1]
        return np.asarray(
            moments(around, spectra.values[i], *ramps, spectra.ky, spectra.kx, weights.weight, weights.spread)
        )

    found, error = shifts.copy(), np.full(shifts.shape, np.inf)
    value = np.zeros(len(shifts))
    for i, m in enumerate(pool.map(one, range(len(shifts)))):
        value[i] = m[0]
        curvature = np.array([[m[3], m[4]], [m[4], m[5]]])
        if not (curvature[0, 0] > 0 and np.linalg.det(curvature) > 0):
            continue
        inverse = np.linalg.inv(curvature)
        # The frame moved back by d more turns conj(g) by exp(−i k d): the maximum is at H⁻¹ gradient.
        step = inverse @ m[1:3]
        found[i] += np.clip(step, -limit, limit)
        scatter = inverse @ np.array([[m[6], m[7]], [m[7], m[8]]]) @ inverse
        error[i] = np.sqrt(np.maximum(np.diag(scatter), 1e-12))
    return found, error, value
