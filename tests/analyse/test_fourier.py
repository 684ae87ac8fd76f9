"""Fourier views against full complex transforms."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.analyse.fourier import (
    DECADES,
    central_sections,
    central_slices,
    log_power,
    power_spectrum_2d,
    radial_power_spectrum,
    slice_count,
)
from napari_phaset3m.errors import ConfigError


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def full_power(array: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fftshift(np.fft.fftn(array.astype(float)))) ** 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 11), min_size=2, max_size=3), st.integers(0, 99))
def test_log_power_is_the_shifted_full_spectrum(shape: list[int], seed: int) -> None:
    v = noise(tuple(shape), seed) + 5
    power = full_power(v)
    centre = tuple(n // 2 for n in shape)
    power[centre] = 0
    expected = np.log10(np.maximum(power / power.max(), 10**-DECADES))
    result = log_power(v)
    assert result.dtype == np.float32
    assert result.shape == v.shape
    beside = np.ones(shape, bool)
    beside[centre] = False
    np.testing.assert_allclose(10 ** result[beside], 10 ** expected[beside], atol=1e-5)
    assert -DECADES <= result[centre] <= 0


def test_log_power_of_a_constant_is_empty_not_nan() -> None:
    np.testing.assert_array_equal(log_power(np.zeros((4, 5, 6), np.float32)), -DECADES)


def test_a_wave_appears_at_its_frequency_on_the_right_axis() -> None:
    z = np.arange(32)[:, None, None]
    v = np.broadcast_to(np.cos(2 * np.pi * 5 * z / 32), (32, 24, 20)).astype(np.float32)
    peaks = {tuple(p) for p in np.argwhere(log_power(v) > -1)}
    assert peaks == {(16 + 5, 12, 10), (16 - 5, 12, 10)}


@pytest.mark.parametrize("shape", [(9, 12), (3, 10, 11)])
def test_power_spectrum_2d_is_normalised(shape: tuple[int, ...]) -> None:
    v = noise(shape)
    expected = full_power(v) if v.ndim == 2 else np.mean([full_power(i) for i in v], axis=0)
    n = shape[-1] * shape[-2]
    np.testing.assert_allclose(power_spectrum_2d(v, window=False), expected / n, rtol=1e-3, atol=1e-4)
    white = power_spectrum_2d(2 * noise((20, 64, 64)))
    assert np.delete(white.ravel(), 64 * 32 + 32).mean() == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("shape", [(16, 18, 20), (15, 17, 19), (33, 40)])
@pytest.mark.parametrize("window", [False, True])
def test_radial_spectrum_of_white_noise_is_flat(shape: tuple[int, ...], window: bool) -> None:
    k, power = radial_power_spectrum(3 * noise(shape), 0.5, bins=4, window=window)
    assert k[-1] == pytest.approx(0.875)
    np.testing.assert_allclose(power[2:], 9, rtol=0.3)  # the inner shells hold few points


def test_radial_spectrum_keeps_the_power() -> None:
    v = noise((12, 12, 12))
    shells = full_power(v) / v.size
    i, j, m = np.indices(shells.shape) - 6
    r = np.sqrt(i**2 + j**2 + m**2)
    _, power = radial_power_spectrum(v, 1.0, bins=6, window=False)
    for shell in range(6):
        inside = (r >= shell) & (r < shell + 1) & (r > 0)
        if inside.any():
            assert power[shell] == pytest.approx(shells[inside].mean(), rel=1e-4)
    assert np.isnan(power[0])
    with pytest.raises(ConfigError, match="voxel_size"):
        radial_power_spectrum(v, 0.0)


def test_central_slices_are_about_the_rotation_centre() -> None:
    v = noise((7, 8, 9))
    xy, xz, yz = central_slices(v)
    np.testing.assert_array_equal(xy, v[3])
    np.testing.assert_allclose(xz, v[:, 3:5].mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(yz, v[:, :, 4])
    np.testing.assert_allclose(central_slices(v, 2)[1], v[:, 3:5].mean(axis=1), atol=1e-6)
    # 1 plane of 8, and 2 of 7 or 9, would lie half a voxel off the centre
    np.testing.assert_allclose(central_slices(v, 1)[1], v[:, 3:5].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(central_slices(v, 3)[1], v[:, 2:6].mean(axis=1), atol=1e-6)
    for n in range(1, 9):
        for count in range(1, 12):
            across = np.zeros((n, 2, 2), np.float32) + (np.arange(n) - (n - 1) / 2)[:, None, None]
            np.testing.assert_allclose(central_slices(across.astype(np.float32), count)[0], 0, atol=1e-6)
    assert [slice_count(96, w) for w in (0.3, 1, 3.85, 5.2)] == [2, 2, 4, 6]
    assert [slice_count(95, w) for w in (0.3, 1, 3.85, 5.2)] == [1, 1, 3, 5]
    np.testing.assert_allclose(central_slices(v, 99)[0], v.mean(axis=0), atol=1e-6)
    with pytest.raises(ConfigError, match="thickness"):
        central_slices(v, 0)


def test_is_fast_enough_to_follow_a_run() -> None:
    v = noise((96, 96, 96))
    best = min(_seconds(lambda: log_power(v)) for _ in range(5))
    assert best < 0.2  # 5 Hz


def _seconds(call) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("window", [False, True])
def test_central_sections_are_planes_of_the_3d_transform(window) -> None:
    volume = np.random.default_rng(1).random((10, 12, 9)).astype(np.float32)
    whole = log_power(volume, window=window)
    z, y, x = (n // 2 for n in volume.shape)
    for section, plane in zip(
        central_sections(volume, window=window), (whole[z], whole[:, y], whole[:, :, x]), strict=True
    ):
        assert section.shape == plane.shape
        keep = np.ones(plane.shape, bool)
        keep[plane.shape[0] // 2, plane.shape[1] // 2] = False  # DC is masked
        difference = (section - plane)[keep]
        np.testing.assert_allclose(difference, difference.mean(), atol=1e-3)
