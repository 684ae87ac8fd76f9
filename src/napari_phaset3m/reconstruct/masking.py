"""The mask of one run: which one acts since when, how it is changed, kept and told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import ACCUMULATE, REAL
from napari_phaset3m.io.mask import mask_sha256
from napari_phaset3m.reconstruct.events import Control
from napari_phaset3m.reconstruct.solver import SolverState
from napari_phaset3m.reconstruct.stage import Stage
from napari_phaset3m.reconstruct.stopping import Stopping


class RunMask:
    """The mask in use, and its history.

    Parameters
    ----------
    mask : ndarray, optional
        `(nz, ny, nx)` in 0..1, from the first sweep on.
    """

    def __init__(self, mask: np.ndarray | None = None) -> None:
        self.values = None if mask is None else np.asarray(mask, REAL)
        #: What the user should know.
        self.notes: tuple[str, ...] = ()
        #: A dict for each mask: first sweep (counted from 0), SHA-256 (None: no mask), mean weight.
        self.changes: list[dict[str, Any]] = [] if self.values is None else [self._entry(0)]

    def _entry(self, sweep: int) -> dict[str, Any]:
        if self.values is None:
            return {"from_sweep": sweep, "sha256": None, "fraction": None}
        fraction = float(self.values.mean(dtype=ACCUMULATE))
        return {"from_sweep": sweep, "sha256": mask_sha256(self.values), "fraction": fraction}

    def change(self, mask: np.ndarray | None, sweep: int) -> None:
        """Use another mask, or none, from this sweep on."""
        self.values = None if mask is None else np.asarray(mask, REAL)
        self.changes.append(self._entry(sweep))

    def record(self) -> list[dict[str, Any]] | None:
        """What a run's settings say; None for a run that never had a mask."""
        return [dict(change) for change in self.changes] or None

    def told(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A run's settings with its masks among what was resolved."""
        return {**settings, "resolved": {**settings["resolved"], "mask": self.record()}}

    def saved(self) -> dict[str, Any]:
        """The content of a checkpoint: the mask itself, in bits when it is hard."""
        content: dict[str, Any] = {"changes": json.dumps(self.changes)}
        if self.values is not None:
            hard = bool(((self.values == 0) | (self.values == 1)).all())
            content |= {"shape": list(self.values.shape), "hard": hard}
            content["values"] = np.packbits(self.values.astype(bool)) if hard else self.values
        return content

    def resumed(self, content: dict[str, Any] | None, sweep: int) -> bool:
        """Go on as a checkpoint says; whether a mask given for the resumed run takes its mask's place."""
        given, self.changes = self.values, json.loads(str(content["changes"])) if content else []
        self.values = None
        if content and "values" in content:
            values, shape = np.asarray(content["values"]), tuple(int(n) for n in content["shape"])
            flat = np.unpackbits(values, count=int(np.prod(shape))) if content["hard"] else values
            self.values = np.asarray(flat.reshape(shape), REAL)
        known = self.changes[-1]["sha256"] if self.changes else None
        if given is None or mask_sha256(given) == known:
            if self.values is not None:
                self.notes = ("the mask of the checkpoint goes on",)
            return False
        self.change(given, sweep)
        self.notes = (f"another mask than the checkpoint's is used from sweep {sweep + 1} on",)
        return True


def take_newer(mask: RunMask, control: Control | None, stage: Stage, state: SolverState) -> bool:
    """Ask the driver for a newer mask; True when there was one."""
    newer = control.mask() if control is not None else None
    if newer is None:
        return False
    values = newer if newer.size else None
    stage.replace_mask(values)  # refuses a wrong one before anything is recorded
    mask.change(values, state.sweep)
    return True


def confine(stage: Stage, state: SolverState, stopping: Stopping) -> None:
    """Empty what lies outside of a new mask at once, and judge the sweeps after it by themselves.

    The sweeps before it fitted the data with density that is gone now: measured against
    their error the next sweep would look diverged, and the best volume so far is not masked.
    """
    for array in (state.volume, state.previous):
        stage.confine(array)
    fresh = Stopping(stopping.config, stopping.keep_best)
    for name in ("best", "best_error", "waited", "last_error", "flat"):
        setattr(stopping, name, getattr(fresh, name))
