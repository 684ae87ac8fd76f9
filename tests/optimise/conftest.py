"""A small scene whose optics are known: images made with them, stated without."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries
from napari_phaset3m.config import ConstraintConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.optimise.config import TrialConfig
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem

N, VOXEL, TILTS = 32, 0.7, np.linspace(-60, 60, 11)
CS, C12, PHI12 = 1.2e7, 60.0, 0.5


def config(**changes) -> ReconstructionConfig:
    free = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)
    return ReconstructionConfig(
        **{"iterations": 12, "slices": 8, "padding_px": 0, "constraints": free, "threads": 1, **changes}
    )


@lru_cache
def scene() -> tuple[TiltFocalSeries, np.ndarray]:
    """(series as the microscope saw it, potential `(1, nz, nx, ny)` radians)."""
    rng = np.random.default_rng(4)
    true = TiltFocalSeries(
        images=np.ones((TILTS.size, 2, N, N), np.float32),
        tilt_deg=TILTS,
        pixel_size_angstrom=VOXEL,
        energy_ev=3e5,
        defocus_angstrom=[400.0, 900.0],
        spherical_aberration_angstrom=CS,
        focal_spread_angstrom=20.0,
        aberrations={"C12": C12, "phi12": PHI12},
    )
    problem = build_problem(true, config())
    method = make_method(problem, config(), 1, resolve_device("cpu"))
    centres = rng.uniform(-6, 6, (12, 3))
    axis = np.arange(N) - (N - 1) / 2
    z, x, y = np.meshgrid(axis, axis, axis, indexing="ij")
    potential = sum(30 * np.exp(-((z - a) ** 2 + (x - b) ** 2 + (y - c) ** 2) / 2) for a, b, c in centres)
    phase = np.ascontiguousarray(potential[None] / method.volts_per_unit, np.float32)
    images = np.stack([method.predict(phase, t) for t in range(TILTS.size)]).swapaxes(2, 3)
    return true.replace(images=images), phase


@pytest.fixture
def true_series() -> TiltFocalSeries:
    return scene()[0]


@pytest.fixture
def phase() -> np.ndarray:
    return scene()[1].copy()


@pytest.fixture
def short() -> ReconstructionConfig:
    return config()


@pytest.fixture
def trial() -> TrialConfig:
    """A short trial in which nothing is refined."""
    return TrialConfig(
        bin=1, coarser=(), sweeps=6, holdout_fraction=0.15, refine_shifts=False, refine_defocus="off",
        refine_optics=(),
    )  # fmt: skip
