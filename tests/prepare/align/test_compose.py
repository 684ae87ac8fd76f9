"""Two alignments in a row as one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.compose import onto, resampled_once
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.result import AlignResult


def smooth() -> TiltFocalSeries:
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5, indexing="ij")
    images = np.zeros((3, 2, 64, 64), np.float32)
    for index in np.ndindex(3, 2):
        for py, px in rng.uniform(-12, 12, (4, 2)):
            images[index] += np.exp(-((y - py) ** 2 + (x - px) ** 2) / 32)
    return TiltFocalSeries(images=images, tilt_deg=[-30, 0, 30], pixel_size_angstrom=2.0, energy_ev=3e5)


def some(series: TiltFocalSeries, seed: int, angle: float) -> Alignment:
    rng = np.random.default_rng(seed)
    return Alignment.of(series).replace(
        shifts_px=rng.normal(0, 3, (3, 2, 2)),
        rotation_deg=angle + rng.normal(0, 2, (3, 2)),
        magnification=1 + rng.normal(0, 0.02, (3, 2)),
        shift_error_px=0.5,
    )


def field() -> np.ndarray:
    y, x = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), indexing="ij")
    return np.broadcast_to(np.stack((1.5 * x, -0.5 + y * x)), (3, 2, 2, 5, 5))


@pytest.mark.parametrize("local", [None, field()])
def test_it_says_the_same_as_one_after_the_other(local):
    given = smooth()
    first = some(given, 1, 40.0)
    between = apply(given, first)
    second = some(between, 2, -5.0)
    twice = apply(between, second, local)
    found = (twice, AlignResult(second, (), local_px=local))
    series, whole = resampled_once(given, first, found)
    assert np.allclose(series.images, twice.images, atol=5e-3)
    assert not np.array_equal(series.images, twice.images)
    told = apply(given, whole)
    assert np.allclose(told.shifts_px, twice.shifts_px)
    assert told.tilt_axis_angle_deg == pytest.approx(twice.tilt_axis_angle_deg, abs=0.01)


def test_errors_of_the_shifts_are_told_in_given_pixels():
    given = smooth()
    first = Alignment.of(given).replace(rotation_deg=90.0, magnification=2.0)
    second = Alignment.of(given).replace(shift_error_px=np.full((3, 2, 2), (0.1, 0.3)))
    assert np.allclose(onto(first, second).shift_error_px, (0.6, 0.2))


def test_images_resampled_once_already_stay():
    given = smooth()
    first = some(given, 1, 40.0)
    between = apply(given, first)
    second = Alignment.of(between)
    series, whole = resampled_once(given, first, (between, AlignResult(second, ())))
    assert series is between
    assert np.allclose(whole.shifts_px, first.shifts_px)
