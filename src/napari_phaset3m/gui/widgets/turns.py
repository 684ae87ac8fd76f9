"""Work of the window's thread in turns, between which the window paints and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer

#: What was clicked is painted first. Not 0: Qt runs a timer of 0 ms before it returns to the event loop.
TURN_MS = 10


def in_turns(owner: QObject, *jobs: Callable[[], Any]) -> None:
    """Run each job in a turn of its own, in order, for as long as their owner lives.

    Parameters
    ----------
    owner : QObject
    *jobs : callable
        Without arguments; one that raises ends the row.
    """
    if not jobs:
        return
    kept = ref(owner)

    def run() -> None:
        living = kept()
        if living is not None and isalive(living):
            jobs[0]()
            in_turns(living, *jobs[1:])

    QTimer.singleShot(TURN_MS, run)
