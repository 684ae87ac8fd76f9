"""Three-shear Fourier rotation on the GPU: the twin of :class:`..rotation.fourier.FourierRotator`.

Two planes along y make one complex canvas, so that complex FFTs cost what real ones would.
Each tilt has a canvas of its own size; planes are worked through in chunks that stay in the
card's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.core.cuda.runtime import NULL, Runtime
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.precision import COMPLEX, Array
from napari_phaset3m.core.rotation.fourier import Shear, ShearPlan
from napari_phaset3m.errors import ConfigError

#: Of one canvas; two are needed, four for the derivative.
_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where a line's samples are rows of an array: ``base + line * step + sample * across``."""

    base: int
    step: int
    across: int


def _volume_rows(plan: ShearPlan, geometry: TiltGeometry) -> _Rows:
    """The volume's rows after the exact quarter turns."""
    nz, nx = geometry.nz, geometry.nx
    turns = plan.turns % 4
    if turns == 0:
        return _Rows(0, nx, 1)
    if turns == 1:
        return _Rows((nz - 1) * nx, 1, -nx)
    return _Rows(nz * nx - 1, -nx, -1) if turns == 2 else _Rows(nx - 1, -1, nx)


class CudaFourierRotator:
    """Projects a device volume into the slices of tilts by three Fourier shears.

    Parameters
    ----------
    runtime : Runtime
    geometry : TiltGeometry
    """

    def __init__(self, runtime: Runtime, geometry: TiltGeometry) -> None:
        self.runtime, self.geometry = runtime, geometry
        self._plans = [ShearPlan(geometry, i) for i in range(geometry.n_tilt)]
        self._tables: dict[int, dict[str, Array]] = {}
        self._buffers: list[Array] = []

    def workspace_bytes(self, *, derivative: bool = False) -> int:
        """Device memory of the canvases."""
        pairs = -(-self.geometry.ny // 2)
        one = max(
            min(max(_CHUNK_BYTES, self._pair_bytes(p)), pairs * self._pair_bytes(p)) for p in self._plans
        )
        return one * (4 if derivative else 2)

    @staticmethod
    def _pair_bytes(plan: ShearPlan) -> int:
        return 8 * plan.mx * max(plan.wz, plan.mz, plan.depth)

    def _chunks(self, plan: ShearPlan) -> Iterator[tuple[int, int]]:
        """First plane along y and number of pairs, alike for all chunks (planes beyond are empty)."""
        pairs = -(-self.geometry.ny // 2)
        count = -(-pairs // max(1, _CHUNK_BYTES // self._pair_bytes(plan)))
        each = -(-pairs // count)
        for first in range(0, pairs, each):
            yield 2 * first, each

    def _canvas(self, which: int, lines: int, pairs: int, size: int) -> Array:
        n = lines * pairs * size
        while len(self._buffers) <= which:
            self._buffers.append(self.runtime.xp.empty(0, COMPLEX))
        if self._buffers[which].size < n:
            self._buffers[which] = self.runtime.xp.empty(n, COMPLEX)
        return self._buffers[which][:n].reshape(lines, pairs, size)

    def _table(self, tilt: int) -> dict[str, Array]:
        if tilt not in self._tables:
            plan, xp = self._plans[tilt], self.runtime.xp
            slice_of = np.repeat(np.arange(len(plan.edges) - 1), np.diff(plan.edges))
            host: dict[str, Any] = {"edges": plan.edges, "slice_of": slice_of}
            for name in ("first", "second", "third"):
                shear: Shear = getattr(plan, name)
                host[name], host[name + " rate"] = shear.shift, shear.rate
            self._tables[tilt] = {
                k: xp.asarray(np.ascontiguousarray(v, np.int64 if v.dtype.kind == "i" else np.float64))
                for k, v in host.items()
            }
        return self._tables[tilt]

    def _launch(self, name: str, tiles: tuple[int, int, int], *arguments: Any) -> None:
        """Launch over ``lines * ceil(a / 32) * ceil(b / 32)`` tiles."""
        lines, a, b = tiles
        converted = (np.int64(v) if isinstance(v, int) else v for v in arguments)
        self.runtime.launch(name, lines * -(-a // 32) * -(-b // 32), *converted)

    def _shear(
        self, tilt: int, name: str, canvas: Array, tangent: Array | None = None, *, adjoint: bool = False
    ) -> None:
        if tangent is None and not getattr(self._plans[tilt], name).shift.any():
            return
        table = self._table(tilt)
        lines, pairs, size = canvas.shape
        canvases = [canvas] if tangent is None else [canvas, tangent]
        for each in canvases:
            self.runtime.fft1(each)
        rate = NULL if tangent is None else table[name + " rate"]
        self.runtime.launch(
            "shear_phase", lines * -(-pairs // 8), canvas, NULL if tangent is None else tangent,
            table[name], rate, np.int64(adjoint), np.int64(lines), np.int64(pairs), np.int64(size),
        )  # fmt: skip
        for each in canvases:
            self.runtime.fft1(each, inverse=True)

    def _turn(self, source: Array, target: Array, where: tuple[int, int, int]) -> Array:
        """``target[line, :, to + j] = source[j, :, first + line]`` for ``count`` j; else 0."""
        first, to, count = where
        lines, pairs, size = target.shape
        self._launch(
            "shear_turn", (pairs, lines, size), source, target, first, to, count,
            source.shape[2], lines, pairs, size,
        )  # fmt: skip
        return target

    def _load(
        self, source: Array, canvas: Array, group: Array, rows: _Rows, where: tuple[int, int, int]
    ) -> None:
        offset, width, y = where
        lines, pairs, size = canvas.shape
        self._launch(
            "shear_load", (lines, pairs, size), source, canvas, group, rows.base, rows.step, rows.across,
            offset, width, lines, pairs, size, y, self.geometry.ny,
        )  # fmt: skip

    def _store(
        self,
        canvas: Array,
        target: Array,
        edges: Array,
        rows: _Rows,
        where: tuple[int, int, int, int],
        add: bool,
    ) -> None:
        groups, offset, width, y = where
        _, pairs, size = canvas.shape
        self._launch(
            "shear_store", (groups, pairs, width), canvas, target, edges, rows.base, rows.step, rows.across,
            offset, width, groups, pairs, size, y, self.geometry.ny, int(add),
        )  # fmt: skip

    def _box(self, volume: Array, tilt: int, y: int, pairs: int, derivative: bool) -> Array:
        """The rotated box of a chunk of planes, or its derivative: `(depth, pairs, mx)`."""
        plan, rows = self._plans[tilt], _volume_rows(self._plans[tilt], self.geometry)
        one = self._canvas(0, plan.wz, pairs, plan.mx)
        self._load(volume, one, NULL, rows, (plan.x_in, plan.wx, y))
        moved = self._canvas(2, *one.shape) if derivative else None
        if moved is not None:
            moved[...] = 0
        self._shear(tilt, "first", one, moved)
        deepen = (0, plan.z_in, plan.wz)
        two = self._turn(one, self._canvas(1, plan.mx, pairs, plan.mz), deepen)
        if moved is not None:
            moved = self._turn(moved, self._canvas(3, *two.shape), deepen)
        self._shear(tilt, "second", two, moved)
        cut = (plan.z_out, 0, plan.mx)
        three = self._turn(two, self._canvas(0, plan.depth, pairs, plan.mx), cut)
        if moved is not None:
            moved = self._turn(moved, self._canvas(2, *three.shape), cut)
        self._shear(tilt, "third", three, moved)
        return three if moved is None else moved

    def _project(self, volume: Array, tilts: Sequence[int], out: Array, derivative: bool) -> None:
        n_slice, n_batch = out.shape[:2]
        nx = self.geometry.nx
        for b, tilt in enumerate(int(t) for t in tilts):
            plan = self._plans[tilt]
            if len(plan.edges) - 1 != n_slice:
                raise ConfigError("tilts of one batch must have the same number of slices")
            for y, pairs in self._chunks(plan):
                box = self._box(volume, tilt, y, pairs, derivative)
                where = (n_slice, plan.x_out, plan.width, y)
                self._store(
                    box, out, self._table(tilt)["edges"], _Rows(b * nx, n_batch * nx, 1), where, False
                )

    def project(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` `(n_slice, n_batch, nx, ny)` with the slices seen at ``tilts``."""
        self._project(volume, tilts, out, False)

    def project_derivative(self, volume: Array, tilts: Sequence[int], out: Array) -> None:
        """Overwrite ``out`` with the derivative of :meth:`project` by the tilts, per radian."""
        self._project(volume, tilts, out, True)

    def backproject(self, slices: Array, tilts: Sequence[int], gradient: Array) -> None:
        """Add the exact adjoint of :meth:`project`, summed over tilts, to ``gradient``."""
        n_batch, nx = slices.shape[1], self.geometry.nx
        for b, tilt in enumerate(int(t) for t in tilts):
            plan, slice_of = self._plans[tilt], self._table(tilt)["slice_of"]
            rows = _volume_rows(plan, self.geometry)
            for y, pairs in self._chunks(plan):
                three = self._canvas(0, plan.depth, pairs, plan.mx)
                where = (plan.x_out, plan.width, y)
                self._load(slices, three, slice_of, _Rows(b * nx, n_batch * nx, 1), where)
                self._shear(tilt, "third", three, adjoint=True)
                two = self._canvas(1, plan.mx, pairs, plan.mz)
                self._turn(three, two, (0, plan.z_out, plan.depth))
                self._shear(tilt, "second", two, adjoint=True)
                one = self._turn(two, self._canvas(0, plan.wz, pairs, plan.mx), (plan.z_in, 0, plan.mx))
                self._shear(tilt, "first", one, adjoint=True)
                self._store(one, gradient, NULL, rows, (plan.wz, plan.x_in, plan.wx, y), True)
