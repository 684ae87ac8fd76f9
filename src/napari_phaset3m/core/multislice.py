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
from typing import Any

import numpy as np

from napari_phaset3m.core import slices_cpu
from napari_phaset3m.core.fft import empty_aligned
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


#: Images whose vectors are remembered (a few kilobytes each).
_MAX_KNOWN = 1024


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
        self._known: dict[Any, tuple[np.ndarray, np.ndarray]] = {}

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
        images = tuple(zip(map(float, defocus_angstrom), map(tuple, shifts_px), strict=True))
        key = (images, float(plane_angstrom))
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = self._vectors(images, plane_angstrom)
        ex, ey = self._known[key]
        return Transfer(self._bases([defocus for defocus, _ in images]), ex, ey, self.weights)

    def _vectors(self, images: tuple[Any, ...], plane: float) -> tuple[np.ndarray, np.ndarray]:
        ex, ey = [], []
        for defocus, shift in images:
            sx, sy = shift_vectors(self.grid, shift)
            for offset in self.offsets:
                value = defocus + plane + offset
                dx, dy = defocus_vectors(self.grid, self.microscope.wavelength_angstrom, value)
                ex.append(dx * sx)
                ey.append(dy * sy)
        return np.stack(ex), np.stack(ey)

    def _bases(self, defocus_angstrom: Sequence[float]) -> np.ndarray:
        if not self.microscope.convergence_semiangle_rad:
            return np.asarray(self._base[None])
        # Coherence is judged at the specimen: the plane does not count.
        values = [defocus + offset for defocus in defocus_angstrom for offset in self.offsets]
        return np.stack([self._base * spatial_envelope(self.grid, self.microscope, v) for v in values])


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
        self._plans.waves_to_work[n_slice - 1]()
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


def _flat(stack: np.ndarray) -> np.ndarray:
    """`(n, nx * ny)` view of a stack."""
    return stack.reshape(len(stack), -1)


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
