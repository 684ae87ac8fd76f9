"""Multislice wave propagation and its exact adjoint, all foci of a tilt at once.

Slices are phase gratings at the slice centres; between them the wave travels the
distance of the centres. The exit wave is left in the plane of the last slice
centre, so defocus gets that plane's height above the rotation centre added:
nothing depends on the depth of the box. Intensities are ``sum_q w_q |F_q|^2`` over
the nodes q of the focal-spread quadrature (one node: the coherent envelope).

Source: Kirkland, Advanced Computing in Electron Microscopy (2010), ch. 6; inverse
by back-propagation as Ren et al., Ultramicroscopy 208 (2020) 112860, and Lee et
al. 2025, Algorithm 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core import slices_cpu
from napari_phaset3m.core.fft import empty_aligned
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.core.propagation import NO_BAND_LIMIT, fresnel_propagator
from napari_phaset3m.core.transfer import Transfer


class Multislice:
    """Workspace and plans to take waves through up to ``max_slices`` slices.

    One thread uses one instance at a time.

    Parameters
    ----------
    grid : Grid
    wavelength_angstrom : float
    max_slices, n_focus, n_nodes : int
    band_limit : float
        Of the propagators, fraction of Nyquist; sqrt(2) or more: none.
    """

    def __init__(
        self,
        grid: Grid,
        wavelength_angstrom: float,
        max_slices: int,
        n_focus: int,
        *,
        n_nodes: int = 1,
        band_limit: float = NO_BAND_LIMIT,
    ) -> None:
        self.grid, self.wavelength = grid, wavelength_angstrom
        self.n_focus, self.n_nodes, self.band_limit = n_focus, n_nodes, band_limit
        shape = grid.shape
        self.waves = empty_aligned((max_slices, *shape))
        self.work, self.psi = empty_aligned(shape), empty_aligned(shape)
        self.fields = empty_aligned((n_focus * n_nodes, *shape))
        self.spectra = empty_aligned((n_focus * n_nodes, *shape))
        self.intensity = np.empty((n_focus, *shape), REAL)
        self.slope = np.empty((n_focus, *shape), REAL)
        self._plans = slices_cpu.Plans(self.waves, self.work, self.psi, self.spectra, self.fields)
        self._propagators: dict[float, int] = {}
        self._propagator_stack = np.empty((0, grid.nx * grid.ny), COMPLEX)
        self._no_absorption = np.empty((0, grid.nx * grid.ny), REAL)

    def _which(self, heights: np.ndarray) -> np.ndarray:
        """Index of the propagator that leads to each slice from the one before."""
        which = np.zeros(len(heights), np.int64)
        for s, distance in enumerate(np.diff(heights), start=1):
            key = round(float(distance), 9)
            if key not in self._propagators:
                p = fresnel_propagator(self.grid, self.wavelength, key, self.band_limit)
                new = np.asarray(p / (self.grid.nx * self.grid.ny), COMPLEX).reshape(1, -1)
                self._propagators[key] = len(self._propagator_stack)
                self._propagator_stack = np.concatenate([self._propagator_stack, new])
            which[s] = self._propagators[key]
        return which

    def _slice_arguments(
        self, phase: np.ndarray, heights: np.ndarray, absorption: np.ndarray | None
    ) -> tuple[Any, ...]:
        buffers = (_flat(self.waves), self.work.reshape(-1), self.psi.reshape(-1))
        losses = self._no_absorption if absorption is None else _flat(absorption)
        which = self._which(heights)
        return buffers, _flat(phase), losses, self._propagator_stack, which

    def _image_arguments(self, transfer: Transfer, images: np.ndarray) -> tuple[Any, ...]:
        buffers = (self.work, self.spectra, _flat(self.fields))
        return buffers, (transfer.base, transfer.ex, transfer.ey, transfer.weights), _flat(images)

    def exit_wave(
        self, phase: np.ndarray, heights: np.ndarray, absorption: np.ndarray | None = None
    ) -> np.ndarray:
        """Wave after the last slice, in the plane of its centre, for a unit plane wave.

        Parameters
        ----------
        phase, absorption : ndarray
            `(n_slice, nx, ny)` float32, radians.
        heights : ndarray
            `(n_slice,)` slice centres, angstrom.

        Returns
        -------
        ndarray
            `(nx, ny)` complex64 view into the workspace.
        """
        self._plans.run(
            slices_cpu.exit_wave,
            (self._plans.waves_to_work, self._plans.work_to_psi),
            *self._slice_arguments(phase, heights, absorption),
        )
        return np.asarray(self.waves[len(phase) - 1])

    def images(self, n_slice: int, transfer: Transfer) -> np.ndarray:
        """`(n_focus, nx, ny)` float32 intensities of the last exit wave (a workspace view)."""
        self._plans.run(
            slices_cpu.images,
            (self._plans.waves_to_work[n_slice - 1], self._plans.spectra_to_fields),
            *self._image_arguments(transfer, self.intensity),
        )
        return self.intensity

    def backpropagate(
        self,
        slope: np.ndarray,
        transfer: Transfer,
        phase: np.ndarray,
        heights: np.ndarray,
        absorption: np.ndarray | None = None,
    ) -> np.ndarray:
        """Gradient of the loss by the slices, after :meth:`exit_wave` and :meth:`images`.

        Parameters
        ----------
        slope : ndarray
            `(n_focus, nx, ny)` float32, twice the loss's derivative by intensity.
        phase, absorption : ndarray
            `(n_slice, nx, ny)`; overwritten with the gradients.

        Returns
        -------
        ndarray
            `phase`, now the gradient.
        """
        self._plans.run(
            slices_cpu.image_gradient,
            (self._plans.fields_to_spectra, self._plans.work_to_psi),
            *self._image_arguments(transfer, slope),
        )
        self._plans.run(
            slices_cpu.slice_gradients,
            (self._plans.psi_to_work, self._plans.work_to_psi),
            *self._slice_arguments(phase, heights, absorption),
        )
        return phase

    def transfer_equations(
        self, n_slice: int, transfer: Transfer, factors: np.ndarray, slope: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton equations of parameters that multiply each image's transfer.

        Run after :meth:`images` and before :meth:`backpropagate`, which reuses the
        same buffers.

        Parameters
        ----------
        factors : ndarray
            `(n_parameter, nx, ny)` complex q(k), where d(transfer) = q transfer d(parameter);
            see :func:`.transfer.shift_factors` and :func:`.transfer.defocus_factor`.
        slope : ndarray
            `(n_focus, nx, ny)`, as for :meth:`backpropagate`.
        weight : ndarray
            `(n_focus, nx, ny)` weights of the pixels in the loss.

        Returns
        -------
        gradient : ndarray
            `(n_focus, n_parameter)` float64: derivatives of the loss.
        normal : ndarray
            `(n_focus, n_parameter, n_parameter)` float64: ``J^T W J`` of the amplitudes'
            derivatives J.
        """
        self._plans.waves_to_work[n_slice - 1]()
        root = np.sqrt(np.maximum(self.intensity, REAL(1e-12)))
        change = np.zeros((self.n_focus, len(factors), *self.grid.shape))
        for i in range(len(transfer.ex)):
            focus, node = divmod(i, self.n_nodes)
            base = transfer.base[i if len(transfer.base) > 1 else 0]
            spectrum = base * (transfer.ex[i][:, None] * transfer.ey[i]) * self.work
            moved = np.fft.ifft2(factors * spectrum, norm="forward")
            change[focus] += transfer.weights[node] * (np.conj(self.fields[i]) * moved).real / root[focus]
        gradient = np.einsum("fxy,fpxy->fp", slope.astype(np.float64) * root, change)
        normal = np.einsum("fxy,fpxy,fqxy->fpq", weight.astype(np.float64), change, change)
        return gradient, normal


def _flat(stack: np.ndarray) -> np.ndarray:
    """`(n, nx * ny)` view of a stack."""
    return stack.reshape(len(stack), -1)
