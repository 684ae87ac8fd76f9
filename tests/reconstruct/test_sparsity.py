"""The L1 penalty: its proximal step, its unit, and that it keeps vacuum empty in noise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries
from napari_phaset3m.config import ConstraintConfig
from napari_phaset3m.reconstruct.problem import Problem, build_problem
from napari_phaset3m.reconstruct.sparsity import MODEL_ERROR, amplitude_noise, noise_passed, penalty
from napari_phaset3m.reconstruct.update import Limit, descend


def problem(dose: float | None, **changes: object) -> Problem:
    series = TiltFocalSeries(
        images=np.random.default_rng(3).uniform(0.9, 1.1, (5, 2, 12, 12)).astype(np.float32),
        tilt_deg=np.linspace(-40, 40, 5),
        pixel_size_angstrom=0.5,
        energy_ev=3e5,
        defocus_angstrom=np.array([300.0, 700.0]),
        spherical_aberration_angstrom=1e7,
        dose_per_image=dose,
    )
    return build_problem(series, ReconstructionConfig(iterations=3, **changes))


@pytest.mark.parametrize("limit", [Limit(), Limit(0.0, 0.0), Limit(-np.inf, 0.3), Limit(0.0, 0.3)])
def test_the_update_is_the_proximal_gradient_step(limit: Limit) -> None:
    rng = np.random.default_rng(1)
    volume, *slots = rng.standard_normal((3, 2, 5, 7, 11)).astype(np.float32)
    gradient = np.stack(slots)
    moved = volume[0] - np.float32(0.5) * gradient.sum(0)[0]
    expected = np.maximum(np.sign(moved) * np.maximum(np.abs(moved) - limit.shrink, 0), limit.low)
    other = volume[1] - np.float32(0.5) * gradient.sum(0)[1]
    with ThreadPoolExecutor(2) as pool:
        descend(pool, 2, volume, gradient, scale=1.0, step=0.5, limits=[limit, Limit()])
    np.testing.assert_allclose(volume[0], expected, atol=1e-6)
    np.testing.assert_allclose(volume[1], other, atol=1e-6)
    assert not gradient.any()


def test_noise_is_that_of_counting_amplitudes() -> None:
    # sqrt of Poisson counts: standard deviation 1/2, whatever their mean.
    counts = np.random.default_rng(2).poisson(40.0, 200_000) / 40.0
    known = problem(40.0 / 0.5**2)
    assert known.electrons_per_pixel == pytest.approx(40)
    assert amplitude_noise(known) == pytest.approx(np.std(np.sqrt(counts)), rel=0.01)
    assert amplitude_noise(problem(None)) == MODEL_ERROR


def test_noise_passed_is_the_filters_gain_on_projected_noise() -> None:
    n, sigma = 64, 0.8
    k = np.fft.fftfreq(n)
    kz, kx, ky = np.meshgrid(k, k, k, indexing="ij")
    radius = np.hypot(kz, kx)
    inside = (radius > 0) & (radius < 0.5)
    weight = np.divide(1.0, radius, where=inside, out=np.zeros_like(radius))
    gain = np.exp(-4 * np.pi**2 * sigma**2 * (radius**2 + ky**2))
    measured = np.sqrt((weight * gain).sum() / weight.sum())
    assert noise_passed(sigma) == pytest.approx(measured, rel=0.15)
    assert noise_passed(1e-6) == pytest.approx(1, rel=1e-3)


def test_the_penalty_follows_the_dose_and_leaves_linear_methods_alone() -> None:
    free = ConstraintConfig(atomic_basis_sigma_angstrom=None)

    def weight(dose: float | None, strength: float | str = "auto", method: str = "multislice") -> float:
        constraints = free.model_copy(update={"sparsity": strength})
        settings = ReconstructionConfig(iterations=3, method=method, constraints=constraints)
        return penalty(settings, problem(dose, constraints=constraints))

    assert weight(10.0) == pytest.approx(2 * weight(40.0), rel=0.02)
    assert weight(10.0, 2.0) == pytest.approx(2 * weight(10.0, 1.0))
    assert weight(None) < weight(1000.0) / 2
    assert weight(10.0, 0.0) == 0
    assert weight(10.0, method="sirt") == 0
