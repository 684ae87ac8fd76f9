"""Slices of tilted atoms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.simulate.potentials import SlicePotential
from napari_phaset3m.simulate.specimens import Atoms


class AtomSlices:
    """Projected potentials of slices of atoms, tilt by tilt.

    Parameters
    ----------
    grid : Grid
        Lateral sampling.
    centre_angstrom : float
        Rotation centre from sample 0.
    thickness_angstrom : float
        Of a slice; an atom acts whole in the slice that holds its centre.
    potential : SlicePotential
    """

    def __init__(
        self, grid: Grid, centre_angstrom: float, thickness_angstrom: float, potential: SlicePotential
    ) -> None:
        self._half = grid.nx * grid.pixel_size_angstrom / 2
        self._centre, self._dz, self._potential = centre_angstrom, thickness_angstrom, potential

    def stack(self, atoms: Atoms, tilt_deg: float) -> tuple[float, Iterator[np.ndarray | None]]:
        """Height of the last slice's plane above the rotation centre; `(nx, ny)` V angstrom of each slice.

        A slice without atoms is None.
        """
        xyz = atoms.tilted(tilt_deg)
        inside = np.abs(xyz[:, 0]) <= self._half
        symbols, xyz = atoms.symbols[inside], xyz[inside]
        if not len(symbols):
            return 0.0, iter(())
        low, high = float(xyz[:, 2].min()), float(xyz[:, 2].max())
        count = int(np.floor((high - low) / self._dz)) + 1
        bottom = (low + high - count * self._dz) / 2
        index = np.clip(((xyz[:, 2] - bottom) / self._dz).astype(int), 0, count - 1)
        order = np.argsort(index, kind="stable")
        parts = np.split(order, np.searchsorted(index[order], np.arange(1, count)))
        xy = xyz[:, :2] + self._centre
        slices = (self._potential.project(symbols[part], xy[part]) if len(part) else None for part in parts)
        return bottom + (count - 0.5) * self._dz, slices
