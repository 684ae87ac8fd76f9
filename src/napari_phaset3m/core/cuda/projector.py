"""All tilts' line projections on the GPU: the twin of :class:`..projector.HostProjector`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from napari_phaset3m.core.cuda.rotation import make_device_rotator
from napari_phaset3m.core.cuda.runtime import Runtime
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.precision import ACCUMULATE, REAL, Array
from napari_phaset3m.core.rotation import footprint
from napari_phaset3m.core.rotation.base import RotatorKind
from napari_phaset3m.errors import ResourceError

#: Tilts per launch: bounds the stencil tables.
MAX_BATCH = 32


class CudaProjector:
    """Line projections of device volumes, batched over tilts.

    Parameters
    ----------
    runtime : Runtime
    geometry : TiltGeometry
        Slices and box are replaced: one slice through the whole tilted box.
    kind : {"linear", "cubic", "fourier"}

    Raises
    ------
    ResourceError
        The volumes of a linear method do not fit in the device's memory.
    """

    def __init__(self, runtime: Runtime, geometry: TiltGeometry, kind: RotatorKind = "linear") -> None:
        self.geometry = replace(geometry, n_slices=1, whole_box=True)
        self.runtime, self.xp, self.kind = runtime, runtime.xp, kind
        self._rotator = make_device_rotator(runtime, self.geometry, kind)
        volume = 4 * int(np.prod(geometry.volume_shape))
        # Volume, the last sweep's, a gradient and its scratch; the projections are small beside them.
        needed = 5 * volume + self._rotator.workspace_bytes()
        if runtime.free_bytes() < needed:
            raise ResourceError(
                f"GPU memory: {needed / 2**30:.1f} GiB needed, {runtime.free_bytes() / 2**30:.1f} GiB "
                "are free. Use a larger voxel or device cpu"
            )

    def _batches(self, tilts: Sequence[int]) -> Iterator[tuple[slice, list[int]]]:
        for first in range(0, len(tilts), MAX_BATCH):
            part = slice(first, min(first + MAX_BATCH, len(tilts)))
            yield part, [int(t) for t in tilts[part]]

    def forward(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` `(n, nx, ny)` with the projections at ``tilts``."""
        for part, batch in self._batches(tilts):
            self._rotator.project(volume, batch, out[part][None])

    def adjoint(
        self,
        images: Array,
        tilts: Sequence[int],
        volume: Array,
        *,
        scale: np.ndarray | float = 1.0,
        low: float = -np.inf,
    ) -> None:
        """``volume = max(volume + scale * A^T images, low)``; ``scale``: number or host `(nz, nx)`."""
        gathered = self.xp.zeros(volume.shape, REAL)
        for part, batch in self._batches(tilts):
            self._rotator.backproject(self.xp.ascontiguousarray(images[part])[None], batch, gathered)
        factor = np.asarray(scale, REAL)
        gathered *= self.xp.asarray(factor[:, :, None] if factor.ndim else factor)
        volume += gathered
        self._bound(volume, low)

    def interpolate(
        self, images: Array, tilts: Sequence[int], volume: Array, *, low: float = -np.inf
    ) -> None:
        """Voxel-driven back-projection: ``volume = max(volume + B images, low)``."""
        g, xp = self.geometry, self.xp
        radians = np.radians([g.tilt_deg[int(t)] for t in tilts])
        self.runtime.launch(
            "interpolate", g.nz * g.nx, xp.ascontiguousarray(images), xp.asarray(np.cos(radians)),
            xp.asarray(np.sin(radians)), volume, np.int64(len(radians)),
            np.int64(g.nz), np.int64(g.nx), np.int64(volume.shape[2]),
        )  # fmt: skip
        self._bound(volume, low)

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Footprints on the host (see :mod:`..rotation.footprint`); linear and cubic only."""
        return footprint.make_table(self.geometry, self.kind)

    @property
    def sparse(self) -> bool:
        """Whether a voxel reaches only a few columns, so that rays can be listed."""
        return self.kind in footprint.TAPS

    def row_action(
        self, volume: Array, image: Array, used: Array, tilt: int, *, relaxation: float, low: float
    ) -> float:
        """Kaczmarz' step for each ray of a tilt; see :class:`..projector.Projector`."""
        xp, ny = self.xp, volume.shape[2]
        start, voxel, weight = footprint.rays(self.table, tilt)
        total = np.concatenate([[0], np.cumsum(weight.astype(np.float64) ** 2)])
        norm = np.asarray(total[start[1:]] - total[start[:-1]], REAL)
        loss = xp.zeros(ny, ACCUMULATE)
        self.runtime.launch(
            "kaczmarz", -(-ny // 32), volume, image, used, xp.asarray(start), xp.asarray(voxel),
            xp.asarray(weight), xp.asarray(norm), loss, np.float32(relaxation), np.float32(low),
            np.int64(len(norm)), np.int64(ny),
        )  # fmt: skip
        return float(loss.sum())

    def _bound(self, volume: Array, low: float) -> None:
        if low > -np.inf:
            self.xp.maximum(volume, REAL(low), out=volume)

    def close(self) -> None:
        """Free the rotator's tables and canvases."""
        self._rotator = make_device_rotator(self.runtime, self.geometry, "linear")
        self.__dict__.pop("table", None)
