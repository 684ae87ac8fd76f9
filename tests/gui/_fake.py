"""A solver stand-in for the window's tests: the real events, none of the physics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.events import (
    Event,
    Finished,
    Preview,
    Started,
    StepDone,
    SweepDone,
)


def small_series(n: int = 16) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.ones((3, 2, n, n), np.float32),
        tilt_deg=np.array([-10.0, 0.0, 10.0]),
        pixel_size_angstrom=0.5,
        energy_ev=300e3,
        defocus_angstrom=np.array([900.0, 1700.0]),
        spherical_aberration_angstrom=2.3e7,
        metadata={"name": "fake"},
    )


@dataclass
class FakeSolver:
    """Called in place of ``jobs.runner.open_events``."""

    n_sweeps: int = 4
    n_steps: int = 5
    step_seconds: float = 0.002
    shape: tuple[int, int, int] = (16, 16, 16)
    bin: int = 1
    held_out: bool = True
    absorption: bool = False
    note: str = ""
    outcome: str = ""
    settings: dict[str, Any] = field(default_factory=lambda: {"slices": 8})
    fail_at: tuple[int, Exception] | None = None
    closed: list[str] = field(default_factory=list)
    started: int = 0

    def __call__(self, series: Any, config: Any, options: dict[str, Any]) -> Iterator[Event]:
        return self._events(options["control"])

    def volume(self, sweep: int, shape: tuple[int, int, int]) -> np.ndarray:
        z, y, x = np.indices(shape, dtype=np.float32)
        return (sweep + 1) * np.exp(-((z - 8) ** 2 + (y - 8) ** 2 + (x - 8) ** 2) / 9).astype(np.float32)

    def _events(self, control: Any) -> Iterator[Event]:
        from threading import current_thread

        self.started += 1
        reason, sweeps = "sweeps", []
        try:
            yield Started(self.n_sweeps, self.n_steps, "fake CPU", {"slices": 8}, ("a note",))
            for sweep in range(self.n_sweeps):
                for step in range(self.n_steps):
                    if self.fail_at is not None and self.fail_at[0] == sweep:
                        raise self.fail_at[1]
                    time.sleep(self.step_seconds)
                    yield StepDone(sweep, step, step, 0.5 / (sweep + 1), self.step_seconds)
                    if control.preview_max_voxels():
                        shape = tuple(n // self.bin for n in self.shape)
                        yield Preview(self.volume(sweep, shape), 0.5 * self.bin, sweep)
                    if control.finish_requested():
                        reason = "finished early"
                        break
                held = 0.6 / (sweep + 1) if self.held_out else None
                done = SweepDone(sweep, 0.5 / (sweep + 1), held, 0.02, 0.01, 100_000_000, note=self.note)
                sweeps.append(done)
                yield done
                if reason == "finished early":
                    break
            second = self.volume(2, self.shape) if self.absorption else None
            known = self.volume(9, self.shape), second, 0.5, "V", reason, tuple(sweeps), self.settings
            yield Finished(*known, note=self.outcome)
        finally:
            self.closed.append(current_thread().name)
