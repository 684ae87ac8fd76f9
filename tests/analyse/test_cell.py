"""Cells against gemmi: absences, multiplicities, structure factors."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_phaset3m.analyse.cell import Cell, family_name, misorientation_deg, read_cell
from napari_phaset3m.errors import ConfigError, DataError


def gemmi_cell(cell: Cell) -> gemmi.UnitCell:
    return gemmi.UnitCell(cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.floats(3, 15)] * 3),
    st.tuples(*[st.floats(70, 110)] * 3),
    st.tuples(*[st.integers(-6, 6)] * 3),
)
def test_spacings_of_any_cell_agree_with_gemmi(
    edges: tuple[float, ...], angles: tuple[float, ...], hkl: tuple[int, int, int]
) -> None:
    cell = Cell(*edges, *angles)
    expected = gemmi_cell(cell).calculate_1_d2(list(hkl))
    assert np.linalg.norm(np.array(hkl) @ cell.reciprocal) ** 2 == pytest.approx(
        expected, rel=1e-6, abs=1e-12
    )
    np.testing.assert_allclose(cell.edges @ cell.reciprocal.T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    ("centring", "group"),
    [("P", "P 1"), ("I", "I 1"), ("F", "F 1"), ("A", "A 1"), ("B", "B 1"), ("C", "C 1"), ("R", "R 3:H")],
)
def test_centring_conditions_agree_with_gemmi(centring: str, group: str) -> None:
    cell = Cell(7, 7, 9, 90, 90, 120 if centring == "R" else 90, centring)  # type: ignore[arg-type]
    operations = gemmi.SpaceGroup(group).operations()
    allowed = {tuple(int(i) for i in m) for m in cell.lattice_points(0.6)}
    every = Cell(7, 7, 9, 90, 90, cell.gamma).lattice_points(0.6)
    expected = {
        tuple(map(int, m)) for m in every if not operations.is_systematically_absent([int(i) for i in m])
    }
    assert allowed == expected
    assert len(cell.reflections(0.6)) * 2 == len(allowed)


def test_space_group_adds_the_glide_absences_of_spinel() -> None:
    names = {family_name(f) for f in Cell(8.084, 8.084, 8.084, centring="F").family(
        Cell(8.084, 8.084, 8.084, centring="F", space_group="F d -3 m:2").reflections(0.72))}  # fmt: skip
    assert "{200}" not in names
    assert "{420}" not in names
    assert {"{111}", "{220}", "{311}", "{222}", "{400}", "{422}", "{440}"} <= names


def test_families_have_their_multiplicities() -> None:
    cubic = Cell.cubic(8.084, "F")
    hkl = cubic.reflections(0.71)
    names = [family_name(f) for f in cubic.family(hkl)]
    pairs = {name: names.count(name) for name in names}
    assert [pairs[n] for n in ("{111}", "{220}", "{311}", "{400}", "{422}", "{440}")] == [4, 6, 12, 3, 12, 6]
    # {333} and {511} have one spacing, but are no equivalents
    wide = [family_name(f) for f in cubic.family(cubic.reflections(0.66))]
    assert wide.count("{333}") == 4
    assert wide.count("{511}") == 12
    tetragonal = Cell(4, 4, 6)
    assert {family_name(f) for f in tetragonal.family(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]))} == {
        "{100}",
        "{001}",
    }
    assert len(Cell(4, 4, 6, 90, 90, 120).holohedry()) == 24
    assert len(Cell(4, 5, 6, 80, 85, 95).holohedry()) == 2
    assert len(cubic.rotations()) == 24
    assert family_name(np.array([12, -1, 0])) == "{12 -1 0}"


def test_strengths_are_the_structure_factors_of_gemmi(shared_data: Path) -> None:
    path = shared_data / "real" / "structures" / "Co3O4_P1_from_BGMN.cif"
    cell = read_cell(path)
    assert (cell.a, cell.centring, len(cell.sites)) == (8.084, "F", 56)
    hkl = cell.reflections(0.9)
    structure = gemmi.read_small_structure(str(path))
    for site in structure.sites:
        site.u_iso = 0  # gemmi damps by the file's thermal motion; strength() has atoms at rest
        site.aniso = gemmi.SMat33d(0, 0, 0, 0, 0, 0)
    calculator = gemmi.StructureFactorCalculatorE(structure.cell)
    expected = [
        abs(calculator.calculate_sf_from_small_structure(structure, [int(i) for i in m])) ** 2 for m in hkl
    ]
    np.testing.assert_allclose(cell.strength(hkl), expected, rtol=1e-3, atol=1e-3 * max(expected))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(0, 3))
def test_misorientation_ignores_the_lattices_own_rotations(seed: int, angle: float) -> None:
    cell = Cell.cubic(5)
    one = Rotation.random(random_state=seed).as_matrix()
    axis = np.random.default_rng(seed).normal(size=3)
    turn = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis)).as_matrix()
    for symmetry in cell.rotations()[::5]:
        assert misorientation_deg(turn @ one @ symmetry, one, cell) == pytest.approx(angle, abs=1e-4)
    assert misorientation_deg(-one, one, cell) == pytest.approx(0, abs=1e-4)
    # a quarter turn about z is no symmetry of an orthorhombic cell
    quarter = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    assert misorientation_deg(one @ quarter, one, Cell(4, 5, 6)) == pytest.approx(90)


@pytest.mark.parametrize(
    "wrong",
    [{"a": 0.0}, {"alpha": 200.0}, {"alpha": 30.0, "beta": 120.0}, {"centring": "X"}, {"b": float("nan")}],
)
def test_no_cell_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="cell"):
        Cell(**({"a": 4.0, "b": 4.0, "c": 4.0} | wrong))  # type: ignore[arg-type]


def test_bad_files_and_groups_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.cif"):
        read_cell(tmp_path / "none.cif")
    bad = tmp_path / "bad.cif"
    bad.write_text("no cif at all {")
    with pytest.raises(DataError, match=r"bad\.cif"):
        read_cell(bad)
    bad.write_text("data_x\n_chemical_name 'nothing'\n")
    with pytest.raises(DataError, match="unit cell"):
        read_cell(bad)
    with pytest.raises(ConfigError, match="space group"):
        Cell(4, 4, 4, space_group="F q 9").reflections(0.5)
    with pytest.raises(ConfigError, match="atoms"):
        Cell.cubic(4).strength(np.array([[1, 0, 0]]))
