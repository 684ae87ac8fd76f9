"""Measured against simulated: the model's own images come back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.optimise.look import shift_map, simulated
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.volumes import to_public


@pytest.mark.parametrize("tilt", [2, 5])
def test_images_of_the_true_volume_are_the_measured_ones(tilt, true_series, phase, short):
    series = true_series
    problem = build_problem(series, short)
    scale = make_method(problem, short, 1, resolve_device("cpu")).volts_per_unit
    volume = to_public(phase[0], scale, problem.border)
    measured, found = simulated(series, short, volume, tilt)
    np.testing.assert_allclose(measured, series.images[tilt], atol=1e-6)
    # single precision through two transforms of each slice
    np.testing.assert_allclose(found, measured, atol=2e-4)
    assert np.ptp(measured) > 0.05
    # shifts and optics of the series go into it
    moved = series.replace(shifts_px=np.full((11, 2, 2), (0.0, 3.0)))
    np.testing.assert_allclose(simulated(moved, short, volume, tilt)[1], np.roll(found, 3, axis=2), atol=2e-3)
    wrong = series.replace(spherical_aberration_angstrom=3e7)
    assert np.abs(simulated(wrong, short, volume, tilt)[1] - found).max() > 0.005


def test_a_shift_map_is_least_where_the_image_lies(true_series, phase, short):
    problem = build_problem(true_series, short)
    scale = make_method(problem, short, 1, resolve_device("cpu")).volts_per_unit
    volume = to_public(phase[0], scale, problem.border)
    off = true_series.replace(shifts_px=np.full((11, 2, 2), (0.7, -1.1)))
    measured, found = simulated(off, short, volume, 4)
    seen = shift_map(measured[1], found[1])
    assert seen.error.shape == (17, 17) and seen.points_px[[0, -1]].tolist() == [-2, 2]
    np.testing.assert_allclose(seen.least_px, [-0.7, 1.1], atol=0.05)
    top = np.unravel_index(seen.error.argmin(), seen.error.shape)
    np.testing.assert_allclose(seen.points_px[list(top)], [-0.75, 1.0], atol=0.26)
    # at half the sampling the map is in pixels of the series all the same
    half = shift_map(measured[1][::2, ::2], found[1][::2, ::2], scale=2.0)
    np.testing.assert_allclose(half.least_px, [-0.7, 1.1], atol=0.3)
