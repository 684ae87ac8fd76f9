"""Windows, transforms and peaks against closed forms and direct sums."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation

from napari_phaset3m.analyse.falloff import falloff_angstrom2, sharpened
from napari_phaset3m.analyse.peak_measure import (
    off_lattice_points,
    peak_heights,
    peak_pairs,
    relative_shift,
    shifted,
)
from napari_phaset3m.analyse.peaks import PEAK_RADIUS, find_peaks, windowed_transform
from napari_phaset3m.analyse.window import particle_window
from napari_phaset3m.errors import ConfigError, DataError


def axes(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    c = (np.arange(n) - (n - 1) / 2) * VOXEL
    return c[:, None, None], c[None, :, None], c[None, None, :]


def ball(n: int, radius: float, centre: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    z, y, x = axes(n)
    return np.asarray((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2)


def waves(n: int, q: np.ndarray, phase: np.ndarray) -> np.ndarray:
    z, y, x = axes(n)
    return np.sum(
        [np.cos(2 * np.pi * (x * k[0] + y * k[1] + z * k[2]) + p) for k, p in zip(q, phase, strict=True)],
        axis=0,
    )


def distances(q: np.ndarray, one: np.ndarray) -> np.ndarray:
    """To the nearer one of a Friedel pair."""
    return np.minimum(np.linalg.norm(q - one, axis=1), np.linalg.norm(q + one, axis=1))


def test_the_window_of_a_ball_is_the_hann_window() -> None:
    mask = ball(64, 11.0, (1.0, -2.0, 0.5))
    window = particle_window(np.random.default_rng(0).normal(size=mask.shape), VOXEL, mask.astype(float))
    z, y, x = axes(64)
    r = np.sqrt((x - 1.0) ** 2 + (y + 2.0) ** 2 + (z - 0.5) ** 2)
    expected = np.cos(np.pi / 2 * np.clip(r / (window.width_angstrom / 2), 0, 1)) ** 2
    full = np.zeros(mask.shape)
    corner, shape = window.corner, window.weights.shape
    full[tuple(slice(c, c + s) for c, s in zip(corner, shape, strict=True))] = window.weights
    assert window.width_angstrom == pytest.approx(22, abs=1.5)
    np.testing.assert_allclose(full, expected, atol=0.1)
    np.testing.assert_allclose(window.centre_angstrom, [1.0, -2.0, 0.5], atol=0.1)
    assert "mask given" in window.source
    assert abs(float(window.cut(np.full(mask.shape, 5.0) + 0.0 * z).sum())) < 1e-3


def test_a_hole_in_the_mask_is_filled() -> None:
    solid = ball(48, 9.0)
    holed = solid & ~ball(48, 3.0)
    v = np.random.default_rng(0).normal(size=solid.shape)
    one, other = (particle_window(v, VOXEL, m.astype(np.float32)) for m in (solid, holed))
    np.testing.assert_array_equal(one.weights, other.weights)


def test_the_particle_is_found_by_its_contrast_off_centre() -> None:
    place = (3.0, -4.0, 2.0)
    volume = noisy(particle(rotation(0), diameter=16, shift=place), 0.3)
    window = particle_window(volume, VOXEL)
    np.testing.assert_allclose(window.centre_angstrom, place, atol=0.8)
    assert 14 < window.width_angstrom < 21
    assert "stands out" in window.source


def test_noise_has_no_particle_so_the_whole_box_is_used_and_said() -> None:
    window = particle_window(np.random.default_rng(0).normal(size=(40, 40, 40)), VOXEL)
    assert "whole box" in window.source
    assert window.width_angstrom == pytest.approx(20, abs=1)


def test_the_transform_is_the_direct_sum_about_the_rotation_centre() -> None:
    volume = np.random.default_rng(1).normal(size=(26, 30, 28)).astype(np.float32)
    mask = np.zeros(volume.shape)
    mask[4:20, 6:28, 3:22] = 1
    window = particle_window(volume, VOXEL, mask)
    transform = windowed_transform(volume, window)
    part = np.zeros(volume.shape)
    z0, y0, x0 = window.corner
    wz, wy, wx = window.weights.shape
    part[z0 : z0 + wz, y0 : y0 + wy, x0 : x0 + wx] = window.cut(volume)
    c = [(np.arange(n) - (n - 1) / 2) * VOXEL for n in volume.shape]
    index = np.array([[3, -5, 7], [-4, 2, 0], [0, 0, -6], [10, 3, -1]])
    for i, value in zip(index, transform.phased(index), strict=True):
        kx, ky, kz = i * transform.step
        expected = np.einsum(
            "zyx,z,y,x", part, *[np.exp(-2j * np.pi * k * a) for k, a in zip((kz, ky, kx), c, strict=True)]
        )
        assert value == pytest.approx(expected, rel=1e-3, abs=1e-3)


@example(102)  # a wave whose top lies just beyond the edge of the half that is kept
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000))
def test_waves_are_found_between_grid_points_once_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(4, 3))
    q = direction / np.linalg.norm(direction, axis=1, keepdims=True) * rng.uniform(0.3, 0.8, (4, 1))
    if min(distances(q[:i], q[i]).min() for i in range(1, 4)) < 0.2:
        return
    volume = noisy(waves(56, q, rng.uniform(0, 6, 4)), 0.5, seed)
    mask = ball(56, 12.0).astype(float)
    window = particle_window(volume, VOXEL, mask)
    found = find_peaks(windowed_transform(volume, window), min_snr=9)
    for one in q:
        assert distances(found.q_per_angstrom[:4], one).min() < 0.05 / window.width_angstrom
    assert found.amplitude.max() == pytest.approx(1)
    assert found.rows()[0]["d_angstrom"] == pytest.approx(found.d_angstrom[0])


def test_noise_passes_the_threshold_as_rarely_as_stated() -> None:
    rng = np.random.default_rng(5)
    volume = rng.normal(size=(64, 64, 64)).astype(np.float32)
    window = particle_window(volume, VOXEL, np.ones(volume.shape))
    transform = windowed_transform(volume, window)
    q = rng.normal(size=(400, 3))
    q *= 0.6 / np.linalg.norm(q, axis=1, keepdims=True)
    heights = peak_heights(transform, q, np.array([[9.0, 9, 9]]))
    snr = heights.snr
    assert (snr >= 5).mean() <= 0.01
    assert not (heights.found & (snr < 5)).any()
    assert 1 < np.median(snr) < 3.5  # largest of a few: above the median, far from a peak
    assert len(find_peaks(transform)) <= 40  # of some 70 000 local maxima


def test_planes_of_data_with_nothing_between_them_are_no_peaks() -> None:
    """Beyond the Crowther frequency a tilt series measures planes: a point on one towers over the median."""
    rng = np.random.default_rng(3)
    n, tilt = 64, np.deg2rad(np.arange(-65, 66, 20))
    k = np.fft.fftfreq(n, VOXEL)
    kz, kx = k[:, None, None], k[None, None, :]
    away = np.min([np.abs(kx * np.sin(t) + kz * np.cos(t)) for t in tilt], axis=0)
    sampled = 0.05 + np.exp(-0.5 * (away * 60.0) ** 2)  # about as thick as a particle of 20 A makes them
    noise = np.fft.fftn(rng.normal(size=(n, n, n)))
    volume = np.fft.ifftn(noise * sampled).real.astype(np.float32)
    transform = windowed_transform(volume, particle_window(volume, VOXEL, ball(n, 12.5).astype(float)))
    q = rng.normal(size=(300, 3))
    q *= 0.75 / np.linalg.norm(q, axis=1, keepdims=True)
    heights = peak_heights(transform, q, np.array([[9.0, 9, 9]]))
    assert (heights.snr >= 5).mean() > 0.05, "the planes do not stand out: the test tests nothing"
    assert heights.found.mean() <= 0.02


def test_a_fall_off_with_frequency_does_not_hide_a_peak() -> None:
    """Background at lower frequency is higher than a weak peak, and is not held against it."""
    rng, n = np.random.default_rng(4), 64
    k = np.fft.fftfreq(n, VOXEL)
    k2 = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
    noise = np.fft.ifftn(np.fft.fftn(rng.normal(size=(n, n, n))) * np.exp(-12 * k2)).real
    q = np.array([[0.55, 0.1, 0.0]])
    points = np.concatenate([q, -q])
    for height, expected in ((0.0, False), (0.08 * np.exp(-12 * 0.56**2), True)):
        volume = (noise + height * waves(n, q, np.zeros(1))).astype(np.float32)
        window = particle_window(volume, VOXEL, ball(n, 12.5).astype(float))
        transform = windowed_transform(volume, window)
        heights = peak_heights(transform, q, points)
        assert heights.found[0] == expected
        ball_around, middle = transform.ball(4.0), transform.index(q[0])
        shell = ball_around[
            np.linalg.norm(ball_around * transform.step, axis=1) * transform.width_angstrom > 2.5
        ]
        beside, here = (np.abs(transform.values(middle + at)).max() for at in (shell, transform.ball(0.6)))
        assert beside > 1.1 * here, "the background does not fall: the test tests nothing"


def test_snr_is_height_over_the_surroundings_and_spares_other_lattice_points() -> None:
    q = np.array([[0.45, 0, 0], [0.45, 0.2, 0]])  # the second lies in the first one's shell
    base = noisy(waves(64, q, np.zeros(2)) * np.array(1.0), 3.0)
    window = particle_window(base, VOXEL, ball(64, 12.5).astype(float))
    transform = windowed_transform(base, window)
    points = np.concatenate([q, -q])
    spared = peak_heights(transform, q[:1], points).snr[0]
    louder = base + 20 * waves(64, q[1:], np.zeros(1))
    again = peak_heights(windowed_transform(louder.astype(np.float32), window), q[:1], points).snr[0]
    assert spared > 10
    assert again > 0.5 * spared


def test_off_lattice_points_have_the_frequencies_and_the_distance() -> None:
    volume = noisy(particle(rotation(0)), 0.1)
    transform = windowed_transform(volume, particle_window(volume, VOXEL, ball(64, 11).astype(float)))
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 0.3
    q, family = grid[[-2, -8]], np.array([[1, 0, 0], [2, 0, 0]])
    points = off_lattice_points(transform, q, family, grid, 10)
    assert len(points) == 20
    lengths = np.linalg.norm(q, axis=1)
    np.testing.assert_allclose(np.sort(np.linalg.norm(points, axis=1)), np.sort(np.repeat(lengths, 10)))
    distance = np.linalg.norm(points[:, None] - grid[None], axis=2).min(axis=1)
    assert (distance * transform.width_angstrom > 2.9).all()


@settings(max_examples=8, deadline=None)
@given(st.tuples(*[st.floats(-2, 2)] * 3))
def test_a_shift_is_measured_and_taken_out_of_the_phases(shift: tuple[float, float, float]) -> None:
    turn = rotation(2)
    one = noisy(particle(turn, diameter=14), 0.2, 1)
    other = noisy(particle(turn, diameter=14, shift=shift), 0.2, 2)
    window = particle_window(one, VOXEL, ball(64, 12).astype(float))
    a, b = (windowed_transform(v, window) for v in (one, other))
    move = relative_shift(a, b, a.nyquist)
    np.testing.assert_allclose(move, -np.array(shift), atol=0.12)
    q = find_peaks(a).q_per_angstrom[:10]
    assert peak_pairs(a, shifted(b, move), q).agreement.mean() > 0.85
    np.testing.assert_allclose(peak_pairs(a, a, q).agreement, 1, atol=1e-5)
    opposite = peak_pairs(a, windowed_transform(-one, window), q)
    assert (opposite.agreement < -0.999).all()
    np.testing.assert_allclose(opposite.phase_error_deg, 180, atol=1e-3)
    turned = replace(a, half=0.5 * a.half * np.exp(1j * np.deg2rad(50)))
    # in the half that is stored: the mirror image there has the opposite phase
    at = (q * np.sign(q[:, :1]))[np.abs(q[:, 0]) * window.width_angstrom > 2]
    np.testing.assert_allclose(peak_pairs(a, turned, at).phase_error_deg, 50, atol=1e-3)
    np.testing.assert_allclose(np.divide(*peak_pairs(a, turned, at).power), 4, rtol=1e-5)


def test_falloff_of_a_blur_is_found_and_undone() -> None:
    rng = np.random.default_rng(0)
    q = rng.normal(size=(60, 3)) * 0.3
    height = np.exp(-4.0 * (q**2).sum(axis=1)) * rng.uniform(0.9, 1.1, 60)
    assert falloff_angstrom2(q, height) == pytest.approx(4, abs=0.3)
    assert falloff_angstrom2(q, 1 / height) == 0
    assert falloff_angstrom2(q[:2], height[:2]) == 0
    volume = rng.normal(size=(24, 20, 22)).astype(np.float32)
    k = [np.fft.fftfreq(n, VOXEL) for n in volume.shape]
    k2 = k[0][:, None, None] ** 2 + k[1][None, :, None] ** 2 + k[2][None, None] ** 2
    blurred = np.fft.ifftn(np.fft.fftn(volume) * np.exp(-2.0 * k2)).real
    np.testing.assert_allclose(sharpened(blurred, VOXEL, 2.0), volume, atol=1e-3)


def test_peaks_narrower_than_the_search_radius_are_one() -> None:
    v = waves(48, np.array([[0.4, 0.1, 0.2]]), np.zeros(1)) + 0.0
    window = particle_window(v, VOXEL, ball(48, 10).astype(float))
    found = find_peaks(windowed_transform(v, window))
    q = found.q_per_angstrom
    far = np.linalg.norm(q[:, None] - q[None], axis=2)[np.triu_indices(len(q), 1)]
    assert (far >= PEAK_RADIUS / window.width_angstrom).all()


@pytest.mark.parametrize(
    ("volume", "mask", "voxel", "word"),
    [
        (np.full((16, 16, 16), np.nan), None, 0.5, "NaN"),
        (np.ones((16, 16, 16)), None, 0.5, "constant"),
        (np.eye(16), None, 0.5, "three axes"),
        (np.arange(4096.0).reshape(16, 16, 16), None, 0.0, "voxel_size"),
        (np.arange(4096.0).reshape(16, 16, 16), np.zeros((16, 16, 16)), 0.5, "mask"),
        (np.arange(4096.0).reshape(16, 16, 16), np.ones((8, 8, 8)), 0.5, "mask"),
    ],
)
def test_bad_input_is_named(volume: np.ndarray, mask: np.ndarray | None, voxel: float, word: str) -> None:
    with pytest.raises((ConfigError, DataError), match=word):
        particle_window(volume, voxel, mask)


def test_a_speck_of_a_mask_is_refused() -> None:
    mask = np.zeros((32, 32, 32))
    mask[15:17, 15:17, 15:17] = 1
    with pytest.raises(ConfigError, match="larger mask"):
        particle_window(np.random.default_rng(0).normal(size=mask.shape), VOXEL, mask)
