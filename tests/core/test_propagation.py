"""Free space: energy, reversibility, additivity, abTEM, and which way a lens focuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.propagation import NO_BAND_LIMIT, band_limit_mask, fresnel_propagator
from napari_phaset3m.errors import ConfigError

WAVELENGTH = wavelength_angstrom(300e3)


def _propagate(wave: np.ndarray, propagator: np.ndarray) -> np.ndarray:
    return np.fft.ifft2(np.fft.fft2(wave) * propagator)


def _random_wave(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def test_agrees_with_abtem() -> None:
    multislice = pytest.importorskip("abtem.multislice")
    abtem = pytest.importorskip("abtem")
    grid = Grid(36, 25, 0.4)
    delta = np.zeros(grid.shape, np.complex64)
    delta[0, 0] = 1
    waves = abtem.Waves(delta, energy=300e3, sampling=grid.pixel_size_angstrom)
    theirs = np.fft.fft2(multislice.FresnelPropagator().propagate(waves, 37.0).array)
    ours = fresnel_propagator(grid, WAVELENGTH, 37.0, 2 / 3)
    # abTEM tapers its aperture over a few pixels: compare where it passes everything.
    inside = band_limit_mask(grid, 0.5)
    assert np.abs(ours - theirs)[inside].max() < 1e-3
    assert np.abs(ours.conj() - theirs)[inside].max() > 0.5
    assert np.abs(theirs)[~band_limit_mask(grid, 2 / 3)].max() < 0.51  # and ours is zero there
    assert not ours[~band_limit_mask(grid, 2 / 3)].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 21), st.integers(1, 21), st.floats(-500, 500), st.floats(-500, 500))
def test_unitary_reversible_and_additive(nx: int, ny: int, first: float, second: float) -> None:
    grid = Grid(nx, ny, 0.5)
    wave = _random_wave(grid.shape)
    forth = fresnel_propagator(grid, WAVELENGTH, first, NO_BAND_LIMIT)
    back = fresnel_propagator(grid, WAVELENGTH, -first, NO_BAND_LIMIT)
    assert forth.shape == (nx, ny) and forth.dtype == np.complex64
    moved = _propagate(wave, forth)
    assert np.sum(np.abs(moved) ** 2) == pytest.approx(np.sum(np.abs(wave) ** 2), rel=1e-6)
    np.testing.assert_allclose(_propagate(moved, back), wave, atol=1e-5)
    rest = fresnel_propagator(grid, WAVELENGTH, second, NO_BAND_LIMIT)
    whole = fresnel_propagator(grid, WAVELENGTH, first + second, NO_BAND_LIMIT)
    np.testing.assert_allclose(forth * rest, whole, atol=1e-5)


def test_band_limited_adjoint_is_the_backward_propagator() -> None:
    grid = Grid(20, 15, 0.5)
    a, b = _random_wave(grid.shape, 1), _random_wave(grid.shape, 2)
    forth = fresnel_propagator(grid, WAVELENGTH, 40.0)
    back = fresnel_propagator(grid, WAVELENGTH, -40.0)
    left, right = np.vdot(b, _propagate(a, forth)), np.vdot(_propagate(b, back), a)
    assert abs(left - right) < 1e-5 * abs(left)


def test_band_limit_is_a_circle_and_keeps_the_vacuum() -> None:
    grid = Grid(48, 30, 0.5)
    kept = fresnel_propagator(grid, WAVELENGTH, 10.0) != 0
    np.testing.assert_array_equal(kept, np.sqrt(grid.k2) <= 2 / 3 * grid.nyquist + 1e-9)
    assert (fresnel_propagator(grid, WAVELENGTH, 10.0, NO_BAND_LIMIT) != 0).all()
    plane = _propagate(np.ones(grid.shape), fresnel_propagator(grid, WAVELENGTH, 1e3))
    np.testing.assert_allclose(plane, 1, atol=1e-6)


@pytest.mark.parametrize("band_limit", [0.0, -1.0, float("nan")])
def test_bad_band_limit_is_refused(band_limit: float) -> None:
    with pytest.raises(ConfigError, match="band_limit"):
        fresnel_propagator(Grid(8, 8, 0.5), WAVELENGTH, 1.0, band_limit)


@pytest.mark.parametrize(("nx", "ny"), [(64, 64), (65, 48)])
def test_gaussian_beam_widens_as_theory_says(nx: int, ny: int) -> None:
    grid = Grid(nx, ny, 0.5)
    x = (np.arange(nx) - nx // 2)[:, None] * 0.5
    y = (np.arange(ny) - ny // 2)[None, :] * 0.5
    waist, distance = 2.0, 400.0
    wave = np.exp(-(x**2 + y**2) / waist**2)
    moved = _propagate(wave, fresnel_propagator(grid, WAVELENGTH, distance, NO_BAND_LIMIT))
    rayleigh = np.pi * waist**2 / WAVELENGTH
    width2 = waist**2 * (1 + (distance / rayleigh) ** 2)
    wanted = waist**2 / width2 * np.exp(-2 * (x**2 + y**2) / width2)
    np.testing.assert_allclose(np.abs(moved) ** 2, wanted, atol=1e-4)


def test_a_converging_lens_focuses_downstream() -> None:
    # Phase -pi r^2 / (lambda f) is a lens of focal length f > 0: it must focus at +f, not -f.
    grid = Grid(96, 96, 0.5)
    x = (np.arange(96) - 48) * 0.5
    r2 = x[:, None] ** 2 + x[None, :] ** 2
    focal = 500.0
    wave = np.exp(-r2 / 8.0**2) * np.exp(-1j * np.pi * r2 / (WAVELENGTH * focal))
    planes = np.arange(-1000.0, 1001.0, 50.0)
    on_axis = [
        np.abs(_propagate(wave, fresnel_propagator(grid, WAVELENGTH, z, NO_BAND_LIMIT))[48, 48]) ** 2
        for z in planes
    ]
    assert abs(planes[int(np.argmax(on_axis))] - focal) <= 50
    assert max(on_axis) > 3


def test_wave_behind_a_weak_phase_grating() -> None:
    # exp(i a cos 2 pi q x), a << 1: after dz the contrast is 2 a sin(pi lambda q^2 dz) cos.
    nx, pixel, amplitude, dz = 60, 0.5, 1e-3, 350.0
    grid = Grid(nx, 8, pixel)
    q = 5 / (nx * pixel)
    fringe = np.cos(2 * np.pi * q * np.arange(nx) * pixel)[:, None] * np.ones(8)
    wave = _propagate(
        np.exp(1j * amplitude * fringe), fresnel_propagator(grid, WAVELENGTH, dz, NO_BAND_LIMIT)
    )
    wanted = 2 * amplitude * np.sin(np.pi * WAVELENGTH * q**2 * dz) * fringe
    np.testing.assert_allclose(np.abs(wave) ** 2 - 1, wanted, atol=2e-6)
    assert np.abs(wanted).max() > 5e-4
