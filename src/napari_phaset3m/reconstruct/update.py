"""Fused in-place passes over volumes, split over threads; GIL released."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from itertools import pairwise

import numpy as np
from numba import njit


@njit(nogil=True, fastmath=True, cache=True)
def _descend(volume, slots, scale, step, low):  # type: ignore[no-untyped-def]
    n = volume.size
    scaled = scale.size == n
    for i in range(n):
        total = slots[0, i]
        slots[0, i] = 0
        for j in range(1, slots.shape[0]):
            total += slots[j, i]
            slots[j, i] = 0
        if scaled:
            total *= scale[i]
        value = volume[i] - step * total
        volume[i] = value if value > low else low


@njit(nogil=True, fastmath=True, cache=True)
def _extrapolate(volume, previous, beta):  # type: ignore[no-untyped-def]
    for i in range(volume.size):
        value = volume[i]
        volume[i] = value + beta * (value - previous[i])
        previous[i] = value


def _split(pool: Executor, parts: int, size: int, work: Callable[[slice], None]) -> None:
    edges = np.linspace(0, size, parts + 1).astype(int)
    jobs = [pool.submit(work, slice(a, b)) for a, b in pairwise(edges)]
    for job in jobs:
        job.result()


def descend(
    pool: Executor,
    threads: int,
    volume: np.ndarray,
    slots: np.ndarray,
    scale: np.ndarray | float,
    step: float,
    low: float,
) -> None:
    """``volume = max(volume - step * scale * sum(slots), low)``; slots become 0.

    Parameters
    ----------
    volume : ndarray
        Contiguous, any shape.
    slots : ndarray
        `(n_slot, *volume.shape)`.
    scale : ndarray or float
        Preconditioner of ``volume``'s size, or a number.
    low : float
        Lower bound; ``-inf`` for none.
    """
    flat, flat_slots = volume.reshape(-1), slots.reshape(len(slots), -1)
    none = np.empty(0, volume.dtype)
    array = none if np.isscalar(scale) else np.asarray(scale).reshape(-1)
    factor = np.float32(step * (float(scale) if np.isscalar(scale) else 1.0))  # type: ignore[arg-type]

    def work(part: slice) -> None:
        part_scale = array[part] if array.size else none
        _descend(flat[part], flat_slots[:, part], part_scale, factor, np.float32(low))

    _split(pool, threads, flat.size, work)


def extrapolate(pool: Executor, threads: int, volume: np.ndarray, previous: np.ndarray, beta: float) -> None:
    """``volume, previous = volume + beta (volume - previous), volume`` in place."""
    flat, flat_previous = volume.reshape(-1), previous.reshape(-1)
    _split(
        pool,
        threads,
        flat.size,
        lambda part: _extrapolate(flat[part], flat_previous[part], np.float32(beta)),
    )
