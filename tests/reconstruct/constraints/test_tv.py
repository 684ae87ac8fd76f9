"""The TV proximal map against scikit-image and its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.restoration import denoise_tv_chambolle

from napari_phaset3m.reconstruct.constraints import TotalVariation, total_variation, tv_prox


def noisy(shape: tuple[int, ...] = (12, 14, 17), seed: int = 0) -> np.ndarray:
    v = np.random.default_rng(seed).normal(0, 0.3, shape)
    v[3:9, 4:10, 5:12] += 1
    return v.astype(np.float32)


def prox(v: np.ndarray, weight: float, **options: int) -> np.ndarray:
    result = v.copy()
    tv_prox(result, weight, **options)
    return result


def objective(u: np.ndarray, v: np.ndarray, weight: float) -> float:
    return 0.5 * float(((u - v).astype(np.float64) ** 2).sum()) + weight * total_variation(u)


def test_agrees_with_scikit_image() -> None:
    v, weight = noisy(), 0.25
    reference = denoise_tv_chambolle(v.astype(np.float64), weight, eps=1e-9, max_num_iter=4000)
    np.testing.assert_allclose(prox(v, weight, iterations=600), reference, atol=3e-3)
    few = prox(v, weight, iterations=20)
    assert objective(few, v, weight) < 1.02 * objective(reference.astype(np.float32), v, weight)


@pytest.mark.parametrize("shape", [(12, 14, 17), (1, 9, 8), (5, 1, 7), (3, 4, 1)])
def test_lowers_tv_keeps_the_mean_and_does_not_depend_on_threads(shape: tuple[int, ...]) -> None:
    v = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    one, three = prox(v, 0.3, threads=1), prox(v, 0.3, threads=3)
    np.testing.assert_array_equal(one, three)
    assert total_variation(one) < 0.9 * total_variation(v)
    assert one.mean() == pytest.approx(v.mean(), abs=1e-5)


def test_is_non_expansive_and_a_zero_weight_does_nothing() -> None:
    a, b = noisy(seed=2), noisy(seed=3)
    moved = np.linalg.norm(prox(a, 0.2, iterations=300) - prox(b, 0.2, iterations=300))
    assert moved <= np.linalg.norm(a - b)
    np.testing.assert_array_equal(prox(a, 0.0), a)


def test_constraint_acts_on_every_channel() -> None:
    volume = np.stack([noisy(), 2 * noisy(seed=5)])
    done = volume.copy()
    TotalVariation(0.2, iterations=10).apply(done, 0)
    for before, after in zip(volume, done, strict=True):
        np.testing.assert_array_equal(prox(before, 0.2, iterations=10), after)
