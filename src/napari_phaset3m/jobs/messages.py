"""What a job tells its driver on top of the solver's own events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from napari_phaset3m.reconstruct.events import Finished, Started, SweepDone


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job is alive but not computing.

    Attributes
    ----------
    run_id : str
    state : str
        ``"queued"`` (another run holds the device), ``"preparing"`` or ``"paused"``.
    message : str
        One line for the user.
    """

    run_id: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is; a light stand-in for many ``StepDone`` events.

    Attributes
    ----------
    run_id : str
    sweep, step : int
        Counted from 0; ``step`` is the last one done.
    n_sweeps, n_steps : int
        Planned sweeps (an upper bound when stopping is automatic), steps per sweep.
    error : float
        Relative misfit of the last step, dimensionless.
    elapsed_seconds : float
        Computing time so far; pauses do not count.
    remaining_seconds : float or None
        Estimate for the sweeps that are left; None while too little is known.
    tilt : int or None
        Index of the tilt that was worked in last; None when not told.
    """

    run_id: str
    sweep: int
    step: int
    n_sweeps: int
    n_steps: int
    error: float
    elapsed_seconds: float
    remaining_seconds: float | None
    tilt: int | None = None

    @property
    def fraction(self) -> float:
        """Done part of the planned steps, 0..1."""
        total = max(1, self.n_sweeps * self.n_steps)
        return min(1.0, (self.sweep * self.n_steps + self.step + 1) / total)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was stopped on request; what was shown last is all there is."""

    run_id: str
    sweeps: tuple[SweepDone, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PreviewFrame:
    """A picture of the volume for the mailbox, ready to be shown.

    Attributes
    ----------
    run_id : str
    sweep : int
    volume : ndarray
        `(nz, ny, nx)` float32; binned while running, full size when ``final``.
    log_power : ndarray or None
        `(mz, my, mx)` float32 log10 power, centred; None when nobody looks at it.
    voxel_size_angstrom : float
        Of ``volume``, and of the volume that ``log_power`` was taken from.
    limits : tuple of float
        Robust low and high of ``volume`` for display.
    power_limits : tuple of float
        The same of ``log_power``.
    final : bool
        The run has ended and this is its result.
    unit : str
    """

    run_id: str
    sweep: int
    volume: np.ndarray
    log_power: np.ndarray | None
    voxel_size_angstrom: float
    limits: tuple[float, float] = (0.0, 1.0)
    power_limits: tuple[float, float] = (0.0, 1.0)
    final: bool = False
    unit: str = "V"


JobEvent: TypeAlias = Waiting | Started | Progress | SweepDone | Stopped | Finished
