"""SIRT against ASTRA's 2D CPU SIRT slice by slice, and its own definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.methods.sirt import SirtMethod, projections
from napari_phaset3m.reconstruct.problem import build_problem

ANGLES = np.arange(-65.0, 66, 5)


def phantom(n: int, ny: int) -> np.ndarray:
    """Off-centre ellipsoids, `(nz, nx, ny)`, without any symmetry."""
    z, x, y = np.meshgrid(*(np.linspace(-1, 1, m) for m in (n, n, ny)), indexing="ij")
    v = np.zeros((n, n, ny), np.float32)
    for value, cz, cx, cy, r in (
        (1, 0.1, -0.2, 0, 0.45),
        (0.7, -0.35, 0.3, 0.3, 0.2),
        (0.5, 0.3, 0.25, -0.3, 0.15),
    ):
        v += value * ((z - cz) ** 2 + (x - cx) ** 2 + (0.5 * (y - cy)) ** 2 < r**2)
    return v / n


def make_series(images: np.ndarray, angles: np.ndarray, **fields: object) -> TiltFocalSeries:
    return TiltFocalSeries(images=images, tilt_deg=angles, pixel_size_angstrom=2.0, energy_ev=300e3, **fields)  # type: ignore[arg-type]


def make_method(images: np.ndarray, angles: np.ndarray = ANGLES, **config: object) -> SirtMethod:
    settings = ReconstructionConfig(method="sirt", **config)  # type: ignore[arg-type]
    return SirtMethod(build_problem(make_series(images, angles), settings), settings, 1)


def iterate(method: SirtMethod, iterations: int, positivity: bool) -> tuple[np.ndarray, list[float]]:
    x = np.zeros(method.volume_shape, np.float32)
    tilts, errors = np.arange(method.n_tilt), []
    for _ in range(iterations):
        gradient = np.zeros_like(x)
        losses = [method.accumulate(x, int(t), gradient, 0) for t in tilts]
        errors.append(np.sqrt(sum(losses) / sum(method.data_norm(int(t)) for t in tilts)))
        x -= method.preconditioner(tilts) * gradient
        if positivity:
            np.maximum(x, 0, out=x)
    return x, errors


def astra_geometry(n: int) -> tuple[object, object]:
    import astra

    # ASTRA rotates the detector: x' = x cos + y sin with its y upwards in row order
    # reversed; rows here are z, so z = -y_astra and the angle keeps its sign:
    # x' = x cos(t) - z sin(t).
    return astra.create_vol_geom(n, n), astra.create_proj_geom("parallel", 1.0, n, np.radians(ANGLES))


def astra_sirt(sinograms: np.ndarray, iterations: int, positivity: bool) -> np.ndarray:
    """`(ny, n_tilt, nx)` sinograms to `(nz, nx, ny)`."""
    import astra

    n = sinograms.shape[-1]
    volume_geometry, projection_geometry = astra_geometry(n)
    projector = astra.create_projector("linear", projection_geometry, volume_geometry)
    out = np.empty((n, n, len(sinograms)), np.float32)
    for y, sinogram in enumerate(sinograms):
        data = astra.data2d.create("-sino", projection_geometry, sinogram)
        result = astra.data2d.create("-vol", volume_geometry, 0.0)
        config = astra.astra_dict("SIRT")
        config |= {"ProjectorId": projector, "ProjectionDataId": data, "ReconstructionDataId": result}
        if positivity:
            config["option"] = {"MinConstraint": 0.0}
        algorithm = astra.algorithm.create(config)
        astra.algorithm.run(algorithm, iterations)
        out[:, :, y] = astra.data2d.get(result)
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([data, result])
    astra.projector.delete(projector)
    return out


def project(volume: np.ndarray, angles: np.ndarray = ANGLES) -> np.ndarray:
    """`(n_tilt, ny, nx)` line sums by the method's own operator."""
    _, n_x, n_y = volume.shape
    method = make_method(np.ones((len(angles), 1, n_y, n_x), np.float32), angles)
    return np.stack([method.predict(volume[None], t)[0].T for t in range(len(angles))])


