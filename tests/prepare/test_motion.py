"""Motion correction against injected drift (1 electron per pixel and frame unless said)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import fft

sys.path.insert(0, str(Path(__file__).parent))
from _movies import bent_movie, movie, settling, specimen

from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.correct import iterate_motion
from napari_phaset3m.prepare.motion.field import fit_field
from napari_phaset3m.prepare.motion.kernels import sinc_table
from napari_phaset3m.prepare.motion.movie import ArrayMovie
from napari_phaset3m.prepare.motion.result import MotionResult
from napari_phaset3m.prepare.motion.spectra import Spectra
from napari_phaset3m.prepare.motion.summing import warp_into
from napari_phaset3m.prepare.motion.support import agreement, chance_of_none
from napari_phaset3m.prepare.motion.track import bounded, smoothed


def correct(frames, finish=None, **given) -> MotionResult:
    extra = {key: given.pop(key) for key in ("gain", "pixel_size_angstrom") if key in given}
    *_, last = iterate_motion(ArrayMovie(frames), MotionConfig(**given), finish=finish, **extra)
    return last


def rms(result, drift):
    """Per axis, pixels, over frames; the constant is free."""
    gap = result.shifts_px - drift
    return float(np.sqrt(((gap - gap.mean(axis=0)) ** 2).mean(axis=0)).max())


@pytest.fixture(scope="module")
def plain():
    return movie()


def test_drift_at_one_electron_per_pixel_is_found_to_a_twentieth_pixel(plain):
    """15 % rms amorphous specimen with particles, 512², 20 frames: CRLB is near 0.03 px."""
    result = correct(plain)
    assert rms(result, settling()) < 0.05
    # The claimed error is what it is: within a factor of 1.6 of the error before smoothing.
    gap = result.measured_px - settling()
    actual = np.sqrt(((gap - gap.mean(axis=0)) ** 2).mean())
    claimed = correct(plain, smooth=False).error_px.mean()
    assert 0.6 < actual / claimed < 1.6
    assert not result.field.significant


def test_the_sum_keeps_counts_and_gets_sharper(plain):
    result = correct(plain)
    assert result.image.mean() == pytest.approx(plain.sum(axis=0).mean(), rel=2e-3)
    np.testing.assert_array_equal(result.uncorrected, plain.sum(axis=0))
    truth = specimen(512 + 128)[64:-64, 64:-64] - 1

    def likeness(image):
        return np.corrcoef(image[20:-20, 20:-20].ravel(), truth[20:-20, 20:-20].ravel())[0, 1]

    # The mean of the drift is 0, so the sum lies on the sheet; noise alone limits it to 0.55.
    assert likeness(result.image) > likeness(result.uncorrected) + 0.05
    told = result.told()
    assert told["drift_total_px"] == pytest.approx(np.hypot(*(settling()[-1] - settling()[0])), abs=0.1)
    assert result.drift_angstrom is None and result.drift_px[0].tolist() == [0, 0]


def test_hot_pixels_and_dead_lines_do_not_hold_the_frames(plain):
    frames, rng = plain.copy(), np.random.default_rng(0)
    places = rng.integers(0, 512, (60, 2))
    frames[:, places[:, 0], places[:, 1]] = 40
    frames[:, 200] = 0
    result = correct(frames)
    assert rms(result, settling()) < 0.05 and result.bad_pixels >= 560
    assert rms(correct(frames, hot=False), settling()) > 0.5


def test_a_blank_frame_and_a_frame_of_noise_are_left_out_and_their_place_is_guessed(plain):
    frames = plain.copy()
    frames[7] = 0
    frames[12] = np.random.default_rng(0).poisson(1, frames[0].shape)
    result = correct(frames)
    assert np.flatnonzero(~result.used).tolist() == [7, 12]
    assert np.abs(result.shifts_px - settling())[[7, 12]].max() < 0.3
    assert rms(result, settling()) < 0.1
    assert result.image.mean() == pytest.approx(18, rel=0.02)


@pytest.mark.parametrize("kind", ["fast", "jump", "walk"])
def test_drift_that_is_not_gentle(kind):
    drift = settling()
    if kind == "fast":  # 80 pixels: the plain sum shows nothing
        drift = np.stack([np.linspace(-40, 40, 20), np.linspace(30, -30, 20)], axis=1)
    elif kind == "jump":
        drift[10:] += (12, -9)
    else:
        drift = np.random.default_rng(3).normal(0, 1, (20, 2)).cumsum(axis=0)
    assert rms(correct(movie(drift=drift)), drift) < 0.06


def test_smoothing_helps_at_low_dose_and_does_no_harm_to_a_jump():
    frames = movie(dose=0.2)
    smooth, rough = rms(correct(frames), settling()), rms(correct(frames, smooth=False), settling())
    assert smooth < 0.75 * rough and smooth < 0.1
    rng = np.random.default_rng(0)
    jump = np.zeros((20, 2))
    jump[9:] = 5.0
    kept, _, acceleration = smoothed(jump + rng.normal(0, 0.05, jump.shape), np.full(jump.shape, 0.05))
    assert np.abs(kept - jump).max() < 0.2 and acceleration > 0.5
    line = np.outer(np.arange(20), (0.3, -0.2))
    noisy = line + rng.normal(0, 0.1, line.shape)
    kept, error, _ = smoothed(noisy, np.full(line.shape, 0.1))
    assert np.sqrt(((kept - line) ** 2).mean()) < 0.6 * np.sqrt(((noisy - line) ** 2).mean())
    assert error.max() < 0.1


def test_without_a_specimen_nothing_is_moved():
    frames = np.random.default_rng(0).poisson(1, (12, 256, 256)).astype(np.uint8)
    result = correct(frames)
    assert not result.told()["drift_found"] and not result.shifts_px.any()
    np.testing.assert_allclose(result.image, frames.sum(axis=0), atol=1e-3)


def _flat(kind):
    frames = np.full((6, 128, 128), 0.0 if kind in ("blank", "one electron") else 3.3, np.float32)
    if kind == "levels":
        frames *= np.linspace(1, 1.1, 6, dtype=np.float32)[:, None, None]
    if kind == "one electron":
        frames[2, 5, 5] = 1
    return frames


@pytest.mark.parametrize("kind", ["blank", "alike", "levels", "one electron"])
def test_frames_without_contrast_are_not_moved_and_it_is_told(kind):
    """There were warnings of overflows, a drift that was "found", and 2 px of it from rounding."""
    frames = _flat(kind)
    result = correct(frames)
    assert not result.shifts_px.any() and not np.isfinite(result.error_px).any()
    told = result.told()
    assert told["drift_found"] is False and told["drift_total_px"] == 0 and not result.field.significant
    assert told["notes"] == ["no drift is applied: fewer than two frames have any contrast"]
    np.testing.assert_allclose(result.image, frames[result.used].sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize(("frames", "dose"), [(6, 1.0), (6, 10.0), (20, 1.0)])
def test_noise_is_never_aligned_to_noise(frames, dose):
    """Six frames of 128² used to be moved by 11 to 21 px in 12 of 40 movies."""
    for seed in range(12):
        noise = np.random.default_rng(seed).poisson(dose, (frames, 128, 128)).astype(np.uint8)
        result = correct(noise)
        assert not result.shifts_px.any() and not result.told()["drift_found"], seed
        assert result.used.all() and "no drift is applied" in result.notes[0]
        np.testing.assert_allclose(result.image, noise.sum(axis=0), atol=1e-3)


def test_weak_movies_are_aligned_or_left_but_not_torn_apart():
    """0.2 e/px in six frames of 128² is at the limit (errors of 10 px before), 1 e/px is not."""
    truth = settling(6)
    plain = np.sqrt((truth**2).mean())
    weak = [correct(movie(n=128, drift=truth, dose=0.2, seed=10 * seed)) for seed in range(8)]
    assert max(np.sqrt(((item.shifts_px - truth) ** 2).mean()) for item in weak) < 1.05 * plain
    fair = [correct(movie(n=128, drift=truth, dose=1.0, seed=10 * seed)) for seed in range(4)]
    assert max(rms(item, truth) for item in fair) < 0.3


def test_agreement_counts_in_standard_deviations_and_grows_with_signal():
    shape, rng = (64, 64), np.random.default_rng(2)
    weight = np.full((64, 33), 2.0, np.float32)
    weight[:, [0, -1]] = 1.0
    used, still = np.ones(8, bool), np.zeros((8, 2))

    def at(signal):
        frames = rng.standard_normal((8, *shape)) + signal * rng.standard_normal(shape)
        values = fft.rfft2(frames).astype(np.complex64)
        return agreement(Spectra(values, shape, shape), still, used, weight)

    noise = [at(0.0) for _ in range(200)]
    assert abs(np.mean(noise)) < 0.25 and 0.8 < np.std(noise) < 1.2
    assert at(0.3) > chance_of_none(8) > max(noise)


def test_frames_that_were_not_measured_stay_within_reach_of_their_neighbours():
    """A track that goes on straight threw an end frame out of the picture (450 px)."""
    track = np.array([[450.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.5, 0.0], [9.0, 0.0], [3.0, 0.0]])
    used = np.array([False, True, True, True, False, True])
    kept = bounded(track, used)
    np.testing.assert_array_equal(kept[used], track[used])
    assert kept[0, 0] == 1.0 and kept[4, 0] == 2.5  # one frame at 1 px per frame, from 0 and from 1.5


def test_local_motion_is_found_and_undone():
    n, rng = 768, np.random.default_rng(4)
    t = np.linspace(-1, 1, 10)
    shape = np.array([[0.0, 0.8, -0.6, 0.5, 0.3, -0.4], [0.0, -0.5, 0.9, -0.3, 0.4, 0.4]])
    bend, drift = t[:, None, None] * shape, rng.normal(0, 0.5, (10, 2)).cumsum(axis=0)
    drift -= drift.mean(axis=0)
    frames = bent_movie(n, drift, bend, dose=6.0)
    grid = np.linspace(-0.8, 0.8, 7)
    y, x = (v.ravel() for v in np.meshgrid(grid, grid, indexing="ij"))
    space = np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=-1)
    truth = drift[:, None] + np.einsum("ndk,pk->npd", bend, space)

    def gap(result):
        found = result.shifts_px[:, None] + result.field.at(y, x) - truth
        return float(np.sqrt(((found - found.mean(axis=0)) ** 2).mean(axis=(0, 1))).max())

    local, whole = correct(frames), correct(frames, patches=1)
    assert local.field.significant and local.field.rms > 0.4
    assert gap(whole) > 0.3
    assert gap(local) < 0.07
    middle = slice(40, -40)
    assert local.image[middle, middle].var() > 1.01 * whole.image[middle, middle].var()


def test_field_fit_recovers_a_polynomial_and_refuses_noise():
    rng = np.random.default_rng(0)
    grid = np.linspace(-0.8, 0.8, 5)
    places = np.stack([v.ravel() for v in np.meshgrid(grid, grid, indexing="ij")], axis=1)
    t = np.linspace(-1, 1, 12)
    y, x = places.T
    shift = np.stack([0.5 * x - 0.3 * y * y, 0.4 * x * y + 0.2], axis=-1)[:, None] * t[None, :, None]
    error = np.full(shift.shape, 0.05)
    noisy = shift + rng.normal(0, 0.05, shift.shape)
    noisy[3, 5] += 4.0  # one patch lost its way
    found = fit_field(places, noisy, error)
    assert found.significant
    np.testing.assert_allclose(np.moveaxis(found.at(y, x), 0, 1), shift, atol=0.06)
    assert not fit_field(places, rng.normal(0, 0.05, shift.shape), error).significant


def test_gain_is_applied():
    rng = np.random.default_rng(0)
    sensitivity = rng.normal(1, 0.1, (512, 512)).clip(0.3, 1.7)
    recorded = np.random.default_rng(1).binomial(movie(dose=2), sensitivity / 2).astype(np.uint8)
    result = correct(recorded, gain=1 / sensitivity)
    assert rms(result, settling()) < 0.05
    np.testing.assert_allclose(result.uncorrected, recorded.sum(axis=0) / sensitivity, rtol=1e-4)
    with pytest.raises(DataError, match=r"gain.*256 x 256.*512 x 512"):
        correct(recorded, gain=np.ones((256, 256)))


def test_dose_weighted_sum_is_the_formula():
    frames = np.random.default_rng(0).poisson(3.0, (6, 128, 128)).astype(np.uint8)  # vacuum: no shift
    result = correct(frames, dose_per_frame=4.0, dose_before=2.0, pixel_size_angstrom=1.5)
    k = np.hypot(fft.fftfreq(128, 1.5)[:, None], fft.rfftfreq(128, 1.5)[None])
    with np.errstate(divide="ignore"):
        critical = 0.245 * k**-1.665 + 2.81
    q = np.exp(-(2 + 4 * (np.arange(6) + 0.5))[:, None, None] / (2 * critical))
    expected = (fft.rfft2(frames) * q).sum(axis=0) / np.sqrt((q**2).sum(axis=0) / 6)
    np.testing.assert_allclose(result.image, fft.irfft2(expected, s=(128, 128)), atol=2e-3)
    with pytest.raises(DataError, match="pixel_size"):
        correct(frames, dose_per_frame=4.0)


def test_warp_takes_features_from_p_plus_d():
    from concurrent.futures import ThreadPoolExecutor

    n = 96
    y, x = np.mgrid[:n, :n].astype(float)

    def wave(y, x):
        return 1 + 0.3 * np.cos(2 * np.pi * x / 7.3 + 0.4) * np.cos(2 * np.pi * y / 9.1)

    coefficients = np.array([[1.3, 0.4, 0.2, 0.1, -0.3, 0.2], [-2.2, 0.3, -0.5, 0.2, 0.1, 0.4]])
    v, u = (2 * y - (n - 1)) / n, (2 * x - (n - 1)) / n
    dy, dx = np.tensordot(coefficients, np.stack((np.ones_like(u), u, v, u * u, u * v, v * v)), 1)
    total, count = np.zeros((n, n), np.float32), np.zeros((n, n), np.uint16)
    with ThreadPoolExecutor(2) as pool:
        buffer = np.empty((n, n), np.float32)
        warp_into(total, count, wave(y, x).astype(np.float32), coefficients, (buffer, pool))
    inside = slice(8, -8)
    np.testing.assert_allclose(total[inside, inside], wave(y + dy, x + dx)[inside, inside], atol=4e-3)
    outside = (y + dy < -0.5) | (y + dy > n - 0.5) | (x + dx < -0.5) | (x + dx > n - 0.5)
    np.testing.assert_array_equal(count == 0, outside)


def test_interpolation_passes_what_carries_resolution():
    """Amplitude of a wave at k cycles per pixel, over all fractions of a pixel (read in docs/prepare.md)."""
    table = sinc_table().astype(float)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
    place = np.arange(table.shape[1]) - 4
    for k, least, worst in ((0.1, 0.997, 0.003), (0.3, 0.995, 0.004), (0.35, 0.99, 0.02), (0.4, 0.92, 0.2)):
        fraction = np.linspace(0, 1, len(table))
        passed = (table * np.exp(2j * np.pi * k * place)).sum(axis=1) * np.exp(-2j * np.pi * k * fraction)
        assert abs(passed - 1).max() < worst and abs(passed.mean()) > least


def test_ramps_move_a_feature_back():
    image = np.zeros((32, 40))
    image[12, 25] = 1
    spectra = Spectra(fft.rfft2(image)[None].astype(np.complex64), (32, 40), (64.0, 80.0))
    ramp_y, ramp_x = spectra.ramps(np.array([4.0, -6.0]))  # full pixels: 2 and −3 samples
    moved = fft.irfft2(spectra.values[0] * ramp_y[:, None] * ramp_x, s=(32, 40))
    assert np.unravel_index(np.argmax(moved), moved.shape) == (10, 28)


def test_finish_sums_with_what_is_known(plain):
    class Now:
        def finish_requested(self):
            return True

    result = correct(plain, finish=Now())
    assert rms(result, settling()) < 0.3


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.ones((1, 128, 128)), "one frame only"),
        (np.ones((3, 32, 128)), "32 x 128"),
        (np.full((3, 128, 128), np.nan), "frame 0 holds NaN"),
    ],
)
def test_bad_movies_are_refused(frames, words):
    with pytest.raises(DataError, match=words):
        correct(frames)


def test_two_frames_agree_with_scikit_image():
    from skimage.registration import phase_cross_correlation

    frames = movie(n=256, drift=[(0.0, 0.0), (3.3, -2.2)], dose=100.0)
    result = correct(frames, patches=1)
    found = result.shifts_px[1] - result.shifts_px[0]
    # scikit-image gives the shift that brings the second back to the first.
    oracle, _, _ = phase_cross_correlation(
        frames[0].astype(float), frames[1].astype(float), upsample_factor=50, normalization=None
    )
    np.testing.assert_allclose(found, -oracle, atol=0.1)
    # A window that stays with the camera would draw this to 3.25, −2.17.
    np.testing.assert_allclose(found, (3.3, -2.2), atol=0.02)
