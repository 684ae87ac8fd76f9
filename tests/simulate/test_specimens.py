"""Crystals, films and files: composition, positions, reproducibility."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.simulate import specimens
from napari_phaset3m.simulate.build import build_particle, build_specimen, particle_rotation
from napari_phaset3m.simulate.carbon import CARBON_PER_DENSITY, _kept_in_order, random_sequential
from napari_phaset3m.simulate.config import SimulationConfig, SpecimenConfig


def test_co3o4_cell_is_the_spinel_of_the_international_tables():
    spacegroup = pytest.importorskip("ase.spacegroup")
    cell = specimens.co3o4_crystal()
    oracle = spacegroup.crystal(
        ["Co", "Co", "O"],
        basis=[(0.125,) * 3, (0.5,) * 3, (0.2631,) * 3],
        spacegroup=227,
        setting=2,
        cellpar=[8.084] * 3 + [90] * 3,
    )
    for symbol, count in (("Co", 24), ("O", 32)):
        ours = (cell.basis[cell.symbols == symbol] + 1e-9) % 1
        theirs = oracle.get_scaled_positions()[np.array(oracle.get_chemical_symbols()) == symbol]
        assert len(ours) == count
        gaps, _ = cKDTree((theirs + 1e-9) % 1, boxsize=1.0).query(ours)
        assert gaps.max() < 1e-6
    assert len(np.unique(np.round(cell.basis, 6), axis=0)) == 56


def test_the_shared_sphere_is_regenerated_atom_by_atom(shared_data):
    folder = shared_data / "co3o4"
    truth = json.loads((folder / "co3o4_dev_truth.json").read_text())
    yxz = np.array(truth["crystal_to_YXZ"])
    origin = np.random.default_rng([11, 0]).random(3)
    ours = specimens.cut_particle(specimens.co3o4_crystal(), 24.0, yxz[[1, 0, 2]], origin)
    theirs = specimens.read_xyz(folder / "co3o4_dev_truth_atoms.xyz")
    assert ours.counts() == theirs.counts() == {"Co": 323, "O": 436}
    gaps, which = cKDTree(ours.positions).query(theirs.positions)
    assert gaps.max() < 1e-4
    assert (ours.symbols[which] == theirs.symbols).all()


def test_large_particles_approach_the_stoichiometry_and_density():
    for shape, volume in (("sphere", np.pi / 6 * 60**3), ("cuboctahedron", 5 / 3 * 2**0.5 * 30**3)):
        counts = specimens.cut_particle(
            specimens.co3o4_crystal(), 60.0, np.eye(3), np.full(3, 0.3), shape
        ).counts()
        assert counts["O"] / counts["Co"] == pytest.approx(4 / 3, rel=0.01)
        assert sum(counts.values()) / volume == pytest.approx(56 / 8.084**3, rel=0.03)


def test_gold_neighbours_and_cuboctahedron_magic_number():
    crystal = specimens.gold_crystal()
    edge = crystal.cell[0, 0] / 2**0.5
    magic = specimens.cut_particle(crystal, 4 * edge + 0.01, np.eye(3), np.zeros(3), "cuboctahedron")
    assert magic.counts() == {"Au": 55}
    gaps, _ = cKDTree(magic.positions).query(magic.positions, k=2)
    np.testing.assert_allclose(gaps[:, 1], edge, rtol=1e-9)


def test_rotation_is_proper_and_follows_the_euler_angles():
    turned = particle_rotation(SpecimenConfig(orientation_deg=(90.0, 0.0, 0.0)), 0)
    np.testing.assert_allclose(turned @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    for seed in range(5):
        matrix = particle_rotation(SpecimenConfig(), seed)
        assert np.linalg.det(matrix) == pytest.approx(1)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)


def test_positive_tilt_has_the_frozen_sense():
    atoms = specimens.Atoms(np.array(["C", "C"]), np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(atoms.tilted(90.0), [[0, 2, 1], [-1, 0, 0]], atol=1e-12)


def test_random_sequential_addition_keeps_its_distance_across_the_period():
    low, high = np.array([-20.0, -15.0, 0.0]), np.array([20.0, 15.0, 10.0])
    points = random_sequential(low, high, 900, 1.4, np.random.default_rng(0))
    assert points.shape == (900, 3)
    assert (points >= low).all() and (points <= high).all()
    gaps, _ = cKDTree(points - low, boxsize=[0, 30.0, 0]).query(points - low, k=2)
    assert gaps[:, 1].min() >= 1.4


def test_points_yield_to_kept_ones_before_them_as_if_added_one_by_one():
    points = np.random.default_rng(1).random((400, 3))
    pairs = cKDTree(points).query_pairs(0.15, output_type="ndarray")
    kept: list[int] = []
    for index, point in enumerate(points):
        if all(np.linalg.norm(point - points[other]) > 0.15 for other in kept):
            kept.append(index)
    assert 50 < len(kept) < 350
    np.testing.assert_array_equal(np.flatnonzero(_kept_in_order(400, pairs)), kept)


def carbon_config(**carbon):
    return SimulationConfig(
        specimen={"diameter_angstrom": 14.0}, carbon={"thickness_angstrom": 12.0, **carbon}, seed=3
    )


def test_film_density_clearance_and_embedding():
    config = carbon_config(embedding=0.5)
    atoms = build_specimen(config, 60.0)
    film = atoms.positions[atoms.symbols == "C"]
    particle = atoms.positions[atoms.symbols != "C"]
    assert cKDTree(particle).query(film)[0].min() > 2.0
    assert film[:, 2].max() == pytest.approx((particle[:, 2].min() + particle[:, 2].max()) / 2, abs=0.2)
    assert np.ptp(film[:, 2]) == pytest.approx(12.0, abs=0.2)
    assert np.hypot(film[:, 0], film[:, 2]).max() < 19.0
    away = np.abs(film[:, 1]) > 12.0  # beside the particle nothing was removed but the cylinder's outside
    inner = film[away & (np.abs(film[:, 0]) < 15)]
    density = len(inner) / (30.0 * 12.0 * 36.0)
    assert density == pytest.approx(1.9 * CARBON_PER_DENSITY, rel=0.06)


def test_endless_film_crosses_the_field_at_the_highest_tilt():
    atoms = build_specimen(carbon_config(radius_angstrom="endless"), 60.0)
    film = specimens.Atoms(atoms.symbols[atoms.symbols == "C"], atoms.positions[atoms.symbols == "C"])
    for tilt in (-66.0, 66.0):
        x = film.tilted(tilt)[:, 0]
        for edge in (-29.0, 29.0):
            assert np.count_nonzero(np.abs(x - edge) < 1) > 50


def test_seeds_reproduce_and_differ():
    one, two, other = (build_particle(SpecimenConfig(), seed).positions for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.shape != other.shape or not np.allclose(one, other)


def test_xyz_round_trip_and_damage(tmp_path):
    atoms = build_particle(SpecimenConfig(kind="gold", diameter_angstrom=12.0), 0)
    path = tmp_path / "gold é.xyz"
    specimens.write_xyz(atoms, path, "x y z")
    back = specimens.read_xyz(path)
    np.testing.assert_allclose(back.positions, atoms.positions, atol=1e-5)
    assert back.counts() == atoms.counts()
    for text, line in (
        ("none\n\nC 0 0 0\n", "line 1"),
        ("5\n\nC 0 0 0\n", "line 1"),
        ("1\n\nC 0 x 0\n", "line 3"),
        ("1\n\nC 0 0\n", "line 3"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=line) as caught:
            specimens.read_xyz(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        specimens.read_xyz(tmp_path / "missing.xyz")


def test_cif_of_gold_gives_our_gold(shared_data, tmp_path):
    pytest.importorskip("ase")
    crystal = specimens.read_cif(shared_data / "real" / "structures" / "Au.cif")
    assert len(crystal.symbols) == 4 and set(crystal.symbols) == {"Au"}
    bad = tmp_path / "bad.cif"
    bad.write_text("no cell here")
    with pytest.raises(DataError, match=r"bad\.cif"):
        specimens.read_cif(bad)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"specimen": {"diameter_angstrom": -1}}, "specimen.diameter_angstrom"),
        ({"specimen": {"kind": "cif"}}, "path"),
        ({"carbon": {"density_g_cm3": 9}}, "density_g_cm3"),
        ({"acquisition": {"n_tilt": 3, "tilt_step_deg": 2}}, "n_tilt"),
        ({"acquisition": {"defocus_angstrom": ()}}, "defocus_angstrom"),
        ({"acquisition": {"dose_per_image": 0}}, "dose_per_image"),
        ({"optics": {"aberrations": {"C99": 1.0}}}, "C99"),
        ({"numerics": {"padding_px": -1}}, "padding_px"),
        ({"typo": 1}, "typo"),
    ],
)
def test_bad_configuration_is_one_line_that_names_the_field(values, field):
    with pytest.raises(ConfigError, match=field) as caught:
        SimulationConfig.parse(**values)
    assert "\n" not in str(caught.value)


def test_particle_larger_than_the_field_is_refused():
    config = SimulationConfig(specimen={"diameter_angstrom": 60.0})
    with pytest.raises(ConfigError, match="field of view"):
        build_specimen(config, 60.0)


def test_configuration_round_trips_through_yaml_and_json(tmp_path):
    config = SimulationConfig(acquisition={"tilt_step_deg": 2.0, "mtf": ((0.0, 1.0), (1.0, 0.4))}, seed=9)
    for name in ("a.yaml", "a.json"):
        config.save(tmp_path / name)
        assert SimulationConfig.load(tmp_path / name) == config
    assert len(config.acquisition.tilts_deg) == 67
