"""What a job of two halves tells its driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_phaset3m.analyse.fsc_curve import FscCurve
from napari_phaset3m.analyse.halves import DESCRIPTION, HalvesKind
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.jobs.messages import Progress, Waiting
from napari_phaset3m.reconstruct.events import Started, SweepDone


@dataclass(frozen=True, slots=True)
class HalfEvent:
    """What a half's own job tells: ``Waiting``, ``Started``, ``SweepDone``; ``half`` is 0 or 1."""

    half: int
    event: Waiting | Started | SweepDone


@dataclass(frozen=True, slots=True)
class HalvesProgress:
    """Where both halves together are.

    Attributes
    ----------
    run_id : str
    half : int
        0 or 1.
    fraction : float
        Of both, 0..1.
    elapsed_seconds : float
        Computing time of both so far.
    remaining_seconds : float or None
        Estimate for what is left of both; None while too little is known.
    detail : Progress
        Of this half.
    control : bool
        It is a half of the control without priors.
    """

    run_id: str
    half: int
    fraction: float
    elapsed_seconds: float
    remaining_seconds: float | None
    detail: Progress
    control: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HalvesResult:
    """The last event of every job of halves.

    Attributes
    ----------
    run_id : str
    kind : str
        ``tilts``, ``foci`` or ``dose``.
    reason : str
        ``"finished"``, ``"finished early"`` or ``"stopped"``.
    volumes : tuple of ndarray or None
        `(nz, ny, nx)` float32 of both halves; None where a stop left none. Read-only.
    curve : FscCurve or None
        None after a stop.
    voxel_size_angstrom : float or None
    unit : str
    sweeps : tuple of tuple of SweepDone
        Of both halves.
    config : ReconstructionConfig
        The settings both were made with.
    notes : tuple of str
    paths : tuple of Path
        What was written.
    free : HalvesResult or None
        The same halves without priors, where they were asked for (:mod:`.halves_free`).
    """

    run_id: str
    kind: HalvesKind
    reason: str
    volumes: tuple[np.ndarray | None, np.ndarray | None]
    curve: FscCurve | None
    voxel_size_angstrom: float | None
    unit: str
    sweeps: tuple[tuple[SweepDone, ...], ...]
    config: ReconstructionConfig
    notes: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    free: HalvesResult | None = None

    def __post_init__(self) -> None:
        for volume in self.volumes:
            if volume is not None:
                volume.setflags(write=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, without the volumes."""
        return {
            "kind": self.kind,
            "reason": self.reason,
            "halves": DESCRIPTION[self.kind],
            "voxel_size_angstrom": self.voxel_size_angstrom,
            "unit": self.unit,
            "sweeps": [len(sweeps) for sweeps in self.sweeps],
            "config": self.config.model_dump(mode="json"),
            "notes": list(self.notes),
            "paths": [str(path) for path in self.paths],
            "fsc": None if self.curve is None else self.curve.as_dict(),
            "fsc_without_priors": None
            if self.free is None or self.free.curve is None
            else self.free.curve.as_dict(),
        }

    def statement(self) -> str:
        """The resolution by every criterion, or what a stop left."""
        if self.curve is not None:
            return self.curve.statement()
        kept = sum(volume is not None for volume in self.volumes)
        return f"Stopped: {kept} of 2 half volumes {'is' if kept == 1 else 'are'} kept, no FSC was taken."


HalvesEvent: TypeAlias = HalfEvent | HalvesProgress | HalvesResult
