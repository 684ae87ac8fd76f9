"""The step that ``step="auto"`` means: from the curvature of one subset."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.reconstruct.solver import FEW_STEPS, Solver

#: Step in units of 1 / largest curvature of a subset. Plain descent is stable below 2;
#: momentum over few updates per sweep is accelerated gradient descent, stable to 1.
SAFETY, SAFETY_FEW_STEPS = 1.7, 1.0
_ROUNDS = 6
#: Root mean square of the probe, radians: small enough that even a probe that has
#: gathered in a few voxels stays where exp(-absorption) is linear.
_PROBE = 1e-4


def largest_curvature(solver: Solver, seed: int) -> float:
    """Largest eigenvalue of a subset's Hessian at zero, by power iteration.

    The gradient's difference along a small probe stands for the Hessian, so it
    holds for every loss and basis. The subset's tilts are
    spread evenly: the mean case of a random order.
    """
    subset = probed_subset(solver)
    shape = solver.method.volume_shape
    base = asnumpy(solver.gradient(solver.engine.upload(np.zeros(shape, REAL)), subset)[0])
    probe = _noise(shape, seed)
    curvature = 0.0
    for _ in range(_ROUNDS):
        probe *= _PROBE * np.sqrt(probe.size) / max(float(np.linalg.norm(probe)), 1e-30)
        length, placed = float(np.linalg.norm(probe)), solver.engine.upload(probe)
        del probe  # large volumes: no more of them at once than a sweep holds
        probe = asnumpy(solver.gradient(placed, subset)[0])
        del placed
        probe -= base
        curvature = float(np.linalg.norm(probe)) / length
    return curvature


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng, noise = np.random.default_rng([seed, 4]), np.empty(shape, REAL)
    for plane in noise.reshape(-1, *shape[2:]):  # never all of it in double precision
        plane[...] = rng.standard_normal(plane.shape)
    return noise


def probed_subset(solver: Solver) -> np.ndarray:
    """Tilts whose curvature stands for that of every subset."""
    spread = np.linspace(0, solver.tilts.size - 1, solver.subset_size)
    return np.asarray(solver.tilts[np.unique(np.rint(spread).astype(int))])


def automatic_step(solver: Solver, seed: int) -> float:
    """A stable, fast step; a run that diverges all the same is restarted smaller."""
    curvature = largest_curvature(solver, seed)
    safety = SAFETY if solver.n_steps >= FEW_STEPS else SAFETY_FEW_STEPS
    return safety / curvature if curvature > 0 else 1.0


def heaviest_ratio(weight: np.ndarray, probed: np.ndarray, tilts: np.ndarray) -> float:
    """How much more a subset of as many tilts can weigh than the probed one; 1 when all weigh alike."""
    each = np.round(weight.sum(1, dtype=np.float64), 6)  # alike is alike, whatever float32 makes of it
    heaviest = np.sort(each[tilts])[::-1][: probed.size]
    return float(heaviest.sum() / each[probed].sum())
