"""What a mask does to a Fourier shell correlation, and how it is taken out again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.analyse.shells import ShellGrid, correlation, half_spectrum, masked
from napari_phaset3m.core.precision import ACCUMULATE, COMPLEX

#: Phases are randomised beyond the first shell whose unmasked FSC is below this (Chen et al. 2013).
RANDOMISE_BELOW = 0.8
#: Realisations of the random phases whose FSC is averaged.
REALISATIONS = 2

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Half spectra of two volumes, ready to be correlated in any region.

    Attributes
    ----------
    pair : tuple of ndarray
        With the mask applied.
    randomised : tuple of Pair
        With random phases beyond ``beyond`` and the mask applied; empty without correction.
    beyond : int
        Index of the first shell (from 0) whose phases are random; ``n`` when there is none.
    unmasked : ndarray or None
        `(n,)` FSC without the mask, all directions.
    independent : ndarray
        `(n,)` fraction of a shell's voxels that the mask leaves independent.
    """

    pair: Pair
    randomised: tuple[Pair, ...]
    beyond: int
    unmasked: np.ndarray | None
    independent: np.ndarray


def prepare(
    a: np.ndarray, b: np.ndarray, grid: ShellGrid, mask: np.ndarray | None, correct: bool, seed: int
) -> Prepared:
    """Transform two volumes with their mask, and with random phases where a correction is asked for.

    ``grid`` holds all directions, whatever the region the spectra are used in.
    """
    if mask is None:
        return Prepared((half_spectrum(a), half_spectrum(b)), (), grid.n, None, np.ones(grid.n))
    pair = half_spectrum(masked(a, mask)), half_spectrum(masked(b, mask))
    independent = independent_fraction(mask, grid)
    if not correct:
        return Prepared(pair, (), grid.n, None, independent)
    plain = half_spectrum(a), half_spectrum(b)
    unmasked = correlation(*grid.correlate(*plain), grid.counts())
    low = np.flatnonzero(unmasked < RANDOMISE_BELOW)
    beyond = int(low[0]) if low.size else grid.n
    if beyond == grid.n:
        return Prepared(pair, (), beyond, unmasked, independent)
    rng = np.random.default_rng([seed, 7])
    found: list[Pair] = []
    for _ in range(REALISATIONS):
        one, two = (_randomised(s, grid, beyond, mask, rng) for s in plain)
        found.append((one, two))
    return Prepared(pair, tuple(found), beyond, unmasked, independent)


def _randomised(
    spectrum: np.ndarray, grid: ShellGrid, beyond: int, mask: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half spectrum of the masked volume whose phases are random from shell ``beyond`` on."""
    from scipy import fft

    # The phases of a real noise volume have the symmetry that a real volume needs.
    noise = fft.rfftn(rng.standard_normal(grid.shape, np.float32), workers=1)
    limit = (beyond + 0.5) * grid.width
    changed = spectrum.copy()
    plane = grid.ky[:, None] ** 2 + grid.kx[None, :] ** 2
    for z, kz in enumerate(grid.kz):
        far = plane + kz**2 >= limit**2
        size = np.maximum(np.abs(noise[z][far]), 1e-30)
        changed[z][far] = (np.abs(spectrum[z][far]) * noise[z][far] / size).astype(COMPLEX)
    return half_spectrum(masked(fft.irfftn(changed, s=grid.shape, workers=1), mask))


def corrected(total: np.ndarray, randomised: np.ndarray, beyond: int) -> np.ndarray:
    """FSC without the part that the mask makes: ``(FSC_t - FSC_n) / (1 - FSC_n)``.

    From the randomised frequency on; below, ``FSC_t`` itself (Chen et al., Ultramicroscopy 135
    (2013) 24). The mask mixes neighbouring shells, so the first one or two may come out low; to
    leave them out, as some programs do, would let a mask's correlation pass for signal there.

    Parameters
    ----------
    total, randomised : ndarray
        `(n,)` FSC of the masked volumes, and of the masked volumes with random phases.
    beyond : int
        Index of the first shell with random phases.
    """
    rest = 1 - randomised
    value = np.divide(total - randomised, rest, out=np.zeros_like(total), where=rest > 1e-6)
    result = np.where(np.isnan(total), np.nan, value)
    result[:beyond] = total[:beyond]
    return np.asarray(np.clip(result, -1, 1))


def independent_fraction(mask: np.ndarray, grid: ShellGrid) -> np.ndarray:
    """How many of a shell's Fourier voxels remain independent under a mask.

    White noise n seen through a mask w has ``cov(F(k), F(k')) = FT(w^2)(k - k')``, so the variance
    of the correlation over a shell S is ``sum |FT(w^2)(k - k')|^2`` over pairs in S, divided by
    ``(|S| sum w^2)^2``. In real space (Parseval) that is the autocorrelation C of w^2 weighted by
    the squared transform of the shell, for which that of a spherical shell is taken:
    ``sin(2 pi k r) / (2 pi k r) * sinc(width r)``. A region of a shell keeps at least as many.

    Parameters
    ----------
    mask : ndarray
        `(nz, ny, nx)` in [0, 1].
    grid : ShellGrid

    Returns
    -------
    ndarray
        `(n,)` in (0, 1]; 1 without a mask.
    """
    from scipy import fft

    squared = mask.astype(np.float32) ** 2
    power = np.abs(fft.rfftn(squared, workers=1)) ** 2
    auto = fft.irfftn(power, s=grid.shape, workers=1)
    distance = _distances(grid)
    step = min(grid.voxel) / 20
    r_bin = np.floor(distance / step + 0.5).astype(np.intp).ravel()
    number = np.bincount(r_bin)
    lag = np.bincount(r_bin, auto.ravel().astype(ACCUMULATE))
    used = np.flatnonzero(number)
    r = used * step
    energy = float(squared.sum(dtype=ACCUMULATE))
    result = np.empty(grid.n)
    for i, k in enumerate(grid.frequency):
        shape = (np.sinc(2 * k * r) * np.sinc(grid.width * r)) ** 2
        whole = float(shape @ number[used])
        result[i] = energy**2 / mask.size * whole / float(shape @ lag[used])
    return np.asarray(np.clip(result, 0, 1))


def _distances(grid: ShellGrid) -> np.ndarray:
    """`(nz, ny, nx)` float32 distance from voxel (0, 0, 0) with the box repeated, angstrom."""
    axes = []
    for n, v in zip(grid.shape, grid.voxel, strict=True):
        i = np.arange(n)
        axes.append((np.minimum(i, n - i) * v).astype(np.float32) ** 2)
    return np.asarray(np.sqrt(axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]))
