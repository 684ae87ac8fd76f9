"""Bring one volume onto another: sub-voxel shift and scale."""

from __future__ import annotations

import math

import numpy as np

from napari_phaset3m.analyse.fsc_curve import noise_bound
from napari_phaset3m.analyse.sampling import moved, unwrapped
from napari_phaset3m.analyse.shells import ShellGrid, correlation, half_spectrum, masked
from napari_phaset3m.core.precision import ACCUMULATE, REAL

#: Largest shift that is searched when none is given, fraction of the shortest edge.
SEARCHED = 0.25
#: A refinement has converged when it moves by less than this, voxels.
_CONVERGED = 1e-3
_ROUNDS, _PASSES = 20, 3
#: Least squares that leaves the correlation's peak by more than this has lost it, voxels.
_BASIN = 4.0
#: Frequency that decides while searching on whole voxels, 1/voxel.
_SEARCH_BAND = 0.12
#: Taper at the box edges while searching on whole voxels, fraction of an edge on each side.
_TAPER = 0.125


def find_shift(
    reference: np.ndarray, volume: np.ndarray, mask: np.ndarray | None, longest: float
) -> tuple[np.ndarray, bool]:
    """By how much a volume must move to lie on a reference.

    The highest cross-correlation on whole voxels; then least squares between the reference and the
    moved volume in the mask, iterated, without what came in from the opposite side. Both are
    weighted by their FSC first, so that shells that only hold noise have no say, and the curvature
    is taken from the product of the two gradients, in which independent noise cancels.

    Parameters
    ----------
    reference, volume : ndarray
        `(nz, ny, nx)` of one shape.
    mask : ndarray or None
        Where the two are compared.
    longest : float
        Largest shift that is searched along each axis, voxels.

    Returns
    -------
    shift : ndarray
        `(3,)` (z, y, x) voxels.
    refined : bool
        False when least squares did not settle near the correlation's peak; the shift is then
        that of the peak, in whole voxels.
    """
    reference, volume = periodic_part(reference), periodic_part(volume)
    # Without a mask the faces, where opposite sides meet, still have no say.
    mask = _taper(reference.shape) if mask is None else mask
    peak = _coarse_shift(reference, volume, mask, longest)
    shift = peak
    for _ in range(_PASSES):
        begin = shift
        gain = _reliable(reference, moved(volume, shift), mask)
        if not gain.any():
            return peak, False
        found = _settle(_filtered(reference, gain), _filtered(volume, gain), mask, shift)
        if found is None or np.abs(found - peak).max() > _BASIN:
            return peak, False
        shift = found
        if np.abs(shift - begin).max() < 0.5:
            return shift, True
    return shift, True


def _settle(
    reference: np.ndarray, volume: np.ndarray, mask: np.ndarray, start: np.ndarray
) -> np.ndarray | None:
    """Least squares from a start until it stands still; None when it does not."""
    slopes = _gradient(reference)
    shift = start.copy()
    for _ in range(_ROUNDS):
        weight = np.zeros(reference.shape, REAL)
        part = unwrapped(reference.shape, shift)
        weight[part] = mask[part]
        step = _least_squares_step(reference, moved(volume, shift), weight, slopes)
        if step is None or np.abs(shift + step - start).max() > _BASIN:
            return None
        shift = shift + step
        if np.abs(step).max() < _CONVERGED:
            return np.asarray(shift)
    return None


