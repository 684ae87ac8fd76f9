"""What the main thread does while a window does not answer, by sampling its stack."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

#: (time, processor time of the main thread, of the process, phase)
Beat = tuple[float, float, float, str]


def beat(phase: str) -> Beat:
    """What is noted at each beat of the event loop."""
    return time.monotonic(), time.thread_time(), time.process_time(), phase


class Sampler(threading.Thread):
    """Where the threads are, sampled while it runs.

    Attributes
    ----------
    samples : list of (time, place of the main thread, places of the others)
        Place: the outermost three functions of this package, napari or vispy, and the innermost of all.
    """

    PERIOD = 0.005
    _OURS = ("napari_phaset3m", "napari", "vispy")

    def __init__(self) -> None:
        super().__init__(daemon=True, name="sampler")
        self.samples: list[tuple[float, str, tuple[str, ...]]] = []
        self._main = threading.main_thread().ident
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until :meth:`end`."""
        while not self._ended.wait(self.PERIOD):
            frames = sys._current_frames()
            main = self._place(frames.pop(self._main or 0))
            frames.pop(threading.get_ident(), None)
            others = tuple(place for frame in frames.values() if ">" in (place := self._place(frame)))
            self.samples.append((time.monotonic(), main, others))

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()

    def _place(self, frame: Any) -> str:
        inner = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
        chain: list[str] = []
        while frame is not None:
            module = frame.f_globals.get("__name__", "").partition(".")[0]
            name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
            if module in self._OURS and (not chain or chain[-1] != name):
                chain.append(name)
            frame = frame.f_back
        kept = chain[-1:-4:-1]
        return " > ".join([*kept, *([] if inner in kept else [inner])])

    def during(self, begin: float, end: float) -> dict[str, Any]:
        """Places between two times with their share of the samples, and the longest time without one."""
        inside = [sample for sample in self.samples if begin <= sample[0] <= end]
        moments = [begin, *(moment for moment, _, _ in inside), end]
        others = Counter(place for _, _, places in inside for place in places)
        return {
            "longest_without_sample_ms": round(1000 * max(b - a for a, b in pairwise(moments)), 1),
            "main_thread_in": _shares(Counter(place for _, place, _ in inside), len(inside)),
            "other_threads_in": _shares(others, len(inside)),
        }


def _shares(places: Counter[str], count: int) -> dict[str, float]:
    return {place: round(found / count, 2) for place, found in places.most_common(4)}


def pauses(beats: list[Beat], sampler: Sampler) -> list[dict[str, Any]]:
    """Return the three longest pauses of the event loop in named phases, with what the threads did."""
    named = [pair for pair in pairwise(beats) if pair[0][3] and pair[1][3]]
    gaps = sorted(named, key=lambda pair: pair[0][0] - pair[1][0])[:3]
    return [
        {
            "pause_ms": round(1000 * (after[0] - before[0]), 1),
            "processor_main_thread_ms": round(1000 * (after[1] - before[1]), 1),
            "processor_all_threads_ms": round(1000 * (after[2] - before[2]), 1),
            "phase": before[3],
            **sampler.during(before[0], after[0]),
        }
        for before, after in gaps
    ]
