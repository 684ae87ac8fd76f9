"""What all methods share that project along lines: data, projector, misfit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.precision import ACCUMULATE, REAL, Array
from napari_phaset3m.core.projector import HostProjector, Projector, flat_projector
from napari_phaset3m.reconstruct.methods.projections import projections
from napari_phaset3m.reconstruct.problem import Problem


class LinearMethod:
    """Base of the linear methods (see :class:`.base.UpdatingMethod`).

    The volume is a density per voxel: its sum over the voxels along the beam gives
    the projection, ``1 - I`` or ``-ln I``; divide by the voxel for a density per
    angstrom (with ``-ln I``: the linear attenuation coefficient, 1/angstrom). After the
    Wiener correction projections are phases, and the result is handed out in volts.

    The misfit is ``1/2 sum of (A x - b)^2`` over the pixels inside the padding.

    Parameters
    ----------
    problem : Problem
    config : ReconstructionConfig
    n_slots : int
        CPU threads.
    projector : Projector, optional
        On the host when omitted.
    """

    name = ""

    def __init__(
        self,
        problem: Problem,
        config: ReconstructionConfig,
        n_slots: int,
        projector: Projector | None = None,
    ) -> None:
        self.problem, self.config, self.threads = problem, config, n_slots
        self.n_tilt = problem.images.shape[0]
        self.volume_shape = (1, *problem.geometry.volume_shape)
        self.projector = projector or HostProjector(problem.geometry, config.rotation, n_slots)
        self.data = self.upload(projections(problem, config))
        self._used = self.upload(problem.pixel_weight)
        self._padded = not problem.pixel_weight.all()
        self._buffer: Array = self.data[:0]

    @classmethod
    def on_gpu(
        cls, problem: Problem, config: ReconstructionConfig, n_slots: int = 1, runtime: Any = None
    ) -> Self:
        """The same method with its volumes and projections on the GPU.

        Parameters
        ----------
        runtime : Runtime, optional
            The process's CUDA runtime when omitted.

        Raises
        ------
        ConfigError
            An interpolation that the GPU does not offer.
        ResourceError
            The volumes do not fit in the device's memory.
        """
        from napari_phaset3m.core.cuda.projector import CudaProjector
        from napari_phaset3m.core.cuda.runtime import cuda_runtime

        projector = CudaProjector(runtime or cuda_runtime(), problem.geometry, config.rotation)
        return cls(problem, config, n_slots, projector)

    @property
    def xp(self) -> Any:
        """The array module of the device."""
        return self.projector.xp

    @property
    def unit(self) -> str:
        """Volts where projections are phases, else a density per voxel."""
        return "V" if self.config.ctf_correction == "wiener" else "1/voxel"

    @property
    def volts_per_unit(self) -> float:
        """Volts of a voxel whose phase is 1 rad; 1 where the density takes the place of volts."""
        if self.config.ctf_correction != "wiener":
            return 1.0
        assert self.problem.microscope is not None
        return 1 / (self.problem.microscope.sigma * self.problem.geometry.voxel_size_angstrom)

    def upload(self, array: np.ndarray) -> Array:
        """A float32 copy on the method's device."""
        return self.xp.array(array, REAL, order="C")

    def extrapolate(self, volume: Array, previous: Array, beta: float) -> None:
        """``volume, previous = volume + beta (volume - previous), volume``, in place."""
        for new, old in zip(volume[0], previous[0], strict=True):
            if not beta:
                old[...] = new
                continue
            ahead = new + REAL(beta) * (new - old)
            old[...] = new
            new[...] = ahead

    def close(self) -> None:
        """Stop the threads and free the tables."""
        self.projector.close()

    def residual(self, volume: Array, tilts: Sequence[int] | np.ndarray) -> Array:
        """``A x - b`` of these tilts `(n, nx, ny)`, 0 in the padding; valid until the next call."""
        if len(self._buffer) != len(tilts):
            self._buffer = self.xp.empty((len(tilts), *self.data.shape[1:]), REAL)
        out = self._buffer
        self.projector.forward(volume[0], [int(t) for t in tilts], out)
        for i, tilt in enumerate(tilts):
            out[i] -= self.data[int(tilt)]
        if self._padded:
            out *= self._used
        return out

    def loss(self, residual: Array, tilts: Sequence[int] | np.ndarray) -> float:
        """Misfit that a residual means."""
        return 0.5 * square_norm(residual)

    def predict(self, volume: Array, tilt: int, slot: int = 0) -> Array:
        """`(1, nx, ny)` projection of the volume."""
        out = self.xp.empty((1, *self.data.shape[1:]), REAL)
        self.projector.forward(volume[0], [tilt], out)
        return out

    def held_out_loss(self, volume: Array, tilt: int, slot: int = 0) -> float:
        """Loss of a tilt that was left out altogether (0 when it was not)."""
        if self.problem.weight[tilt].any() or not self.problem.held_out[tilt].any():
            return 0.0
        return self.loss(self.residual(volume, [tilt]), [tilt])

    def data_norm(self, tilt: int, *, held_out: bool = False) -> float:
        """Loss of an empty volume."""
        if held_out and self.problem.weight[tilt].any():
            return 0.0
        data = self.data[tilt : tilt + 1]
        return self.loss(data * self._used if self._padded else data, [tilt])

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Row sums `(n_tilt, nx)` and column sums `(n_tilt, nz, nx)` of A in one plane along y."""
        flat = flat_projector(self.problem.geometry, self.config.rotation)
        nz, nx = self.volume_shape[1:3]
        rows = np.empty((self.n_tilt, nx, 1), REAL)
        flat.forward(np.ones((nz, nx, 1), REAL), range(self.n_tilt), rows)
        columns = np.zeros((self.n_tilt, nz, nx, 1), REAL)
        inside = np.ascontiguousarray(self.problem.pixel_weight.max(1)[None, :, None], REAL)
        for tilt in range(self.n_tilt):
            flat.adjoint(inside, [tilt], columns[tilt])
        flat.close()
        return rows[..., 0], columns[..., 0]


def square_norm(array: Array) -> float:
    """Sum of squares, planes in float32 and their sum in float64."""
    total = 0.0
    for plane in array.reshape(-1, *array.shape[-2:]):
        flat = plane.reshape(-1)
        total += float(flat @ flat)
    return float(ACCUMULATE(total))
