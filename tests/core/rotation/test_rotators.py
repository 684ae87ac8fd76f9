"""The three rotators: exact adjoints, handedness, mass, derivative, power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.rotation import make_rotator

KINDS = ("linear", "cubic", "fourier")
ANGLES = (0.0, 13.7, -45.0, 46.0, -71.3, 90.0, -90.0, 180.0, 133.0)
SHAPES = ((16, 16, 5), (7, 17, 6), (15, 10, 3), (1, 12, 4), (4, 33, 2))


def _geometry(shape, angles, n_slices=4):
    nz, nx, ny = shape
    return TiltGeometry(nz, nx, ny, 1.0, tuple(angles), n_slices)


def _pair(kind, shape, angle, n_slices, dtype=np.float32):
    geometry = _geometry(shape, (angle,), n_slices)
    rng = np.random.default_rng(3)
    volume = rng.standard_normal(shape).astype(dtype)
    out = np.empty((len(geometry.edges(0)) - 1, *shape[1:]), dtype)
    slices = rng.standard_normal(out.shape).astype(dtype)
    rotator = make_rotator(kind, geometry)
    rotator.project(volume, 0, out)
    gradient = np.zeros(shape, dtype)
    rotator.backproject(slices, 0, gradient)
    left = np.vdot(out.astype(np.float64), slices)
    right = np.vdot(volume.astype(np.float64), gradient)
    return abs(left - right) / (np.linalg.norm(out) * np.linalg.norm(slices) + 1e-30)


def _gaussian(shape, centre, width):
    z, x, y = (np.arange(n) - (n - 1) / 2 for n in shape)
    r2 = (z[:, None, None] - centre[1]) ** 2 + (x[None, :, None] - centre[0]) ** 2 + y[None, None, :] ** 2
    return np.exp(-r2 / (2 * width**2)).astype(np.float32)


def _project(kind, volume, angle, n_slices, derivative=False):
    geometry = _geometry(volume.shape, (angle,), n_slices)
    out = np.empty((len(geometry.edges(0)) - 1, *volume.shape[1:]), volume.dtype)
    rotator = make_rotator(kind, geometry)
    (rotator.project_derivative if derivative else rotator.project)(volume, 0, out)
    return out, geometry


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint(kind, shape):
    for angle in ANGLES:
        for n_slices in (1, 3, 64):
            assert _pair(kind, shape, angle, n_slices) <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_adjoint_float64(kind):
    assert _pair(kind, (9, 14, 4), 33.0, 5, np.float64) <= 1e-10


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 5)),
    angle=st.floats(-180, 180),
    n_slices=st.integers(1, 20),
)
def test_adjoint_of_anything(kind, shape, angle, n_slices):
    assert _pair(kind, shape, angle, n_slices) <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_zero_tilt_is_plain_sums(kind, shape):
    volume = np.random.default_rng(0).integers(-8, 8, shape).astype(np.float32)
    out, geometry = _project(kind, volume, 0.0, 3)
    expected = np.add.reduceat(volume, geometry.edges(0)[:-1])
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("angle", ANGLES)
def test_mass_is_kept(kind, angle):
    volume = _gaussian((24, 24, 9), (1.0, -2.0), 1.6)
    out, _ = _project(kind, volume, angle, 6)
    assert out.sum(dtype=np.float64) == pytest.approx(volume.sum(dtype=np.float64), rel=5e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("angle", (30.0, -50.0, 70.0, 90.0, -90.0, 120.0))
def test_handedness(kind, angle):
    x, z = 5.0, 3.0
    volume = _gaussian((25, 25, 5), (x, z), 1.5)
    out, _ = _project(kind, volume, angle, 25)
    profile = out.sum(axis=2, dtype=np.float64)
    axis = np.arange(25) - 12.0
    total = profile.sum()
    found_x, found_z = (profile.sum(0) @ axis) / total, (profile.sum(1) @ axis) / total
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    assert found_x == pytest.approx(x * c - z * s, abs=0.05)
    assert found_z == pytest.approx(x * s + z * c, abs=0.05)
    flipped = (x * c + z * s, -x * s + z * c)
    assert np.hypot(found_x - flipped[0], found_z - flipped[1]) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_quarter_turn_is_exact_for_cubes(kind):
    volume = np.random.default_rng(0).standard_normal((12, 12, 3)).astype(np.float32)
    out, _ = _project(kind, volume, 90.0, 12)
    # x' = -z, z' = x
    np.testing.assert_allclose(out, volume.swapaxes(0, 1)[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("angle", (11.3, -38.2, 63.7, -80.1))
def test_derivative_against_differences(kind, angle):
    volume = _gaussian((18, 15, 4), (2.0, -1.5), 1.7).astype(np.float64)
    step = 1e-5
    above, _ = _project(kind, volume, angle + np.degrees(step), 5)
    below, _ = _project(kind, volume, angle - np.degrees(step), 5)
    expected = (above - below) / (2 * step)
    found, _ = _project(kind, volume, angle, 5, derivative=True)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    # Float32 weights limit the differences of the two interpolators.
    assert error < (1e-6 if kind == "fourier" else 2e-2)


@pytest.mark.parametrize("angle", (17.0, 45.0, -62.0))
def test_power_of_band_limited_objects(angle):
    n = 48
    rng = np.random.default_rng(5)
    k = np.fft.fftfreq(n)
    radius = np.hypot(k[:, None], k[None, :])
    band = (radius > 0.25) & (radius < 0.4)
    texture = np.fft.ifft2(np.fft.fft2(rng.standard_normal((n, n))) * band).real
    axis = np.arange(n) - (n - 1) / 2
    window = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / 6.0**2)
    volume = (texture * window)[:, :, None].astype(np.float32)
    power = {}
    for kind in KINDS:
        out, _ = _project(kind, volume, angle, n)
        power[kind] = float((out.astype(np.float64) ** 2).sum() / (volume.astype(np.float64) ** 2).sum())
    assert power["fourier"] == pytest.approx(1, abs=0.01)
    assert power["linear"] <= power["cubic"] <= power["fourier"]


def test_fourier_chunks_do_not_matter(monkeypatch):
    volume = np.random.default_rng(0).standard_normal((9, 12, 7)).astype(np.float32)
    whole, _ = _project("fourier", volume, 27.0, 4)
    monkeypatch.setattr("napari_phaset3m.core.rotation.fourier._CHUNK_BYTES", 1)
    pieces, _ = _project("fourier", volume, 27.0, 4)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
