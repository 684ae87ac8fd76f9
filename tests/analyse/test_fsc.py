"""Fourier shell correlation against naive sums, known signal-to-noise and plain noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.analyse.cones import apart
from napari_phaset3m.analyse.conical import fibonacci_directions
from napari_phaset3m.analyse.fsc import (
    CRITERIA,
    FscCurve,
    conical_fsc,
    fsc,
    half_bit_threshold,
    masked_fsc,
    noise_bound,
    wedge_fsc,
)
from napari_phaset3m.analyse.fsc_masked import corrected, independent_fraction
from napari_phaset3m.analyse.shells import ShellGrid
from napari_phaset3m.analyse.wedge import measured_region
from napari_phaset3m.errors import ConfigError, DataError

VOXEL = 2.0


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def radii(shape: tuple[int, ...], voxel: tuple[float, ...]) -> list[np.ndarray]:
    """Full, unshifted kz, ky, kx."""
    axes = [np.fft.fftfreq(n, v) for n, v in zip(shape, voxel, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij"))


def naive(a: np.ndarray, b: np.ndarray, voxel: tuple[float, ...], keep: np.ndarray | None = None):
    """The definition, on full complex double transforms, one shell at a time."""
    fa, fb = np.fft.fftn(a.astype(float)), np.fft.fftn(b.astype(float))
    k = np.sqrt(sum(axis**2 for axis in radii(a.shape, voxel)))
    width = 1 / max(n * v for n, v in zip(a.shape, voxel, strict=True))
    curve, count = [], []
    for i in range(1, int(0.5 / max(voxel) / width + 1e-9) + 1):
        shell = (k / width >= i - 0.5 - 1e-9) & (k / width < i + 0.5 - 1e-9)
        if keep is not None:
            shell &= keep
        top = np.sum(fa[shell] * np.conj(fb[shell])).real
        bottom = np.sqrt(np.sum(np.abs(fa[shell]) ** 2) * np.sum(np.abs(fb[shell]) ** 2))
        curve.append(top / bottom if shell.any() else np.nan)
        count.append(shell.sum() / 2)
    return np.array(curve), np.array(count)


def ball(shape: tuple[int, ...], radius: float, edge: float = 4.0) -> np.ndarray:
    axes = [np.arange(n) - (n - 1) / 2 for n in shape]
    r = np.sqrt(sum(np.meshgrid(*(a**2 for a in axes), indexing="ij")))
    x = np.clip((r - radius) / edge, 0, 1)
    return (0.5 * (1 + np.cos(np.pi * x))).astype(np.float32)


def signal(shape: tuple[int, ...], seed: int, cut: float) -> np.ndarray:
    """Smooth noise with no power beyond a frequency, in cycles per voxel."""
    k = np.sqrt(sum(axis**2 for axis in radii(shape, (1.0,) * 3)))
    spectrum = np.fft.fftn(noise(shape, seed)) * (k <= cut)
    value = np.fft.ifftn(spectrum).real
    return (value / value.std()).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(4, 17)] * 3),
    st.tuples(*[st.sampled_from([1.0, 1.5, 3.0])] * 3),
    st.integers(0, 99),
)
def test_it_is_the_definition_for_any_shape_and_voxel(shape, voxel, seed):
    a = noise(shape, seed) + 3
    b = 0.5 * a + noise(shape, seed + 100)
    expected, count = naive(a, b, voxel)
    curve = fsc(a, b, voxel)
    np.testing.assert_allclose(curve.fsc, expected, atol=2e-5)
    np.testing.assert_allclose(curve.n_voxels, count)
    assert curve.frequency_per_angstrom.size == expected.size
    assert not curve.fsc.flags.writeable


@pytest.mark.parametrize("shape", [(24, 24, 24), (9, 20, 31)])
def test_identical_volumes_correlate_fully_in_every_shell(shape):
    volume = noise(shape, 3)
    curve = fsc(volume, volume, VOXEL)
    np.testing.assert_allclose(curve.fsc, 1, atol=1e-12)
    for criterion in CRITERIA:
        found = curve.resolution(criterion)
        assert found.status == "nyquist" and found.at_least
        assert "or better" in str(found)
    # scale, sign and offset
    np.testing.assert_allclose(fsc(volume, 5 - 3 * volume, VOXEL).fsc, -1, atol=1e-5)
    np.testing.assert_allclose(masked_fsc(volume, volume, VOXEL, ball(shape, 6)).best, 1, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_noise_stays_under_its_bound_in_every_shell(seed):
    for shape in ((48, 48, 48), (16, 40, 40)):
        curve = fsc(noise(shape, 2 * seed), noise(shape, 2 * seed + 1), VOXEL)
        assert np.all(np.abs(curve.fsc) <= curve.noise_bound)
        assert np.all(curve.noise_bound <= 1)


@pytest.mark.parametrize("seed", range(6))
def test_masked_noise_stays_under_its_bound_in_every_shell(seed):
    shape = (40, 40, 40)
    for radius in (7.0, 13.0):
        mask = ball(shape, radius)
        curve = masked_fsc(noise(shape, 2 * seed), noise(shape, 2 * seed + 1), VOXEL, mask)
        assert np.all(np.abs(curve.fsc) <= curve.noise_bound)
        assert curve.resolution("half-bit").status == "first shell"


@pytest.mark.parametrize("radius", [None, 6.0])
def test_the_bound_is_three_over_root_n_and_noise_spreads_as_stated(radius):
    shape, runs = (24, 24, 24), 80
    mask = None if radius is None else ball(shape, radius, 3.0)
    curves = [fsc(noise(shape, 2 * i), noise(shape, 2 * i + 1), VOXEL, mask=mask) for i in range(runs)]
    spread = np.std([c.fsc for c in curves], axis=0)
    n = curves[0].n_effective
    assert n is not None
    ratio = spread[3:] * np.sqrt(2 * n[3:])
    # 80 runs know each shell's spread to 8 %; nine shells on average to 3 %
    assert 0.9 < ratio.mean() < 1.12
    assert np.all((ratio > 0.75) & (ratio < 1.3))
    if radius is None:
        np.testing.assert_allclose(curves[0].noise_bound, np.minimum(1, 3 / np.sqrt(curves[0].n_voxels)))
    else:
        assert n[5] < 0.3 * curves[0].n_voxels[5]


def test_a_known_signal_to_noise_ratio():
    """Two halves of one signal with noise of their own: FSC = SNR / (1 + SNR)."""
    shape = (48, 48, 48)
    base = noise(shape, 1)
    for snr in (0.2, 1.0, 4.0):
        a = base * np.sqrt(snr) + noise(shape, 2)
        b = base * np.sqrt(snr) + noise(shape, 3)
        curve = fsc(a, b, VOXEL)
        assert curve.fsc[4:].mean() == pytest.approx(snr / (1 + snr), abs=0.02)
        assert curve.mean() == pytest.approx(snr / (1 + snr), abs=0.02)


def test_the_mask_makes_noise_correlate_and_phase_randomisation_takes_it_out():
    shape, cut = (48, 48, 48), 0.18
    shared = signal(shape, 5, cut)
    # The two halves agree below the cut; beyond it there is nothing but noise.
    a, b = (6 * shared + 0.3 * noise(shape, seed) for seed in (8, 9))
    mask = ball(shape, 9, 2)
    curve = masked_fsc(a, b, VOXEL, mask, mask_name="ball")
    k = curve.frequency_per_angstrom * VOXEL
    past = (k > cut + 0.06) & (k < 0.4)
    assert np.all(np.abs(curve.unmasked[past]) < 0.1)
    assert curve.fsc[past].max() > 0.3, "the mask did not leak: the test tests nothing"
    assert np.abs(curve.corrected[past]).mean() < 0.15
    inside = k < cut
    assert curve.corrected[inside].min() > 0.95
    assert curve.randomised_beyond_per_angstrom * VOXEL == pytest.approx(cut, abs=0.04)
    masked_end = fsc(a, b, VOXEL, mask=mask).resolution("0.143").angstrom
    assert curve.resolution("0.143").angstrom > masked_end
    assert curve.resolution("0.143").angstrom == pytest.approx(VOXEL / cut, rel=0.15)
    assert "phase randomisation" in str(curve.resolution())


def test_the_correction_is_the_published_formula():
    total, random = np.array([0.9, 0.9, 0.8, 0.5, 0.3, np.nan]), np.array([0.9, 0.5, 0.4, 0.4, 0.4, 0.1])
    value = corrected(total, random, 3)
    np.testing.assert_allclose(value[:3], total[:3])
    np.testing.assert_allclose(value[3:5], [0.1 / 0.6, -0.1 / 0.6])
    assert np.isnan(value[5])


def test_independent_fraction_is_one_without_a_mask_and_small_for_a_small_one():
    grid = ShellGrid((32, 32, 32), VOXEL)
    np.testing.assert_allclose(independent_fraction(np.ones((32, 32, 32), np.float32), grid), 1, rtol=1e-5)
    small = independent_fraction(ball((32, 32, 32), 4), grid)
    large = independent_fraction(ball((32, 32, 32), 10), grid)
    assert np.all(small < large) and np.all(large < 1)


def test_half_bit_curve_follows_from_half_a_bit():
    """van Heel & Schatz: threshold of the SNR at which both halves together carry 1/2 bit."""
    n = np.array([1.0, 9.0, 100.0, 1e4, 1e12])
    snr = (2**0.5 - 1) / 2
    root = 1 / np.sqrt(n)
    expected = (snr + (2 * np.sqrt(snr) + 1) * root) / (1 + snr + 2 * np.sqrt(snr) * root)
    np.testing.assert_allclose(half_bit_threshold(n), np.minimum(expected, 1), rtol=2e-4)
    assert half_bit_threshold(np.array([1e12]))[0] == pytest.approx(0.1716, abs=1e-4)
    assert half_bit_threshold(np.array([0.0]))[0] == 1


def curve_of(values: list[float], **names: str) -> FscCurve:
    k = np.arange(1, len(values) + 1) * 0.1
    n = np.full(len(values), 1e4)
    return FscCurve(
        frequency_per_angstrom=k, fsc=np.array(values), n_voxels=n, noise_bound=noise_bound(n), **names
    )


def test_a_crossing_is_interpolated_and_named():
    found = curve_of([1, 0.9, 0.3, 0.05], halves="odd and even tilts", mask_name="sphere").resolution("0.5")
    assert found.angstrom == pytest.approx(1 / (0.2 + 0.1 * 0.4 / 0.6))
    assert found.status == "crossed" and found.last_above_angstrom is None
    for word in ("0.5", "odd and even tilts", "sphere", "all directions", f"{found.angstrom:.3g} Å"):
        assert word in str(found)
    half_bit = curve_of([1, 0.9, 0.3, 0.05]).resolution("half-bit")
    level = half_bit_threshold(np.array([1e4]))[0]
    assert half_bit.angstrom == pytest.approx(1 / (0.3 + 0.1 * (0.3 - level) / 0.25))
    assert "half-bit" in str(half_bit)


def test_what_never_or_always_is_below_is_said():
    never = curve_of([1, 0.9, 0.8]).resolution()
    assert never.status == "nyquist" and never.angstrom == pytest.approx(1 / 0.3)
    assert "3.33 Å or better" in str(never) and "sampling ends" in str(never)
    first = curve_of([0.1, 0.05, 0.1]).resolution()
    assert first.angstrom is None and first.status == "first shell"
    assert "No resolution" in str(first) and "from the first shell on, 10 Å" in str(first)
    again = curve_of([0.1, 0.9, 0.05]).resolution()
    assert again.angstrom is None and "last at 5 Å" in str(again)
    dip = curve_of([0.9, 0.05, 0.9, 0.0]).resolution()
    assert dip.status == "crossed" and dip.last_above_angstrom == pytest.approx(1 / 0.3)
    assert "above it again" in str(dip)
    few = FscCurve(
        frequency_per_angstrom=np.arange(1, 5) * 0.1, fsc=np.array([0.9, 0.05, 0.9, 0.2]),
        n_voxels=np.full(4, 100.0), noise_bound=noise_bound(np.full(4, 100.0)),
    )  # fmt: skip
    assert few.resolution().last_above_angstrom == pytest.approx(1 / 0.3), "0.2 may be noise of 100 voxels"
    empty = curve_of([np.nan, np.nan]).resolution()
    assert empty.angstrom is None and "no Fourier voxel" in str(empty)
    skipped = curve_of([np.nan, 0.9, 0.05]).resolution()
    assert skipped.status == "crossed" and skipped.first_angstrom == pytest.approx(5.0)


def test_results_go_to_tables_and_json():
    a, b = noise((12, 12, 12), 0), noise((12, 12, 12), 1)
    curve = masked_fsc(a + b, a - 0.2 * b, VOXEL, ball((12, 12, 12), 4), mask_name="ball", halves="foci")
    rows = curve.rows()
    assert len(rows) == curve.fsc.size and rows[0]["fsc"] == pytest.approx(curve.fsc[0])
    assert {"frequency_per_angstrom", "resolution_angstrom", "corrected_fsc"} <= set(rows[0])
    plain = json.loads(json.dumps(curve.as_dict(), allow_nan=False))
    assert plain["mask_name"] == "ball" and set(plain["resolution"]) == set(CRITERIA)
    assert curve.statement().count("foci") == 3
    cones = conical_fsc(a, a, VOXEL, directions=2, tilt_deg=[-60, 60])
    json.dumps(cones.as_dict(), allow_nan=False)
    json.dumps(wedge_fsc(a, b, VOXEL, [-60, 60]).as_dict(), allow_nan=False)


def along(shape: tuple[int, ...], axis: int, half_angle: float) -> np.ndarray:
    """Full unshifted bool: within an angle of an axis (z, y, x)."""
    k = radii(shape, (VOXEL,) * 3)
    r = np.sqrt(sum(v**2 for v in k))
    return np.abs(k[axis]) >= np.cos(np.radians(half_angle)) * r - 1e-9


def test_cones_are_the_definition_and_find_the_bad_direction():
    shape = (24, 20, 24)
    a = noise(shape, 1)
    spectrum = np.fft.fftn(a)
    blur = along(shape, 0, 40)  # noise of its own around the beam only
    spectrum[blur] += 3 * np.fft.fftn(noise(shape, 2))[blur]
    b = np.fft.ifftn(spectrum).real.astype(np.float32)
    found = conical_fsc(a, b, VOXEL, directions=np.eye(3) * 5, half_angle_deg=25, tilt_deg=[-50, 50])
    for row, axis in enumerate((2, 1, 0)):  # x, y, z
        expected, count = naive(a, b, (VOXEL,) * 3, along(shape, axis, 25))
        np.testing.assert_allclose(found.curves[row].fsc, expected, atol=2e-5)
        np.testing.assert_allclose(found.curves[row].n_voxels, count)
    table = found.rows("0.5")
    assert [row["in_wedge"] for row in table] == [False, False, True]
    assert table[2]["angle_to_beam_deg"] == pytest.approx(0)
    assert table[0]["status"] == "nyquist" and table[2]["status"] != "nyquist"
    values = found.summary("0.5")
    assert values["finest_angstrom"] < (values["coarsest_angstrom"] or np.inf)
    assert "cones" in found.statement("0.5")


def test_tilt_of_a_direction_has_the_sign_of_the_geometry():
    t = np.radians(70)
    found = conical_fsc(
        noise((8, 8, 8), 0), noise((8, 8, 8), 1), 1.0,
        directions=[[np.cos(t), 0, -np.sin(t)], [np.cos(t), 0, np.sin(t)]], tilt_deg=[-60, 75],
    )  # fmt: skip
    rows = found.rows()
    assert rows[0]["tilt_deg"] == pytest.approx(70) and not rows[0]["in_wedge"]
    assert rows[1]["tilt_deg"] == pytest.approx(-70) and rows[1]["in_wedge"]


def test_the_wedge_is_told_from_the_measured_part():
    shape = (24, 24, 24)
    kz, _, kx = radii(shape, (VOXEL,) * 3)
    wedge = np.degrees(np.arctan2(np.abs(kz), np.abs(kx))) > 60 + 1e-6
    a = noise(shape, 1)
    spectrum = np.fft.fftn(a)
    spectrum[wedge] = np.fft.fftn(noise(shape, 2))[wedge]
    b = np.fft.ifftn(spectrum).real.astype(np.float32)
    found = wedge_fsc(a, b, VOXEL, np.linspace(-60, 60, 13))
    np.testing.assert_allclose(found.measured.fsc, 1, atol=1e-5)
    assert np.all(np.abs(np.nan_to_num(found.wedge.fsc)) <= found.wedge.noise_bound)
    total = found.measured.n_voxels + found.wedge.n_voxels
    np.testing.assert_allclose(total, fsc(a, b, VOXEL).n_voxels)
    assert "inside the missing wedge of tilts -60 to 60°" in found.statement()
    assert len(found.rows()) == total.size
    cut = wedge_fsc(a, b, VOXEL, [-60, 60], mask=ball(shape, 6), mask_name="ball")
    assert cut.wedge.corrected is not None
    assert cut.wedge.best[3:].mean() < cut.measured.best[3:].mean()
    # the slab of one plane holds the first shell, the wedge of that plane the rest
    plane = wedge_fsc(a, b, VOXEL, [0.0], particle_diameter_angstrom=24.0)
    assert plane.measured.n_voxels[-1] < plane.wedge.n_voxels[-1]


def halves_with_a_noisy_wedge(size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Two volumes that share what tilts of 50° measure, to far out, and in the wedge nothing at all."""
    shape = (size,) * 3
    measured = np.fft.ifftshift(measured_region(shape, [-50, 50], voxel_size_angstrom=1.0))
    k = np.sqrt(sum(axis**2 for axis in radii(shape, (1.0,) * 3)))
    shared = np.fft.fftn(noise(shape, 40)) * measured * np.exp(-8 * k**2)
    level = np.where(measured, 0.02 * np.exp(4 * k), 0.02)
    one, two = (
        np.fft.ifftn(shared + level * np.fft.fftn(noise(shape, s))).real.astype(np.float32) for s in (41, 42)
    )
    return one, two


