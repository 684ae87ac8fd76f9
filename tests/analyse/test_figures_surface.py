"""Surfaces: where they lie, how they are turned and lit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation

from napari_phaset3m.analyse.bragg import bragg_report
from napari_phaset3m.analyse.figures import rays, style, surface

pytest.importorskip("matplotlib")
N = 33


def ball(centre: tuple[float, float, float] = (0, 0, 0), radius: float = 8.0) -> np.ndarray:
    """Distance inside the surface of a ball; centre x, y, z from the middle, voxels."""
    c = np.arange(N) - (N - 1) / 2
    z, y, x = c[:, None, None] - centre[2], c[:, None] - centre[1], c - centre[0]
    return (radius - np.sqrt(z**2 + y**2 + x**2)).astype(np.float32)


def test_a_ball_has_its_depth_and_is_lit_from_the_upper_left() -> None:
    found = rays.shaded(ball(), 0.0, (0.0, 0.0))
    n = len(found.depth)
    pixel = 2 * found.half_width / n
    place = (np.arange(n) - (n - 1) / 2) * pixel
    r2 = place[:, None] ** 2 + place**2
    inside = r2 < 7**2
    np.testing.assert_allclose(found.depth[inside], -np.sqrt(64 - r2[inside]), atol=0.15)
    assert np.isnan(found.depth[r2 > 8.7**2]).all()
    middle, aside = n // 2, round(5 / pixel)
    bright = found.brightness
    assert bright[middle - aside, middle - aside] > bright[middle + aside, middle + aside] + 0.2
    assert np.nanmin(bright) > 0 and np.nanmax(bright) <= 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_is_turned_as_the_matrix_says(axis: int) -> None:
    place = np.zeros(3)
    place[axis] = 9.0
    found = rays.shaded(ball(tuple(place), 4.0), 0.0)
    right, down, away = rays.view_matrix() @ place
    v, u = np.nonzero(np.isfinite(found.depth))
    pixel = 2 * found.half_width / len(found.depth)
    centre = (np.array([u.mean(), v.mean()]) - (len(found.depth) - 1) / 2) * pixel
    np.testing.assert_allclose(centre, (right, down), atol=0.3)
    assert np.nanmin(found.depth) == pytest.approx(away - 4, abs=0.3)


def test_the_view_keeps_handedness_and_begins_as_the_images_do() -> None:
    assert np.linalg.det(rays.view_matrix()) == pytest.approx(1)
    np.testing.assert_allclose(rays.view_matrix((0, 0)), np.eye(3), atol=1e-12)


def test_the_level_lies_between_atoms_and_what_is_around_them() -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(1, 0.2, (N,) * 3)
    volume[10:20, 10:20, 10:20] += 10
    assert 1.6 < surface.surface_level(volume) < 9
    mask = np.zeros(volume.shape)
    mask[12:18, 12:18, 12:18] = 1
    assert surface.surface_level(volume, mask) > 9  # only the inside of the cube is seen


def test_noise_has_hardly_any_surface_of_power_and_a_crystal_has_its_peaks() -> None:
    noise = np.random.default_rng(1).normal(size=(64,) * 3).astype(np.float32)
    assert (surface.power_excess(noise) > surface.POWER_DEVIATIONS).mean() < 1e-4
    volume = noisy(particle(rotation(3)), 0.5)
    report = bragg_report(volume, VOXEL)
    excess = surface.power_excess(volume)
    q = report.q_per_angstrom[report.found & (report.snr > 15)]
    index = np.rint(q * 64 * VOXEL).astype(int) + 32
    assert (excess[index[:, 2], index[:, 1], index[:, 0]] > surface.POWER_DEVIATIONS).mean() > 0.9


def test_both_figures_are_drawn_with_what_is_found() -> None:
    volume = noisy(particle(rotation(3)), 0.5)
    report = bragg_report(volume, VOXEL, tilt_deg=np.arange(-60, 61, 5))
    with style.sheet():
        assert len(style.to_png(surface.figure_surface(volume, VOXEL))) > 5000
        figure = surface.figure_power(volume[:, :60], VOXEL, report=report, tilt_range_deg=(-60, 60))
        labels = figure.axes[0].get_legend_handles_labels()[1]
    assert any("found, measured region" in label for label in labels)
    assert any("border" in label for label in labels) and any("shells" in label for label in labels)
