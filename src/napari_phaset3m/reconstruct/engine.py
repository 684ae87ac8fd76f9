"""Where the solver's volumes live and its passes run: host threads or one GPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.constraints import AtomicBasis
from napari_phaset3m.reconstruct.methods.base import GradientMethod, Method, UpdatingMethod
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.update import Limit, descend, extrapolate, spread

if TYPE_CHECKING:
    from napari_phaset3m.reconstruct.solver import SolverState


class Interrupted(Exception):
    """An update was cancelled; the volume is as it was before."""


class Engine(Protocol):
    """The solver's passes over whole volumes, on one device."""

    def cancel(self) -> None:
        """Make the update that goes on end without effect, where it can (:class:`Interrupted`)."""
        ...

    def upload(self, array: np.ndarray) -> Array:
        """A device copy, float32."""
        ...

    def update(
        self, state: SolverState, tilts: np.ndarray, basis: AtomicBasis | None, limits: Sequence[Limit]
    ) -> float:
        """Change ``state.volume`` by one update over these tilts; returns their loss."""
        ...

    def extrapolate(self, volume: Array, previous: Array, beta: float) -> None:
        """``volume, previous = volume + beta (volume - previous), volume``, in place."""
        ...

    def held_out(self, volume: Array, tilts: np.ndarray) -> float:
        """Summed loss of the held-out images of these tilts."""
        ...

    def discard(self) -> None:
        """Forget what was gathered."""
        ...

    def close(self) -> None:
        """Let go of threads and buffers."""
        ...


class GradientEngine(Engine, Protocol):
    """An engine that gathers gradients and steps down them."""

    def gradient(self, volume: Array, tilts: np.ndarray) -> float:
        """Gather the gradient of these tilts inside the engine; returns their loss."""
        ...

    def take_gradient(self, scale: Array | float, basis: AtomicBasis | None) -> Array:
        """The gathered gradient by the coefficients, times ``scale``; gathering starts anew."""
        ...

    def descend(
        self,
        volume: Array,
        scale: Array | float,
        basis: AtomicBasis | None,
        step: float,
        limits: Sequence[Limit],
    ) -> None:
        """``volume = limit(volume - step * take_gradient())`` of each channel, in place."""
        ...


def _step_down(
    engine: GradientEngine,
    method: GradientMethod | CudaMultisliceMethod,
    state: SolverState,
    tilts: np.ndarray,
    *,
    basis: AtomicBasis | None,
    limits: Sequence[Limit],
) -> float:
    loss = engine.gradient(state.volume if basis is None else basis.synthesize(state.volume), tilts)
    engine.descend(state.volume, method.preconditioner(tilts), basis, state.step, limits)
    return loss


