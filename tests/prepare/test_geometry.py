"""Bin, crop, pad and soft edge: the specimen stays where it is, and the metadata follows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _prepare_series import make

from napari_phaset3m import ReconstructionConfig, reconstruct
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.gauge import moved
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.steps import STEPS


def run(name, series, **parameters):
    entry = STEPS[name]
    return drain(entry.run(series, entry.config.parse(**parameters))).series


def blobs(shape, offsets, shifts, sigma=3.0):
    """Gaussians at `offset` from the centre of the aligned image, drawn with the images' shifts."""
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx].astype(float)
    images = np.empty((len(offsets), 1, ny, nx), np.float32)
    for i, ((oy, ox), (sy, sx)) in enumerate(zip(offsets, shifts, strict=True)):
        cy, cx = (ny - 1) / 2 + oy + sy, (nx - 1) / 2 + ox + sx
        images[i, 0] = 1 + np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    return images


def offset_seen(series, tilt):
    """Where the blob lies from the rotation centre, in angstrom, by the series' own shifts."""
    image = series.images[tilt, 0].astype(float)
    image = image - np.median(image)
    image = np.clip(image - 0.1 * image.max(), 0, None)
    ny, nx = image.shape
    y, x = np.mgrid[:ny, :nx]
    centroid = np.array([(image * y).sum(), (image * x).sum()]) / image.sum()
    place = centroid - [(ny - 1) / 2, (nx - 1) / 2] - series.shifts_px[tilt, 0]
    return place * series.pixel_size_angstrom


OFFSETS = [(5.0, -7.0), (5.0, 0.0), (5.0, 9.0)]
SHIFTS = [(1.5, -2.0), (0.0, 3.0), (-2.25, 0.5)]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bin", {"factor": 2}),
        ("bin", {"factor": 3}),
        ("crop", {"region_px": (11, 20, 61, 57)}),
        ("crop", {"region_px": (8, 5, 60, 72)}),
        ("pad", {"border_px": 9}),
        ("taper", {"width_px": 6}),
    ],
)
def test_a_feature_stays_where_it_is_from_the_rotation_axis(name, parameters):
    series = make(blobs((83, 94), OFFSETS, SHIFTS), shifts_px=np.array(SHIFTS)[:, None])
    before = [offset_seen(series, tilt) for tilt in range(3)]
    np.testing.assert_allclose(before, np.array(OFFSETS) * 0.8, atol=0.02)
    after = run(name, series, **parameters)
    # Thresholded centroids of a binned blob are good to a few hundredths of a pixel.
    np.testing.assert_allclose([offset_seen(after, t) for t in range(3)], before, atol=0.05)


def test_bin_takes_pixel_shift_mtf_and_counts_along():
    mtf = [(0.0, 1.0), (0.5, 0.6), (1.0, 0.3)]
    shifts = np.full((2, 1, 2), (3.0, -1.0))
    series = make(
        np.ones((2, 1, 64, 64)), mtf=mtf, shifts_px=shifts, dose_per_image=7.0, defocus_angstrom=[500.0],
        metadata={"scale": 4.48},
    )  # fmt: skip
    small = run("bin", series, factor=2)
    assert small.image_shape == (32, 32)
    assert small.pixel_size_angstrom == pytest.approx(1.6)
    np.testing.assert_allclose(small.shifts_px, shifts / 2)
    # What was at half of Nyquist is at the new Nyquist frequency.
    np.testing.assert_allclose(small.mtf[1], (1.0, 0.6))
    np.testing.assert_array_equal(small.defocus_angstrom, series.defocus_angstrom)
    np.testing.assert_array_equal(small.dose_per_image, series.dose_per_image)
    assert small.metadata["scale"] == pytest.approx(4 * 4.48)
    assert history(small)[-1]["step"] == "bin"


def test_bin_is_exact_for_a_band_limited_wave_and_lets_nothing_alias():
    x = np.arange(96) - 95 / 2
    coarse = (np.arange(48) - 47 / 2) * 2
    wave = np.cos(2 * np.pi * 7 * x / 96 + 0.3)
    beyond = np.cos(2 * np.pi * 40 * x / 96)
    series = make((1 + 0.2 * wave + 0.1 * beyond)[None, None, None, :] * np.ones((1, 1, 96, 1)))
    small = run("bin", series, factor=2).images[0, 0]
    expected = 1 + 0.2 * np.cos(2 * np.pi * 7 * coarse / 96 + 0.3)
    np.testing.assert_allclose(small, np.broadcast_to(expected, (48, 48)), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), ny=st.integers(16, 40), nx=st.integers(16, 40))
