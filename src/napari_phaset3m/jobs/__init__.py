"""Run control shared by the command line, Python and napari; no Qt in here."""

from __future__ import annotations

from napari_phaset3m.jobs.control import RunControl
from napari_phaset3m.jobs.device_lock import DeviceLock, device_lock
from napari_phaset3m.jobs.mailbox import Mailbox
from napari_phaset3m.jobs.messages import JobEvent, PreviewFrame, Progress, Stopped, Waiting
from napari_phaset3m.jobs.runner import run

__all__ = [
    "DeviceLock",
    "JobEvent",
    "Mailbox",
    "PreviewFrame",
    "Progress",
    "RunControl",
    "Stopped",
    "Waiting",
    "device_lock",
    "run",
]
