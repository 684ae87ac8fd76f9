"""The import that is being set up or runs; belongs to the session, so that the dialog may be closed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_phaset3m.errors import DataError, PhaseT3MError
from napari_phaset3m.gui.controlled_job import WindowJob
from napari_phaset3m.gui.importing.jobs import Imported, looked, picture_of, run_import
from napari_phaset3m.gui.importing.target import target_of, why_kept, written_files
from napari_phaset3m.gui.series.loader import remember, suit_dark_field
from napari_phaset3m.gui.widgets.field_words import in_import_words
from napari_phaset3m.gui.widgets.numbers import parse_angles
from napari_phaset3m.gui.worker import in_background, start_job
from napari_phaset3m.io.import_angles import with_angles
from napari_phaset3m.io.import_config import ImportConfig, binned_shape
from napari_phaset3m.io.import_load import LoadProgress, forecast_bytes
from napari_phaset3m.io.limits import MEMORY_SHARE, available_memory
from napari_phaset3m.jobs import RunControl

if TYPE_CHECKING:
    from napari_phaset3m.io.import_plan import ImportPlan
    from napari_phaset3m.session import Session

_KEY = "import"


class ImportWork(WindowJob):
    """Plan, settings and the running import of one session.

    Parameters
    ----------
    session : Session
    """

    #: A picture is there: data or None, step.
    pictured = Signal(object, int)
    progressed = Signal(str, float)
    #: An import ended well.
    finished = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.paths: tuple[Path, ...] = ()
        self.plan: ImportPlan | None = None
        self.config = ImportConfig()
        #: Whether hot pixels are replaced before images are turned.
        self.outliers = False
        self.target: Path | None = None
        self.error = self.message = ""
        #: Why the bin or crop that is shown cannot be.
        self.refused = ""
        #: The last import failed because images have no level that could be scaled to 1.
        self.no_background = False
        self.looking, self.row = False, 0
        self._token = self._picture_token = 0
        self._written: Path | None = None

    # looking

    def look(self, paths: Sequence[Path]) -> None:
        """Recognise what is in files and folders, in the background."""
        if self.busy or not paths:
            return
        self._token += 1
        self._picture_token += 1  # a picture that is still read is of other files
        self.paths, self.looking, self.error, self.message = tuple(paths), True, "", ""
        in_background(partial(looked, self._token, self.paths), self._on_looked, self._on_crash)
        self.changed.emit()

    def _on_looked(self, answer: tuple[int, ImportPlan | None, str]) -> None:
        token, plan, error = answer
        if token != self._token:
            return
        self.looking, self.error, self.plan = False, error, plan
        self.config = ImportConfig() if plan is None else plan.config
        self.row, self.target, self.refused = 0, None, ""
        if plan is not None:
            self.target = target_of(self.paths, plan)
            self.show_row(0)
        self.changed.emit()

    def _on_crash(self, error: Exception) -> None:
        if self.looking:  # what is shown is of other files
            self.looking, self.plan = False, None
        self.error = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self.changed.emit()
        raise error

    # mending

    def set_plan(self, plan: ImportPlan) -> None:
        """Take a mended plan."""
        before, self.plan, self.error = self.plan, plan, ""
        if before is not None and _pixels(before, self.row) != _pixels(plan, self.row):
            self.show_row(self.row)
        self.changed.emit()

    def edit(self, confirm: Sequence[str] = (), **values: Any) -> str:
        """Change what holds for all images, or answer questions; returns what is wrong with it."""
        if self.plan is None:
            return ""
        try:
            self.set_plan(self.plan.edited(confirm=confirm, **values))
        except PhaseT3MError as error:
            return in_import_words(error)
        return ""

    def give_angles(self, text: str) -> str:
        """Take tilt angles as they are typed, or of a file; returns what is wrong with them."""
        if self.plan is None:
            return ""
        try:
            self.set_plan(with_angles(self.plan, parse_angles(text)))
        except PhaseT3MError as error:
            return in_import_words(error)
        return ""

    def ungroup(self) -> None:
        """Make each image a tilt of its own."""
        if self.plan is not None:
            self.set_plan(self.plan.ungrouped())

    def give_gain(self, path: Path | None) -> str:
        """Take a gain reference of movies, or none; returns what is wrong with it."""
        if path is not None and not path.is_file():
            return f"{path}: no such file"
        return self.edit(gain=path)

    def set_config(self, **values: Any) -> str:
        """Change bin or crop; returns what is wrong with it."""
        try:
            config = ImportConfig.parse(**{**self.config.model_dump(), **values})
            if self.plan is not None:
                binned_shape(self.plan.image_shape, config)
        except PhaseT3MError as error:
            self.refused = in_import_words(error)
            self.changed.emit()
            return self.refused
        self.config, self.refused = config, ""
        self.changed.emit()
        return ""

    def show_row(self, row: int) -> None:
        """Read the image of a row for the picture, in the background; the newest request wins."""
        if self.plan is None or not 0 <= row < len(self.plan.images):
            return
        self.row = row
        self._picture_token += 1
        job = partial(picture_of, self._picture_token, self.plan, self.plan.images[row])
        in_background(job, self._on_picture, self._on_crash)

    def _on_picture(self, answer: tuple[int, np.ndarray | None, int, str]) -> None:
        token, image, step, error = answer
        if token == self._picture_token:
            self.error = error
            self.pictured.emit(image, step)
            self.changed.emit()

    # importing

    def memory(self) -> tuple[int, int]:
        """(bytes that loading needs at most, bytes there are)."""
        needed = 0 if self.plan is None else forecast_bytes(self.plan, self.config)
        return needed, int(MEMORY_SHARE * available_memory())

    def why_not(self) -> str:
        """Why nothing can be imported now; empty when it can."""
        if self.busy:
            return "An import is running"
        if self.looking:
            return "Looking through the files …"
        plan = self.plan
        if plan is None:
            return self.error or "Choose files or a folder first"
        if any(entry.tilt_deg is None for entry in plan.images):
            return "Tilt angles are not known: give them"
        try:
            plan.check()
        except PhaseT3MError as error:
            return in_import_words(error)
        if self.refused:  # what is shown is not what would be done
            return self.refused
        for name, value in (("Pixel size", plan.pixel_size_angstrom), ("Voltage", plan.energy_ev)):
            if value is None:
                return f"{name} is not known: give it"
        if plan.questions:
            count = len(plan.questions)
            return (
                "Confirm the line marked above" if count == 1 else f"Confirm the {count} lines marked above"
            )
        if not any(entry.used for entry in plan.images):
            return "At least one image must be used"
        taken = {*self.paths, *(entry.file for entry in plan.images)} & set(written_files(self.target))
        if taken:
            return f"{taken.pop().name} is what is imported: save under another name"
        if why := why_kept(self.target):
            return why
        needed, there = self.memory()
        return "" if needed <= there else "It would not fit in the memory: bin or crop"

    def start(self, *_: object, dark_field: bool = False) -> None:
        """Load and write in the background; ``dark_field`` inverts STEM images."""
        if self.why_not() or self.plan is None:
            return
        self._control, self.error, self.message = RunControl(), "", ""
        self.no_background, self._written = False, None
        self._worker = start_job(
            run_import,
            self.plan,
            self.config,
            self.target,
            control=self._control,
            dark_field=dark_field,
            outliers=self.outliers,
            window=self._window,
            title="An import",
            connect={"yielded": self._on_event, "errored": self._on_error, "finished": self._on_finished},
        )
        self.changed.emit()

    def _on_event(self, event: Any) -> None:
        if isinstance(event, LoadProgress):
            self.progressed.emit(event.text, event.fraction)
        elif isinstance(event, Imported):
            self._written = event.path
            if not self._control.stopped:  # else it was stopped while it was written
                self._open(event)

    def _open(self, event: Imported) -> None:
        session = self._session
        session.series_read, session.series_overrides = event.series, {}
        session.series_path = event.path
        session.series = event.series
        remember(event.path)
        self.message = "Imported" if event.path is None else f"Imported; written {event.path.name}"
        suit_dark_field(session)

    def _on_error(self, error: Exception) -> None:
        text = in_import_words(error)
        self.no_background = isinstance(error, DataError) and error.field == "tilt_series"
        if self.no_background:
            text = f"{text.partition('. Give')[0]}. Are the images dark-field (HAADF-STEM)?"
        known = isinstance(error, PhaseT3MError | MemoryError | OSError)
        self.error = text if known else f"{type(error).__name__}: {text}"
        if not known:
            from napari.utils.notifications import notification_manager

            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _on_finished(self) -> None:
        self._worker = None
        if self.message:
            self.finished.emit()
        elif not self.error:
            name = "" if self._written is None else self._written.name
            self.message = (
                f"Stopped when {name} was written already; it is not open"
                if name
                else "Stopped; nothing was written"
            )
        self.changed.emit()


def _pixels(plan: ImportPlan, row: int) -> tuple[object, ...] | None:
    """Where the image of a row is read from."""
    if row >= len(plan.images):
        return None
    return plan.images[row].file, plan.images[row].section, plan.gain, plan.movies


def import_work_for(session: Session) -> ImportWork:
    """Return the import of a session, made on first use."""
    found: ImportWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = ImportWork(session)
    return found
