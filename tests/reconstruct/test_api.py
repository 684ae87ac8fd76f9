"""The solver through its public API, on small scenes with known truth."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError, DeviceError, ResourceError
from napari_phaset3m.reconstruct import stepsize
from napari_phaset3m.reconstruct.api import forecast, iterate, reconstruct
from napari_phaset3m.reconstruct.events import (
    Finished,
    Preparing,
    Preview,
    Started,
    StepDone,
    SweepDone,
    Working,
)
from napari_phaset3m.reconstruct.forecast import Forecast
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.solver import tilt_order
from napari_phaset3m.reconstruct.stage import Stage

N, VOXEL = 24, 0.8
TILTS = np.linspace(-60, 60, 9)
FREE = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)
CPU: dict[str, Any] = {"device": "cpu"}


def config(**changes: Any) -> ReconstructionConfig:
    return ReconstructionConfig(
        **{"iterations": 4, "slices": 6, "padding_px": 0, "constraints": FREE, "threads": 2, **changes}
    )


def truth() -> np.ndarray:
    """Three blobs `(nz, ny, nx)` in volts, none on an axis of symmetry."""
    z, y, x = (np.arange(N) - (N - 1) / 2 for _ in range(3))
    volume = np.zeros((N, N, N))
    for cz, cy, cx, height in ((3, 2, -4, 30), (-4, -3, 1, 20), (0, 5, 4, 25)):
        r2 = (z - cz)[:, None, None] ** 2 + (y - cy)[None, :, None] ** 2 + (x - cx)[None, None] ** 2
        volume += height * np.exp(-r2 / 3)
    return volume.astype(np.float32)


@lru_cache
def series() -> TiltFocalSeries:
    empty = TiltFocalSeries(
        images=np.ones((TILTS.size, 2, N, N), np.float32),
        tilt_deg=TILTS,
        pixel_size_angstrom=VOXEL,
        energy_ev=3e5,
        defocus_angstrom=np.array([300.0, 700.0]),
        spherical_aberration_angstrom=1e7,
        focal_spread_angstrom=20.0,
    )
    problem = build_problem(empty, config())
    method = make_method(problem, config(), 1, _cpu())
    phase = truth().transpose(0, 2, 1)[None] / method.volts_per_unit
    images = [method.predict(np.ascontiguousarray(phase, np.float32), t) for t in range(TILTS.size)]
    return empty.replace(images=np.stack(images).swapaxes(2, 3))


def _cpu() -> Any:
    from napari_phaset3m.core.backend import resolve_device

    return resolve_device("cpu")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_the_truth_is_found_the_right_way_round() -> None:
    result = reconstruct(series(), config(iterations=15), **CPU)
    assert correlation(result.volume, truth()) > 0.9
    for axis in range(3):
        assert correlation(np.flip(result.volume, axis), truth()) < 0.5
    errors = [s.error for s in result.sweeps]
    assert errors[-1] < 0.05 * errors[0]
    # Volts, not phase or arbitrary units: the peaks are as high as they were made.
    assert result.unit == "V" and 0.6 < result.volume.max() / truth().max() < 1.6
    assert result.voxel_size_angstrom == VOXEL and result.volume.shape == (N, N, N)


@pytest.mark.parametrize("wrong", ["defocus", "tilt"])
def test_a_flipped_sign_fits_clearly_worse(wrong: str) -> None:
    right = reconstruct(series(), config(iterations=8), **CPU).sweeps[-1].error
    s = series()
    assert s.defocus_angstrom is not None
    flipped = (
        s.replace(defocus_angstrom=-s.defocus_angstrom)
        if wrong == "defocus"
        else s.replace(tilt_deg=-s.tilt_deg)
    )
    result = reconstruct(flipped, config(iterations=8), **CPU)
    if wrong == "defocus":
        assert result.sweeps[-1].error > 3 * right
    else:  # a mirrored world fits nearly as well at thin specimens, but is mirrored
        assert correlation(result.volume, truth()) < correlation(result.volume[::-1], truth())


def test_events_come_in_order_and_agree() -> None:
    heard = iterate(series(), config(subset_size=4), **CPU)
    events = [e for e in heard if not isinstance(e, Preparing | Working)]
    assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
    assert events[0].n_steps == 3 and events[0].n_sweeps == 4
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [(e.sweep, e.step) for e in steps] == [(s, i) for s in range(4) for i in range(3)]
    sweeps = [e for e in events if isinstance(e, SweepDone)]
    assert [s.sweep for s in sweeps] == [0, 1, 2, 3] and events[-1].sweeps == tuple(sweeps)
    assert all(s.memory_bytes > 2**20 for s in sweeps)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"subset_size": "all"}, {"subset_size": 3}, {"tilt_order": "golden"}, {"momentum": "none"},
        {"rotation": "cubic"}, {"rotation": "fourier", "iterations": 2}, {"absorption": True},
        {"loss": "poisson"}, {"loss": "intensity"},
        {"coherence": "incoherent"}, {"method": "singleslice"},
        {"method": "sirt"}, {"method": "sirt", "projection": "log"}, {"padding_px": 4},
        {"depth_angstrom": 10.0},
        {"voxel_angstrom": 1.2}, {"multiresolution": (2,)}, {"slices": 1}, {"slices": 24},
        {"constraints": ConstraintConfig(atomic_basis_sigma_angstrom=0.9)},
        {"constraints": ConstraintConfig(positivity=False, tv_weight=0.1, lowpass_angstrom=2.0)},
        {"convergence_semiangle_mrad": 0.1},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_lowers_the_error(changes: dict[str, Any]) -> None:
    result = reconstruct(series(), config(**changes), **CPU)
    last_stage = [s.error for s in result.sweeps if s.stage == result.sweeps[-1].stage]
    assert last_stage[-1] < last_stage[0] * 1.0001
    assert np.isfinite(result.volume).all() and result.volume.any()
    assert (result.absorption is not None) == bool(changes.get("absorption"))
    if "depth_angstrom" in changes:
        assert result.volume.shape == (12, N, N)
    if "voxel_angstrom" in changes:
        assert result.volume.shape == (16, 16, 16)


def test_same_seed_same_bytes_and_another_seed_differs() -> None:
    first, again, other = (reconstruct(series(), config(seed=s), **CPU).volume for s in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("changes", [{}, {"multiresolution": (2,)}, {"iterations": "auto"}], ids=str)
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = reconstruct(series(), config(**changes), **CPU)
    path = tmp_path / "c.h5"
    run = iterate(series(), config(**changes), checkpoint=path, **CPU)
    done = 0
    for event in run:
        done += isinstance(event, SweepDone)
        # Killed in the middle of the third sweep.
        if done == 2 and isinstance(event, StepDone):
            break
    run.close()
    resumed = reconstruct(series(), config(**changes), checkpoint=path, resume=True, **CPU)
    assert resumed.volume.tobytes() == whole.volume.tobytes()
    assert [s.error for s in resumed.sweeps] == [s.error for s in whole.sweeps]


def test_resuming_a_run_that_had_stopped_by_itself_adds_nothing(tmp_path: Path) -> None:
    settings = config(iterations="auto", tolerance=0.5, patience=1)
    path = tmp_path / "c.h5"
    whole = reconstruct(series(), settings, checkpoint=path, **CPU)
    assert whole.reason != "sweeps"
    again = reconstruct(series(), settings, checkpoint=path, resume=True, **CPU)
    assert again.volume.tobytes() == whole.volume.tobytes() and again.reason == whole.reason
    assert len(again.sweeps) == len(whole.sweeps)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    reconstruct(series(), config(iterations=1), checkpoint=path, **CPU)
    with pytest.raises(DataError, match="other settings"):
        reconstruct(series(), config(seed=9), checkpoint=path, resume=True, **CPU)
    # More sweeps are not other settings: a run can be continued.
    assert len(reconstruct(series(), config(iterations=3), checkpoint=path, resume=True, **CPU).sweeps) == 3


class Steering:
    """A driver that asks for things at given polls."""

    def __init__(self, finish_after: int = 10**9, preview: int = 0, mask: np.ndarray | None = None) -> None:
        self.polls, self.finish_after, self.preview, self.next_mask = 0, finish_after, preview, mask

    def finish_requested(self) -> bool:
        self.polls += 1
        return self.polls > self.finish_after

    def preview_max_voxels(self) -> int:
        return self.preview

    def mask(self) -> np.ndarray | None:
        mask, self.next_mask = self.next_mask, None
        return mask


def test_finish_now_keeps_the_volume() -> None:
    result = reconstruct(series(), config(), control=Steering(finish_after=3), **CPU)
    assert result.reason == "finished early" and result.volume.any()


def test_previews_are_binned_copies() -> None:
    events = list(iterate(series(), config(iterations=1), control=Steering(preview=12), **CPU))
    previews = [e for e in events if isinstance(e, Preview)]
    assert len(previews) == sum(isinstance(e, StepDone) for e in events)
    assert previews[0].volume.shape == (12, 12, 12) and previews[0].voxel_size_angstrom == 2 * VOXEL
    assert len({id(p.volume) for p in previews}) == len(previews)


def test_masks_confine_the_volume_also_when_they_come_late() -> None:
    mask = np.zeros((N, N, N), np.float32)
    mask[:, :, : N // 2] = 1
    early = reconstruct(series(), config(), mask=mask, **CPU).volume
    late = reconstruct(series(), config(), control=Steering(mask=mask), **CPU).volume
    for volume in (early, late):
        assert not volume[mask == 0].any() and volume[mask == 1].any()


def test_start_volume_is_where_the_run_begins() -> None:
    begun = reconstruct(series(), config(iterations=1), start=truth(), **CPU)
    assert begun.sweeps[0].error < 1e-3


def test_positivity_can_be_left_out() -> None:
    assert reconstruct(series(), config(), **CPU).volume.min() == 0
    free = config(constraints=ConstraintConfig(positivity=False, atomic_basis_sigma_angstrom=None))
    assert reconstruct(series(), free, **CPU).volume.min() < 0


def test_a_step_too_large_is_caught_and_made_smaller() -> None:
    result = reconstruct(series(), config(step=60.0, iterations=12), **CPU)
    assert any(s.restarted for s in result.sweeps)
    assert result.sweeps[0].restarted and result.sweeps[-1].step_size < 60 / N
    assert np.isfinite(result.volume).all() and result.sweeps[-1].error < 1


@pytest.mark.parametrize(
    ("subset", "rise", "restarts"), [(2, 0.005, False), (2, 0.02, True), ("all", 1e-4, True)]
)
def test_ripple_of_subsets_does_not_stop_the_momentum(subset: Any, rise: float, restarts: bool) -> None:
    stage = Stage(series(), config(subset_size=subset), resolve_device("cpu"), None)
    state = stage.solver.initial_state(None, stage.step())
    try:
        momenta = []
        for error in (1.0, 0.9, 0.9 * (1 + rise)):
            for _ in stage.solver.sweep(state):
                pass
            last, state.error = (momenta[-1][0] if momenta else np.inf), error
            momenta.append((error, stage.solver.finish_sweep(state, last), state.momentum))
    finally:
        stage.solver.close()
    assert [restarted for _, restarted, _ in momenta] == [False, False, restarts]
    assert (momenta[2][2] < momenta[1][2]) is restarts


def test_a_run_at_its_floor_goes_on_as_long_as_it_was_told() -> None:
    blob = np.exp(-(np.add.outer(*[(np.arange(20) - 9.5) ** 2] * 2)) / 8)
    tiny = TiltFocalSeries(
        images=np.stack([[1 - 0.1 * blob, 1 - 0.2 * blob]] * 5), tilt_deg=np.linspace(-40, 40, 5),
        pixel_size_angstrom=VOXEL, energy_ev=3e5, defocus_angstrom=np.array([300.0, 600.0]),
        spherical_aberration_angstrom=0.0,
    )  # fmt: skip
    result = reconstruct(tiny, config(iterations=250, slices="auto"), **CPU)
    assert result.reason == "sweeps" and len(result.sweeps) == 250
    assert result.sweeps[-1].error < 2 * min(s.error for s in result.sweeps)


def test_held_out_images_stop_a_noisy_run() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.poisson(series().images * 40) / 40.0
    s = series().replace(images=noisy, dose_per_image=40 / VOXEL**2)
    result = reconstruct(s, config(iterations="auto", holdout_fraction=0.15), **CPU)
    held = [h.held_out_error for h in result.sweeps if h.held_out_error is not None]
    assert result.reason == "held-out" and len(held) == len(result.sweeps)
    assert int(np.argmin(held)) < len(held) - 1
    assert result.settings["resolved"]["held_out_images"] == round(0.15 * 18)


def test_unused_images_do_not_count() -> None:
    spoilt = series().images.copy()
    spoilt[3, 1] = 50.0
    used = np.ones((TILTS.size, 2), bool)
    used[3, 1] = False
    a = reconstruct(series().replace(used=used), config(), **CPU).volume
    b = reconstruct(series().replace(used=used, images=spoilt), config(), **CPU).volume
    assert a.tobytes() == b.tobytes()


def test_one_tilt_is_exit_wave_reconstruction() -> None:
    s = series()
    assert s.defocus_angstrom is not None and s.shifts_px is not None and s.used is not None
    one = TiltFocalSeries(
        images=s.images[4:5], tilt_deg=s.tilt_deg[4:5], pixel_size_angstrom=VOXEL, energy_ev=3e5,
        defocus_angstrom=s.defocus_angstrom[4:5], spherical_aberration_angstrom=1e7,
        focal_spread_angstrom=20.0,
    )  # fmt: skip
    result = reconstruct(one, config(iterations=30, method="singleslice", depth_angstrom=VOXEL), **CPU)
    projected = truth().sum(0)
    assert result.volume.shape == (1, N, N)
    assert correlation(result.volume[0], projected) > 0.9


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"defocus_angstrom": None}, "defocus_values"), ({"spherical_aberration_angstrom": None}, "spherical")],
)
def test_missing_optics_are_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError, match=field):
        reconstruct(series().replace(**changes), config(), **CPU)
    reconstruct(series().replace(**changes), config(method="sirt", iterations=1), **CPU)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="slices"):
        reconstruct(series(), config(slices=99), **CPU)
    with pytest.raises(ConfigError, match="holdout"):
        reconstruct(series(), config(holdout_fraction=0.9), **CPU)
    with pytest.raises(DataError, match="mask"):
        reconstruct(series(), config(), mask=np.ones((3, 5, 9)), **CPU)
    with pytest.raises(ConfigError, match="iterations"):
        ReconstructionConfig.parse(iterations=0)


def test_cuda_is_never_silently_replaced() -> None:
    from napari_phaset3m.core.backend import cuda_problem

    if cuda_problem() is None:
        pytest.skip("a GPU is here")
    with pytest.raises(DeviceError):
        reconstruct(series(), config(), device="cuda")


def test_a_run_that_does_not_fit_is_refused_at_once() -> None:
    estimate = forecast(series(), config())
    assert estimate.fits and estimate.volume_shape == (N, N, N) and estimate.slices == 6
    with pytest.raises(ResourceError, match="GiB"):
        replace(estimate, available_bytes=1).check()
    assert isinstance(estimate, Forecast)


def test_tilt_orders_are_permutations() -> None:
    tilts = np.arange(13)
    for kind in ("random", "golden", "given"):
        seen = [tuple(tilt_order(config(tilt_order=kind), tilts, s)) for s in range(3)]
        assert all(sorted(order) == list(tilts) for order in seen)
        assert (len(set(seen)) == 1) == (kind == "given")


def test_the_detector_blur_is_part_of_the_model() -> None:
    s = series().replace(mtf=((0.0, 1.0), (1.0, 0.4), (1.5, 0.2)))
    method = make_method(build_problem(s, config()), config(), 1, _cpu())
    phase = np.ascontiguousarray(truth().transpose(0, 2, 1)[None] / method.volts_per_unit, np.float32)
    blurred = method.predict(phase, 4)
    assert blurred.std() < 0.9 * series().images[4].std()
    # Its gradient is exact: the loss falls along it as much as it says.
    gradient = np.zeros_like(phase)
    start = np.float32(0.5) * phase
    method.accumulate(start, 4, gradient, 0)
    direction = gradient / np.abs(gradient).max()
    scratch = np.zeros_like(phase)
    ends = [method.accumulate(start + sign * np.float32(2e-3) * direction, 4, scratch, 0) for sign in (1, -1)]
    expected = float(np.vdot(gradient.astype(np.float64), direction))
    assert (ends[0] - ends[1]) / 4e-3 == pytest.approx(expected, rel=5e-3)


def test_gradient_by_tilt_matches_finite_differences() -> None:
    problem = build_problem(series(), config(rotation="fourier"))
    method = make_method(problem, config(rotation="fourier"), 1, _cpu())
    assert isinstance(method, MultisliceMethod)
    phase = np.ascontiguousarray(0.7 * truth().transpose(0, 2, 1)[None] / method.volts_per_unit, np.float32)
    analytic = method.tilt_derivative(phase, 3)
    ends = []
    for sign in (1, -1):
        tilts = np.array(TILTS)
        tilts[3] += sign * 0.4
        moved = build_problem(series().replace(tilt_deg=tilts), config(rotation="fourier"))
        other = make_method(moved, config(rotation="fourier"), 1, _cpu())
        ends.append(other.accumulate(phase, 3, np.zeros_like(phase), 0))
    assert (ends[0] - ends[1]) / np.radians(0.8) == pytest.approx(analytic, rel=0.02)


@pytest.mark.parametrize("absorption", [False, True])
def test_the_automatic_step_is_found_in_the_linear_range(
    absorption: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(series(), config(absorption=absorption), _cpu(), None)
    found = stepsize.largest_curvature(stage.solver, 0)
    monkeypatch.setattr(stepsize, "_PROBE", stepsize._PROBE / 10)
    assert stepsize.largest_curvature(stage.solver, 0) == pytest.approx(found, rel=0.05)
    stage.solver.close()


def test_a_finer_stage_goes_on_where_padding_is_another_share_of_the_box() -> None:
    wanted = config(padding_px="auto", multiresolution=(2,), iterations=8)
    stages = [Stage(series(), wanted, _cpu(), None, bin_) for bin_ in (2, 1)]
    borders = [stage.problem.border for stage in stages]
    for stage in stages:
        stage.solver.close()
    assert borders[1] != 2 * borders[0], "the case that is meant"
    sweeps = reconstruct(series(), wanted, **CPU).sweeps
    last = [sweep.error for sweep in sweeps if sweep.stage == "bin 2"][-1]
    first = next(sweep.error for sweep in sweeps if sweep.stage == "bin 1")
    assert first < 8 * last  # a stretched volume: 80
