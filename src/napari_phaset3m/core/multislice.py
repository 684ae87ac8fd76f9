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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core import kernels_cpu as kernels
from napari_phaset3m.core.fft import empty_aligned, plan_fft2
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import (
    Microscope,
    defocus_vectors,
    focal_quadrature,
    shift_vectors,
    spatial_envelope,
    transfer_base,
)
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.core.propagation import NO_BAND_LIMIT, fresnel_propagator


@dataclass(frozen=True, slots=True)
class Transfer:
    """Transfer functions of the images of one tilt.

    Attributes
    ----------
    base : ndarray
        `(1 or n, nx, ny)` complex64, with the 1/N of the inverse FFT folded in.
    ex, ey : ndarray
        `(n, nx)`, `(n, ny)` complex64; n = images times quadrature nodes.
    weights : ndarray
        `(n_node,)` float32 quadrature weights.
    """

    base: np.ndarray
    ex: np.ndarray
    ey: np.ndarray
    weights: np.ndarray


class TransferModel:
    """Makes :class:`Transfer` objects for a microscope on a grid.

    Parameters
    ----------
    grid : Grid
    microscope : Microscope
    n_nodes : int
        1: coherent temporal envelope. More: incoherent sum over that many defoci.
    """

    def __init__(self, grid: Grid, microscope: Microscope, n_nodes: int = 1) -> None:
        self.grid, self.microscope = grid, microscope
        self._base = transfer_base(grid, microscope, envelope=n_nodes == 1)
        self._base *= REAL(1 / (grid.nx * grid.ny))
        if n_nodes == 1:
            self.offsets, weights = np.zeros(1), np.ones(1)
        else:
            self.offsets, weights = focal_quadrature(microscope.focal_spread_angstrom, n_nodes)
        self.weights = np.asarray(weights, REAL)

    def __call__(
        self,
        defocus_angstrom: Sequence[float],
        shifts_px: Sequence[tuple[float, float]],
        plane_angstrom: float,
    ) -> Transfer:
        """Transfer of the images with these defoci and (y, x) shifts.

        ``plane_angstrom`` is the height of the wave's plane above the rotation
        centre, to which defocus refers.
        """
        ex, ey, base = [], [], []
        for defocus, shift in zip(defocus_angstrom, shifts_px, strict=True):
            sx, sy = shift_vectors(self.grid, shift)
            for offset in self.offsets:
                value = defocus + plane_angstrom + offset
                dx, dy = defocus_vectors(self.grid, self.microscope.wavelength_angstrom, value)
                ex.append(dx * sx)
                ey.append(dy * sy)
                if self.microscope.convergence_semiangle_rad:
                    # Coherence is judged at the specimen: the plane does not count.
                    envelope = spatial_envelope(self.grid, self.microscope, defocus + offset)
                    base.append(self._base * envelope)
        stacked = np.stack(base) if base else self._base[None]
        return Transfer(stacked, np.stack(ex), np.stack(ey), self.weights)


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
        self._to_work = [plan_fft2(wave, self.work) for wave in self.waves]
        self._psi_to_work = plan_fft2(self.psi, self.work)
        self._work_to_psi = plan_fft2(self.work, self.psi, inverse=True)
        self._to_fields = plan_fft2(self.spectra, self.fields, inverse=True)
        self._to_spectra = plan_fft2(self.fields, self.spectra)
        self._propagators: dict[float, np.ndarray] = {}
        self._work_flat, self._psi_flat = self.work.reshape(-1), self.psi.reshape(-1)
        self._wave_flat = [w.reshape(-1) for w in self.waves]

    def _propagator(self, distance: float) -> np.ndarray:
        key = round(distance, 9)
        if key not in self._propagators:
            p = fresnel_propagator(self.grid, self.wavelength, distance, self.band_limit)
            self._propagators[key] = np.asarray(p / (self.grid.nx * self.grid.ny), COMPLEX).ravel()
        return self._propagators[key]

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
        self.psi[:] = 1
        for s in range(len(phase)):
            if s:
                self._to_work[s - 1]()
                kernels.multiply(self._work_flat, self._propagator(heights[s] - heights[s - 1]))
                self._work_to_psi()
            kernels.transmit(self._psi_flat, phase[s].reshape(-1), self._wave_flat[s])
            if absorption is not None:
                kernels.attenuate(self._wave_flat[s], absorption[s].reshape(-1))
        return np.asarray(self.waves[len(phase) - 1])

    def images(self, n_slice: int, transfer: Transfer) -> np.ndarray:
        """`(n_focus, nx, ny)` float32 intensities of the last exit wave (a workspace view)."""
        self._to_work[n_slice - 1]()
        kernels.apply_transfer(self.work, transfer.base, transfer.ex, transfer.ey, self.spectra)
        self._to_fields()
        self.intensity[:] = 0
        for i in range(len(transfer.ex)):
            focus, node = divmod(i, self.n_nodes)
            kernels.add_intensity(
                self.fields[i].reshape(-1), transfer.weights[node], self.intensity[focus].reshape(-1)
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
        for i in range(len(transfer.ex)):
            focus, node = divmod(i, self.n_nodes)
            kernels.scale_field(self.fields[i].reshape(-1), slope[focus].reshape(-1), transfer.weights[node])
        self._to_spectra()
        kernels.apply_transfer_adjoint(self.spectra, transfer.base, transfer.ex, transfer.ey, self.work)
        self._work_to_psi()
        for s in range(len(phase) - 1, -1, -1):
            wave, flat = self._wave_flat[s], phase[s].reshape(-1)
            if absorption is not None:
                kernels.absorption_gradient(self._psi_flat, wave, absorption[s].reshape(-1))
            kernels.phase_gradient(self._psi_flat, wave, flat)
            if s:
                self._psi_to_work()
                kernels.multiply_conjugate(self._work_flat, self._propagator(heights[s] - heights[s - 1]))
                self._work_to_psi()
        return phase

    def transfer_derivatives(
        self, n_slice: int, slope: np.ndarray, transfer: Transfer, factors: np.ndarray
    ) -> np.ndarray:
        """Loss derivatives by parameters that multiply each image's transfer.

        Run after :meth:`images` and before :meth:`backpropagate`, which reuses the
        same buffers.

        Parameters
        ----------
        slope : ndarray
            `(n_focus, nx, ny)`, as for :meth:`backpropagate`.
        factors : ndarray
            `(n_parameter, nx, ny)` complex q(k), where d(transfer) = q transfer d(parameter);
            see :func:`shift_factors` and :func:`defocus_factor`.

        Returns
        -------
        ndarray
            `(n_focus, n_parameter)` float64.
        """
        self._to_work[n_slice - 1]()
        result = np.zeros((self.n_focus, len(factors)))
        for i in range(len(transfer.ex)):
            focus, node = divmod(i, self.n_nodes)
            base = transfer.base[i if len(transfer.base) > 1 else 0]
            field = base * (transfer.ex[i][:, None] * transfer.ey[i]) * self.work
            residual = self.fields[i] * (slope[focus] * transfer.weights[node])
            residual_spectrum = np.fft.fft2(residual)
            for j, factor in enumerate(factors):
                product = np.vdot(residual_spectrum, factor * field)
                result[focus, j] += float(product.real)
        return result


def shift_factors(grid: Grid) -> np.ndarray:
    """`(2, nx, ny)` factors of a (y, x) shift in pixels, for transfer_derivatives."""
    step = -2j * np.pi * grid.pixel_size_angstrom
    ones = np.ones(grid.shape)
    return np.stack([step * grid.ky[None, :] * ones, step * grid.kx[:, None] * ones])


def defocus_factor(grid: Grid, wavelength_angstrom: float) -> np.ndarray:
    """`(1, nx, ny)` factor of defocus in angstrom, for transfer_derivatives.

    The spatial-coherence envelope counts as constant.
    """
    return np.asarray(1j * np.pi * wavelength_angstrom * grid.k2)[None]
