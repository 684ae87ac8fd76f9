"""The ball around a particle that stands free, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.support import ball_around

N, VOXEL = 48, 0.5


def volume(radius_px: float, centre=(0.0, 0.0, 0.0), around: float = 0.0) -> np.ndarray:
    """A sphere of 1 V, with positive noise and matter everywhere else."""
    axis = np.arange(N) - (N - 1) / 2
    z, y, x = (line - c for line, c in zip(np.meshgrid(axis, axis, axis, indexing="ij"), centre, strict=True))
    inside = z**2 + y**2 + x**2 <= radius_px**2
    noise = np.maximum(np.random.default_rng(0).normal(0, 0.2, inside.shape), 0)
    return (np.where(inside, 1.0, around) + noise).astype(np.float32)


@pytest.mark.parametrize("centre", [(0, 0, 0), (2, -3, 1)])
def test_it_holds_the_particle_and_little_more(centre):
    found = ball_around(volume(9, centre), VOXEL)
    radius, mask = found.radius_angstrom / VOXEL, found.mask((N, N, N))
    assert 9 < radius < 13
    places = np.argwhere(mask) - (N - 1) / 2
    np.testing.assert_allclose(places.mean(0), centre, atol=0.6)
    assert np.sqrt(((places - centre) ** 2).sum(1)).max() == pytest.approx(radius, abs=1.5)
    assert (mask[volume(9, centre) > 0.95] > 0).mean() > 0.999


def solid(
    centre: tuple[float, float, float], half_axes: tuple[float, float, float], n: int = 64
) -> np.ndarray:
    z, y, x = (np.arange(n) - (n - 1) / 2 - c for c in centre)
    a, b, c = half_axes
    inside = (z[:, None, None] / a) ** 2 + (y[:, None] / b) ** 2 + (x / c) ** 2 <= 1
    noise = np.abs(np.random.default_rng(1).normal(0, 1.0, inside.shape))
    return (8.0 * inside + noise).astype(np.float32)


def test_ball_around_an_elongated_specimen_off_the_centre():
    ball = ball_around(solid((4.0, -3.0, 2.0), (9.0, 14.0, 9.0)), VOXEL)
    assert ball is not None
    np.testing.assert_allclose(ball.centre, (4.0, -3.0, 2.0), atol=0.7)
    assert 13.0 <= ball.radius <= 17.0
    for centred in (False, True):
        mask = ball.mask((64, 64, 64), centred=centred)
        assert mask.sum() == pytest.approx(4 / 3 * np.pi * ball.radius**3, rel=0.02)
        middle = np.argwhere(mask).mean(0) - 31.5
        np.testing.assert_allclose(middle, (0, 0, 0) if centred else ball.centre, atol=0.3)


@pytest.mark.parametrize(
    "given",
    [
        volume(22),  # the field ends before the margin
        volume(9, (13, 0, 0)),  # some tilts do not see all of it
        volume(9, around=0.4),  # a particle in carbon
        solid((0, 0, 0), (8, 200, 200)),  # a film
        np.zeros((N, N, N), np.float32),
    ],
)
def test_none_where_the_particle_does_not_stand_free(given):
    assert ball_around(given, VOXEL) is None


def test_a_reference_is_empty_outside(shifted):
    found = np.zeros((N, N, N), np.float32)
    found[12:36, 12:36, 12:36] = 1
    reference = Reference(shifted.series, AlignConfig(), 1, 2, kind="confined", mask=found)
    try:
        list(reference.sweeps())
        made = np.abs(reference.public_volume())
    finally:
        reference.close()
    # Tails of the Gaussians that it is written in reach over the edge.
    assert made[found == 0].max() < 0.02 * made.max()
    assert made[found == 0].mean() < 1e-3 * made[found > 0].mean()
