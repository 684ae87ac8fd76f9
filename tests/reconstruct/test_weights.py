"""How much each image counts, and which ones are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.stepsize import heaviest_ratio

N = 24
FREE = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)


def config(**changes: Any) -> ReconstructionConfig:
    return ReconstructionConfig(
        **{"constraints": FREE, "padding_px": 0, "threads": 2, "iterations": 6, "slices": 4, **changes}
    )


def series(n_tilt: int = 6, n_focus: int = 3, **changes: Any) -> TiltFocalSeries:
    """Predicted images of one blob off the axis."""
    empty = TiltFocalSeries(
        images=np.ones((n_tilt, n_focus, N, N), np.float32),
        tilt_deg=np.linspace(-60, 60, n_tilt),
        pixel_size_angstrom=0.8,
        energy_ev=3e5,
        defocus_angstrom=np.linspace(300, 700, n_focus),
        spherical_aberration_angstrom=1e7,
        focal_spread_angstrom=20.0,
    )
    r = [np.arange(N) - (N - 1) / 2 - shift for shift in (2, -3, 4)]
    r2 = r[0][:, None, None] ** 2 + r[1][None, :, None] ** 2 + r[2][None, None] ** 2
    method = make_method(build_problem(empty, config()), config(), 1, resolve_device("cpu"))
    phase = np.asarray(25 * np.exp(-r2 / 4) / method.volts_per_unit, np.float32)[None]
    images = np.stack([method.predict(phase, t) for t in range(n_tilt)]).swapaxes(2, 3)
    return empty.replace(images=images, **changes)


def test_dose_counts_between_tilts_and_within_them() -> None:
    dose = np.ones((6, 3))
    dose[2] = 7.0
    dose[4, 0] = 3.0
    weight = build_problem(series(dose_per_image=dose), config()).weight
    assert weight[2, 0] / weight[0, 0] == pytest.approx(7)
    assert weight[4, 0] / weight[4, 1] == pytest.approx(3)
    # The mean tilt weighs 1, whatever the unit of the dose: step sizes keep their meaning.
    assert weight.sum(1).mean() == pytest.approx(1)
    np.testing.assert_allclose(build_problem(series(dose_per_image=dose * 1e3), config()).weight, weight)


def test_a_tilt_with_one_image_weighs_a_third_of_one_with_three() -> None:
    used = np.ones((6, 3), bool)
    used[1, 1:] = False
    total = build_problem(series(used=used), config()).weight.sum(1)
    assert total[1] / total[0] == pytest.approx(1 / 3)


def test_alike_tilts_weigh_one_also_when_images_are_held_out() -> None:
    problem = build_problem(series(dose_per_image=2.5), config(holdout_fraction=0.2))
    assert problem.held_out.sum() == round(0.2 * 18)
    np.testing.assert_allclose(problem.weight.sum(1), 1, rtol=1e-6)
    assert heaviest_ratio(problem.weight, problem.tilts[:2], problem.tilts) == 1


def test_linear_methods_average_the_images_of_a_tilt() -> None:
    dose = np.ones((6, 3))
    dose[2] = 7.0
    weight = build_problem(series(dose_per_image=dose), config(method="sirt")).weight
    np.testing.assert_allclose(weight.sum(1), 1, rtol=1e-6)


def test_a_well_exposed_tilt_decides_where_tilts_disagree() -> None:
    """The noise of an image of a hundredth of the dose hardly reaches the volume."""
    rng = np.random.default_rng(0)
    clean = series()
    spoilt = clean.images + 0
    spoilt[2] += rng.normal(0, 0.05, spoilt[2].shape).astype(np.float32)
    dose = np.full((6, 3), 100.0)
    dose[2] = 1.0
    right = reconstruct(clean, config(), device="cpu").volume
    told, untold = (
        reconstruct(clean.replace(images=spoilt, dose_per_image=d), config(loss="amplitude"), device="cpu")
        for d in (dose, None)
    )
    away = [float(np.linalg.norm(r.volume - right)) for r in (told, untold)]
    assert away[0] < 0.5 * away[1]


def test_a_much_heavier_tilt_does_not_break_the_automatic_step() -> None:
    dose = np.ones((6, 3))
    dose[1] = 30.0  # not among the tilts that the curvature is taken of
    result = reconstruct(series(dose_per_image=dose), config(subset_size=2), device="cpu")
    errors = [s.error for s in result.sweeps]
    assert errors[-1] < 0.5 * errors[0]
    assert len({s.step_size for s in result.sweeps}) == 1  # no sweep was undone


def test_with_one_focus_whole_tilts_are_held_out_evenly() -> None:
    shuffled = np.random.default_rng(1).permutation(np.linspace(-58, 58, 30))
    one = series(30, 1, tilt_deg=shuffled)
    problem = build_problem(one, config(holdout_fraction=0.2))
    left = np.sort(shuffled[problem.held_out[:, 0]])
    assert left.size == 6
    np.testing.assert_allclose(np.diff(left), 20, atol=1e-9)  # 5 steps of 4 degrees
    gaps = np.diff(np.sort(shuffled[problem.weight[:, 0] > 0]))
    assert gaps.max() == pytest.approx(8)
    assert abs(shuffled[problem.weight[:, 0] > 0]).max() == pytest.approx(58)
