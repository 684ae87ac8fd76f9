"""Unit cells: metric, centring, allowed reflections and their families, from parameters or a CIF."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError

Centring = Literal["P", "I", "F", "A", "B", "C", "R"]

# International Tables for Crystallography A, table 1.4.1: reflection conditions of the centrings.
_CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "P": lambda m: np.ones(len(m), bool),
    "I": lambda m: m.sum(axis=1) % 2 == 0,
    "F": lambda m: (m % 2 == m[:, :1] % 2).all(axis=1),
    "A": lambda m: (m[:, 1] + m[:, 2]) % 2 == 0,
    "B": lambda m: (m[:, 0] + m[:, 2]) % 2 == 0,
    "C": lambda m: (m[:, 0] + m[:, 1]) % 2 == 0,
    "R": lambda m: (-m[:, 0] + m[:, 1] + m[:, 2]) % 3 == 0,
}
_POINTS = {"P": 1, "I": 2, "F": 4, "A": 2, "B": 2, "C": 2, "R": 3}


@dataclass(frozen=True, slots=True)
class Cell:
    """A conventional unit cell.

    Parameters
    ----------
    a, b, c : float
        Edges, angstrom.
    alpha, beta, gamma : float
        Angles, degrees.
    centring : {"P", "I", "F", "A", "B", "C", "R"}
        R means hexagonal axes, obverse setting.
    space_group : str, optional
        Hermann-Mauguin symbol; adds its glide and screw absences (needs gemmi).
    sites : tuple of (symbol, x, y, z, occupancy)
        All atoms of the cell, fractional; with them, reflections can be ranked by strength.

    Raises
    ------
    ConfigError
        An edge or angle that makes no cell.
    """

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0
    centring: Centring = "P"
    space_group: str | None = None
    sites: tuple[tuple[str, float, float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.centring not in get_args(Centring):
            raise ConfigError(f"cell: centring {self.centring!r} is none of {', '.join(get_args(Centring))}")
        edges, angles = (self.a, self.b, self.c), (self.alpha, self.beta, self.gamma)
        if not all(np.isfinite(v) and v > 0 for v in edges + angles) or max(angles) >= 180:
            raise ConfigError(f"cell: edges {edges} Å and angles {angles} make no cell")
        if not np.linalg.det(_metric(edges, angles)) > 1e-6 * np.prod(edges) ** 2:
            raise ConfigError(f"cell: angles {angles} make no cell")

    @classmethod
    def cubic(cls, a: float, centring: Centring = "P") -> Cell:
        """Cubic cell of edge ``a`` angstrom."""
        return cls(a, a, a, centring=centring)

    @property
    def is_cubic(self) -> bool:
        """Whether all edges are equal and all angles right."""
        return bool(
            np.allclose([self.b, self.c], self.a, rtol=1e-6)
            and np.allclose([self.alpha, self.beta, self.gamma], 90, atol=1e-6)
        )

    @property
    def edges(self) -> np.ndarray:
        """`(3, 3)` rows a, b, c in angstrom: a along x, b in the xy plane."""
        metric = _metric((self.a, self.b, self.c), (self.alpha, self.beta, self.gamma))
        return np.asarray(np.linalg.cholesky(metric))

    @property
    def reciprocal(self) -> np.ndarray:
        """`(3, 3)` rows a*, b*, c* in 1/angstrom; the vector of a reflection is ``hkl @ reciprocal``."""
        return np.asarray(np.linalg.inv(self.edges).T)

    @property
    def primitive_volume(self) -> float:
        """Volume per lattice point, cubic angstrom."""
        return float(np.linalg.det(self.edges)) / _POINTS[self.centring]

    def scaled(self, factor: float) -> Cell:
        """Multiply the edges by ``factor``."""
        from dataclasses import replace

        return replace(self, a=self.a * factor, b=self.b * factor, c=self.c * factor)

    def lattice_points(self, max_frequency: float) -> np.ndarray:
        """`(n, 3)` int64 hkl that the centring allows, both of each Friedel pair, without 000."""
        reach = np.floor(max_frequency * np.linalg.norm(self.edges, axis=1)).astype(int) + 1
        axes = [np.arange(-r, r + 1) for r in reach]
        hkl = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        q = np.linalg.norm(hkl @ self.reciprocal, axis=1)
        return np.asarray(hkl[_CONDITIONS[self.centring](hkl) & (q > 0) & (q <= max_frequency)])

    def reflections(self, max_frequency: float) -> np.ndarray:
        """`(n, 3)` int64 allowed hkl, one of each Friedel pair, by falling spacing.

        Raises
        ------
        ConfigError
            The space group is not known, or gemmi is missing.
        """
        hkl = self.lattice_points(max_frequency)
        hkl = hkl[_rank(hkl) > _rank(-hkl)]
        if self.space_group is not None:
            operations = _operations(self.space_group)
            hkl = hkl[[not operations.is_systematically_absent([int(i) for i in m]) for m in hkl]]
        order = np.lexsort((-_rank(hkl), np.round(np.linalg.norm(hkl @ self.reciprocal, axis=1), 9)))
        return np.asarray(hkl[order])

    def family(self, hkl: np.ndarray) -> np.ndarray:
        """`(n, 3)` int64 name of each reflection's family: the greatest of its equivalents.

        Equivalent under all rotations and reflections that the metric has.
        """
        hkl = np.asarray(hkl, np.int64)
        images = np.einsum("ni,mij->nmj", hkl, self.holohedry())
        best = _rank(images.reshape(-1, 3)).reshape(images.shape[:2]).argmax(axis=1)
        return np.asarray(images[np.arange(len(hkl)), best])

    def holohedry(self) -> np.ndarray:
        """`(m, 3, 3)` int64 matrices M that leave the metric as it is: ``hkl @ M`` is equivalent to hkl."""
        return _holohedry(self.reciprocal.tobytes())

    def rotations(self) -> np.ndarray:
        """`(m, 3, 3)` proper rotations of the crystal's Cartesian frame that map the lattice onto itself."""
        m = self.holohedry()
        b = self.reciprocal
        turn = np.einsum("ij,mjk,kl->mli", np.linalg.inv(b), m, b)
        return np.asarray(turn[np.linalg.det(turn) > 0])

    def strength(self, hkl: np.ndarray) -> np.ndarray:
        """`(n,)` kinematic electron intensity ``|F|^2``, arbitrary units, of atoms at rest.

        Raises
        ------
        ConfigError
            The cell has no sites, or gemmi is missing.
        """
        if not self.sites:
            raise ConfigError("cell: has no atoms; read it from a CIF to rank its reflections")
        gemmi = _gemmi()
        hkl = np.asarray(hkl)
        s2 = ((hkl @ self.reciprocal) ** 2).sum(axis=1) / 4
        total = np.zeros(len(hkl), complex)
        for symbol in sorted({s[0] for s in self.sites}):
            factor = np.array([gemmi.Element(symbol).c4322.calculate_sf(float(x)) for x in s2])
            places = np.array([s[1:] for s in self.sites if s[0] == symbol])
            total += factor * (np.exp(2j * np.pi * (hkl @ places[:, :3].T)) @ places[:, 3])
        return np.asarray(np.abs(total) ** 2)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, without the sites."""
        return {
            "a_angstrom": self.a,
            "b_angstrom": self.b,
            "c_angstrom": self.c,
            "alpha_deg": self.alpha,
            "beta_deg": self.beta,
            "gamma_deg": self.gamma,
            "centring": self.centring,
            "space_group": self.space_group,
        }


def read_cell(path: str | os.PathLike[str]) -> Cell:
    """Read the cell, space group and atoms of a CIF, through gemmi.

    Raises
    ------
    DataError
        The file is missing, is no CIF, or states no cell.
    ConfigError
        gemmi is not installed.
    """
    gemmi = _gemmi()
    if not Path(path).is_file():
        raise DataError("does not exist", path=path)
    try:
        structure = gemmi.read_small_structure(os.fspath(path))
    except (RuntimeError, ValueError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"is not a CIF ({str(error).splitlines()[0]})", path=path) from None
    cell, group = structure.cell, structure.spacegroup
    if not cell.is_crystal():
        raise DataError("states no unit cell", path=path, field="_cell_length_a")
    sites = tuple(
        (str(s.element.name), float(s.fract.x), float(s.fract.y), float(s.fract.z), float(s.occ))
        for s in structure.get_all_unit_cell_sites()
    )
    centring: Centring = group.centring_type() if group is not None else "P"
    # rhombohedral axes: the R lattice is primitive on them
    if centring == "R" and abs(cell.gamma - 120) > 1e-3:
        centring = "P"
    name = None if group is None or group.hm == "P 1" else str(group.xhm())
    edges = (cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma)
    if centring == "P" and name is None and sites:
        centring = _centring_of(sites)
    return Cell(*edges, centring=centring, space_group=name, sites=sites)


def family_name(hkl: np.ndarray) -> str:
    """``{422}``; with spaces where an index needs more than one character."""
    words = [str(int(i)) for i in hkl]
    return "{" + ("" if all(len(w) == 1 for w in words) else " ").join(words) + "}"


def misorientation_deg(one: np.ndarray, other: np.ndarray, cell: Cell) -> float:
    """Smallest rotation between two orientations `(3, 3)` of the same crystal, degrees.

    Up to the rotations of the lattice: ``one`` and ``one @ S`` are the same orientation. So
    are a rotation and its product with the inversion, which Friedel's law hides.
    """
    one, other = (np.asarray(r) * np.sign(np.linalg.det(r)) for r in (one, other))
    turns = np.einsum("ij,mjk,lk->mil", one, cell.rotations(), other)
    cosine = (np.trace(turns, axis1=1, axis2=2).max() - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _centring_of(sites: tuple[tuple[str, float, float, float, float], ...]) -> Centring:
    """Centring that atoms listed in P 1 obey."""
    kinds = np.unique([s[0] for s in sites], return_inverse=True)[1]
    x = np.array([s[1:4] for s in sites])
    half = {"A": [(0, 1, 1)], "B": [(1, 0, 1)], "C": [(1, 1, 0)], "I": [(1, 1, 1)]}
    obeyed: set[Centring] = set()
    for name in ("A", "B", "C", "I"):
        moved = (x + np.array(half[name][0]) / 2)[:, None] - x[None]
        near = np.abs(moved - np.rint(moved)).max(axis=2) < 1e-3
        if (near & (kinds[:, None] == kinds[None])).any(axis=1).all():
            obeyed.add(name)
    if {"A", "B", "C"} <= obeyed:
        return "F"
    return min(obeyed) if obeyed else "P"


def _metric(edges: tuple[float, float, float], angles: tuple[float, float, float]) -> np.ndarray:
    cosine = np.cos(np.radians(angles))
    pairs = np.array([[1, cosine[2], cosine[1]], [cosine[2], 1, cosine[0]], [cosine[1], cosine[0], 1]])
    pairs[np.abs(pairs) < 1e-15] = 0  # cos 90 degrees
    return np.asarray(np.outer(edges, edges) * pairs)


def _rank(hkl: np.ndarray) -> np.ndarray:
    """Numbers that sort hkl from (-n, -n, -n) up; one more than another: greater."""
    h = np.asarray(hkl, np.int64)
    return np.asarray((h[:, 0] * 2001 + h[:, 1]) * 2001 + h[:, 2])


@lru_cache(maxsize=32)
def _holohedry(reciprocal: bytes) -> np.ndarray:
    b = np.frombuffer(reciprocal).reshape(3, 3)
    metric = b @ b.T
    m = np.stack(np.meshgrid(*[[-1, 0, 1]] * 9, indexing="ij"), -1).reshape(-1, 3, 3)
    same = np.abs(m @ metric @ m.transpose(0, 2, 1) - metric).max(axis=(1, 2)) < 1e-6 * metric.max()
    found: np.ndarray = m[same].astype(np.int64)
    found.flags.writeable = False
    return found


def _operations(name: str) -> Any:
    group = _gemmi().find_spacegroup_by_name(name)
    if group is None:
        raise ConfigError(f"cell: space group {name!r} is not known; write it like 'F d -3 m:2'")
    return group.operations()


def _gemmi() -> Any:
    try:
        import gemmi
    except ImportError:
        raise ConfigError("cell: space groups and CIF files need gemmi. pip install gemmi") from None
    return gemmi
