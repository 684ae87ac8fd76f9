"""Bragg reports of simulated crystals, and against the independent score of the shared data."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation, scrambled

from napari_phaset3m.analyse.bragg import bragg_report
from napari_phaset3m.analyse.bragg_claim import PHASE_RATE_LIMIT
from napari_phaset3m.analyse.bragg_counts import FalseAlarms
from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.bragg_words import UNTESTED
from napari_phaset3m.analyse.cell import Cell, misorientation_deg, read_cell
from napari_phaset3m.analyse.wedge import measured_region, wedge_completeness
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.jobs.halves import run_halves
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.specimens import gold_crystal

FAMILIES = [(1, 1, 1), (2, 2, 0), (3, 1, 1), (4, 0, 0), (4, 2, 2), (4, 4, 0)]
TILTS = np.arange(-60, 61, 5)
TURN = rotation(7)


def wave_scrambled(volume: np.ndarray, defocus: float) -> np.ndarray:
    """Multiply with the sign of a transfer sin(pi lambda z k^2): contrast is reversed in some shells."""
    k = np.fft.fftfreq(volume.shape[0], VOXEL)
    k2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None] ** 2
    sign = np.sign(np.sin(np.pi * 0.0197 * defocus * k2) + 1e-9)
    return np.fft.ifftn(np.fft.fftn(volume) * sign).real.astype(np.float32)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10_000))
def test_the_lattice_comes_from_the_volume_alone_in_any_orientation(seed: int) -> None:
    turn = rotation(seed)
    report = bragg_report(noisy(particle(turn), 0.5, seed), VOXEL)
    assert report.lattice is not None
    assert report.a_angstrom == pytest.approx(8.084, abs=0.05)
    assert misorientation_deg(report.orientation, turn, report.lattice.cell) < 0.5
    assert report.lattice.cell.centring == "F"
    assert report.false_alarm_rate is not None
    assert report.false_alarm_rate <= 0.05


def test_gold_is_found_too_and_a_mirror_image_is_turned() -> None:
    volume = noisy(particle(TURN, crystal=gold_crystal(), sigma=0.4), 0.5)
    one, other = (bragg_report(v, VOXEL) for v in (volume, volume[::-1].copy()))
    assert one.a_angstrom == pytest.approx(4.078, abs=0.03)
    mirror = np.diag([1.0, 1.0, -1.0])
    assert misorientation_deg(mirror @ other.orientation, one.orientation, Cell.cubic(4)) < 0.3
    assert misorientation_deg(other.orientation, one.orientation, Cell.cubic(4)) > 2


def test_a_blurred_volume_keeps_its_cell() -> None:
    volume = particle(TURN, sigma=0.85)
    report = bragg_report(noisy(volume, 0.02), VOXEL)
    assert report.falloff_angstrom2 > 5
    assert report.a_angstrom == pytest.approx(8.084, abs=0.05)


def test_heights_stay_and_phases_go_and_the_report_tells_them_apart() -> None:
    truth = particle(TURN)
    # noise that buries what the particle's shape puts between the lattice points
    right = [noisy(truth, 2.0, s) for s in (1, 2)]
    kwargs = {"cell": Cell.cubic(8.084, "F"), "families": FAMILIES, "tilt_deg": TILTS}
    good = bragg_report(truth, VOXEL, halves=(right[0], right[1]), **kwargs)
    wrong = bragg_report(truth, VOXEL, halves=(right[0], wave_scrambled(right[1], 400.0)), **kwargs)
    assert good.found.all()
    assert good.phase_agreed.all()
    assert "Resolved to {440} at 1.43 Å" in good.statement()
    assert "6 of 6 found, 6 with phases that agree" in good.statement()
    np.testing.assert_array_equal(wrong.snr, good.snr)
    assert wrong.phase_agreed.mean() < 0.7
    assert wrong.phase_agreement.min() < -0.5
    assert good.false_alarms.phase_rate < 0.3
    assert UNTESTED in good.statement()
    assert "Resolved" not in wrong.statement()


@lru_cache
def agreeing() -> BraggReport:
    """Noisy halves of a crystal, whose phases agree at every peak and off the lattice by chance only."""
    truth = particle(TURN)
    halves = (noisy(truth, 2.0, 1), noisy(truth, 2.0, 2))
    return bragg_report(
        truth, VOXEL, halves=halves, cell=Cell.cubic(8.084, "F"), families=FAMILIES, tilt_deg=TILTS,
        halves_name="odd and even tilts (a.mrc, b.mrc)",
    )  # fmt: skip


@lru_cache
def wrong_sign() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halves of the foci of a simulated crystal, reconstructed with the defocus sign wrong; and the truth."""
    config = SimulationConfig.parse(
        specimen={"kind": "co3o4", "diameter_angstrom": 20.0, "orientation_deg": (20.0, 35.0, 50.0)},
        acquisition={
            "tilt_min_deg": -60, "tilt_max_deg": 60, "n_tilt": 17, "image_size_px": 56,
            "pixel_size_angstrom": 0.5, "defocus_angstrom": (100.0, 150.0, 200.0, 260.0),
        },
        numerics={"supersampling": 1, "threads": 1, "padding_px": 0},
        optics={"spherical_aberration_angstrom": 0.0},
    )  # fmt: skip
    made = simulate(config)
    wrong = made.series.replace(defocus_angstrom=-np.asarray(made.series.defocus_angstrom))
    *_, done = run_halves(wrong, ReconstructionConfig(iterations=6, threads=1), "foci", device="cpu")
    return (*done.volumes, made.potential.data)


