"""Amorphous carbon films by random sequential addition."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.simulate.config import CarbonConfig
from napari_phaset3m.simulate.specimens import MAX_ATOMS, Atoms

#: Atoms per cubic angstrom of carbon at 1 g/cm3.
CARBON_PER_DENSITY = 0.602214 / 12.011


def random_sequential(
    low: np.ndarray, high: np.ndarray, n: int, distance: float, rng: np.random.Generator
) -> np.ndarray:
    """`(n, 3)` random points of a box, none nearer than ``distance``; periodic along y.

    Random sequential addition (Widom, J. Chem. Phys. 44 (1966) 3888).
    """
    size = np.asarray(high, np.float64) - low
    period = [0.0, float(size[1]), 0.0]
    batches: list[np.ndarray] = []
    trees: list[cKDTree] = []  # of the first batch, which holds most points, and of all later ones
    while (missing := n - sum(map(len, batches))) > 0:
        fresh = rng.random((int(1.3 * missing) + 64, 3)) * size
        for tree in trees:
            gap, _ = tree.query(fresh, distance_upper_bound=distance)
            fresh = fresh[np.isinf(gap)]
        pairs = cKDTree(fresh, boxsize=period).query_pairs(distance, output_type="ndarray")
        batches.append(fresh[_kept_in_order(len(fresh), pairs)])
        recent = np.concatenate(batches[1:] or batches)
        trees = [*trees[:1], cKDTree(recent, boxsize=period)]
    return np.asarray(np.concatenate(batches)[:n] + low)


def _kept_in_order(n: int, pairs: np.ndarray) -> np.ndarray:
    """`(n,)` bool: points that stay when, one after the other, each yields to a kept one before it.

    ``pairs`` are points too near each other. In every round the points that no earlier one can still
    oust stay, and oust their neighbours: the answer of the sequential rule in a few vectorised rounds.
    """
    first, second = np.sort(pairs, axis=1).T
    dropped = np.zeros(n, bool)
    while first.size:
        waiting = np.zeros(n, bool)
        waiting[second] = True
        dropped[second[~waiting[first]]] = True
        open_ = ~(dropped[first] | dropped[second])
        first, second = first[open_], second[open_]
    return ~dropped


def carbon_film(
    config: CarbonConfig, top_angstrom: float, half_width: float, length: float, rng: np.random.Generator
) -> Atoms:
    """Make a film below z = top, `2 half_width` wide in x, periodic along y with ``length``.

    Raises
    ------
    ConfigError
        It would hold more atoms than this program wants to simulate.
    """
    low = np.array([-half_width, -length / 2, top_angstrom - config.thickness_angstrom])
    high = np.array([half_width, length / 2, top_angstrom])
    count = round(config.density_g_cm3 * CARBON_PER_DENSITY * float(np.prod(high - low)))
    if not 1 <= count <= MAX_ATOMS:
        raise ConfigError(f"carbon.thickness_angstrom: the film would hold {count} atoms")
    points = random_sequential(low, high, count, config.minimum_distance_angstrom, rng)
    return Atoms(np.full(count, "C"), points)


def away_from(film: Atoms, particle: Atoms, clearance_angstrom: float) -> Atoms:
    """Keep the film's atoms that are farther than the clearance from the particle's."""
    gap, _ = cKDTree(particle.positions).query(film.positions)
    return film.chosen(gap > clearance_angstrom)