def test_what_a_mask_carries_into_the_wedge_is_no_resolution_there():
    a, b = halves_with_a_noisy_wedge()
    mask = ball(a.shape, 7)
    found = wedge_fsc(a, b, 1.0, [-50, 50], mask=mask)
    leak = found.wedge.fsc[found.wedge.noise_bound < 1]
    assert leak[:4].min() > 0.8, "the mask carried nothing into the wedge: the test tests nothing"
    for criterion in CRITERIA:
        assert found.wedge.resolution(criterion).angstrom is None, str(found.wedge.resolution(criterion))
    assert np.abs(found.wedge.unmasked[3:]).max() < 0.3
    assert found.wedge.randomised_beyond_per_angstrom == found.wedge.frequency_per_angstrom[0]
    assert found.measured.randomised_beyond_per_angstrom > 0.15
    assert found.measured.resolution("0.5").angstrom < 5
    assert "No resolution" in found.statement() and "noise may reach" in found.statement()


def test_a_mask_takes_no_true_agreement_out_of_the_wedge():
    a, _ = halves_with_a_noisy_wedge()
    b = a + 0.02 * noise(a.shape, 43)
    found = wedge_fsc(a, b, 1.0, [-50, 50], mask=ball(a.shape, 10)).wedge
    assert found.corrected is not None
    # the noise shared in the wedge is as strong as what differs: 1 / sqrt(2)
    shells = found.noise_bound < 0.5
    assert found.corrected[shells].mean() == pytest.approx(0.5**0.5, abs=0.12)
    assert found.resolution("0.143").at_least


