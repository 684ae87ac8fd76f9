"""Shifts of all tilts from shifts between pairs of neighbours, by robust least squares.

A chain of neighbours lets errors add up (as the square root of the number of tilts); with several
neighbours on either side every tilt hangs on several chains, and one bad pair is outvoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROUNDS = 12
_TUNING = 1.345  # Huber's constant: 95 % efficiency for Gaussian errors


@dataclass(frozen=True, slots=True)
class Pair:
    """One measurement: the shift of ``second`` against ``first``, both seen at the tilt of ``first``.

    Attributes
    ----------
    first, second : int
        Tilts.
    shift_px : tuple of float
        (y, x).
    stretch : float
        By how much the second was stretched across the axis, cos(first) / cos(second).
    weight : float
    """

    first: int
    second: int
    shift_px: tuple[float, float]
    stretch: float
    weight: float


def pairs_of(tilt_deg: np.ndarray, usable: np.ndarray, neighbours: int) -> list[tuple[int, int]]:
    """Pairs of tilts, the lower one first; each with so many neighbours on the way to higher tilts."""
    order = [int(i) for i in np.argsort(tilt_deg, kind="stable") if usable[i]]
    found = []
    for place, tilt in enumerate(order):
        for other in order[place + 1 : place + 1 + neighbours]:
            low, high = sorted((tilt, other), key=lambda i: abs(tilt_deg[i]))
            found.append((low, high))
    return found


def solve(pairs: Sequence[Pair], n_tilt: int, anchor: int) -> tuple[np.ndarray, np.ndarray]:
    """Shifts that explain all pairs best.

    The second image, stretched by q, shows at q * its own shift what the first shows at its own:
    ``q s_second - s_first`` across the axis, ``s_second - s_first`` along it.

    Parameters
    ----------
    pairs : sequence of Pair
    n_tilt : int
    anchor : int
        The tilt that stays at zero.

    Returns
    -------
    shifts : ndarray
        `(n_tilt, 2)` (y, x); zero for tilts in no pair.
    errors : ndarray
        `(n_tilt, 2)` one standard deviation from the misfit of the pairs; NaN where unknown.
    """
    shifts, errors = np.zeros((n_tilt, 2)), np.full((n_tilt, 2), np.nan)
    if not pairs:
        return shifts, errors
    rows = np.arange(len(pairs))
    weight = np.array([pair.weight for pair in pairs])
    known = sorted({i for pair in pairs for i in (pair.first, pair.second)} - {anchor})
    for axis in (0, 1):
        design = np.zeros((len(pairs), n_tilt))
        design[rows, [pair.first for pair in pairs]] = -1
        design[rows, [pair.second for pair in pairs]] = [p.stretch if axis else 1.0 for p in pairs]
        measured = np.array([pair.shift_px[axis] for pair in pairs])
        found, error = _huber(design[:, known], measured, weight)
        shifts[known, axis], errors[known, axis] = found, error
    errors[anchor] = 0
    return shifts, errors


def _huber(design: np.ndarray, measured: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    robust = np.ones(len(measured))
    found = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(weight * robust)
        found = np.linalg.lstsq(design * root[:, None], measured * root, rcond=1e-9)[0]
        rest = np.abs(measured - design @ found) * np.sqrt(weight / weight.mean())
        scale = max(1.4826 * float(np.median(rest)), 1e-3)
        robust = np.minimum(1, _TUNING * scale / np.maximum(rest, 1e-12))
    normal = design.T @ (design * (weight * robust)[:, None])
    freedom = len(measured) - design.shape[1]
    if freedom < 1:
        return found, np.full(design.shape[1], np.nan)
    variance = float((weight * robust * (measured - design @ found) ** 2).sum()) / freedom
    return found, np.sqrt(np.maximum(np.diag(np.linalg.pinv(normal)) * variance, 0))
