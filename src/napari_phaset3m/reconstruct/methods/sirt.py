"""SIRT on the same rotation operators: the conventional companion.

Gilbert, J. Theor. Biol. 36 (1972) 105; in the form ``x += C A^T R (b - A x)`` of
Gregor & Benson, IEEE Trans. Med. Imaging 27 (2008) 918, with R and C the inverse
row and column sums of A.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.rotation import make_rotator
from napari_phaset3m.reconstruct.problem import Problem

_SMALL = 1e-3


def projections(problem: Problem, config: ReconstructionConfig) -> np.ndarray:
    """`(n_tilt, nx, ny)` projections: weighted mean over foci of ``1 - I`` or ``-ln I``."""
    intensity = problem.images
    if config.projection == "log":
        values = -np.log(np.maximum(intensity, 1e-3))
    else:
        values = 1 - intensity
    return np.asarray(np.einsum("tf,tfxy->txy", problem.weight, values), REAL)


class SirtMethod:
    """SIRT as a data term (see :class:`.base.Method`).

    The volume is a density per voxel: its sum over the voxels along the beam gives
    the projection, ``1 - I`` or ``-ln I``; divide by the voxel for a density per
    angstrom (with ``-ln I``: the linear attenuation coefficient, 1/angstrom). ``R`` and
    the column sums of a subset are computed once.

    Parameters
    ----------
    problem : Problem
    config : ReconstructionConfig
        ``projection`` and ``rotation`` are used.
    n_slots : int
        Workspaces, one for each thread.
    """

    name = "sirt"
    unit = "1/voxel"
    volts_per_unit: float = 1.0

    def __init__(self, problem: Problem, config: ReconstructionConfig, n_slots: int) -> None:
        self.problem = problem
        self.n_tilt = problem.images.shape[0]
        self.volume_shape = (1, *problem.geometry.volume_shape)
        geometry = replace(problem.geometry, n_slices=1, whole_box=True)
        self.rotator = make_rotator(config.rotation, geometry)
        self.data = projections(problem, config)
        shape = (1, *problem.grid.shape)
        self._slots = [np.empty(shape, REAL) for _ in range(n_slots)]
        self._rows = self._row_weights(shape)
        self._columns: tuple[bytes, np.ndarray] | None = None

    def _row_weights(self, shape: tuple[int, ...]) -> np.ndarray:
        ones = np.ones(self.volume_shape[1:], REAL)
        rows = np.zeros((self.n_tilt, *shape[1:]), REAL)
        for tilt in range(self.n_tilt):
            self.rotator.project(ones, tilt, rows[tilt : tilt + 1])
        weight = np.divide(1, rows, where=rows > _SMALL, out=np.zeros_like(rows))
        return np.asarray(weight * self.problem.pixel_weight, REAL)

    def _residual(self, volume: np.ndarray, tilt: int, slot: int) -> tuple[np.ndarray, float]:
        out = self._slots[slot]
        self.rotator.project(volume[0], tilt, out)
        out[0] -= self.data[tilt]
        weighted = out[0] * self._rows[tilt]
        loss = 0.5 * float(np.vdot(weighted, out[0]))
        out[0] = weighted
        return out, loss

    def accumulate(self, volume: np.ndarray, tilt: int, gradient: np.ndarray, slot: int) -> float:
        """Add ``A^T R (A x - b)`` of one tilt to ``gradient``."""
        residual, loss = self._residual(volume, tilt, slot)
        self.rotator.backproject(residual, tilt, gradient[0])
        return loss

    def predict(self, volume: np.ndarray, tilt: int, slot: int = 0) -> np.ndarray:
        """`(1, nx, ny)` projection of the volume."""
        out = np.empty_like(self._slots[slot])
        self.rotator.project(volume[0], tilt, out)
        return out

    def held_out_loss(self, volume: np.ndarray, tilt: int, slot: int = 0) -> float:
        """Loss of a tilt that was left out altogether (0 when it was not)."""
        if self.problem.weight[tilt].any() or not self.problem.held_out[tilt].any():
            return 0.0
        return self._residual(volume, tilt, slot)[1]

    def data_norm(self, tilt: int, *, held_out: bool = False) -> float:
        """Loss of an empty volume."""
        if held_out and self.problem.weight[tilt].any():
            return 0.0
        return 0.5 * float(np.sum(self._rows[tilt] * self.data[tilt] ** 2, dtype=np.float64))

    def preconditioner(self, tilts: np.ndarray) -> np.ndarray:
        """`(nz, nx, ny)` inverse column sums of these tilts."""
        key = np.sort(tilts).tobytes()
        if self._columns is None or self._columns[0] != key:
            columns = np.zeros(self.volume_shape[1:], REAL)
            ones = self.problem.pixel_weight[None]
            for tilt in tilts:
                self.rotator.backproject(ones, int(tilt), columns)
            inverse = np.divide(1, columns, where=columns > _SMALL, out=np.zeros_like(columns))
            self._columns = key, inverse
        return self._columns[1]