def test_cones_in_the_wedge_hold_no_leak_and_those_outside_their_resolution():
    a, b = halves_with_a_noisy_wedge(40)
    axes = [[0, 0, 1], [0.25, 0, 1], [1, 0, 0], [0, 1, 0]]
    found = conical_fsc(a, b, 1.0, directions=axes, mask=ball(a.shape, 13), tilt_deg=[-50, 50])
    assert [row["in_wedge"] for row in found.rows()] == [True, True, False, False]
    assert np.isfinite(found.resolutions("0.143")).tolist() == [False, False, True, True]
    assert found.curves[0].fsc[found.curves[0].noise_bound < 1].max() > 0.8, "nothing leaked"
    first = [curve.randomised_beyond_per_angstrom for curve in found.curves]
    assert max(first[:2]) < min(first[2:])


def test_only_cones_far_from_each_other_are_made_random_together():
    axes = np.vstack([np.eye(3), fibonacci_directions(29)])
    groups = apart(axes, 60)
    assert sorted(i for group in groups for i in group) == list(range(32)) and len(groups) < 16
    for group in groups:
        cosine = np.abs(axes[group] @ axes[group].T)[~np.eye(len(group), dtype=bool)]
        assert not cosine.size or np.degrees(np.arccos(cosine.max())) > 60 - 1e-3


