"""The step that ``step="auto"`` means: from the curvature of one subset."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.reconstruct.solver import Solver

#: Step in units of 1 / largest curvature; below 2 plain descent is stable.
SAFETY = 1.6
_ROUNDS = 6
_PROBE = 1e-3


def largest_curvature(solver: Solver, seed: int) -> float:
    """Largest eigenvalue of a subset's Hessian at zero, by power iteration.

    The gradient's difference along a small probe stands for the Hessian, so it
    holds for every loss and basis. Neighbouring tilts overlap most and are used.
    """
    half = (solver.tilts.size - solver.subset_size) // 2
    subset = solver.tilts[half : half + solver.subset_size]

    def gradient(coefficients: np.ndarray) -> np.ndarray:
        solver.gradient(solver.potential(coefficients), subset)
        scale = solver.collect(solver.method.preconditioner(subset))
        result = np.array(solver._slots.sum(0) * scale)
        solver._slots[:] = 0
        return result

    shape = solver.method.volume_shape
    base = gradient(np.zeros(shape, REAL))
    probe = np.random.default_rng([seed, 4]).standard_normal(shape).astype(REAL)
    curvature = 0.0
    for _ in range(_ROUNDS):
        probe *= _PROBE * np.sqrt(probe.size) / max(float(np.linalg.norm(probe)), 1e-30)
        difference = gradient(probe) - base
        curvature = float(np.linalg.norm(difference) / np.linalg.norm(probe))
        probe = difference
    return curvature


def automatic_step(solver: Solver, seed: int) -> float:
    """A stable, fast step; a run that diverges all the same is restarted smaller."""
    curvature = largest_curvature(solver, seed)
    return SAFETY / curvature if curvature > 0 else 1.0
