"""Fused in-place passes over volumes, split over threads; GIL released."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numba import njit

T = TypeVar("T")
R = TypeVar("R")

#: Voxels summed at a time: they stay in the first-level cache.
_CHUNK = 2048


@njit(nogil=True, fastmath=True, cache=True)
def _descend(volume, slots, scale, step, low, span):  # type: ignore[no-untyped-def]
    # Whole contiguous arrays and a span, not slices of them: strided views do not vectorise.
    total = np.empty(_CHUNK, np.float32)
    for start in range(span[0], span[1], _CHUNK):
        n = min(_CHUNK, span[1] - start)
        total[:n] = 0
        for j in range(slots.shape[0]):
            row = slots[j, start : start + n]
            for i in range(n):
                total[i] += row[i]
                row[i] = 0
        if scale.size:
            factor = scale[start : start + n]
            for i in range(n):
                total[i] *= factor[i]
        part = volume[start : start + n]
        for i in range(n):
            value = part[i] - step * total[i]
            part[i] = value if value > low else low


@njit(nogil=True, fastmath=True, cache=True)
def _extrapolate(volume, previous, beta):  # type: ignore[no-untyped-def]
    for i in range(volume.size):
        value = volume[i]
        volume[i] = value + beta * (value - previous[i])
        previous[i] = value


def _split(pool: Executor, parts: int, size: int, work: Callable[[slice], None]) -> None:
    edges = [size * i // parts for i in range(parts + 1)]
    spread(pool, work, [slice(a, b) for a, b in pairwise(edges)])


def spread(pool: Executor, work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """``[work(part) for part in parts]`` at once; the first part runs in the calling thread."""
    jobs = [pool.submit(work, part) for part in parts[1:]]
    try:
        first = work(parts[0])
    finally:
        # The buffers that the others write must not be touched before they are done.
        wait(jobs)
    return [first, *(job.result() for job in jobs)]


def descend(
    pool: Executor,
    threads: int,
    volume: np.ndarray,
    slots: np.ndarray,
    *,
    scale: np.ndarray | float,
    step: float,
    lows: Sequence[float],
) -> None:
    """``volume = max(volume - step * scale * sum(slots), low)``; slots become 0.

    Parameters
    ----------
    volume : ndarray
        `(n_channel, ...)`, contiguous.
    slots : ndarray
        `(n_slot, *volume.shape)`.
    scale : ndarray or float
        Preconditioner of ``volume``'s size, or a number.
    lows : sequence of float
        Lower bound of each channel; ``-inf`` for none.
    """
    flat, flat_slots = volume.reshape(-1), slots.reshape(len(slots), -1)
    array = np.empty(0, volume.dtype) if np.isscalar(scale) else np.asarray(scale).reshape(-1)
    factor = np.float32(step * (float(scale) if np.isscalar(scale) else 1.0))  # type: ignore[arg-type]

    n = volume[0].size

    def work(part: slice) -> None:
        for channel, low in enumerate(lows):
            span = (channel * n + part.start, channel * n + part.stop)
            _descend(flat, flat_slots, array, factor, np.float32(low), span)

    _split(pool, threads, n, work)


def extrapolate(pool: Executor, threads: int, volume: np.ndarray, previous: np.ndarray, beta: float) -> None:
    """``volume, previous = volume + beta (volume - previous), volume`` in place."""
    flat, flat_previous = volume.reshape(-1), previous.reshape(-1)
    _split(
        pool,
        threads,
        flat.size,
        lambda part: _extrapolate(flat[part], flat_previous[part], np.float32(beta)),
    )
