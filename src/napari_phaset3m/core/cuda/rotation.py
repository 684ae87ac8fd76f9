"""Rotation on the GPU: linear and cubic, batched over tilts with the adjoint by gathering; the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.core.cuda.runtime import Runtime
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.core.rotation.base import RotatorKind
from napari_phaset3m.errors import ConfigError

_TAPS = {"linear": 2, "cubic": 4}


class DeviceRotator(Protocol):
    """Twin of :class:`..rotation.Rotator` that takes several tilts with as many slices at once."""

    def workspace_bytes(self) -> int:
        """Device memory it takes for itself, besides small tables."""
        ...

    def project(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` `(n_slice, n_batch, nx, ny)` with the slices seen at ``tilts``."""
        ...

    def project_derivative(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` with the derivative of :meth:`project` by the tilts, per radian."""
        ...

    def backproject(self, slices: Array, tilts: Sequence[int], gradient: Array) -> None:
        """Add the exact adjoint of :meth:`project`, summed over tilts, to ``gradient``."""
        ...


def make_device_rotator(runtime: Runtime, geometry: TiltGeometry, kind: RotatorKind) -> DeviceRotator:
    """The rotator called ``kind`` on a runtime's device; see :func:`..rotation.make_rotator`."""
    if kind == "fourier":
        from napari_phaset3m.core.cuda.shear import CudaFourierRotator

        return CudaFourierRotator(runtime, geometry)
    return CudaRotator(runtime, geometry, kind)


class CudaRotator:
    """Projects a device volume into the slices of several tilts at once.

    Parameters
    ----------
    runtime : Runtime
    geometry : TiltGeometry
    kind : {"linear", "cubic"}
    """

    def __init__(self, runtime: Runtime, geometry: TiltGeometry, kind: str = "linear") -> None:
        self.runtime, self.geometry, self._taps = runtime, geometry, np.int64(_TAPS[kind])
        self._tables: tuple[tuple[int, ...], dict[str, Any]] | None = None

    def _batch(self, tilts: Sequence[int]) -> dict[str, Any]:
        # Kept for the last batch: project and backproject of a step share it.
        key = tuple(int(t) for t in tilts)
        if self._tables is not None and self._tables[0] == key:
            return self._tables[1]
        g, xp = self.geometry, self.runtime.xp
        edges = [g.edges(t) for t in key]
        if len({len(e) for e in edges}) != 1:
            raise ConfigError("tilts of one batch must have the same number of slices")
        depth = np.array([e[-1] for e in edges], np.int64)
        deepest = int(depth.max())
        slice_of = np.zeros((len(key), deepest), np.int64)
        for row, e in zip(slice_of, edges, strict=True):
            row[: e[-1]] = np.repeat(np.arange(len(e) - 1), np.diff(e))
        radians = np.radians(np.array([g.tilt_deg[t] for t in key]))
        batch = {
            "cos": xp.asarray(np.cos(radians)),
            "sin": xp.asarray(np.sin(radians)),
            "depth": xp.asarray(depth),
            "edges": xp.asarray(np.stack(edges)),
            "slice_of": xp.asarray(slice_of),
            "deepest": np.int64(deepest),
            "table": xp.empty((len(key), deepest, g.nx, 4), REAL),
        }
        self.runtime.launch(
            "stencil_table", batch["table"].size // 4, batch["table"], batch["cos"], batch["sin"],
            batch["depth"], np.int64(len(key)), batch["deepest"],
            np.int64(g.nx), np.int64(g.nz), np.int64(g.nx),
        )  # fmt: skip
        self._tables = key, batch
        return batch

    def _sizes(self) -> tuple[np.int64, np.int64, np.int64]:
        return np.int64(self.geometry.nz), np.int64(self.geometry.nx), np.int64(self.geometry.ny)

    def workspace_bytes(self) -> int:
        """Nothing but tables."""
        return 0

    def project(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` `(n_slice, n_batch, nx, ny)` with the slices seen at ``tilts``."""
        self._project("project", volume, tilts, out)

    def project_derivative(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` with the derivative of :meth:`project` by the tilts, per radian."""
        self._project("project_derivative", volume, tilts, out)

    def _project(self, kernel: str, volume: Array, tilts: Sequence[int], out: Array) -> None:
        b = self._batch(tilts)
        self.runtime.launch(
            kernel, out.size // self.geometry.ny, volume, b["table"], b["edges"], out, self._taps,
            np.int64(out.shape[0]), np.int64(out.shape[1]), b["deepest"], *self._sizes(),
        )  # fmt: skip

    def backproject(self, slices: Array, tilts: Sequence[int], gradient: Array) -> None:
        """Add the exact adjoint of :meth:`project`, summed over tilts, to ``gradient``."""
        b = self._batch(tilts)
        self.runtime.launch(
            "backproject", self.geometry.nz * self.geometry.nx, slices, b["table"], b["slice_of"],
            b["cos"], b["sin"], b["depth"], gradient, self._taps,
            np.int64(slices.shape[1]), b["deepest"], *self._sizes(),
        )  # fmt: skip
