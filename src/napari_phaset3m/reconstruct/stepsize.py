"""The step that ``step="auto"`` means: from the curvature of one subset."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.reconstruct.solver import Solver, tilt_order

#: Step in units of 1 / largest curvature; below 2 plain descent is stable.
SAFETY = 1.6
_ROUNDS = 6
_PROBE = 1e-3


def largest_curvature(solver: Solver, seed: int) -> float:
    """Largest eigenvalue of a subset's Hessian at zero, by power iteration.

    The gradient's difference along a small probe stands for the Hessian, so it
    holds for every loss and basis. The subset is the first that the run visits.
    """
    subset = tilt_order(solver.config, solver.tilts, 0)[: solver.subset_size]

    shape = solver.method.volume_shape
    base = asnumpy(solver.gradient(solver.engine.upload(np.zeros(shape, REAL)), subset)[0])
    probe = np.random.default_rng([seed, 4]).standard_normal(shape).astype(REAL)
    curvature = 0.0
    for _ in range(_ROUNDS):
        probe *= _PROBE * np.sqrt(probe.size) / max(float(np.linalg.norm(probe)), 1e-30)
        difference = asnumpy(solver.gradient(solver.engine.upload(probe), subset)[0]) - base
        curvature = float(np.linalg.norm(difference) / np.linalg.norm(probe))
        probe = difference
    return curvature


def automatic_step(solver: Solver, seed: int) -> float:
    """A stable, fast step; a run that diverges all the same is restarted smaller."""
    curvature = largest_curvature(solver, seed)
    return SAFETY / curvature if curvature > 0 else 1.0
