"""Structure factors of many points: spread on a grid, transform, undo the spreading.

A sum of exp(-2 pi i k r) over all atoms for all frequencies costs atoms times voxels when it is written
down. Here each atom is spread over a few samples with a narrow kernel, one FFT sums them all, and the
kernel's own transform is divided out (Barnett, Magland & af Klinteberg, SIAM J. Sci. Comput. 41 (2019)
C479, whose "exponential of semicircle" kernel is used).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from scipy import fft

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.precision import COMPLEX, REAL

#: Samples of the grid per frequency that is kept, at least.
OVERSAMPLING = 1.5
#: Samples across the kernel, and its beta as a part of pi width (1 - 1 / (2 oversampling)). Measured in
#: float32: rms 2e-6 for 8 at 1.5; wider or on a coarser grid, rounding grows faster than the error falls.
_WIDTH, _BETA = 8, 0.976


@dataclass(frozen=True, slots=True)
class Kernel:
    """``exp(beta (sqrt(1 - (2 x / width)^2) - 1))`` for ``|x| < width / 2`` samples."""

    width: int
    beta: float

    def transform(self, turns: np.ndarray) -> np.ndarray:
        """Fourier transform at ``turns`` cycles per sample (float64, real)."""
        nodes, weights = np.polynomial.legendre.leggauss(64)
        x = nodes * self.width / 2
        values = np.exp(self.beta * (np.sqrt(1 - nodes**2) - 1)) * weights * self.width / 2
        return np.asarray(np.cos(2 * np.pi * np.multiply.outer(turns, x)) @ values)


@lru_cache(maxsize=32)
def kernel_for(oversampling: float) -> Kernel:
    """The kernel whose error is least for a grid so many times finer than the kept band needs."""
    return Kernel(_WIDTH, _BETA * np.pi * _WIDTH * (1 - 1 / (2 * oversampling)))


@njit(nogil=True, cache=True)
def _around(place, n, width, beta, index, weight):  # type: ignore[no-untyped-def]
    """The samples around ``place`` (periodic in n) and the kernel there."""
    first = int(np.ceil(place - width / 2))
    for j in range(width):
        u = 2 * (first + j - place) / width
        index[j] = (first + j) % n
        weight[j] = np.exp(beta * (np.sqrt(max(0.0, 1 - u * u)) - 1))


@njit(nogil=True, cache=True)
def _spread2(places, width, beta, grid):  # type: ignore[no-untyped-def]
    n0, n1 = grid.shape
    i0, i1 = np.empty(width, np.int64), np.empty(width, np.int64)
    w0, w1 = np.empty(width, np.float32), np.empty(width, np.float32)
    for a in range(places.shape[0]):
        _around(places[a, 0], n0, width, beta, i0, w0)
        _around(places[a, 1], n1, width, beta, i1, w1)
        for i in range(width):
            for j in range(width):
                grid[i0[i], i1[j]] += w0[i] * w1[j]


@njit(nogil=True, cache=True)
def _spread3(places, width, beta, grid):  # type: ignore[no-untyped-def]
    n0, n1, n2 = grid.shape
    i0, i1, i2 = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
    w0, w1, w2 = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for a in range(places.shape[0]):
        _around(places[a, 0], n0, width, beta, i0, w0)
        _around(places[a, 1], n1, width, beta, i1, w1)
        _around(places[a, 2], n2, width, beta, i2, w2)
        for i in range(width):
            for j in range(width):
                both = w0[i] * w1[j]
                for k in range(width):
                    grid[i0[i], i1[j], i2[k]] += both * w2[k]


class StructureFactor:
    """Sums of ``exp(-2 pi i k r)`` over points, for the frequencies of a periodic box.

    Parameters
    ----------
    shape : tuple of int
        Samples of the box along 2 or 3 axes: the frequencies are those of ``rfftn`` of this shape.
    spacing_angstrom : float
        Of these samples.
    band : float
        Fraction of Nyquist that is needed along each axis; beyond it the result may be wrong.
    """

    def __init__(self, shape: tuple[int, ...], spacing_angstrom: float, band: float = 1.0) -> None:
        self.shape, self.spacing_angstrom = shape, spacing_angstrom
        self._grid_shape = tuple(max(n, smooth_size(int(np.ceil(OVERSAMPLING * band * n)))) for n in shape)
        sampling = [m / (n * band) for m, n in zip(self._grid_shape, shape, strict=True)]
        self._kernel = kernel_for(round(min(sampling), 3))
        #: Along each axis: where the kept frequencies stand in the grid's transform, what undoes the kernel.
        self.keep = [_kept(n, m) for n, m in zip(shape[:-1], self._grid_shape[:-1], strict=True)]
        indices = [np.fft.fftfreq(n, 1 / n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1], 1 / shape[-1])]
        self.undo = [
            np.asarray(
                1 / self._kernel.transform(np.clip(k / m, -0.5 * band * n / m, 0.5 * band * n / m)), REAL
            )
            for k, n, m in zip(indices, shape, self._grid_shape, strict=True)
        ]

    def spread(self, positions_angstrom: np.ndarray) -> np.ndarray:
        """The grid's spectrum, before its kept part is taken out (``keep``) and set right (``undo``).

        Parameters
        ----------
        positions_angstrom : ndarray
            `(n, ndim)` from sample 0; periodic.
        """
        grid = np.zeros(self._grid_shape, REAL)
        ratio = np.array([m / n for m, n in zip(self._grid_shape, self.shape, strict=True)])
        places = np.ascontiguousarray(positions_angstrom / self.spacing_angstrom * ratio, np.float64)
        run = _spread2 if grid.ndim == 2 else _spread3
        run(places, self._kernel.width, self._kernel.beta, grid)
        workers = 1 if grid.ndim == 2 else -1  # in 2D the caller's threads own whole images
        return np.asarray(fft.rfftn(grid, workers=workers), COMPLEX)


def _kept(n: int, m: int) -> np.ndarray:
    """Indices of the frequencies of ``fftfreq(n)`` in a transform of length m >= n."""
    return np.asarray(np.r_[0 : (n + 1) // 2, m - n // 2 : m])
