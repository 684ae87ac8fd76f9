"""Saving a run so that it goes on to the same numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.reconstruct.problem import holdout_fraction
from napari_phaset3m.reconstruct.solver import SolverState
from napari_phaset3m.reconstruct.stopping import Stopping


def signature(series: TiltFocalSeries, config: ReconstructionConfig, start: np.ndarray | None = None) -> str:
    """Hash of what must not change between a run and its resumption.

    That is every field of the series (of its metadata what the model uses; not the sections), the settings,
    the held-out images and the start volume. The number of sweeps may change: a run can be
    continued. So may the mask: the checkpoint holds it, and a change is recorded.
    """
    from napari_phaset3m.io.checkpoint import signature as digest

    untold = ("metadata", "sections")
    told = {item.name: getattr(series, item.name) for item in fields(series) if item.name not in untold}
    arrays = {name: value for name, value in told.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in told.items() if name not in arrays}
    settings = config.model_dump(mode="json", exclude={"iterations", "patience", "tolerance"})
    held_out = holdout_fraction(config, series)
    return digest(list(arrays), *arrays.values(), plain, settings, held_out, start)


#: Numbers of a :class:`Progress` that a checkpoint keeps together.
_COUNTS = ("judged_from", "undone", "accepted")


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
    undone : int
        Sweeps undone in a row.
    accepted : int
        Sweeps of the run that were not undone.
    """

    stage: int
    reason: str
    history: list[SweepDone]
    mask: dict[str, Any] | None = None
    judged_from: int = 0
    undone: int = 0
    accepted: int = 0


def save(path: Path, mark: str, progress: Progress, state: SolverState, stopping: Stopping) -> None:
    """Write the run's state, atomically."""
    from napari_phaset3m.io.checkpoint import save_checkpoint

    content: dict[str, Any] = {
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
        "counts": {name: getattr(progress, name) for name in _COUNTS},
        "history": json.dumps([asdict(h) for h in progress.history]),
    }
    if stopping.best is not None:
        content["best"] = asnumpy(stopping.best)
    save_checkpoint(path, content, mark)


def load(path: Path, mark: str, stopping: Stopping) -> tuple[Progress, SolverState]:
    """Read what :func:`save` wrote.

    Raises
    ------
    DataError
        Damaged, or of another series, other settings or another start volume.
    """
    from napari_phaset3m.io.checkpoint import load_checkpoint

    content = load_checkpoint(path, mark)
    try:
        return _restored(content, stopping)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"is no checkpoint of a reconstruction ({error!r})", path=path, remedy="Name another checkpoint"
        ) from None


def _restored(content: dict[str, Any], stopping: Stopping) -> tuple[Progress, SolverState]:
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
    where = int(content["stage"]), str(content["reason"])
    progress = Progress(*where, history, content.get("mask"))
    for name in _COUNTS:
        setattr(progress, name, int(content["counts"][name]))
    return progress, state
