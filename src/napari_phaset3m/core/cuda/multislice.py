"""Multislice on the GPU: tilts times foci in one FFT call each, waves kept, gratings recomputed.

Mirrors :class:`napari_phaset3m.core.multislice.Multislice`, batched over tilts that
have the same number of slices (their slice distances may differ).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.cuda.detector import CudaDetector
from napari_phaset3m.core.cuda.runtime import NULL, Runtime
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import ACCUMULATE, COMPLEX, REAL, Array
from napari_phaset3m.core.propagation import NO_BAND_LIMIT, band_limit_mask
from napari_phaset3m.core.transfer import Transfer

LOSS_KINDS = {"amplitude": 0, "poisson": 1, "intensity": 2}


def batch_bytes(grid: Grid, n_slice: int, n_image: int, channels: int = 1) -> int:
    """Device bytes one tilt of a batch needs (waves, slices, images, FFT work areas)."""
    pixels = grid.nx * grid.ny
    waves = 8 * (n_slice + 3)
    slices = 4 * channels * n_slice
    images = n_image * (8 * 3 + 4 * 5)
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
    mtf : ndarray, optional
        `(nx, ny // 2 + 1)` of the detector, for intensities and the gradients by them.
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
        mtf: np.ndarray | None = None,
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
        self._detector = None if mtf is None else CudaDetector(runtime, grid, mtf)
        self._propagators: dict[float, int] = {}
        empty_x, empty_y = xp.empty((0, grid.nx), COMPLEX), xp.empty((0, grid.ny), COMPLEX)
        self._vectors = empty_x, empty_y
        self._which: tuple[Any, Array] = None, None
        self._transfer: dict[str, Any] = {"weights": None}

    def _shaped(self, buffer: Array, *leading: int) -> Array:
        shape = (*leading, self.grid.nx, self.grid.ny)
        return buffer[: int(np.prod(shape))].reshape(shape)

    def _sizes(self) -> tuple[np.int64, np.int64]:
        return np.int64(self.grid.nx), np.int64(self.grid.ny)

    def _leading(self, heights: np.ndarray) -> Array:
        """`(n_slice, n_batch)` which propagator leads to each slice from the one before."""
        key = heights.shape, heights.tobytes()
        if self._which[0] != key:
            distances = np.diff(heights, axis=1, prepend=heights[:, :1])
            found = [[self._propagator(float(d)) for d in row] for row in distances.T]
            self._which = key, self.runtime.xp.asarray(np.array(found, np.int64))
        return self._which[1]

    def _propagator(self, distance: float) -> int:
        """Place of a distance in the table, which grows by it when it is new."""
        key = round(distance, 9)
        if key not in self._propagators:
            xp, factor = self.runtime.xp, -1j * np.pi * self.wavelength * key
            new = (np.exp(factor * k**2)[None] for k in (self.grid.kx, self.grid.ky))
            x, y = (
                xp.concatenate([old, xp.asarray(v.astype(COMPLEX))])
                for old, v in zip(self._vectors, new, strict=True)
            )
            self._propagators[key], self._vectors = len(self._propagators), (x, y)
        return self._propagators[key]

    def _propagate(self, source: Array, psi: Array, which: Array, *, adjoint: bool) -> None:
        """Take ``source`` to the next slice, into ``psi`` (which may be the same array)."""
        self.runtime.fft2(source, psi)
        self.runtime.launch(
            "propagate", len(psi) * self.grid.nx, psi, *self._vectors, which, self._mask,
            np.int64(adjoint), np.int64(len(psi)), *self._sizes(),
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
        which = self._leading(heights)
        psi[...] = 1
        for s in range(n_slice):
            if s:
                self._propagate(waves[s - 1], psi, which[s], adjoint=False)
            a = NULL if absorption is None else absorption[s]
            self.runtime.launch("transmit", psi.size, psi, phase[s], a, waves[s], np.int64(psi.size))
        return waves[n_slice - 1]

    def images(self, n_slice: int, transfers: Sequence[Transfer]) -> Array:
        """`(n_batch, n_focus, nx, ny)` float32 intensities of the last exit waves."""
        n_batch, n_image = len(transfers), self.n_focus * self.n_nodes
        psi = self._shaped(self._psi, n_batch)
        self.runtime.fft2(self._shaped(self._waves, n_slice, n_batch)[n_slice - 1], psi)
        self._load(transfers)
        fields = self._shaped(self._fields, n_batch * n_image)
        self._transfer_kernel("apply_transfer", psi, fields, NULL)
        self.runtime.fft2(fields, inverse=True)
        groups = n_batch * self.n_focus
        intensity = self.intensity_of(n_batch)
        self.runtime.launch(
            "intensity", intensity.size, fields, self._transfer["weights"], intensity,
            np.int64(groups), np.int64(self.n_nodes), np.int64(self._pixels),
        )  # fmt: skip
        if self._detector is not None:
            self._detector.apply(intensity)
        return intensity

    def _load(self, transfers: Sequence[Transfer]) -> None:
        xp = self.runtime.xp
        first = transfers[0].base
        # All tilts share one base unless spatial coherence makes it depend on defocus.
        base = first if len(first) == 1 else np.concatenate([t.base for t in transfers])
        address = base.ctypes.data if len(base) == 1 else None
        if address is None or self._transfer.get("address") != address:
            device_base = xp.asarray(np.ascontiguousarray(base, COMPLEX))
            self._transfer |= {"address": address, "host": base, "base": device_base}
        self._transfer["ex"] = xp.asarray(np.concatenate([t.ex for t in transfers]).astype(COMPLEX))
        self._transfer["ey"] = xp.asarray(np.concatenate([t.ey for t in transfers]).astype(COMPLEX))
        if self._transfer["weights"] is None:  # the quadrature's, always the same
            self._transfer["weights"] = xp.asarray(transfers[0].weights)

    def _transfer_kernel(self, name: str, source: Array, target: Array, *factor: Any) -> None:
        n_image = self.n_focus * self.n_nodes
        n_batch = min(len(source), len(target))
        t = self._transfer
        self.runtime.launch(
            name, n_batch * self.grid.nx, source, t["base"], t["ex"], t["ey"], target, *factor,
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
        return asnumpy(value.reshape(n_batch, -1).sum(axis=1, dtype=ACCUMULATE))

    def gradient_slope(self, n_batch: int) -> Array:
        """`(n_batch, n_focus, nx, ny)` the slope as the waves see it: through the detector, once."""
        slope = self._shaped(self._slope, n_batch, self.n_focus)
        if self._detector is not None:
            self._detector.apply(slope)
        return slope

    def transfer_equations(
        self, factors: Array, image_weight: Array, pixel_weight: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton equations of what multiplies each image's transfer.

        Run after :meth:`loss`, instead of :meth:`backpropagate`: the slope is used up. See
        :meth:`..multislice.Multislice.transfer_equations`.

        Parameters
        ----------
        factors : Array
            `(n_parameter, nx, ny)` complex64.
        image_weight, pixel_weight : Array
            `(n_batch, n_focus)`, `(nx, ny)`, as for :meth:`loss`.

        Returns
        -------
        gradient, normal : ndarray
            `(n_batch, n_focus, n_parameter)` and `(..., n_parameter, n_parameter)` float64.
        """
        xp, n_batch, n = self.runtime.xp, len(image_weight), len(factors)
        changes = [self._amplitude_change(factor, n_batch) for factor in factors]
        root = xp.sqrt(xp.maximum(self.intensity_of(n_batch), REAL(1e-12)))
        slope = self.gradient_slope(n_batch) * root
        weight = image_weight[:, :, None, None] * pixel_weight
        gradient = np.zeros((n_batch, self.n_focus, n))
        normal = np.zeros((n_batch, self.n_focus, n, n))
        for p, change in enumerate(changes):
            gradient[..., p] = _sums(slope * change)
            weighted = weight * change
            for q in range(p + 1):
                normal[..., p, q] = normal[..., q, p] = _sums(weighted * changes[q])
        return gradient, normal

    def _amplitude_change(self, factor: Array, n_batch: int) -> Array:
        """`(n_batch, n_focus, nx, ny)` derivative of the amplitudes by what the factor belongs to."""
        xp, groups = self.runtime.xp, n_batch * self.n_focus
        psi, fields = self._shaped(self._psi, n_batch), self._shaped(self._fields, groups * self.n_nodes)
        moved, intensity = xp.empty(fields.shape, COMPLEX), self.intensity_of(n_batch)
        change = xp.empty(intensity.shape, REAL)
        self._transfer_kernel("apply_transfer", psi, moved, factor)
        self.runtime.fft2(moved, inverse=True)
        self.runtime.launch(
            "amplitude_change", intensity.size, fields, moved, self._transfer["weights"], intensity, change,
            np.int64(groups), np.int64(self.n_nodes), np.int64(self._pixels),
        )  # fmt: skip
        return change

    def backpropagate(self, phase: Array, heights: np.ndarray, absorption: Array | None = None) -> None:
        """Overwrite ``phase`` (and ``absorption``) with the gradient of the last loss."""
        n_slice, n_batch = phase.shape[:2]
        waves, psi = self._shaped(self._waves, n_slice, n_batch), self._shaped(self._psi, n_batch)
        fields = self._shaped(self._fields, n_batch * self.n_focus * self.n_nodes)
        slope, which = self.gradient_slope(n_batch), self._leading(heights)
        self.runtime.launch(
            "scale_fields", fields.size, fields, slope, self._transfer["weights"],
            np.int64(n_batch * self.n_focus), np.int64(self.n_nodes), np.int64(self._pixels),
        )  # fmt: skip
        self.runtime.fft2(fields)
        self._transfer_kernel("apply_transfer_adjoint", fields, psi)
        self.runtime.fft2(psi, inverse=True)
        for s in range(n_slice - 1, -1, -1):
            a = NULL if absorption is None else absorption[s]
            self.runtime.launch("transmit_adjoint", psi.size, psi, waves[s], phase[s], a, np.int64(psi.size))
            if s:
                self._propagate(psi, psi, which[s], adjoint=True)


def _sums(images: Array) -> np.ndarray:
    """`(n_batch, n_focus)` float64 sums over the pixels, on the host."""
    return asnumpy(images.sum(axis=(-2, -1), dtype=ACCUMULATE))
