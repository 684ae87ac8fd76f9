"""A slot that keeps the newest thing put into it.

The worker never waits for the window and the window never sees stale frames:
whatever was not collected in time is dropped.
"""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Latest-wins hand-over from one thread to another.

    Attributes
    ----------
    dropped : int
        Entries that were replaced before anybody collected them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._item: T | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        """Leave ``item``, replacing what was not collected."""
        with self._lock:
            if self._item is not None:
                self.dropped += 1
            self._item = item

    def take(self) -> T | None:
        """Collect the newest entry and empty the slot; None when it is empty."""
        with self._lock:
            item, self._item = self._item, None
            return item

    def clear(self) -> None:
        """Throw away what is in the slot."""
        with self._lock:
            self._item = None

    @property
    def full(self) -> bool:
        """Whether an entry waits to be collected."""
        with self._lock:
            return self._item is not None
