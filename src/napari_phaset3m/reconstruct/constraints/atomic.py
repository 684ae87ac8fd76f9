"""The atomic basis: the potential as Gaussians with non-negative amplitudes.

``V = G c``, ``c >= 0``: a change of variables that rules out detail finer than an atom
without damping the peaks (blobs as basis functions: Lewitt, J. Opt. Soc. Am. A 7 (1990)
1834; atomicity as a constraint on electron tomograms: DESIGN section 3).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numba import njit

from napari_phaset3m.core.backend import array_module, cpu_threads
from napari_phaset3m.core.cuda.runtime import cuda_runtime
from napari_phaset3m.core.cuda.volumes import convolve
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.update import split

#: Standard deviations after which the kernel is cut off.
TRUNCATE = 4.0


@njit(nogil=True, fastmath=True, cache=True)
def _along_rows(plane, kernel, out):  # type: ignore[no-untyped-def]
    """``out[i] = sum_j kernel[|j|] plane[i + j]`` over the first axis, zero outside."""
    n, m = plane.shape
    radius = kernel.size - 1
    for i in range(n):
        row, centre = out[i], plane[i]
        for y in range(m):
            row[y] = kernel[0] * centre[y]
        for k in range(1, radius + 1):
            w = kernel[k]
            if i >= k and i + k < n:
                below, above = plane[i - k], plane[i + k]
                for y in range(m):
                    row[y] += w * (below[y] + above[y])
            elif i >= k or i + k < n:
                one = plane[i - k] if i >= k else plane[i + k]
                for y in range(m):
                    row[y] += w * one[y]


@njit(nogil=True, fastmath=True, cache=True)
def _along_y(plane, kernel, out, line):  # type: ignore[no-untyped-def]
    """Do the same over the second axis; ``line`` holds a row with its zero borders."""
    n, m = plane.shape
    radius = kernel.size - 1
    line[:] = 0
    for i in range(n):
        # Loops, not assignments between slices: Numba compiles their error messages for seconds.
        for y in range(m):
            line[radius + y] = plane[i, y]
        row = out[i]
        for y in range(m):
            row[y] = kernel[0] * line[radius + y]
        for k in range(1, radius + 1):
            w = kernel[k]
            for y in range(m):
                row[y] += w * (line[radius + y - k] + line[radius + y + k])


@njit(nogil=True, fastmath=True, cache=True)
def _planes_xy(source, target, kernel, first, last):  # type: ignore[no-untyped-def]
    _, nx, ny = source.shape
    scratch = np.empty((nx, ny), np.float32)
    line = np.empty(ny + 2 * (kernel.size - 1), np.float32)
    for z in range(first, last):
        _along_rows(source[z], kernel, scratch)
        _along_y(scratch, kernel, target[z], line)


@njit(nogil=True, fastmath=True, cache=True)
def _planes_z(target, kernel, first, last):  # type: ignore[no-untyped-def]
    nz, _, ny = target.shape
    plane = np.empty((nz, ny), np.float32)
    out = np.empty((nz, ny), np.float32)
    for x in range(first, last):
        for z in range(nz):
            for y in range(ny):
                plane[z, y] = target[z, x, y]
        _along_rows(plane, kernel, out)
        for z in range(nz):
            for y in range(ny):
                target[z, x, y] = out[z, y]


class AtomicBasis:
    """The Gaussian synthesis ``V = G c`` and its adjoint.

    Parameters
    ----------
    sigma_angstrom : float
        Standard deviation of the Gaussian.
    voxel_angstrom : float
    threads : int, optional
        CPU threads; all when omitted. The result does not depend on it.

    Raises
    ------
    ConfigError
        A width is not positive.

    Notes
    -----
    ``G`` is a separable convolution with a kernel of sum 1, cut off at 4 sigma, and zeros
    outside the box. It is symmetric, so it is its own adjoint, and its norm is at most 1:
    a step that is stable for V is stable for c.
    """

    def __init__(self, sigma_angstrom: float, voxel_angstrom: float, *, threads: int | None = None) -> None:
        if not (sigma_angstrom > 0 and voxel_angstrom > 0):
            raise ConfigError(
                f"atomic_basis_sigma_angstrom: needs a positive width and voxel, "
                f"not {sigma_angstrom} and {voxel_angstrom}"
            )
        self.sigma_angstrom, self.voxel_angstrom = float(sigma_angstrom), float(voxel_angstrom)
        self.threads = threads or cpu_threads()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="phaset3m-basis")
        width = self.sigma_angstrom / self.voxel_angstrom
        distance = np.arange(int(np.ceil(TRUNCATE * width)) + 1)
        half = np.exp(-0.5 * (distance / width) ** 2)
        #: `(radius + 1,)` float32: the kernel from its centre outwards.
        self.half_kernel = (half / (2 * half.sum() - half[0])).astype(REAL)

    def synthesize(self, c: Array, out: Array | None = None) -> Array:
        """``V = G c``.

        Parameters
        ----------
        c : Array
            `(..., nz, nx, ny)` float32 amplitudes, C-contiguous.
        out : Array, optional
            Where to put the result; must not be ``c`` itself.

        Returns
        -------
        Array
            `(..., nz, nx, ny)` float32, a new array when ``out`` is omitted.
        """
        xp = array_module(c)
        if out is None:
            out = xp.empty_like(c)
        shape = (-1, *c.shape[-3:])
        for source, target in zip(c.reshape(shape), out.reshape(shape), strict=True):
            if xp is np:
                self._convolve_cpu(source, target)
            else:
                convolve(cuda_runtime(), source, target, self.half_kernel)
        return out

    def adjoint(self, gradient: Array, out: Array | None = None) -> Array:
        """``G^T g``, which is ``G g``: the gradient by c from the gradient by V."""
        return self.synthesize(gradient, out)

    def fit(self, volume: Array, iterations: int = 20) -> Array:
        """Amplitudes c >= 0 whose synthesis is close to a non-negative ``volume``.

        Multiplicative iteration of Richardson, J. Opt. Soc. Am. 62 (1972) 55, and Lucy,
        Astron. J. 79 (1974) 745; negative voxels count as 0.
        """
        xp = array_module(volume)
        wanted = xp.maximum(volume, REAL(0))
        tiny = REAL(1e-6) * max(float(wanted.max()), 1e-30)
        weight = self.adjoint(xp.ones_like(wanted))
        c = wanted.copy()
        for _ in range(iterations):
            ratio = wanted / xp.maximum(self.synthesize(c), tiny)
            c *= self.adjoint(ratio) / weight
        return c

    def _convolve_cpu(self, source: np.ndarray, target: np.ndarray) -> None:
        nz, nx, _ = source.shape
        split(self._pool, self.threads, nz, partial(_planes_xy, source, target, self.half_kernel))
        split(self._pool, self.threads, nx, partial(_planes_z, target, self.half_kernel))
