"""Coarse alignment of series with known truth: balls projected in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.prepare.align.added import TOGETHER_PX, added_foci
from napari_phaset3m.prepare.align.axis import zero_of
from napari_phaset3m.prepare.align.coarse import iterate_coarse
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.correlate import correlate
from napari_phaset3m.prepare.align.mass import centres, line_shifts, mass
from napari_phaset3m.prepare.align.model import Alignment, specimen_translation
from napari_phaset3m.prepare.align.network import Pair, pairs_of, solve
from napari_phaset3m.prepare.align.signal import TiltImages, placed, tilt_images
from napari_phaset3m.prepare.align.stretch import stretched
from napari_phaset3m.prepare.events import Progress, drain
from napari_phaset3m.prepare.images import finished

SIZE, AXIS = 56, 1.2
TILTS = np.arange(-60, 61, 6.0)


def balls(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    place = rng.normal(0, 1, (40, 3))
    place *= (14 * rng.random(40) ** (1 / 3) / np.linalg.norm(place, axis=1))[:, None]
    return place, rng.uniform(0.3, 1, 40)


def projected(shifts: np.ndarray, axis: float = AXIS, noise: float = 0.0, bright: bool = False) -> np.ndarray:
    """Lab x' = x cos - z sin (the frozen convention), turned by the axis angle, moved."""
    place, height = balls()
    grid = np.arange(SIZE) - (SIZE - 1) / 2
    a = np.radians(axis)
    images = np.empty((TILTS.size, 1, SIZE, SIZE))
    for tilt, t in enumerate(np.radians(TILTS)):
        z, y, x = place.T
        across = x * np.cos(t) - z * np.sin(t)
        gx = np.cos(a) * across - np.sin(a) * y + shifts[tilt, 1]
        gy = np.sin(a) * across + np.cos(a) * y + shifts[tilt, 0]
        rows = np.exp(-((grid[:, None] - gy) ** 2) / (2 * 1.6**2)) * height
        columns = np.exp(-((grid[:, None] - gx) ** 2) / (2 * 1.6**2))
        images[tilt, 0] = rows @ columns.T
    images *= 0.1
    images = 0.02 + images if bright else 1 - images
    return images + np.random.default_rng(9).normal(0, noise, images.shape)


def series_of(images: np.ndarray, **more: object) -> TiltFocalSeries:
    return TiltFocalSeries(images=images, tilt_deg=TILTS, pixel_size_angstrom=2.0, energy_ev=3e5, **more)


def injected(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2.0, (TILTS.size, 2))


def errors(found: Alignment, shifts: np.ndarray, axis: float = AXIS) -> np.ndarray:
    a, t = np.radians(axis), np.radians(TILTS)
    y, x = (found.shifts_px[:, 0] - shifts).T
    e = np.stack((np.cos(a) * y - np.sin(a) * x, np.cos(a) * x + np.sin(a) * y), -1)
    dz, dy, dx = specimen_translation(e[:, None], TILTS)
    return e - np.stack((np.full_like(t, dy), dx * np.cos(t) - dz * np.sin(t)), -1)


@pytest.mark.parametrize("bright", [False, True])
def test_shifts_and_axis_are_found(bright):
    shifts = injected()
    done = drain(iterate_coarse(series_of(projected(shifts, bright=bright)), CoarseConfig(axis_range_deg=3)))
    found = done.result
    assert np.sqrt((errors(found.alignment, shifts) ** 2).mean(0)).max() < 0.05
    assert found.axis_angle_deg == pytest.approx(AXIS, abs=0.2)
    assert found.in_vacuum
    # Applied: the axis lies along y, and nothing is left to turn.
    assert done.series.tilt_axis_angle_deg == pytest.approx(found.axis_angle_deg)
    assert done.series.metadata["history"][-1]["step"] == "align coarse"


def test_noise_without_axis_search():
    shifts = injected()
    images = projected(shifts, axis=0.0, noise=0.05)  # as strong as a ball is at its middle, halved
    found = drain(iterate_coarse(series_of(images), CoarseConfig(axis=False))).result
    error = errors(found.alignment, shifts, 0.0)
    assert np.sqrt((error**2).mean()) < 0.35
    assert found.axis_angle_deg == 0 and np.isnan(found.axis_error_deg)
    told = found.alignment.shift_error_px[:, 0]
    assert 0.3 < np.sqrt((error**2).mean()) / np.sqrt((told**2).mean()) < 3


def test_a_left_out_tilt_and_other_foci_keep_what_they_had():
    shifts = injected()
    one = projected(shifts)
    images = np.concatenate((one, one), axis=1)
    start = np.zeros((TILTS.size, 2, 2))
    start[:, 1] = 1.5
    used = np.ones((TILTS.size, 2), bool)
    used[4] = False
    series = series_of(images, shifts_px=start, used=used)
    config = CoarseConfig(focus=0, axis=False, consistency_rounds=1)
    found = drain(iterate_coarse(series, config)).result.alignment
    assert np.allclose(found.shifts_px[:, 1] - found.shifts_px[:, 0], 1.5)
    assert np.allclose(found.shifts_px[4, 0], 0) and not found.used[4].any()


