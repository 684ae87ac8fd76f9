"""The measured region against projections, made from the frozen formula and by the forward model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.analyse.wedge import fourier_tilt_deg, measured_region, wedge_completeness, wedge_gap
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.rotation import make_rotator
from napari_phaset3m.errors import ConfigError


def smear(n: int, tilt_deg: float) -> np.ndarray:
    """One projection's back-projection: waves in x' = x cos - z sin, the same along z'."""
    t = np.radians(tilt_deg)
    c = np.arange(n) - (n - 1) / 2
    z, y, x = c[:, None, None], c[None, :, None], c[None, None, :]
    across = x * np.cos(t) - z * np.sin(t)
    rng = np.random.default_rng(3)
    waves = [
        np.cos(2 * np.pi * (q * across + p * y) + s)
        for q, p, s in zip(
            rng.uniform(0.1, 0.4, 12), rng.uniform(-0.3, 0.3, 12), rng.uniform(0, 6, 12), strict=True
        )
    ]
    ball = np.exp(-(z**2 + y**2 + x**2) / (2 * (n / 8) ** 2))
    return np.sum(waves, axis=0) * ball


def part_inside(volume: np.ndarray, region: np.ndarray) -> float:
    power = np.abs(np.fft.fftshift(np.fft.fftn(volume))) ** 2
    return float(power[region].sum() / power.sum())


@pytest.mark.parametrize("tilt", [-50.0, 20.0, 65.0])
def test_a_projection_fills_the_plane_of_its_own_tilt_not_of_the_mirrored_one(tilt: float) -> None:
    volume = smear(32, tilt)
    keys = {"voxel_size_angstrom": 0.5, "particle_diameter_angstrom": 4.0}
    assert part_inside(volume, measured_region((32, 32, 32), [tilt], **keys)) > 0.95
    assert part_inside(volume, measured_region((32, 32, 32), [-tilt], **keys)) < 0.3


