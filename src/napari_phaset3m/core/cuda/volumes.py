"""Constraints' passes over whole device volumes: Gaussian synthesis and total variation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_phaset3m.core.cuda.runtime import Runtime
from napari_phaset3m.core.precision import REAL, Array


def convolve(runtime: Runtime, source: Array, target: Array, half_kernel: np.ndarray) -> None:
    """Separable symmetric convolution with zeros outside the box.

    Parameters
    ----------
    runtime : Runtime
    source, target : Array
        `(nz, nx, ny)` float32 on the device, contiguous, not the same.
    half_kernel : ndarray
        `(radius + 1,)` float32, the kernel from its centre outwards.
    """
    kernel, scratch = runtime.xp.asarray(half_kernel), runtime.xp.empty(source.shape, REAL)
    sizes = tuple(np.int64(n) for n in source.shape)
    for axis, (before, after) in enumerate(((source, target), (target, scratch), (scratch, target))):
        runtime.launch(
            "convolve_axis", source.shape[0] * source.shape[1], before, after, kernel,
            np.int64(len(half_kernel) - 1), np.int64(axis), *sizes,
        )  # fmt: skip


def total_variation_prox(runtime: Runtime, volume: Array, weight: float, steps: Sequence[np.ndarray]) -> None:
    """The accelerated dual iteration of ``reconstruct.constraints.tv``, in place.

    Parameters
    ----------
    runtime : Runtime
    volume : Array
        `(nz, nx, ny)` float32 on the device, contiguous.
    weight : float
    steps : sequence of ndarray
        (weight, step / weight, momentum) of each iteration.
    """
    xp, sizes = runtime.xp, tuple(np.int64(n) for n in volume.shape)
    p, q = (xp.zeros((3, *volume.shape), REAL) for _ in range(2))
    primal, rows = xp.empty(volume.shape, REAL), volume.shape[0] * volume.shape[1]
    for _, step, beta in steps:
        runtime.launch("tv_primal", rows, volume, q, primal, np.float32(weight), *sizes)
        runtime.launch("tv_dual", rows, primal, p, q, np.float32(step), np.float32(beta), *sizes)
    runtime.launch("tv_primal", rows, volume, p, volume, np.float32(weight), *sizes)
