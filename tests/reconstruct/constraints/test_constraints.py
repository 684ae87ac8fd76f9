"""Pointwise constraints, mask, Butterworth, re-centring, schedules and building."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.config import ConstraintConfig, Schedule
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints import (
    Butterworth,
    Constraint,
    HardThreshold,
    Mask,
    Positivity,
    Recentre,
    build_constraints,
    butterworth_gain,
    centre_of_mass,
    soft_edge,
)


def random_volume(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def imposed(constraint: Constraint, volume: np.ndarray, sweep: int = 0) -> np.ndarray:
    result = volume.copy()
    assert constraint.apply(result, sweep) is None
    return result


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2), st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(0, 99))
def test_projections_are_idempotent_and_non_expansive(c: int, nz: int, nx: int, ny: int, seed: int) -> None:
    a, b = random_volume((c, nz, nx, ny), seed), random_volume((c, nz, nx, ny), seed + 1)
    mask = np.ones((nz, nx, ny), bool)
    mask[0, 0, : ny // 2] = False
    for constraint in (Positivity(0), Positivity(1), Mask(mask)):
        once = imposed(constraint, a)
        np.testing.assert_array_equal(imposed(constraint, once), once)
    for constraint in (Positivity(0), Mask(mask)):
        moved = np.linalg.norm(imposed(constraint, a) - imposed(constraint, b))
        assert moved <= np.linalg.norm(a - b) * (1 + 1e-6)


def test_positivity_touches_only_its_channel() -> None:
    v = -np.ones((2, 2, 3, 4), np.float32)
    assert (imposed(Positivity(1), v)[0] == -1).all()
    assert (imposed(Positivity(1), v)[1] == 0).all()
    np.testing.assert_array_equal(imposed(Positivity(1), v[:1]), v[:1])


def test_threshold_against_its_formula() -> None:
    v = random_volume((1, 4, 5, 6))
    np.testing.assert_array_equal(imposed(HardThreshold(0.5), v), np.where(abs(v) < 0.5, 0, v))
    with pytest.raises(ConfigError, match="threshold_volts"):
        HardThreshold(-1)


def test_schedule_decides_when_it_acts() -> None:
    v = -np.ones((1, 2, 2, 2), np.float32)
    constraint = Positivity(0, Schedule(start=2, stop=7, every=2))
    acted = [s for s in range(10) if (imposed(constraint, v, s) == 0).all()]
    assert acted == [2, 4, 6] == [s for s in range(10) if constraint.active(s)]


def test_mask_is_replaced_between_sweeps_and_checked() -> None:
    v = np.ones((2, 4, 5, 6), np.float32)
    first = np.zeros((4, 5, 6), bool)
    first[1] = True
    mask = Mask(first)
    np.testing.assert_array_equal(imposed(mask, v)[1], first)
    mask.replace(~first)
    np.testing.assert_array_equal(imposed(mask, v)[0], ~first)
    for wrong in (np.ones((4, 5, 7)), np.ones((4, 5)), 2.0 * first, np.full((4, 5, 6), np.nan), 0.0 * first):
        with pytest.raises(ConfigError, match="mask"):
            mask.replace(wrong)
    np.testing.assert_array_equal(mask.values, ~first)
    with pytest.raises(ConfigError, match="mask"):
        mask.apply(np.ones((1, 5, 4, 6), np.float32), 0)


def test_soft_edge_is_a_raised_cosine() -> None:
    inside = np.zeros((3, 3, 21))
    inside[..., 10] = 1
    np.testing.assert_allclose(
        soft_edge(inside, 4)[1, 1, 10:16],
        [1, 0.5 + 0.5 * np.sqrt(0.5), 0.5, 0.5 - 0.5 * np.sqrt(0.5), 0, 0],
        atol=1e-6,
    )
    np.testing.assert_array_equal(soft_edge(inside, 0), inside)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("mode", [(0, 3, 2), (2, 0, 5), (1, 4, 0), (0, 0, 0)])
def test_butterworth_scales_waves_by_the_analytic_curve(dimensions: int, mode: tuple[int, int, int]) -> None:
    shape, voxel = (8, 12, 16), 0.7
    phase = sum(m * g / n for m, g, n in zip(mode, np.indices(shape), shape, strict=True))
    wave = np.cos(2 * np.pi * phase).astype(np.float32)[None]
    parts = [(m / (n * voxel)) ** 2 for m, n in zip(mode, shape, strict=True)]
    k = np.sqrt(sum(parts[3 - dimensions :]))
    expected = 0.0 if k == 0 else 1 / np.sqrt(1 + (k * 2.0) ** 8) / np.sqrt(1 + (k * 9.0) ** -8)
    done = imposed(Butterworth(voxel, 2.0, 9.0, dimensions=dimensions), wave)  # type: ignore[arg-type]
    np.testing.assert_allclose(done, expected * wave, atol=2e-6)


def test_butterworth_half_power_at_the_cutoff() -> None:
    k = np.array([0.0, 0.5, 10.0])
    np.testing.assert_allclose(butterworth_gain(k, 2.0, None, 4), [1, np.sqrt(0.5), 0], atol=1e-5)
    np.testing.assert_allclose(butterworth_gain(k, None, 2.0, 4), [0, np.sqrt(0.5), 1], atol=1e-5)
    with pytest.raises(ConfigError, match="lowpass"):
        Butterworth(1.0)
    with pytest.raises(ConfigError, match="highpass"):
        Butterworth(1.0, 8.0, 4.0)


def blob(shape: tuple[int, int, int], at: tuple[float, float, float]) -> np.ndarray:
    grid = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    distance = ((grid - np.array(at).reshape(3, 1, 1, 1)) ** 2).sum(axis=0)
    return np.exp(-distance / (2 * 1.5**2)).astype(np.float32)


@pytest.mark.parametrize("shape", [(24, 28, 32), (23, 25, 27)])
def test_recentring_undoes_a_known_shift(shape: tuple[int, int, int]) -> None:
    at = (2.3, -3.6, 1.25)
    volume = np.stack([blob(shape, at), 2 * blob(shape, at)])
    np.testing.assert_allclose(centre_of_mass(volume[0]), at, atol=0.02)
    done = imposed(Recentre(), volume)
    np.testing.assert_allclose(done[1], 2 * blob(shape, (0, 0, 0)), atol=0.02)
    whole = imposed(Recentre(shift="integer"), volume)
    np.testing.assert_allclose(whole[0], blob(shape, (0.3, 0.4, 0.25)), atol=1e-5)
    only_z = imposed(Recentre("z"), volume)
    np.testing.assert_allclose(only_z[0], blob(shape, (0, *at[1:])), atol=0.02)


def test_recentring_an_empty_volume_and_a_wrong_axis() -> None:
    v = np.zeros((1, 4, 4, 4), np.float32)
    np.testing.assert_array_equal(imposed(Recentre(), v), v)
    with pytest.raises(ConfigError, match="recentre"):
        Recentre("w")


def test_building_follows_the_config_and_converts_volts() -> None:
    config = ConstraintConfig(
        recentre=True, lowpass_angstrom=2.0, tv_weight=3.0, threshold_volts=4.0,
        mask_soft_edge_angstrom=2.0, threshold_schedule=Schedule(start=3),
    )  # fmt: skip
    built = build_constraints(config, 0.5, volts_per_unit=10.0, mask=np.ones((4, 4, 4)))
    assert [c.name for c in built] == [
        "recentre", "butterworth", "total variation",
        "threshold", "positivity", "positivity", "mask",
    ]  # fmt: skip
    assert all(isinstance(c, Constraint) for c in built)
    levels = {c.name: c for c in built}
    assert levels["threshold"].level == pytest.approx(0.4)  # type: ignore[attr-defined]
    assert levels["total variation"].weight == pytest.approx(0.3)  # type: ignore[attr-defined]
    assert levels["mask"].soft_edge_voxels == 4  # type: ignore[attr-defined]
    assert not levels["threshold"].active(2)
    assert levels["threshold"].active(3)
    assert build_constraints(ConstraintConfig(positivity=False, positivity_absorption=False), 1.0) == ()
