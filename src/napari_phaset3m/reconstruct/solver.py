"""The iteration itself: ordered subsets, threads that own tilts, momentum, restarts.

One :class:`Solver` advances one resolution stage sweep by sweep; what to run, when
to stop and what to save is the driver's business (:mod:`.api`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import asnumpy, cpu_threads
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.constraints import AtomicBasis, Constraint, Positivity
from napari_phaset3m.reconstruct.engine import Engine, GradientEngine, make_engine
from napari_phaset3m.reconstruct.events import StepDone
from napari_phaset3m.reconstruct.methods import METHODS, GradientMethod, Method
from napari_phaset3m.reconstruct.update import Limit

#: A sweep whose error is this much above the last one is undone.
DIVERGED = 1.3
#: Momentum starts anew when the error rises by this part. With subsets the error of a sweep is gathered while
#: the volume moves, and ripples with their order (by 0.1 % at 200 e/Å² per image): no reason to slow down.
RESTART, RESTART_FEW_STEPS = 0.01, 0.0
#: Fewer updates per sweep than this are accelerated gradient descent.
FEW_STEPS = 3
_GOLDEN = (5**0.5 - 1) / 2


def resolve_threads(config: ReconstructionConfig) -> int:
    """Threads to use: as given, else every processor this process may use."""
    return cpu_threads() if config.threads == "auto" else config.threads


def tilt_order(config: ReconstructionConfig, tilts: np.ndarray, sweep: int) -> np.ndarray:
    """The tilts in the order this sweep visits them: a function of seed and sweep only."""
    if config.tilt_order == "given":
        return tilts
    if config.tilt_order == "golden":
        start = np.random.default_rng([config.seed, 2]).random()
        keys = (start + sweep * _GOLDEN + np.arange(tilts.size) * _GOLDEN) % 1
        return tilts[np.argsort(np.argsort(keys))]
    return np.random.default_rng([config.seed, 3, sweep]).permutation(tilts)


def lower_bounds(constraints: Sequence[Constraint], n_channel: int, sweep: int) -> list[float]:
    """Lower bound of each channel, which positivity sets."""
    lows = [-np.inf] * n_channel
    for constraint in constraints:
        if isinstance(constraint, Positivity) and constraint.channel < n_channel and constraint.active(sweep):
            lows[constraint.channel] = 0.0
    return lows


@dataclass(slots=True)
class SolverState:
    """All that a resumed run needs.

    Attributes
    ----------
    volume : Array
        `(n_channel, nz, nx, ny)` float32 on the device: the point the next sweep starts from
        (extrapolated when momentum is on), in the basis's coefficients.
    previous : Array
        The result of the last sweep, same shape.
    momentum : float
        Nesterov's t.
    step : float
    sweep : int
        Sweeps done.
    error : float
        Of the last sweep.
    memory : dict
        What the method remembers besides the volume (see :class:`.methods.UpdatingMethod`).
    """

    volume: Array
    previous: Array
    momentum: float
    step: float
    sweep: int = 0
    error: float = float("inf")
    memory: dict[str, Array] = field(default_factory=dict)


class Solver:
    """Advances a volume, one sweep at a time.

    Parameters
    ----------
    method : Method
    config : ReconstructionConfig
    tilts : ndarray
        Indices of the tilts that drive the update.
    subset_size, threads : int
    constraints : sequence of Constraint
        Applied in order after each update.
    basis : AtomicBasis, optional
        The volume is ``basis.synthesize(coefficients)``.
    sparsity : float
        Weight of the potential's L1 norm for each tilt, in the unit of the gradient; its
        proximal step is part of every update.
    """

    def __init__(
        self,
        method: Method,
        config: ReconstructionConfig,
        tilts: np.ndarray,
        *,
        subset_size: int,
        threads: int,
        constraints: Sequence[Constraint] = (),
        basis: AtomicBasis | None = None,
        sparsity: float = 0.0,
    ) -> None:
        self.method, self.config, self.tilts = method, config, tilts
        self.subset_size = max(1, min(subset_size, tilts.size))
        self.constraints, self.basis, self.sparsity = tuple(constraints), basis, sparsity
        entry = METHODS[config.method]
        self._direct = entry.direct
        asked = config.momentum == "nesterov" and "momentum" in entry.parameters
        self._momentum = entry.accelerated if config.momentum == "auto" else asked
        self.engine: Engine = make_engine(method, threads, self.subset_size)
        self._norm = sum(method.data_norm(int(t)) for t in tilts)

    def close(self) -> None:
        """Stop the threads and let go of the buffers."""
        self.engine.close()

    @property
    def n_steps(self) -> int:
        """Updates per sweep."""
        return -(-self.tilts.size // self.subset_size)

    def initial_state(self, start: np.ndarray | None, step: float) -> SolverState:
        """State from a volume (in the basis's coefficients), or from zero."""
        volume = np.zeros(self.method.volume_shape, REAL) if start is None else start
        return SolverState(self.engine.upload(volume), self.engine.upload(volume), 1.0, step)

    def adopt(self, state: SolverState) -> None:
        """Bring the arrays of a state that was read from a file onto the device."""
        state.volume, state.previous = self.engine.upload(state.volume), self.engine.upload(state.previous)
        state.memory = {k: self.engine.upload(v) if v.ndim else v for k, v in state.memory.items()}

    def potential(self, coefficients: Array) -> Array:
        """The volume that coefficients stand for."""
        return coefficients if self.basis is None else self.basis.synthesize(coefficients)

    def gradient(self, coefficients: Array, subset: np.ndarray) -> tuple[Array, float]:
        """Gradient by the coefficients, preconditioned, and loss of a subset."""
        engine, method = cast(GradientEngine, self.engine), cast(GradientMethod, self.method)
        loss = engine.gradient(self.potential(coefficients), subset)
        return engine.take_gradient(method.preconditioner(subset), self.basis), loss

    def sweep(self, state: SolverState) -> Iterator[StepDone]:
        """Visit every tilt once; ``state.error`` holds the sweep's error afterwards."""
        order = tilt_order(self.config, self.tilts, state.sweep)
        loss = 0.0
        for number, first in enumerate(range(0, order.size, self.subset_size)):
            begun = time.perf_counter()
            subset = order[first : first + self.subset_size]
            part = self.engine.update(state, subset, self.basis, self._limits(state, subset.size))
            self._constrain(state)
            loss += part
            norm = sum(self.method.data_norm(int(t)) for t in subset)
            error = part / norm if norm > 0 else 0.0
            seconds = time.perf_counter() - begun
            yield StepDone(state.sweep, number, int(subset[-1]), error, seconds)
        state.error = loss / self._norm if self._norm > 0 else 0.0

    def _limits(self, state: SolverState, n_tilt: int) -> list[Limit]:
        lows = lower_bounds(self.constraints, len(state.volume), state.sweep)
        # The L1 penalty is the potential's: absorption is not sparse.
        shrinks = [state.step * n_tilt * self.sparsity, *([0.0] * (len(lows) - 1))]
        return [Limit(low, shrink) for low, shrink in zip(lows, shrinks, strict=True)]

    def _constrain(self, state: SolverState) -> None:
        changed = False
        for constraint in self.constraints:
            # The update keeps its lower bounds itself: again only after what may break them.
            if constraint.active(state.sweep) and (changed or not isinstance(constraint, Positivity)):
                constraint.apply(state.volume, state.sweep)
                changed = True

    def finish_sweep(self, state: SolverState, last_error: float) -> bool:
        """Accept or undo the sweep just made, and set up the next.

        Returns
        -------
        bool
            True when the sweep was undone or the momentum restarted.
        """
        state.sweep += 1
        sample = asnumpy(state.volume.ravel()[:: max(1, state.volume.size // 4096)])
        # A direct method has nothing to go back to: what it gives is the result.
        worse = not self._direct and state.error > DIVERGED * last_error
        bad = not np.isfinite(state.error) or worse
        if bad or not np.isfinite(sample).all():
            state.volume[:] = state.previous
            state.step *= 0.5
            state.momentum = 1.0
            state.error = last_error
            state.memory.clear()
            self.engine.discard()
            return True
        ripple = RESTART if self.n_steps >= FEW_STEPS else RESTART_FEW_STEPS
        restarted = state.error > (1 + ripple) * last_error
        if restarted:
            state.momentum = 1.0
        following = (1 + (1 + 4 * state.momentum**2) ** 0.5) / 2
        beta = (state.momentum - 1) / following if self._momentum else 0.0
        state.momentum = following
        self.engine.extrapolate(state.volume, state.previous, beta)
        return restarted

    def held_out_error(self, coefficients: Array, held_out: np.ndarray) -> float | None:
        """Relative misfit of the held-out images `(n_tilt, n_focus)`, None without any."""
        tilts = np.flatnonzero(held_out.any(1))
        norm = sum(self.method.data_norm(int(t), held_out=True) for t in tilts)
        if not norm > 0:
            return None
        return self.engine.held_out(self.potential(coefficients), tilts) / norm
