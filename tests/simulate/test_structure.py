"""Sums over points by spreading, against the sums as they are written."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.simulate import potentials
from napari_phaset3m.simulate.specimens import Atoms
from napari_phaset3m.simulate.structure import StructureFactor


def written_out(positions: np.ndarray, shape: tuple[int, ...], spacing: float) -> np.ndarray:
    """sum_a exp(-2 pi i k r_a), one term after the other, double precision."""
    k = [np.fft.fftfreq(n, spacing) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1], spacing)]
    grids = np.meshgrid(*k, indexing="ij")
    turns = sum(np.multiply.outer(positions[:, d], grid) for d, grid in enumerate(grids))
    return np.asarray(np.exp(-2j * np.pi * turns).sum(axis=0))


@pytest.mark.parametrize("shape", [(9, 12), (30, 17), (6, 8, 7), (15, 11, 20)])
def test_all_frequencies_of_the_box(shape: tuple[int, ...]) -> None:
    rng, spacing = np.random.default_rng(0), 0.4
    positions = rng.uniform(-1, 1.5, (20, len(shape))) * np.array(shape) * spacing  # periodic: outside too
    sums = StructureFactor(shape, spacing)
    last = np.arange(shape[-1] // 2 + 1)
    found = sums.spread(positions)[np.ix_(*sums.keep, last)]
    for axis, undo in enumerate(sums.undo):
        found = found * np.expand_dims(undo, [d for d in range(len(shape)) if d != axis])
    expected = written_out(positions, shape, spacing)
    assert np.abs(found - expected).max() < 2e-5 * len(positions)


def test_a_narrow_band_needs_no_finer_grid() -> None:
    sums = StructureFactor((24, 24), 0.5, band=2 / 3)
    assert sums.spread(np.zeros((1, 2))).shape == (24, 13)


def test_projected_potential_is_the_written_sum() -> None:
    rng, grid = np.random.default_rng(1), Grid(48, 40, 0.25)
    xy = rng.uniform(0, 12, (30, 2))
    symbols = np.array(["Co", "O"] * 15)
    k2 = grid.kx[:, None] ** 2 + grid.ky[None, :] ** 2
    spectrum = np.zeros(grid.shape, complex)
    for symbol in ("Co", "O"):
        phases = np.exp(-2j * np.pi * (np.multiply.outer(xy[symbols == symbol, 0], grid.kx)))
        others = np.exp(-2j * np.pi * (np.multiply.outer(xy[symbols == symbol, 1], grid.ky)))
        spectrum += (phases.T @ others) * potentials.form_factor(symbol, k2, 0.3)
    expected = np.fft.ifft2(spectrum * (k2 <= (2 / 3 * grid.nyquist) ** 2)).real / 0.25**2
    found = potentials.SlicePotential(grid, ["Co", "O"], 0.3).project(symbols, xy)
    assert np.abs(found - expected).max() < 2e-5 * expected.max()


def test_voxel_potential_is_the_written_sum() -> None:
    rng, n, voxel = np.random.default_rng(2), 14, 0.5
    atoms = Atoms(np.array(["Pt", "Fe", "O"] * 4), rng.uniform(-3, 3, (12, 3)))
    found = potentials.voxel_potential(atoms, (n, n, n), voxel, 0.2, margin_angstrom=0.0)
    first = atoms.positions[:, ::-1] + (n - 1) / 2 * voxel
    kz, ky, kx = np.meshgrid(*[np.fft.fftfreq(n, voxel)] * 2, np.fft.rfftfreq(n, voxel), indexing="ij")
    k2, spectrum = kz**2 + ky**2 + kx**2, np.zeros((n, n, n // 2 + 1), complex)
    for symbol in ("Pt", "Fe", "O"):
        some = first[atoms.symbols == symbol]
        spectrum += written_out(some, (n, n, n), voxel) * potentials.form_factor(symbol, k2, 0.2)
    expected = np.fft.irfftn(spectrum, s=(n, n, n), axes=(0, 1, 2)) / voxel**3
    assert np.abs(found - expected).max() < 2e-5 * expected.max()
