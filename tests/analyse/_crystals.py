"""Crystals of Gaussian atoms on small grids, and lists of peaks, for tests of the Bragg analysis."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from napari_phaset3m.simulate.specimens import Crystal, co3o4_crystal, cut_particle

VOXEL = 0.5


def rotation(seed: int) -> np.ndarray:
    return np.asarray(Rotation.random(random_state=seed).as_matrix())


def particle(
    turn: np.ndarray,
    *,
    n: int = 64,
    diameter: float = 20.0,
    sigma: float = 0.5,
    crystal: Crystal | None = None,
    shift: tuple[float, float, float] = (0, 0, 0),
) -> np.ndarray:
    """`(n, n, n)` volume (z, y, x) of a sphere of crystal; ``shift`` is x, y, z in angstrom."""
    atoms = cut_particle(crystal or co3o4_crystal(), diameter, turn, np.array([0.1, 0.2, 0.3]))
    charge = np.where(atoms.symbols == "O", 8.0, 27.0)
    volume = np.zeros((n, n, n))
    centre = (atoms.positions + shift)[:, ::-1] / VOXEL + (n - 1) / 2
    reach = 5
    box = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1)
    for q, place in zip(charge, centre, strict=True):
        index = np.rint(place).astype(int) + box
        value = q * np.exp(-(((index - place) * VOXEL) ** 2).sum(-1) / (2 * sigma**2))
        volume[index[..., 0], index[..., 1], index[..., 2]] += value
    return volume.astype(np.float32)


def noisy(volume: np.ndarray, level: float, seed: int = 0) -> np.ndarray:
    """Add white noise of ``level`` times the volume's standard deviation."""
    noise = np.random.default_rng(seed).normal(size=volume.shape)
    return (volume + level * volume.std() * noise).astype(np.float32)


def scrambled(volume: np.ndarray, seed: int) -> np.ndarray:
    """Random phases, as a wrong transfer makes them: every amplitude stays as it is."""
    noise = np.random.default_rng(seed).normal(size=volume.shape)
    random = np.exp(1j * np.angle(np.fft.fftn(noise)))  # of a real array: keeps the symmetry
    return np.fft.ifftn(np.fft.fftn(volume) * random).real.astype(np.float32)