def _reliable(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`(n + 1,)` FSC of two volumes per shell (index 0: the mean), 0 where it may be noise."""
    grid = ShellGrid(a.shape, 1.0)
    n = grid.counts()
    pair = half_spectrum(masked(a, mask)), half_spectrum(masked(b, mask))
    found = np.nan_to_num(correlation(*grid.correlate(*pair), n))
    return np.concatenate([[0.0], np.where(found > noise_bound(n), found, 0.0)])


def _filtered(volume: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """A volume times a factor for each shell; what lies beyond Nyquist is left out."""
    from scipy import fft

    spectrum = half_spectrum(volume)
    grid = ShellGrid(volume.shape, 1.0)
    for z in range(volume.shape[0]):
        plane = grid.plane(z)
        kept = np.zeros(spectrum[z].size, spectrum.dtype)
        kept[plane.points] = spectrum[z].ravel()[plane.points] * gain[plane.shell].astype(REAL)
        spectrum[z] = kept.reshape(spectrum[z].shape)
    return np.asarray(fft.irfftn(spectrum, s=volume.shape, workers=1), REAL)


def periodic_part(volume: np.ndarray) -> np.ndarray:
    """A volume without the smooth part that makes opposite faces differ.

    Without it the jump from face to face rings through every Fourier operation, at the same
    place however the specimen moved (Moisan, J. Math. Imaging Vis. 39 (2011) 161).
    """
    from scipy import fft

    jump = np.zeros(volume.shape, REAL)
    for axis in range(3):
        u, v = np.moveaxis(volume, axis, 0), np.moveaxis(jump, axis, 0)
        step = u[-1] - u[0]
        v[0] += step
        v[-1] -= step
    axes = [2 * np.cos(2 * np.pi * np.fft.fftfreq(n)) - 2 for n in volume.shape]
    axes[2] = axes[2][: volume.shape[2] // 2 + 1]
    laplace = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    laplace[0, 0, 0] = 1
    smooth = fft.rfftn(jump, workers=1) / laplace.astype(REAL)
    smooth[0, 0, 0] = 0
    return np.asarray(volume - fft.irfftn(smooth, s=volume.shape, workers=1), REAL)


def _coarse_shift(reference: np.ndarray, volume: np.ndarray, mask: np.ndarray, longest: float) -> np.ndarray:
    from scipy import fft

    a = half_spectrum(masked(reference, mask))
    b = half_spectrum(masked(volume, _taper(reference.shape)))
    product = a * b.conj() * _band(reference.shape)
    score = fft.irfftn(product, s=reference.shape, workers=1)
    for axis, n in enumerate(reference.shape):
        far = np.abs(np.fft.fftfreq(n) * n) > longest
        view = [1, 1, 1]
        view[axis] = n
        score = np.where(far.reshape(view), -np.inf, score)
    found = np.unravel_index(int(np.argmax(score)), reference.shape)
    return np.array([i - n if i > n // 2 else i for i, n in zip(found, reference.shape, strict=True)], float)


def _band(shape: tuple[int, ...]) -> np.ndarray:
    """``k^2 exp(-k^2 / (2 k0^2))`` on the half spectrum.

    Slopes of the background, which look alike at any shift, and the noise of single voxels
    should not decide where two volumes match.
    """
    grid = ShellGrid(shape, 1.0)
    k2 = grid.kz[:, None, None] ** 2 + grid.ky[None, :, None] ** 2 + grid.kx[None, None, :] ** 2
    return np.asarray(k2 * np.exp(-k2 / (2 * _SEARCH_BAND**2)), REAL)


def _taper(shape: tuple[int, ...]) -> np.ndarray:
    """1 inside, falling to 0 at the faces: the opposite faces of a box do not belong together."""
    result = np.ones(shape, REAL)
    for axis, n in enumerate(shape):
        depth = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
        profile = np.sin(np.pi / 2 * np.clip(depth / (_TAPER * n), 0, 1)) ** 2
        view = [1, 1, 1]
        view[axis] = n
        result *= profile.reshape(view).astype(REAL)
    return result


def _gradient(volume: np.ndarray) -> list[np.ndarray]:
    """Derivatives along z, y, x per voxel, float32."""
    from scipy import fft

    spectrum = fft.rfftn(np.asarray(volume, REAL), workers=1)
    found = []
    for axis, n in enumerate(volume.shape):
        k = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
        factor = 2j * np.pi * k
        if n % 2 == 0:
            factor[n // 2] = 0
        view = [1, 1, 1]
        view[axis] = k.size
        part = spectrum * factor.reshape(view).astype(np.complex64)
        found.append(np.asarray(fft.irfftn(part, s=volume.shape, workers=1), REAL))
    return found


def _least_squares_step(
    reference: np.ndarray, volume: np.ndarray, weight: np.ndarray, slopes: list[np.ndarray]
) -> np.ndarray | None:
    """Further shift of ``volume``; None when it is not determined."""
    scale, offset = fit_scale(reference, volume, weight)
    if not scale:
        return None
    rest = (reference - scale * volume - offset) * weight
    own = _gradient(volume)
    normal = np.array([[_dot(p * weight, q) for q in own] for p in slopes])
    normal = (normal + normal.T) / 2
    # volume(x - s) = volume - s . gradient, so the residual falls by scale s . gradient.
    right = np.array([-_dot(rest, q) for q in own])
    values = np.linalg.eigvalsh(normal * np.sign(scale))
    if not values.min() > 1e-9 * max(values.max(), 1e-30):
        return None
    step = np.linalg.solve(normal, right)
    return np.asarray(np.clip(step, -1, 1))


def fit_scale(
    reference: np.ndarray, volume: np.ndarray, weight: np.ndarray | None, *, offset: bool = True
) -> tuple[float, float]:
    """Scale and offset that bring ``volume`` closest to ``reference`` (weighted least squares).

    Returns
    -------
    scale, offset : float
        ``reference ~ scale * volume + offset``; scale 0 when ``volume`` is constant.
    """
    w = np.ones(reference.shape, REAL) if weight is None else weight
    total = float(w.sum(dtype=ACCUMULATE))
    wv = w * volume
    mean_a = _dot(w, reference) / total if offset else 0.0
    mean_b = float(wv.sum(dtype=ACCUMULATE)) / total if offset else 0.0
    covariance = _dot(wv, reference) / total - mean_a * mean_b
    variance = _dot(wv, volume) / total - mean_b**2
    if not variance > 1e-12 * (mean_b**2 + 1e-30):
        return 0.0, mean_a
    scale = covariance / variance
    return scale, mean_a - scale * mean_b


def pearson(a: np.ndarray, b: np.ndarray, weight: np.ndarray | None) -> float:
    """Weighted correlation coefficient; NaN when one of them is constant."""
    w = np.ones(a.shape, REAL) if weight is None else weight
    total = float(w.sum(dtype=ACCUMULATE))
    da, db = a - REAL(_dot(w, a) / total), b - REAL(_dot(w, b) / total)
    size = math.sqrt(_dot(w * da, da) * _dot(w * db, db))
    return _dot(w * da, db) / size if size > 0 else float("nan")


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    # Plane by plane: float64 sums without a float64 copy of the volume.
    return float(sum(float((p.astype(ACCUMULATE) * q).sum()) for p, q in zip(a, b, strict=True)))
