"""Transfer functions: abTEM, coherence conventions, signs, quadrature, separability."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.aberrations import aberration_phase
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import (
    Microscope,
    ctf_curve,
    defocus_vectors,
    detector_mtf,
    focal_quadrature,
    shift_vectors,
    spatial_envelope,
    temporal_envelope,
    transfer_base,
)
from napari_phaset3m.core.propagation import NO_BAND_LIMIT, fresnel_propagator
from napari_phaset3m.errors import ConfigError

ENERGY, CS, SPREAD = 300e3, 2.3e7, 44.5
LAM = Microscope(ENERGY).wavelength_angstrom


def _outer(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return pair[0][:, None] * pair[1]


def _transfer(grid: Grid, microscope: Microscope, defocus: float, envelope: bool = True) -> np.ndarray:
    base = transfer_base(grid, microscope, envelope)
    return base * _outer(defocus_vectors(grid, microscope.wavelength_angstrom, defocus))


def _image(wave: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.ifft2(np.fft.fft2(wave) * transfer)) ** 2


def _bump(grid: Grid, row: float, column: float, width: float = 1.5) -> np.ndarray:
    # (nx, ny) array with a Gaussian at image pixel (row = y, column = x)
    x, y = np.arange(grid.nx)[:, None] - column, np.arange(grid.ny)[None, :] - row
    return np.exp(-(x**2 + y**2) / (2 * width**2))


# ------------------------------------------------------------------ against abTEM


def _abtem_transfer(grid: Grid, **ctf: object) -> np.ndarray:
    abtem = pytest.importorskip("abtem")
    with abtem.config.set({"precision": "float64", "fft": "numpy"}):
        delta = np.zeros(grid.shape, np.complex128)
        delta[0, 0] = 1
        waves = abtem.Waves(delta, energy=ENERGY, sampling=grid.pixel_size_angstrom)
        return np.fft.fft2(np.asarray(waves.apply_ctf(abtem.CTF(energy=ENERGY, **ctf)).array))


@pytest.mark.parametrize(("nx", "ny"), [(48, 48), (49, 36)])
def test_defocus_cs_astigmatism_and_envelope_agree_with_abtem(nx: int, ny: int) -> None:
    grid = Grid(nx, ny, 0.52)
    microscope = Microscope(ENERGY, CS, SPREAD, aberrations={"C12": 80.0, "phi12": np.pi / 6})
    theirs = _abtem_transfer(
        grid, defocus=1700.0, Cs=CS, C12=80.0, phi12=np.pi / 6, focal_spread=np.sqrt(2) * SPREAD
    )
    ours = _transfer(grid, microscope, 1700.0)
    assert np.abs(ours - theirs).max() < 1e-3
    assert np.abs(_transfer(grid, microscope, -1700.0) - theirs).max() > 0.5


def test_shared_truths_astigmatism_frame() -> None:
    # Images there are [Y, X] with abTEM x = Y: their phi counts from +y towards +x.
    grid, theirs = Grid(40, 32, 0.52), np.deg2rad(30)
    reference = _abtem_transfer(Grid(32, 40, 0.52), defocus=900.0, C12=80.0, phi12=theirs).T

    def ours(phi: float) -> np.ndarray:
        return _transfer(grid, Microscope(ENERGY, aberrations={"C12": 80.0, "phi12": phi}), 900.0)

    assert np.abs(ours(np.pi / 2 - theirs) - reference).max() < 1e-3
    assert np.abs(ours(theirs) - reference).max() > 0.3


def test_focal_spread_is_a_standard_deviation() -> None:
    grid = Grid(32, 32, 0.52)
    envelope = np.abs(transfer_base(grid, Microscope(ENERGY, 0.0, SPREAD), True))
    theirs = np.abs(_abtem_transfer(grid, focal_spread=np.sqrt(2) * SPREAD))
    assert np.abs(envelope - theirs).max() < 1e-5
    assert np.abs(envelope - np.abs(_abtem_transfer(grid, focal_spread=SPREAD))).max() > 0.1
    k4 = grid.k2**2
    np.testing.assert_allclose(envelope, np.exp(-0.5 * (np.pi * LAM * SPREAD) ** 2 * k4), atol=1e-6)


def test_spatial_envelope_agrees_with_abtem() -> None:
    # abTEM's angular spread is the 1/e half-angle, sqrt(2) standard deviations, in mrad.
    grid, angle = Grid(40, 33, 0.45), 3e-4
    aberrations = {"C12": 90.0, "phi12": 0.4, "C23": 900.0, "phi23": -1.1}
    microscope = Microscope(ENERGY, CS, 0.0, angle, aberrations)
    ours = spatial_envelope(grid, microscope, 1500.0)
    theirs = _abtem_transfer(
        grid, defocus=1500.0, Cs=CS, **aberrations, angular_spread=np.sqrt(2) * angle * 1e3
    )
    assert ours.dtype == np.float32
    assert np.abs(ours - np.abs(theirs)).max() < 1e-3
    assert ours.min() < 0.5  # the comparison sees something


# ------------------------------------------------------------------ signs and senses


def test_underfocus_makes_a_phase_object_dark_and_overfocus_bright() -> None:
    grid = Grid(64, 60, 0.5)
    wave = np.exp(0.05j * _bump(grid, 20, 37, width=2.0))
    microscope = Microscope(ENERGY)
    assert _image(wave, _transfer(grid, microscope, 300.0))[37, 20] < 0.99
    assert _image(wave, _transfer(grid, microscope, -300.0))[37, 20] > 1.01


def test_underfocus_looks_upstream() -> None:
    grid = Grid(20, 25, 0.5)
    ours = _outer(defocus_vectors(grid, LAM, 700.0))
    np.testing.assert_allclose(ours, fresnel_propagator(grid, LAM, -700.0, NO_BAND_LIMIT), atol=1e-5)


def test_underfocus_and_depth_cancel() -> None:
    # A scatterer dz upstream of the wave's plane is in focus at underfocus dz.
    grid, dz = Grid(48, 48, 0.5), 250.0
    wave = np.exp(0.1j * _bump(grid, 20, 25))
    at_plane = np.fft.ifft2(np.fft.fft2(wave) * fresnel_propagator(grid, LAM, dz, NO_BAND_LIMIT))
    in_focus = _image(at_plane, _transfer(grid, Microscope(ENERGY), dz))
    np.testing.assert_allclose(in_focus, 1, atol=1e-5)
    assert np.abs(_image(at_plane, _transfer(grid, Microscope(ENERGY), -dz)) - 1).max() > 0.02


@pytest.mark.parametrize(("nx", "ny"), [(40, 32), (41, 33)])
def test_shift_moves_a_feature_from_p_to_p_plus_shift(nx: int, ny: int) -> None:
    grid = Grid(nx, ny, 0.7)
    shift_y, shift_x = 3.25, -5.5
    image = _bump(grid, 12, 20)
    moved = np.fft.ifft2(np.fft.fft2(image) * _outer(shift_vectors(grid, (shift_y, shift_x)))).real
    np.testing.assert_allclose(moved, _bump(grid, 12 + shift_y, 20 + shift_x), atol=1e-4)


def test_shift_of_the_wave_shifts_the_image() -> None:
    grid = Grid(48, 40, 0.5)
    transfer = _transfer(grid, Microscope(ENERGY, CS, SPREAD), 900.0)
    still = _image(np.exp(0.3j * _bump(grid, 15, 20)), transfer)
    moved = _image(np.exp(0.3j * _bump(grid, 15, 20)), transfer * _outer(shift_vectors(grid, (4, -7))))
    np.testing.assert_allclose(moved, np.roll(still, (-7, 4), (0, 1)), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 19), st.integers(1, 19), st.floats(0.3, 80), st.floats(-5000, 5000),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
)  # fmt: skip
def test_separable_products_equal_the_2d_formula(
    nx: int, ny: int, pixel: float, defocus: float, shift: tuple[float, float]
) -> None:
    grid = Grid(nx, ny, pixel)
    full = np.exp(1j * np.pi * LAM * defocus * grid.k2)
    np.testing.assert_allclose(_outer(defocus_vectors(grid, LAM, defocus)), full, atol=1e-6)
    phase = grid.ky[None, :] * shift[0] + grid.kx[:, None] * shift[1]
    pair = shift_vectors(grid, shift)
    assert pair[0].shape == (nx,) and pair[1].shape == (ny,)
    assert pair[0].dtype == pair[1].dtype == np.complex64
    np.testing.assert_allclose(_outer(pair), np.exp(-2j * np.pi * pixel * phase), atol=1e-6)


def test_base_times_defocus_is_the_whole_aberration_function() -> None:
    grid = Grid(30, 21, 0.4)
    microscope = Microscope(ENERGY, CS, aberrations={"C23": 800.0, "phi23": 0.3, "C56": 1e8})
    chi = aberration_phase(grid.kx[:, None], grid.ky[None, :], LAM, microscope.coefficients(1234.0))
    np.testing.assert_allclose(_transfer(grid, microscope, 1234.0), np.exp(-1j * chi), atol=2e-6)


# ------------------------------------------------------------------ partial coherence


@pytest.mark.parametrize("n", [1, 3, 5, 8, 15])
def test_quadrature_moments_are_those_of_a_gaussian(n: int) -> None:
    offsets, weights = focal_quadrature(SPREAD, n)
    assert offsets.shape == weights.shape == (n,)
    assert weights.sum() == pytest.approx(1, abs=1e-14) and (weights > 0).all()
    double_factorial = 1.0
    for power in range(0, 2 * n, 2):
        if power:
            double_factorial *= power - 1
        moment = np.sum(weights * (offsets / SPREAD) ** power)
        assert moment == pytest.approx(double_factorial, rel=1e-9)
        assert np.sum(weights * (offsets / SPREAD) ** (power + 1)) == pytest.approx(
            0, abs=1e-9 * double_factorial * (power + 1)
        )
    # One degree more is beyond the rule: a Gaussian's moment less n!, the norm of He_n.
    beyond = np.sum(weights * (offsets / SPREAD) ** (2 * n))
    gaussian = double_factorial * (2 * n - 1)
    assert beyond == pytest.approx(gaussian - math.factorial(n), rel=1e-9)


def _incoherent(wave: np.ndarray, grid: Grid, defocus: float, spread: float, n: int) -> np.ndarray:
    microscope = Microscope(ENERGY, CS, spread)
    offsets, weights = focal_quadrature(spread, n)
    return sum(
        w * _image(wave, _transfer(grid, microscope, defocus + d, envelope=False))
        for d, w in zip(offsets, weights, strict=True)
    )


def test_envelope_is_the_linear_limit_of_the_incoherent_sum() -> None:
    grid = Grid(48, 45, 0.6)
    rng = np.random.default_rng(3)
    phase = rng.normal(size=grid.shape)
    transfer = _transfer(grid, Microscope(ENERGY, CS, SPREAD), 900.0)

    def mismatch(strength: float) -> float:
        wave = np.exp(1j * strength * phase)
        exact = _incoherent(wave, grid, 900.0, SPREAD, 15)
        return float(np.abs(exact - _image(wave, transfer)).max() / np.abs(exact - 1).max())

    weak, strong = mismatch(1e-4), mismatch(0.5)
    assert weak < 1e-3 < 0.05 < strong
    # In the linear limit the spread must also matter: without it the images differ.
    wave = np.exp(1e-3j * phase)
    assert np.abs(_image(wave, transfer) - _image(wave, _transfer(grid, Microscope(ENERGY, CS), 900.0))
                  ).max() > 1e-4  # fmt: skip


def test_quadrature_converges_for_strong_objects() -> None:
    grid = Grid(32, 32, 0.52)
    wave = np.exp(1j * np.random.default_rng(4).normal(size=grid.shape))
    dense = np.linspace(-6, 6, 241)
    weights = np.exp(-(dense**2) / 2)
    weights /= weights.sum()
    microscope = Microscope(ENERGY, CS)
    exact = sum(
        w * _image(wave, _transfer(grid, microscope, 900 + d * SPREAD, envelope=False))
        for d, w in zip(dense, weights, strict=True)
    )
    errors = [np.abs(_incoherent(wave, grid, 900.0, SPREAD, n) - exact).max() for n in (3, 7, 15)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3 * np.abs(exact - 1).max()


def test_spatial_envelope_is_the_mean_over_tilted_illumination() -> None:
    # First order in the tilt: mean over q of T(k + q) conj T(q) = T(k) E(k).
    # Small enough a tilt that its second order (chi'' q^2) is below a hundredth.
    grid, angle = Grid(24, 20, 1.0), 5e-5
    microscope = Microscope(ENERGY, CS, 0.0, angle, {"C12": 60.0, "phi12": 0.9})
    coefficients = microscope.coefficients(1500.0)
    kx, ky = grid.kx[:, None], grid.ky[None, :]
    offsets, weights = focal_quadrature(angle / LAM, 11)
    mean = np.zeros(grid.shape, complex)
    for qx, wx in zip(offsets, weights, strict=True):
        for qy, wy in zip(offsets, weights, strict=True):
            chi = aberration_phase(kx + qx, ky + qy, LAM, coefficients)
            chi -= aberration_phase(np.array(qx), np.array(qy), LAM, coefficients)
            mean += wx * wy * np.exp(-1j * chi)
    wanted = np.exp(-1j * aberration_phase(kx, ky, LAM, coefficients))
    envelope = spatial_envelope(grid, microscope, 1500.0)
    assert np.abs(mean - wanted * envelope).max() < 1e-2
    # Were the angle a 1/e half-angle, the exponent would be half of this.
    assert np.abs(mean - wanted * np.sqrt(envelope)).max() > 5e-2


def test_no_spread_means_no_envelope() -> None:
    grid = Grid(16, 16, 0.5)
    assert (spatial_envelope(grid, Microscope(ENERGY, CS), 900.0) == 1).all()
    np.testing.assert_allclose(np.abs(transfer_base(grid, Microscope(ENERGY, CS), True)), 1, atol=1e-6)
    assert (temporal_envelope(grid.k2, LAM, 0.0) == 1).all()


# ------------------------------------------------------------------ detector, plot, refusals


@pytest.mark.parametrize(("nx", "ny"), [(24, 20), (25, 21), (1, 7)])
def test_mtf_fits_rfft2_and_is_radial(nx: int, ny: int) -> None:
    grid = Grid(nx, ny, 0.5)
    shape = np.fft.rfft2(np.zeros(grid.shape)).shape
    assert (detector_mtf(grid, Microscope(ENERGY)) == np.ones(shape)).all()
    mtf = detector_mtf(grid, Microscope(ENERGY, mtf=((0.0, 1.0), (1.0, 0.4))))
    assert mtf.shape == shape and mtf.dtype == np.float32 and mtf[0, 0] == 1
    radius = np.sqrt(grid.k2)[:, : shape[1]] / grid.nyquist
    # Beyond its last frequency the curve is held.
    np.testing.assert_allclose(mtf, 1 - 0.6 * np.minimum(radius, 1), atol=1e-6)


def test_ctf_curve_is_the_contrast_of_a_weak_grating() -> None:
    grid = Grid(96, 4, 0.5)
    microscope = Microscope(ENERGY, CS, SPREAD)
    for order in (3, 8, 14):
        q = order / (96 * 0.5)
        fringe = np.cos(2 * np.pi * q * np.arange(96) * 0.5)[:, None] * np.ones(4)
        contrast = _image(np.exp(1e-4j * fringe), _transfer(grid, microscope, 900.0)) - 1
        measured = np.sum(contrast * fringe) / np.sum(fringe**2) / 2e-4
        assert measured == pytest.approx(float(ctf_curve(np.array([q]), microscope, 900.0)[0]), abs=2e-3)
    assert ctf_curve(np.array([0.05]), microscope, 900.0)[0] < 0  # dark in underfocus


def test_ctf_curve_includes_spatial_coherence() -> None:
    k = np.linspace(0, 0.6, 50)
    ratio = ctf_curve(k, Microscope(ENERGY, CS, 0.0, 3e-4), 900.0)
    bare = ctf_curve(k, Microscope(ENERGY, CS), 900.0)
    chi_slope = 2 * np.pi * LAM * (-900.0 * k + CS * LAM**2 * k**3)
    np.testing.assert_allclose(ratio, bare * np.exp(-0.5 * (3e-4 / LAM * chi_slope) ** 2), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"energy_ev": 0.0}, "energy_ev"),
        ({"spherical_aberration_angstrom": float("nan")}, "spherical_aberration_angstrom"),
        ({"focal_spread_angstrom": -1.0}, "focal_spread_angstrom"),
        ({"convergence_semiangle_rad": float("nan")}, "convergence_semiangle_rad"),
        ({"aberrations": {"C11": 1.0}}, "C11"),
        ({"aberrations": {"C10": 1.0}}, "C10 as defocus"),
        ({"mtf": ((0.0, 0.5, 0.2), (1.0, 0.5, 0.1))}, "mtf"),
        ({"mtf": ((0.0, 1.0), (1.0, -0.5))}, "mtf"),
        ({"mtf": ((0.0, 1.0), (1.0,))}, "mtf"),
    ],
)
def test_bad_values_name_the_field(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Microscope(**({"energy_ev": ENERGY} | values))


def test_bad_quadrature_and_grid_are_refused() -> None:
    with pytest.raises(ConfigError, match="quadrature_points"):
        focal_quadrature(SPREAD, 0)
    with pytest.raises(ConfigError, match="grid"):
        Grid(0, 4, 0.5)
    with pytest.raises(ConfigError, match="grid"):
        Grid(4, 4, float("nan"))


def test_microscope_keeps_its_own_copy() -> None:
    given_aberrations = {"C12": 80.0}
    microscope = Microscope(ENERGY, aberrations=given_aberrations)
    given_aberrations["C12"] = 0.0
    assert microscope.aberrations["C12"] == 80.0
    with pytest.raises(TypeError):
        microscope.aberrations["C12"] = 1.0  # type: ignore[index]