def focal_pairs(shifts: np.ndarray, apart: np.ndarray, noise: float) -> TiltFocalSeries:
    """Two foci (fine contrast reversed between them), the second displaced by `(n_tilt, 2)` (y, x) px."""
    phase, defoci = 1 - projected(shifts)[:, 0], (60000.0, 90000.0)
    grid = Grid(SIZE, SIZE, 20.0)
    ky, kx = np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)
    images = np.empty((TILTS.size, 2, SIZE, SIZE))
    for focus, defocus in enumerate(defoci):
        transfer = contrast_transfer(grid, Microscope(energy_ev=3e5), defocus).T
        move = focus * apart
        ramp = np.exp(-2j * np.pi * (ky * move[:, 0, None, None] + kx * move[:, 1, None, None]))
        images[:, focus] = 1 - 2 * np.fft.ifft2(np.fft.fft2(phase) * transfer * ramp).real
    images += np.random.default_rng(5).normal(0, noise, images.shape)
    more = {"defocus_angstrom": np.tile(defoci, (TILTS.size, 1)), "spherical_aberration_angstrom": 2.7e7}
    return TiltFocalSeries(images=images, tilt_deg=TILTS, pixel_size_angstrom=20.0, energy_ev=3e5, **more)


def foci_add_up(series, alignment, config):
    return finished(added_foci(series, alignment, config)) is not None


def test_foci_that_lie_on_each_other_are_added():
    """Not where they are displaced, or nothing tells their transfer."""
    shifts, together = injected(), np.zeros((TILTS.size, 2))
    displaced = np.random.default_rng(8).normal(0, 2.0, (TILTS.size, 2))
    config = CoarseConfig()
    given = focal_pairs(shifts, together, 0.005)
    assert foci_add_up(given, Alignment.of(given), config)
    moved = focal_pairs(shifts, displaced, 0.005)
    assert not foci_add_up(moved, Alignment.of(moved), config)
    known = Alignment.of(moved).replace(shifts_px=np.stack((together, displaced), axis=1))
    assert foci_add_up(moved, known, config), "the shifts between foci are known"
    dark = given.replace(normalisation="dark_field")
    assert not foci_add_up(dark, Alignment.of(dark), config)
    unknown = given.replace(defocus_angstrom=None)
    assert not foci_add_up(unknown, Alignment.of(unknown), config)
    single = given.replace(used=np.tile([True, False], (TILTS.size, 1)))
    assert not foci_add_up(single, Alignment.of(single), config)


