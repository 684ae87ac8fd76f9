"""One job at a time on a GPU; the others queue and say for whom they wait."""

from __future__ import annotations

from threading import Lock


class DeviceLock:
    """First come, first served; polled, so that a queued job can be stopped.

    CUDA runs are exclusive: two of them would compete for memory and for FFT plan
    caches that are not stream-safe. CPU runs share the machine.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._queues: dict[str, list[str]] = {}

    def enter(self, kind: str, run_id: str) -> None:
        """Queue ``run_id`` for the device ``kind`` ("cpu" or "cuda")."""
        with self._lock:
            queue = self._queues.setdefault(kind, [])
            if run_id in queue:
                raise ValueError(f"run {run_id} is queued already")
            queue.append(run_id)

    def holder(self, kind: str, run_id: str) -> str | None:
        """The run that ``run_id`` waits for, or None when it may go."""
        if kind == "cpu":
            return None
        with self._lock:
            first = self._queues[kind][0]
            return None if first == run_id else first

    def leave(self, kind: str, run_id: str) -> None:
        """Give the place up; safe to call when there is none."""
        with self._lock:
            queue = self._queues.get(kind, [])
            if run_id in queue:
                queue.remove(run_id)


#: The lock of this process.
device_lock = DeviceLock()
