"""Masks in real runs: from the first sweep, changed on the way, resumed, and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.analyse.masks import Recipe, Soft, Sphere
from napari_phaset3m.analyse.masks_make import make_mask
from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.backend import resolve_device
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.mask import mask_sha256
from napari_phaset3m.jobs import RunControl
from napari_phaset3m.reconstruct.api import iterate, reconstruct
from napari_phaset3m.reconstruct.constraints import Mask
from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone
from napari_phaset3m.reconstruct.forecast import result_grid
from napari_phaset3m.reconstruct.masking import RunMask
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.stage import Stage

N, VOXEL = 24, 0.8
CPU: dict[str, Any] = {"device": "cpu"}


def config(**changes: Any) -> ReconstructionConfig:
    free = ConstraintConfig(atomic_basis_sigma_angstrom=None, sparsity=0.0)
    given = {"iterations": 5, "slices": 6, "padding_px": 0, "constraints": free, "threads": 1}
    given["holdout_fraction"] = 0.0
    return ReconstructionConfig(**{**given, **changes})


@pytest.fixture(scope="module")
def series() -> TiltFocalSeries:
    """Two blobs, left and right, through the forward model."""
    empty = TiltFocalSeries(
        images=np.ones((9, 2, N, N), np.float32),
        tilt_deg=np.linspace(-60, 60, 9),
        pixel_size_angstrom=VOXEL,
        energy_ev=3e5,
        defocus_angstrom=np.array([300.0, 700.0]),
        spherical_aberration_angstrom=1e7,
        focal_spread_angstrom=20.0,
    )
    z, y, x = np.meshgrid(*[np.arange(N) - (N - 1) / 2] * 3, indexing="ij")
    truth = sum(25 * np.exp(-(z**2 + y**2 + (x - cx) ** 2) / 4) for cx in (-5, 5))
    problem = build_problem(empty, config())
    method = make_method(problem, config(), 1, resolve_device("cpu"))
    phase = np.ascontiguousarray(truth.transpose(0, 2, 1)[None] / method.volts_per_unit, np.float32)
    images = [method.predict(phase, tilt) for tilt in range(9)]
    return empty.replace(images=np.stack(images).swapaxes(2, 3))


def half(right: bool) -> np.ndarray:
    mask = np.zeros((N, N, N), np.float32)
    mask[:, :, N // 2 :] = 1
    return mask if right else mask[:, :, ::-1].copy()


class At(RunControl):
    """Sets masks after given sweeps: {sweeps done: mask}."""

    def __init__(self, masks: dict[int, np.ndarray | None]) -> None:
        super().__init__()
        self.masks, self.done = masks, 0

    def run(self, series, settings, **options) -> tuple[Finished, list[np.ndarray]]:
        """The result, and the public volume after every sweep."""
        states = []
        for event in iterate(series, settings, control=self, **CPU, **options):
            if isinstance(event, SweepDone):
                self.done += 1
                if self.done in self.masks:
                    self.set_mask(self.masks[self.done])
            if not isinstance(event, Finished):
                self.request_preview(N)
            if type(event).__name__ == "Preview":
                states.append(event.volume)
        return event, states


NEGATIVE = ConstraintConfig(atomic_basis_sigma_angstrom=None, positivity=False)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"subset_size": "all"}, {"momentum": "none"}, {"method": "sirt"}, {"method": "singleslice"},
        {"padding_px": 2, "depth_angstrom": N * VOXEL}, {"multiresolution": (2,)}, {"constraints": NEGATIVE},
        {"constraints": ConstraintConfig(atomic_basis_sigma_angstrom=0.9)},
    ],
    ids=["plain", "all tilts", "no momentum", "sirt", "one slice", "padded", "coarse first", "no positivity",
         "atomic basis"],
)  # fmt: skip
def test_outside_is_empty_from_the_next_sweep_on_and_the_run_goes_on(series, changes) -> None:
    settings = config(iterations=6, **changes)
    done, _ = At({3: half(True)}).run(series, settings)
    assert not done.volume[:, :, : N // 2].any() and done.volume[:, :, N // 2 :].any()
    # Taking half of the specimen away raises the error; the run must not be undone for it.
    assert done.reason == "sweeps" and not any(s.restarted for s in done.sweeps[3:4])
    assert done.sweeps[-1].step_size == done.sweeps[2].step_size or changes.get("multiresolution")


def test_every_step_after_the_change_is_masked_and_none_before(series) -> None:
    settings = config(iterations=4)
    control = At({2: half(False)})
    _, states = control.run(series, settings)
    per_sweep = len(states) // 4
    empty = [not state[:, :, N // 2 :].any() for state in states]
    assert empty == [False] * (2 * per_sweep) + [True] * (2 * per_sweep)


def test_masks_follow_each_other_and_are_taken_away(series) -> None:
    control = At({1: half(True), 3: half(False), 5: None})
    done, states = control.run(series, config(iterations=8))
    n = len(states) // 8
    right, left = (
        [bool(s[:, :, part].any()) for s in states[n - 1 :: n]]
        for part in (slice(N // 2, None), slice(N // 2))
    )
    assert right == [True, True, True, False, False, True, True, True]
    assert left == [True, False, False, True, True, True, True, True]
    told = done.settings["resolved"]["mask"]
    assert [(c["from_sweep"], c["sha256"]) for c in told] == [
        (1, mask_sha256(half(True))), (3, mask_sha256(half(False))), (5, None),
    ]  # fmt: skip


def test_the_best_volume_of_before_is_forgotten(series) -> None:
    """With held-out images the best volume is kept: not one that the new mask never saw."""
    settings = config(iterations="auto", holdout_fraction=0.2, patience=2, tolerance=0.5)
    done, _ = At({2: half(True)}).run(series, settings)
    assert done.reason == "held-out" and not done.volume[:, :, : N // 2].any()


def test_a_run_tells_its_mask_and_one_without_says_so(series) -> None:
    mask = half(True)
    result = reconstruct(series, config(iterations=1), mask=mask, **CPU)
    assert result.settings["resolved"]["mask"] == [
        {"from_sweep": 0, "sha256": mask_sha256(mask), "fraction": 0.5}
    ]
    assert reconstruct(series, config(iterations=1), **CPU).settings["resolved"]["mask"] is None


def test_a_soft_mask_weighs_once_per_sweep_however_many_updates() -> None:
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    for updates in (1, 2, 9):
        volume = np.ones((1, 3, 4, 5), np.float32)
        mask = Mask(values, updates_per_sweep=updates)
        for _ in range(updates):
            mask.apply(volume, 0)
        np.testing.assert_allclose(volume[0], values, atol=2e-6)
        assert (volume[0][values == 0] == 0).all() and (volume[0][values == 1] == 1).all()


@pytest.mark.parametrize("method", ["multislice", "sirt"])
def test_a_sweep_applies_the_weight_of_a_soft_mask(series, method) -> None:
    """Against the same sweep done by hand: every update, then its share of the weight."""
    settings = config(method=method, subset_size=3, momentum="none", iterations=2)
    mask = make_mask(
        Recipe(steps=(Sphere(diameter_angstrom=8), Soft(width_angstrom=6))), None, VOXEL, shape=(N, N, N)
    ).mask
    found = reconstruct(series, settings, mask=mask, **CPU).volume
    stage = Stage(series, settings, resolve_device("cpu"), None)
    engine_mask = mask.transpose(0, 2, 1)
    state = stage.solver.initial_state(None, stage.step())
    try:
        for _ in range(2):
            for _ in stage.solver.sweep(state):
                state.volume *= engine_mask ** np.float32(1 / stage.solver.n_steps)
            stage.solver.finish_sweep(state, np.inf)
        expected, _ = stage.public(state.previous)
    finally:
        stage.solver.close()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_a_soft_edge_is_lower_than_a_hard_one_and_higher_than_nothing(series) -> None:
    settings = config(iterations=8)
    ball = Recipe(steps=(Sphere(diameter_angstrom=6, center_angstrom=(5 * VOXEL, 0, 0)),))
    soft = Recipe(steps=(*ball.steps, Soft(width_angstrom=4)))
    hard_mask, soft_mask = (make_mask(r, None, VOXEL, shape=(N, N, N)).mask for r in (ball, soft))
    edge = (soft_mask > 0.3) & (soft_mask < 0.7)
    free = reconstruct(series, settings, **CPU).volume[edge].sum()
    weighted = reconstruct(series, settings, mask=soft_mask, **CPU).volume
    assert 0 < weighted[edge].sum() < free and not weighted[soft_mask == 0].any()
    assert not reconstruct(series, settings, mask=hard_mask, **CPU).volume[edge].any()


class Stop(Exception):
    pass


def interrupted(series, settings, checkpoint: Path, sweeps: int, control=None, **options) -> None:
    done = 0
    with pytest.raises(Stop):
        for event in iterate(series, settings, checkpoint=checkpoint, control=control, **CPU, **options):
            if isinstance(event, SweepDone):
                done += 1
                if isinstance(control, At) and done in control.masks:
                    control.set_mask(control.masks[done])
            if done > sweeps:  # the checkpoint of ``sweeps`` is written
                raise Stop


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_a_resumed_run_keeps_its_mask_to_the_same_numbers(series, tmp_path, soft, again) -> None:
    mask = half(True)
    if soft:
        mask = np.clip(mask * np.linspace(0.5, 1.2, N, dtype=np.float32), 0, 1)
    settings = config(iterations=6)
    whole = reconstruct(series, settings, mask=mask, **CPU)
    interrupted(series, settings, tmp_path / "c.h5", 2, mask=mask)
    options = {"mask": mask} if again else {}
    resumed = reconstruct(series, settings, checkpoint=tmp_path / "c.h5", resume=True, **options, **CPU)
    np.testing.assert_array_equal(resumed.volume, whole.volume)
    assert resumed.settings["resolved"]["mask"] == whole.settings["resolved"]["mask"]


def test_a_mask_set_on_the_way_survives_the_interruption(series, tmp_path) -> None:
    settings = config(iterations=7)
    whole, _ = At({2: half(True)}).run(series, settings)
    interrupted(series, settings, tmp_path / "c.h5", 4, At({2: half(True)}))
    resumed = reconstruct(series, settings, checkpoint=tmp_path / "c.h5", resume=True, **CPU)
    np.testing.assert_array_equal(resumed.volume, whole.volume)
    assert [c["from_sweep"] for c in resumed.settings["resolved"]["mask"]] == [2]
    assert [s.error for s in resumed.sweeps] == [s.error for s in whole.sweeps]


def test_another_mask_on_resuming_acts_at_once_and_is_said(series, tmp_path) -> None:
    settings = config(iterations=5)
    interrupted(series, settings, tmp_path / "c.h5", 2, mask=half(True))
    options = {"checkpoint": tmp_path / "c.h5", "resume": True, "mask": half(False)}
    events = list(iterate(series, settings, **options, **CPU))
    started, done = next(e for e in events if isinstance(e, Started)), events[-1]
    assert isinstance(started, Started) and isinstance(done, Finished)
    assert "another mask than the checkpoint's is used from sweep 3 on" in started.notes
    assert not done.volume[:, :, N // 2 :].any() and done.volume[:, :, : N // 2].any()
    assert [c["from_sweep"] for c in done.settings["resolved"]["mask"]] == [0, 2]


def test_checkpoints_of_before_masks_were_kept_still_open() -> None:
    kept = RunMask()
    assert kept.resumed(None, 3) is False and kept.record() is None


def test_a_wrong_mask_is_refused_when_it_is_set_and_the_run_goes_on(series) -> None:
    control = RunControl()
    control.expect_masks_of(result_grid(series, config())[0])
    for wrong, message in (
        (np.ones((3, 5, 9)), "but the reconstruction is"), (np.zeros((N, N, N)), "some above 0"),
        (2 * half(True), r"0\.\.1"), (np.ones((N, N)), "axes"), (np.full((N, N, N), np.nan), r"0\.\.1"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            control.set_mask(wrong)
    assert control.mask() is None
    control.set_mask(half(True)[::2, ::2, ::2])  # another sampling of the same box
    assert control.mask() is not None


def test_a_mask_of_another_sampling_leaves_nothing_outside(series) -> None:
    coarse = half(True)[::2, ::2, ::2].copy()
    volume = reconstruct(series, config(iterations=2), mask=coarse, **CPU).volume
    assert not volume[:, :, : N // 2 - 1].any() and volume[:, :, N // 2 + 1 :].any()


@pytest.mark.parametrize("changes", [{}, {"padding_px": 3}, {"voxel_angstrom": 1.1}, {"depth_angstrom": 12.0},
                                     {"voxel_angstrom": 1.3, "padding_px": 2}], ids=str)  # fmt: skip
def test_the_grid_told_beforehand_is_the_results(series, changes) -> None:
    settings = config(iterations=1, **changes)
    result = reconstruct(series, settings, **CPU)
    shape, voxel = result_grid(series, settings)
    assert shape == result.volume.shape and voxel == pytest.approx(result.voxel_size_angstrom)