def test_a_leading_shell_between_criterion_and_noise_decides_nothing():
    n = np.array([12.0, 100.0, 1000.0, 1000.0])
    values = {"frequency_per_angstrom": np.arange(1, 5) * 0.1, "n_voxels": n, "noise_bound": noise_bound(n)}
    undecided = FscCurve(fsc=np.array([0.8, 0.9, 0.6, 0.0]), above_noise=True, **values)
    assert undecided.resolution("0.143").status == "crossed"
    low = FscCurve(fsc=np.array([0.1, 0.9, 0.6, 0.0]), above_noise=True, **values)
    assert low.resolution("0.143").status == "first shell"
    later = FscCurve(fsc=np.array([0.8, 0.9, 0.05, 0.9]), above_noise=True, **values)
    assert 1 / later.resolution("0.143").angstrom < 0.3


def test_wrong_input_is_named():
    a = noise((8, 8, 8), 0)
    with pytest.raises(DataError, match="second volume"):
        fsc(a, a[1:], VOXEL)
    with pytest.raises(DataError, match="first volume: holds NaN"):
        fsc(np.where(a > 2, np.nan, a) * np.nan, a, VOXEL)
    with pytest.raises(DataError, match="first volume"):
        fsc(a[0], a[0], VOXEL)
    with pytest.raises(DataError, match="mask: is empty"):
        fsc(a, a, VOXEL, mask=np.zeros_like(a))
    with pytest.raises(DataError, match="mask: has values outside"):
        fsc(a, a, VOXEL, mask=2 * np.ones_like(a))
    with pytest.raises(DataError, match="region"):
        fsc(a, a, VOXEL, region=np.ones((4, 4, 4), bool))
    with pytest.raises(ConfigError, match="voxel_size_angstrom"):
        fsc(a, a, 0.0)
    with pytest.raises(ConfigError, match="criterion"):
        fsc(a, a, VOXEL).resolution("0.3")
    with pytest.raises(ConfigError, match="cubic"):
        wedge_fsc(a, a, (1.0, 2.0, 1.0), [-60, 60])
    with pytest.raises(ConfigError, match="half_angle"):
        conical_fsc(a, a, VOXEL, half_angle_deg=0)
    with pytest.raises(ConfigError, match="directions"):
        conical_fsc(a, a, VOXEL, directions=[[0, 0, 0]])


