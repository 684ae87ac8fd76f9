"""What a watched folder tells its driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from napari_phaset3m.io.import_entry import Question
from napari_phaset3m.io.import_plan import ImportPlan

#: waiting: still being written; good: in the series; skipped: left out, ``text`` says why.
RowState = Literal["waiting", "good", "skipped"]


@dataclass(frozen=True)
class TiltRow:
    """One image of the folder (or one file, while its images are not known).

    Attributes
    ----------
    file : Path
    section : int
        In the file, from 0.
    tilt_deg : float or None
    state : {"waiting", "good", "skipped"}
    text : str
        One line about it; empty when all is well.
    """

    file: Path
    section: int
    tilt_deg: float | None
    state: RowState
    text: str = ""


@dataclass(frozen=True, eq=False)
class Looked:
    """The folder was looked through.

    Attributes
    ----------
    rows : tuple of TiltRow
        In the order of tilts; what waits or is left out comes last.
    plan : ImportPlan or None
        The series as far as it has arrived.
    problem : str
        One line on what keeps it from being used; empty when nothing does.
    is_there : bool
        False while the folder cannot be reached; what arrived before is kept.
    """

    rows: tuple[TiltRow, ...]
    plan: ImportPlan | None
    problem: str
    is_there: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read beside the images, or assumed."""
        return () if self.plan is None else tuple(self.plan.notes)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What was assumed and should be confirmed; what the series lacks is its ``problem``."""
        plan = self.plan
        if plan is None:
            return ()
        lacking = {name for name in ("pixel_size_angstrom", "energy_ev") if getattr(plan, name) is None}
        lacking |= {"tilt_deg"} if any(entry.tilt_deg is None for entry in plan.images) else set()
        return tuple(question for question in plan.questions if question.field not in lacking)

    @property
    def n_good(self) -> int:
        """Number of images that can be used."""
        return sum(row.state == "good" for row in self.rows)

    @property
    def n_tilt(self) -> int:
        """Number of tilts that can be used."""
        return 0 if self.plan is None else self.plan.n_tilt


@dataclass(frozen=True)
class WatchProgress:
    """What is being done now, and 0..1 of it."""

    text: str
    fraction: float


@dataclass(frozen=True, eq=False)
class QuickVolume:
    """A quick reconstruction of what has arrived.

    Attributes
    ----------
    volume : ndarray
        `(nz, ny, nx)` float32, in ``unit``.
    voxel_size_angstrom : float
    unit : str
    n_tilt : int
    seconds : float
        For alignment and reconstruction.
    plan : ImportPlan
        Of the images it was made from.
    shifts_px : ndarray or None
        `(n_tilt, n_focus, 2)` (y, x) that the coarse alignment found, pixels of the files' images;
        None: not aligned.
    notes : tuple of str
        What was not done, and why.
    negative : str
        Why its values may have to be negative where they were held positive
        (:func:`.negative.told_negative`); empty when nothing says so.
    """

    volume: np.ndarray
    voxel_size_angstrom: float
    unit: str
    n_tilt: int
    seconds: float
    plan: ImportPlan
    shifts_px: np.ndarray | None
    notes: tuple[str, ...] = ()
    negative: str = ""


@dataclass(frozen=True)
class QuickFailed:
    """No quick volume could be made of what has arrived; watching goes on."""

    text: str
