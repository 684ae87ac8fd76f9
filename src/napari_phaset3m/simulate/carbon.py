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
    points = np.empty((0, 3))
    period = [0.0, float(size[1]), 0.0]
    while len(points) < n:
        fresh = rng.random((int(1.3 * (n - len(points))) + 64, 3)) * size
        if len(points):
            gap, _ = cKDTree(points, boxsize=period).query(fresh, distance_upper_bound=distance)
            fresh = fresh[np.isinf(gap)]
        pairs = cKDTree(fresh, boxsize=period).query_pairs(distance, output_type="ndarray")
        pairs = np.sort(pairs, axis=1)
        dropped = np.zeros(len(fresh), bool)
        for first, second in pairs[np.argsort(pairs[:, 1], kind="stable")]:
            if not dropped[first]:  # the later point yields
                dropped[second] = True
        points = np.concatenate([points, fresh[~dropped]])
    return np.asarray(points[:n] + low)


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
