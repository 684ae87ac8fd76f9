"""Relativistic electron wavelength and interaction constant, from CODATA."""

from __future__ import annotations

import math

from scipy.constants import c, e, h, hbar, m_e

from napari_phaset3m.errors import ConfigError

_METRE = 1e10  # angstrom


def _check(energy_ev: float) -> float:
    if not (math.isfinite(energy_ev) and energy_ev > 0):
        raise ConfigError(f"energy_ev: must be a positive voltage in volts, not {energy_ev}")
    return float(energy_ev)


def wavelength_angstrom(energy_ev: float) -> float:
    """Relativistic de Broglie wavelength, angstrom (Reimer & Kohl 2008, eq. 2.12).

    Parameters
    ----------
    energy_ev : float
        Accelerating voltage, volts.

    Raises
    ------
    ConfigError
        The voltage is not positive.
    """
    kinetic = _check(energy_ev) * e
    momentum = math.sqrt(2 * m_e * kinetic * (1 + kinetic / (2 * m_e * c**2)))
    return float(h / momentum * _METRE)


def interaction_constant(energy_ev: float) -> float:
    """Interaction constant sigma = 2 pi m e lambda / h^2, rad / (V angstrom).

    6.526e-4 at 300 kV (Kirkland 2010, eq. 5.6). The phase of a voxel is
    ``sigma * V * thickness``.

    Raises
    ------
    ConfigError
        The voltage is not positive.
    """
    relativistic_mass = m_e * (1 + _check(energy_ev) * e / (m_e * c**2))
    wavelength = wavelength_angstrom(energy_ev) / _METRE
    return float(relativistic_mass * e * wavelength / (2 * math.pi * hbar**2) / _METRE)
