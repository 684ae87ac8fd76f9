"""The view along a zone axis of a crystal that lies as it likes."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.analyse.zone import view_along, zone_axis


def test_the_zone_axis_of_a_turned_lattice_is_found() -> None:
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("zxz", [20, 35, 50], degrees=True).as_matrix()
    n, voxel = 48, 0.5
    z = (np.arange(n) - (n - 1) / 2) * voxel
    grid = np.stack(np.meshgrid(z, z, z, indexing="ij"), axis=-1) @ turn  # crystal coordinates
    ball = np.exp(-((grid**2).sum(-1)) / 60)
    columns = (1 + np.cos(2 * np.pi * grid[..., 1] / 2.5)) * (1 + np.cos(2 * np.pi * grid[..., 2] / 3.1))
    axes = zone_axis((ball * columns).astype(np.float32), voxel)
    assert axes is not None
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    # the crystal's first axis is the only direction in which this lattice does not vary
    assert abs(axes[0] @ turn[:, 0]) > np.cos(np.radians(3))


def test_a_view_along_the_beam_is_the_projection() -> None:
    volume = np.random.default_rng(0).random((6, 7, 8)).astype(np.float32)
    np.testing.assert_allclose(view_along(volume, np.eye(3), 6), volume.mean(axis=0), atol=1e-5)
    turned = view_along(np.ascontiguousarray(volume[:6, :6, :6]), np.eye(3)[[2, 1, 0]], 6)
    np.testing.assert_allclose(turned, volume[:6, :6, :6].mean(axis=2).T, atol=1e-5)
