"""SIRT and SART against ASTRA, and their weights against the definitions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.reconstruct.api import reconstruct


def iterate(method: Any, iterations: int, low: float = -np.inf) -> tuple[np.ndarray, list[float]]:
    """Full updates of all tilts; the relative residual before each."""
    x = method.upload(np.zeros(method.volume_shape, np.float32))
    tilts, errors = np.arange(method.n_tilt), []
    norm = sum(method.data_norm(t) for t in range(method.n_tilt))
    for _ in range(iterations):
        errors.append(float(np.sqrt(method.update(x, tilts, 1.0, low=low, memory={}) / norm)))
    return x, errors


@pytest.mark.parametrize("positivity", [False, True])
def test_sirt_agrees_with_astra(scene: Any, positivity: bool) -> None:
    data = scene.project(scene.phantom(48, 10))
    noisy = data + np.random.default_rng(0).normal(0, 0.01, data.shape).astype(np.float32)
    ours, errors = iterate(scene.method("sirt", noisy), 30, 0.0 if positivity else -np.inf)
    option = {"MinConstraint": 0.0} if positivity else {}
    theirs = scene.astra("SIRT", noisy, 30, **option)
    assert scene.correlation(ours, theirs) >= 0.99
    # The same scale, not only the same picture; a mirrored volume would fail as well.
    assert np.vdot(ours, theirs) / np.vdot(theirs, theirs) == pytest.approx(1, abs=0.02)
    assert scene.correlation(ours[0, ::-1], theirs) < 0.9
    assert all(b < a for a, b in pairwise(errors))


def test_sirt_s_residuals_fall_as_astra_s_do(scene: Any) -> None:
    data = scene.project(scene.phantom(40, 8))

    def residual(volume: np.ndarray) -> float:
        return float(np.linalg.norm(scene.project(volume) - data) / np.linalg.norm(data))

    for iterations in (3, 10, 30):
        ours = residual(iterate(scene.method("sirt", data), iterations)[0][0])
        theirs = residual(scene.astra("SIRT", data, iterations))
        assert ours == pytest.approx(theirs, rel=0.25, abs=0.01)


@pytest.mark.parametrize("sweeps", [1, 3])
def test_sart_agrees_with_astra(scene: Any, sweeps: int) -> None:
    data = scene.project(scene.phantom(40, 8))
    noisy = data + np.random.default_rng(1).normal(0, 0.005, data.shape).astype(np.float32)
    settings = scene.config("sart", iterations=sweeps, relaxation=0.8, tilt_order="given")
    ours = reconstruct(scene.series(noisy), settings, device="cpu").volume.swapaxes(1, 2)
    count = len(scene.angles)
    theirs = scene.astra("SART", noisy, sweeps * count, ProjectionOrder="sequential", Relaxation=0.8)
    assert scene.correlation(ours, theirs) >= 0.99
    assert np.vdot(ours, theirs) / np.vdot(theirs, theirs) == pytest.approx(1, abs=0.02)
    rest = [np.linalg.norm(scene.project(v) - noisy) / np.linalg.norm(noisy) for v in (ours, theirs)]
    assert rest[0] == pytest.approx(rest[1], rel=0.25, abs=0.01)


def test_update_is_the_weighted_gradient(scene: Any) -> None:
    rng = np.random.default_rng(1)
    angles = np.array([-50.0, 0, 20, 63])
    method = scene.method("sirt", rng.random((4, 9, 12)).astype(np.float32), angles)
    x = rng.random(method.volume_shape).astype(np.float32)
    direction = rng.normal(size=x.shape).astype(np.float32)

    def loss(volume: np.ndarray, tilt: int) -> float:
        return method.loss(method.residual(volume, [tilt]), [tilt])

    for tilt in range(4):
        moved, weights = x.copy(), method.column_weights(np.array([tilt]))[:, :, None]
        assert method.update(moved, np.array([tilt]), 0.5, low=-np.inf, memory={}) == pytest.approx(
            loss(x, tilt)
        )
        gradient = np.divide(x - moved, 0.5 * weights, where=weights > 0, out=np.zeros_like(x))
        slope = np.vdot(gradient.astype(float), direction)
        step = 1e-2
        difference = loss(x + step * direction, tilt) - loss(x - step * direction, tilt)
        assert slope == pytest.approx(difference / (2 * step), rel=5e-3)


def test_subset_columns_are_those_of_the_subset(scene: Any) -> None:
    angles = np.array([-60.0, 0, 20, 60])
    method = scene.method("sirt", np.zeros((4, 8, 10), np.float32), angles)
    one = np.zeros(method.volume_shape[1:], np.float32)
    method.projector.adjoint(np.ones((1, 10, 8), np.float32), [1], one)
    inverse = method.column_weights(np.array([1]))
    np.testing.assert_allclose(one * inverse[:, :, None], one > 1e-3, atol=1e-5)
    assert not np.allclose(inverse, method.column_weights(np.array([0, 2])))


def test_one_tilt_solves_a_constant_object_at_once(scene: Any) -> None:
    volume = np.full((10, 10, 8), 0.05, np.float32)
    angles = np.array([0.0])
    x, errors = iterate(scene.method("sirt", scene.project(volume, angles), angles), 2)
    np.testing.assert_allclose(x[0], volume, atol=1e-6)
    assert errors[1] < 1e-5


def test_padding_weighs_nothing(scene: Any) -> None:
    data = scene.project(scene.phantom(24, 8))
    method = scene.method("sirt", data, padding_px=3)
    x = np.random.default_rng(5).random(method.volume_shape).astype(np.float32)
    residual = np.array(method.residual(x, range(method.n_tilt)))
    assert not residual[:, :3].any() and not residual[:, :, -3:].any() and residual[:, 3:-3, 3:-3].any()
    _, errors = iterate(method, 12)
    assert errors[-1] < 0.2


def test_result_does_not_depend_on_the_number_of_threads(scene: Any) -> None:
    data = scene.project(scene.phantom(24, 40))
    volumes = [
        reconstruct(
            scene.series(data), scene.config("sirt", iterations=3, threads=threads), device="cpu"
        ).volume
        for threads in (1, 2)
    ]
    np.testing.assert_array_equal(*volumes)


def test_positivity_keeps_the_volume_positive(scene: Any) -> None:
    angles = np.linspace(-60, 60, 5)
    data = np.random.default_rng(2).normal(0, 1, (5, 8, 12)).astype(np.float32)
    assert iterate(scene.method("sirt", data, angles), 5, 0.0)[0].min() >= 0
    assert iterate(scene.method("sirt", data, angles), 5)[0].min() < 0
