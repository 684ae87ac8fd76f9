"""Who has a project open: a file in its folder, so that nobody writes it twice at a time."""

from __future__ import annotations

import json
import os
import platform
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_phaset3m.io.atomic import output_error, write_text

LOCK = "lock.json"
#: Start times of one process, read at different moments, differ by less, seconds.
_SAME_START = 2.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has, or had, something open.

    Attributes
    ----------
    token : str
        Of the window in that process.
    pid : int
    host : str
    started : float
        When the process was started, seconds since the epoch; tells it from a later one of the same number.
    since : float
    """

    token: str
    pid: int
    host: str
    started: float
    since: float

    @classmethod
    def me(cls, token: str | None = None) -> Holder:
        """The process that asks, now."""
        now = datetime.now().timestamp()
        pid = os.getpid()
        return cls(token or uuid.uuid4().hex[:12], pid, platform.node(), _started(pid) or now, now)

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Who wrote a lock or a marker; None when nobody did, or nobody can tell."""
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    @classmethod
    def of(cls, data: Any) -> Holder | None:
        """From plain data; None when it is of another kind."""
        try:
            return cls(str(data["token"]), int(data["pid"]), str(data["host"]), float(data["started"]),
                       float(data["since"]))  # fmt: skip
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs; a process of another computer is taken to."""
        if self.host != platform.node():
            return True
        started = _started(self.pid)
        return started is not None and abs(started - self.started) < _SAME_START

    def words(self) -> str:
        """Where and since when, for a person."""
        when = datetime.fromtimestamp(self.since).strftime("%d %b %H:%M")
        where = "in another window" if self.host == platform.node() else f"on {self.host}"
        return f"{where} since {when}"


class ProjectLock:
    """The lock of one project folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._mine: Holder | None = None

    def holder(self) -> Holder | None:
        """Who else has it open now."""
        found = Holder.read(self.path)
        mine = self._mine is not None and found is not None and found.token == self._mine.token
        return None if found is None or mine or not found.alive else found

    def left_behind(self) -> bool:
        """Whether a process that had it open is gone without closing it."""
        found = Holder.read(self.path)
        return found is not None and not found.alive

    def take(self, token: str, *, over: bool = False) -> Holder | None:
        """Open it for writing; who prevents that, if somebody does (not when taken ``over``).

        Raises
        ------
        OutputError
            The folder cannot be written to.
        """
        other, me = self.holder(), Holder.me(token)
        if other is not None and not over:
            return other
        text = json.dumps(asdict(me))
        if other is None and not self.path.exists():
            try:  # two at a time: only one makes the file
                with self.path.open("x", encoding="utf-8") as stream:
                    stream.write(text)
            except FileExistsError:
                return self.holder()
            except OSError as error:
                raise output_error(self.path, error) from error
        else:
            write_text(self.path, text)
        self._mine = me
        return None

    def release(self) -> None:
        """Give it back, if it is ours."""
        found = Holder.read(self.path)
        if self._mine is not None and found is not None and found.token == self._mine.token:
            with suppress(OSError):
                self.path.unlink()
        self._mine = None


def _started(pid: int) -> float | None:
    """When a process of this computer was started; None when there is none of this number."""
    try:
        import psutil
    except ImportError:
        return _started_without(pid)
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _started_without(pid: int) -> float | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return 0.0
    return 0.0