def test_shells_with_too_few_voxels_to_tell_do_not_end_the_curve():
    """Under a tight mask the first shell holds less than one independent voxel: half-bit is 1 there."""
    n_effective = np.array([0.7, 4.0, 12.0, 40.0, 90.0])
    options = {
        "frequency_per_angstrom": np.arange(1, 6) * 0.1,
        "n_voxels": n_effective * 10,
        "n_effective": n_effective,
        "noise_bound": noise_bound(n_effective),
    }
    near = FscCurve(fsc=np.array([0.965, 0.98, 0.985, 0.99, 0.99]), **options)
    for name in CRITERIA:
        assert near.resolution(name).status == "nyquist", name
    assert near.resolution("half-bit").first_angstrom == pytest.approx(1 / 0.3)
    low = FscCurve(fsc=np.array([0.9, 0.9, 0.05, 0.9, 0.9]), **options)
    assert low.resolution().status == "first shell", "the first shell that can tell is below"
    few = {**options, "n_effective": n_effective / 100, "noise_bound": noise_bound(n_effective / 100)}
    none = FscCurve(fsc=np.full(5, 0.99), **few).resolution("half-bit")
    assert none.angstrom is None and none.status == "undecided" and "enough independent" in str(none)


def test_near_perfect_halves_resolve_by_half_bit_in_a_tight_mask_and_in_cones():
    shape = (32, 32, 32)
    shared = noise(shape, 1)
    a, b = (shared + 0.05 * noise(shape, s) for s in (2, 3))
    mask = ball(shape, 4, 2)
    tight = masked_fsc(a, b, VOXEL, mask)
    assert tight.n_effective[0] < 1, "the mask is not tight: the test tests nothing"
    assert tight.resolution("half-bit").status == "nyquist"
    cones = conical_fsc(a, b, VOXEL, directions=12)
    assert min(c.n_effective[0] for c in cones.curves) < 3
    assert cones.summary("half-bit")["directions_without_resolution"] == 0


