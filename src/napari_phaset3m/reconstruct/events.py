"""What a running reconstruction tells its driver.

Drivers (Python, command line, napari, dask, tests) consume the same events, so
the solver neither prints nor draws. Light events carry numbers only;
:class:`Preview` and :class:`Finished` carry host arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Preparing:
    """The problem is being set up; comes every so often until :class:`Started`.

    Attributes
    ----------
    message : str
        One line for the user.
    """

    message: str


@dataclass(frozen=True, slots=True)
class Working:
    """A long step goes on; a chance to pause, stop or finish.

    ``sweep`` and ``step`` are those being computed, counted from 0.
    """

    sweep: int
    step: int


@dataclass(frozen=True, slots=True)
class Started:
    """The problem is set up; nothing was iterated yet.

    Attributes
    ----------
    n_sweeps : int
        Sweeps planned (an upper bound when stopping is automatic).
    n_steps : int
        Steps (ordered subsets) per sweep.
    device : str
    settings : dict
        Every setting as resolved, including those that were ``"auto"``.
    notes : tuple of str
        What the user should know: defaults used, what was chosen and why.
    """

    n_sweeps: int
    n_steps: int
    device: str
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepDone:
    """One ordered subset was worked in.

    ``sweep`` and ``step`` count from 0; ``tilt`` is the subset's last tilt index;
    ``error`` is the relative data misfit of this subset before its update.
    """

    sweep: int
    step: int
    tilt: int
    error: float
    seconds: float


@dataclass(frozen=True, slots=True)
class SweepDone:
    """Every used tilt was seen once.

    Attributes
    ----------
    sweep : int
        Counts from 0 over the whole run.
    error : float
        Relative data misfit of the images that drive the update (dimensionless).
    held_out_error : float or None
        The same for the held-out images, None when there are none.
    step_size : float
    seconds : float
        Time of this sweep.
    memory_bytes : int
        Peak resident memory of the process so far (device memory on a GPU).
    stage : str
        E.g. ``"bin 2"`` in a multi-resolution run, else ``""``.
    restarted : bool
        The step was made smaller or the momentum reset in this sweep.
    note : str
        What the run had to change in this sweep and the user should know, e.g. that less fits in the
        GPU's memory than was planned; "" for nothing.
    """

    sweep: int
    error: float
    held_out_error: float | None
    step_size: float
    seconds: float
    memory_bytes: int
    stage: str = ""
    restarted: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """A binned copy of the volume, made because the driver asked for one.

    Attributes
    ----------
    volume : ndarray
        `(nz, ny, nx)` float32 potential, volts. A fresh array each time.
    voxel_size_angstrom : float
        Of the binned copy.
    sweep : int
    seconds : float
        That making it took from the run.
    """

    volume: np.ndarray
    voxel_size_angstrom: float
    sweep: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every run that was not stopped.

    Attributes
    ----------
    volume : ndarray
        `(nz, ny, nx)` float32, volts (for linear methods: the linear
        reconstruction in the unit named by ``unit``).
    absorption : ndarray or None
        `(nz, ny, nx)` float32, volts; only with an absorptive potential.
    voxel_size_angstrom : float
    unit : str
    reason : str
        Why it ended: ``"sweeps"``, ``"converged"``, ``"held-out"``,
        ``"finished early"``, ``"diverged"``.
    sweeps : tuple of SweepDone
    settings : dict
    notes : tuple of str
        What :class:`Started` told, the sweeps after it, and ``note``.
    note : str
        What to know of the outcome, e.g. that it fits worse than an empty volume; "" for nothing.
    """

    volume: np.ndarray
    absorption: np.ndarray | None
    voxel_size_angstrom: float
    unit: str
    reason: str
    sweeps: tuple[SweepDone, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    note: str = ""


Event = Preparing | Started | Working | StepDone | SweepDone | Preview | Finished


class Control(Protocol):
    """What a driver may ask of a running solver; polled at every step and while one lasts."""

    def finish_requested(self) -> bool:
        """End at once, or after the first step when there is no volume yet, and keep the volume."""
        ...

    def preview_max_voxels(self) -> int:
        """Longest edge (voxels) of a preview wanted now; 0 when none is wanted."""
        ...

    def mask(self) -> np.ndarray | None:
        """A newer mask `(nz, ny, nx)` in 0..1 to use from the next sweep, or None.

        An empty array stands for no mask any more.
        """
        ...