@pytest.mark.parametrize("positivity", [False, True])
def test_agrees_with_astra(positivity: bool) -> None:
    pytest.importorskip("astra")
    truth = phantom(48, 10)
    data = project(truth)
    noisy = data + np.random.default_rng(0).normal(0, 0.01, data.shape).astype(np.float32)
    method = make_method((1 - noisy)[:, None])
    np.testing.assert_allclose(method.data.swapaxes(1, 2), noisy, atol=1e-6)
    ours, errors = iterate(method, 30, positivity)
    theirs = astra_sirt(np.ascontiguousarray(noisy.transpose(1, 0, 2)), 30, positivity)
    correlation = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    assert correlation >= 0.99, correlation
    # The same scale, not only the same picture; a mirrored volume would fail as well.
    assert np.vdot(ours, theirs) / np.vdot(theirs, theirs) == pytest.approx(1, abs=0.02)
    assert np.corrcoef(ours[0, ::-1].ravel(), theirs.ravel())[0, 1] < 0.9
    assert all(b < a for a, b in pairwise(errors))


def test_residuals_fall_as_astra_s_do() -> None:
    pytest.importorskip("astra")
    data = project(phantom(40, 8))
    method = make_method((1 - data)[:, None])

    def residual(volume: np.ndarray) -> float:
        return float(np.linalg.norm(project(volume) - data) / np.linalg.norm(data))

    for iterations in (3, 10, 30):
        ours = residual(iterate(method, iterations, False)[0][0])
        theirs = residual(astra_sirt(np.ascontiguousarray(data.transpose(1, 0, 2)), iterations, False))
        assert ours == pytest.approx(theirs, rel=0.25, abs=0.01)


def test_gradient_is_the_weighted_adjoint() -> None:
    rng = np.random.default_rng(1)
    method = make_method(rng.random((4, 1, 9, 12)).astype(np.float32), np.array([-50.0, 0, 20, 63]))
    x = rng.random(method.volume_shape).astype(np.float32)
    direction = rng.normal(size=x.shape).astype(np.float32)
    for tilt in range(4):
        gradient = np.zeros_like(x)
        method.accumulate(x, tilt, gradient, 0)
        slope = np.vdot(gradient.astype(float), direction)
        step = 1e-2
        losses = [method.accumulate(x + s * direction, tilt, np.zeros_like(x), 0) for s in (step, -step)]
        assert slope == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=2e-3)


def test_subset_columns_are_those_of_the_subset() -> None:
    method = make_method(np.ones((4, 1, 8, 10), np.float32), np.array([-60.0, 0, 20, 60]))
    one = np.zeros(method.volume_shape[1:], np.float32)
    method.rotator.backproject(np.ones((1, 10, 8), np.float32), 1, one)
    inverse = method.preconditioner(np.array([1]))
    np.testing.assert_allclose(inverse[one > 1e-3] * one[one > 1e-3], 1, rtol=1e-5)
    assert not np.allclose(inverse, method.preconditioner(np.array([0, 2])))


def test_one_subset_step_solves_a_constant_object() -> None:
    volume = np.full((10, 10, 8), 0.05, np.float32)
    method = make_method((1 - project(volume, np.array([0.0])))[:, None], np.array([0.0]))
    x, errors = iterate(method, 2, False)
    np.testing.assert_allclose(x[0], volume, atol=1e-6)
    assert errors[1] < 1e-5


def test_positivity_keeps_the_volume_positive() -> None:
    images = 1 - np.random.default_rng(2).normal(0, 1, (5, 1, 8, 12)).astype(np.float32)
    method = make_method(images, np.linspace(-60, 60, 5))
    assert iterate(method, 5, True)[0].min() >= 0
    assert iterate(method, 5, False)[0].min() < 0


def test_foci_are_averaged_with_their_weights() -> None:
    images = np.random.default_rng(3).uniform(0.5, 1.2, (2, 3, 8, 9)).astype(np.float32)
    used = np.array([[True, True, False], [True, True, True]])
    series = make_series(images, np.array([0.0, 30.0]), used=used)
    config = ReconstructionConfig(method="sirt", projection="log")
    data = projections(build_problem(series, config), config)
    np.testing.assert_allclose(data[0], -np.log(images[0, :2]).mean(axis=0).T, atol=1e-5)
    np.testing.assert_allclose(data[1], -np.log(images[1]).mean(axis=0).T, atol=1e-5)
