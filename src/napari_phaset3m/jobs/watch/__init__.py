"""Watch a folder while the microscope runs: tilts are checked as they arrive, and a quick volume follows."""

from __future__ import annotations

from napari_phaset3m.jobs.watch.config import WatchConfig
from napari_phaset3m.jobs.watch.events import Looked, QuickFailed, QuickVolume, TiltRow, WatchProgress
from napari_phaset3m.jobs.watch.handover import hand_over
from napari_phaset3m.jobs.watch.loop import iterate_watch

__all__ = [
    "Looked",
    "QuickFailed",
    "QuickVolume",
    "TiltRow",
    "WatchConfig",
    "WatchProgress",
    "hand_over",
    "iterate_watch",
]
