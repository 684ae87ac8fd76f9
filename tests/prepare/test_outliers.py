"""Hot and dead pixels, spikes: found, and true counts left alone."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
from _prepare_series import make, poisson

from napari_phaset3m.prepare import outliers, spikes
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.images import finished
from napari_phaset3m.prepare.outliers import OutliersConfig
from napari_phaset3m.prepare.ring import local_median
from napari_phaset3m.prepare.spikes import deviance, electron_size, find_spikes


def specimen(n=128):
    """Lattice fringes of 3.1 and 4.2 pixels under an envelope, and an isolated atom 2.6 pixels wide."""
    y, x = np.mgrid[:n, :n]
    fringes = np.sin(2 * np.pi * x / 3.1) * np.sin(2 * np.pi * y / 4.2)
    around = np.exp(-((x - n / 2) ** 2 + (y - n / 2) ** 2) / (n / 4) ** 2)
    atom = np.exp(-((x - 20) ** 2 + (y - 24) ** 2) / (2 * 1.1**2))
    return 1 + 0.3 * fringes * around + 0.2 * atom


def done(series, **parameters):
    return drain(outliers.run(series, OutliersConfig.parse(**parameters)))


@pytest.mark.parametrize("per_pixel", [0.1, 1, 5, 50, 5000])
def test_true_counts_are_never_lost(per_pixel):
    series = poisson(specimen(), per_pixel, shape=(9, 3), seed=3)
    np.testing.assert_array_equal(done(series).series.images, series.images)


def test_low_dose_without_stated_dose_keeps_every_count():
    counts = np.random.default_rng(5).poisson(5.0, (1, 2, 512, 512))
    series = make(counts, tilt_deg=[0.0])
    np.testing.assert_array_equal(done(series).series.images, series.images)


def test_hits_hot_and_dead_pixels_at_5_electrons_are_replaced_and_counted():
    clean = poisson(specimen(), 5, shape=(14, 3), seed=1)
    images = np.array(clean.images)
    images[..., 100, 90] = 0  # dead: no single image can tell
    images[..., 31, 41] += 40  # hot
    images[..., 60, 20] += 1.5  # warm: 7.5 electrons more
    images[4, 1, 50:52, 70:72] += 30  # an X-ray hit of 2 x 2 pixels
    report = done(clean.replace(images=images))
    assert np.argwhere(report.result.dead).tolist() == [[100, 90]]
    assert np.argwhere(report.result.hot).tolist() == [[31, 41], [60, 20]]
    assert report.result.spikes.sum() == report.result.spikes[4, 1] == 4
    told = history(report.series)[-1]["told"]
    assert (told["hot_pixels"], told["dead_pixels"], told["spike_pixels"]) == (2, 1, 4)
    after, changed = report.series.images, images != report.series.images
    # Nothing else was touched (a replaced value may by chance be what was there).
    allowed = np.zeros(changed.shape, bool)
    allowed[..., [100, 31, 60], [90, 41, 20]] = True
    allowed[4, 1, 50:52, 70:72] = True
    assert not (changed & ~allowed).any()
    assert after[4, 1, 50:52, 70:72].max() < 2.5
    assert np.abs(after[..., 31, 41].mean() - 1) < 0.2


def test_hot_pixels_near_each_other_and_near_the_border_are_found():
    """Two apart they are in each other's ring; one from the border the mirrored ring holds the pixel."""
    series = poisson(specimen(), 25, shape=(11, 2), seed=4)
    images = np.array(series.images)
    hot = [[1, 1], [1, 60], [57, 119], [58, 117], [70, 126], [100, 40], [102, 42]]
    for y, x in hot:
        images[..., y, x] += 15  # 375 electrons more
    images[..., 90, 1] = 0
    report = done(series.replace(images=images))
    assert np.argwhere(report.result.hot).tolist() == hot
    assert np.argwhere(report.result.dead).tolist() == [[90, 1]]
    assert report.result.spikes.sum() == 0
    single = find_spikes(images[3, 1], 8.0, 1 / 25)
    assert [place for place in np.argwhere(single).tolist() if place in hot] == hot


def test_preview_is_the_image_without_spikes():
    series = poisson(specimen(), 20, shape=(3, 1))
    images = np.array(series.images)
    images[1, 0, 40, 40] += 20
    shown = outliers.preview(series.replace(images=images), OutliersConfig(), 1, 0)
    assert shown.shape == (128, 128) and shown[40, 40] < 3


def test_deviance_has_the_tail_of_a_gaussian():
    for mean, count in ((5.0, 19), (0.5, 6), (40.0, 80)):
        r = float(deviance(np.array([float(count)]), np.array([mean]))[0])
        exact = stats.poisson.sf(count - 1, mean)
        assert abs(np.log10(stats.norm.sf(r)) - np.log10(exact)) < 0.5


def test_electron_size_of_a_camera_with_gain():
    # 30 electrons per pixel, 12 units each.
    image = np.random.default_rng(0).poisson(30, (256, 256)).astype(np.float32) * 12
    assert electron_size(image) == pytest.approx(12, rel=0.1)


def test_threshold_is_in_standard_deviations():
    rng = np.random.default_rng(2)
    image = rng.normal(100, 10, (128, 128)).astype(np.float32)  # one electron: 1 unit
    image[64, 64] = 100 + 10 * 25
    assert find_spikes(image, 8.0, 1.0)[64, 64]
    assert not find_spikes(image, 40.0, 1.0).any()


def test_local_median_skips_bad_neighbours():
    image = np.arange(121, dtype=np.float32).reshape(11, 11)
    bad = np.zeros(image.shape, bool)
    bad[5, 4:7] = True
    block, mask = image[3:8, 3:8], ~bad[3:8, 3:8]
    assert local_median(image, bad)[1] == np.median(block[mask])
    assert np.isfinite(local_median(image, np.ones_like(bad))).all()


def test_a_large_image_is_gone_through_in_parts_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(0)
    image = rng.poisson(5.0, (300, 200)).astype(np.float32)
    image[rng.integers(0, 300, 80), rng.integers(0, 200, 80)] += 60
    monkeypatch.setattr(spikes, "_PART", 200 * 50)
    parts = list(spikes.find_spikes_in_parts(image, 8.0, 1.0))
    assert parts == sorted(parts) and len(parts) == 6 and parts[-1] == 1
    found = finished(spikes.find_spikes_in_parts(image, 8.0, 1.0))
    assert found.sum() >= 70
    np.testing.assert_array_equal(found, find_spikes(image, 8.0, 1.0))


def test_a_blank_section_warns_of_nothing_and_hides_no_hot_pixel():
    """Nothing scatters in it: distances in units of its noise were infinite or NaN."""
    series = poisson(np.ones((64, 64)), 50, shape=(9, 1), seed=5)
    images = series.images.copy()
    images[:, 0, 20, 30] *= 2.0  # too little for a spike of one image
    images[4] = 0.9
    images[4, 0, 40, 40] = 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = done(series.replace(images=images))
    assert np.argwhere(result.result.hot).tolist() == [[20, 30]] and not result.result.dead.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not find_spikes(images[4, 0], 8.0, 0.0).any()
