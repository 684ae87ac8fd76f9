"""Isotropic 3D total variation: its proximal map by the fast gradient projection.

Rudin, Osher & Fatemi, Physica D 60 (1992) 259 (the model); Chambolle, J. Math. Imaging
Vis. 20 (2004) 89 (the dual); Beck & Teboulle, IEEE Trans. Image Process. 18 (2009)
2419 (the accelerated dual iteration, FGP).

Dual fields `p`, `r` live on the faces between voxels, `(3, nz, nx, ny)`; the denoised
volume is `v - w D^T p` with D the forward differences (zero at the far faces).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import array_module, cpu_threads
from napari_phaset3m.core.cuda.runtime import cuda_runtime
from napari_phaset3m.core.cuda.volumes import total_variation_prox
from napari_phaset3m.core.precision import ACCUMULATE, REAL, Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints.base import Scheduled

#: 1 / ||D||^2 for three dimensions: the largest stable step of the dual iteration.
DUAL_STEP = 1 / 12


@njit(nogil=True, fastmath=True, cache=True)
def _primal_plane(v, p, weight, z, out):  # type: ignore[no-untyped-def]
    """``out = (v - weight D^T p)`` at plane ``z``."""
    nz, nx, ny = v.shape
    for x in range(nx):
        for y in range(ny):
            d = np.float32(0.0)
            if z < nz - 1:
                d -= p[0, z, x, y]
            if z > 0:
                d += p[0, z - 1, x, y]
            if x < nx - 1:
                d -= p[1, z, x, y]
            if x > 0:
                d += p[1, z, x - 1, y]
            out[x, y] = v[z, x, y] - weight * d
        # The differences along y apart: branch-free rows vectorise.
        for y in range(ny - 1):
            out[x, y] += weight * p[2, z, x, y]
        for y in range(1, ny):
            out[x, y] -= weight * p[2, z, x, y - 1]


@njit(nogil=True, fastmath=True, cache=True)
def _dual_slab(v, p, r, numbers, bounds, planes):  # type: ignore[no-untyped-def]
    """One FGP step of planes ``bounds[0]:bounds[1]``, in place.

    ``numbers`` (weight, step / weight, momentum); ``planes`` `(3, nx, ny)`: the primal at
    the first plane, scratch, and the primal at plane ``bounds[1]`` as it was before any
    slab changed ``r``.
    """
    nz, nx, ny = v.shape
    weight, step, beta = numbers[0], numbers[1], numbers[2]
    first, last = bounds[0], bounds[1]
    here, below = planes[0], planes[1]
    for z in range(first, last):
        if z + 1 == last:
            below = planes[2]
        else:
            _primal_plane(v, r, weight, z + 1, below)
        for x in range(nx):
            for y in range(ny):
                u = here[x, y]
                g0 = below[x, y] - u if z < nz - 1 else np.float32(0.0)
                g1 = here[x + 1, y] - u if x < nx - 1 else np.float32(0.0)
                g2 = here[x, y + 1] - u if y < ny - 1 else np.float32(0.0)
                q0 = r[0, z, x, y] + step * g0
                q1 = r[1, z, x, y] + step * g1
                q2 = r[2, z, x, y] + step * g2
                shrink = np.float32(1.0) / max(np.float32(1.0), np.sqrt(q0 * q0 + q1 * q1 + q2 * q2))
                q0 *= shrink
                q1 *= shrink
                q2 *= shrink
                r[0, z, x, y] = q0 + beta * (q0 - p[0, z, x, y])
                r[1, z, x, y] = q1 + beta * (q1 - p[1, z, x, y])
                r[2, z, x, y] = q2 + beta * (q2 - p[2, z, x, y])
                p[0, z, x, y] = q0
                p[1, z, x, y] = q1
                p[2, z, x, y] = q2
        here, below = below, here


def _solve_cpu(v: np.ndarray, weight: float, iterations: int, threads: int) -> None:
    nz, nx, ny = v.shape
    p, r = np.zeros((3, *v.shape), REAL), np.zeros((3, *v.shape), REAL)
    edges = np.unique(np.linspace(0, nz, min(threads, nz) + 1).astype(np.int64))
    slabs = list(pairwise(edges))
    planes = np.zeros((len(slabs), 3, nx, ny), REAL)
    with ThreadPoolExecutor(len(slabs)) as pool:
        for numbers in _fgp_numbers(weight, iterations):
            for i, (first, last) in enumerate(slabs):
                _primal_plane(v, r, numbers[0], first, planes[i, 0])
                if last < nz:
                    _primal_plane(v, r, numbers[0], last, planes[i, 2])
            jobs = [
                pool.submit(_dual_slab, v, p, r, numbers, np.array(slab), planes[i])
                for i, slab in enumerate(slabs)
            ]
            for job in jobs:
                job.result()
    plane = np.empty((nx, ny), REAL)
    for z in range(nz):
        _primal_plane(v, p, REAL(weight), z, plane)
        v[z] = plane


def _fgp_numbers(weight: float, iterations: int) -> list[np.ndarray]:
    numbers, t = [], 1.0
    for _ in range(iterations):
        t_next = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        numbers.append(np.array([weight, DUAL_STEP / weight, (t - 1) / t_next], REAL))
        t = t_next
    return numbers


def tv_prox(volume: Array, weight: float, *, iterations: int = 20, threads: int | None = None) -> None:
    """Replace ``volume`` by ``argmin_u 1/2 ||u - volume||^2 + weight TV(u)``.

    Parameters
    ----------
    volume : Array
        `(nz, nx, ny)` float32, changed in place.
    weight : float
        In the volume's unit.
    iterations : int
        Of the dual; 20 leave the objective within 1 to 2 % of its minimum.
    threads : int, optional
        CPU threads; all when omitted. The result does not depend on it.

    Notes
    -----
    Holds six volumes while it runs (seven on a GPU).
    """
    if weight <= 0 or iterations < 1:
        return
    xp = array_module(volume)
    if xp is np:
        _solve_cpu(volume, weight, iterations, threads or cpu_threads())
    else:
        total_variation_prox(cuda_runtime(), volume, weight, _fgp_numbers(weight, iterations))


def total_variation(volume: Array) -> float:
    """Isotropic total variation of `(nz, nx, ny)`: the sum of gradient lengths."""
    xp = array_module(volume)
    square = xp.zeros(volume.shape, REAL)
    for axis in range(3):
        inner = [slice(None)] * 3
        inner[axis] = slice(None, -1)
        square[tuple(inner)] += xp.diff(volume, axis=axis) ** 2
    return float(xp.sqrt(square).sum(dtype=ACCUMULATE))


class TotalVariation(Scheduled):
    """The TV proximal map on every channel.

    Parameters
    ----------
    weight : float
        In the volume's unit.
    iterations : int
    threads : int, optional
    schedule : Schedule, optional

    Raises
    ------
    ConfigError
        ``weight`` is negative.
    """

    name = "total variation"

    def __init__(
        self,
        weight: float,
        *,
        iterations: int = 20,
        threads: int | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(schedule)
        if not weight >= 0:
            raise ConfigError(f"tv_weight: must not be negative, but is {weight}")
        self.weight, self.iterations, self.threads = float(weight), iterations, threads

    def _impose(self, volume: Array) -> None:
        for channel in volume:
            tv_prox(channel, self.weight, iterations=self.iterations, threads=self.threads)
