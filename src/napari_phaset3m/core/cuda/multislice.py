"""Multislice on the GPU: tilts times foci in one FFT call each, waves kept, gratings recomputed.

Mirrors :class:`napari_phaset3m.core.multislice.Multislice`, batched over tilts that
have the same number of slices (their slice distances may differ).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.core.cuda.runtime import NULL, Runtime
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import COMPLEX, REAL, Array
from napari_phaset3m.core.propagation import NO_BAND_LIMIT, band_limit_mask
from napari_phaset3m.core.transfer import Transfer

LOSS_KINDS = {"amplitude": 0, "poisson": 1, "intensity": 2}


def batch_bytes(grid: Grid, n_slice: int, n_image: int, channels: int = 1) -> int:
    """Device bytes one tilt of a batch needs (waves, slices, images, FFT work areas)."""
    pixels = grid.nx * grid.ny
    waves = 8 * (n_slice + 3)
    slices = 4 * channels * n_slice
    images = n_image * (8 * 3 + 4 * 4)
    return pixels * (waves + slices + images)


class CudaMultislice:
    """Takes waves of up to ``max_batch`` tilts through their slices.

    Parameters
    ----------
    runtime : Runtime
    grid : Grid
    wavelength_angstrom : float
    max_slices, n_focus, max_batch : int
    n_nodes : int
        Nodes of the focal-spread quadrature.
    band_limit : float
        Of the propagators, fraction of Nyquist; sqrt(2) or more: none.
    """

    def __init__(
        self,
        runtime: Runtime,
        grid: Grid,
        wavelength_angstrom: float,
        *,
        max_slices: int,
        n_focus: int,
        max_batch: int,
        n_nodes: int = 1,
        band_limit: float = NO_BAND_LIMIT,
    ) -> None:
        xp = runtime.xp
        self.runtime, self.grid, self.wavelength = runtime, grid, wavelength_angstrom
        self.n_focus, self.n_nodes, self.max_batch = n_focus, n_nodes, max_batch
        n = max_batch * grid.nx * grid.ny
        self._pixels = grid.nx * grid.ny
        self._waves = xp.empty(max_slices * n, COMPLEX)
        self._psi = xp.empty(n, COMPLEX)
        self._fields = xp.empty(n_focus * n_nodes * n, COMPLEX)
        self._intensity, self._slope, self._value = (xp.empty(n_focus * n, REAL) for _ in range(3))
        mask = band_limit_mask(grid, band_limit) / self._pixels
        self._mask = xp.asarray(mask.astype(REAL))
        self._vectors: dict[float, tuple[np.ndarray, np.ndarray]] = {}
        self._transfer: dict[str, Any] = {}

    def _shaped(self, buffer: Array, *leading: int) -> Array:
        shape = (*leading, self.grid.nx, self.grid.ny)
        return buffer[: int(np.prod(shape))].reshape(shape)

    def _sizes(self) -> tuple[np.int64, np.int64]:
        return np.int64(self.grid.nx), np.int64(self.grid.ny)

    def _distances(self, distances: np.ndarray) -> tuple[Array, Array]:
        rows = []
        for distance in distances.tolist():
            key = round(distance, 9)
            if key not in self._vectors:
                factor = -1j * np.pi * self.wavelength * key
                x, y = np.exp(factor * self.grid.kx**2), np.exp(factor * self.grid.ky**2)
                self._vectors[key] = x.astype(COMPLEX), y.astype(COMPLEX)
            rows.append(self._vectors[key])
        xp = self.runtime.xp
        return xp.asarray(np.stack([r[0] for r in rows])), xp.asarray(np.stack([r[1] for r in rows]))

    def _propagate(self, psi: Array, distances: np.ndarray, *, adjoint: bool) -> None:
        px, py = self._distances(distances)
        self.runtime.fft2(psi)
        self.runtime.launch(
            "propagate", len(psi) * self.grid.nx, psi, px, py, self._mask, np.int64(adjoint),
            np.int64(len(psi)), *self._sizes(),
        )  # fmt: skip
        self.runtime.fft2(psi, inverse=True)

    def exit_wave(self, phase: Array, heights: np.ndarray, absorption: Array | None = None) -> Array:
        """Waves after the last slice, for unit plane waves.

        Parameters
        ----------
        phase, absorption : Array
            `(n_slice, n_batch, nx, ny)` float32, radians.
        heights : ndarray
            `(n_batch, n_slice)` slice centres, angstrom, on the host.

        Returns
        -------
        Array
            `(n_batch, nx, ny)` complex64 view into the workspace.
        """
        n_slice, n_batch = phase.shape[:2]
        waves, psi = self._shaped(self._waves, n_slice, n_batch), self._shaped(self._psi, n_batch)
        psi[...] = 1
        for s in range(n_slice):
            if s:
                psi[...] = waves[s - 1]
                self._propagate(psi, heights[:, s] - heights[:, s - 1], adjoint=False)
            a = NULL if absorption is None else absorption[s]
            self.runtime.launch("transmit", psi.size, psi, phase[s], a, waves[s], np.int64(psi.size))
        return waves[n_slice - 1]

    def images(self, n_slice: int, transfers: Sequence[Transfer]) -> Array:
        """`(n_batch, n_focus, nx, ny)` float32 intensities of the last exit waves."""
        n_batch, n_image = len(transfers), self.n_focus * self.n_nodes
        psi = self._shaped(self._psi, n_batch)
        psi[...] = self._shaped(self._waves, n_slice, n_batch)[n_slice - 1]
        self.runtime.fft2(psi)
        self._load(transfers)
        fields = self._shaped(self._fields, n_batch * n_image)
        self._transfer_kernel("apply_transfer", psi, fields)
        self.runtime.fft2(fields, inverse=True)
        groups = n_batch * self.n_focus
        intensity = self.intensity_of(n_batch)
        self.runtime.launch(
            "intensity", intensity.size, fields, self._transfer["weights"], intensity,
            np.int64(groups), np.int64(self.n_nodes), np.int64(self._pixels),
        )  # fmt: skip
        return intensity

    def _load(self, transfers: Sequence[Transfer]) -> None:
        xp = self.runtime.xp
        first = transfers[0].base
        # All tilts share one base unless spatial coherence makes it depend on defocus.
        base = first if len(first) == 1 else np.concatenate([t.base for t in transfers])
        address = base.ctypes.data if len(base) == 1 else None
        if address is None or self._transfer.get("address") != address:
            device_base = xp.asarray(np.ascontiguousarray(base, COMPLEX))
            self._transfer = {"address": address, "host": base, "base": device_base}
        self._transfer["ex"] = xp.asarray(np.concatenate([t.ex for t in transfers]).astype(COMPLEX))
        self._transfer["ey"] = xp.asarray(np.concatenate([t.ey for t in transfers]).astype(COMPLEX))
        self._transfer["weights"] = xp.asarray(transfers[0].weights)

    def _transfer_kernel(self, name: str, source: Array, target: Array) -> None:
        n_image = self.n_focus * self.n_nodes
        n_batch = min(len(source), len(target))
        t = self._transfer
        self.runtime.launch(
            name, n_batch * self.grid.nx, source, t["base"], t["ex"], t["ey"], target,
            np.int64(len(t["base"])), np.int64(n_batch), np.int64(n_image), *self._sizes(),
        )  # fmt: skip

    def intensity_of(self, n_batch: int) -> Array:
        """`(n_batch, n_focus, nx, ny)` view of the intensities in the workspace."""
        return self._shaped(self._intensity, n_batch, self.n_focus)

    def loss(self, kind: str, amplitude: Array, image_weight: Array, pixel_weight: Array) -> np.ndarray:
        """Losses `(n_batch,)` float64 of the last images; keeps the slope for the gradient.

        ``amplitude`` `(n_batch, n_focus, nx, ny)`, ``image_weight`` `(n_batch, n_focus)`,
        ``pixel_weight`` `(nx, ny)`, all on the device.
        """
        n_batch = len(amplitude)
        groups = n_batch * self.n_focus
        intensity = self.intensity_of(n_batch)
        value = self._shaped(self._value, n_batch, self.n_focus)
        self.runtime.launch(
            "loss", intensity.size, intensity, amplitude, image_weight, pixel_weight, value, self._slope,
            np.int64(LOSS_KINDS[kind]), np.int64(groups), np.int64(self._pixels),
        )  # fmt: skip
        total = value.reshape(n_batch, -1).sum(axis=1, dtype=np.float64)
        return np.asarray(total.get() if hasattr(total, "get") else total)

    def backpropagate(self, phase: Array, heights: np.ndarray, absorption: Array | None = None) -> None:
        """Overwrite ``phase`` (and ``absorption``) with the gradient of the last loss."""
        n_slice, n_batch = phase.shape[:2]
        waves, psi = self._shaped(self._waves, n_slice, n_batch), self._shaped(self._psi, n_batch)
        fields = self._shaped(self._fields, n_batch * self.n_focus * self.n_nodes)
        self.runtime.launch(
            "scale_fields", fields.size, fields, self._slope, self._transfer["weights"],
            np.int64(n_batch * self.n_focus), np.int64(self.n_nodes), np.int64(self._pixels),
        )  # fmt: skip
        self.runtime.fft2(fields)
        self._transfer_kernel("apply_transfer_adjoint", fields, psi)
        self.runtime.fft2(psi, inverse=True)
        for s in range(n_slice - 1, -1, -1):
            a = NULL if absorption is None else absorption[s]
            self.runtime.launch("transmit_adjoint", psi.size, psi, waves[s], phase[s], a, np.int64(psi.size))
            if s:
                self._propagate(psi, heights[:, s] - heights[:, s - 1], adjoint=True)
