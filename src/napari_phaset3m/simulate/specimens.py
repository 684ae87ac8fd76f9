"""Specimens as lists of atoms: nanoparticles, amorphous carbon, files.

Coordinates are (x, y, z) in angstrom from the rotation centre, in the sample frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from napari_phaset3m.core.install import install_command
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import check_exists

CO3O4_LATTICE = 8.084
GOLD_LATTICE = 4.0782
_FACE_CENTRES = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
MAX_ATOMS = 5_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """Chemical symbols `(n,)` and positions `(n, 3)`: x, y, z in angstrom."""

    symbols: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.symbols)

    def counts(self) -> dict[str, int]:
        """Atoms of each element."""
        names, numbers = np.unique(self.symbols, return_counts=True)
        return {str(name): int(n) for name, n in zip(names, numbers, strict=True)}

    def moved(self, by: np.ndarray) -> Atoms:
        """Copy the atoms, displaced by ``by`` (3,), angstrom."""
        return Atoms(self.symbols, self.positions + np.asarray(by, np.float64))

    def chosen(self, keep: np.ndarray) -> Atoms:
        """Copy the atoms that the `(n,)` bool or index array ``keep`` picks."""
        return Atoms(self.symbols[keep], self.positions[keep])

    def joined(self, other: Atoms) -> Atoms:
        """Join these atoms, followed by the others."""
        return Atoms(
            np.concatenate([self.symbols, other.symbols]),
            np.concatenate([self.positions, other.positions]),
        )

    def tilted(self, tilt_deg: float) -> np.ndarray:
        """`(n, 3)` lab positions: x' = x cos - z sin, z' = x sin + z cos, y' = y."""
        angle = np.deg2rad(tilt_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y, z = self.positions.T
        return np.stack([x * cos - z * sin, y, x * sin + z * cos], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """A unit cell: rows of ``cell`` are its edges (angstrom), ``basis`` is fractional."""

    cell: np.ndarray
    symbols: np.ndarray
    basis: np.ndarray


def co3o4_crystal(lattice: float = CO3O4_LATTICE, oxygen: float = 0.2631) -> Crystal:
    """Spinel Co3O4, Fd-3m (No. 227, origin at -3m): Co on 8a and 16d, O on 32e.

    Special positions from International Tables A; the spinel of Smith & Hobson,
    Acta Cryst. B29 (1973) 362.
    """
    u = oxygen
    tetrahedral = np.array([(1, 1, 1), (7, 3, 3)]) / 8
    octahedral = np.array([(2, 2, 2), (1, 3, 0), (3, 0, 1), (0, 1, 3)]) / 4
    half = np.array(
        [
            (u, u, u),
            (0.75 - u, 0.25 - u, 0.5 + u),
            (0.25 - u, 0.5 + u, 0.75 - u),
            (0.5 + u, 0.75 - u, 0.25 - u),
        ]
    )
    oxygens = np.concatenate([half, -half])
    sites = np.concatenate([tetrahedral, octahedral, oxygens])
    basis = (sites[:, None] + _FACE_CENTRES[None]).reshape(-1, 3) % 1.0
    return Crystal(np.eye(3) * lattice, np.array(["Co"] * 24 + ["O"] * 32), basis)


def gold_crystal(lattice: float = GOLD_LATTICE) -> Crystal:
    """Face-centred cubic gold."""
    return Crystal(np.eye(3) * lattice, np.array(["Au"] * 4), _FACE_CENTRES.copy())


def read_cif(path: str | Path) -> Crystal:
    """Read the unit cell of a CIF, through ase.

    Raises
    ------
    DataError
        The file cannot be read, or ase is not installed.
    """
    try:
        from ase.io import read
    except ImportError:
        raise DataError("needs ase to be read", path=path, remedy=install_command("atoms")) from None
    check_exists(path)
    try:
        atoms = read(str(path), format="cif")
    except Exception as error:  # ase raises whatever its parser met
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"is not a CIF that ase can read ({reason})", path=path) from None
    return Crystal(
        np.asarray(atoms.cell), np.array(atoms.get_chemical_symbols()), atoms.get_scaled_positions()
    )


def read_xyz(path: str | Path) -> Atoms:
    """Atoms of a plain XYZ file (count, comment, then ``symbol x y z`` in angstrom).

    Raises
    ------
    DataError
        Naming the line that cannot be read.
    """
    check_exists(path)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", path=path) from None
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise DataError("must begin with the number of atoms", path=path, field="line 1")
    count = int(lines[0])
    if len(lines) - 2 < count or count < 1:
        raise DataError(f"states {count} atoms, holds {len(lines) - 2}", path=path, field="line 1")
    symbols, positions = [], np.empty((count, 3))
    for i, line in enumerate(lines[2 : 2 + count]):
        words = line.split()
        try:
            positions[i] = [float(word) for word in words[1:4]]
            symbols.append(words[0])
        except (ValueError, IndexError):
            raise DataError("must be: symbol x y z", path=path, field=f"line {i + 3}") from None
    if not np.isfinite(positions).all():
        raise DataError("holds positions that are not finite", path=path)
    return Atoms(np.array(symbols), positions)


def write_xyz(atoms: Atoms, path: str | Path, comment: str) -> None:
    """Write a plain XYZ file: symbol and x, y, z in angstrom."""
    rows = [
        f"{symbol} {x:.5f} {y:.5f} {z:.5f}\n"
        for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    ]
    Path(path).write_text(f"{len(atoms)}\n{comment}\n" + "".join(rows), encoding="utf-8")


def cut_particle(
    crystal: Crystal,
    diameter_angstrom: float,
    rotation: np.ndarray,
    origin_fraction: np.ndarray,
    shape: Literal["sphere", "cuboctahedron"] = "sphere",
) -> Atoms:
    """Cut a particle out of a crystal and turn it, centred on the rotation centre.

    Parameters
    ----------
    crystal : Crystal
    diameter_angstrom : float
        Of the sphere; corner to corner of the cuboctahedron.
    rotation : ndarray
        `(3, 3)` orthogonal, crystal axes to (x, y, z).
    origin_fraction : ndarray
        `(3,)` the point of the unit cell that becomes the centre.
    shape : {"sphere", "cuboctahedron"}
        The cuboctahedron has {100} and {111} faces of the Cartesian crystal axes.

    Raises
    ------
    ConfigError
        It holds no atom, or more than this program wants to simulate.
    """
    radius = diameter_angstrom / 2
    volume = abs(float(np.linalg.det(crystal.cell)))
    if len(crystal.symbols) * diameter_angstrom**3 / volume > 2 * MAX_ATOMS:
        raise ConfigError(f"specimen.diameter_angstrom: {diameter_angstrom:g} gives too many atoms")
    # distance between lattice planes along each axis, so that oblique cells are covered
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.cell), axis=0)
    reach = np.ceil(radius / heights).astype(int) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1)
    fractions = (cells.reshape(-1, 1, 3) + crystal.basis[None] - origin_fraction).reshape(-1, 3)
    positions = fractions @ crystal.cell
    symbols = np.tile(crystal.symbols, len(fractions) // len(crystal.symbols))
    inside = _inside(positions, radius, shape)
    if not inside.any():
        raise ConfigError(f"specimen.diameter_angstrom: {diameter_angstrom:g} Å holds no atom")
    return Atoms(symbols[inside], positions[inside] @ np.asarray(rotation).T)


def _inside(positions: np.ndarray, radius: float, shape: str) -> np.ndarray:
    """`(n,)` bool: within a sphere, or a cuboctahedron whose corners lie on it."""
    if shape == "sphere":
        return np.asarray((positions**2).sum(axis=1) <= radius**2)
    face, size = radius / np.sqrt(2), np.abs(positions)
    return np.asarray((size.max(axis=1) <= face) & (size.sum(axis=1) <= 2 * face))
