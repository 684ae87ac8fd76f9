"""Krivanek aberrations: every term against abTEM, gradients against differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.aberrations import (
    AZIMUTHS,
    KRIVANEK,
    aberration_gradient,
    aberration_phase,
    check_coefficients,
)
from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.errors import ConfigError

ENERGY = 300e3
WAVELENGTH = wavelength_angstrom(ENERGY)
GRID = Grid(30, 25, 0.4)  # not square, one odd side
K_REFERENCE = 1.0
# Each coefficient alone turns the phase by about 3 rad at 1/A: large enough to tell signs apart.
SIZES = {
    name: 3 * WAVELENGTH * (n + 1) / (2 * np.pi) / (WAVELENGTH * K_REFERENCE) ** (n + 1)
    for name, (n, _) in KRIVANEK.items()
}


def _phase(coefficients: dict[str, float]) -> np.ndarray:
    return aberration_phase(GRID.kx[:, None], GRID.ky[None, :], WAVELENGTH, coefficients)


def _abtem_transfer(coefficients: dict[str, float]) -> np.ndarray:
    abtem = pytest.importorskip("abtem")
    with abtem.config.set({"precision": "float64", "fft": "numpy"}):
        delta = np.zeros(GRID.shape, np.complex128)
        delta[0, 0] = 1
        waves = abtem.Waves(delta, energy=ENERGY, sampling=GRID.pixel_size_angstrom)
        ctf = abtem.CTF(energy=ENERGY, aberration_coefficients=coefficients)
        return np.fft.fft2(np.asarray(waves.apply_ctf(ctf).array))


@pytest.mark.parametrize("name", list(KRIVANEK))
def test_each_term_agrees_with_abtem(name: str) -> None:
    coefficients = {name: SIZES[name]}
    if KRIVANEK[name][1]:
        coefficients["phi" + name[1:]] = 0.4
    ours = np.exp(-1j * _phase(coefficients))
    assert np.abs(ours - _abtem_transfer(coefficients)).max() < 1e-3
    assert np.abs(ours.conj() - _abtem_transfer(coefficients)).max() > 0.5  # the sign matters


def test_all_terms_together_agree_with_abtem() -> None:
    rng = np.random.default_rng(5)
    coefficients = {name: size * rng.uniform(-0.3, 0.3) for name, size in SIZES.items()}
    coefficients |= {name: rng.uniform(-3, 3) for name in AZIMUTHS}
    assert np.abs(np.exp(-1j * _phase(coefficients)) - _abtem_transfer(coefficients)).max() < 1e-3


def test_defocus_and_cs_are_the_formula_of_the_design_page() -> None:
    defocus, cs = 850.0, 2.3e7
    chi = _phase({"C10": -defocus, "C30": cs})
    formula = np.pi * WAVELENGTH * GRID.k2 * -defocus + 0.5 * np.pi * cs * WAVELENGTH**3 * GRID.k2**2
    np.testing.assert_allclose(chi, formula, rtol=1e-12, atol=1e-12)


def test_azimuth_runs_from_columns_towards_rows() -> None:
    # Largest phase of C12 > 0 lies along its azimuth: x at 0, y at pi/2, x = y at pi/4.
    def chi(kx: float, ky: float, phi: float) -> float:
        return float(aberration_phase(np.array(kx), np.array(ky), WAVELENGTH, {"C12": 100.0, "phi12": phi}))

    assert chi(0.3, 0, 0.0) > 0 > chi(0, 0.3, 0.0)
    assert chi(0, 0.3, np.pi / 2) > 0 > chi(0.3, 0, np.pi / 2)
    assert chi(0.2, 0.2, np.pi / 4) > 0 > chi(0.2, -0.2, np.pi / 4)


def test_azimuth_of_a_frame_that_starts_at_rows() -> None:
    # The shared truth counts from +y towards +x: phi = pi/2 - its angle, for even and odd m.
    for name in ("C12", "C23", "C34", "C45", "C56"):
        m = KRIVANEK[name][1]
        theirs = 0.3
        chi = _phase({name: SIZES[name], "phi" + name[1:]: np.pi / 2 - theirs})
        azimuth = np.arctan2(GRID.kx[:, None], GRID.ky[None, :])  # from +y towards +x
        n = KRIVANEK[name][0]
        angle = WAVELENGTH * np.sqrt(GRID.k2)
        wanted = 2 * np.pi / WAVELENGTH * SIZES[name] * angle ** (n + 1) / (n + 1)
        np.testing.assert_allclose(chi, wanted * np.cos(m * (azimuth - theirs)), atol=1e-9)


@pytest.mark.parametrize("name", list(KRIVANEK))
def test_gradient_is_the_derivative(name: str) -> None:
    coefficients = {name: SIZES[name], "C10": -900.0} if name != "C10" else {name: SIZES[name]}
    if KRIVANEK[name][1]:
        coefficients["phi" + name[1:]] = -0.7
    rng = np.random.default_rng(1)
    kx, ky = rng.uniform(-1, 1, 40), rng.uniform(-1, 1, 40)
    step = 1e-5
    dx, dy = aberration_gradient(kx, ky, WAVELENGTH, coefficients)

    def chi(ax: np.ndarray, ay: np.ndarray) -> np.ndarray:
        return aberration_phase(ax, ay, WAVELENGTH, coefficients)

    scale = max(np.abs(dx).max(), np.abs(dy).max())
    assert np.abs((chi(kx + step, ky) - chi(kx - step, ky)) / (2 * step) - dx).max() < 1e-6 * scale
    assert np.abs((chi(kx, ky + step) - chi(kx, ky - step)) / (2 * step) - dy).max() < 1e-6 * scale


def test_gradient_is_zero_on_axis() -> None:
    coefficients = dict(SIZES) | dict.fromkeys(AZIMUTHS, 0.2)
    dx, dy = aberration_gradient(np.zeros(1), np.zeros(1), WAVELENGTH, coefficients)
    assert float(dx[0]) == 0 and float(dy[0]) == 0


def test_unknown_names_are_all_named() -> None:
    with pytest.raises(ConfigError, match=r"C13, defocus unknown.*C12"):
        check_coefficients({"C13": 1.0, "C12": 2.0, "defocus": 3.0})
    with pytest.raises(ConfigError, match="phi10"):
        check_coefficients({"phi10": 1.0})  # a round term has no azimuth
    with pytest.raises(ConfigError, match="C12 is nan"):
        check_coefficients({"C12": math.nan})


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 17), st.integers(1, 17), st.sampled_from(list(KRIVANEK)), st.floats(-3, 3))
def test_parity_and_linearity_on_any_shape(nx: int, ny: int, name: str, azimuth: float) -> None:
    # chi(-k) = (-1)^(n+1) chi(k), chi scales with its coefficient, chi(0) = 0.
    grid = Grid(nx, ny, 0.5)
    kx, ky = grid.kx[:, None], grid.ky[None, :]
    coefficients = {name: SIZES[name]}
    if KRIVANEK[name][1]:
        coefficients["phi" + name[1:]] = azimuth
    chi = aberration_phase(kx, ky, WAVELENGTH, coefficients)
    assert chi.shape == (nx, ny) and chi.dtype == np.float64 and chi[0, 0] == 0
    parity = (-1) ** (KRIVANEK[name][0] + 1)
    np.testing.assert_allclose(
        aberration_phase(-kx, -ky, WAVELENGTH, coefficients), parity * chi, atol=1e-9, rtol=1e-9
    )
    coefficients[name] *= -2
    np.testing.assert_allclose(aberration_phase(kx, ky, WAVELENGTH, coefficients), -2 * chi, atol=1e-12)
