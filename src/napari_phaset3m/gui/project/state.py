"""What a window knows of its project: name, state, and what can be done with it now."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_phaset3m.gui.layers.publisher import LayerPublisher, publisher_for
from napari_phaset3m.project.model import SUFFIX
from napari_phaset3m.project.recovery import OpenMark, is_unnamed

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.project import ProjectLock, ProjectStore
    from napari_phaset3m.session import Session

UNNAMED = "Unnamed"


class ProjectState(QObject):
    """The state of one session's project.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: Name, state or what is being done changed.
    changed = Signal()
    #: (text, style role)
    said = Signal(str, str)
    #: A project was opened (a :class:`.Loaded`), and the session filled with it.
    opened = Signal(object)
    #: Somebody else (a :class:`.Holder`) has the project open.
    held = Signal(object)

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.token = uuid.uuid4().hex[:12]
        #: The project's folder; None as long as it has no name.
        self.folder: Path | None = None
        self.read_only = False
        self.working = ""
        self.saved_at = ""
        self.dirty = False
        self.error = ""
        self._store: ProjectStore | None = None
        self._lock: ProjectLock | None = None
        self._mark = OpenMark(self.token)
        self._made_of: dict[str, TiltFocalSeries] = {}
        self._silent = self._closed = False
        #: What the user asked for while something was being written.
        self._next: list[Callable[[], None]] = []
        #: Store and folder of what is being written or read now.
        self._job: tuple[ProjectStore, Path | None] | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return UNNAMED if self.folder is None else self.folder.name.removesuffix(SUFFIX)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to lose yet."""
        return self._session.series is None and not self._session.runs

    def suggestion(self) -> str:
        """A place and name to begin with, from the series."""
        session, known = self._session, self._session.series_path
        stem = Path(session.series_name or "project").stem
        folder = known.parent if known is not None and not is_unnamed(known.parent.parent) else Path()
        return str((self.folder.parent if self.folder else folder) / f"{stem}{SUFFIX}")

    def why_not_save(self) -> str:
        """Why it cannot be saved where it is; empty when it can."""
        if self.read_only:
            return "This project is open for reading only: use Save as…"
        return "" if self.folder is not None else "It has no name yet: use Save as…"

    def why_not_open(self) -> str:
        """Why no project can be opened in place of this one; empty when one can."""
        if self._session.active_run is not None:
            return "A reconstruction is running: finish or stop it first"
        driver = self._session.attachments.get("step driver")
        if driver is not None and driver.busy:
            return f"{driver.title} is running: finish or stop it first"
        return "A project is being opened" if self.working == "Opening" else ""

    # for the driver

    def _ended(self) -> tuple[ProjectStore, Path | None]:
        assert self._job is not None
        job, self._job, self.working = self._job, None, ""
        QTimer.singleShot(0, self._go_on)
        return job

    def _when_free(self, action: Callable[[], None]) -> None:
        """Do something the user asked for, once what is being written is written."""
        self._next.append(action)
        self._go_on()

    def _go_on(self) -> None:
        if self._next and not self.working:
            self._next.pop(0)()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Changes that come from here are not saved because of themselves."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _fail(self, text: str) -> None:
        self.error = text
        self.said.emit(text, "error")
        self.changed.emit()