class HostEngine:
    """Threads that own tilts, each with its own FFT plans; a gradient buffer for each.

    The tilts of a subset are dealt to the buffers in order, so that a result depends
    on the number of threads but not on which of them is faster.
    """

    def __init__(self, method: GradientMethod, threads: int, subset_size: int) -> None:
        self._method, self._threads = method, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="phaset3m")
        self._slots = np.zeros((min(threads, subset_size), *method.volume_shape), REAL)
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Gather no further tilt; see :class:`Engine`."""
        self._cancelled.set()

    def upload(self, array: np.ndarray) -> np.ndarray:
        """A float32 copy."""
        return np.array(array, REAL)

    def update(
        self, state: SolverState, tilts: np.ndarray, basis: AtomicBasis | None, limits: Sequence[Limit]
    ) -> float:
        """One step down the gradient of these tilts; returns their loss before it."""
        return _step_down(self, self._method, state, tilts, basis=basis, limits=limits)

    def gradient(self, volume: np.ndarray, tilts: np.ndarray) -> float:
        """Gather the gradient of these tilts; returns their loss."""
        count = len(self._slots)

        def work(slot: int) -> list[float]:
            mine = (t for t in tilts[slot::count] if not self._cancelled.is_set())
            return [self._method.accumulate(volume, int(t), self._slots[slot], slot) for t in mine]

        losses = spread(self._pool, work, range(count))
        if self._cancelled.is_set():
            self._cancelled.clear()
            self.discard()
            raise Interrupted
        return float(sum(sum(part) for part in losses))

    def take_gradient(self, scale: Array | float, basis: AtomicBasis | None) -> np.ndarray:
        """The gathered gradient by the coefficients, times ``scale``."""
        for other in self._slots[1:]:
            self._slots[0] += other
        self._slots[0] *= scale
        total = self._slots[0].copy() if basis is None else np.asarray(basis.adjoint(self._slots[0]))
        self.discard()
        return total

    def descend(
        self,
        volume: np.ndarray,
        scale: Array | float,
        basis: AtomicBasis | None,
        step: float,
        limits: Sequence[Limit],
    ) -> None:
        """One fused pass; with a basis its filter runs first."""
        if basis is not None:
            self._slots[0] = self.take_gradient(scale, basis)
            scale = 1.0
        descend(self._pool, self._threads, volume, self._slots, scale=scale, step=step, limits=limits)

    def extrapolate(self, volume: np.ndarray, previous: np.ndarray, beta: float) -> None:
        """One fused pass."""
        extrapolate(self._pool, self._threads, volume, previous, beta)

    def held_out(self, volume: np.ndarray, tilts: np.ndarray) -> float:
        """Summed loss of the held-out images of these tilts."""
        count = len(self._slots)

        def work(slot: int) -> float:
            return sum(self._method.held_out_loss(volume, int(t), slot) for t in tilts[slot::count])

        return float(sum(spread(self._pool, work, range(count))))

    def discard(self) -> None:
        """Forget what was gathered."""
        self._slots[:] = 0

    def close(self) -> None:
        """Stop the threads and free the buffers."""
        self._pool.shutdown(wait=True)
        self._slots = np.zeros((0,), REAL)


class CudaEngine:
    """One GPU: tilts of a subset go through cuFFT in batches; gathers need no atomics."""

    def __init__(self, method: CudaMultisliceMethod) -> None:
        self._method, self._xp = method, method.runtime.xp
        self._gradient = self._xp.zeros(method.volume_shape, REAL)

    def cancel(self) -> None:
        """A subset is over too soon to be cancelled."""

    def upload(self, array: np.ndarray) -> Array:
        """A float32 device copy."""
        return self._xp.array(array, REAL)

    def update(
        self, state: SolverState, tilts: np.ndarray, basis: AtomicBasis | None, limits: Sequence[Limit]
    ) -> float:
        """One step down the gradient of these tilts; returns their loss before it."""
        return _step_down(self, self._method, state, tilts, basis=basis, limits=limits)

    def gradient(self, volume: Array, tilts: np.ndarray) -> float:
        """Gather the gradient of these tilts; returns their loss."""
        return self._method.accumulate_batch(volume, [int(t) for t in tilts], self._gradient)

    def take_gradient(self, scale: Array | float, basis: AtomicBasis | None) -> Array:
        """The gathered gradient by the coefficients, times ``scale``."""
        total = self._gradient * self._xp.float32(scale)
        self.discard()
        return total if basis is None else basis.adjoint(total)

    def descend(
        self,
        volume: Array,
        scale: Array | float,
        basis: AtomicBasis | None,
        step: float,
        limits: Sequence[Limit],
    ) -> None:
        """One fused pass; with a basis its filter runs first."""
        if basis is not None:
            self._gradient[:] = self.take_gradient(1.0, basis)
        for part, gradient, limit in zip(volume, self._gradient, limits, strict=True):
            self._method.descend(part, gradient, step * float(scale), limit)

    def extrapolate(self, volume: Array, previous: Array, beta: float) -> None:
        """One fused pass."""
        self._method.extrapolate(volume, previous, beta)

    def held_out(self, volume: Array, tilts: np.ndarray) -> float:
        """Summed loss of the held-out images of these tilts."""
        return self._method.held_out_loss_of(volume, [int(t) for t in tilts])

    def discard(self) -> None:
        """Forget what was gathered."""
        self._gradient[:] = 0

    def close(self) -> None:
        """Free the buffer."""
        self._gradient = self._xp.zeros(0, REAL)


class MethodEngine:
    """Where a method that owns its update computes: on its own threads or device."""

    def __init__(self, method: UpdatingMethod) -> None:
        self._method = method
        self.upload, self.extrapolate, self.close = method.upload, method.extrapolate, method.close

    def cancel(self) -> None:
        """An update of the method's own runs to its end."""

    def update(
        self, state: SolverState, tilts: np.ndarray, basis: AtomicBasis | None, limits: Sequence[Limit]
    ) -> float:
        """The method's own update of the volume; it knows no other basis than voxels."""
        assert basis is None
        return self._method.update(state.volume, tilts, state.step, low=limits[0].low, memory=state.memory)

    def held_out(self, volume: Array, tilts: np.ndarray) -> float:
        """Summed loss of the held-out images of these tilts."""
        return sum(self._method.held_out_loss(volume, int(t)) for t in tilts)

    def discard(self) -> None:
        """Nothing is gathered between updates."""


def make_engine(method: Method, threads: int, subset_size: int) -> Engine:
    """The engine on which this method computes."""
    if isinstance(method, UpdatingMethod):
        return MethodEngine(method)
    if isinstance(method, CudaMultisliceMethod):
        return CudaEngine(method)
    return HostEngine(cast(GradientMethod, method), threads, subset_size)
