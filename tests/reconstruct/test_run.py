"""How a run ends when it diverges, and what its driver hears while it computes."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DivergedError
from napari_phaset3m.reconstruct import background
from napari_phaset3m.reconstruct.api import iterate, reconstruct
from napari_phaset3m.reconstruct.events import Finished, Preparing, Started, StepDone, Working
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod

N, N_TILT = 16, 6
FREE = ConstraintConfig(atomic_basis_sigma_angstrom=None)


def config(**changes: Any) -> ReconstructionConfig:
    return ReconstructionConfig(
        **{"constraints": FREE, "padding_px": 0, "threads": 1, "iterations": 2, "slices": 2, **changes}
    )


@pytest.fixture(scope="module")
def series() -> TiltFocalSeries:
    y, x = np.mgrid[:N, :N] - (N - 1) / 2
    images = 1 - 0.1 * np.exp(-((x - 2) ** 2 + (y + 1) ** 2) / 9)
    return TiltFocalSeries(
        images=np.broadcast_to(images, (N_TILT, 2, N, N)).astype(np.float32),
        tilt_deg=np.linspace(-50, 50, N_TILT),
        pixel_size_angstrom=0.8,
        energy_ev=3e5,
        defocus_angstrom=np.array([300.0, 700.0]),
        spherical_aberration_angstrom=1e7,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"iterations": "auto"}, {"iterations": "auto", "holdout_fraction": 0.0}, {"iterations": 3},
        {"iterations": 20},
    ],
    ids=str,
)  # fmt: skip
def test_a_run_without_one_accepted_sweep_is_an_error(series, changes) -> None:
    with pytest.raises(DivergedError):
        reconstruct(series, config(step=1e6, **changes), device="cpu")


def test_divergence_from_a_start_volume_is_not_passed_off_as_a_result(series) -> None:
    start = np.full((N, N, N), 0.1, np.float32)
    with pytest.raises(DivergedError):
        reconstruct(series, config(step=1e6, iterations=3), device="cpu", start=start)


def test_undone_sweeps_do_not_count_as_no_gain(series) -> None:
    """Three sweeps are undone at first; patience of two must not end the run there."""
    found = reconstruct(
        series, config(iterations="auto", holdout_fraction=0.2, patience=2, step=40.0), device="cpu"
    )
    steps = [40.0 / N, *(s.step_size for s in found.sweeps)]
    undone = [b < a for a, b in pairwise(steps)]
    assert undone[:3] == [True, True, True] and not all(undone)
    assert found.volume.any() and found.sweeps[-1].error < 0.7


def test_a_killed_run_remembers_its_undone_sweeps(series, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    settings = config(step=1e6, iterations=3)
    with pytest.raises(DivergedError):
        reconstruct(series, settings, device="cpu", checkpoint=path)
    more = config(step=1e6, iterations=30)
    with pytest.raises(DivergedError):
        reconstruct(series, more, device="cpu", checkpoint=path, resume=True)
    from napari_phaset3m.io.checkpoint import load_checkpoint

    assert load_checkpoint(path)["counts"] == {"judged_from": 0, "undone": 8, "accepted": 0}


class Finisher:
    """A driver that presses finish when it has seen so many heartbeats of one step."""

    def __init__(self) -> None:
        self.finish = False

    def finish_requested(self) -> bool:
        return self.finish

    def preview_max_voxels(self) -> int:
        return 0

    def mask(self) -> None:
        return None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every tilt takes 0.2 s; the tilts worked in are listed."""
    seen: list[int] = []
    accumulate = MultisliceMethod.accumulate

    def slowly(self: Any, volume: Any, tilt: int, gradient: Any, slot: int) -> float:
        time.sleep(0.2)
        seen.append(tilt)
        return accumulate(self, volume, tilt, gradient, slot)

    monkeypatch.setattr(MultisliceMethod, "accumulate", slowly)
    monkeypatch.setattr(background, "PULSE_SECONDS", 0.05)
    return seen


def test_a_driver_hears_from_preparation_and_from_long_steps(series, slow) -> None:
    last, gaps, kinds = time.perf_counter(), [], []
    for event in iterate(series, config(subset_size="all", iterations=1), device="cpu"):
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
        kinds.append(type(event))
    begun = kinds.index(Started)
    # Seven gradients of six tilts for the step size, then one step of six tilts.
    assert kinds[:begun].count(Preparing) > 10 and set(kinds[:begun]) == {Preparing}
    assert kinds[begun:].count(Working) > 5 and kinds.count(StepDone) == 1
    assert max(gaps) < 0.5


def test_finish_does_not_wait_for_a_long_step(series, slow) -> None:
    control, since, pulses = Finisher(), None, 0
    for event in iterate(
        series, config(subset_size=3, iterations=5, step=1.0), device="cpu", control=control
    ):
        if isinstance(event, StepDone):
            since, pulses = len(slow), 0
        elif isinstance(event, Working) and since is not None:
            pulses += 1
            control.finish = pulses >= 2
        last = event
    assert isinstance(last, Finished) and last.reason == "finished early"
    # The second subset was left after one or two of its three tilts, without a trace.
    assert since == 3 and len(slow) - since < 3
    assert last.volume.any()


def test_finish_before_there_is_a_volume_waits_for_the_first_step(series, slow) -> None:
    control = Finisher()
    control.finish = True
    events = list(
        iterate(series, config(subset_size=2, iterations=5, step=1.0), device="cpu", control=control)
    )
    assert sum(isinstance(e, StepDone) for e in events) == 1
    assert isinstance(events[-1], Finished) and events[-1].volume.any()


def test_a_driver_that_goes_away_leaves_no_computing_behind(series, slow) -> None:
    run = iterate(series, config(subset_size="all", iterations=5), device="cpu")
    assert isinstance(next(run), Preparing)
    begun = time.perf_counter()
    run.close()
    assert time.perf_counter() - begun < 1.0
    done = len(slow)
    time.sleep(0.5)
    assert len(slow) == done
