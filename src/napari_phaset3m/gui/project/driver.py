"""The project of a window: saved as one works, opened, and offered again after a crash."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import one_line, with_kind
from napari_phaset3m.gui.project.layers import capture_layers
from napari_phaset3m.gui.project.open import fill_session
from napari_phaset3m.gui.project.state import UNNAMED, ProjectState
from napari_phaset3m.gui.project.view import capture_panels, capture_view
from napari_phaset3m.gui.project.work import (
    finish_soon,
    keep_as_last,
    load_store,
    remember,
    remove_soon,
    save_store,
)
from napari_phaset3m.gui.worker import WindowWatch, in_background
from napari_phaset3m.project import Holder, Loaded, ProjectLock, ProjectStore, Saved, Snapshot, take_snapshot
from napari_phaset3m.project.model import FILE, SUFFIX
from napari_phaset3m.project.recovery import is_unnamed, unnamed_project

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import RunRecord, Session

_KEY = "project"
#: After a change it is waited for so long, ms, so that several in a row are written once.
DELAY_MS = 1500
#: After a failure it is tried again so much later, ms.
RETRY_MS = 30_000
#: How it begins when saving failed.
NOT_SAVED = "Not saved"


class ProjectDriver(ProjectState):
    """Saves and opens the project of one session; outlives the panels.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__(session, viewer)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._autosave)
        self._window = WindowWatch(self.close, self)
        events = session.events
        for signal in (events.series, events.config, events.device, events.mask, events.analysis_mask):
            signal.connect(self.touch)
        session.run_added.connect(self._on_run_added)
        session.run_changed.connect(self._on_run_changed)
        session.run_removed.connect(self.touch)

    def watch_window(self, window: QObject) -> None:
        """Save and give the project back when this window is closed."""
        self._window.watch(window)

    @property
    def store(self) -> ProjectStore | None:
        """Where it is written; None as long as nothing was."""
        return self._store

    # saving

    def touch(self, *_: object) -> None:
        """Something changed: save soon, in the background."""
        if self._silent or self._closed or self.read_only or (self.folder is None and self.empty):
            return
        if not self.dirty:
            self.dirty = True
            self.changed.emit()
        if not self._timer.isActive():
            self._timer.start(DELAY_MS)

    def _on_run_added(self, record: RunRecord) -> None:
        if record.source.path is None and self._session.series is not None and not self._silent:
            self._made_of[record.run_id] = self._session.series  # in no file yet: the project keeps it
        self.touch()

    def _on_run_changed(self, record: RunRecord) -> None:
        if not record.active:
            self.touch()

    def _autosave(self) -> None:
        if self.working:
            self._timer.start(DELAY_MS)
        elif self.dirty and not self._closed:
            self._write(self.folder)

    def save(self) -> None:
        """Save now where it is."""
        if not self.why_not_save():
            self._when_free(partial(self._write, self.folder))

    def save_as(self, folder: Path, *, copy_images: bool = False) -> None:
        """Save under a name, and go on with that project.

        Parameters
        ----------
        folder : Path
            ``.phaset3m`` is appended where it is missing.
        copy_images : bool
            Keep the images of the series in it too.
        """
        folder = folder if folder.name.endswith(SUFFIX) else folder.with_name(folder.name + SUFFIX)
        if folder != self.folder and (folder / FILE).exists():
            self._fail(f"{folder.name} is another project: choose another name")
            return
        other = ProjectLock(folder).holder()
        if other is not None and other.token != self.token:
            self._fail(f"{folder.name} is open {other.words()}: choose another name")
            return
        self._when_free(partial(self._write, folder, copy_images))

    def snapshot(self) -> Snapshot:
        """What there is now."""
        session, viewer = self._session, self.publisher.viewer
        return take_snapshot(
            session, made_of=self._made_of, panels=capture_panels(session),
            view=capture_view(viewer, session), layers=capture_layers(session, self.publisher),
        )  # fmt: skip

    def _write(self, folder: Path | None, copy_images: bool = False) -> None:
        place = folder or unnamed_project(self.token)
        store = self._store
        if store is None or store.folder != place:
            store = ProjectStore(place)
        self.working, self.dirty = "Saving", False
        self._job = store, folder
        title = UNNAMED if folder is None else folder.name.removesuffix(SUFFIX)
        job = partial(save_store, store, self.snapshot(), copy_images, self._mark, title)
        in_background(job, self._on_saved, self._on_crash)
        self.changed.emit()

    def _on_saved(self, answer: tuple[Saved | None, Exception | None]) -> None:
        (saved, error), (store, folder) = answer, self._ended()
        if saved is None:
            self.dirty = True
            self._fail(f"{NOT_SAVED}: {one_line(error)}")
            if folder == self.folder and not self._closed:
                self._timer.start(RETRY_MS)
            return
        self.error = ""
        renamed = folder != self.folder
        self._settle(store, folder)
        self._take_sources(saved)
        self.saved_at = datetime.now().strftime("%H:%M")
        if renamed and folder is not None:
            remember(folder)
            self.said.emit(f"Saved {folder.name}", "good")
        self.changed.emit()

    def _settle(self, store: ProjectStore, folder: Path | None) -> None:
        """Go on with this store: lock it, and let go of the one before."""
        if self._store is not store:
            before = self._store
            self._release()
            self._store = store
            if folder is not None:
                self._lock = ProjectLock(folder)
                self._lock.take(self.token)
                if before is not None and is_unnamed(before.folder):
                    remove_soon(before.folder)
        elif self._lock is not None and not self._lock.path.exists():
            self._lock.take(self.token)  # the folder was gone for a while: an unplugged disk
        if folder is not None:
            self.folder, self.read_only = folder, False

    def _take_sources(self, saved: Saved) -> None:
        """Images that went into the project are read from there from now on."""
        session = self._session
        with self._quietly():
            for run_id, source in saved.sources.items():
                self._made_of.pop(run_id, None)
                session.update_run(run_id, source=source)
            if saved.rebased is not None and session.series_read is not None:
                title = session.series_name
                session.series_path, fields = saved.rebased
                session.series_title = session.series_path, title
                session.series_read, session.series_overrides = session.series_read.replace(**fields), {}

    # opening

    def open(self, folder: Path, *, series_at: Path | None = None) -> None:
        """Read a project in the background, in place of what is there."""
        why = self.why_not_open()
        if why:
            self._fail(why)
            return
        self._when_free(partial(self._open, folder, series_at))

    def _open(self, folder: Path, series_at: Path | None) -> None:
        self._timer.stop()
        self.working = "Opening"
        unnamed = is_unnamed(folder)
        if self.folder is None and self._store is not None and not unnamed:
            keep_as_last(self._store.folder)
        store = ProjectStore(unnamed_project(self.token) if unnamed else folder)
        self._job = store, None if unnamed else folder
        in_background(partial(load_store, store, folder, series_at), self._on_loaded, self._on_crash)
        self.changed.emit()

    def _on_loaded(self, answer: tuple[Loaded | None, Exception | None]) -> None:
        (loaded, error), (store, folder) = answer, self._ended()
        if loaded is None:
            self._fail(one_line(error))
            return
        self._release()
        holder, self.read_only, self._made_of = None, False, {}
        self._store, self.folder, self.dirty = store, folder, False
        if folder is not None:
            self._lock = ProjectLock(folder)
            holder = self._take(self._lock)
            remember(folder)
        with self._quietly():
            problems = fill_session(self._session, self.publisher, loaded)
        self.saved_at = self.error = ""
        self.opened.emit(loaded)
        for line in (*loaded.problems, *problems):
            self.said.emit(line, "warning")
        if holder is not None:
            self.held.emit(holder)
        if folder is None:
            self.touch()
        self.changed.emit()

    def _take(self, lock: ProjectLock) -> Holder | None:
        try:
            holder = lock.take(self.token)
        except PhaseT3MError as error:  # a folder that cannot be written to can still be looked at
            self.read_only = True
            self.said.emit(one_line(error), "warning")
            return None
        self.read_only = holder is not None
        return holder

    def take_over(self) -> None:
        """Write to the project all the same, though somebody else has it open."""
        if self._lock is not None:
            self._lock.take(self.token, over=True)
            self.read_only = False
            self.touch()
            self.changed.emit()

    def close_project(self) -> None:
        """Begin anew with an empty, unnamed project; the present one stays as it was saved last."""
        self._release()
        if self.folder is None and self._store is not None:
            keep_as_last(self._store.folder)
        with self._quietly():
            fill_session(self._session, self.publisher, None)
        self._store, self.folder, self.read_only, self.dirty = None, None, False, False
        self._made_of, self.saved_at, self.error = {}, "", ""
        self.opened.emit(None)
        self.changed.emit()

    # ending

    def close(self) -> None:
        """The window was closed: save what changed last, and give the project back."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        store, folder = self._store, self.folder
        shot = self.snapshot() if store is not None and not self.read_only else None
        finish_soon(store, folder, shot, self._lock, self._mark)

    def _on_crash(self, error: Exception) -> None:
        self._ended()
        self._fail(with_kind(error))
        raise error


def project_for(session: Session, viewer: ViewerModel) -> ProjectDriver:
    """Return the project driver of a session, made on first use."""
    found: ProjectDriver | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = ProjectDriver(session, viewer)
    return found
