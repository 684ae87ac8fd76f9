"""Derivatives by shift, rotation, magnification and tilt against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.prepare.align.apply import resample
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.geometry import image_derivatives
from napari_phaset3m.prepare.align.optics import STEPS, Shared, SharedEquations
from napari_phaset3m.prepare.align.reference import Reference

GRID = Grid(40, 40, 1.0)


def blob() -> np.ndarray:
    """`(nx, ny)` a smooth lopsided thing, well inside."""
    x = np.arange(40)[:, None] - 19.5
    y = np.arange(40)[None, :] - 19.5
    return np.exp(-((x - 4) ** 2) / 18 - (y + 2) ** 2 / 40) + 0.5 * np.exp(
        -((x + 6) ** 2) / 30 - (y - 5) ** 2 / 12
    )


def given(image: np.ndarray, rotation_deg: float = 0.0, magnification: float = 1.0) -> np.ndarray:
    """The image as an alignment with this rotation and magnification has it in the given series."""
    angle = np.radians(rotation_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = magnification * np.array([[cos, -sin], [sin, cos]])
    return resample(image.T, np.linalg.inv(matrix)).T


def inside(image: np.ndarray) -> float:
    """Norm away from the border, where resampling has nothing to take from."""
    return float(np.linalg.norm(image[6:-6, 6:-6]))


def test_rotation_and_magnification_against_resampling():
    slopes = image_derivatives(GRID, blob(), np.zeros(2))
    turn = (given(blob(), 0.5) - given(blob(), -0.5)) / np.radians(1.0)
    scale = (given(blob(), magnification=1.01) - given(blob(), magnification=1 / 1.01)) / 0.02
    assert inside(slopes[2] - turn) < 0.02 * inside(turn)
    assert inside(slopes[3] - scale) < 0.02 * inside(scale)


def test_rotation_is_about_the_images_own_centre():
    y, x = 3.0, -2.0
    rolled = np.roll(blob(), (int(x), int(y)), (0, 1))
    slopes = image_derivatives(GRID, rolled, np.array([y, x]))
    turn = np.roll((given(blob(), 0.5) - given(blob(), -0.5)) / np.radians(1.0), (int(x), int(y)), (0, 1))
    assert inside(slopes[2] - turn) < 0.02 * inside(turn)


def test_shift_derivative():
    slopes = image_derivatives(GRID, blob(), np.zeros(2))
    for axis, slope in ((1, slopes[0]), (0, slopes[1])):
        step = (np.roll(blob(), 1, axis) - np.roll(blob(), -1, axis)) / 2
        assert np.linalg.norm(slope - step) < 0.05 * np.linalg.norm(step)


@pytest.fixture
def reference(shifted, volume_of):
    made = Reference(shifted.series, AlignConfig(), 1, 1)
    made._volume = volume_of(made, (0.0, 0.0, 0.0))
    yield made
    made.close()


@pytest.mark.parametrize("tilt", [2, 5, 11])
def test_tilt_derivative_against_another_tilt(shifted, volume_of, reference, tilt):
    step = np.radians(0.05)
    slope = reference.stage.method.predict_tilted(reference.volume, tilt, step)
    slope = slope - reference.stage.method.predict_tilted(reference.volume, tilt, -step)
    seen = []
    for sign in (1, -1):
        other = Reference(
            shifted.series.replace(tilt_deg=shifted.series.tilt_deg + sign * np.degrees(step)),
            AlignConfig(),
            1,
            1,
        )
        seen.append(other.stage.method.predict(volume_of(other, (0.0, 0.0, 0.0)), tilt).copy())
        other.close()
    difference = seen[0] - seen[1]
    assert np.linalg.norm(slope - difference) < 0.1 * np.linalg.norm(difference)


def test_shared_equations_find_a_small_change(shifted, reference):
    """With images predicted at another Cs and astigmatism, one step leads there."""
    truth = np.array([4e4, 3.0, -2.0])
    now = Shared.of(shifted.series)
    there = now.changed(truth).microscope(reference.microscope)
    # Images like the predictions at the true optics, with noise at every frequency.
    rng = np.random.default_rng(0)
    measured = {}
    for tilt in range(shifted.series.n_tilt):
        noise = np.fft.fft2(rng.normal(0, 1e-4, (shifted.series.n_focus, *reference.grid.shape)))
        measured[tilt] = reference.predicted_with(tilt, [(there, 0.0)])[0] + noise
    reference.measured = measured.__getitem__  # type: ignore[method-assign]
    from napari_phaset3m.prepare.align.likelihood import measure_rings

    predicted = np.concatenate([reference.predicted(t)[0] for t in measured])
    rings = measure_rings(reference.grid, np.concatenate(list(measured.values())), predicted)
    equations = SharedEquations((shifted.series.n_tilt, shifted.series.n_focus), now)
    for tilt in measured:
        equations.add(reference, tilt, np.arange(shifted.series.n_focus), rings)
    change, follow, sigma = equations.solve(now, np.array([1e8, 1e4, 1e4]), 1e-3)
    np.testing.assert_allclose(change / STEPS, truth / STEPS, atol=0.05 * np.abs(truth / STEPS).max())
    assert np.abs(follow).max() < 1.0  # the defoci were held
    assert (sigma > 0).all()
