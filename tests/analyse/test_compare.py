"""Comparing volumes with shifts, scales and samplings that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.analyse.compare import compare
from napari_phaset3m.analyse.matching import fit_scale
from napari_phaset3m.analyse.sampling import moved, resample_onto
from napari_phaset3m.errors import ConfigError, DataError

VOXEL = 1.5


def blobs(
    shape: tuple[int, int, int], voxel: float, centre=(0.0, 0.0, 0.0), width: float = 4.0, seed: int = 0
) -> np.ndarray:
    """Gaussians in angstrom about the box centre: the same scene on any grid, moved by ``centre``."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * voxel for n in shape), indexing="ij")
    volume = np.zeros(shape)
    for _ in range(6):
        p = rng.uniform(-10, 10, 3) + centre
        height = rng.uniform(0.5, 2)
        volume += height * np.exp(-((z - p[0]) ** 2 + (y - p[1]) ** 2 + (x - p[2]) ** 2) / (2 * width**2))
    return volume.astype(np.float32)


def edge_mask(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) for n in shape), indexing="ij")
    r = np.sqrt(z**2 + y**2 + x**2)
    return np.clip((radius + 4 - r) / 4, 0, 1).astype(np.float32)


SHAPE = (40, 44, 48)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.37, -0.62, 1.11), (3.4, -2.25, 0.5), (-6.0, 0.0, 4.8)])
@pytest.mark.parametrize("masked", [False, True])
def test_a_known_shift_is_found_below_a_hundredth_of_a_voxel(shift, masked):
    a = blobs(SHAPE, VOXEL)
    b = blobs(SHAPE, VOXEL, centre=shift)
    mask = edge_mask(SHAPE, 12) if masked else None
    found = compare(a, b, VOXEL, mask=mask)
    np.testing.assert_allclose(found.shift_angstrom, -np.array(shift), atol=0.01 * VOXEL)
    assert found.correlation > 0.9999
    assert found.relative_difference < 0.01
    if any(shift):
        assert found.correlation_before < found.correlation


def test_noise_does_not_bias_the_shift():
    """Cramer-Rao bound of one run: sqrt(2 sigma^2 / sum (da/dx)^2), 0.025 voxels here."""
    shift, found = np.array([0.6, -0.9, 0.45]), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a, b = blobs(SHAPE, VOXEL), blobs(SHAPE, VOXEL, centre=shift)
        a += 0.15 * rng.standard_normal(SHAPE).astype(np.float32)
        b += 0.15 * rng.standard_normal(SHAPE).astype(np.float32)
        found.append(compare(a, b, VOXEL, mask=edge_mask(SHAPE, 14)).shift_angstrom)
    np.testing.assert_allclose(np.mean(found, axis=0), -shift, atol=0.04 * VOXEL)
    np.testing.assert_allclose(found, [-shift] * 4, atol=0.1 * VOXEL)


def test_scale_and_offset_are_found_and_can_be_forbidden():
    a = blobs(SHAPE, VOXEL)
    found = compare(a, 4 * a - 2, VOXEL)
    assert (found.scale, found.offset) == pytest.approx((0.25, 0.5), abs=1e-5)
    np.testing.assert_allclose(found.matched, a, atol=1e-5)
    assert found.ssim == pytest.approx(1, abs=1e-5) and found.correlation == pytest.approx(1)
    only = compare(a, 4 * a, VOXEL, scaling="scale")
    assert (only.scale, only.offset) == pytest.approx((0.25, 0))
    as_is = compare(a, 4 * a, VOXEL, scaling="none", align=False)
    np.testing.assert_allclose(as_is.difference, -3 * a, rtol=1e-5)
    assert as_is.rms_difference == pytest.approx(3 * np.sqrt(np.mean(a.astype(float) ** 2)), rel=1e-5)
    inverted = compare(a, -a, VOXEL, align=False)
    assert inverted.scale == pytest.approx(-1) and "inverted" in inverted.statement()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99))
def test_the_fit_is_least_squares(seed):
    rng = np.random.default_rng(seed)
    a, b, w = (rng.random((3, 4, 5)).astype(np.float32) for _ in range(3))
    design = np.stack([b.ravel(), np.ones(b.size)], 1) * np.sqrt(w.ravel())[:, None]
    expected = np.linalg.lstsq(design, a.ravel() * np.sqrt(w.ravel()), rcond=None)[0]
    np.testing.assert_allclose(fit_scale(a, b, w), expected, atol=2e-4)


