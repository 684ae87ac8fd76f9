"""Sub-pixel shift between two images by cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft


@dataclass(frozen=True, slots=True)
class Match:
    """The best shift.

    Attributes
    ----------
    shift_px : tuple of float
        (y, x): a feature at p of the first image sits at p + shift in the second.
    height : float
        Correlation coefficient there, -1..1.
    prominence : float
        Height above the mean of all shifts, in their standard deviations.
    """

    shift_px: tuple[float, float]
    height: float
    prominence: float


def correlate(first: np.ndarray, second: np.ndarray, max_shift_px: float) -> Match:
    """Find the shift of the second image against the first.

    Parameters
    ----------
    first, second : ndarray
        `(ny, nx)`, mean free and faded out at the border.
    max_shift_px : float
        No farther than this along either axis.

    Returns
    -------
    Match
        The peak of the cross-correlation, refined by a parabola along each axis.
    """
    shape = first.shape
    norm = float(np.sqrt((first**2).sum(dtype=np.float64) * (second**2).sum(dtype=np.float64)))
    if norm == 0:
        return Match((0.0, 0.0), 0.0, 0.0)
    surface = fft.irfft2(np.conj(fft.rfft2(first)) * fft.rfft2(second), s=shape) / norm
    reach = [min(int(np.ceil(max_shift_px)), (n - 1) // 2) for n in shape]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    near = surface[np.ix_(rows % shape[0], columns % shape[1])]
    spread = float(near.std())
    row, column = np.unravel_index(int(near.argmax()), near.shape)
    place = (int(rows[row]), int(columns[column]))
    fine = [_parabola(surface, place, axis) for axis in (0, 1)]
    height = float(near[row, column])
    prominence = (height - float(near.mean())) / spread if spread else 0.0
    return Match((place[0] + fine[0], place[1] + fine[1]), height, prominence)


def _parabola(surface: np.ndarray, place: tuple[int, int], axis: int) -> float:
    values = []
    for step in (-1, 0, 1):
        index = [place[0], place[1]]
        index[axis] = (index[axis] + step) % surface.shape[axis]
        values.append(float(surface[index[0], index[1]]))
    curvature = values[0] - 2 * values[1] + values[2]
    return float(np.clip(0.5 * (values[0] - values[2]) / curvature, -1, 1)) if curvature < 0 else 0.0
