"""Lattices recovered from lists of vectors, some of them off the lattice, in any orientation."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import rotation

from napari_phaset3m.analyse.cell import Cell, Centring, misorientation_deg
from napari_phaset3m.analyse.lattice import fit_lattice, refit_lattice
from napari_phaset3m.analyse.peaks import PeakList

WIDTH = 25.0


def peaks_of(
    cell: Cell, turn: np.ndarray, seed: int, *, limit: float, outliers: float = 0.25, keep: float = 0.6
) -> PeakList:
    """Part of the lattice's vectors with errors of a tenth of a peak, and vectors from anywhere."""
    rng = np.random.default_rng(seed)
    hkl = cell.reflections(limit)
    hkl = hkl[rng.random(len(hkl)) < keep]
    q = hkl @ cell.reciprocal @ turn.T + rng.normal(size=(len(hkl), 3)) * 0.1 / WIDTH
    q *= rng.choice([-1, 1], (len(q), 1))
    stray = rng.normal(size=(round(outliers * len(q)), 3))
    stray *= limit * rng.uniform(0.3, 1, (len(stray), 1)) / np.linalg.norm(stray, axis=1, keepdims=True)
    q = np.concatenate([q, stray])
    snr = rng.uniform(5, 40, len(q))
    order = np.argsort(-snr)
    return PeakList(q[order], snr[order], snr[order] / snr.max())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([("F", 8.08), ("F", 4.08), ("I", 5.2), ("P", 5.0)]))
def test_cubic_lattice_from_the_peaks_alone(seed: int, kind: tuple[Centring, float]) -> None:
    centring, a = kind
    cell, turn = Cell.cubic(a, centring), rotation(seed)
    lattice = fit_lattice(peaks_of(cell, turn, seed, limit=0.8 if a > 4.5 else 1.0, outliers=0.2), WIDTH)
    assert lattice is not None
    assert lattice.cell.centring == centring
    assert lattice.a_angstrom == pytest.approx(a, abs=0.03)
    assert misorientation_deg(lattice.orientation, turn, cell) < 0.4
    assert np.linalg.det(lattice.orientation) == pytest.approx(1)
    assert not lattice.given


def test_the_stated_errors_are_those_of_repeated_fits() -> None:
    cell, turn = Cell.cubic(8.084, "F"), rotation(1)
    fits = [fit_lattice(peaks_of(cell, turn, s, limit=0.8, outliers=0), WIDTH) for s in range(12)]
    edges = np.array([f.a_angstrom for f in fits if f is not None])
    stated = np.mean([f.a_uncertainty_angstrom for f in fits if f is not None])
    assert len(edges) == 12
    assert 0.4 < edges.std(ddof=1) / stated < 2.0


@pytest.mark.parametrize(
    "cell",
    [
        Cell(3.2, 3.2, 5.2, 90, 90, 120),
        Cell(3.8, 3.8, 9.5, centring="I"),
        Cell(4.5, 5.6, 7.1, centring="C"),
        Cell(4.6, 5.1, 6.3, 90, 101, 90),
    ],
)
def test_any_given_cell_is_turned_and_scaled(cell: Cell) -> None:
    for seed in range(3):
        turn = rotation(seed)
        found = fit_lattice(peaks_of(cell.scaled(1.02), turn, seed, limit=0.8), WIDTH, cell=cell)
        assert found is not None
        assert found.scale == pytest.approx(1.02, abs=0.004)
        assert found.cell.c == pytest.approx(cell.c * 1.02, rel=0.004)
        assert misorientation_deg(found.orientation, turn, cell) < 0.4
        assert found.given
        assert f"scale {found.scale:.4f}" in found.statement()


def test_a_lattice_that_is_not_cubic_is_found_with_its_own_metric() -> None:
    cell = Cell(4.6, 5.1, 6.3, 90, 101, 90)
    found = fit_lattice(peaks_of(cell, rotation(5), 5, limit=0.8), WIDTH)
    assert found is not None
    assert not found.cell.is_cubic
    assert np.linalg.det(found.cell.edges) == pytest.approx(np.linalg.det(cell.edges), rel=0.01)
    assert sorted([found.cell.a, found.cell.b, found.cell.c]) == pytest.approx([4.6, 5.1, 6.3], abs=0.05)
    assert sorted(
        abs(x - 90) for x in (found.cell.alpha, found.cell.beta, found.cell.gamma)
    ) == pytest.approx([0, 0, 11], abs=0.7)
    hkl = np.array([[1, 0, 0], [1, 2, -1]])
    np.testing.assert_allclose(found.indices(found.vectors(hkl)), hkl, atol=1e-9)


def test_vectors_from_anywhere_are_no_lattice() -> None:
    rng = np.random.default_rng(2)
    for count in (2, 6, 60):
        q = rng.normal(size=(count, 3)) * 0.3
        stray = PeakList(q, np.full(count, 9.0), np.ones(count))
        assert fit_lattice(stray, WIDTH) is None
        assert fit_lattice(stray, WIDTH, cell=Cell.cubic(4.08, "F")) is None


def test_a_wrong_cell_is_not_forced_on_the_peaks() -> None:
    peaks = peaks_of(Cell.cubic(8.084, "F"), rotation(3), 3, limit=0.7)
    assert fit_lattice(peaks, WIDTH, cell=Cell(3.0, 3.3, 4.7)) is None


def test_refit_keeps_a_given_cell_and_tells_its_scale() -> None:
    cell, turn = Cell.cubic(8.0, "F"), rotation(4)
    first = fit_lattice(peaks_of(cell, turn, 4, limit=0.7), WIDTH, cell=cell)
    assert first is not None
    again = refit_lattice(peaks_of(cell.scaled(1.01), turn, 5, limit=0.7), WIDTH, first)
    assert again is not None
    assert again.given
    assert again.scale == pytest.approx(1.01, abs=0.003)
    other = peaks_of(cell, rotation(9), 5, limit=0.7)
    assert refit_lattice(other, WIDTH, first) is None
    assert again.as_dict()["a_angstrom"] == pytest.approx(8.08, abs=0.03)
