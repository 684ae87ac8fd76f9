"""Wavelength and interaction constant against tables, identities and abTEM."""

from __future__ import annotations

import pytest
from scipy.constants import c, e, m_e

from napari_phaset3m.core.constants import interaction_constant, wavelength_angstrom
from napari_phaset3m.errors import ConfigError

ENERGIES = (30e3, 80e3, 200e3, 300e3, 1e6)


@pytest.mark.parametrize(("energy", "wavelength"), [(100e3, 0.037014), (200e3, 0.025079), (300e3, 0.019687)])
def test_textbook_wavelengths(energy: float, wavelength: float) -> None:
    # Reimer & Kohl, Transmission Electron Microscopy (2008), table 2.3
    assert wavelength_angstrom(energy) == pytest.approx(wavelength, rel=3e-5)


def test_interaction_constant_of_the_design_page() -> None:
    assert interaction_constant(300e3) == pytest.approx(6.526e-4, rel=1e-4)


@pytest.mark.parametrize("energy", ENERGIES)
def test_agrees_with_abtem(energy: float) -> None:
    abtem_energy = pytest.importorskip("abtem.core.energy")
    assert wavelength_angstrom(energy) == pytest.approx(abtem_energy.energy2wavelength(energy), rel=1e-6)
    assert interaction_constant(energy) == pytest.approx(abtem_energy.energy2sigma(energy), rel=1e-6)


@pytest.mark.parametrize("energy", ENERGIES)
def test_two_forms_of_sigma_agree(energy: float) -> None:
    # Kirkland's other form: 2 pi / (lambda E) * (m c^2 + eE) / (2 m c^2 + eE), here in SI
    rest = m_e * c**2 / e
    sigma = 2 * 3.141592653589793 / (wavelength_angstrom(energy) * energy)
    sigma *= (rest + energy) / (2 * rest + energy)
    assert interaction_constant(energy) == pytest.approx(sigma, rel=1e-9)


@pytest.mark.parametrize("function", [wavelength_angstrom, interaction_constant])
@pytest.mark.parametrize("energy", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_energy_names_the_field(function, energy: float) -> None:
    with pytest.raises(ConfigError, match="energy_ev"):
        function(energy)
