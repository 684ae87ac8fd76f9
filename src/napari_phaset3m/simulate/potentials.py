"""Electrostatic potentials of isolated atoms.

Electron form factors are the five Gaussians of Peng, Ren, Dudarev & Whelan, Acta
Cryst. A52 (1996) 257 (International Tables C, table 4.3.2.2, sin(theta)/lambda up to
2 per angstrom), taken from gemmi. Everything is a Fourier sum over the atoms (:mod:`.structure`),
band-limited by the grid; no atom is placed on a voxel.
"""

from __future__ import annotations

import numpy as np
from scipy import constants, fft

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.install import pip_install
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.errors import ConfigError, DeviceError
from napari_phaset3m.simulate.specimens import Atoms
from napari_phaset3m.simulate.structure import StructureFactor

SOURCE = "Peng et al., Acta Cryst. A52 (1996) 257; International Tables C 4.3.2.2 (gemmi)"
#: h^2 / (2 pi m_e e): form factor (angstrom) to potential (V angstrom^3), 47.878.
VOLTS_PER_FORM_FACTOR = constants.h**2 / (2 * np.pi * constants.m_e * constants.e) * 1e20


def form_factor(symbol: str, k2: np.ndarray, thermal_b: float = 0.0) -> np.ndarray:
    """Fourier transform of an atom's potential, V angstrom^3.

    Parameters
    ----------
    symbol : str
        Chemical symbol.
    k2 : ndarray
        Squared spatial frequency (k = 2 sin(theta) / lambda), 1/angstrom^2.
    thermal_b : float
        Debye-Waller B, angstrom^2: factor ``exp(-B k^2 / 4)``.

    Raises
    ------
    ConfigError
        The element has no tabulated factor.
    DeviceError
        gemmi is not installed.
    """
    total = np.zeros(np.shape(k2))
    for a, b in zip(*_gaussians(symbol, thermal_b), strict=True):
        total += a * np.exp(-b * np.asarray(k2, np.float64))
    return total


def _gaussians(symbol: str, thermal_b: float) -> tuple[np.ndarray, np.ndarray]:
    """`(5,)` amplitudes (V angstrom^3) and `(5,)` b (angstrom^2) of the form factor sum a exp(-b k^2)."""
    try:
        import gemmi
    except ImportError:
        raise DeviceError(
            f"simulation needs the form factors in gemmi. Install it: {pip_install('gemmi')}"
        ) from None
    element = gemmi.Element(symbol)
    if element.atomic_number == 0 or not any(element.c4322.a):
        raise ConfigError(f"specimen: {symbol} is not an element with a tabulated form factor")
    a, b = np.array(element.c4322.a), np.array(element.c4322.b)
    return VOLTS_PER_FORM_FACTOR * a, (b + thermal_b) / 4