class _After:
    """Asks to finish from the n-th time on."""

    def __init__(self, times: int) -> None:
        self.left = times

    def finish_requested(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_foci_are_added_once_at_the_working_size_with_progress():
    """They were filtered, and flipped a second time, at full size and without a word."""
    given = focal_pairs(injected(), np.zeros((TILTS.size, 2)), 0.005)
    images = fourier_resample(given.images, (2 * SIZE, 2 * SIZE))
    given = given.replace(images=images, pixel_size_angstrom=10.0)
    config, start = CoarseConfig(work_size_px=SIZE), Alignment.of(given)
    events, parts = [], added_foci(given, start, config)
    while True:
        try:
            events.append(next(parts))
        except StopIteration as end:
            added = end.value
            break
    assert [event.text for event in events] == [
        f"Adding the foci of tilt {n + 1} of {TILTS.size}" for n in range(TILTS.size)
    ]
    assert added.images.shape == (TILTS.size, SIZE, SIZE) and added.bin_factor == 2
    # What the mean at full size gives when it is cut to the working size afterwards.
    whole = tilt_images(given, config.model_copy(update={"focus": "mean"}), start)
    small = fourier_resample(whole.images, (SIZE, SIZE))
    small -= np.median(small, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(added.images, small, atol=2e-3 * np.abs(small).max())
    auto = drain(iterate_coarse(given, config))
    mean = drain(iterate_coarse(given, config.model_copy(update={"focus": "mean"})))
    np.testing.assert_allclose(auto.result.alignment.shifts_px, mean.result.alignment.shifts_px, atol=0.05)
    assert auto.series.metadata["history"][-1]["told"]["foci_added"]
    assert finished(added_foci(given, start, config, _After(3))) is None


def test_displaced_foci_are_given_up_before_the_last_tilt():
    displaced = np.random.default_rng(8).normal(0, 4.0, (TILTS.size, 2))
    moved = focal_pairs(injected(), displaced, 0.005)
    seen = 0
    for event in iterate_coarse(moved, CoarseConfig(axis=False)):
        seen += isinstance(event, Progress) and event.text.startswith("Adding")
        if seen and not getattr(event, "text", "Adding").startswith("Adding"):
            break
    assert TILTS.size / 2 <= seen < TILTS.size
    assert np.median(np.hypot(*displaced.T)) > 2 * TOGETHER_PX


def test_added_foci_tell_more_than_one():
    shifts = injected()
    series = focal_pairs(shifts, np.zeros((TILTS.size, 2)), 0.005)
    off = {}
    for focus in ("auto", 0, 1):
        done = drain(iterate_coarse(series, CoarseConfig(focus=focus, axis=False)))
        off[focus] = np.sqrt((errors(done.result.alignment, shifts, AXIS) ** 2).mean())
    assert done.series.metadata["history"][-1]["parameters"]["focus"] == 1
    assert off["auto"] < 0.9 * min(off[0], off[1]), off


def test_wrong_choices_are_refused():
    series = series_of(projected(injected()))
    with pytest.raises(ConfigError, match="focus: there are 1 foci"):
        drain(iterate_coarse(series, CoarseConfig(focus=1)))
    used = np.zeros((TILTS.size, 1), bool)
    used[:2] = True
    with pytest.raises(DataError, match="2 of 21 tilts can be used"):
        drain(iterate_coarse(series.replace(used=used)))


def test_finish_ends_with_what_there_is():
    class Now:
        def finish_requested(self) -> bool:
            return True

    done = drain(iterate_coarse(series_of(projected(injected())), finish=Now()))
    assert [name for name, _ in done.result.stages] == ["centre of mass"]


def test_correlation_finds_a_shift_with_its_sign():
    image = projected(np.zeros((TILTS.size, 2)), 0.0)[10, 0] - 1
    moved = projected(np.full((TILTS.size, 2), (2.3, -1.6)), 0.0)[10, 0] - 1
    match = correlate(image, moved, 8)
    assert match.shift_px == pytest.approx((2.3, -1.6), abs=0.1) and match.height > 0.98


def test_stretch_brings_a_flat_specimen_to_another_tilt():
    grid = np.arange(SIZE) - (SIZE - 1) / 2

    def at(tilt: float) -> np.ndarray:
        c = np.cos(np.radians(tilt))
        return sum(
            np.exp(-((grid[:, None] - 3) ** 2) / 8 - ((grid[None] - x * c) / c) ** 2 / 8) for x in (-9, 5, 14)
        )

    assert np.abs(stretched(at(40), 1 / np.cos(np.radians(40))) - at(0))[:, 6:-6].max() < 0.01


def test_network_outvotes_a_wrong_pair_and_stretches():
    tilts = np.arange(-60, 61, 10.0)
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (13, 2))
    true[6] = 0
    cos = np.cos(np.radians(tilts))
    pairs = []
    for low, high in pairs_of(tilts, np.ones(13, bool), 3):
        q = cos[low] / cos[high]
        shift = (true[high, 0] - true[low, 0], q * true[high, 1] - true[low, 1])
        pairs.append(Pair(low, high, shift, q, 1.0))
    wrong = pairs[7]
    pairs[7] = Pair(
        wrong.first, wrong.second, (wrong.shift_px[0] + 9, wrong.shift_px[1] - 9), wrong.stretch, 1.0
    )
    found, error = solve(pairs, 13, 6)
    assert np.abs(found - true).max() < 0.05
    assert np.isfinite(error).all()


def test_centre_of_mass_and_common_line():
    shifts = injected()
    images = projected(shifts, 0.0, bright=True)[:, 0]
    place, height = balls()
    z, y, x = (place * height[:, None]).sum(0) / height.sum()
    t = np.radians(TILTS)
    wanted = shifts + np.stack((np.full_like(t, y), x * np.cos(t) - z * np.sin(t)), -1)
    weighed = mass(images - np.median(images, axis=(1, 2), keepdims=True), "intensity", 0.3)
    assert np.abs(centres(weighed) - wanted).max() < 0.3
    # The window at the border stays where it is while the specimen moves, so that one pass is short; images
    # moved by what was found agree.
    tilts = TiltImages(images - images.min(), TILTS, np.ones(TILTS.size, bool), 0)
    known = np.stack((np.zeros_like(t), shifts[:, 1]), -1)
    for _ in range(3):
        known[:, 0] += line_shifts(placed(tilts, known, 0.0, CoarseConfig()), tilts.usable, 8)
    assert np.abs((known[:, 0] - known[:, 0].mean()) - (shifts[:, 0] - shifts[:, 0].mean())).max() < 0.1


def test_the_zero_of_a_noisy_score():
    angles = np.linspace(-4, 4, 17)
    rng = np.random.default_rng(2)
    score = 0.3 * (1.3 - angles) / (1 + 0.2 * (angles - 1.3) ** 2) + rng.normal(0, 0.02, angles.size)
    found = zero_of(angles, score, np.full(angles.size, 0.02))
    assert found.angle_deg == pytest.approx(1.3, abs=0.25) and 0.02 < found.error_deg < 0.5
    assert zero_of(angles, -score, np.full(angles.size, 0.02)).angle_deg in (-4, 4)  # no fall: an end
