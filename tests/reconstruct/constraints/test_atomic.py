"""The Gaussian synthesis: self-adjoint, of unit integral, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints import AtomicBasis


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)),
    st.floats(0.2, 2.5),
    st.integers(0, 99),
)
def test_is_self_adjoint_and_contracts(shape: tuple[int, int, int], sigma: float, seed: int) -> None:
    basis = AtomicBasis(sigma, 0.6)
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    left = np.vdot(basis.synthesize(a).astype(float), b)
    right = np.vdot(a.astype(float), basis.adjoint(b))
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    assert abs(left - right) <= 1e-6 * scale
    assert np.linalg.norm(basis.synthesize(a)) <= np.linalg.norm(a) * (1 + 1e-6)


def test_agrees_with_scipy() -> None:
    basis = AtomicBasis(0.47, 0.52)
    c = np.random.default_rng(0).random((2, 9, 20, 33)).astype(np.float32)
    kernel = np.r_[basis.half_kernel[:0:-1], basis.half_kernel]
    expected = c
    for axis in (1, 2, 3):
        expected = correlate1d(expected, kernel, axis=axis, mode="constant")
    np.testing.assert_allclose(basis.synthesize(c), expected, atol=1e-6)
    out = np.empty_like(c)
    assert basis.synthesize(c, out) is out
    np.testing.assert_array_equal(AtomicBasis(0.47, 0.52, threads=1).synthesize(c), out)


def test_a_point_becomes_a_gaussian_of_unit_integral() -> None:
    c = np.zeros((31, 31, 31), np.float32)
    c[15, 15, 15] = 1
    v = AtomicBasis(1.2, 0.5).synthesize(c)
    assert v.sum() == pytest.approx(1, abs=1e-5)
    d = (np.arange(31) - 15) * 0.5
    assert np.sqrt((v.sum(axis=(0, 1)) * d**2).sum()) == pytest.approx(1.2, rel=0.01)


def test_fit_recovers_amplitudes_that_make_the_volume() -> None:
    basis = AtomicBasis(0.5, 0.5)
    c = np.zeros((16, 16, 16), np.float32)
    c[4, 5, 6], c[10, 9, 12] = 3, 1
    v = basis.synthesize(c)
    fitted = basis.fit(v, 60)
    assert (fitted >= 0).all()
    assert np.linalg.norm(basis.synthesize(fitted) - v) < 0.05 * np.linalg.norm(v)


def test_refuses_a_width_of_zero() -> None:
    with pytest.raises(ConfigError, match="atomic_basis_sigma_angstrom"):
        AtomicBasis(0.0, 1.0)
