"""Masks against closed forms, brute force and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_phaset3m.analyse import masks_ops as ops
from napari_phaset3m.analyse.masks import (
    Box,
    Combine,
    Dilate,
    Ellipsoid,
    Erode,
    Fill,
    Invert,
    Largest,
    Painted,
    Recipe,
    Soft,
    Sphere,
    Threshold,
    automatic,
    describe,
)
from napari_phaset3m.analyse.masks_make import MaskResult, StepCache, make_mask
from napari_phaset3m.analyse.masks_shapes import Patch, linear, nearest
from napari_phaset3m.errors import CancelledError, ConfigError

CUBE = (40, 44, 48)


def made(*steps, volume=None, voxel=1.0, shape=CUBE, **more) -> MaskResult:
    return make_mask(Recipe(steps=steps), volume, voxel, shape=shape, **more)


def coordinates(shape, voxel):
    voxel = np.broadcast_to(voxel, 3)
    return np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * v for n, v in zip(shape, voxel, strict=True)), indexing="ij"
    )


@pytest.mark.parametrize("voxel", [1.0, (1.5, 1.0, 0.8)])
def test_a_sphere_has_the_volume_of_a_sphere(voxel) -> None:
    result = made(Sphere(diameter_angstrom=30), voxel=voxel)
    assert result.volume_nm3 == pytest.approx(np.pi / 6 * 27, rel=0.02)
    assert result.fraction == pytest.approx(result.mask.mean())
    assert result.mask.dtype == np.float32 and not result.mask.flags.writeable


def test_shapes_lie_where_they_are_put_and_each_axis_is_itself() -> None:
    voxel = (1.5, 1.0, 0.8)
    z, y, x = coordinates(CUBE, voxel)
    ball = made(Sphere(diameter_angstrom=12, center_angstrom=(3, -4, 5)), voxel=voxel)
    expected = (x - 3) ** 2 + (y + 4) ** 2 + (z - 5) ** 2 <= 36
    np.testing.assert_array_equal(ball.mask, expected)
    egg = made(Ellipsoid(diameters_angstrom=(10, 20, 30), center_angstrom=(1, 0, -2)), voxel=voxel)
    np.testing.assert_array_equal(egg.mask, ((x - 1) / 5) ** 2 + (y / 10) ** 2 + ((z + 2) / 15) ** 2 <= 1)
    brick = made(Box(edges_angstrom=(10, 20, 30), center_angstrom=(1, 0, -2)), voxel=voxel)
    np.testing.assert_array_equal(brick.mask, (abs(x - 1) <= 5) & (abs(y) <= 10) & (abs(z + 2) <= 15))


def brute_distance(target: np.ndarray, voxel) -> np.ndarray:
    points = np.argwhere(target) * np.broadcast_to(voxel, 3)
    every = np.argwhere(np.ones(target.shape, bool)) * np.broadcast_to(voxel, 3)
    far = np.full(len(every), np.inf)
    for point in points:
        far = np.minimum(far, np.sqrt(((every - point) ** 2).sum(1)))
    return far.reshape(target.shape)


shapes = st.tuples(st.integers(1, 7), st.integers(1, 8), st.integers(1, 9))
voxels = st.tuples(*[st.sampled_from([0.5, 1.0, 1.3])] * 3)


@settings(max_examples=30, deadline=None)
@given(shapes, voxels, st.sampled_from([0.4, 1.0, 2.1, 5.0]), st.integers(0, 99), st.booleans())
def test_dilate_erode_and_soft_edge_are_euclidean(shape, voxel, distance, seed, tiny_slabs) -> None:
    mask = np.random.default_rng(seed).random(shape) > 0.8
    slab = ops.SLAB_VOXELS
    ops.SLAB_VOXELS = 1 if tiny_slabs else slab  # the result must not know about the slabs
    try:
        grown = ops.dilate(mask, distance, voxel)
        shrunk = ops.erode(mask, distance, voxel)
        soft = ops.soft_edge(mask, distance, voxel)
    finally:
        ops.SLAB_VOXELS = slab
    far = brute_distance(mask, voxel)
    np.testing.assert_array_equal(grown, far <= distance * (1 + 1e-9))
    np.testing.assert_array_equal(shrunk, mask & (brute_distance(~mask, voxel) > distance * (1 + 1e-9)))
    edge = 0.5 * (1 + np.cos(np.pi * np.minimum(far, distance) / distance))
    np.testing.assert_allclose(soft, edge, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(shapes, voxels, st.sampled_from([1.0, 2.1, 3.5]), st.integers(0, 99))
def test_dilating_then_eroding_loses_nothing(shape, voxel, distance, seed) -> None:
    mask = np.random.default_rng(seed).random(shape) > 0.7
    closed = ops.erode(ops.dilate(mask, distance, voxel), distance, voxel)
    assert (closed >= mask).all()
    np.testing.assert_array_equal(ops.erode(ops.dilate(closed, distance, voxel), distance, voxel), closed)


def test_a_dilated_sphere_is_the_larger_sphere() -> None:
    ball = made(Sphere(diameter_angstrom=20), Dilate(distance_angstrom=6), voxel=(1.0, 0.9, 0.8))
    # Voxel centres lie up to half a diagonal inside the sphere that they stand for.
    assert np.pi / 6 * 3.0**3 < ball.volume_nm3 < np.pi / 6 * 3.2**3
    back = made(
        Sphere(diameter_angstrom=20), Dilate(distance_angstrom=6), Erode(distance_angstrom=6),
        voxel=(1.0, 0.9, 0.8),
    )  # fmt: skip
    assert back.volume_nm3 == pytest.approx(np.pi / 6 * 2**3, rel=0.03)


def test_soft_edge_profile_is_a_cosine_of_the_stated_width() -> None:
    voxel = (0.5, 0.5, 0.25)
    result = made(Box(edges_angstrom=(4, 4, 4)), Soft(width_angstrom=3), voxel=voxel, shape=(33, 33, 65))
    profile = result.mask[16, 16, 32:]
    x = np.arange(33) * 0.25
    d = np.clip(x - 2, 0, 3)
    np.testing.assert_allclose(profile, 0.5 * (1 + np.cos(np.pi * d / 3)), atol=1e-6)
    np.testing.assert_allclose(result.mask[16, 16:, 32][:11], [1] * 5 + list(
        0.5 * (1 + np.cos(np.pi * np.arange(0.5, 3.1, 0.5) / 3))), atol=1e-6)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), shapes)
def test_otsu_is_scikit_images(seed, shape) -> None:
    from skimage.filters import threshold_otsu

    rng = np.random.default_rng(seed)
    volume = rng.normal(size=shape).astype(np.float32) + 5 * (rng.random(shape) > 0.6)
    volume = volume.astype(np.float32)
    if volume.size < 3 or volume.min() == volume.max():
        return
    ours, theirs = ops.otsu_threshold(volume), threshold_otsu(volume.ravel())
    # The same classes; the level itself is free between two values.
    np.testing.assert_array_equal(volume > ours, volume > theirs)


def test_otsu_of_a_real_histogram_is_scikit_images() -> None:
    from skimage.filters import threshold_otsu

    volume = ndimage.gaussian_filter(np.random.default_rng(0).random(CUBE), 2).astype(np.float32)
    volume[10:30, 10:30, 10:30] += 0.2
    assert ops.otsu_threshold(volume) == pytest.approx(threshold_otsu(volume), rel=1e-6)


@pytest.mark.parametrize("axis", range(3))
def test_low_pass_halves_the_wave_of_its_resolution(axis) -> None:
    voxel, n = (1.0, 0.8, 0.5), 200
    shape = [3, 3, 3]
    shape[axis] = n
    x = np.arange(n) * voxel[axis]
    wave = np.cos(2 * np.pi * (x - x.mean()) / 10).astype(np.float32)
    volume = np.broadcast_to(wave.reshape([-1 if a == axis else 1 for a in range(3)]), shape)
    centre = [1, 1, 1]
    centre[axis] = slice(n // 4, 3 * n // 4)
    smooth = ops.low_pass(volume, 10, voxel)[tuple(centre)]
    np.testing.assert_allclose(smooth, 0.5 * wave[n // 4 : 3 * n // 4], atol=5e-3)


def test_threshold_levels_are_told_and_an_empty_mask_is_refused() -> None:
    z, y, x = coordinates(CUBE, 1.0)
    volume = 10 * np.exp(-(x**2 + y**2 + z**2) / 50).astype(np.float32)
    result = made(Threshold(value=5.0), volume=volume)
    np.testing.assert_array_equal(result.mask, volume > 5)
    assert result.levels == (5.0,)
    auto = made(Threshold(lowpass_angstrom=4), volume=volume)
    assert auto.levels[0] == ops.otsu_threshold(ops.low_pass(volume, 4, 1.0))
    with pytest.raises(ConfigError, match=r"nothing lies above 99; the values run from .* to 9\.8"):
        made(Threshold(value=99), volume=volume)
    with pytest.raises(ConfigError, match=r"step 2 \(erode 30 Å\): nothing is left"):
        made(Sphere(diameter_angstrom=10), Erode(distance_angstrom=30))
    with pytest.raises(ConfigError, match="needs a volume"):
        made(Threshold())
    with pytest.raises(ConfigError, match="all values are 1"):
        made(Threshold(), volume=np.ones(CUBE, np.float32))


def test_largest_parts_and_filled_holes() -> None:
    steps = (
        Sphere(diameter_angstrom=16),
        Sphere(diameter_angstrom=8, how="difference"),
        Box(edges_angstrom=(4, 4, 4), center_angstrom=(18, 0, 0)),
        Box(edges_angstrom=(2, 2, 2), center_angstrom=(-18, 0, 0)),
    )
    two = made(*steps, Largest(count=2), Fill())
    z, y, x = coordinates(CUBE, 1.0)
    ball, brick = x**2 + y**2 + z**2 <= 64, (abs(x - 18) <= 2) & (abs(y) <= 2) & (abs(z) <= 2)
    np.testing.assert_array_equal(two.mask, ball | brick)
    np.testing.assert_array_equal(made(*steps, Largest(), Fill()).mask, ball)


@settings(max_examples=25, deadline=None)
@given(shapes, st.integers(0, 99))
def test_fill_and_largest_agree_with_scipy(shape, seed) -> None:
    mask = np.random.default_rng(seed).random(shape) > 0.4
    np.testing.assert_array_equal(ops.fill_holes(mask), ndimage.binary_fill_holes(mask))
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1)) if count else []
    largest = ops.largest_components(mask, 1)
    assert largest.sum() == max(sizes, default=0) and (largest <= mask).all()
    assert ndimage.label(largest)[1] == min(1, count)


def test_combining_and_inverting() -> None:
    left = Box(edges_angstrom=(20, 20, 20), center_angstrom=(-6, 0, 0))
    right = {"diameter_angstrom": 20, "center_angstrom": (6, 0, 0)}
    a, b = made(left).mask > 0, made(Sphere(**right)).mask > 0
    for how, expected in (("union", a | b), ("intersection", a & b), ("difference", a & ~b)):
        np.testing.assert_array_equal(made(left, Sphere(**right, how=how)).mask, expected)
    np.testing.assert_array_equal(made(left, Invert()).mask, ~a)
    soft = np.linspace(0, 1, np.prod(CUBE), dtype=np.float32).reshape(CUBE)
    for how, expected in (("union", np.maximum(a, soft)), ("intersection", np.minimum(a, soft)),
                          ("difference", np.minimum(a, 1 - soft))):  # fmt: skip
        found = made(left, Combine(path="m", how=how), read=lambda path: soft)
        np.testing.assert_allclose(found.mask, expected, atol=1e-7)
    with pytest.raises(ConfigError, match=r"m has shape \(2, 2, 2\)"):
        made(left, Combine(path="m"), read=lambda path: np.ones((2, 2, 2)))


def test_painted_corrections_are_sparse_and_exact(tmp_path) -> None:
    before = made(Sphere(diameter_angstrom=20)).mask
    after = before.copy()
    after[20, 20, 20] = 0
    after[3:6, 40:44, 0:5] = 1
    correction = Painted.between(before, after)
    assert len(correction.model_dump_json()) < 400
    recipe = Recipe(steps=(Sphere(diameter_angstrom=20), correction))
    np.testing.assert_array_equal(make_mask(recipe, None, 1.0, shape=CUBE).mask, after)
    recipe.save(tmp_path / "r.yaml")
    again = Recipe.load(tmp_path / "r.yaml")
    assert again == recipe
    alone = Recipe(steps=(Painted.between(np.zeros(CUBE), after),))
    np.testing.assert_array_equal(make_mask(alone, None, 1.0, shape=CUBE).mask, after)
    double = make_mask(alone, None, 0.5, shape=tuple(2 * n for n in CUBE)).mask
    np.testing.assert_array_equal(double, after.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    assert Painted.between(before, before).added is None


@pytest.mark.parametrize(
    "change", [{"bits": "!"}, {"bits": "eJwDAAAAAAE="}, {"start": (39, 0, 0)}, {"shape": (9, 9, 9)}]
)
def test_damaged_patches_are_refused(change) -> None:
    voxels = np.zeros(CUBE, bool)
    voxels[1:3, 4:9, 5:9] = True
    patch = Patch.of(voxels)
    assert patch is not None
    np.testing.assert_array_equal(patch.voxels(CUBE), voxels)
    with pytest.raises(ConfigError, match="painted"):
        patch.model_copy(update=change).voxels(CUBE)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"kind": "dilate", "distance_angstrom": 3}], "first step must make a mask"),
        ([{"kind": "sphere", "diameter_angstrom": 3, "how": "difference"}], "use union"),
        ([{"kind": "sphere", "diameter_angstrom": -3}], "diameter_angstrom"),
        ([{"kind": "cone"}], "cone"),
        ([{"kind": "sphere", "diameter_angstrom": 9}, {"kind": "soft", "width_angstrom": 2},
          {"kind": "fill"}], "put soft last"),
        ([{"kind": "threshold", "value": "ots"}], "value"),
    ],
)  # fmt: skip
def test_wrong_recipes_are_refused_in_one_line(steps, message) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Recipe.parse(steps=tuple(steps))
    assert "\n" not in str(caught.value)


def test_the_automatic_recipe_isolates_a_particle_among_noise() -> None:
    rng = np.random.default_rng(1)
    z, y, x = coordinates((64, 64, 64), 0.5)
    ball = x**2 + y**2 + z**2 <= 10**2
    volume = (20 * ball + rng.normal(0, 10, ball.shape)).astype(np.float32)
    volume[2:6, 2:6, 2:6] += 60  # dirt in a corner
    result = make_mask(automatic(0.5), volume, 0.5)
    assert (result.mask[ball] == 1).all() and not result.mask[:8, :8, :8].any()
    assert result.volume_nm3 < np.pi / 6 * 2.8**3
    assert "Otsu" in " → ".join(result.as_dict()["steps"])


def test_the_cache_changes_nothing_and_a_stop_is_obeyed() -> None:
    volume = np.random.default_rng(2).random(CUBE).astype(np.float32)
    cache = StepCache()
    for distance in (1.0, 2.0, 1.0):
        steps = (Threshold(lowpass_angstrom=5), Largest(), Dilate(distance_angstrom=distance))
        cached, plain = made(*steps, volume=volume, cache=cache), made(*steps, volume=volume)
        np.testing.assert_array_equal(cached.mask, plain.mask)
        assert cached.levels == plain.levels
    small = StepCache(max_bytes=1)
    made(*steps, volume=volume, cache=small)
    assert len(small._kept) == 1
    with pytest.raises(CancelledError):
        made(*steps, volume=volume, stopped=lambda: True)


def test_outline_is_inside_and_touches_the_outside() -> None:
    ball = made(Sphere(diameter_angstrom=20)).mask
    shell = ops.outline(ball)
    inner = ndimage.binary_erosion(ball > 0)
    np.testing.assert_array_equal(shell, (ball > 0) & ~inner)
    assert not ops.outline(np.zeros((3, 3, 3))).any()


def test_resampling_keeps_place_and_range() -> None:
    ball = made(Sphere(diameter_angstrom=20, center_angstrom=(6, 0, -4)), shape=(32, 32, 32))
    half = linear(ball.mask, (16, 16, 16))
    for sampled in (half, nearest(ball.mask, (16, 16, 16))):
        np.testing.assert_allclose(
            np.array(ndimage.center_of_mass(sampled)) - 7.5,
            (np.array(ndimage.center_of_mass(ball.mask)) - 15.5) / 2,
            atol=0.3,
        )
    np.testing.assert_allclose(
        np.array(ndimage.center_of_mass(half)) - 7.5,
        (np.array(ndimage.center_of_mass(ball.mask)) - 15.5) / 2,
        atol=0.02,
    )
    assert half.min() == 0 and half.max() == 1
    assert not half[:, :, :4].any()  # nothing leaks to where no mask is


def test_steps_are_described_as_a_person_would() -> None:
    steps = (Threshold(value=3), Box(edges_angstrom=(1, 2, 3), center_angstrom=(0, 0, 4), how="intersection"))
    assert [describe(step) for step in steps] == ["above 3", "and box of 1 × 2 × 3 Å at (0, 0, 4) Å"]
    assert Recipe(steps=(Sphere(diameter_angstrom=9), Soft(width_angstrom=4))).describe() == (
        "sphere of 9 Å → soft edge 4 Å"
    )
