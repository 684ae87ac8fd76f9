"""Ring statistics and shift likelihoods: signs, weights and error bars."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.prepare.align.grid import compared, least, shift_errors
from napari_phaset3m.prepare.align.likelihood import ShiftGrid, measure_rings, moments, parabola

GRID = Grid(32, 32, 1.0)


def spectrum(seed: int, softness: float = 1.0) -> np.ndarray:
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal(GRID.shape))
    return noise * np.exp(-softness * 30 * GRID.k2)


def moved(values: np.ndarray, y: float, x: float) -> np.ndarray:
    """The content moved on by (y, x): the convention of shifts_px."""
    return values * np.exp(-2j * np.pi * (GRID.kx[:, None] * x + GRID.ky[None, :] * y))


def test_shift_is_where_the_feature_went():
    predicted = spectrum(0)
    measured = moved(predicted, 1.3, -2.6)
    places = ShiftGrid.make(GRID, 5, 0.25)
    rings = measure_rings(GRID, measured[None], measured[None])
    found = moments(places.maps(measured * predicted.conj() * rings.cross_weight), places.points)
    np.testing.assert_allclose(found.mean, (1.3, -2.6), atol=0.03)


def test_moments_say_how_uncertain_a_place_is():
    # Many noisy copies: the spread of the estimates must be the standard deviation that is told.
    predicted = spectrum(1)
    places = ShiftGrid.make(GRID, 4, 0.25)
    rng = np.random.default_rng(5)
    errors, told = [], []
    noise = np.array([np.fft.fft2(rng.normal(0, 1.2, GRID.shape)) for _ in range(60)])
    measured = moved(predicted, 0.4, 0.7) + noise
    rings = measure_rings(GRID, measured, np.repeat(moved(predicted, 0.4, 0.7)[None], 60, 0))
    for one in measured:
        found = moments(places.maps(one * predicted.conj() * rings.cross_weight), places.points)
        errors.append(found.mean - (0.4, 0.7))
        told.append(found.sigma)
    ratio = np.sqrt((np.square(errors)).mean()) / np.sqrt(np.square(told).mean())
    assert 0.7 < ratio < 1.4


def test_rings_that_are_not_predicted_weigh_nothing():
    # The prediction is right at low frequencies and chance beyond 0.2 / px.
    right = np.array([spectrum(s, 0.0) for s in range(40)])
    wrong = np.array([spectrum(100 + s, 0.0) for s in range(40)])
    low = np.sqrt(GRID.k2) < 0.2
    rings = measure_rings(GRID, right, np.where(low, right, wrong))
    weight = rings.cross_weight * rings.noise[rings.index]
    assert weight[np.sqrt(GRID.k2) < 0.12][1:].min() > 0.9
    beyond = (np.sqrt(GRID.k2) > 0.3) & (np.sqrt(GRID.k2) < 0.5)  # full rings
    assert weight[beyond].max() < 0.1


def test_rounding_past_the_band_limit_is_not_scaled_up_to_the_noise():
    # Single precision leaves 1e-6 of the mean beyond the band limit; images have noise there.
    rng = np.random.default_rng(3)
    inside = np.sqrt(GRID.k2) < 0.3
    noise = np.fft.fft2(rng.normal(0, 1e-2, (30, *GRID.shape)))
    rounding = np.fft.fft2(rng.normal(0, 1e-7, (30, *GRID.shape)))
    predicted = np.where(inside, [spectrum(s, 0.0) for s in range(30)], rounding)
    gain = measure_rings(GRID, predicted + noise, predicted).gain
    rings = np.rint(np.sqrt(GRID.k2) * GRID.nx).astype(int)
    np.testing.assert_allclose(gain[2 : rings[inside].max() - 1], 1, atol=0.02)
    assert gain.max() < 1.1


def test_information_counts_independent_numbers():
    # Gaussian channel: -1/2 ln(1 - r^2) for each of the n real numbers of an image.
    signal = np.array([np.fft.fft2(np.random.default_rng(s).standard_normal(GRID.shape)) for s in range(50)])
    noise = np.array(
        [np.fft.fft2(np.random.default_rng(99 + s).standard_normal(GRID.shape)) for s in range(50)]
    )
    rings = measure_rings(GRID, signal + noise, signal)
    assert rings.information == pytest.approx(0.5 * GRID.nx * GRID.ny * np.log(2), rel=0.05)


@pytest.mark.parametrize("offset", [-0.3, 0.0, 0.45])
def test_parabola_finds_top_and_width(offset: float):
    x = np.arange(-5, 6.0)
    place, width = parabola(-0.5 * ((x - offset) / 1.7) ** 2, 5)
    assert place == pytest.approx(offset, abs=1e-9)
    assert width == pytest.approx(1.7, rel=1e-9)


def test_parabola_at_the_edge_says_nothing():
    assert parabola(np.arange(5.0), 4)[0] == 0
    assert np.isnan(parabola(np.arange(5.0), 4)[1])


def test_least_of_an_error_map():
    points = np.linspace(-2, 2, 9)
    y, x = np.meshgrid(points - 0.62, points + 0.31, indexing="ij")
    shift, sigma, value = least(3.0 + 0.2 * y**2 + 0.5 * x**2, points, 1000)
    np.testing.assert_allclose(shift, (0.62, -0.31), atol=0.05)
    # The sum rises by the variance of one number, value / n, one standard deviation away.
    assert sigma[0] == pytest.approx(np.sqrt(value / 1000 / 0.2), rel=0.02)


def test_error_map_leaves_out_what_the_model_cannot_predict():
    """Strong frequencies of the corners, and a faint alias of them, do not shift the minimum."""
    places = ShiftGrid.make(GRID, 2, 0.5)
    image = np.fft.ifft2(spectrum(3)).real
    x, y = np.arange(GRID.nx)[:, None], np.arange(GRID.ny)
    corner = image.std() * np.cos(2 * np.pi * 14 / 32 * (x + y))
    alias = 0.1 * np.roll(corner, 1, axis=1)
    error = shift_errors((image + corner)[None], (image + alias)[None], places)[0]
    found, _, value = least(error, places.points, int(compared(GRID.nx, GRID.ny).sum()))
    np.testing.assert_allclose(found, 0, atol=0.02)
    assert value < 1e-6