def test_halves_of_foci_agree_with_the_wrong_sign_of_the_defocus_and_nothing_is_claimed() -> None:
    one, two, truth = wrong_sign()
    volume = (one + two) / 2
    c = (np.arange(56) - 27.5) * 0.5
    ball = (c[:, None, None] ** 2 + c[:, None] ** 2 + c**2 <= 12.5**2).astype(np.float32)
    options = {"cell": Cell.cubic(8.084, "F"), "families": FAMILIES, "mask": ball}
    found = bragg_report(volume, 0.5, halves=(one, two), halves_name="odd and even foci", **options)
    against = bragg_report(volume, 0.5, halves=(volume, truth), reference=True, **options)
    assert found.phase_agreed.sum() > 0.85 * found.found.sum(), "the halves differ: the test tests nothing"
    assert against.phase_agreed.sum() < 0.6 * found.phase_agreed.sum(), "the optics were not wrong"
    assert found.false_alarms.phase_rate > PHASE_RATE_LIMIT
    text = found.statement()
    assert "Resolved" not in text
    assert "No resolution is stated: the halves agree at" in text
    assert UNTESTED in text
    assert found.as_dict()["resolved_angstrom"] is None


def test_what_passes_after_a_family_that_fails_is_luck() -> None:
    good = agreeing()
    phase = np.array(good.phase_agreement)
    phase[[row["family"] == "{311}" for row in good.rows()]] = 0.1
    assert good.finest().name == "{440}"
    found = replace(good, phase_agreement=phase)
    assert found.finest().name == "{220}"
    assert "Resolved to {220}" in found.statement()
    none = replace(good, phase_agreement=np.full(len(phase), 0.1))
    assert none.finest() is None and "Resolved" not in none.statement()


def test_a_few_pairs_that_agree_may_be_chance() -> None:
    good = agreeing()
    phase = np.full(len(good.hkl), 0.1)
    first = np.flatnonzero([row["family"] == "{111}" for row in good.rows()])
    phase[first[:2]] = 0.9  # two of four, where one in five agrees by chance
    points = FalseAlarms(points=100, found=0, phases_agree=20)
    found = replace(good, phase_agreement=phase, false_alarms=points)
    assert found.finest().name == "{111}"
    assert "Resolved" not in found.statement() and "no more often than chance" in found.statement()


def test_no_resolution_where_the_lattice_is_not_the_cell_given_or_everything_agrees() -> None:
    good = agreeing()
    wide = replace(good, lattice=replace(good.lattice, scale=1.024))
    assert "Resolved" not in wide.statement() and "1.024 times the given cell" in wide.statement()
    assert "Resolved" in replace(good, lattice=replace(good.lattice, scale=1.009)).statement()
    points = good.false_alarms.points
    shared = replace(good, false_alarms=FalseAlarms(points, 0, int(0.35 * points)))
    assert "Resolved" not in shared.statement() and "limit 30%" in shared.statement()