def test_cones_that_reach_nyquist_are_said_to_be_or_better():
    shape = (24, 24, 24)
    a = noise(shape, 1)
    found = conical_fsc(a, a, VOXEL, directions=4)
    assert "4 Å or better (Nyquist) (finest)" in found.statement().replace("3.99", "4")
    assert "falls below" not in found.statement() and "region: each cone" in found.statement()
    values = found.summary()
    assert values["finest_at_least"] and values["coarsest_at_least"]
    assert values["directions_to_nyquist"] == 7
    assert all(row["at_least"] for row in found.rows())


def test_a_cone_under_the_noise_bound_has_no_resolution_by_chance():
    k = np.arange(1, 5) * 0.1
    n = np.array([20.0, 40.0, 60.0, 80.0])
    values = {"frequency_per_angstrom": k, "n_voxels": n, "noise_bound": noise_bound(n)}
    chance = np.array([0.9, 0.8, 0.3, 0.3])  # over 0.143, but 60 voxels of noise may reach 0.39
    assert FscCurve(fsc=chance, **values).resolution().status == "nyquist"
    assert FscCurve(fsc=chance, **values, above_noise=True).resolution().status == "crossed"
    a, b = noise((16, 16, 16), 1), noise((16, 16, 16), 2)
    assert all(c.above_noise for c in conical_fsc(a, b, VOXEL, directions=2).curves)
