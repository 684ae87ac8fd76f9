"""The track of the drift: how smooth it is, and what it tells of frames that could not be measured."""

from __future__ import annotations

import numpy as np

#: Accelerations tried, pixels per frame², one for the whole movie.
_ACCELERATIONS = np.geomspace(1e-3, 10, 33)


def smoothed(shifts: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Most probable track, for measured shifts with known errors and an unknown smoothness.

    Second differences are taken as Gaussian with standard deviation a (a random acceleration); a is
    that with the largest evidence (marginal likelihood) over both directions, so that a track with
    sudden jumps is left as it was measured, and a steady one gets the benefit of all frames.

    Parameters
    ----------
    shifts : ndarray
        `(n, 2)` pixels.
    error : ndarray
        `(n, 2)` standard deviations; infinite where a frame was not measured.

    Returns
    -------
    shifts : ndarray
        `(n, 2)`.
    error : ndarray
        `(n, 2)`: what is left of the uncertainty.
    acceleration : float
        a, pixels per frame².
    """
    n = len(shifts)
    if n < 4:
        filled = np.where(np.isfinite(error), shifts, 0)
        return filled, np.where(np.isfinite(error), error, 0), float("nan")
    second = np.diff(np.eye(n), 2, axis=0)
    rough = second.T @ second
    scores = [
        sum(_evidence(shifts[:, axis], error[:, axis], rough, a) for axis in (0, 1)) for a in _ACCELERATIONS
    ]
    a = float(_ACCELERATIONS[int(np.argmax(scores))])
    out, left = np.empty_like(shifts), np.empty_like(shifts)
    for axis in (0, 1):
        precision = _precision(error[:, axis])
        covariance = np.linalg.inv(np.diag(precision) + rough / a**2)
        out[:, axis] = covariance @ (precision * shifts[:, axis])
        left[:, axis] = np.sqrt(np.maximum(np.diag(covariance), 0))
    return out, left, a


def bounded(shifts: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Frames that were not measured brought within reach of their neighbours.

    A track goes on straight beyond the last measured frame; no frame is taken to be farther from the
    nearest measured one than the fastest measured drift would have brought it.

    Parameters
    ----------
    shifts : ndarray
        `(n, 2)` pixels.
    used : ndarray
        `(n,)` bool: frames that were measured.
    """
    known = np.flatnonzero(used)
    if used.all() or not known.size:
        return shifts
    steps = np.abs(np.diff(shifts[known], axis=0)) / np.diff(known)[:, None]
    fastest = steps.max(axis=0) if steps.size else np.zeros(2)
    result = shifts.copy()
    for frame in np.flatnonzero(~used):
        nearest = known[np.argmin(np.abs(known - frame))]
        room = fastest * abs(int(frame) - int(nearest))
        result[frame] = np.clip(shifts[frame], shifts[nearest] - room, shifts[nearest] + room)
    return result


def _precision(error: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(error), 1 / np.maximum(error, 1e-4) ** 2, 0.0)


def _evidence(values: np.ndarray, error: np.ndarray, rough: np.ndarray, a: float) -> float:
    precision = _precision(error)
    posterior = np.diag(precision) + rough / a**2
    sign, logdet = np.linalg.slogdet(posterior)
    if sign <= 0:
        return -np.inf
    weighted = precision * values
    misfit = float(values @ weighted - weighted @ np.linalg.solve(posterior, weighted))
    return -(len(values) - 2) * float(np.log(a)) - 0.5 * float(logdet) - 0.5 * misfit
