"""What a mask does to a Fourier shell correlation, and how it is taken out again.

A mask blurs Fourier space, so what the halves share in one place leaks into its neighbourhood. To see
how much, Chen et al., Ultramicroscopy 135 (2013) 24, put noise of the same power in the place of what
is tested, leave the rest, and mask again. What is tested is there every shell from the first one on
whose unmasked FSC is low. Here it is those shells of the *region* the curve is of (the missing wedge, a
cone), from the region's own first low shell on; whatever lies outside the region stays. Two other ways
fall short. From the whole sphere's first low shell on, nothing is taken out of a wedge below it, where
all that correlates leaked in from measured directions. And were these made random too, their leak
would be gone from the measure and stay in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.analyse.shells import ShellGrid, correlation, half_spectrum, masked
from napari_phaset3m.core.precision import ACCUMULATE, COMPLEX

#: Phases are randomised beyond the first shell whose unmasked FSC is below this (Chen et al. 2013).
RANDOMISE_BELOW = 0.8
#: Realisations of the random phases whose FSC is averaged.
REALISATIONS = 2

Pair = tuple[np.ndarray, np.ndarray]
#: Index of a kz plane -> `(ny, nx // 2 + 1)` bool: Fourier points whose phases become random.
Choice = Callable[[int], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Half spectra of two volumes, ready to be correlated in any region.

    Attributes
    ----------
    pair : tuple of ndarray
        With the mask applied.
    plain : tuple of ndarray
        Without it.
    mask : ndarray or None
    correct : bool
        What the mask makes is to be taken out.
    seed : int
        Of the random phases.
    independent : ndarray
        `(n,)` fraction of a shell's voxels that the mask leaves independent.
    """

    pair: Pair
    plain: Pair
    mask: np.ndarray | None
    correct: bool
    seed: int
    independent: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class MaskShare:
    """What correlates in a region without the mask, and with it once the phases are random.

    Attributes
    ----------
    unmasked : ndarray
        `(n,)` FSC of the region without the mask.
    randomised : ndarray or None
        `(n,)` FSC with random phases in the region from shell ``beyond`` on; None when there is none.
    beyond : int
        Index of the first shell (from 0) whose phases are random; ``n`` when there is none.
    """

    unmasked: np.ndarray
    randomised: np.ndarray | None
    beyond: int


def prepare(
    a: np.ndarray, b: np.ndarray, grid: ShellGrid, mask: np.ndarray | None, correct: bool, seed: int
) -> Prepared:
    """Transform two volumes with and without their mask.

    ``grid`` holds all directions, whatever the region the spectra are used in.
    """
    plain = half_spectrum(a), half_spectrum(b)
    if mask is None:
        return Prepared(plain, plain, None, False, seed, np.ones(grid.n))
    pair = half_spectrum(masked(a, mask)), half_spectrum(masked(b, mask))
    return Prepared(pair, plain, mask, correct, seed, independent_fraction(mask, grid))


def mask_share(prepared: Prepared, grid: ShellGrid) -> MaskShare:
    """Measure in the region of ``grid`` what the mask correlates by itself, or carries in from outside."""
    n = grid.counts()
    unmasked = correlation(*grid.correlate(*prepared.plain), n)
    beyond = first_low(unmasked)
    if beyond == grid.n:
        return MaskShare(unmasked, None, beyond)
    pairs = randomised_pairs(prepared, grid, [lambda z: grid.from_shell(z, beyond)])
    found = [correlation(*grid.correlate(*pair), n) for _, pair in pairs]
    return MaskShare(unmasked, np.mean(found, axis=0), beyond)


def first_low(unmasked: np.ndarray) -> int:
    """Index of the first shell under ``RANDOMISE_BELOW``; the number of shells when there is none."""
    low = np.flatnonzero(unmasked < RANDOMISE_BELOW)
    return int(low[0]) if low.size else unmasked.size


def randomised_pairs(
    prepared: Prepared, grid: ShellGrid, choices: Sequence[Choice]
) -> Iterator[tuple[int, Pair]]:
    """Masked half spectra with random phases at some points.

    Yields
    ------
    number : int
        Of the choice; every choice comes ``REALISATIONS`` times, with other phases.
    pair : tuple of ndarray
    """
    from scipy import fft

    rng = np.random.default_rng([prepared.seed, 7])
    for _ in range(REALISATIONS):
        # The phases of a real noise volume have the symmetry that a real volume needs.
        noise = [fft.rfftn(rng.standard_normal(grid.shape, np.float32), workers=1) for _ in range(2)]
        for number, choice in enumerate(choices):
            one, two = (
                _randomised(spectrum, other, grid, choice, prepared.mask)
                for spectrum, other in zip(prepared.plain, noise, strict=True)
            )
            yield number, (one, two)


def _randomised(
    spectrum: np.ndarray, noise: np.ndarray, grid: ShellGrid, choice: Choice, mask: np.ndarray | None
) -> np.ndarray:
    """Half spectrum of the masked volume that has the phases of ``noise`` at the points chosen."""
    from scipy import fft

    changed = spectrum.copy()
    for z in range(grid.shape[0]):
        at = choice(z)
        size = np.maximum(np.abs(noise[z][at]), 1e-30)
        changed[z][at] = (np.abs(spectrum[z][at]) * noise[z][at] / size).astype(COMPLEX)
    return half_spectrum(masked(fft.irfftn(changed, s=grid.shape, workers=1), mask))


def corrected(total: np.ndarray, randomised: np.ndarray, beyond: int) -> np.ndarray:
    """FSC without the part that the mask makes: ``(FSC_t - FSC_n) / (1 - FSC_n)``.

    From the randomised frequency on; below, ``FSC_t`` itself (Chen et al., Ultramicroscopy 135
    (2013) 24). The mask mixes neighbouring shells, so the first one or two may come out low; to
    leave them out, as some programs do, would let a mask's correlation pass for signal there.
    The formula takes what leaks in for fully correlated; where it is not, the result is too low.

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
