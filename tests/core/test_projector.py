"""Footprint tables against the rotators they stand for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.projector import HostProjector, flat_projector
from napari_phaset3m.core.rotation import footprint, make_rotator
from napari_phaset3m.errors import ConfigError

ANGLES = (-90.0, -63.2, -45.0, 0.0, 10.0, 37.0, 80.0, 180.0)


@pytest.mark.parametrize("kind", ["linear", "cubic", "fourier"])
def test_equals_the_rotator_and_its_adjoint(kind: str) -> None:
    geometry = TiltGeometry(20, 24, 35, 1.0, ANGLES, 1, True)
    projector, rotator = HostProjector(geometry, kind, 2), make_rotator(kind, geometry)
    rng = np.random.default_rng(0)
    volume = rng.standard_normal(geometry.volume_shape).astype(np.float32)
    tilts = [3, 1, 0, 7, 6]
    out, one = np.empty((5, 24, 35), np.float32), np.empty((5, 24, 35), np.float32)
    projector.forward(volume, tilts, out)
    for i, tilt in enumerate(tilts):
        rotator.project(volume, tilt, one[i : i + 1])
    np.testing.assert_allclose(out, one, atol=3e-5)
    back, other = np.zeros_like(volume), np.zeros_like(volume)
    projector.adjoint(out, tilts, back)
    for i, tilt in enumerate(tilts):
        rotator.backproject(out[i : i + 1], tilt, other)
    np.testing.assert_allclose(back, other, atol=2e-4)
    projector.close()


@settings(max_examples=12, deadline=None)
@given(
    st.integers(6, 14), st.integers(6, 14), st.integers(1, 40),
    st.lists(st.floats(-180, 180), min_size=1, max_size=10), st.sampled_from(["linear", "cubic"]),
)  # fmt: skip
def test_adjointness(nz: int, nx: int, ny: int, angles: list[float], kind: str) -> None:
    projector = HostProjector(TiltGeometry(nz, nx, ny, 1.0, tuple(angles)), kind, 2)
    rng = np.random.default_rng(1)
    volume = rng.standard_normal((nz, nx, ny)).astype(np.float32)
    images = rng.standard_normal((len(angles), nx, ny)).astype(np.float32)
    out, back = np.empty_like(images), np.zeros_like(volume)
    projector.forward(volume, range(len(angles)), out)
    projector.adjoint(images, range(len(angles)), back)
    left, right = np.vdot(out.astype(float), images), np.vdot(volume.astype(float), back)
    assert left == pytest.approx(right, abs=1e-4 * float(np.linalg.norm(out) * np.linalg.norm(images)) + 1e-6)
    projector.close()


def test_update_is_scaled_and_bounded() -> None:
    geometry = TiltGeometry(9, 10, 33, 1.0, ANGLES)
    projector, rng = HostProjector(geometry, "linear", 2), np.random.default_rng(2)
    volume = rng.standard_normal(geometry.volume_shape).astype(np.float32)
    images = rng.standard_normal((8, 10, 33)).astype(np.float32)
    scale = rng.random((9, 10)).astype(np.float32)
    plain = np.zeros_like(volume)
    projector.adjoint(images, range(8), plain)
    moved = volume.copy()
    projector.adjoint(images, range(8), moved, scale=scale, low=-0.5)
    expected = np.maximum(volume + scale[:, :, None] * plain, -0.5)
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_interpolation_takes_the_image_where_a_voxel_projects() -> None:
    geometry = TiltGeometry(7, 8, 16, 1.0, (30.0,))
    projector = HostProjector(geometry, "linear", 1)
    image = np.random.default_rng(3).random((1, 8, 16)).astype(np.float32)
    volume = np.zeros(geometry.volume_shape, np.float32)
    projector.interpolate(image, [0], volume)
    z, x = np.meshgrid(np.arange(7) - 3.0, np.arange(8) - 3.5, indexing="ij")
    at = x * np.cos(np.pi / 6) - z * np.sin(np.pi / 6) + 3.5
    padded = np.concatenate([[0], image[0, :, 5], [0]])
    expected = np.interp(at + 1, np.arange(10), padded)
    np.testing.assert_allclose(volume[:, :, 5], expected, atol=1e-6)


def test_flat_projector_is_one_plane_of_the_whole() -> None:
    geometry = TiltGeometry(9, 12, 20, 1.0, ANGLES)
    whole, flat = HostProjector(geometry), flat_projector(geometry, "linear")
    column = np.random.default_rng(4).random((9, 12, 1)).astype(np.float32)
    out, one = np.empty((8, 12, 20), np.float32), np.empty((8, 12, 1), np.float32)
    whole.forward(np.ascontiguousarray(np.broadcast_to(column, (9, 12, 20))), range(8), out)
    flat.forward(column, range(8), one)
    np.testing.assert_allclose(out[..., 7:8], one, atol=1e-5)


def test_rays_list_the_rows_of_the_table() -> None:
    table = footprint.make_table(TiltGeometry(8, 9, 1, 1.0, (25.0,), 1, True), "linear")
    start, voxel, weight = footprint.rays(table, 0)
    out = np.empty((1, 9, 1), np.float32)
    volume = np.random.default_rng(5).random((8, 9, 1)).astype(np.float32)
    footprint.forward(volume, table, np.array([0]), out, 0, 1)
    sums = [volume.ravel()[voxel[a:b]] @ weight[a:b] for a, b in pairwise(start)]
    np.testing.assert_allclose(sums, out[0, :, 0], rtol=1e-5)


def test_a_volume_narrower_than_the_stencil_is_refused() -> None:
    with pytest.raises(ConfigError, match="voxel_angstrom"):
        footprint.make_table(TiltGeometry(8, 2, 4, 1.0, (0.0,)), "linear")
