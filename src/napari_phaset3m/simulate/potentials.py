"""Electrostatic potentials of isolated atoms.

Electron form factors are the five Gaussians of Peng, Ren, Dudarev & Whelan, Acta
Cryst. A52 (1996) 257 (International Tables C, table 4.3.2.2, sin(theta)/lambda up to
2 per angstrom), taken from gemmi. Everything is an exact Fourier sum over the atoms,
band-limited by the grid; no atom is placed on a voxel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import constants, fft

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.install import pip_install
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.errors import ConfigError, DeviceError
from napari_phaset3m.simulate.specimens import Atoms

SOURCE = "Peng et al., Acta Cryst. A52 (1996) 257; International Tables C 4.3.2.2 (gemmi)"
#: h^2 / (2 pi m_e e): form factor (angstrom) to potential (V angstrom^3), 47.878.
VOLTS_PER_FORM_FACTOR = constants.h**2 / (2 * np.pi * constants.m_e * constants.e) * 1e20
_BATCH = 512


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
    try:
        import gemmi
    except ImportError:
        raise DeviceError(
            f"simulation needs the form factors in gemmi. Install it: {pip_install('gemmi')}"
        ) from None
    element = gemmi.Element(symbol)
    if element.atomic_number == 0 or not any(element.c4322.a):
        raise ConfigError(f"specimen: {symbol} is not an element with a tabulated form factor")
    total = np.zeros(np.shape(k2))
    for a, b in zip(element.c4322.a, element.c4322.b, strict=True):
        total += a * np.exp(-(b + thermal_b) / 4 * np.asarray(k2, np.float64))
    return np.asarray(VOLTS_PER_FORM_FACTOR * total)


def _waves(coordinate: np.ndarray, k: np.ndarray) -> np.ndarray:
    """`(n_atom, n_k)` complex64 exp(-2 pi i k r), phases reduced in double precision."""
    turns = np.outer(coordinate, k)
    angle = np.asarray(-2 * np.pi * (turns - np.rint(turns)), REAL)
    result = np.empty(angle.shape, COMPLEX)
    np.cos(angle, out=result.real)
    np.sin(angle, out=result.imag)
    return result


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
        self._ix = np.flatnonzero(np.abs(grid.kx) <= limit)
        half = np.abs(grid.ky[: grid.ny // 2 + 1])
        self._ny = int(np.count_nonzero(half <= limit))
        self._kx, self._ky = grid.kx[self._ix], half[: self._ny]
        k2 = self._kx[:, None] ** 2 + self._ky[None, :] ** 2
        inside = k2 <= limit**2
        scale = grid.pixel_size_angstrom**-2
        self._factors = {
            s: np.asarray(scale * inside * form_factor(s, k2, thermal_b), REAL) for s in set(symbols)
        }

    def project(self, symbols: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """`(nx, ny)` float32 projected potential of the given atoms, V angstrom.

        ``xy`` is `(n, 2)`, angstrom from sample (0, 0).
        """
        spectrum = np.zeros((self.grid.nx, self.grid.ny // 2 + 1), COMPLEX)
        for symbol in np.unique(symbols):
            chosen = xy[symbols == symbol]
            structure = np.zeros((len(self._kx), self._ny), COMPLEX)
            for part in _batches(chosen):
                structure += _waves(part[:, 0], self._kx).T @ _waves(part[:, 1], self._ky)
            spectrum[self._ix, : self._ny] += structure * self._factors[str(symbol)]
        return np.asarray(fft.irfft2(spectrum, s=self.grid.shape, workers=1), REAL)


def _batches(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


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
    full = [smooth_size(n + 2 * int(m)) for n, m in zip(shape, margin, strict=True)]
    first = [(f - n) // 2 for f, n in zip(full, shape, strict=True)]
    indices = zyx + centre + np.array(first) * voxel_size_angstrom
    k = [
        np.fft.fftfreq(full[0], voxel_size_angstrom),
        np.fft.fftfreq(full[1], voxel_size_angstrom),
        np.fft.rfftfreq(full[2], voxel_size_angstrom),
    ]
    spectrum = _spectrum(kept, indices, k, thermal_b)
    volume = fft.irfftn(spectrum, s=full, workers=-1) / voxel_size_angstrom**3
    (z, y, x), (nz, ny, nx) = first, shape
    return np.ascontiguousarray(volume[z : z + nz, y : y + ny, x : x + nx], REAL)


def _spectrum(symbols: np.ndarray, zyx: np.ndarray, k: list[np.ndarray], thermal_b: float) -> np.ndarray:
    shape = tuple(len(axis) for axis in k)
    spectrum = np.zeros(shape, COMPLEX)
    k2_plane = k[1][:, None] ** 2 + k[2][None, :] ** 2
    for symbol in np.unique(symbols):
        structure = np.zeros((shape[0], shape[1] * shape[2]), COMPLEX)
        for part in _batches(zyx[symbols == symbol]):
            z, y, x = (_waves(part[:, axis], k[axis]) for axis in range(3))
            structure += z.T @ (y[:, :, None] * x[:, None, :]).reshape(len(part), -1)
        planes = structure.reshape(shape)
        for i, kz in enumerate(k[0]):  # plane by plane: the factors need no 3D array
            spectrum[i] += planes[i] * form_factor(str(symbol), kz**2 + k2_plane, thermal_b)
    return spectrum
