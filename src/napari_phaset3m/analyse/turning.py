"""A small rotation that brings one volume onto another: tilt angles have no absolute zero.

Reconstructions from series whose tilts differ by a constant (another choice of zero, another alignment) are
turned against each other about the tilt axis, and no shift makes up for that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
#: A turn must raise the correlation by so many standard deviations of what chance does to it
#: (:meth:`_Score.chance`): the best of many angles and shifts of unrelated fields may lie 3 of them up.
_CHANCE = 4.0
_ACCURACY_DEG = 0.02
#: Standard deviation of the Gaussian both are smoothed with for the search, voxels of the coarse grid.
_SMOOTHING = 1.0
#: Both volumes are turned by this about each axis in question, one half of the angle more, the other less:
#: none of the angles tried then comes without interpolation, which damps noise.
_BASE_DEG = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class FoundTurn:
    """What a search for a rotation came to.

    Parameters
    ----------
    angles_deg : ndarray
        `(3,)` about x, y (a tilt), z; zero where no turn is taken.
    best_deg : ndarray
        `(3,)` where the correlation is highest.
    gain : float
        By how much the correlation there is higher than without a turn.
    chance : float
        Standard deviation of such a gain where there is no turn to be found.
    """

    angles_deg: np.ndarray = field(default_factory=lambda: np.zeros(3))
    best_deg: np.ndarray = field(default_factory=lambda: np.zeros(3))
    gain: float = 0.0
    chance: float = 0.0

    def note(self) -> str:
        """A sentence about a turn that was found and not taken; empty when there is none."""
        if self.angles_deg.any() or self.gain < _GAIN or np.abs(self.best_deg).max() < _STILL_DEG:
            return ""
        x, y, z = (f"{angle:.2f}°".replace("-", "−") for angle in self.best_deg)
        alone = not self.best_deg[[0, 2]].any()
        which = f"{y} about the tilt axis" if alone else f"{x}, {y}, {z} about x, y, z"
        return (
            f"A rotation by {which} would raise the correlation by {self.gain:.2g}, which is not beyond "
            f"chance ({_CHANCE:g} × {self.chance:.2g}): not taken."
        )


def turn_matrix(angles_deg: np.ndarray) -> np.ndarray:
    """`(3, 3)` rotation of (x, y, z) for small angles about x, the tilt axis y and z.

    The angle about y is a tilt in the sense of the series (x' = x cos - z sin); the others are right-handed.
    """
    from scipy.spatial.transform import Rotation

    x, tilt, z = np.deg2rad(angles_deg)
    return np.asarray(Rotation.from_rotvec([x, -tilt, z]).as_matrix())


def turned(volume: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    """Turn what a volume of cubic voxels holds about its centre `(n - 1) / 2`; the corners mirror the inside.

    Cubic splines: finer than linear, yet not lossless near Nyquist.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    angles_deg : ndarray
        `(3,)`, see :func:`turn_matrix`.
    """
    return _turned_by(volume, turn_matrix(angles_deg))


def _turned_by(volume: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    # a voxel of the result comes from where the inverse turn puts it; (z, y, x) order
    back = matrix.T[::-1, ::-1]
    middle = (np.array(volume.shape) - 1) / 2
    offset = middle - back @ middle
    # mirrored: a jump to 0 at the faces would ring through the splines
    found = ndimage.affine_transform(np.asarray(volume, REAL), back, offset, order=3, mode="mirror")
    return np.asarray(found, REAL)


def held(shape: tuple[int, ...], angles_deg: np.ndarray) -> tuple[slice, slice, slice]:
    """The box, as large as it can be, in which a turned volume holds data only."""
    # a point of the box moves by at most so much along each axis, (z, y, x), per half edge
    per = np.abs(turn_matrix(angles_deg)[::-1, ::-1] - np.eye(3))
    margin = np.ceil(per @ ((np.array(shape) - 1) / 2) - 1e-9).astype(int)
    parts = [slice(m, n - m) if m else slice(0, n) for m, n in zip(margin, shape, strict=True)]
    return parts[0], parts[1], parts[2]


def find_turn(
    reference: np.ndarray, volume: np.ndarray, mask: np.ndarray | None, axes: Turning, longest: float
) -> FoundTurn:
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
    """
    from scipy import optimize

    if axes == "none":
        return FoundTurn()
    factor = max(1.0, max(volume.shape) / _COARSE)
    small = [_smoothed(_small(v, factor)) for v in (reference, volume)]
    weight = None if mask is None else np.clip(_small(mask, factor), 0, 1)
    free = [1] if axes == "tilt" else [0, 1, 2]
    score = _Score(small[0], small[1], weight, free, longest / factor)
    tilts = np.arange(-SEARCHED_DEG, SEARCHED_DEG + 1e-9, _STEP_DEG)
    values = [score(np.array([0.0, tilt, 0.0])) for tilt in tilts]
    start = np.array([0.0, tilts[int(np.argmax(values))], 0.0])

    def loss(part: np.ndarray) -> float:
        angles = start.copy()
        angles[free] = part
        return -score(angles) if np.abs(angles).max() <= SEARCHED_DEG + _STEP_DEG else 1.0

    first = start[free] + np.vstack([np.zeros(len(free)), 0.5 * np.eye(len(free))])
    options = {"xatol": _ACCURACY_DEG, "fatol": 1e-6, "initial_simplex": first, "maxfev": 40 * len(free)}
    found = optimize.minimize(loss, start[free], method="Nelder-Mead", options=options)
    angles = start.copy()
    angles[free] = found.x
    gain, chance = -float(found.fun) - score(np.zeros(3)), score.chance(angles)
    taken = np.abs(angles).max() >= _STILL_DEG and gain >= max(_GAIN, _CHANCE * chance)
    return FoundTurn(angles if taken else np.zeros(3), angles, gain, chance)


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
    """Correlation after a turn and the shift that then fits best.

    All angles are judged in the same voxels: those that hold data after each of them.
    """

    def __init__(
        self,
        reference: np.ndarray,
        volume: np.ndarray,
        mask: np.ndarray | None,
        free: list[int],
        longest: float,
    ) -> None:
        self._reference, self._volume, self._longest = reference, volume, longest
        base, reach = np.zeros(3), np.zeros(3)
        base[free], reach[free] = _BASE_DEG, _BASE_DEG + (SEARCHED_DEG + _STEP_DEG) / 2
        self._base = turn_matrix(base)
        weight = np.zeros(volume.shape, REAL)
        part = held(volume.shape, reach)
        weight[part] = 1 if mask is None else np.clip(_turned_by(mask, self._base), 0, 1)[part]
        self._weight = weight

    def __call__(self, angles_deg: np.ndarray) -> float:
        one, other, shift = self._placed(angles_deg)
        value = pearson(one, moved(other, shift), self._weight)
        return value if np.isfinite(value) else -1.0

    def _placed(self, angles_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The reference, the volume turned against it, and the shift that then fits best."""
        half = turn_matrix(angles_deg / 2)
        one = _turned_by(self._reference, self._base @ half.T)
        other = _turned_by(self._volume, self._base @ half)
        return one, other, find_shift(one, other, self._weight, self._longest)[0]

    def chance(self, angles_deg: np.ndarray) -> float:
        """Standard deviation of the gain that a turn brings where there is none to be found.

        Sample correlations of independent fields scatter by sqrt(sum Pa Pb / (sum Pa sum Pb)), P being
        their power spectra (Bartlett 1946, in Fourier space): those of few strong Bragg peaks much. What
        both have in common lowers it by 1 - r², and correlations with nearly the same volume differ by less.
        """
        one, other, shift = self._placed(angles_deg)
        there, (_, _, still) = moved(other, shift), self._placed(np.zeros(3))
        before = moved(_turned_by(self._volume, self._base @ turn_matrix(-angles_deg / 2)), still)
        alike = max(0.0, min(1.0, pearson(there, before, self._weight)))
        common = pearson(one, there, self._weight)
        powers = [np.abs(np.fft.rfftn(self._weighted(v))) ** 2 for v in (one, there)]
        half_sum = (powers[0] * powers[1]).sum() / (powers[0].sum() * powers[1].sum())
        return float(np.sqrt(half_sum / 2) * (1 - common**2) * np.sqrt(2 * (1 - alike)))

    def _weighted(self, volume: np.ndarray) -> np.ndarray:
        return np.asarray((volume - np.average(volume, weights=self._weight)) * self._weight)
