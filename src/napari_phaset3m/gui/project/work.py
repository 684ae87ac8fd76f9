"""What a project's driver does in other threads, and which projects were used last."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.series.loader import user_settings
from napari_phaset3m.project import Loaded, ProjectLock, ProjectStore, Saved, Snapshot
from napari_phaset3m.project.recovery import OpenMark, is_unnamed, last_unnamed, lost_states

RECENT_MAX = 8
_RECENT = "recent projects"
#: Whose settings a project keeps (attachments of the session), and the module that holds them.
SETTINGS_OF = {
    "prepare work": "prepare.work", "align work": "align.work", "ctf work": "microscope.ctf_work",
    "optimise work": "optimise.work", "mask work": "mask.work", "analyse work": "analyse.work",
}  # fmt: skip


def save_store(
    store: ProjectStore, shot: Snapshot, copy_images: bool, mark: OpenMark, title: str
) -> tuple[Saved | None, Exception | None]:
    """Write a snapshot, and note that it can be offered after a crash."""
    try:
        if is_unnamed(store.folder):
            store.folder.parent.mkdir(parents=True, exist_ok=True)
        saved = store.save(shot, copy_images=copy_images)
        mark.set(store.folder, title)
    except (PhaseT3MError, OSError, MemoryError) as error:
        return None, error
    return saved, None


def load_store(
    store: ProjectStore, found: Path, series_at: Path | None
) -> tuple[Loaded | None, Exception | None]:
    """Read a project; one without a name is taken over as the present window's own."""
    try:
        if found != store.folder:
            _take_over(found, store.folder)
        loaded = store.load(series_at=series_at)
        for key in loaded.project.panels:  # what panels need takes long to import
            if key not in SETTINGS_OF:
                raise PhaseT3MError(f"{found}: holds settings of '{key}', which this version lacks")
            import_module(f"napari_phaset3m.gui.{SETTINGS_OF[key]}")
    except (PhaseT3MError, OSError, MemoryError) as error:
        return None, error
    return loaded, None


def _take_over(found: Path, target: Path) -> None:
    before = target.with_name(f"{target.stem}_before{target.suffix}")
    if target.exists():
        target.rename(before)
    found.rename(target)
    if before.exists():
        keep_as_last(before)
    for state in lost_states():
        if state.folder == found:
            state.mark.unlink(missing_ok=True)


def finish_soon(
    store: ProjectStore | None, folder: Path | None, shot: Snapshot | None, lock: ProjectLock | None,
    mark: OpenMark,
) -> None:  # fmt: skip
    """Write what changed last and give the project back, after its window is gone."""
    # Not a daemon: Python ends when it is done. The store waits for a saving that is under way.
    threading.Thread(target=_finish, args=(store, folder, shot, lock, mark), name="phaset3m-project").start()


def _finish(
    store: ProjectStore | None, folder: Path | None, shot: Snapshot | None, lock: ProjectLock | None,
    mark: OpenMark,
) -> None:  # fmt: skip
    if store is not None and shot is not None:
        with suppress(PhaseT3MError, OSError, MemoryError):
            store.save(shot)
    if lock is not None:
        lock.release()
    if store is not None and folder is None:
        keep_as_last(store.folder)
    mark.clear()


def keep_as_last(folder: Path) -> None:
    """A project without a name stays, as the last one, until the next is left."""
    last = last_unnamed()
    with suppress(OSError):
        if last.exists():
            old = last.with_name(f"{folder.stem}_old")
            last.rename(old)
            remove_soon(old)
        folder.rename(last)


def remove_soon(folder: Path) -> None:
    """Delete a folder in a thread of its own."""
    threading.Thread(target=shutil.rmtree, args=(folder, True), name="phaset3m-project").start()


def remember(folder: Path) -> None:
    """Put a project on top of the recent ones."""
    full = str(folder.resolve())
    others = (path for path in recent_projects() if path != full)
    user_settings().setValue(_RECENT, [full, *others][:RECENT_MAX])


def recent_projects() -> list[str]:
    """Projects opened or saved last that still exist, newest first."""
    value = user_settings().value(_RECENT, []) or []
    paths = [value] if isinstance(value, str) else list(value)
    return [path for path in paths if Path(path).is_dir()]