def test_another_sampling_is_resampled_and_told():
    a = blobs((40, 40, 40), 1.5)
    b = blobs((32, 36, 31), 1.9)
    found = compare(a, b, 1.5, b_voxel_size_angstrom=1.9, mask=edge_mask((40, 40, 40), 12), names=("A", "B"))
    assert found.correlation > 0.999
    np.testing.assert_allclose(found.shift_angstrom, 0, atol=0.05)
    assert found.resampled_from_angstrom == (1.9,) * 3
    assert any("B, 32 x 36 x 31 voxels of 1.9 Å, was resampled" in note for note in found.notes)
    assert found.scale == pytest.approx(1, abs=0.02)


def test_resampling_keeps_the_scene_in_place():
    """Centres (n - 1) / 2 coincide for even and odd sizes, finer and coarser."""
    for shape, voxel in (((30, 31, 40), 2.0), ((64, 61, 50), 1.0), ((45, 45, 45), 1.5)):
        scene = blobs((48, 47, 46), 1.5, centre=(1.0, -2.0, 3.0))
        values, part = resample_onto(scene, (1.5,) * 3, shape, (voxel,) * 3)
        expected = blobs(shape, voxel, centre=(1.0, -2.0, 3.0))
        np.testing.assert_allclose(values[part], expected[part], atol=0.03)
        assert np.all(np.delete(values, np.arange(part[0].start, part[0].stop), 0) == 0)


def test_a_crop_is_exact():
    scene = np.random.default_rng(0).standard_normal((20, 21, 22)).astype(np.float32)
    values, part = resample_onto(scene, (1.0,) * 3, (16, 15, 22), (1.0,) * 3)
    np.testing.assert_allclose(values, scene[2:18, 3:18], atol=1e-5)
    assert [(p.start, p.stop) for p in part] == [(0, 16), (0, 15), (0, 22)]


def test_moving_by_whole_voxels_is_a_roll_and_there_and_back_is_nothing():
    volume = np.random.default_rng(1).standard_normal((10, 11, 12)).astype(np.float32)
    np.testing.assert_allclose(moved(volume, (2, -3, 1)), np.roll(volume, (2, -3, 1), (0, 1, 2)), atol=1e-5)
    kept = np.fft.fftn(volume)
    for axis, n in enumerate(volume.shape):
        kept.swapaxes(0, axis)[np.abs(np.fft.fftfreq(n)) > 0.4] = 0
    smooth = np.fft.ifftn(kept).real.astype(np.float32)
    np.testing.assert_allclose(moved(moved(smooth, (0.3, 0.4, -0.2)), (-0.3, -0.4, 0.2)), smooth, atol=1e-4)


def test_what_came_in_from_the_other_side_does_not_count():
    big = blobs((40, 40, 52), VOXEL, width=3) + np.linspace(0, 1, 52, dtype=np.float32)
    found = compare(big[..., 6:46], big[..., 2:42], VOXEL)
    assert found.shift_angstrom == pytest.approx((0, 0, -6.0), abs=0.05)
    assert found.overlap[2] == (0, 36)
    np.testing.assert_allclose(found.difference[..., :30], 0, atol=0.05)
    assert np.all(found.difference[..., 36:] == 0)


def test_unlike_volumes_are_not_called_alike():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((24, 24, 24)).astype(np.float32) for _ in range(2))
    found = compare(a, b, VOXEL)
    assert abs(found.correlation) < 0.1 and found.fsc.resolution("0.5").angstrom is None
    assert found.ssim is not None and found.ssim < 0.5


def test_results_are_plain_and_frozen():
    a = blobs((16, 16, 8), VOXEL)
    found = compare(a, a + 0.1, VOXEL, names=("PhaseT3M", "SIRT"))
    assert found.ssim is None and any("SSIM" in note for note in found.notes)
    json.dumps(found.as_dict(), allow_nan=False)
    assert {"quantity", "value", "unit"} == set(found.rows()[0])
    assert "SIRT against PhaseT3M" in found.statement()
    assert not found.difference.flags.writeable
    with pytest.raises(AttributeError):
        found.scale = 2  # type: ignore[misc]


def test_wrong_input_is_named():
    a = blobs((16, 16, 16), VOXEL)
    with pytest.raises(ConfigError, match="scaling"):
        compare(a, a, VOXEL, scaling="both")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_shift"):
        compare(a, a, VOXEL, max_shift_angstrom=0)
    with pytest.raises(DataError, match="mask"):
        compare(a, a, VOXEL, mask=np.ones((3, 3, 3)))
    with pytest.raises(DataError, match="SIRT: holds NaN"):
        compare(a, a * np.nan, VOXEL, names=("a", "SIRT"))
    with pytest.raises(DataError, match="overlap"):
        compare(a, a[:3, :3, :3], VOXEL)