def test_agreement_with_the_truth_is_no_resolution_and_halves_are_named() -> None:
    good = agreeing()
    assert "Phases agree between odd and even tilts (a.mrc, b.mrc)" in good.statement()
    assert good.as_dict()["phases_between"] == "odd and even tilts (a.mrc, b.mrc)"
    told = replace(good, reference=True).statement()
    assert "Resolved" not in told and "Phases agree with the truth" in told


def test_pairs_deep_in_the_wedge_are_counted_wherever_the_wedge_is() -> None:
    good = agreeing()
    found, expected = good.deep_counts()
    assert (found, expected) == (int((good.found & good.deep_in_wedge).sum()), int(good.deep_in_wedge.sum()))
    assert 0 < expected < good.counts()[1]
    words = f"({found} of {expected} deeper in it than the window blurs)"
    assert words in good.statement()
    assert sum(f.deep_total for f in good.families()) == expected
    wedge = wedge_completeness(particle(TURN), VOXEL, TILTS, report=good)
    assert words in wedge.statement()
    assert wedge.as_dict()["deep_wedge_peaks_expected"] == expected


def test_without_halves_no_resolution_is_claimed() -> None:
    report = bragg_report(noisy(particle(TURN), 0.5), VOXEL)
    text = report.statement()
    assert "Peak heights only; phases not checked" in text
    assert "states no resolution" in text
    assert "Resolved" not in text
    assert report.phase_agreement is None
    assert report.in_wedge is None
    assert all(row["phase_agreement"] is None and row["in_wedge"] is None for row in report.rows())


def test_phases_at_random_agree_at_about_a_quarter_of_the_peaks() -> None:
    volume = noisy(particle(TURN), 0.3)
    report = bragg_report(volume, VOXEL, halves=(volume, scrambled(volume, 3)), families=FAMILIES)
    assert report.phase_agreed.mean() < 0.45


def test_rows_and_counts_of_a_volume_with_an_empty_wedge() -> None:
    volume = noisy(particle(TURN), 0.1)
    region = measured_region(volume.shape, TILTS, voxel_size_angstrom=VOXEL)
    emptied = np.fft.ifftn(np.fft.fftn(volume) * np.fft.ifftshift(region)).real.astype(np.float32)
    c = (np.arange(64) - 31.5) * VOXEL
    mask = (c[:, None, None] ** 2 + c[None, :, None] ** 2 + c[None, None] ** 2 <= 11**2).astype(np.float32)
    full, empty = (
        bragg_report(v, VOXEL, tilt_deg=TILTS, mask=mask, families=FAMILIES) for v in (volume, emptied)
    )
    found, expected, outside, expected_outside = empty.counts()
    assert full.counts() == (expected, expected, expected_outside, expected_outside)
    assert expected + expected_outside == 43
    assert outside == expected_outside
    deep = empty.deep_in_wedge
    assert deep.any()
    assert not empty.found[deep].any()
    one, other = (
        wedge_completeness(v, VOXEL, TILTS, mask=mask, report=r)
        for v, r in ((volume, full), (emptied, empty))
    )
    assert one.peak_fraction == 1
    assert other.peak_fraction == found / expected < 1
    assert np.nanmean(other.power_ratio) < 0.5 * np.nanmean(one.power_ratio)
    assert f"{found} of {expected} expected" in other.statement()
    row = empty.rows()[0]
    assert {"h", "k", "l", "d_angstrom", "snr", "in_wedge", "found", "phase_agreement"} <= set(row)
    for row in empty.rows():
        tilt = -np.degrees(np.arctan2(row["qz_per_angstrom"], row["qx_per_angstrom"]))
        assert row["in_wedge"] == (abs((tilt + 90) % 180 - 90) > 60)
    json.dumps(empty.as_dict())


def test_expected_families_are_those_seen_outside_the_wedge() -> None:
    report = bragg_report(noisy(particle(TURN), 0.1), VOXEL, tilt_deg=TILTS)
    names = {f.name: f for f in report.families()}
    assert names["{200}"].found == 0  # allowed by the centring, absent by the glide plane
    expected = {row["family"] for row, e in zip(report.rows(), report.expected(), strict=True) if e}
    assert "{200}" not in expected
    assert {"{111}", "{220}", "{311}", "{400}", "{440}"} <= expected


