"""The multislice data term on a GPU: same interface as the CPU's, batched over tilts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.cuda.multislice import CudaMultislice
from napari_phaset3m.core.cuda.rotation import make_device_rotator
from napari_phaset3m.core.cuda.runtime import NULL, Runtime, cuda_runtime
from napari_phaset3m.core.optics import detector_mtf
from napari_phaset3m.core.precision import ACCUMULATE, COMPLEX, REAL, Array
from napari_phaset3m.core.transfer import Transfer, TransferModel
from napari_phaset3m.errors import ConfigError, ResourceError
from napari_phaset3m.reconstruct.methods.base import Equations
from napari_phaset3m.reconstruct.methods.cuda_batch import choose_batch, constraint_bytes
from napari_phaset3m.reconstruct.methods.multislice import resolve_loss
from napari_phaset3m.reconstruct.problem import Problem
from napari_phaset3m.reconstruct.update import Limit

T = TypeVar("T")


class CudaMultisliceMethod:
    """Multislice data term on the GPU (see :class:`.base.Method`).

    Volumes and gradients are device arrays. ``accumulate_batch`` takes a whole
    ordered subset at once and is what a GPU solver should call; one stream does all
    the work, so ``slot`` is ignored.

    Parameters
    ----------
    problem : Problem
    config : ReconstructionConfig
    n_slots : int
        Ignored: batches take the place of threads.
    runtime : Runtime, optional
        The process's CUDA runtime when omitted.

    Raises
    ------
    ConfigError
        Incoherent focal spread without a focal spread.
    ResourceError
        One tilt does not fit in the device's memory.
    """

    name = "multislice"
    unit = "V"

    def __init__(
        self,
        problem: Problem,
        config: ReconstructionConfig,
        n_slots: int = 1,
        runtime: Runtime | None = None,
    ) -> None:
        assert problem.microscope is not None
        self.problem = problem
        self.runtime = runtime if runtime is not None else cuda_runtime()
        self.n_tilt = problem.images.shape[0]
        channels = 2 if config.absorption else 1
        self.volume_shape = (channels, *problem.geometry.volume_shape)
        self.loss = resolve_loss(config, problem)
        self.rotator = make_device_rotator(self.runtime, problem.geometry, config.rotation)
        incoherent = config.coherence == "incoherent"
        if incoherent and problem.microscope.focal_spread_angstrom == 0:
            raise ConfigError("coherence: incoherent needs a focal spread (or Cc and energy spread)")
        n_nodes = config.quadrature_points if incoherent else 1
        self.batch = choose_batch(
            problem, self.runtime, channels=channels, n_nodes=n_nodes,
            reserved_bytes=self.rotator.workspace_bytes() + constraint_bytes(problem, config),
        )  # fmt: skip
        self.model = CudaMultislice(
            self.runtime,
            problem.grid,
            problem.microscope.wavelength_angstrom,
            max_slices=problem.geometry.max_slices(),
            n_focus=problem.images.shape[1],
            max_batch=self.batch,
            n_nodes=n_nodes,
            band_limit=config.band_limit,
            mtf=None if problem.microscope.mtf is None else detector_mtf(problem.grid, problem.microscope),
        )
        self._transfer = TransferModel(problem.grid, problem.microscope, n_nodes)
        self._heights = [problem.geometry.slice_centres_angstrom(i) for i in range(self.n_tilt)]
        self._upload(channels)
        self._norms: dict[tuple[int, bool], float] = {}
        self._note = ""

    def _upload(self, channels: int) -> None:
        xp, p = self.runtime.xp, self.problem
        self._amplitude = xp.asarray(np.sqrt(np.maximum(p.images, 0)).astype(REAL))
        self._pixel_weight = xp.asarray(np.ascontiguousarray(p.pixel_weight, REAL))
        n = p.geometry.max_slices() * self.batch * p.grid.nx * p.grid.ny
        self._slices = [xp.empty(n, REAL) for _ in range(channels)]

    @property
    def volts_per_unit(self) -> float:
        """Volts of a voxel whose phase is 1 rad."""
        assert self.problem.microscope is not None
        return 1 / (self.problem.microscope.sigma * self.problem.geometry.voxel_size_angstrom)

    def transfer(self, tilt: int) -> Transfer:
        """Transfer functions of one tilt's images, from the plane of its last slice."""
        p = self.problem
        assert p.defocus_angstrom is not None and p.microscope is not None
        if self._transfer.microscope is not p.microscope:  # a refiner found better optics
            self._transfer = TransferModel(p.grid, p.microscope, self._transfer.n_nodes)
        shifts = [(float(y), float(x)) for y, x in p.shifts_px[tilt]]
        return self._transfer(p.defocus_angstrom[tilt].tolist(), shifts, float(self._heights[tilt][-1]))

    def batches(self, tilts: Sequence[int]) -> Iterator[list[int]]:
        """Cut tilts into batches of like slice count that fit in memory."""
        by_count: dict[int, list[int]] = {}
        for tilt in tilts:
            by_count.setdefault(len(self._heights[tilt]), []).append(int(tilt))
        for group in by_count.values():
            for first in range(0, len(group), self.batch):
                yield group[first : first + self.batch]

    def _forward(self, volume: Array, tilts: list[int]) -> tuple[Array, Array | None, np.ndarray]:
        n_slice = len(self._heights[tilts[0]])
        shape = (n_slice, len(tilts), *self.problem.grid.shape)
        views = [s[: int(np.prod(shape))].reshape(shape) for s in self._slices]
        for channel, view in enumerate(views):
            self.rotator.project(volume[channel], tilts, view)
        heights = np.stack([self._heights[t] for t in tilts])
        absorption = views[1] if len(views) > 1 else None
        self.model.exit_wave(views[0], heights, absorption)
        self.model.images(n_slice, [self.transfer(t) for t in tilts])
        return views[0], absorption, heights

    def _image_weight(self, tilts: list[int], weights: np.ndarray) -> Array:
        return self.runtime.xp.asarray(np.ascontiguousarray(weights[tilts], REAL))

    def _losses(self, tilts: list[int], weights: np.ndarray) -> np.ndarray:
        image_weight = self._image_weight(tilts, weights)
        return self.model.loss(self.loss, self._amplitude[tilts], image_weight, self._pixel_weight)

    def _worked(self, tilts: Sequence[int], work: Callable[[list[int]], T]) -> Iterator[tuple[list[int], T]]:
        """Batches and what ``work`` makes of them; one that does not fit is halved, and later ones with it.

        ``work`` must leave nothing behind when it runs out of memory.
        """
        waiting = list(self.batches(tilts))
        while waiting:
            group = waiting.pop(0)
            try:
                done = work(group)
            except MemoryError as error:  # CuPy's is one
                if len(group) == 1:
                    raise ResourceError(
                        f"GPU memory: {error}. Use fewer slices, a larger voxel or device cpu"
                    ) from error
            else:
                yield group, done
                continue
            # Only now: the error held on to what had been allocated.
            self.runtime.free_unused()
            self.batch = half = -(-len(group) // 2)
            self._note = f"GPU memory is short: {half} tilt{'s' * (half > 1)} at a time from here on"
            waiting[:0] = [group[:half], group[half:]]

    def take_note(self) -> str:
        """What had to be changed since this was last asked; "" for nothing."""
        note, self._note = self._note, ""
        return note

    def accumulate_batch(self, volume: Array, tilts: Sequence[int], gradient: Array) -> float:
        """Add the gradient of several tilts to ``gradient``; returns their summed loss.

        Parameters
        ----------
        volume, gradient : Array
            `(n_channel, nz, nx, ny)` float32 on the device.
        tilts : sequence of int

        Raises
        ------
        ResourceError
            The device's memory does not take even one tilt, after all.
        """
        total = 0.0
        for group, (loss, slices) in self._worked(tilts, partial(self._slice_gradients, volume)):
            total += loss
            for channel, part in enumerate(slices):
                self.rotator.backproject(part, group, gradient[channel])
        return total

    def _slice_gradients(self, volume: Array, group: list[int]) -> tuple[float, list[Array]]:
        """Summed loss of a batch and its gradient by the slices of each channel."""
        phase, absorption, heights = self._forward(volume, group)
        loss = float(self._losses(group, self.problem.weight).sum())
        self.model.backpropagate(phase, heights, absorption)
        return loss, [phase] if absorption is None else [phase, absorption]

    def accumulate(self, volume: Array, tilt: int, gradient: Array, slot: int = 0) -> float:
        """Add the gradient of one tilt to ``gradient``; see :class:`.base.Method`."""
        return self.accumulate_batch(volume, [tilt], gradient)

    def equations(
        self, volume: Array, tilts: Sequence[int], weights: np.ndarray, factors: np.ndarray
    ) -> Iterator[Equations]:
        """Gauss-Newton equations tilt by tilt, see :meth:`.multislice.MultisliceMethod.equations`."""
        on_device = self.runtime.xp.asarray(factors.astype(COMPLEX))

        def solve(group: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            self._forward(volume, group)
            losses = asnumpy(self._losses(group, weights))
            image_weight = self._image_weight(group, weights)
            return losses, *self.model.transfer_equations(on_device, image_weight, self._pixel_weight)

        for group, found in self._worked(tilts, solve):
            for tilt, loss, gradient, normal in zip(group, *found, strict=True):
                yield Equations(tilt, float(loss), gradient, normal)

    def tilt_derivative(self, volume: Array, tilt: int, slot: int = 0) -> float:
        """Derivative of one tilt's loss by its tilt angle, per radian."""
        _, slices = self._slice_gradients(volume, [int(tilt)])
        moved, total = self.runtime.xp.empty(slices[0].shape, REAL), 0.0
        for channel, part in enumerate(slices):
            self.rotator.project_derivative(volume[channel], [int(tilt)], moved)
            total += float((moved * part).sum(dtype=ACCUMULATE))
        return total

    def predict(self, volume: Array, tilt: int, slot: int = 0) -> Array:
        """`(n_focus, nx, ny)` predicted intensities of one tilt, on the device."""
        self._forward(volume, [int(tilt)])
        return self.model.intensity_of(1)[0].copy()

    def held_out_loss(self, volume: Array, tilt: int, slot: int = 0) -> float:
        """Loss of the tilt's held-out images."""
        return self.held_out_loss_of(volume, [int(tilt)])

    def held_out_loss_of(self, volume: Array, tilts: Sequence[int]) -> float:
        """Summed loss of the held-out images of these tilts."""
        held = self.problem.held_out

        def losses(group: list[int]) -> float:
            self._forward(volume, group)
            return float(self._losses(group, held).sum())

        chosen = [int(t) for t in tilts if held[t].any()]
        return sum(loss for _, loss in self._worked(chosen, losses))

    def data_norm(self, tilt: int, *, held_out: bool = False) -> float:
        """Loss of the tilt's images when nothing is in the beam."""
        key = (int(tilt), held_out)
        if key not in self._norms:
            weights = self.problem.held_out if held_out else self.problem.weight
            self.model.intensity_of(1)[...] = 1
            self._norms[key] = float(self._losses([int(tilt)], weights)[0])
        return self._norms[key]

    def preconditioner(self, tilts: np.ndarray) -> float:
        """Gradients of scattering are used as they are."""
        return 1.0

    def descend(self, volume: Array, gradient: Array, step: float, limit: Limit) -> None:
        """``volume = limit(volume - step * gradient)``; gradient becomes 0. In place."""
        self.runtime.launch(
            "descend", volume.size, volume, gradient, NULL, np.float32(step),
            np.float32(limit.low), np.float32(limit.shrink), np.int64(volume.size),
        )  # fmt: skip

    def extrapolate(self, volume: Array, previous: Array, beta: float) -> None:
        """``volume, previous = volume + beta (volume - previous), volume`` in place."""
        self.runtime.launch(
            "extrapolate", volume.size, volume, previous, np.float32(beta), np.int64(volume.size)
        )
