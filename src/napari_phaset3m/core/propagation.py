"""Fresnel free-space propagation with an optional band limit."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import COMPLEX
from napari_phaset3m.errors import ConfigError

#: A circle of this radius, in Nyquist, holds every frequency of a square grid.
NO_BAND_LIMIT = 2**0.5


def band_limit_mask(grid: Grid, band_limit: float) -> np.ndarray:
    """`(nx, ny)` bool: frequencies not above ``band_limit`` times Nyquist.

    2/3 keeps the product of two waves free of aliasing (Kirkland 2010, 6.8).

    Raises
    ------
    ConfigError
        ``band_limit`` is not positive.
    """
    if not band_limit > 0:
        raise ConfigError(f"band_limit: must be a positive fraction of Nyquist, not {band_limit}")
    if band_limit >= NO_BAND_LIMIT:
        return np.ones(grid.shape, bool)
    return np.asarray(grid.k2 <= (band_limit * grid.nyquist) ** 2 * (1 + 1e-9))


def fresnel_propagator(
    grid: Grid, wavelength_angstrom: float, dz_angstrom: float, band_limit: float = 2 / 3
) -> np.ndarray:
    """Transfer function ``exp(-i pi lambda dz k^2)`` of free space.

    Parameters
    ----------
    grid : Grid
    wavelength_angstrom, dz_angstrom : float
        Positive ``dz`` is toward +z, the way the beam travels.
    band_limit : float
        Fraction of Nyquist beyond which the wave is cut; sqrt(2) or more: none.

    Returns
    -------
    ndarray
        `(nx, ny)` complex64, zero frequency first.
    """
    phase = -np.pi * wavelength_angstrom * dz_angstrom * grid.k2
    return np.asarray(np.exp(1j * phase) * band_limit_mask(grid, band_limit), COMPLEX)
