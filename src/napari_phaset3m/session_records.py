"""What a session keeps of masks, files and runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
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
    series_mark : str
        Of that series as it was opened (:mod:`.series_identity`); empty when not known any more.
    source : SeriesSource
        File of the series as it was at the start, and what was changed in it.
    tilt_range_deg : tuple of float or None
        Lowest and highest tilt of the images in use at the start; None when not known any more.
    steps : tuple of str
        What had been done to the series until then, in order.
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
    resolution : dict or None
        What was measured last with halves of its data: ``resolution_angstrom``, ``criterion``, ``statement``
        (a sentence that names mask and halves); None when it was not measured.
    """

    run_id: str
    config: ReconstructionConfig
    status: RunStatus = "preparing"
    device: str = ""
    series_name: str = ""
    series_mark: str = ""
    source: SeriesSource = field(default_factory=SeriesSource)
    steps: tuple[str, ...] = ()
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
    resolution: dict[str, Any] | None = None
    tilt_range_deg: tuple[float, float] | None = None

    @property
    def active(self) -> bool:
        """Whether it holds, or waits for, a device."""
        return self.status in ACTIVE
