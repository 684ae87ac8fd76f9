"""Atoms found in simulated maps, and matched to models."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation

from napari_phaset3m.analyse.atom_match import rmsd_against
from napari_phaset3m.analyse.atoms import classify, find_atoms
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.io.xyz import save_xyz
from napari_phaset3m.simulate.specimens import co3o4_crystal, cut_particle, read_xyz


def blobs(
    positions: np.ndarray,
    heights: np.ndarray,
    sigma: float,
    shape: tuple[int, int, int],
    voxel: float = VOXEL,
) -> np.ndarray:
    z, y, x = (
        ((np.arange(n) - (n - 1) / 2) * voxel).reshape([-1 if a == i else 1 for a in range(3)])
        for i, n in enumerate(shape)
    )
    volume = np.zeros(shape)
    for (px, py, pz), height in zip(positions, heights, strict=True):
        volume += height * np.exp(-((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / (2 * sigma**2))
    return volume


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(0.5, 0.55), (0.5, 0.8), (0.25, 0.5)]))
def test_gaussians_come_back_with_place_width_and_intensity(seed: int, grid: tuple[float, float]) -> None:
    voxel, sigma = grid
    rng = np.random.default_rng(seed)
    lattice = np.array(list(itertools.product((-3.0, 3.0), (-3.0, 3.0), (-3.0, 3.0))))
    positions = lattice + rng.uniform(-0.6, 0.6, (8, 3))
    heights = rng.permutation(np.linspace(5, 30, 8)) + rng.uniform(0, 1, 8)  # equal ones have no order
    shape = (round(20 / voxel), round(19 / voxel), round(21 / voxel))  # x, y, z must not be mixed up
    atoms = find_atoms(blobs(positions, heights, sigma, shape, voxel) + 2.0, voxel, threshold=3.0)
    assert len(atoms) == 8
    order = np.argsort(-heights)
    np.testing.assert_allclose(atoms.positions_angstrom, positions[order], atol=0.01)
    np.testing.assert_allclose(atoms.height, heights[order], rtol=0.01)
    np.testing.assert_allclose(atoms.sigma_angstrom, sigma, rtol=0.01)
    np.testing.assert_allclose(atoms.intensity, heights[order] * (2 * np.pi * sigma**2) ** 1.5, rtol=0.03)
    assert atoms.refined.all()
    assert atoms.threshold == 3.0
    json.dumps(atoms.as_dict())


def test_the_atoms_of_a_crystal_are_found_and_sorted_into_species() -> None:
    turn = rotation(3)
    model = cut_particle(co3o4_crystal(), 14.0, turn, np.array([0.1, 0.2, 0.3]))
    volume = noisy(particle(turn, n=48, diameter=14.0), 0.02)
    atoms = classify(find_atoms(volume, VOXEL, min_distance_angstrom=1.2, threshold=4.0))
    match = rmsd_against(atoms.positions_angstrom, model.positions)
    assert match.recall > 0.97
    assert match.precision > 0.98
    assert match.rmsd_angstrom < 0.08
    oxygen = model.symbols[match.model_index] == "O"
    assert ((atoms.species[match.found_index] == 1) == oxygen).mean() > 0.98
    assert f"{len(atoms)} atoms" in atoms.statement()
    assert "4" in atoms.statement()


def test_threshold_distance_mask_and_number_are_kept_to() -> None:
    positions = np.array([[-4.0, 0, 0], [4.0, 0, 0], [4.0, 1.9, 0], [0, 0, 5.0]])
    volume = blobs(positions, np.array([10.0, 20, 15, 5]), 0.55, (40, 40, 40))
    assert len(find_atoms(volume, VOXEL, threshold=1.0)) == 4
    assert len(find_atoms(volume, VOXEL, threshold=6.0)) == 3
    apart = find_atoms(volume, VOXEL, threshold=1.0, min_distance_angstrom=2.0)
    assert len(apart) == 3
    assert rmsd_against(apart.positions_angstrom, positions[[0, 1, 3]], radius_angstrom=0.2).recall == 1
    top = find_atoms(volume, VOXEL, threshold=1.0, max_atoms=1)
    np.testing.assert_allclose(top.positions_angstrom, positions[1:2], atol=0.1)
    mask = np.zeros(volume.shape)
    mask[:, :, :20] = 1  # x < 0
    left = find_atoms(volume, VOXEL, threshold=6.0, mask=mask)
    np.testing.assert_allclose(left.positions_angstrom, positions[:1], atol=0.05)


def test_otsu_parts_atoms_from_noise_and_a_low_pass_joins_pairs() -> None:
    positions = np.array([[-4.0, 0, 0], [4.0, 0, 0], [0, 4.0, 0], [0, -4.0, 3.0]])
    volume = blobs(positions, np.full(4, 20.0), 0.5, (40, 40, 40))
    atoms = find_atoms(noisy(volume, 0.2), VOXEL)
    assert len(atoms) == 4
    assert 3 < atoms.threshold < 20
    pair = blobs(np.array([[-0.8, 0, 0], [0.8, 0, 0]]), np.full(2, 20.0), 0.4, (40, 40, 40))
    assert len(find_atoms(pair, VOXEL, threshold=0.5)) == 2
    assert len(find_atoms(pair, VOXEL, threshold=0.5, low_pass_angstrom=6.0)) == 1


def test_empty_and_flat_volumes_hold_no_atoms() -> None:
    for volume in (np.zeros((12, 12, 12)), np.full((12, 12, 12), 3.0)):
        atoms = find_atoms(volume, VOXEL)
        assert len(atoms) == 0
        assert atoms.rows() == []
        assert "0 atoms" in atoms.statement()
    with pytest.raises(ConfigError, match="classes"):
        classify(atoms)


def test_bad_input_is_named() -> None:
    v = np.zeros((8, 8, 8))
    with pytest.raises(ConfigError, match="voxel_size"):
        find_atoms(v, 0)
    with pytest.raises(ConfigError, match="min_distance"):
        find_atoms(v, 1, min_distance_angstrom=0)
    with pytest.raises(ConfigError, match="mask"):
        find_atoms(v, 1, mask=v[:4])
    with pytest.raises(ConfigError, match="low_pass"):
        find_atoms(v, 1, low_pass_angstrom=-1)
    with pytest.raises(DataError, match="volume"):
        find_atoms(v + np.nan, 1)
    with pytest.raises(ConfigError, match="model"):
        rmsd_against(np.zeros((1, 3)), np.zeros((0, 3)))
    with pytest.raises(ConfigError, match="radius"):
        rmsd_against(np.zeros((1, 3)), np.zeros((1, 3)), radius_angstrom=0)


def brute_force(found: np.ndarray, model: np.ndarray, radius: float) -> tuple[int, float]:
    """Best assignment by trying all: most pairs, then least distance."""
    best = (0, 0.0)
    for choice in itertools.permutations(range(len(model)), min(len(found), len(model))):
        d = np.linalg.norm(found[: len(choice)] - model[list(choice)], axis=1)
        d = d[d <= radius]
        if (-len(d), d.sum()) < (-best[0], best[1]):
            best = (len(d), float(d.sum()))
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0.2, 1.5))
def test_matching_is_the_best_one_to_one_assignment(seed: int, n: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    found, model = rng.uniform(-1, 1, (n, 3)), rng.uniform(-1, 1, (5, 3))
    match = rmsd_against(found, model, radius_angstrom=radius)
    count, total = brute_force(found, model, radius)
    assert len(match.distance_angstrom) == count
    assert match.distance_angstrom.sum() == pytest.approx(total)
    assert len(set(match.model_index)) == len(set(match.found_index)) == count


def test_a_common_shift_is_taken_out_only_when_asked() -> None:
    model = np.random.default_rng(0).uniform(-15, 15, (60, 3))
    found = model + np.array([0.3, -0.2, 0.1])
    assert rmsd_against(found, model).rmsd_angstrom == pytest.approx(np.sqrt(0.14), rel=1e-6)
    fitted = rmsd_against(found, model, fit_shift=True)
    assert fitted.rmsd_angstrom < 1e-9
    np.testing.assert_allclose(fitted.shift_angstrom, [-0.3, 0.2, -0.1])
    assert "60 of 60" in fitted.statement()
    nothing = rmsd_against(np.zeros((0, 3)), model)
    assert (nothing.rmsd_angstrom, nothing.recall, nothing.precision) == (None, 0, None)
    assert len(fitted.rows()) == fitted.as_dict()["matched"] == 60


def test_xyz_is_read_back(tmp_path: Path) -> None:
    positions = np.array([[1.0, -2.0, 3.5], [0, 0, 0.25]])
    path = save_xyz(tmp_path / "a b.xyz", positions, ["Co", "O"], comment="two\nlines", columns=[[9.5], [2]])
    atoms = read_xyz(path)
    assert list(atoms.symbols) == ["Co", "O"]
    np.testing.assert_allclose(atoms.positions, positions)
    assert path.read_text().splitlines()[1] == "two lines"
    with pytest.raises(ConfigError, match="symbols"):
        save_xyz(path, positions, ["Co"])
    with pytest.raises(ConfigError, match="one word"):
        save_xyz(path, positions, ["Co", "O 2"])
    with pytest.raises(ConfigError, match="finite"):
        save_xyz(path, positions * np.nan, ["Co", "O"])


def test_every_cobalt_of_the_shared_truth_is_found(shared_data: Path) -> None:
    folder = shared_data / "co3o4"
    volume = load_volume(folder / "co3o4_dev_truth_V.mrc").data
    model = read_xyz(folder / "co3o4_dev_truth_atoms.xyz")
    cobalt = model.positions[model.symbols == "Co"]
    match = rmsd_against(find_atoms(volume, 0.52, max_atoms=323).positions_angstrom, cobalt)
    assert len(match.distance_angstrom) == 323  # the independent score finds 323 too, at 0.04 Å
    assert match.rmsd_angstrom < 0.1
