"""Saving a run so that it goes on to the same numbers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.reconstruct.solver import SolverState
from napari_phaset3m.reconstruct.stopping import Stopping


def signature(series: TiltFocalSeries, config: ReconstructionConfig) -> str:
    """Hash of what must not change between a run and its resumption.

    The number of sweeps may change: a run can be continued.
    """
    digest = hashlib.sha256(series.images.tobytes())
    for array in (series.tilt_deg, series.defocus_angstrom, series.shifts_px, series.used):
        digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    digest.update(config.model_dump_json(exclude={"iterations", "patience", "tolerance"}).encode())
    return digest.hexdigest()


@dataclass(slots=True)
class Progress:
    """Where a run stands besides its volumes.

    Attributes
    ----------
    stage : int
        Index of the resolution stage.
    reason : str
        ``"sweeps"`` while the stage goes on, else why it ended.
    mask : dict, optional
        See :meth:`.masking.RunMask.saved`.
    judged_from : int
        The sweep from which on errors are compared: a new mask begins anew.
    """

    stage: int
    reason: str
    history: list[SweepDone]
    mask: dict[str, Any] | None = None
    judged_from: int = 0


def save(path: Path, mark: str, progress: Progress, state: SolverState, stopping: Stopping) -> None:
    """Write the run's state, atomically."""
    from napari_phaset3m.io.checkpoint import save_checkpoint

    content: dict[str, Any] = {
        "signature": mark,
        "reason": progress.reason,
        "stage": progress.stage,
        "volume": asnumpy(state.volume),
        "previous": asnumpy(state.previous),
        "memory": {name: asnumpy(array) for name, array in state.memory.items()},
        "numbers": json.dumps(
            {k: getattr(state, k) for k in ("momentum", "step", "sweep", "error")}
            | {"best_error": stopping.best_error, "waited": stopping.waited}
            | {"last_error": stopping.last_error, "flat": stopping.flat}
        ),
        "mask": progress.mask,
        "judged_from": progress.judged_from,
        "history": json.dumps([asdict(h) for h in progress.history]),
    }
    if stopping.best is not None:
        content["best"] = asnumpy(stopping.best)
    save_checkpoint(path, content)


def load(path: Path, mark: str, stopping: Stopping) -> tuple[Progress, SolverState]:
    """Read what :func:`save` wrote.

    Raises
    ------
    DataError
        Damaged, or of another series or other settings.
    """
    from napari_phaset3m.io.checkpoint import load_checkpoint

    content = load_checkpoint(path)
    if content.get("signature") != mark:
        raise DataError(
            "belongs to another series or other settings",
            path=path,
            field="signature",
            remedy="Resume with the settings of the run, or start anew without --resume",
        )
    numbers = json.loads(str(content["numbers"]))
    state = SolverState(
        np.array(content["volume"]),
        np.array(content["previous"]),
        *(numbers[k] for k in ("momentum", "step", "sweep", "error")),
    )
    state.memory = {name: np.array(array) for name, array in content["memory"].items()}
    for name in ("best_error", "waited", "last_error", "flat"):
        setattr(stopping, name, numbers[name])
    stopping.best = np.array(content["best"]) if "best" in content else None
    history = [SweepDone(**item) for item in json.loads(str(content["history"]))]
    judged_from = int(content.get("judged_from", 0))
    return Progress(
        int(content["stage"]), str(content["reason"]), history, content.get("mask"), judged_from
    ), state
