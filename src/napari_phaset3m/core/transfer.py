"""Transfer functions of the images of a tilt, and how they change with shift and defocus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.core.aberrations import KRIVANEK
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import (
    Microscope,
    defocus_vectors,
    focal_quadrature,
    shift_vectors,
    spatial_envelope,
    transfer_base,
)
from napari_phaset3m.core.precision import REAL


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
        self.grid, self.microscope, self.n_nodes = grid, microscope, n_nodes
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


def shift_factors(grid: Grid) -> np.ndarray:
    """`(2, nx, ny)` factors of a (y, x) shift in pixels, for Multislice.transfer_equations."""
    step = -2j * np.pi * grid.pixel_size_angstrom
    ones = np.ones(grid.shape)
    return np.stack([step * grid.ky[None, :] * ones, step * grid.kx[:, None] * ones])


def aberration_factors(grid: Grid, wavelength_angstrom: float, name: str) -> np.ndarray:
    """`(1 or 2, nx, ny)` factors of a Krivanek coefficient in angstrom, for Multislice.transfer_equations.

    A coefficient with an azimuth has two: of ``C cos(m phi_nm)`` and of ``C sin(m phi_nm)``.
    """
    n, m = KRIVANEK[name]
    kx, ky = grid.kx[:, None], grid.ky[None, :]
    chi = 2 * np.pi / wavelength_angstrom * (wavelength_angstrom * np.hypot(kx, ky)) ** (n + 1) / (n + 1)
    if not m:
        return np.asarray(-1j * chi)[None]
    azimuth = np.arctan2(ky, kx)
    return np.stack([-1j * chi * np.cos(m * azimuth), -1j * chi * np.sin(m * azimuth)])


def focal_spread_factor(grid: Grid, microscope: Microscope) -> np.ndarray:
    """`(1, nx, ny)` factor of the focal spread's standard deviation in angstrom (coherent envelope)."""
    rate = (np.pi * microscope.wavelength_angstrom * grid.k2) ** 2
    return np.asarray(-microscope.focal_spread_angstrom * rate + 0j)[None]


def defocus_factor(grid: Grid, wavelength_angstrom: float) -> np.ndarray:
    """`(1, nx, ny)` factor of defocus in angstrom, for Multislice.transfer_equations.

    The spatial-coherence envelope counts as constant.
    """
    return np.asarray(1j * np.pi * wavelength_angstrom * grid.k2)[None]
