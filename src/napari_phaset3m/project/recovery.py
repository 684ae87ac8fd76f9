"""Which windows are open, so that what a crash left is offered; and a place for unnamed projects."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from napari_phaset3m.core.cache import cache_folder
from napari_phaset3m.io.atomic import write_text
from napari_phaset3m.project.lock import Holder
from napari_phaset3m.project.model import FILE, SUFFIX

#: What a crash left behind is kept for so long, days.
_KEEP_DAYS = 30


def recovery_folder() -> Path:
    """Where marks and unnamed projects are kept."""
    return cache_folder() / "recovery"


def unnamed_project(token: str) -> Path:
    """Folder of the project of a window that was never saved under a name."""
    return recovery_folder() / f"{token}{SUFFIX}"


def last_unnamed() -> Path:
    """Folder of the unnamed project that was closed last."""
    return recovery_folder() / f"last{SUFFIX}"


def is_unnamed(folder: Path) -> bool:
    """Whether a project is one that nobody gave a name."""
    return folder.parent.resolve() == recovery_folder().resolve()


@dataclass(frozen=True)
class LostState:
    """What a window that is gone without being closed had saved last.

    Attributes
    ----------
    mark : Path
    folder : Path
        The project.
    named : bool
        Whether the user had given it a name.
    title : str
        What to call it.
    saved_at : float
        Seconds since the epoch.
    """

    mark: Path
    folder: Path
    named: bool
    title: str
    saved_at: float

    def words(self) -> str:
        """Name and time, for a person."""
        when = datetime.fromtimestamp(self.saved_at).strftime("%d %b %H:%M")
        return f"{self.title}, as of {when}"


class OpenMark:
    """Says that a window is open, and where its state is; gone once the window was closed properly.

    Parameters
    ----------
    token : str
        Of the window.
    """

    def __init__(self, token: str) -> None:
        self._holder = Holder.me(token)
        self.path = recovery_folder() / f"{token}.json"

    def set(self, folder: Path, title: str) -> None:
        """Note the project that this window has open and has just saved.

        Raises
        ------
        OutputError
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        told = {**asdict(self._holder), "project": str(folder.resolve()), "title": title}
        write_text(self.path, json.dumps({**told, "saved_at": datetime.now().timestamp()}))

    def clear(self) -> None:
        """The window is closed."""
        with suppress(OSError):
            self.path.unlink()


def lost_states() -> list[LostState]:
    """What crashed windows left behind, newest first; what is too old or gone is tidied away."""
    found, root = [], recovery_folder()
    for mark in root.glob("*.json") if root.is_dir() else ():
        state = _lost(mark)
        if state is None:
            continue
        age = datetime.now().timestamp() - state.saved_at
        if not (state.folder / FILE).exists() or age > _KEEP_DAYS * 86400:
            forget(state)
        else:
            found.append(state)
    return sorted(found, key=lambda state: -state.saved_at)


def _lost(mark: Path) -> LostState | None:
    try:
        told = json.loads(mark.read_text(encoding="utf-8"))
        holder, folder = Holder.of(told), Path(told["project"])
        title, saved_at = str(told["title"]), float(told["saved_at"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if holder is None or holder.alive:
        return None
    return LostState(mark, folder, not is_unnamed(folder), title, saved_at)


def forget(state: LostState) -> None:
    """Do not offer it again; a project without a name is deleted."""
    with suppress(OSError):
        state.mark.unlink()
    if not state.named:
        shutil.rmtree(state.folder, ignore_errors=True)