def test_any_crop_bin_and_pad_keeps_shape_mean_and_input(data, ny, nx):
    rng = np.random.default_rng(ny * 100 + nx)
    images = rng.normal(1, 0.1, (2, 1, ny, nx)).astype(np.float32)
    series = make(images.copy())
    height, width = data.draw(st.integers(8, ny)), data.draw(st.integers(8, nx))
    top, left = data.draw(st.integers(0, ny - height)), data.draw(st.integers(0, nx - width))
    cropped = run("crop", series, region_px=(top, left, height, width))
    np.testing.assert_array_equal(cropped.images, images[..., top : top + height, left : left + width])
    small = run("bin", series, factor=2)
    cut_y, cut_x = ny % 2, nx % 2
    kept = images[..., cut_y // 2 : ny - (cut_y - cut_y // 2), cut_x // 2 : nx - (cut_x - cut_x // 2)]
    assert small.images.shape == (2, 1, ny // 2, nx // 2)
    np.testing.assert_allclose(small.images.mean((-2, -1)), kept.mean((-2, -1)), rtol=1e-4)
    border = data.draw(st.integers(1, 12))
    padded = run("pad", series, border_px=border)
    np.testing.assert_array_equal(padded.images[..., border:-border, border:-border], images)
    np.testing.assert_allclose(padded.images.mean((-2, -1)), images.mean((-2, -1)), rtol=1e-4)
    np.testing.assert_array_equal(series.images, images)


def test_bad_regions_are_refused_by_name():
    series = make(np.ones((1, 1, 32, 32)))
    with pytest.raises(DataError, match=r"crop\.region_px.*out of the image of 32 x 32"):
        run("crop", series, region_px=(20, 0, 20, 20))
    with pytest.raises(DataError, match=r"bin\.factor.*4 x 4"):
        run("bin", series, factor=8)
    with pytest.raises(DataError, match=r"taper\.width_px"):
        run("taper", series, width_px=17)


def points_series(points, n=64, tilts=None, pixel=1.0):
    """Projections 1 − density of Gaussians at (x, y, z) pixels from the axis, in line projection."""
    tilts = np.linspace(-66, 66, 45) if tilts is None else tilts
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    images = np.ones((len(tilts), 1, n, n))
    for px, py, pz in points:
        for i, angle in enumerate(np.deg2rad(tilts)):
            across = px * np.cos(angle) - pz * np.sin(angle)
            images[i, 0] -= 0.3 * np.exp(-((y - py) ** 2 + (x - across) ** 2) / (2 * 2.0**2))
    return make(images, tilt_deg=tilts, pixel_size_angstrom=pixel)


def brightest_angstrom(series, voxel):
    """(x, y, z) of the blob from the rotation centre, from a SIRT volume."""
    result = reconstruct(
        series, ReconstructionConfig(method="sirt", iterations=12, holdout_fraction=0.0), device="cpu"
    )
    volume = np.clip(result.volume, 0, None)
    volume = np.where(volume > 0.5 * volume.max(), volume, 0)
    grids = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * voxel for n in volume.shape), indexing="ij")
    z, y, x = (float((g * volume).sum() / volume.sum()) for g in grids)
    return np.array([x, y, z])


def test_a_cropped_and_binned_series_reconstructs_the_same_place():
    series = points_series([(6.0, -5.0, 4.0)])
    whole = brightest_angstrom(series, 1.0)
    np.testing.assert_allclose(whole, (6, -5, 4), atol=0.4)
    # Off the axis by 5 and 7 pixels: without shifts that follow, the blob would move or smear.
    cropped = run("crop", series, region_px=(3, 13, 48, 48))
    np.testing.assert_allclose(brightest_angstrom(cropped, 1.0), whole, atol=0.3)
    binned = run("bin", series, factor=2)
    np.testing.assert_allclose(brightest_angstrom(binned, 2.0), whole, atol=0.4)
    wrong = cropped.replace(shifts_px=None)
    assert np.abs(brightest_angstrom(wrong, 1.0) - whole).max() > 2


def test_a_crop_about_its_own_region_moves_the_volume_by_what_it_says():
    series = points_series([(10.0, 8.0, 2.0)])
    cropped = run("crop", series, region_px=(16, 18, 40, 40), centre="region")
    # Centre of the region from the old centre: 16 + 19.5 − 31.5, 18 + 19.5 − 31.5.
    assert cropped.metadata["centre_moved_angstrom"] == pytest.approx([4.0, 6.0])
    found = brightest_angstrom(cropped, 1.0)
    np.testing.assert_allclose(found, (10 - 6, 8 - 4, 2), atol=0.4)


def test_a_moved_centre_takes_the_defocus_along():
    """As a specimen at another place does (gauge.py, whose sign is tested against multislice images)."""
    series = points_series([(10.0, 8.0, 2.0)])
    stated = 5000.0 + 10 * np.arange(series.n_tilt)[:, None] + np.zeros((1, series.n_focus))
    series = series.replace(defocus_angstrom=stated)
    cropped = run("crop", series, region_px=(16, 18, 40, 40), centre="region")
    there = moved(Alignment.of(series), (0.0, -4.0, -6.0), series.pixel_size_angstrom)
    np.testing.assert_allclose(cropped.defocus_angstrom, there.defocus_angstrom)
    assert np.ptp(cropped.defocus_angstrom - stated) > 8
    # And the shifts, less what the cut takes off each image.
    np.testing.assert_allclose(cropped.shifts_px, there.shifts_px - np.array([4.0, 6.0]), atol=1e-9)
    kept = run("crop", series, region_px=(16, 18, 40, 40))
    np.testing.assert_array_equal(kept.defocus_angstrom, stated)


def test_soft_edge_goes_to_the_level_and_leaves_the_middle():
    rng = np.random.default_rng(0)
    series = make(rng.normal(1.3, 0.1, (1, 1, 64, 64)))
    image = run("taper", series, width_px=10, level="one").images[0, 0]
    assert np.abs(image[0] - 1).max() < 0.02
    np.testing.assert_allclose(image[10:-10, 10:-10], series.images[0, 0, 10:-10, 10:-10], rtol=1e-6)
