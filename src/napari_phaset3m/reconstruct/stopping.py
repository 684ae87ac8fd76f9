"""When a run has done enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.config import ReconstructionConfig


@dataclass(slots=True)
class Stopping:
    """Follows the error and keeps the best volume by held-out images.

    Attributes
    ----------
    best : ndarray or None
        Copy of the coefficients with the smallest held-out error so far.
    """

    config: ReconstructionConfig
    keep_best: bool
    best: np.ndarray | None = None
    best_error: float = float("inf")
    waited: int = 0
    last_error: float = float("inf")
    flat: int = 0

    def update(self, error: float, held_out: float | None, volume: np.ndarray) -> str | None:
        """Take in a sweep's errors; returns the reason to stop, or None to go on."""
        if self.config.iterations != "auto":
            return None
        if held_out is not None:
            if held_out < self.best_error * (1 - self.config.tolerance):
                self.best_error, self.waited = held_out, 0
                if self.keep_best:
                    self._copy(volume)
            else:
                self.waited += 1
            if self.waited >= self.config.patience:
                return "held-out"
        gain = self.last_error - error
        self.flat = self.flat + 1 if abs(gain) < self.config.tolerance * error else 0
        self.last_error = error
        return "converged" if self.flat >= self.config.patience else None

    def _copy(self, volume: np.ndarray) -> None:
        if self.best is None:
            self.best = volume.copy()
        else:
            self.best[:] = volume
