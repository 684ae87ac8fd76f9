"""What the main thread does while a window does not answer, by sampling its stack."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any


class Sampler(threading.Thread):
    """Where the main thread is, sampled while it runs.

    Attributes
    ----------
    samples : list of (time, place)
        Place: innermost functions, this package's or napari's or vispy's first.
    """

    PERIOD = 0.005
    _OURS = ("napari_phaset3m", "napari", "vispy")

    def __init__(self) -> None:
        super().__init__(daemon=True, name="sampler")
        self.samples: list[tuple[float, str]] = []
        self._main = threading.main_thread().ident
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until :meth:`end`."""
        while not self._ended.wait(self.PERIOD):
            frame = sys._current_frames().get(self._main or 0)
            if frame is not None:
                self.samples.append((time.monotonic(), self._place(frame)))

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()

    def _place(self, frame: Any) -> str:
        inner = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
        chain = []
        while frame is not None:
            module = frame.f_globals.get("__name__", "").partition(".")[0]
            name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
            if module in self._OURS and (not chain or chain[-1] != name):
                chain.append(name)
            frame = frame.f_back
        kept = chain[-1:-4:-1] if len(chain) > 3 else chain[::-1]
        return " > ".join([*kept, *([inner] if inner not in kept else [])]) or inner

    def during(self, begin: float, end: float) -> list[dict[str, Any]]:
        """Share of each place between two times, largest first, at most five."""
        found = Counter(place for moment, place in self.samples if begin <= moment <= end)
        total = sum(found.values())
        return [
            {"main_thread_in": place, "share": round(count / total, 2)}
            for place, count in found.most_common(5)
        ]


def pauses(beats: list[tuple[float, float, str]], sampler: Sampler) -> list[dict[str, Any]]:
    """Return the three longest pauses of the event loop, with what the main thread did in them."""
    gaps = sorted(pairwise(beats), key=lambda pair: pair[0][0] - pair[1][0])[:3]
    return [
        {
            "pause_ms": round(1000 * (after[0] - before[0]), 1),
            "processor_ms": round(1000 * (after[1] - before[1]), 1),
            "phase": before[2],
            "samples": sum(before[0] <= moment <= after[0] for moment, _ in sampler.samples),
            "during": sampler.during(before[0], after[0]),
        }
        for before, after in gaps
    ]