class SlicePotential:
    """Projected potentials of slices on one lateral grid.

    Parameters
    ----------
    grid : Grid
        Lateral sampling; coordinates start at sample (0, 0) and are periodic.
    symbols : iterable of str
        Elements that will occur.
    thermal_b : float
        Debye-Waller B, angstrom^2.
    band_limit : float
        Radius kept, fraction of Nyquist.
    """

    def __init__(
        self, grid: Grid, symbols: list[str], thermal_b: float = 0.0, band_limit: float = 2 / 3
    ) -> None:
        self.grid = grid
        limit = band_limit * grid.nyquist
        self._structure = StructureFactor(grid.shape, grid.pixel_size_angstrom, min(1.0, band_limit))
        self._ix = np.flatnonzero(np.abs(grid.kx) <= limit)
        half = np.abs(grid.ky[: grid.ny // 2 + 1])
        self._ny = int(np.count_nonzero(half <= limit))
        kx, ky = grid.kx[self._ix], half[: self._ny]
        k2 = kx[:, None] ** 2 + ky[None, :] ** 2
        undo_x, undo_y = self._structure.undo
        scale = (k2 <= limit**2) * grid.pixel_size_angstrom**-2
        scale *= undo_x[self._ix, None] * undo_y[None, : self._ny]
        self._factors = {s: np.asarray(scale * form_factor(s, k2, thermal_b), REAL) for s in set(symbols)}

    def project(self, symbols: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """`(nx, ny)` float32 projected potential of the given atoms, V angstrom.

        ``xy`` is `(n, 2)`, angstrom from sample (0, 0).
        """
        spectrum = np.zeros((self.grid.nx, self.grid.ny // 2 + 1), COMPLEX)
        rows = self._structure.keep[0][self._ix]
        for symbol in np.unique(symbols):
            structure = self._structure.spread(xy[symbols == symbol])
            spectrum[self._ix, : self._ny] += structure[rows, : self._ny] * self._factors[str(symbol)]
        return np.asarray(fft.irfft2(spectrum, s=self.grid.shape, workers=1), REAL)


def voxel_potential(
    atoms: Atoms,
    shape: tuple[int, int, int],
    voxel_size_angstrom: float,
    thermal_b: float = 0.0,
    margin_angstrom: float = 6.0,
) -> np.ndarray:
    """Band-limited 3D potential on a voxel grid.

    Parameters
    ----------
    atoms : Atoms
        Positions from the rotation centre, which is voxel ``(n - 1) / 2``.
    shape : tuple of int
        (nz, ny, nx).
    voxel_size_angstrom : float
    thermal_b : float
        Debye-Waller B, angstrom^2.
    margin_angstrom : float
        Atoms up to this far outside act inside; the grid is widened for the sum,
        so that none wraps around.

    Returns
    -------
    ndarray
        `(nz, ny, nx)` float32, volts.
    """
    centre = (np.array(shape) - 1) / 2 * voxel_size_angstrom
    zyx = atoms.positions[:, ::-1]
    near = (np.abs(zyx) <= centre + margin_angstrom).all(axis=1)
    kept, zyx = atoms.symbols[near], zyx[near]
    reach = np.abs(zyx).max(axis=0, initial=0.0) + margin_angstrom
    margin = np.maximum(0, np.ceil((reach - centre) / voxel_size_angstrom)).astype(int)
    full = tuple(smooth_size(n + 2 * int(m)) for n, m in zip(shape, margin, strict=True))
    first = [(f - n) // 2 for f, n in zip(full, shape, strict=True)]
    places = zyx + centre + np.array(first) * voxel_size_angstrom
    volume = fft.irfftn(_spectrum(kept, places, full, voxel_size_angstrom, thermal_b), s=full, workers=-1)
    inside = tuple(slice(f, f + n) for f, n in zip(first, shape, strict=True))
    return np.ascontiguousarray(volume[inside], REAL) / REAL(voxel_size_angstrom**3)


def _spectrum(
    symbols: np.ndarray, zyx: np.ndarray, shape: tuple[int, ...], voxel: float, thermal_b: float
) -> np.ndarray:
    """`rfftn` spectrum (V angstrom^3) of atoms at ``zyx``, angstrom from sample 0."""
    sums = StructureFactor(shape, voxel)
    kz, ky = (np.fft.fftfreq(n, voxel) for n in shape[:2])
    kx = np.fft.rfftfreq(shape[2], voxel)
    (planes, rows), (undo_z, undo_y, undo_x) = sums.keep, sums.undo
    spectrum = np.zeros((len(kz), len(ky), len(kx)), COMPLEX)
    for symbol in np.unique(symbols):
        found = sums.spread(zyx[symbols == symbol])
        a, b = _gaussians(str(symbol), thermal_b)
        # A Gaussian of k^2 is a product along the axes: each plane of the factor is one small matrix product.
        along_z = a * np.exp(-np.outer(kz**2, b)) * undo_z[:, None]
        along_y = np.exp(-np.outer(ky**2, b)) * undo_y[:, None]
        along_x = np.asarray((np.exp(-np.outer(kx**2, b)) * undo_x[:, None]).T, REAL)
        for i, plane in enumerate(planes):
            factor = np.asarray(along_y * along_z[i], REAL) @ along_x
            spectrum[i] += found[plane, rows, : len(kx)] * factor
    return spectrum
