"""Atoms against a model: who is who, how far apart, and how many are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class AtomMatch:
    """One-to-one assignment of atoms found to atoms of a model.

    Parameters
    ----------
    found_index, model_index : ndarray
        `(n,)` partners.
    distance_angstrom : ndarray
        `(n,)`.
    n_found, n_model : int
        Atoms in each list.
    radius_angstrom : float
        Farthest partners allowed.
    shift_angstrom : ndarray
        `(3,)` x, y, z by which the found atoms were moved first.
    """

    found_index: np.ndarray
    model_index: np.ndarray
    distance_angstrom: np.ndarray
    n_found: int
    n_model: int
    radius_angstrom: float
    shift_angstrom: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.found_index, self.model_index, self.distance_angstrom, self.shift_angstrom):
            array.flags.writeable = False

    @property
    def rmsd_angstrom(self) -> float | None:
        """Root mean square distance of the partners; None when there are none."""
        d = self.distance_angstrom
        return float(np.sqrt((d**2).mean())) if len(d) else None

    @property
    def recall(self) -> float:
        """Part of the model's atoms that were found."""
        return len(self.distance_angstrom) / self.n_model

    @property
    def precision(self) -> float | None:
        """Part of the found atoms that are in the model; None when none was found."""
        return len(self.distance_angstrom) / self.n_found if self.n_found else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "matched": len(self.distance_angstrom),
            "n_found": self.n_found,
            "n_model": self.n_model,
            "rmsd_angstrom": self.rmsd_angstrom,
            "radius_angstrom": self.radius_angstrom,
            "shift_xyz_angstrom": self.shift_angstrom.tolist(),
        }

    def rows(self) -> list[dict[str, float]]:
        """One row per pair."""
        columns = zip(self.found_index, self.model_index, self.distance_angstrom, strict=True)
        return [
            {"found_index": int(i), "model_index": int(j), "distance_angstrom": float(d)}
            for i, j, d in columns
        ]

    def statement(self) -> str:
        """One sentence."""
        rmsd = "" if self.rmsd_angstrom is None else f", RMSD {self.rmsd_angstrom:.2f} Å"
        return (
            f"{len(self.distance_angstrom)} of {self.n_model} atoms of the model found within "
            f"{self.radius_angstrom:g} Å{rmsd}; {self.n_found - len(self.distance_angstrom)} "
            f"of {self.n_found} atoms found are not in it."
        )


def rmsd_against(
    positions_angstrom: np.ndarray,
    model_angstrom: np.ndarray,
    *,
    radius_angstrom: float = 0.7,
    fit_shift: bool = False,
) -> AtomMatch:
    """Match atoms to a model: as many pairs as possible within the radius, then least distance.

    Parameters
    ----------
    positions_angstrom : ndarray
        `(n, 3)` atoms found.
    model_angstrom : ndarray
        `(m, 3)` atoms of the model, in the same frame.
    radius_angstrom : float
        Farthest partners. Chance alone pairs a fraction of about (4/3 pi r^3) times the
        number density of atoms.
    fit_shift : bool
        Take out one common translation (at most the radius), found from the pairs themselves.

    Notes
    -----
    Minimum-cost assignment (Kuhn, Naval Res. Logist. Q. 2 (1955) 83) in each cluster of atoms
    that are within reach of each other.

    Raises
    ------
    ConfigError
        The model is empty, shapes are wrong, or the radius is not positive.
    """
    found, model = (np.asarray(p, float) for p in (positions_angstrom, model_angstrom))
    if model.ndim != 2 or model.shape[1] != 3 or len(model) == 0:
        raise ConfigError(f"model_angstrom: needs shape (m, 3) and an atom, not {model.shape}")
    if found.ndim != 2 or found.shape[1] != 3:
        raise ConfigError(f"positions_angstrom: needs shape (n, 3), not {found.shape}")
    if not radius_angstrom > 0:
        raise ConfigError(f"radius_angstrom: must be positive, not {radius_angstrom}")
    shift = np.zeros(3)
    i, j, distance = _assign(found, model, radius_angstrom)
    for _ in range(5 if fit_shift else 0):
        if len(i) == 0:
            break
        wanted = np.median(model[j] - found[i], axis=0)
        length = float(np.linalg.norm(wanted))
        shift = wanted * min(1.0, radius_angstrom / length) if length > 0 else wanted
        i, j, distance = _assign(found + shift, model, radius_angstrom)
    return AtomMatch(i, j, distance, len(found), len(model), float(radius_angstrom), shift)


def _assign(found: np.ndarray, model: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n, m = len(found), len(model)
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    near = cKDTree(found).sparse_distance_matrix(cKDTree(model), radius, output_type="ndarray")
    i, j, d = near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"]
    graph = coo_matrix((np.ones(len(i)), (i, n + j)), shape=(n + m, n + m))
    label = connected_components(graph, directed=False)[1][i]
    pairs: list[tuple[int, int, float]] = []
    order = np.argsort(label, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else []:
        rows, row = np.unique(i[part], return_inverse=True)
        columns, column = np.unique(j[part], return_inverse=True)
        # a pair out of reach costs more than any number of pairs in reach can save
        cost = np.full((len(rows), len(columns)), 1e3 * radius * (min(len(rows), len(columns)) + 1))
        cost[row, column] = d[part]
        for a, b in zip(*linear_sum_assignment(cost), strict=True):
            if cost[a, b] <= radius:
                pairs.append((int(rows[a]), int(columns[b]), float(cost[a, b])))
    pairs.sort()
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    one, other, distance = (np.array(c) for c in zip(*pairs, strict=True))
    return one.astype(np.int64), other.astype(np.int64), distance.astype(float)
