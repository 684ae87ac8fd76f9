from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.jobs import Mailbox, Progress, RunControl, Stopped, Waiting, device_lock, frames, run
from napari_phaset3m.jobs import runner as runner_module
from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone

sys.path.insert(0, str(Path(__file__).parents[1] / "gui"))
from _fake import FakeSolver, small_series


@pytest.fixture
def fake(monkeypatch):
    solver = FakeSolver()
    monkeypatch.setattr(runner_module, "open_events", solver)
    return solver


def start(control=None, mailbox=None, **options):
    return run(
        small_series(), ReconstructionConfig(), device="cpu", control=control, mailbox=mailbox, **options
    )


def test_events_are_light_and_end_with_the_result(fake):
    events = list(start())
    assert isinstance(events[0], Waiting) and events[0].state == "preparing"
    assert isinstance(events[1], Started)
    assert sum(isinstance(e, SweepDone) for e in events) == 4
    progress = [e for e in events if isinstance(e, Progress)]
    assert [p.sweep for p in progress if p.step == 4] == [0, 1, 2, 3]
    assert progress[-1].fraction == 1.0 and progress[-1].remaining_seconds == 0.0
    assert isinstance(events[-1], Finished) and fake.closed


def test_eta_is_sensible(fake):
    fake.step_seconds, fake.n_sweeps = 0.01, 6
    progress = [e for e in start() if isinstance(e, Progress)]
    half = next(p for p in progress if p.sweep == 3)
    assert half.remaining_seconds == pytest.approx((30 - 15 - half.step - 1) * 0.01, rel=0.6)


def test_frames_go_to_the_mailbox_with_their_fourier_transform(fake):
    control, box = RunControl(), Mailbox()
    control.request_preview(64, fourier=True)
    frames = []
    for _ in start(control, box):
        frame = box.take()
        if frame is not None:
            frames.append(frame)
    first, last = frames[0], frames[-1]
    assert first.log_power.shape == first.volume.shape and not first.final
    assert last.final and last.unit == "V" and last.limits[1] > last.limits[0]
    assert control.preview_max_voxels() == 0


def test_stop_ends_without_a_result_and_closes_the_solver(fake):
    control = RunControl()
    events = []
    for event in start(control):
        events.append(event)
        if isinstance(event, SweepDone):
            control.stop()
    assert isinstance(events[-1], Stopped) and len(events[-1].sweeps) == 1
    assert len(fake.closed) == 1


def test_finish_now_keeps_the_volume(fake):
    control = RunControl()
    for event in start(control):
        if isinstance(event, Progress):
            control.finish()
    assert isinstance(event, Finished) and event.reason == "finished early"


def test_paused_job_keeps_reporting_and_can_be_stopped(fake):
    control = RunControl()
    states = []
    for event in start(control):
        if isinstance(event, SweepDone) and not states:
            control.pause()
        if isinstance(event, Waiting) and event.state == "paused":
            states.append(event)
            if len(states) == 3:
                control.stop()
    assert isinstance(event, Stopped)


def test_pause_does_not_count_as_computing_time(fake):
    control, last = RunControl(), None
    for event in start(control):
        if isinstance(event, SweepDone) and event.sweep == 0:
            control.pause()
            Thread(target=lambda: (time.sleep(0.4), control.resume())).start()
        if isinstance(event, Progress):
            last = event
    assert last.elapsed_seconds < 0.3


def test_closing_the_generator_closes_the_solver_and_frees_the_device(fake):
    events = start()
    next(events), next(events)
    events.close()
    assert len(fake.closed) == 1


def test_second_gpu_run_queues_and_can_be_stopped(fake, monkeypatch):
    monkeypatch.setattr(runner_module, "release_memory", lambda device: None)
    gpu = Device("cuda", "GPU 0")
    device_lock.enter("cuda", "other")
    try:
        control = RunControl()
        events = run(small_series(), ReconstructionConfig(), device=gpu, control=control, run_id="mine")
        first = next(events)
        assert first.state == "queued" and "other" in first.message and "GPU 0" in first.message
        control.stop()
        assert [type(e) for e in events] == [Stopped]
        assert fake.started == 0
    finally:
        device_lock.leave("cuda", "other")


def test_error_passes_through_and_cleans_up(fake):
    fake.fail_at = (1, RuntimeError("CUDA went away"))
    with pytest.raises(RuntimeError, match="went away"):
        list(start())
    assert len(fake.closed) == 1


def test_a_solver_that_cannot_be_opened_gives_the_device_back(monkeypatch):
    def fail(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(runner_module, "open_events", fail)
    monkeypatch.setattr(runner_module, "release_memory", lambda device: None)
    with pytest.raises(MemoryError):
        list(run(small_series(), ReconstructionConfig(), device=Device("cuda", "GPU 0"), run_id="failed"))
    device_lock.enter("cuda", "next")
    try:
        assert device_lock.holder("cuda", "next") is None
    finally:
        device_lock.leave("cuda", "next")


def test_limits_are_robust():
    volume = np.zeros((40, 40, 40), np.float32)
    volume[15:25, 15:25, 15:25] = 2.0
    volume[0, 0, 0] = 1e6
    low, high = frames.display_limits(volume)
    assert low == 0.0 and high == pytest.approx(2.0)
    assert frames.display_limits(np.zeros((4, 4, 4), np.float32))[1] > 0


def test_previews_take_a_small_share_of_the_run_whoever_asks_for_more(fake, monkeypatch):
    """The viewer asks again at once; what making a picture took is waited for many times over."""
    asked = []
    cost = 0.02

    def slow_frame(*args, **kwargs):
        time.sleep(cost)
        asked.append(time.monotonic())
        return real(*args, **kwargs)

    real = runner_module.make_frame
    monkeypatch.setattr(runner_module, "make_frame", slow_frame)
    fake.n_sweeps, fake.n_steps, fake.step_seconds = 3, 200, 0.005
    control, begun = RunControl(), time.monotonic()
    for event in start(control, Mailbox()):
        if isinstance(event, Finished):
            break
        control.request_preview(64)
    live = len(asked) - 1  # the last is the result
    assert live >= 2 and live * cost < 0.06 * (time.monotonic() - begun), live
