"""The tilt axis by one volume of all images: turning, support, parabola, and the stage on a known axis."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align import axis_model
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.apply import resample
from napari_phaset3m.prepare.align.axis import Axis
from napari_phaset3m.prepare.align.axis_model import Trial, axis_bin, joined, plausible, typical, vertex
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.turn import lowpassed, turned
from napari_phaset3m.prepare.align.words import told_words
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig

AXIS_DEG = 1.5


def lopsided(n: int = 48) -> np.ndarray:
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    return np.exp(-((x - 6) ** 2) / 18 - (y + 2) ** 2 / 60) + 0.5 * np.exp(
        -((x + 8) ** 2 + (y - 5) ** 2) / 14
    )


def rotation(angle_deg: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[cos, -sin], [sin, cos]])


@pytest.mark.parametrize("angle", [3.0, -7.0])
def test_turning_is_that_of_an_alignment(angle):
    """The oracle is the spline that applies an alignment; the other sense is far off."""
    image = lopsided()
    expected = resample(image, rotation(angle))
    assert np.abs(turned(image, angle) - expected).max() < 1e-3
    assert np.abs(turned(image, -angle) - expected).max() > 0.05


def test_turning_keeps_noise_as_strong_as_it_was():
    noise = lowpassed(np.random.default_rng(0).normal(size=(4, 64, 60)), 0.42)
    power = (noise**2).sum()
    for angle in (0.5, 3.0, 10.0):
        assert (turned(noise, angle).astype(np.float64) ** 2).sum() == pytest.approx(power, rel=1e-6)
    spline = np.stack([resample(one, rotation(0.5)) for one in noise])
    assert (spline.astype(np.float64) ** 2).sum() < 0.97 * power


def test_lowpass_halves_the_amplitude_at_its_cutoff():
    x = np.arange(64)
    for k, left in ((16 / 64, 0.5), (8 / 64, 1.0), (26 / 64, 0.0)):
        wave = np.tile(np.cos(2 * np.pi * k * x), (64, 1))
        seen = lowpassed(wave, 0.25)
        assert np.abs(seen).max() == pytest.approx(left, abs=1e-3)


def test_parabola_of_a_likelihood():
    """Least squares of a line through the origin: angle and error in closed form."""
    rng = np.random.default_rng(2)
    x, sigma = np.linspace(-1, 1, 400), 0.3
    y = 1.7 * x + rng.normal(0, sigma, x.size)
    slope, error = (x @ y) / (x @ x), sigma / np.sqrt(x @ x)
    loss = [0.5 * float(((y - a * x) ** 2).sum()) for a in (1.0, 1.5, 2.0, 2.5)]
    trials = [
        Trial(a, np.array([v]), 5.0, still([0.0])) for a, v in zip((1.0, 1.5, 2.0, 2.5), loss, strict=True)
    ]
    found = vertex(trials, float(x.size))
    assert found is not None
    assert found.angle_deg == pytest.approx(slope, abs=0.01)
    assert found.error_deg == pytest.approx(error, rel=0.15)
    assert vertex([Trial(t.angle_deg, -t.losses, -5.0, t.alignment) for t in trials], 400.0) is None
    assert vertex(trials[:2], 400.0) is None


@pytest.mark.parametrize(("spread", "sharp"), [(0.4, True), (1e-4, False)])
def test_tilts_that_disagree_tell_a_larger_error(spread, sharp):
    """The oracle: each pair of tilts has an angle of its own, so the error is that of their mean."""
    own = np.repeat(np.random.default_rng(5).normal(0.3, spread, 12), 2)
    trials = [Trial(a, 50 + 3 * (a - own) ** 2, 7.0, still([0.0])) for a in (-1.0, 0.0, 1.0)]
    found = vertex(trials, 1e5)
    assert found is not None and found.angle_deg == pytest.approx(own.mean(), abs=1e-6)
    of_pairs = own[::2].std() / 12**0.5
    of_noise = np.sqrt(min(t.loss for t in trials) / (1e5 * 3 * 24))
    assert found.error_deg == pytest.approx(of_pairs if sharp else of_noise, rel=1e-6)
    assert (of_pairs > of_noise) == sharp


def still(defocus: list[float]) -> Alignment:
    return Alignment(
        shifts_px=np.zeros((len(defocus), 1, 2)),
        rotation_deg=0.0,
        magnification=1.0,
        tilt_deg=np.linspace(-10, 10, len(defocus)),
        used=True,
        defocus_angstrom=np.array(defocus)[:, None],
    )


def test_false_minima_of_single_angles_and_tilts_do_not_pass_on():
    found = [[100.0, 900.0], [102.0, 210.0], [98.0, 200.0], [101.0, 205.0], [-500.0, 207.0]]
    trials = [Trial(float(a), np.array([abs(a - 2.0)]), 0.0, still(d)) for a, d in enumerate(found)]
    np.testing.assert_allclose(typical(trials, trials[2]).defocus_angstrom[:, 0], (100.0, 207.0))
    stated = np.array([[10.0], [20.0], [30.0], [40.0]])
    told = plausible(stated + np.array([[5.0], [100.0], [300.0], [4.0]]), stated)
    np.testing.assert_allclose(told[:, 0], (15.0, 120.0, 30.0, 44.0))


def test_the_objective_is_misfit_and_penalty(shifted):
    """The oracle: predicted images one by one, ``1/8 sum (I - D)^2`` of each, foci averaged."""
    reference = Reference(shifted.series, AlignConfig(threads=1), 2, 2, kind="judged")
    try:
        list(reference.sweeps())
        losses, penalty = reference.objective()
        problem, expected = reference.stage.problem, np.zeros(shifted.series.n_tilt)
        for tilt in range(shifted.series.n_tilt):
            off = reference.stage.method.predict(reference.volume, tilt) - problem.images[tilt]
            expected[tilt] = 0.125 * float(
                (problem.weight[tilt][:, None, None] * off**2 * problem.pixel_weight).sum()
            )
        voxels = float(np.abs(reference.volume).sum())
        strength = reference.stage.solver.sparsity
    finally:
        reference.close()
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    assert strength > 0 and penalty == pytest.approx(shifted.series.n_tilt * strength * voxels, rel=1e-5)


def test_an_earlier_finding_counts_by_its_error():
    before = still([0.0]).with_axis_angle(1.0)
    found = Axis(2.0, 0.25)
    alone = joined(found, before, 4.0)
    assert alone.angle_deg == pytest.approx(2.0 * 4.0 / (4.0 + 0.0625), rel=1e-6)
    assert alone.error_deg == pytest.approx(0.25, rel=0.02)
    both = joined(found, before.replace(axis_error_deg=0.25), 4.0)
    assert both.angle_deg == pytest.approx(1.5) and both.error_deg == pytest.approx(0.25 / 2**0.5)


@pytest.fixture(scope="module")
def off_axis() -> TiltFocalSeries:
    """Co3O4 of 30 angstrom, off the rotation centre, whose axis runs 1.5 degrees from where it is stated."""
    config = SimulationConfig.parse(
        specimen={"diameter_angstrom": 28.0},
        acquisition={
            "image_size_px": 64,
            "pixel_size_angstrom": 1.0,
            "n_tilt": 21,
            "tilt_min_deg": -60,
            "tilt_max_deg": 60,
            "defocus_angstrom": (900.0, 1500.0),
            "dose_per_image": 200.0,
        },
        errors={"defocus_sigma_angstrom": 40.0},
        numerics={"threads": 1},
        seed=5,
    )
    series = simulate(config).series
    # What is aligned at AXIS_DEG was turned the other way before.
    images = 1 + turned(lowpassed(np.asarray(series.images, np.float64) - 1, 0.42), -AXIS_DEG)
    return series.replace(images=images)


@pytest.fixture(scope="module")
def found(off_axis):
    return align(off_axis, AlignConfig(stages=("axis",), threads=1)).result


def test_the_stage_finds_the_axis(found):
    (stage,) = found.stages
    assert stage.kept
    assert found.axis.angle_deg == pytest.approx(AXIS_DEG, abs=0.2)
    assert 0.2 < found.axis.angle_error_deg < 0.4
    assert 15 < stage.told["support_radius_angstrom"] < 21
    assert told_words("axis", stage.told).startswith("axis turned by +1.")


def test_shifts_stay_where_none_are_known(found, off_axis):
    """Volumes of a few sweeps must not spoil them; defoci get better."""
    np.testing.assert_allclose(found.alignment.shifts_px, 0.0, atol=0.02)
    given, left = (np.std(d) for d in (off_axis.defocus_angstrom, found.alignment.defocus_angstrom))
    assert given != left


def test_misfits_are_in_the_order_of_the_angles_whatever_that_of_the_series(off_axis, monkeypatch):
    """Neighbours are paired by it; a dose-symmetric series would else pair tilts of opposite sign."""
    order, seen = np.random.default_rng(1).permutation(off_axis.n_tilt), []
    shuffled = off_axis.replace(
        images=off_axis.images[order],
        tilt_deg=off_axis.tilt_deg[order],
        defocus_angstrom=off_axis.defocus_angstrom[order],
    )

    def angles(reference: Reference) -> tuple[np.ndarray, float]:
        return reference.series.tilt_deg[reference.stage.solver.tilts] + 100, 0.0

    monkeypatch.setattr(Reference, "objective", angles)
    monkeypatch.setattr(axis_model, "vertex", lambda trials, n: seen.extend(trials))
    config = AlignConfig.parse(stages=("axis",), axis={"axis_sweeps": 4}, threads=1)
    assert not align(shuffled, config).result.stages[0].kept
    assert seen
    for trial in seen:
        np.testing.assert_allclose(trial.losses, np.sort(off_axis.tilt_deg) + 100)


def test_a_specimen_that_fills_the_field_leaves_the_axis(off_axis, monkeypatch):
    monkeypatch.setattr(axis_model, "ball_around", lambda *given: None)
    result = align(off_axis, AlignConfig(stages=("axis",), threads=1)).result
    (stage,) = result.stages
    assert not stage.kept and result.axis.angle_deg == 0.0 and result.axis.angle_error_deg is None
    assert told_words("axis", stage.told) == "axis left where it was: the specimen fills the field"


def test_ended_early_it_leaves_the_axis(off_axis):
    class Now:
        def finish_requested(self) -> bool:
            return True

    result = align(off_axis, AlignConfig(stages=("axis",), threads=1), finish=Now()).result
    assert not result.stages[0].kept
    assert "ended" in told_words("axis", result.stages[0].told)


def test_an_axis_beyond_the_search_is_left(off_axis):
    """The least is followed a little beyond the range, but not taken: it may be any slope of the misfit."""
    narrow = {"axis_search_deg": 1.0, "axis_sweeps": 8}
    result = align(off_axis, AlignConfig.parse(stages=("axis",), axis=narrow, threads=1)).result
    assert not result.stages[0].kept and result.axis.angle_deg == 0.0
    assert "a larger --axis-search looks farther" in told_words("axis", result.stages[0].told)


@pytest.mark.parametrize(("pixel", "bin_"), [(0.2, 5), (0.52, 2), (0.6, 1), (1.0, 1), (1.8, 1)])
def test_voxels_hold_a_lattice(pixel, bin_):
    assert axis_bin(pixel) == bin_


def test_needs_the_multislice_model(off_axis):
    with pytest.raises(ConfigError, match="axis needs the multislice model, and the series lacks defocus;"):
        align(off_axis.replace(defocus_angstrom=None), AlignConfig(stages=("axis",)))
    sirt = AlignConfig.parse(stages=("axis",), reference={"forward": "sirt"})
    for series in (off_axis, off_axis.replace(defocus_angstrom=None)):
        with pytest.raises(ConfigError, match=r"but line projections are asked for \(forward = sirt\);"):
            align(series, sirt)
    with pytest.raises(ConfigError, match=r"which pixels of 20 Å do not call for"):
        align(off_axis.replace(pixel_size_angstrom=20.0), AlignConfig(stages=("axis",)))
