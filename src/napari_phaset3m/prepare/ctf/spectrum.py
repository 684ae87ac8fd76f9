"""Power spectra of image tiles, averaged and gathered into polar bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

#: Sectors of half a turn: 3 degrees each, so that 5 % of the astigmatism is the most that one blurs.
SECTORS = 60
#: A spectral value above this many medians of its ring is a Bragg spot and is cut to it.
SPOT = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class PolarGrid:
    """Polar bins of a square tile's spectrum.

    Attributes
    ----------
    tile : int
        Edge, pixels.
    pixel_angstrom : float
    index : ndarray
        `(tile, tile // 2 + 1)` int: bin of each ``rfft2`` sample; the last one is for all others.
    count : ndarray
        `(SECTORS, n_k)` samples in each bin.
    k, azimuth : ndarray
        `(SECTORS, n_k)` mean spatial frequency (root of the mean square, 1/angstrom) and azimuth (rad,
        from +x towards +y).
    """

    tile: int
    pixel_angstrom: float
    index: np.ndarray
    count: np.ndarray
    k: np.ndarray
    azimuth: np.ndarray

    @property
    def radius(self) -> np.ndarray:
        """`(n_k,)` centres of the rings, 1/angstrom."""
        return (np.arange(self.k.shape[1]) + 1.0) / (self.tile * self.pixel_angstrom)


@lru_cache(maxsize=8)
def polar_grid(tile: int, pixel_angstrom: float) -> PolarGrid:
    """The polar bins of a tile: rings one Fourier pixel wide up to Nyquist, without the origin."""
    step = 1 / (tile * pixel_angstrom)
    ky = np.fft.fftfreq(tile, pixel_angstrom)[:, None]
    kx = np.fft.rfftfreq(tile, pixel_angstrom)[None, :]
    radius = np.hypot(kx, ky)
    azimuth = np.mod(np.arctan2(ky, kx + 0 * ky), np.pi)
    rings = tile // 2 - 1
    ring = np.rint(radius / step).astype(int) - 1
    sector = np.minimum((azimuth / np.pi * SECTORS).astype(int), SECTORS - 1)
    # Column 0 holds each of its samples twice, as k and -k.
    bad = (ring < 0) | (ring >= rings) | ((kx == 0) & (ky < 0))
    index = np.where(bad, SECTORS * rings, sector * rings + ring)
    flat, size = index.ravel(), SECTORS * rings + 1
    count = np.bincount(flat, minlength=size)[:-1].reshape(SECTORS, rings)
    some = np.maximum(count, 1)
    k2 = np.bincount(flat, (radius**2).ravel(), size)[:-1].reshape(count.shape) / some
    middle = np.bincount(flat, azimuth.ravel(), size)[:-1].reshape(count.shape) / some
    return PolarGrid(tile, pixel_angstrom, index, count, np.sqrt(k2), middle)


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """The averaged periodogram of tiles of one image.

    Attributes
    ----------
    grid : PolarGrid
    power : ndarray
        `(tile, tile // 2 + 1)` float64 mean power, ``rfft2`` layout.
    polar : ndarray
        `(SECTORS, n_k)` mean power in the bins, 0 where a bin is empty.
    x_angstrom : float
        Where the tiles' centre lies across the tilt axis, from the rotation centre.
    tiles : int
    """

    grid: PolarGrid
    power: np.ndarray
    polar: np.ndarray
    x_angstrom: float
    tiles: int


def without_spots(power: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """Cut Bragg spots down to :data:`SPOT` medians of their ring."""
    rings = grid.k.shape[1]
    ring = np.where(grid.index == SECTORS * rings, -1, grid.index % rings).ravel()
    values = power.ravel()
    order = np.lexsort((values, ring))
    starts = np.searchsorted(ring[order], np.arange(rings))
    ends = np.searchsorted(ring[order], np.arange(rings), side="right")
    medians = values[order][(starts + ends) // 2]
    limit = np.where(ring < 0, np.inf, SPOT * medians[ring])
    return np.asarray(np.minimum(values, limit).reshape(power.shape))


def gather(power: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """Mean of ``power`` over each polar bin, `(SECTORS, n_k)`."""
    size = SECTORS * grid.k.shape[1] + 1
    total = np.bincount(grid.index.ravel(), power.ravel(), size)[:-1].reshape(grid.k.shape)
    return np.asarray(total / np.maximum(grid.count, 1))


def tile_starts(length: int, tile: int) -> np.ndarray:
    """First pixels of tiles that overlap by half, spread evenly from edge to edge."""
    if length <= tile:
        return np.zeros(1, int)
    number = int(np.ceil((length - tile) / (tile / 2))) + 1
    return np.asarray(np.rint(np.linspace(0, length - tile, number)).astype(int))


def spectra(
    image: np.ndarray,
    pixel_angstrom: float,
    tile: int,
    *,
    centre_x_px: float | None = None,
    bands: int = 1,
) -> list[Spectrum]:
    """Averaged periodograms of an image, one for each of several bands across the tilt axis.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    pixel_angstrom : float
    tile : int
        Edge of the tiles, at most the image's shorter edge. Tiles overlap by half and are tapered by
        a Hann window (Welch, IEEE Trans. Audio 15 (1967) 70).
    centre_x_px : float, optional
        Where the rotation centre lies; the middle of the image when omitted.
    bands : int
        Columns of tiles are divided into as many groups (fewer when there are not so many).

    Returns
    -------
    list of Spectrum
    """
    grid = polar_grid(tile, pixel_angstrom)
    taper = np.hanning(tile + 1)[:tile].astype(np.float32)
    window = taper[:, None] * taper[None, :]
    window /= np.sqrt(np.mean(window**2))
    centre = (image.shape[1] - 1) / 2 if centre_x_px is None else centre_x_px
    columns = tile_starts(image.shape[1], tile)
    rows = tile_starts(image.shape[0], tile)
    found = []
    for group in np.array_split(columns, min(bands, len(columns))):
        power = np.zeros((tile, tile // 2 + 1))
        for x in group:
            for y in rows:
                power += _periodogram(image[y : y + tile, x : x + tile], window)
        power /= len(group) * len(rows)
        power = without_spots(power, grid)
        place = (float(np.mean(group)) + (tile - 1) / 2 - centre) * pixel_angstrom
        found.append(Spectrum(grid, power, gather(power, grid), place, len(group) * len(rows)))
    return found


def _periodogram(piece: np.ndarray, window: np.ndarray) -> np.ndarray:
    values = (piece - piece.mean(dtype=np.float64)).astype(np.float32) * window
    spectrum = fft.rfft2(values)
    return (
        np.asarray(spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2) / piece.size
    )


def common_scale(found: Sequence[Spectrum]) -> float:
    """Mean power of several spectra, so that numbers are near 1 (0: there is no contrast at all)."""
    return float(np.mean([item.polar[item.grid.count > 0].mean() for item in found]))
