"""Fused in-place passes over volumes, split over threads; GIL released."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numba import njit

T = TypeVar("T")
R = TypeVar("R")

#: Voxels summed at a time: they stay in the first-level cache.
_CHUNK = 2048


class Limit(NamedTuple):
    """What an update imposes on a channel: voxels move by ``shrink`` towards 0, and stay above ``low``."""

    low: float = -np.inf
    shrink: float = 0.0


@njit(nogil=True, fastmath=True, cache=True)
def _descend(volume, slots, scale, step, limit, span):  # type: ignore[no-untyped-def]
    low, shrink = limit
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
            value -= min(max(value, -shrink), shrink)
            part[i] = value if value > low else low


@njit(nogil=True, fastmath=True, cache=True)
def _extrapolate(volume, previous, beta):  # type: ignore[no-untyped-def]
    for i in range(volume.size):
        value = volume[i]
        volume[i] = value + beta * (value - previous[i])
        previous[i] = value


def split(pool: Executor, parts: int, size: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(first, last)`` on even parts of a range, at once."""
    edges = [size * i // parts for i in range(parts + 1)]
    spread(pool, lambda part: work(*part), list(pairwise(edges)))


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
    limits: Sequence[Limit],
) -> None:
    """``volume = limit(volume - step * scale * sum(slots))``; slots become 0.

    Parameters
    ----------
    volume : ndarray
        `(n_channel, ...)`, contiguous.
    slots : ndarray
        `(n_slot, *volume.shape)`.
    scale : ndarray or float
        Preconditioner of ``volume``'s size, or a number.
    limits : sequence of Limit
        Of each channel.
    """
    flat, flat_slots = volume.reshape(-1), slots.reshape(len(slots), -1)
    array = np.empty(0, volume.dtype) if np.isscalar(scale) else np.asarray(scale).reshape(-1)
    factor = np.float32(step * (float(scale) if np.isscalar(scale) else 1.0))  # type: ignore[arg-type]

    n = volume[0].size

    def work(first: int, last: int) -> None:
        for channel, limit in enumerate(limits):
            span = (channel * n + first, channel * n + last)
            pair = np.float32(limit.low), np.float32(limit.shrink)
            _descend(flat, flat_slots, array, factor, pair, span)

    split(pool, threads, n, work)


def extrapolate(pool: Executor, threads: int, volume: np.ndarray, previous: np.ndarray, beta: float) -> None:
    """``volume, previous = volume + beta (volume - previous), volume`` in place."""
    flat, flat_previous = volume.reshape(-1), previous.reshape(-1)
    split(
        pool,
        threads,
        flat.size,
        lambda first, last: _extrapolate(flat[first:last], flat_previous[first:last], np.float32(beta)),
    )