@pytest.mark.parametrize("sign", [1, -1])
def test_the_forward_model_fills_the_measured_region(sign: int) -> None:
    tilts = (25.0, 35.0, 45.0)
    n = 32
    geometry = TiltGeometry(n, n, n, 1.0, tilts)
    rotator = make_rotator("cubic", geometry)
    image = np.random.default_rng(0).normal(size=(1, n, n)).astype(np.float32)
    hann = np.hanning(n).astype(np.float32)
    image *= hann[:, None] * hann[None, :]
    volume = np.zeros((n, n, n), np.float32)  # (nz, nx, ny)
    for i in range(3):
        rotator.backproject(np.repeat(image, geometry.max_slices(), 0), i, volume)
    power = np.abs(np.fft.fftshift(np.fft.fftn(volume.transpose(0, 2, 1)))) ** 2
    # a range wider than the tilts: a plane on the border would count by half
    region = measured_region((n, n, n), [15.0 * sign, 55.0 * sign], voxel_size_angstrom=1.0)
    k = np.fft.fftshift(np.fft.fftfreq(n))
    radius = np.hypot(k[:, None, None], k[None, None, :]) * np.ones((n, n, n))
    away = (radius > 0.1) & (radius < 0.4)
    part = power[region & away].sum() / power[away].sum()
    assert part > 0.9 if sign == 1 else part < 0.2


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(2, 13)] * 3),
    st.lists(st.floats(-89, 89), min_size=1, max_size=6),
    st.one_of(st.none(), st.floats(2, 20)),
)
def test_the_region_is_symmetric_and_holds_the_tilt_axis(
    shape: tuple[int, int, int], tilts: list[float], diameter: float | None
) -> None:
    region = measured_region(shape, tilts, voxel_size_angstrom=0.7, particle_diameter_angstrom=diameter)
    assert region.shape == shape
    unshifted = np.fft.ifftshift(region)
    index = np.ix_(*[(-np.arange(n)) % n for n in shape])
    np.testing.assert_array_equal(unshifted, unshifted[index])
    assert region[shape[0] // 2, :, shape[2] // 2].all()
    assert (region == region[:, :1, :]).all()


def test_wedge_of_65_degrees_is_its_share_of_the_turn() -> None:
    region = measured_region((101, 3, 101), np.arange(-65, 66, 5), voxel_size_angstrom=1.0)
    k = np.fft.fftshift(np.fft.fftfreq(101))
    disc = np.hypot(k[:, None], k[None, :]) < 0.49
    assert region[:, 1, :][disc].mean() == pytest.approx(130 / 180, abs=0.01)
    assert not region[-1, 1, 50]  # the beam direction is what is missing
    assert region[50, 1, -1]


def test_slabs_leave_gaps_between_coarse_tilts_only_beyond_the_crowther_frequency() -> None:
    diameter, step = 20.0, np.radians(5.0)
    keys = {"voxel_size_angstrom": 0.5}
    tilts = np.arange(-60, 61, 5)
    full = measured_region((96, 1, 96), tilts, **keys)[:, 0]
    slabs = measured_region((96, 1, 96), tilts, particle_diameter_angstrom=diameter, **keys)[:, 0]
    k = np.fft.fftshift(np.fft.fftfreq(96, 0.5))
    radius = np.hypot(k[:, None], k[None, :])
    crowther = 1 / (step * diameter)
    assert slabs[full & (radius < 0.95 * crowther)].all()
    assert not slabs[full & (radius > 1.2 * crowther)].all()


def test_gap_is_the_distance_to_the_border() -> None:
    # 90 degrees away from nothing: the pole lies 25 degrees beyond a 65 degree border
    assert wedge_gap(1.0, 0.0, [-65, 65]) == pytest.approx(np.sin(np.radians(25)))
    assert wedge_gap(-1.0, 0.3, [-65, 80]) == 0
    assert wedge_gap(1.0, 0.3, [-65, 80]) > 0
    assert fourier_tilt_deg(-1.0, 1.0) == pytest.approx(45)
    # tilts past a quarter turn close the wedge on the other side
    assert wedge_gap(1.0, 0.0, [0, 100]) == 0
    assert wedge_gap(1.0, -0.1, [-90, 90]) == 0


def test_power_ratio_is_one_for_noise_and_zero_for_an_empty_wedge() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(40, 40, 40))
    region = measured_region(noise.shape, [-60, 60], voxel_size_angstrom=0.5)
    full = wedge_completeness(noise, 0.5, [-60, 60])
    np.testing.assert_allclose(full.power_ratio[11:], 1, atol=0.12)
    emptied = np.fft.ifftn(np.fft.fftn(noise) * np.fft.ifftshift(region)).real
    empty = wedge_completeness(emptied, 0.5, [-60, 60])
    assert np.nanmax(empty.power_ratio[3:]) < 1e-6
    assert empty.wedge_fraction == pytest.approx(60 / 180, abs=0.02)
    assert "not counted" in empty.statement()
    assert empty.peak_fraction is None
    assert len(empty.rows()) == 20
    with pytest.raises(ValueError):
        empty.power_ratio[0] = 1


@pytest.mark.parametrize(
    ("tilts", "voxel", "diameter", "word"),
    [([], 1.0, None, "tilt_deg"), ([np.nan], 1.0, None, "tilt_deg"), ([0], 0.0, None, "voxel_size"),
     ([0], 1.0, -3.0, "particle_diameter")],
)  # fmt: skip
def test_bad_input_is_named(tilts: list[float], voxel: float, diameter: float | None, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        measured_region((4, 4, 4), tilts, voxel_size_angstrom=voxel, particle_diameter_angstrom=diameter)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match="mask"):
        wedge_completeness(np.ones((8, 8, 8)), 1.0, [0], mask=np.ones((8, 8, 7)))
    with pytest.raises(ConfigError, match="empty"):
        wedge_completeness(np.ones((8, 8, 8)), 1.0, [0], mask=np.zeros((8, 8, 8)))
