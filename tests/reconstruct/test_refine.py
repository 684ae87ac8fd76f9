"""Refinement between sweeps: known errors are found, the specimen's translation is not, runs resume."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries, iterate, reconstruct
from napari_phaset3m.config import ConstraintConfig, RefineConfig, Schedule
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct import gauss_newton
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.methods.base import Equations
from napari_phaset3m.reconstruct.problem import Stated, build_problem

N, VOXEL = 32, 0.7
TILTS = np.linspace(-60, 60, 13)
BOTH = RefineConfig(refine_shifts=True, refine_defocus="tilt", refine_schedule=Schedule(start=2))


def config(**changes: Any) -> ReconstructionConfig:
    free = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)
    return ReconstructionConfig(
        **{"iterations": 20, "slices": 8, "padding_px": 0, "constraints": free, "threads": 1, **changes}
    )


@lru_cache
def scene() -> tuple[TiltFocalSeries, np.ndarray, np.ndarray]:
    """Images with known shifts and defocus errors, stated without them."""
    rng = np.random.default_rng(4)
    shifts = rng.normal(0, 0.8, (TILTS.size, 2, 2))
    radians = np.radians(TILTS)
    shifts[..., 0] -= shifts[..., 0].mean()
    model = np.repeat(np.stack([np.cos(radians), -np.sin(radians)], 1), 2, axis=0)
    across = shifts[..., 1].ravel()
    shifts[..., 1] = (across - model @ np.linalg.lstsq(model, across, rcond=None)[0]).reshape(-1, 2)
    error = rng.normal(0, 40.0, TILTS.size)
    stated = np.array([400.0, 900.0])
    true = TiltFocalSeries(
        images=np.ones((TILTS.size, 2, N, N), np.float32),
        tilt_deg=TILTS,
        pixel_size_angstrom=VOXEL,
        energy_ev=3e5,
        defocus_angstrom=stated + error[:, None],
        spherical_aberration_angstrom=1.2e7,
        focal_spread_angstrom=20.0,
        shifts_px=shifts,
    )
    problem = build_problem(true, config())
    method = make_method(problem, config(), 1, resolve_device("cpu"))
    centres = rng.uniform(-6, 6, (12, 3))
    axis = np.arange(N) - (N - 1) / 2
    z, x, y = np.meshgrid(axis, axis, axis, indexing="ij")
    potential = sum(30 * np.exp(-((z - a) ** 2 + (x - b) ** 2 + (y - c) ** 2) / 2) for a, b, c in centres)
    phase = np.ascontiguousarray(potential[None] / method.volts_per_unit, np.float32)
    images = np.stack([method.predict(phase, t) for t in range(TILTS.size)]).swapaxes(2, 3)
    return true.replace(images=images, shifts_px=None, defocus_angstrom=stated), shifts, error


def test_known_shifts_and_defoci_are_found() -> None:
    series, shifts, error = scene()
    plain = reconstruct(series, config(), device="cpu")
    found = reconstruct(series, config(refine=BOTH), device="cpu")
    assert found.sweeps[-1].error < 0.3 * plain.sweeps[-1].error
    refined = found.settings["refined"]
    left = np.array(refined["shifts_px"]) - shifts
    # Across the axis a bent path of the specimen over the tilts is nearly as good.
    assert np.std(left[..., 0]) < 0.15 * np.std(shifts) and np.std(left[..., 1]) < 0.4 * np.std(shifts)
    defocus = np.array(refined["defocus_angstrom"])[:, 0] - 400.0
    assert np.std(defocus - error) < 0.4 * np.std(error)


def test_a_stated_place_of_the_specimen_stays() -> None:
    """A volume in the making and its mask lie where the stated shifts put the specimen."""
    series, shifts, _ = scene()
    radians, (z, y, x) = np.radians(TILTS), (2.0, 1.5, -2.5)
    place = np.stack([np.full(TILTS.size, y), x * np.cos(radians) - z * np.sin(radians)], -1)[:, None]
    found = reconstruct(series.replace(shifts_px=shifts + place), config(refine=BOTH), device="cpu")
    left = np.array(found.settings["refined"]["shifts_px"]) - shifts - place
    assert np.abs(left.mean((0, 1))[0]) < 1e-3 and np.sqrt((left**2).mean()) < 0.1
    errors = [sweep.error for sweep in found.sweeps]
    assert max(after / before for before, after in pairwise(errors)) < 1.02


def test_held_out_images_follow_their_tilt() -> None:
    series, shifts, error = scene()
    asked = config(refine=BOTH, holdout_fraction=0.2)
    held = build_problem(series, asked).held_out
    assert held.any() and (~held).any(1).all()
    found = reconstruct(series, asked, device="cpu")
    refined = found.settings["refined"]
    moved = np.array(refined["defocus_angstrom"]) - np.array([400.0, 900.0])
    assert np.ptp(moved, axis=1).max() < 0.05  # a tilt has one change, rounding apart
    assert np.std((moved - error[:, None])[held]) < 0.5 * np.std(error)
    left = np.array(refined["shifts_px"]) - shifts
    assert np.std(left[held][:, 0]) < 0.25 * np.std(shifts)
    # Judged with what was stated, they would look worse and worse; with what was found they gain.
    judged = [s.held_out_error for s in found.sweeps]
    assert judged[-1] < 0.3 * judged[1]


def test_tilts_held_out_altogether_find_their_own() -> None:
    series, _, error = scene()
    used = np.zeros((TILTS.size, 2), bool)
    used[:, 1] = True
    asked = config(refine=RefineConfig(refine_shifts=True, refine_defocus="tilt"), holdout_fraction=0.2)
    single = series.replace(used=used)
    held = build_problem(single, asked).held_out.any(1)
    assert 1 < held.sum() < 5
    found = reconstruct(single, asked, device="cpu")
    moved = np.array(found.settings["refined"]["defocus_angstrom"])[:, 1] - 900.0
    assert np.corrcoef(moved[held], error[held])[0, 1] > 0.7
    assert found.sweeps[-1].held_out_error < 0.6 * found.sweeps[1].held_out_error


@pytest.mark.parametrize("mode", ["tilt", "image", "off"])
def test_the_step_of_held_out_images(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Quadratic misfits with known minima: the driving images' step must not see the held-out ones.
    monkeypatch.setattr(gauss_newton, "DAMPING", 0.0)
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 5, 3))
    normal = np.einsum("fij,fik->fjk", root, root)
    at = rng.normal(size=(3, 3))
    at[:, 2] = at[0, 2]
    gradient = -np.einsum("fij,fj->fi", normal, at)
    drives, held = np.array([True, True, False]), np.array([False, False, True])

    def step(config: RefineConfig, held: np.ndarray) -> np.ndarray:
        known = Stated(np.zeros((1, 3, 2)), np.zeros((1, 3)), None)
        problem: Any = SimpleNamespace(
            weight=drives[None].astype(float), held_out=held[None], stated=known, shifts_px=known.shifts_px,
            defocus_angstrom=known.defocus_angstrom, grid=SimpleNamespace(pixel_size_angstrom=1.0),
        )  # fmt: skip
        equations = Equations(0, 0.0, gradient, normal)
        owner = gauss_newton.GaussNewton(config)
        return gauss_newton._Tilt(equations, problem, owner, noise=1.0).step(np.zeros(0))

    config = RefineConfig(refine_shifts=True, refine_defocus=mode)  # type: ignore[arg-type]
    alone, both = step(config, np.zeros(3, bool)), step(config, held)
    np.testing.assert_array_equal(both[:2], alone[:2])
    if mode == "off":
        assert not both[:, 2].any() and both[2, :2].all()
        return
    np.testing.assert_allclose(both, at, atol=1e-6)
    if mode == "tilt":
        assert both[2, 2] == both[0, 2]
    only_defocus = RefineConfig(refine_defocus=mode)  # type: ignore[arg-type]
    assert not step(only_defocus, held)[:, :2].any()


def test_a_refined_run_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    series, *_ = scene()
    whole = reconstruct(series, config(iterations=5, refine=BOTH), device="cpu")
    checkpoint = tmp_path / "c.h5"
    done = 0
    for event in iterate(series, config(iterations=5, refine=BOTH), device="cpu", checkpoint=checkpoint):
        done += isinstance(event, SweepDone)
        if done == 4:
            break
    again = reconstruct(
        series, config(iterations=5, refine=BOTH), device="cpu", checkpoint=checkpoint, resume=True
    )
    assert again.settings["refined"] == whole.settings["refined"]
    np.testing.assert_array_equal(again.volume, whole.volume)


def test_hooks_of_ones_own_see_every_accepted_sweep() -> None:
    series, *_ = scene()
    seen = []

    class Mine:
        def active(self, sweep: int) -> bool:
            return sweep >= 1

        def refine(self, method: Any, problem: Any, volume: np.ndarray) -> None:
            seen.append(float(volume.max()))
            problem.shifts_px[...] = 0.25

    result = reconstruct(series, config(iterations=4), device="cpu", hooks=(Mine(),))
    assert len(seen) == 3 and seen[-1] > seen[0] > 0
    assert np.unique(result.settings["refined"]["shifts_px"]) == [0.25]


def test_linear_methods_refuse() -> None:
    with pytest.raises(ConfigError, match="refine"):
        reconstruct(scene()[0], config(method="sirt", refine=BOTH), device="cpu")
