"""Halves end to end with the real solver on tiny series, and their run control with a fake one."""

from __future__ import annotations

import csv
import json
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.analyse.halves import SHARED
from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.jobs import Mailbox, RunControl, device_lock
from napari_phaset3m.jobs import runner as runner_module
from napari_phaset3m.jobs.halves import HalfEvent, HalvesProgress, HalvesResult, run_halves
from napari_phaset3m.jobs.halves_free import FREE_NOTE, free_of_priors, run_halves_with_control
from napari_phaset3m.jobs.halves_settings import PENALTY, common_settings, shared_note
from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone

sys.path.insert(0, str(Path(__file__).parents[1] / "gui"))
from _fake import FakeSolver

N, PIXEL = 24, 1.0
SIRT = ReconstructionConfig(method="sirt", iterations=6, threads=1)


@lru_cache
def simulated(noise: float = 0.01, n_tilt: int = 40, n_focus: int = 2) -> TiltFocalSeries:
    """Absorbing blobs projected about y, `1 - I`, by a plain sum of Gaussians."""
    rng = np.random.default_rng(0)
    tilts = np.linspace(-70, 70, n_tilt)
    y, x = np.meshgrid(*((np.arange(N) - (N - 1) / 2,) * 2), indexing="ij")
    images = np.ones((n_tilt, n_focus, N, N))
    for _ in range(8):
        z0, y0, x0 = rng.uniform(-6, 6, 3)
        for i, t in enumerate(np.radians(tilts)):
            across = x0 * np.cos(t) - z0 * np.sin(t)
            images[i] -= 0.1 * np.exp(-((y - y0) ** 2 + (x - across) ** 2) / (2 * 1.2**2))
    images += noise * rng.standard_normal(images.shape)
    return TiltFocalSeries(
        images=images.astype(np.float32), tilt_deg=tilts, pixel_size_angstrom=PIXEL, energy_ev=3e5,
        defocus_angstrom=[400.0, 800.0], spherical_aberration_angstrom=1e7,
    )  # fmt: skip


def finished(events: list) -> HalvesResult:
    assert isinstance(events[-1], HalvesResult)
    assert sum(isinstance(e, HalvesResult) for e in events) == 1
    return events[-1]


@pytest.mark.parametrize("kind", ["tilts", "foci"])
def test_two_halves_of_a_series_agree_where_there_is_signal(kind):
    events = list(run_halves(simulated(), SIRT, kind, device="cpu"))
    result = finished(events)
    assert result.reason == "finished" and result.curve is not None
    one, two = result.volumes
    assert one.shape == two.shape == (N, N, N) and not np.array_equal(one, two)
    curve = result.curve
    # blobs of 1.2 A: strong at 1/12, nothing left at 1/2.4 per angstrom
    assert curve.fsc[1] > 0.95 and curve.fsc[-2:].mean() < 0.5
    clean = finished(list(run_halves(simulated(0.0), SIRT, "foci", device="cpu"))).curve
    np.testing.assert_allclose(clean.fsc, 1, atol=1e-4)  # noiseless foci hold the same images
    assert result.voxel_size_angstrom == PIXEL and result.unit == "1/voxel"
    assert ("tilts" if kind == "tilts" else "foci") in result.statement()
    assert [len(s) for s in result.sweeps] == [6, 6]


def test_halves_of_the_counts_agree_less_at_less_dose():
    curves = []
    for dose in (4000.0, 100.0):
        counts = np.random.default_rng(1).poisson(simulated(0.0).images * dose * PIXEL**2)
        series = simulated().replace(
            images=(counts / (dose * PIXEL**2)).astype(np.float32), dose_per_image=dose,
            normalisation="counts", metadata={"counts": True, "scale": dose * PIXEL**2},
        )  # fmt: skip
        curves.append(finished(list(run_halves(series, SIRT, "dose", device="cpu"))).curve)
    high, low = curves
    assert high.fsc[:4].min() > 0.9 > low.fsc[3]
    assert high.mean() > low.mean() + 0.1 and "halves of the counts" in str(high.resolution())


@pytest.mark.parametrize("method", ["fbp", "cgls"])
def test_direct_and_other_linear_methods(method):
    config = ReconstructionConfig(method=method, threads=1)
    result = finished(list(run_halves(simulated(), config, "foci", device="cpu")))
    assert result.reason == "finished" and result.curve.fsc[1] > 0.9


def test_halves_are_those_that_a_plain_reconstruction_gives():
    from napari_phaset3m.analyse.halves import split
    from napari_phaset3m.reconstruct.api import reconstruct

    result = finished(list(run_halves(simulated(), SIRT, "tilts", device="cpu")))
    for part, volume in zip(split(simulated(), "tilts"), result.volumes, strict=True):
        np.testing.assert_array_equal(reconstruct(part, SIRT, device="cpu").volume, volume)


