"""The state of one viewer: what is loaded, what is set, what ran; no Qt in here.

Widgets come and go; the session stays for as long as its viewer, so that a
reopened panel finds everything as it was. All fields are changed in the main
thread, and every change is announced through :attr:`Session.events`.
"""

from __future__ import annotations

import operator
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal, SignalGroupDescriptor

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import DeviceName
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.jobs.messages import PreviewFrame, Progress
from napari_phaset3m.reconstruct.events import SweepDone

RunStatus = Literal["queued", "preparing", "running", "paused", "finished", "stopped", "failed"]
#: States in which a run holds or waits for a device.
ACTIVE: tuple[RunStatus, ...] = ("queued", "preparing", "running", "paused")


@dataclass(frozen=True, eq=False)
class NamedMask:
    """A mask with what is needed to check it against a volume.

    Attributes
    ----------
    mask : ndarray
        `(nz, ny, nx)` float32 in 0..1.
    voxel_size_angstrom : tuple of float
        (z, y, x).
    name : str
        What to call it in figures and reports.
    recipe : dict
        The steps it was made with.
    """

    mask: np.ndarray
    voxel_size_angstrom: tuple[float, float, float]
    name: str
    recipe: dict[str, Any]


@dataclass(frozen=True, eq=False)
class SeriesSource:
    """Where a series comes from, so that it can be read again as it is.

    Attributes
    ----------
    path : Path or None
        None when it was never read from a file, or its images were changed since.
    overrides : dict
        What ``load_series`` was given on top of the file.
    edits : dict
        Fields changed after that, see :mod:`napari_phaset3m.io.series_edits`.
    """

    path: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class RunRecord:
    """One reconstruction: what was asked for and what became of it.

    Attributes
    ----------
    run_id : str
    config : ReconstructionConfig
    status : str
        One of ``queued preparing running paused finished stopped failed``.
    device : str
        What it runs on, as the solver named it.
    series_name : str
    source : SeriesSource
        File of the series as it was at the start, and what was changed in it.
    mask : NamedMask or None
        What confined it from the start.
    sweeps : list of SweepDone
    n_sweeps : int
        Planned sweeps, 0 before the start.
    volume : ndarray or None
        `(nz, ny, nx)` float32 result, full size; None until finished.
    absorption : ndarray or None
        The absorptive part, as ``volume``; None when none was asked for.
    voxel_size_angstrom : float or None
        Of ``volume``.
    unit : str
    layer_names : list of str
        Layers made for this run.
    reason : str
        Why it ended.
    error : str
        One line, when it failed.
    notes : tuple of str
        What the solver wants the user to know.
    settings : dict
        All settings as resolved.
    seconds : float
        Computing time.
    started_at : float
        Seconds since the epoch.
    """

    run_id: str
    config: ReconstructionConfig
    status: RunStatus = "preparing"
    device: str = ""
    series_name: str = ""
    source: SeriesSource = field(default_factory=SeriesSource)
    mask: NamedMask | None = None
    sweeps: list[SweepDone] = field(default_factory=list)
    n_sweeps: int = 0
    volume: np.ndarray | None = None
    absorption: np.ndarray | None = None
    voxel_size_angstrom: float | None = None
    unit: str = "V"
    layer_names: list[str] = field(default_factory=list)
    reason: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    started_at: float = field(default_factory=time.time)

    @property
    def active(self) -> bool:
        """Whether it holds, or waits for, a device."""
        return self.status in ACTIVE


@dataclass(eq=False)
class Session:
    """What belongs to one viewer.

    Attributes
    ----------
    series : TiltFocalSeries or None
    series_path : Path or None
        File it came from.
    series_overrides : dict
        What it was completed with when it was read.
    series_read : TiltFocalSeries or None
        The series as it was read; ``series`` differs from it where it was edited.
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
            "analysis_mask": operator.is_,
            "frame": operator.is_,
            "runs": operator.is_,
            "attachments": operator.is_,
        },
    )
    run_added: ClassVar[Signal] = Signal(RunRecord)
    run_changed: ClassVar[Signal] = Signal(RunRecord)
    run_removed: ClassVar[Signal] = Signal(RunRecord)

    series: TiltFocalSeries | None = None
    series_path: Path | None = None
    series_overrides: dict[str, Any] = field(default_factory=dict)
    series_read: TiltFocalSeries | None = None
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
            return self.series_path.name
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
