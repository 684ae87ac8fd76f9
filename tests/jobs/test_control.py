from __future__ import annotations

import time
from threading import Thread

import numpy as np
import pytest

from napari_phaset3m.jobs import Mailbox, RunControl
from napari_phaset3m.jobs.device_lock import DeviceLock


def test_pause_blocks_until_resumed():
    control = RunControl()
    control.pause()
    assert control.paused and control.wait_while_paused(0.01)
    Thread(target=lambda: (time.sleep(0.05), control.resume())).start()
    begun = time.monotonic()
    assert not control.wait_while_paused(5.0)
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize("end", ["stop", "finish"])
def test_ending_wakes_a_pause(end):
    control = RunControl()
    control.pause()
    Thread(target=lambda: (time.sleep(0.05), getattr(control, end)())).start()
    assert not control.wait_while_paused(5.0)
    assert control.stopped is (end == "stop")
    assert control.finish_requested() is (end == "finish")


def test_pause_after_the_end_is_ignored():
    control = RunControl()
    control.stop()
    control.pause()
    assert not control.paused and control.stopped


def test_paused_wait_burns_no_cpu():
    control = RunControl()
    control.pause()
    begun = time.process_time()
    assert control.wait_while_paused(0.3)
    assert time.process_time() - begun < 0.1


def test_preview_request_is_latest_wins_and_settled_once():
    control = RunControl()
    assert control.preview_max_voxels() == 0
    control.request_preview(64)
    control.request_preview(128, fourier=True)
    assert control.preview_max_voxels() == 128
    assert control.preview_delivered() is True
    assert control.preview_max_voxels() == 0
    control.request_preview(-3)
    assert control.preview_max_voxels() == 0


def test_previews_rest_after_a_costly_one():
    control = RunControl()
    control.preview_delivered(pause_seconds=0.1)
    control.request_preview(64)
    assert control.preview_max_voxels() == 0
    time.sleep(0.12)
    assert control.preview_max_voxels() == 64


def test_mask_is_handed_over_once():
    control = RunControl()
    mask = np.ones((2, 2, 2), np.float32)
    control.set_mask(mask)
    assert control.mask() is mask and control.mask() is None


def test_mailbox_keeps_the_newest_under_contention():
    box: Mailbox[int] = Mailbox()
    seen: list[int] = []

    def produce():
        for i in range(5000):
            box.put(i)

    producer = Thread(target=produce)
    producer.start()
    while producer.is_alive() or box.full:
        item = box.take()
        if item is not None:
            seen.append(item)
    producer.join()
    assert seen == sorted(seen) and seen[-1] == 4999
    assert box.dropped + len(seen) == 5000
    assert box.take() is None


def test_gpu_runs_queue_in_order_and_cpu_runs_do_not():
    lock = DeviceLock()
    for name in "abc":
        lock.enter("cuda", name)
        lock.enter("cpu", name)
    assert [lock.holder("cuda", n) for n in "abc"] == [None, "a", "a"]
    assert [lock.holder("cpu", n) for n in "abc"] == [None, None, None]
    lock.leave("cuda", "b")
    lock.leave("cuda", "a")
    assert lock.holder("cuda", "c") is None
    lock.leave("cuda", "nobody")
    with pytest.raises(ValueError, match="queued already"):
        lock.enter("cuda", "c")