def test_a_cif_limits_the_families_to_those_with_strength(shared_data: Path) -> None:
    cell = read_cell(shared_data / "real" / "structures" / "Co3O4_P1_from_BGMN.cif")
    report = bragg_report(noisy(particle(TURN), 0.1), VOXEL, cell=cell)
    names = {f.name for f in report.families()}
    assert "{200}" not in names
    assert {"{111}", "{220}", "{311}", "{222}", "{400}", "{440}"} <= names
    assert report.lattice.given
    assert report.lattice.scale == pytest.approx(1, abs=0.005)


def test_noise_has_no_lattice_and_the_report_says_so() -> None:
    noise = np.random.default_rng(0).normal(size=(48, 48, 48)).astype(np.float32)
    report = bragg_report(noise, VOXEL, tilt_deg=TILTS)
    assert report.lattice is None
    assert "No lattice found" in report.statement()
    assert report.rows() == []
    assert report.families() == []
    assert report.a_angstrom is report.orientation is report.false_alarm_rate is None
    json.dumps(report.as_dict())


def test_bad_input_is_named() -> None:
    volume = noisy(particle(TURN), 0.1)
    with pytest.raises(ConfigError, match="halves"):
        bragg_report(volume, VOXEL, halves=(volume, volume[:32]))
    with pytest.raises(ConfigError, match=r"families: \(1, 0, 0\)"):
        bragg_report(volume, VOXEL, families=[(1, 0, 0)])
    with pytest.raises(ConfigError, match="max_frequency"):
        bragg_report(volume, VOXEL, max_frequency=0.05)


def load_score(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("co3o4_score", folder / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the score leaves its files open
def test_peak_list_and_lattice_agree_with_the_independent_score(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared_data / "co3o4"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    score = load_score(folder)
    oracle = score.Oracle("co3o4_dev")
    volume = load_volume(folder / "co3o4_dev_truth_V.mrc").data
    # as a reconstruction at low dose: nothing in the wedge, noise that buries the weak peaks
    region = measured_region(volume.shape, oracle.meta["tilts_deg"], voxel_size_angstrom=0.52)
    volume = np.fft.ifftn(np.fft.fftn(volume) * np.fft.ifftshift(region)).real.astype(np.float32)
    volume = noisy(volume, 4.0)
    theirs = score.bragg(volume, oracle)
    ours = bragg_report(
        volume, 0.52, mask=(oracle.r <= 13.5).astype(np.float32), tilt_deg=oracle.meta["tilts_deg"],
        families=FAMILIES, halves=(volume, oracle.V),
    )  # fmt: skip
    to_xyz = oracle.R[[1, 0, 2]]  # theirs is crystal to (y, x, z)
    assert ours.a_angstrom == pytest.approx(8.08, abs=0.05)
    assert misorientation_deg(ours.orientation, to_xyz, Cell.cubic(8)) < 0.5
    q = np.array([to_xyz @ np.array(r["hkl"]) / 8.084 for r in theirs["rows"]])
    disagree = 0
    for row, one in zip(ours.rows(), ours.q_per_angstrom, strict=True):
        distance = np.minimum(np.linalg.norm(q - one, axis=1), np.linalg.norm(q + one, axis=1))
        other = theirs["rows"][int(distance.argmin())]
        assert distance.min() < 0.01
        assert row["in_wedge"] != other["measured"]
        if abs(other["snr"] - 5) > 0.5:
            disagree += row["found"] != (other["snr"] >= 5)
        if other["snr"] > 6:
            assert row["phase_agreement"] == pytest.approx(other["phase_cc"], abs=0.1)
    assert disagree <= 1
    assert 10 < sum(r["snr"] >= 5 for r in theirs["rows"]) < 40
    assert ours.false_alarm_rate <= 0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_without_noise_a_reconstruction_has_few_false_alarms(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """27 tilts reach 0.5 per angstrom; beyond it the background is planes, see PeakHeights.found."""
    folder = shared_data / "co3o4"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    score = load_score(folder)
    config = ReconstructionConfig(iterations=20)
    volume = reconstruct(load_series(folder / "co3o4_dev.h5"), config, device="cpu").volume
    theirs = score.bragg(volume, score.Oracle("co3o4_dev"))["total"]
    everything = bragg_report(volume, 0.52)
    assert everything.false_alarms.points > 1000
    assert everything.false_alarm_rate <= 0.03
    few = bragg_report(volume, 0.52, families=FAMILIES)
    assert few.found.sum() == theirs["meas_found"] + theirs["wedge_found"] == 43
    assert few.false_alarm_rate <= 0.03
