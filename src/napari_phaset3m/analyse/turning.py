"""A small rotation that brings one volume onto another: tilt angles have no absolute zero.

Reconstructions from series whose tilts differ by a constant (another choice of zero, another alignment) are
turned against each other about the tilt axis, and no shift makes up for that.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from napari_phaset3m.analyse.matching import find_shift, pearson
from napari_phaset3m.analyse.sampling import moved, resample_onto
from napari_phaset3m.core.precision import REAL

Turning = Literal["none", "tilt", "all"]
#: Largest angle searched, degrees, and the step of the first look.
SEARCHED_DEG, _STEP_DEG = 6.0, 1.0
#: Edge of the volumes on which is searched first, voxels.
_COARSE = 64
#: Angles below this are left alone, degrees; so are turns that raise the correlation by less than that.
_STILL_DEG, _GAIN = 0.05, 1e-3
_ACCURACY_DEG = 0.02
#: A turn must raise the correlation by so many standard deviations of what chance does to it: the best of
#: some fifteen independent trials lies 1.7 of them up on average.
_CHANCE = 4.0
#: Standard deviation of the Gaussian both are smoothed with for the search, voxels of the coarse grid.
_SMOOTHING = 1.0


def turn_matrix(angles_deg: np.ndarray) -> np.ndarray:
    """`(3, 3)` rotation of (x, y, z) for small angles about x, the tilt axis y and z.

    The angle about y is a tilt in the sense of the series (x' = x cos - z sin); the others are right-handed.
    """
    from scipy.spatial.transform import Rotation

    x, tilt, z = np.deg2rad(angles_deg)
    return np.asarray(Rotation.from_rotvec([x, -tilt, z]).as_matrix())


def turned(volume: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    """Turn what a volume of cubic voxels holds about its centre `(n - 1) / 2`; 0 comes in at the corners.

    Cubic splines: finer than linear, yet not lossless near Nyquist.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    angles_deg : ndarray
        `(3,)`, see :func:`turn_matrix`.
    """
    from scipy import ndimage

    # a voxel of the result comes from where the inverse turn puts it; (z, y, x) order
    back = turn_matrix(angles_deg).T[::-1, ::-1]
    middle = (np.array(volume.shape) - 1) / 2
    offset = middle - back @ middle
    return np.asarray(ndimage.affine_transform(np.asarray(volume, REAL), back, offset, order=3), REAL)


def find_turn(
    reference: np.ndarray, volume: np.ndarray, mask: np.ndarray | None, axes: Turning, longest: float
) -> np.ndarray:
    """Angles by which a volume must be turned to correlate best with a reference.

    Parameters
    ----------
    reference, volume : ndarray
        `(nz, ny, nx)` of one shape and cubic voxels.
    mask : ndarray or None
    axes : {"none", "tilt", "all"}
        About the tilt axis alone, or about all three.
    longest : float
        Largest shift between the two, voxels (:func:`.matching.find_shift`).

    Returns
    -------
    ndarray
        `(3,)` degrees about x, y (a tilt), z; zero where no turn raises the correlation.
    """
    from scipy import optimize

    still = np.zeros(3)
    if axes == "none":
        return still
    factor = max(1.0, max(volume.shape) / _COARSE)
    small = [_smoothed(_small(v, factor)) for v in (reference, volume)]
    weight = None if mask is None else np.clip(_small(mask, factor), 0, 1)
    score = _Score(small[0], small[1], weight, longest / factor)
    tilts = np.arange(-SEARCHED_DEG, SEARCHED_DEG + 1e-9, _STEP_DEG)
    values = [score(np.array([0.0, tilt, 0.0])) for tilt in tilts]
    start = np.array([0.0, tilts[int(np.argmax(values))], 0.0])
    free = [1] if axes == "tilt" else [0, 1, 2]

    def loss(part: np.ndarray) -> float:
        angles = start.copy()
        angles[free] = part
        return -score(angles) if np.abs(angles).max() <= SEARCHED_DEG + _STEP_DEG else 1.0

    first = start[free] + np.vstack([np.zeros(len(free)), 0.5 * np.eye(len(free))])
    options = {"xatol": _ACCURACY_DEG, "fatol": 1e-6, "initial_simplex": first, "maxfev": 40 * len(free)}
    found = optimize.minimize(loss, start[free], method="Nelder-Mead", options=options)
    angles = start.copy()
    angles[free] = found.x
    gain = -found.fun - score(still)
    if np.abs(angles).max() < _STILL_DEG or gain < max(_GAIN, _CHANCE * score.chance(angles)):
        return still
    return angles


def _small(volume: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return np.asarray(volume, REAL)
    shape = [max(8, round(n / factor)) for n in volume.shape]
    return resample_onto(volume, (1.0,) * 3, shape, (factor,) * 3)[0]


def _smoothed(volume: np.ndarray) -> np.ndarray:
    """Without what interpolation damps: noise that a turn smooths correlates better after any turn."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(volume, _SMOOTHING, output=REAL), REAL)


class _Score:
    """Correlation after a turn and the shift that then fits best."""

    def __init__(
        self, reference: np.ndarray, volume: np.ndarray, mask: np.ndarray | None, longest: float
    ) -> None:
        self._reference, self._volume, self._mask, self._longest = reference, volume, mask, longest

    def __call__(self, angles_deg: np.ndarray) -> float:
        there = turned(self._volume, angles_deg) if np.any(angles_deg) else self._volume
        value = pearson(self._reference, self._placed(there), self._mask)
        return value if np.isfinite(value) else -1.0

    def _placed(self, there: np.ndarray) -> np.ndarray:
        shift, _ = find_shift(self._reference, there, self._mask, self._longest)
        return moved(there, shift)

    def chance(self, angles_deg: np.ndarray) -> float:
        """Standard deviation of the gain that a turn brings where there is none to be found.

        Sample correlations of independent fields scatter by sqrt(sum Pa Pb / (sum Pa sum Pb)), P being
        their power spectra (Bartlett 1946, in Fourier space): those of few strong Bragg peaks much. What
        both have in common lowers it by 1 - r², and correlations with nearly the same volume differ by less.
        """
        there, before = self._placed(turned(self._volume, angles_deg)), self._placed(self._volume)
        alike = max(0.0, min(1.0, pearson(there, before, self._mask)))
        common = pearson(self._reference, there, self._mask)
        powers = [np.abs(np.fft.rfftn(self._weighted(v))) ** 2 for v in (self._reference, self._volume)]
        half = (powers[0] * powers[1]).sum() / (powers[0].sum() * powers[1].sum())
        return float(np.sqrt(half / 2) * (1 - common**2) * np.sqrt(2 * (1 - alike)))

    def _weighted(self, volume: np.ndarray) -> np.ndarray:
        weight = np.ones_like(volume) if self._mask is None else self._mask
        return np.asarray((volume - np.average(volume, weights=weight)) * weight)
