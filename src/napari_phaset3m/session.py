"""The state of one viewer: what is loaded, what is set, what ran; no Qt in here.

Widgets come and go; the session stays for as long as its viewer, so that a
reopened panel finds everything as it was. All fields are changed in the main
thread, and every change is announced through :attr:`Session.events`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal, SignalGroupDescriptor

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import DeviceName
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.jobs.messages import PreviewFrame, Progress
from napari_phaset3m.series_history import SeriesHistory, edit_name
from napari_phaset3m.series_identity import mark_of
from napari_phaset3m.session_records import ACTIVE, NamedMask, RunRecord, RunStatus, SeriesSource

__all__ = ["ACTIVE", "NamedMask", "RunRecord", "RunStatus", "SeriesSource", "Session", "session_for"]


@dataclass(eq=False)
class Session:
    """What belongs to one viewer.

    Attributes
    ----------
    series : TiltFocalSeries or None
    series_path : Path or None
        File it came from.
    series_title : tuple or None
        (file, what to call the series that is read from it), where it is not called like the file.
    series_overrides : dict
        What it was completed with when it was read.
    series_read : TiltFocalSeries or None
        The series as it was read; ``series`` differs from it where it was edited.
    series_mark : str
        Of the series as it was opened (:func:`.series_identity.mark_of`), whatever was done to it since;
        empty when there is none.
    shown_image : tuple of int
        (tilt index, focus index) that the panels look at.
    history : SeriesHistory
        Earlier states of ``series``. Follows every change of it.
    config : ReconstructionConfig
    device : {"auto", "cpu", "cuda"}
    mask : ndarray or None
        `(nz, ny, nx)`, 0..1; goes into runs, also into the one that is active.
    mask_name : str
        What to call it.
    mask_recipe : dict
        The steps that ``mask`` was made with; empty when they are not known.
    analysis_mask : NamedMask or None
        What analysis is confined to.
    active_run : str or None
        Id of the run that is under way.
    progress : Progress or None
        Of the active run.
    frame : PreviewFrame or None
        Newest picture of the newest run.
    live : bool
        Whether previews are shown while running.
    watch_fourier : bool
        Whether somebody looks at the Fourier transform, so that it is worth computing.
    message : str
        One line for the status bar of the workspace.
    runs : list of RunRecord
        Oldest first. Change through :meth:`add_run` and :meth:`update_run`.
    attachments : dict
        Things that must live as long as the session (e.g. the job's driver).
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={
            "series": operator.is_,
            "mask": operator.is_,
            "series_overrides": operator.is_,
            "series_read": operator.is_,
            "history": operator.is_,
            "analysis_mask": operator.is_,
            "frame": operator.is_,
            "runs": operator.is_,
            "attachments": operator.is_,
        },
    )
    run_added: ClassVar[Signal] = Signal(RunRecord)
    #: Another series than before is open, or none; comes before the panels hear of ``events.series``.
    opened: ClassVar[Signal] = Signal()
    run_changed: ClassVar[Signal] = Signal(RunRecord)
    run_removed: ClassVar[Signal] = Signal(RunRecord)

    series: TiltFocalSeries | None = None
    series_path: Path | None = None
    series_title: tuple[Path, str] | None = None
    series_overrides: dict[str, Any] = field(default_factory=dict)
    series_read: TiltFocalSeries | None = None
    series_mark: str = ""
    shown_image: tuple[int, int] = (0, 0)
    history: SeriesHistory = field(default_factory=SeriesHistory)
    config: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    device: DeviceName = "auto"
    mask: np.ndarray | None = None
    mask_name: str = ""
    mask_recipe: dict[str, Any] = field(default_factory=dict)
    analysis_mask: NamedMask | None = None
    active_run: str | None = None
    progress: Progress | None = None
    frame: PreviewFrame | None = None
    live: bool = True
    watch_fourier: bool = False
    message: str = ""
    runs: list[RunRecord] = field(default_factory=list)
    attachments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._of: tuple[float, Path | None] | None = None
        self.events.series.connect(self._on_series)
        if self.series is not None:
            self._begin(self.series)

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        known = self.history.current
        if known is not None and series is known.series:
            return  # a step, an undo or a redo, which the history knows already
        if series is None or known is None or series is self.series_read:
            self._begin(series)
        elif np.may_share_memory(series.images, known.series.images):
            self.history.add(series, edit_name(known.series, series))
        else:
            self._begin(series)

    def _begin(self, series: TiltFocalSeries | None) -> None:
        """Another series: what was said of the one before, and the voxel typed for it, are over."""
        before = self._of
        self._of = None if series is None else (series.pixel_size_angstrom, self.series_path)
        self.series_mark = "" if series is None else mark_of(series)
        self.history.begin(series)
        if self.active_run is None:
            self.message = ""
        typed = self.config.voxel_angstrom
        if typed is not None and before is not None and self._of is not None and before != self._of:
            self.config = self.config.model_copy(update={"voxel_angstrom": None})
            self.message = f"Voxel: {typed:g} Å was of the series before; now it is as the pixel"
        self.opened.emit()

    def apply(self, series: TiltFocalSeries, name: str, merge: object = None) -> None:
        """Put a changed series in place of the present one, so that it can be undone.

        Parameters
        ----------
        series : TiltFocalSeries
        name : str
            What was done, for the list of steps.
        merge : object, optional
            Changes with the same value in a row are undone together.
        """
        self.history.add(series, name, merge)
        self.series = series

    def go_to(self, position: int) -> None:
        """Take an earlier or later state of the series."""
        self.series = self.history.go_to(position)

    def undo(self) -> None:
        """Take the last step back, if there is one."""
        if self.history.can_undo:
            self.go_to(self.history.position - 1)

    def redo(self) -> None:
        """Do the step again that was taken back last, if there is one."""
        if self.history.can_redo:
            self.go_to(self.history.position + 1)

    def run(self, run_id: str | None) -> RunRecord | None:
        """The record of a run, or None."""
        return next((record for record in self.runs if record.run_id == run_id), None)

    def add_run(self, record: RunRecord) -> None:
        """Register a run and announce it."""
        self.runs.append(record)
        self.run_added.emit(record)

    def update_run(self, run_id: str, **changes: Any) -> RunRecord | None:
        """Change fields of a run and announce it; None when it is unknown."""
        record = self.run(run_id)
        if record is None:
            return None
        for name, value in changes.items():
            if name not in record.__dataclass_fields__:
                raise AttributeError(f"a run has no field {name!r}")
            setattr(record, name, value)
        self.run_changed.emit(record)
        return record

    def remove_run(self, run_id: str) -> None:
        """Forget a run that is no longer active."""
        record = self.run(run_id)
        if record is None or record.active:
            return
        self.runs.remove(record)
        self.run_removed.emit(record)

    def source(self) -> SeriesSource:
        """Where the series comes from; without a path when it cannot be read again as it is."""
        from napari_phaset3m.io.series_edits import series_edits

        read, now = self.series_read, self.series
        edits = series_edits(read, now) if read is not None and now is not None else None
        if edits is None:
            return SeriesSource()
        return SeriesSource(self.series_path, dict(self.series_overrides), edits)

    @property
    def series_name(self) -> str:
        """Name to show for the series; empty when there is none."""
        if self.series is None:
            return ""
        if self.series_path is not None:
            title = self.series_title
            return title[1] if title is not None and title[0] == self.series_path else self.series_path.name
        return str(self.series.metadata.get("name", "unnamed series"))


_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session_for(viewer: Any) -> Session:
    """The session of a viewer; made on first use, gone with the viewer.

    Parameters
    ----------
    viewer : napari.Viewer, napari.components.ViewerModel or any weakly referable object
        napari's read-only proxies are looked through.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    session = _SESSIONS.get(viewer)
    if session is None:
        session = _SESSIONS[viewer] = Session()
    return session
