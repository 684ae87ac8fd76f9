"""Atoms found are told beside what chance would find."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.analyse.atom_match import rmsd_against
from napari_phaset3m.analyse.atoms import Atoms
from napari_phaset3m.report import atom_sections
from napari_phaset3m.report.atom_sections import Found, by_chance


def model(seed: int = 0, count: int = 400) -> np.ndarray:
    """Atoms in a box of 20 Å, its corners among them."""
    corners = np.array([[x, y, z] for x in (0, 20) for y in (0, 20) for z in (0, 20)], float)
    return np.vstack([corners, np.random.default_rng(seed).uniform(0, 20, (count, 3))])


def found(positions: np.ndarray, of: np.ndarray) -> Found:
    n = len(positions)
    atoms = Atoms(
        positions_angstrom=positions.copy(), intensity=np.ones(n), height=np.ones(n),
        sigma_angstrom=np.ones(n),
        refined=np.ones(n, bool), species=np.zeros(n, np.int64), threshold=0.1, min_distance_angstrom=1.0,
    )  # fmt: skip
    return Found(atoms, ("Co",), rmsd_against(positions, of), None, of)


def test_random_atoms_hit_as_many_as_foretold() -> None:
    truth, hits, foretold = model(), [], []
    for seed in range(1, 9):
        match = rmsd_against(np.random.default_rng(seed).uniform(0, 20, (300, 3)), truth)
        hits.append(len(match.distance_angstrom))
        foretold.append(by_chance(match, truth))
    # One-to-one pairs and the box's faces cost a little of what Poisson's law foretells.
    assert np.mean(foretold) == pytest.approx(408 * (1 - np.exp(-4 / 3 * np.pi * 0.343 * 300 / 8000)))
    assert 0.8 * np.mean(foretold) < np.mean(hits) <= 1.02 * np.mean(foretold)


def test_a_flat_model_has_no_chance_level() -> None:
    flat = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], float)
    assert by_chance(rmsd_against(flat, flat), flat) is None


def test_chance_and_what_the_rmsd_is_of_are_said() -> None:
    truth = model()
    good, poor = found(truth + 0.01, truth), found(model(5), truth)
    recall, rmsd = atom_sections.scores([good, poor])
    assert recall.values[0] == 408 and recall.remarks[0] == ", by chance 29"
    assert "alone that were found (partners at random: 0.54)" in rmsd.quality
    told = " ".join(poor.statements())
    assert "By chance about 29 would be" in told and "pairs found only" in told
    row = atom_sections.side_by_side(["good"], [good]).tables[0].rows[0]
    assert row["all: by chance"] == pytest.approx(29, abs=0.5)