def test_one_progress_for_both():
    events = list(run_halves(simulated(), SIRT, "tilts", device="cpu"))
    progress = [e for e in events if isinstance(e, HalvesProgress)]
    fractions = [e.fraction for e in progress]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert max(e.fraction for e in progress if e.half == 0) == 0.5
    elapsed = [e.elapsed_seconds for e in progress]
    assert elapsed == sorted(elapsed)
    assert progress[-1].remaining_seconds == 0.0
    started = [e for e in events if isinstance(e, HalfEvent) and isinstance(e.event, Started)]
    assert [e.half for e in started] == [0, 1]
    assert sum(isinstance(e, HalfEvent) and isinstance(e.event, SweepDone) for e in events) == 12


def test_volumes_and_curve_are_saved_with_their_origin(tmp_path):
    result = finished(list(run_halves(simulated(), SIRT, "tilts", device="cpu", output=tmp_path / "a b.mrc")))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "a b_fsc.csv", "a b_fsc.json", "a b_half1.json", "a b_half1.mrc", "a b_half2.json", "a b_half2.mrc"
    ]  # fmt: skip
    for half, volume in enumerate(result.volumes, 1):
        stored = load_volume(tmp_path / f"a b_half{half}.mrc")
        np.testing.assert_array_equal(stored.data, volume)
        record = json.loads((tmp_path / f"a b_half{half}.json").read_text())
        assert record["half"] == half and record["halves"] == "tilts"
        assert record["parameters"]["iterations"] == 6 and len(record["error_per_iteration"]) == 6
    with (tmp_path / "a b_fsc.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    np.testing.assert_allclose([float(r["fsc"]) for r in rows], result.curve.fsc)
    fsc = json.loads((tmp_path / "a b_fsc.json").read_text())["fsc"]
    assert fsc["resolution"]["0.143"]["halves"] == "odd and even tilts"
    assert set(result.paths) >= {tmp_path / "a b_half1.mrc", tmp_path / "a b_fsc.csv"}


def test_a_mask_of_the_fsc_is_named_and_checked_before_the_work():
    mask = np.zeros((N, N, N), np.float32)
    mask[4:-4, 4:-4, 4:-4] = 1
    result = finished(
        list(run_halves(simulated(), SIRT, "tilts", device="cpu", fsc_mask=mask, fsc_mask_name="box"))
    )
    assert result.curve.corrected is not None and "mask: box" in str(result.curve.resolution())
    with pytest.raises(DataError, match="fsc_mask"):
        list(run_halves(simulated(), SIRT, "tilts", device="cpu", fsc_mask=mask[1:]))


def test_a_support_shared_by_both_halves_is_told():
    mask = np.ones((N, N, N), np.float32)
    result = finished(list(run_halves(simulated(), SIRT, "tilts", device="cpu", mask=mask)))
    assert any("same mask" in note for note in result.curve.notes)


@pytest.mark.parametrize("dose", [500.0, 4000.0])
def test_settings_come_from_the_whole_series(dose):
    from napari_phaset3m.reconstruct.api import iterate

    whole = simulated(n_tilt=8).replace(dose_per_image=dose, pixel_size_angstrom=0.5)
    config = ReconstructionConfig(iterations=2, slices=4, threads=1)
    result = finished(list(run_halves(whole, config, "foci", device="cpu")))
    events = iterate(whole, config, device="cpu")
    resolved = next(event for event in events if isinstance(event, Started)).settings["resolved"]
    events.close()
    n = resolved["subset_size"]
    assert result.config.subset_size == ("all" if n >= whole.n_tilt else n)
    assert result.config.loss == resolved["loss"] and isinstance(result.config.step, float)
    basis = result.config.constraints.atomic_basis_sigma_angstrom
    assert basis == resolved["atomic_basis_sigma_angstrom"] and basis != "auto"
    assert any("whole series" in note for note in result.notes)
    steps = {sweep.step_size for sweeps in result.sweeps for sweep in sweeps if not sweep.restarted}
    assert len(steps) == 1


def test_the_first_half_decides_the_sweeps_of_both():
    config = ReconstructionConfig(
        slices=2, threads=1, patience=2, constraints=ConstraintConfig(atomic_basis_sigma_angstrom=None)
    )
    result = finished(list(run_halves(simulated(0.05, 12), config, "tilts", device="cpu")))
    first, second = (len(sweeps) for sweeps in result.sweeps)
    assert result.config.iterations == second <= first
    held = [sweep.held_out_error for sweep in result.sweeps[0]]
    assert None not in held and int(np.argmin(held)) + 1 == pytest.approx(second, abs=1)
    assert any("decide the sweeps" in note for note in result.notes)


@pytest.fixture
def fake(monkeypatch):
    solver = FakeSolver(shape=(N, N, N), held_out=False)
    monkeypatch.setattr(runner_module, "open_events", solver)
    return solver


def steered(when, what, **options):
    """Run with a fake solver; call ``what(control)`` once at the first event where ``when`` is true."""
    control, events, done = RunControl(), [], False
    for event in run_halves(simulated(), SIRT, "tilts", device="cpu", control=control, **options):
        events.append(event)
        if not done and when(event):
            what(control)
            done = True
    assert done
    return finished(events), events


def at(half: int, sweep: int):
    return lambda e: isinstance(e, HalvesProgress) and (e.half, e.detail.sweep) == (half, sweep)


def test_stopped_in_the_first_half_its_volume_is_kept(fake, tmp_path):
    result, _ = steered(at(0, 2), RunControl.stop, output=tmp_path / "v.mrc")
    assert result.reason == "stopped" and result.curve is None
    assert result.volumes[0] is not None and result.volumes[1] is None
    assert [p.name for p in result.paths] == ["v_half1.mrc"]
    assert "1 of 2 half volumes is kept" in result.statement()
    assert fake.started == 1 and device_lock.holder("cpu", "x") is None


def test_stopped_in_the_second_half_both_volumes_are_kept(fake, tmp_path):
    result, _ = steered(at(1, 1), RunControl.stop, output=tmp_path / "v.mrc")
    assert result.reason == "stopped" and result.curve is None
    assert all(volume is not None for volume in result.volumes)
    assert len(result.paths) == 2


def test_stopped_before_anything_nothing_is_kept(fake):
    result, _ = steered(lambda e: True, RunControl.stop)
    assert result.volumes == (None, None) and result.reason == "stopped" and fake.started == 0
    json.dumps(result.as_dict())


def test_finished_early_the_other_half_runs_as_many_sweeps(fake):
    result, events = steered(at(0, 2), RunControl.finish)
    assert result.reason == "finished early" and result.curve is not None
    assert result.config.iterations == len(result.sweeps[0]) < 4
    assert fake.started == 2
    assert max(e.detail.sweep for e in events if isinstance(e, HalvesProgress) and e.half == 1) > 0
    assert any("first half was finished early" in note for note in result.notes)


def test_finishing_the_second_half_says_that_the_halves_are_unequal(fake):
    result, _ = steered(at(1, 1), RunControl.finish)
    assert result.curve is not None and any("unequal" in note for note in result.curve.notes)


def test_pause_holds_either_half(fake):
    for half in (0, 1):
        control, seen = RunControl(), []
        for event in run_halves(simulated(), SIRT, "tilts", device="cpu", control=control):
            if at(half, 1)(event) and not seen:
                control.pause()
            if isinstance(event, HalfEvent) and getattr(event.event, "state", "") == "paused":
                seen.append(event)
                control.resume()
        assert [e.half for e in seen][:1] == [half]
        assert f"Half {half + 1} of 2: Paused" == seen[0].event.message


def test_previews_and_frames_of_both_halves_reach_the_mailbox(fake):
    control, box, frames = RunControl(), Mailbox(), []
    for _ in run_halves(simulated(), SIRT, "tilts", device="cpu", control=control, mailbox=box, run_id="r"):
        if not control.preview_max_voxels():
            control.request_preview(64)
        frame = box.take()
        if frame is not None:
            frames.append(frame)
    assert {frame.run_id for frame in frames} == {"r-1", "r-2"}


def test_an_error_of_the_second_half_leaves_the_first_on_disk(fake, tmp_path, monkeypatch):
    calls = []

    def failing(series, config, options):
        calls.append(1)
        if len(calls) == 2:
            raise DataError("breaks", field="test")
        return fake(series, config, options)

    monkeypatch.setattr(runner_module, "open_events", failing)
    with pytest.raises(DataError, match="breaks"):
        list(run_halves(simulated(), SIRT, "tilts", device="cpu", output=tmp_path / "v.mrc"))
    assert (tmp_path / "v_half1.mrc").exists() and not (tmp_path / "v_half2.mrc").exists()
    assert device_lock.holder("cpu", "x") is None


def test_wrong_input_is_refused_before_any_work(fake, tmp_path):
    with pytest.raises(DataError, match="counts"):
        list(run_halves(simulated(), SIRT, "dose", device="cpu"))
    with pytest.raises(OutputError, match="volume format"):
        list(run_halves(simulated(), SIRT, "tilts", device="cpu", output=tmp_path / "v.xyz"))
    with pytest.raises(OutputError, match="no folder"):
        list(run_halves(simulated(), SIRT, "tilts", device="cpu", output=tmp_path / "no" / "v.mrc"))
    assert fake.started == 0


def test_events_of_a_half_are_light(fake):
    for event in run_halves(simulated(), SIRT, "tilts", device="cpu"):
        assert not (isinstance(event, HalfEvent) and isinstance(event.event, Finished))


def test_what_both_halves_share_is_said_with_the_curve_and_in_the_record(tmp_path):
    limits = ConstraintConfig(positivity=True)
    config = ReconstructionConfig(method="sirt", iterations=2, threads=1, constraints=limits)
    result = finished(list(run_halves(simulated(), config, "tilts", device="cpu", output=tmp_path / "v.mrc")))
    (note,) = [n for n in result.curve.notes if n.startswith(SHARED)]
    assert "the optics and positivity" in note and "wrong sign of the defocus" in note
    assert note in result.notes and note in result.statement()
    assert note in json.loads((tmp_path / "v_fsc.json").read_text())["fsc"]["notes"]


def test_each_prior_is_named_where_it_acts_and_only_there():
    def note(voxel: float = 0.5, *, masked: bool = False, **constraints) -> str:
        config = ReconstructionConfig(method="multislice", constraints=ConstraintConfig(**constraints))
        return shared_note(config, voxel, masked=masked)

    off = {"positivity": False, "sparsity": 0.0, "atomic_basis_sigma_angstrom": None}
    none = note(**off)
    assert "positivity" not in none and "sparsity" not in none and "the optics, which" in none
    assert "sparsity" in note(**{**off, "sparsity": 1.0})
    assert "sparsity" in note() and "sparsity" not in note(72.5)
    assert "atomic basis" in note(**{**off, "atomic_basis_sigma_angstrom": 0.3})
    assert "total variation" in note(**{**off, "tv_weight": 0.1})
    assert "the mask" in note(masked=True, **off) and "the mask" not in none
    linear = ReconstructionConfig(method="sirt", constraints=ConstraintConfig(positivity=False))
    assert "sparsity" not in shared_note(linear, 0.5, masked=False)


def test_the_penalty_that_follows_each_half_is_told():
    from napari_phaset3m.core.backend import Device

    series = simulated()
    for factor, told in ((1.0, True), (0.0, False)):
        config = ReconstructionConfig(iterations=1, threads=1, constraints=ConstraintConfig(sparsity=factor))
        _, notes, _ = common_settings(series, config, Device("cpu", "CPU"), None)
        assert (PENALTY in notes) is told


def test_the_control_is_the_same_halves_with_nothing_imposed(tmp_path):
    series = simulated(noise=0.05)
    events = list(run_halves_with_control(series, SIRT, "tilts", device="cpu", output=tmp_path / "v.mrc"))
    result = finished(events)
    (plain,) = [e for e in run_halves(series, SIRT, "tilts", device="cpu") if isinstance(e, HalvesResult)]
    np.testing.assert_array_equal(result.volumes[0], plain.volumes[0])
    assert min(v.min() for v in result.volumes) >= 0 > min(v.min() for v in result.free.volumes)
    assert result.free.config.iterations == 6 and not result.free.config.constraints.positivity
    # positivity is what both halves share: without it they agree less
    assert np.nanmean(result.free.curve.fsc) < np.nanmean(result.curve.fsc)
    assert result.notes[-1] == FREE_NOTE and "fsc_without_priors" in result.as_dict()
    steps = [e for e in events if isinstance(e, HalvesProgress)]
    fractions = [e.fraction for e in steps]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    assert [e.control for e in steps] == sorted(e.control for e in steps) and steps[-1].control
    assert sorted(path.name for path in tmp_path.glob("*.mrc")) == ["v_half1.mrc", "v_half2.mrc"]


def test_a_stop_in_the_control_keeps_the_halves():
    control, events = RunControl(), []
    for event in run_halves_with_control(simulated(), SIRT, "tilts", device="cpu", control=control):
        events.append(event)
        if isinstance(event, HalvesProgress) and event.control:
            control.stop()
    result = finished(events)
    assert result.curve is not None and result.free is None
    assert result.reason == "finished" and "control" in result.notes[-1]


def test_what_is_free_of_priors_shares_only_the_optics():
    for method in ("multislice", "singleslice", "sirt", "tv"):
        limits = ConstraintConfig(tv_weight=0.1, threshold_volts=1.0, lowpass_angstrom=3.0)
        free = free_of_priors(ReconstructionConfig(method=method, constraints=limits, step=0.7, iterations=3))
        assert "positivity" not in shared_note(free, 0.5, masked=False)
        assert "sparsity" not in shared_note(free, 0.5, masked=False)
        assert free.constraints.tv_weight == free.constraints.threshold_volts == 0
        assert free.constraints.lowpass_angstrom is None and free.iterations == 3
        assert free.tv_strength == 0 or method != "tv"
