"""Peaks in the 3D Fourier transform of a windowed particle, measured against their surroundings.

Vectors are (x, y, z) in 1/angstrom; only one of each Friedel pair is kept. Radii are in
units of 1/w, w being the width of the window: a peak is about 1/w wide whatever the crystal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.window import ParticleWindow
from napari_phaset3m.core.precision import REAL

#: A peak may lie this far from where it is expected.
PEAK_RADIUS = 0.675
#: Its background is the shell between these two radii ...
BACKGROUND_RADII = (2.475, 4.05)
#: ... except within this distance of any lattice point.
LATTICE_CLEARANCE = 2.25
#: Amplitude over local background, in robust standard deviations, from which a peak counts.
SNR_THRESHOLD = 5.0
#: Robust statistics of fewer points would be a guess.
LEAST_BACKGROUND = 40

_OVERSAMPLING = 3.2
_MAX_GRID = 512
_MAX_CANDIDATES = 1500
_BACKGROUND_SAMPLE = 1500


@dataclass(frozen=True, slots=True, eq=False)
class WindowedTransform:
    """Fourier transform of a windowed volume on a fine cubic grid.

    Parameters
    ----------
    half : ndarray
        `(n, n, n // 2 + 1)` complex64, axes z, y, x, zero frequency first.
    step : float
        Spacing of the grid, 1/angstrom.
    width_angstrom : float
        Of the window.
    origin_angstrom : ndarray
        (x, y, z) of the first voxel from the rotation centre, for the phases.
    nyquist : float
        1/angstrom.
    """

    half: np.ndarray
    step: float
    width_angstrom: float
    origin_angstrom: np.ndarray
    nyquist: float

    def index(self, q: np.ndarray) -> np.ndarray:
        """Nearest grid points (x, y, z order, int64) of vectors `(..., 3)`."""
        return np.rint(np.asarray(q) / self.step).astype(np.int64)

    def values(self, index: np.ndarray) -> np.ndarray:
        """Complex values at grid points `(..., 3)`, without the phase of the origin."""
        n = self.half.shape[0]
        wrapped = (index + n // 2) % n - n // 2
        mirrored = wrapped[..., 0] < 0
        i = np.where(mirrored[..., None], -wrapped, wrapped)
        value = self.half[i[..., 2] % n, i[..., 1] % n, i[..., 0]]
        return np.asarray(np.where(mirrored, np.conj(value), value))

    def phased(self, index: np.ndarray) -> np.ndarray:
        """Complex values with phases that refer to the rotation centre."""
        turn = np.exp(-2j * np.pi * self.step * (index @ self.origin_angstrom))
        return np.asarray(self.values(index) * turn)

    def ball(self, radius: float) -> np.ndarray:
        """`(m, 3)` int64 grid offsets within ``radius``, given in units of 1/width."""
        reach = radius / self.width_angstrom / self.step
        axis = np.arange(-int(reach), int(reach) + 1)
        points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        return np.asarray(points[(points**2).sum(axis=1) <= reach**2])

    def inside(self, index: np.ndarray) -> np.ndarray:
        """Whether grid points `(..., 3)` lie below Nyquist on every axis."""
        return np.asarray(np.abs(index).max(axis=-1) * self.step < self.nyquist)


def windowed_transform(volume: np.ndarray, window: ParticleWindow) -> WindowedTransform:
    """Transform the windowed part of a volume, padded to about 3 points per 1/width.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`, of which ``window`` was made.
    window : ParticleWindow
    """
    from scipy import fft

    part = window.cut(volume)
    widest, voxel = max(part.shape), window.voxel_size_angstrom
    wanted = _OVERSAMPLING * window.width_angstrom / voxel
    n = fft.next_fast_len(int(np.ceil(max(min(wanted, _MAX_GRID), 1.5 * widest))), real=True)
    half = fft.rfftn(part, (n, n, n), workers=1)
    return WindowedTransform(
        half, 1 / (n * voxel), window.width_angstrom, window.origin_angstrom(volume.shape), 0.5 / voxel
    )


@dataclass(frozen=True, slots=True, eq=False)
class PeakList:
    """Peaks found without knowing any lattice, strongest first.

    Parameters
    ----------
    q_per_angstrom : ndarray
        `(n, 3)` (x, y, z), fitted between grid points; one of each Friedel pair.
    snr : ndarray
        `(n,)` height over the local background in robust standard deviations.
    amplitude : ndarray
        `(n,)` heights, relative to the strongest.
    """

    q_per_angstrom: np.ndarray
    snr: np.ndarray
    amplitude: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.q_per_angstrom, self.snr, self.amplitude):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.snr)

    @property
    def d_angstrom(self) -> np.ndarray:
        """`(n,)` spacings."""
        return np.asarray(1 / np.linalg.norm(self.q_per_angstrom, axis=1))

    def rows(self) -> list[dict[str, float]]:
        """One row per peak."""
        keys = ("qx_per_angstrom", "qy_per_angstrom", "qz_per_angstrom", "d_angstrom", "snr", "amplitude")
        columns = np.column_stack([self.q_per_angstrom, self.d_angstrom, self.snr, self.amplitude])
        return [dict(zip(keys, map(float, row), strict=True)) for row in columns]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"peaks": self.rows()}


def find_peaks(
    transform: WindowedTransform,
    *,
    min_snr: float = SNR_THRESHOLD,
    min_frequency: float | None = None,
    max_frequency: float | None = None,
) -> PeakList:
    """Peaks of a transform that stand out of their surroundings.

    Parameters
    ----------
    transform : WindowedTransform
    min_snr : float
        Height over the local median, in units of 1.4826 times the median absolute deviation,
        both over the shell ``BACKGROUND_RADII`` around the peak.
    min_frequency, max_frequency : float, optional
        Range looked in, 1/angstrom: from 2.8/width (below, the shape of the particle rules)
        to 0.95 Nyquist when omitted.

    Notes
    -----
    The amplitude of a Gaussian random field is Rayleigh distributed, so the default threshold
    is passed by chance at 4e-5 of the points.
    """
    low = 2.8 / transform.width_angstrom if min_frequency is None else min_frequency
    high = 0.95 * transform.nyquist if max_frequency is None else max_frequency
    index, height = _maxima(transform, low, high)
    snr = _blind_snr(transform, index, height)
    good = np.flatnonzero(snr >= min_snr)
    q = _refine(transform, index[good]) * transform.step
    order = np.argsort(-snr[good], kind="stable")
    kept = _merged(q[order], PEAK_RADIUS / transform.width_angstrom)
    chosen = good[order][kept]
    strongest = float(height[chosen].max()) if len(chosen) else 1.0
    return PeakList(q[order][kept], snr[chosen], height[chosen] / strongest)


def _maxima(transform: WindowedTransform, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima, the strongest of their neighbourhood: grid points (x, y, z) and heights."""
    from scipy import ndimage

    amplitude = np.abs(transform.half)
    n = amplitude.shape[0]
    size = 2 * max(1, round(0.5 / transform.width_angstrom / transform.step)) + 1
    # What lies at negative kx is the mate of what is kept: beyond the edge a peak may rise on.
    beyond, mate = size // 2, -np.arange(n) % n
    left = amplitude[mate][:, mate][:, :, beyond:0:-1]
    whole = np.concatenate([left, amplitude], axis=2)
    top = ndimage.maximum_filter(whole, size, mode=("wrap", "wrap", "nearest"))[:, :, beyond:]
    k = np.fft.fftfreq(n, 1 / n) * transform.step
    kx = np.arange(amplitude.shape[2]) * transform.step
    radius2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + kx[None, None, :] ** 2
    z, y, x = np.nonzero((amplitude == top) & (radius2 >= low**2) & (radius2 <= high**2))
    height = amplitude[z, y, x]
    best = np.argsort(-height, kind="stable")[:_MAX_CANDIDATES]
    index = np.stack([x, (y + n // 2) % n - n // 2, (z + n // 2) % n - n // 2], axis=1)
    return index[best].astype(np.int64), height[best]


def _blind_snr(transform: WindowedTransform, index: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Height over the surroundings; other peaks in the shell are left to the robust statistics."""
    ball = transform.ball(BACKGROUND_RADII[1])
    inner = BACKGROUND_RADII[0] / transform.width_angstrom / transform.step
    shell = ball[(ball**2).sum(axis=1) >= inner**2]
    if len(shell) > _BACKGROUND_SAMPLE:
        picked = np.random.default_rng(0).choice(len(shell), _BACKGROUND_SAMPLE, replace=False)
        shell = shell[picked]
    snr = np.empty(len(index), REAL)
    for start in range(0, len(index), 100):
        # beyond Nyquist the transform repeats itself: background as good as any other
        around = np.abs(transform.values(index[start : start + 100, None] + shell))
        middle = np.median(around, axis=1)
        spread = 1.4826 * np.median(np.abs(around - middle[:, None]), axis=1)
        snr[start : start + 100] = (height[start : start + 100] - middle) / np.maximum(spread, 1e-30)
    return snr


def _refine(transform: WindowedTransform, index: np.ndarray) -> np.ndarray:
    """Grid coordinates of the top of a parabola fitted to the logarithm of the 27 values around."""
    if len(index) == 0:
        return np.empty((0, 3))
    offset = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    x, y, z = offset.T.astype(float)
    design = np.stack([np.ones(27), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    logs = np.log(np.maximum(np.abs(transform.values(index[:, None] + offset)), 1e-30))
    c = logs.astype(float) @ np.linalg.pinv(design).T
    hessian = np.empty((len(index), 3, 3))
    for i in range(3):
        hessian[:, i, i] = 2 * c[:, 4 + i]
    for column, (i, j) in zip((7, 8, 9), ((0, 1), (0, 2), (1, 2)), strict=True):
        hessian[:, i, j] = hessian[:, j, i] = c[:, column]
    # A shoulder is no top: it keeps its grid point.
    top = (np.linalg.eigvalsh(hessian) < -1e-9).all(axis=1)
    shift = np.zeros((len(index), 3))
    shift[top] = -np.linalg.solve(hessian[top], c[top, 1:4, None])[..., 0]
    shift[(np.abs(shift) > 1).any(axis=1)] = 0
    return np.asarray(index + shift)


def _merged(q: np.ndarray, radius: float) -> np.ndarray:
    """Positions to keep: the first of those that agree within ``radius``, up to the sign."""
    kept: list[int] = []
    for i, one in enumerate(q):
        others = q[kept]
        near = np.minimum(np.linalg.norm(others - one, axis=1), np.linalg.norm(others + one, axis=1))
        if not (near < radius).any():
            kept.append(i)
    return np.array(kept, np.intp)
