"""All tilts' line projections as one linear operator, with its exact adjoint.

For methods that know no scattering: the whole box is summed along the beam. On a CPU
threads own planes along the tilt axis, which never mix, so that nothing is gathered
afterwards and a result does not depend on the number of threads. The update of the
volume is fused into the back-projection: a voxel is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.core.rotation import Rotator, RotatorKind, footprint, make_rotator

#: Narrower slabs along y no longer fill the vector registers.
_MIN_SLAB = 16


def _bound(low: float) -> np.float32:
    return np.float32(max(low, float(footprint.LOWEST)))


class Projector(Protocol):
    """Line projections of `(nz, nx, ny)` volumes at several tilts, on one device."""

    geometry: TiltGeometry
    xp: Any

    @property
    def sparse(self) -> bool:
        """Whether a voxel reaches only a few columns, so that rays can be listed."""
        ...

    def forward(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` `(n, nx, ny)` with the projections at ``tilts``."""
        ...

    def adjoint(
        self,
        images: Array,
        tilts: Sequence[int],
        volume: Array,
        *,
        scale: np.ndarray | float = 1.0,
        low: float = -np.inf,
    ) -> None:
        """``volume = max(volume + scale * A^T images, low)``; ``scale``: number or `(nz, nx)`."""
        ...

    def interpolate(
        self, images: Array, tilts: Sequence[int], volume: Array, *, low: float = -np.inf
    ) -> None:
        """Voxel-driven back-projection: ``volume = max(volume + B images, low)``.

        Each voxel takes the images, linearly interpolated, at where it projects.
        """
        ...

    def row_action(
        self, volume: Array, image: Array, used: Array, tilt: int, *, relaxation: float, low: float
    ) -> float:
        """``x = max(x + relaxation (b_i - a_i x) a_i / |a_i|^2, low)`` for ray after ray of a tilt.

        ``image`` and ``used`` are `(nx, ny)`, the latter 0 for rays to be left out. Returns half
        the squared residuals as they are met. Only where :attr:`sparse`.
        """
        ...

    def close(self) -> None:
        """Let go of threads and tables."""
        ...


class HostProjector:
    """Line projections on CPU threads.

    Parameters
    ----------
    geometry : TiltGeometry
        Slices and box are replaced: one slice through the whole tilted box.
    kind : {"linear", "cubic", "fourier"}
        Interpolation; see :func:`.rotation.make_rotator`.
    threads : int
    """

    xp = np

    def __init__(self, geometry: TiltGeometry, kind: RotatorKind = "linear", threads: int = 1) -> None:
        self.geometry = replace(geometry, n_slices=1, whole_box=True)
        self.kind, self.threads = kind, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="phaset3m")

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Footprints (see :mod:`.rotation.footprint`); linear and cubic only."""
        return footprint.make_table(self.geometry, self.kind)

    @cached_property
    def _rotator(self) -> Rotator:
        return make_rotator(self.kind, self.geometry)

    @property
    def sparse(self) -> bool:
        """Whether a voxel reaches only a few columns, so that rays can be listed."""
        return self.kind in footprint.TAPS

    def slabs(self, work: Callable[[int, int], float | None], ny: int) -> float:
        """Run ``work(begin, end)`` on slabs along y, in threads; returns the sum of its results."""
        count = max(1, min(self.threads, ny // _MIN_SLAB))
        edges = np.linspace(0, ny, count + 1).astype(int)
        jobs = [self._pool.submit(work, int(a), int(b)) for a, b in pairwise(edges)]
        return float(sum(job.result() or 0.0 for job in jobs))

    def forward(self, volume: np.ndarray, tilts: Sequence[int], out: np.ndarray) -> None:
        """Overwrite ``out`` `(n, nx, ny)` with the projections at ``tilts``."""
        chosen = np.asarray(tilts, np.int64)
        if self.sparse:
            self.slabs(lambda a, b: footprint.forward(volume, self.table, chosen, out, a, b), volume.shape[2])
            return
        jobs = [
            self._pool.submit(self._rotator.project, volume, int(t), out[i : i + 1])
            for i, t in enumerate(chosen)
        ]
        for job in jobs:
            job.result()

    def adjoint(
        self,
        images: np.ndarray,
        tilts: Sequence[int],
        volume: np.ndarray,
        *,
        scale: np.ndarray | float = 1.0,
        low: float = -np.inf,
    ) -> None:
        """``volume = max(volume + scale * A^T images, low)`` in place; see :class:`Projector`."""
        chosen = np.asarray(tilts, np.int64)
        factor = np.ascontiguousarray(np.broadcast_to(np.asarray(scale, REAL), volume.shape[:2]))
        bound = _bound(low)

        def sparse(a: int, b: int) -> None:
            footprint.adjoint(images, self.table, chosen, factor, bound, volume, a, b)

        def dense(a: int, b: int) -> None:
            slab = np.zeros((*volume.shape[:2], b - a), REAL)
            for i, tilt in enumerate(chosen):
                self._rotator.backproject(np.ascontiguousarray(images[i : i + 1, :, a:b]), int(tilt), slab)
            slab *= factor[:, :, None]
            slab += volume[:, :, a:b]
            np.maximum(slab, bound, out=volume[:, :, a:b])

        self.slabs(sparse if self.sparse else dense, volume.shape[2])

    def interpolate(
        self, images: np.ndarray, tilts: Sequence[int], volume: np.ndarray, *, low: float = -np.inf
    ) -> None:
        """Voxel-driven back-projection in place; see :class:`Projector`."""
        radians = np.radians([self.geometry.tilt_deg[int(t)] for t in tilts])
        cosine, sine, bound = np.cos(radians), np.sin(radians), _bound(low)
        self.slabs(
            lambda a, b: footprint.interpolate(images, cosine, sine, bound, volume, a, b), volume.shape[2]
        )

    def row_action(
        self,
        volume: np.ndarray,
        image: np.ndarray,
        used: np.ndarray,
        tilt: int,
        *,
        relaxation: float,
        low: float,
    ) -> float:
        """Kaczmarz' step for each ray of a tilt in place; see :class:`Projector`."""
        flat = volume.reshape(-1, volume.shape[-1])
        numbers = np.array([relaxation, _bound(low)], REAL)
        lists = footprint.rays(self.table, tilt)
        return self.slabs(
            lambda a, b: float(footprint.kaczmarz(flat, image, used, lists, numbers, a, b)), volume.shape[-1]
        )

    def close(self) -> None:
        """Stop the threads and free the table."""
        self._pool.shutdown(wait=True)
        self.__dict__.pop("table", None)


def flat_projector(geometry: TiltGeometry, kind: RotatorKind) -> HostProjector:
    """The same operator for one plane across the tilt axis (all are alike): for its sums."""
    return HostProjector(replace(geometry, ny=1), kind)
