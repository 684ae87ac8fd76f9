"""PhaseT3M's data term: multislice scattering compared with the images.

Lee et al., "PhaseT3M" (2025), Algorithm 1; with one slice it is the projection
approximation, with one tilt focal-series exit-wave reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.detector import Detector
from napari_phaset3m.core.kernels_cpu import LOSSES
from napari_phaset3m.core.multislice import Multislice
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.rotation import make_rotator
from napari_phaset3m.core.transfer import Transfer, TransferModel
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.methods.base import Equations
from napari_phaset3m.reconstruct.problem import Problem


def resolve_loss(config: ReconstructionConfig, problem: Problem) -> str:
    """The loss: as given, else Poisson when the dose is known and amplitude otherwise."""
    if config.loss != "auto":
        return config.loss
    return "amplitude" if problem.total_dose is None else "poisson"


class _Workspace:
    """What one thread needs for one tilt."""

    def __init__(self, problem: Problem, config: ReconstructionConfig, n_nodes: int) -> None:
        geometry, grid = problem.geometry, problem.grid
        assert problem.microscope is not None
        shape = (geometry.max_slices(), *grid.shape)
        self.phase = np.empty(shape, REAL)
        self.absorption = np.empty(shape, REAL) if config.absorption else None
        self.model = Multislice(
            grid,
            problem.microscope.wavelength_angstrom,
            shape[0],
            problem.images.shape[1],
            n_nodes=n_nodes,
            band_limit=config.band_limit,
        )
        self.weight = np.empty(problem.images.shape[1:], REAL)


class MultisliceMethod:
    """Multislice data term on the CPU (see :class:`.base.Method`).

    Parameters
    ----------
    problem : Problem
    config : ReconstructionConfig
    n_slots : int
        Workspaces, one for each thread.
    """

    name = "multislice"
    unit = "V"

    def __init__(self, problem: Problem, config: ReconstructionConfig, n_slots: int) -> None:
        assert problem.microscope is not None
        self.problem = problem
        self.n_tilt = problem.images.shape[0]
        channels = 2 if config.absorption else 1
        self.volume_shape = (channels, *problem.geometry.volume_shape)
        self.rotator = make_rotator(config.rotation, problem.geometry)
        self.loss = resolve_loss(config, problem)
        incoherent = config.coherence == "incoherent"
        if incoherent and problem.microscope.focal_spread_angstrom == 0:
            raise ConfigError("coherence: incoherent needs a focal spread (or Cc and energy spread)")
        n_nodes = config.quadrature_points if incoherent else 1
        self._transfer = TransferModel(problem.grid, problem.microscope, n_nodes)
        self._detector = Detector(problem.grid, problem.microscope) if problem.microscope.mtf else None
        self._slots = [_Workspace(problem, config, n_nodes) for _ in range(n_slots)]
        self._heights = [problem.geometry.slice_centres_angstrom(i) for i in range(self.n_tilt)]
        self._amplitude = np.sqrt(np.maximum(problem.images, 0))
        self._norms: dict[tuple[int, bool], float] = {}

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

    def _forward(self, volume: np.ndarray, tilt: int, slot: int) -> tuple[int, Transfer]:
        ws, n = self._slots[slot], len(self._heights[tilt])
        self.rotator.project(volume[0], tilt, ws.phase[:n])
        absorption = None
        if ws.absorption is not None:
            absorption = ws.absorption[:n]
            self.rotator.project(volume[1], tilt, absorption)
        ws.model.exit_wave(ws.phase[:n], self._heights[tilt], absorption)
        transfer = self.transfer(tilt)
        images = ws.model.images(n, transfer)
        if self._detector is not None:
            self._detector.apply(images)
        return n, transfer

    def _loss(self, tilt: int, slot: int, weights: np.ndarray) -> float:
        ws = self._slots[slot]
        np.multiply(weights[:, None, None], self.problem.pixel_weight, out=ws.weight)
        return float(
            LOSSES[self.loss](
                ws.model.intensity.reshape(-1),
                self._amplitude[tilt].reshape(-1),
                ws.weight.reshape(-1),
                ws.model.slope.reshape(-1),
            )
        )

    def _slice_gradients(self, volume: np.ndarray, tilt: int, slot: int) -> tuple[float, list[np.ndarray]]:
        """Loss of a tilt and its gradient by the slices of each channel (workspace views)."""
        n, transfer = self._forward(volume, tilt, slot)
        loss = self._loss(tilt, slot, self.problem.weight[tilt])
        ws = self._slots[slot]
        if self._detector is not None:
            self._detector.apply(ws.model.slope)
        absorption = None if ws.absorption is None else ws.absorption[:n]
        ws.model.backpropagate(ws.model.slope, transfer, ws.phase[:n], self._heights[tilt], absorption)
        return loss, [ws.phase[:n]] + ([] if absorption is None else [absorption])

    def accumulate(self, volume: np.ndarray, tilt: int, gradient: np.ndarray, slot: int) -> float:
        """Add the gradient of one tilt to ``gradient``; see :class:`.base.Method`."""
        loss, slices = self._slice_gradients(volume, tilt, slot)
        for channel, part in enumerate(slices):
            self.rotator.backproject(part, tilt, gradient[channel])
        return loss

    def equations(
        self, volume: np.ndarray, tilts: Sequence[int], weights: np.ndarray, factors: np.ndarray
    ) -> Iterator[Equations]:
        """Gauss-Newton equations of what multiplies each image's transfer, tilt by tilt.

        Parameters
        ----------
        volume : ndarray
            `(n_channel, nz, nx, ny)` float32.
        tilts : sequence of int
        weights : ndarray
            `(n_tilt, n_focus)` weights of the images in the loss.
        factors : ndarray
            `(n_parameter, nx, ny)`, see :mod:`.core.transfer`.

        Yields
        ------
        Equations
            The detector's blur is left out of ``normal``.
        """
        ws = self._slots[0]
        for tilt in map(int, tilts):
            n, transfer = self._forward(volume, tilt, 0)
            loss = self._loss(tilt, 0, np.asarray(weights[tilt], REAL))
            if self._detector is not None:
                self._detector.apply(ws.model.slope)
            found = ws.model.transfer_equations(n, transfer, factors, ws.model.slope, ws.weight)
            yield Equations(tilt, loss, *found)

    def predict_tilted(self, volume: np.ndarray, tilt: int, step_rad: float, slot: int = 0) -> np.ndarray:
        """`(n_focus, nx, ny)` predicted intensities with the tilt angle changed by a small step.

        The slices change by the rotator's derivative, so that the step may be as small as wanted.
        """
        ws = self._slots[slot]
        n, transfer = self._forward(volume, tilt, slot)
        moved = np.empty_like(ws.phase[:n])
        for channel, part in enumerate((ws.phase, ws.absorption)):
            if part is not None:
                self.rotator.project_derivative(volume[channel], tilt, moved)
                part[:n] += REAL(step_rad) * moved
        absorption = None if ws.absorption is None else ws.absorption[:n]
        ws.model.exit_wave(ws.phase[:n], self._heights[tilt], absorption)
        images = ws.model.images(n, transfer)
        if self._detector is not None:
            self._detector.apply(images)
        return np.array(images)

    def tilt_derivative(self, volume: np.ndarray, tilt: int, slot: int = 0) -> float:
        """Derivative of one tilt's loss by its tilt angle, per radian.

        Parameters
        ----------
        volume : ndarray
            `(n_channel, nz, nx, ny)` float32.
        """
        total = 0.0
        for channel, part in enumerate(self._slice_gradients(volume, tilt, slot)[1]):
            moved = np.empty_like(part)
            self.rotator.project_derivative(volume[channel], tilt, moved)
            total += float(np.vdot(moved.astype(np.float64), part))
        return total

    def predict(self, volume: np.ndarray, tilt: int, slot: int = 0) -> np.ndarray:
        """`(n_focus, nx, ny)` predicted intensities of one tilt."""
        self._forward(volume, tilt, slot)
        return np.array(self._slots[slot].model.intensity)

    def plane_angstrom(self, tilt: int) -> float:
        """Height above the rotation centre of the plane that transfer functions start from."""
        return float(self._heights[tilt][-1])

    def predict_transfers(
        self, volume: np.ndarray, tilt: int, transfers: Sequence[Transfer], slot: int = 0
    ) -> np.ndarray:
        """`(n, n_focus, nx, ny)` intensities of one tilt that other transfer functions would give.

        Parameters
        ----------
        transfers : sequence of Transfer
            From :meth:`plane_angstrom` of the tilt, see :class:`.transfer.TransferModel`.
        """
        ws = self._slots[slot]
        n, _ = self._forward(volume, tilt, slot)
        found = np.empty((len(transfers), *ws.model.intensity.shape), REAL)
        for images, transfer in zip(found, transfers, strict=True):
            images[:] = ws.model.images(n, transfer)
            if self._detector is not None:
                self._detector.apply(images)
        return found

    def held_out_loss(self, volume: np.ndarray, tilt: int, slot: int = 0) -> float:
        """Loss of the tilt's held-out images."""
        held = self.problem.held_out[tilt]
        if not held.any():
            return 0.0
        self._forward(volume, tilt, slot)
        return self._loss(tilt, slot, held.astype(REAL))

    def data_norm(self, tilt: int, *, held_out: bool = False) -> float:
        """Loss of the tilt's images when nothing is in the beam."""
        key = (tilt, held_out)
        if key not in self._norms:
            weights = self.problem.held_out[tilt] if held_out else self.problem.weight[tilt]
            intensity = np.ones(self.problem.grid.nx * self.problem.grid.ny, REAL)
            slope = np.empty_like(intensity)
            pixel = self.problem.pixel_weight.reshape(-1)
            self._norms[key] = float(
                sum(
                    w * LOSSES[self.loss](intensity, self._amplitude[tilt, f].reshape(-1), pixel, slope)
                    for f, w in enumerate(weights)
                    if w
                )
            )
        return self._norms[key]

    def preconditioner(self, tilts: np.ndarray) -> float:
        """Gradients of scattering are used as they are."""
        return 1.0
