"""What makes a vesicle an HIV-like virion: glycoprotein spikes, a conical capsid and what it holds.

Each is a set of small smoothed balls, so that slices and true volume stay closed forms. Shapes and counts
follow published tomography, coarsely: spikes by Zhu et al. (2006) Nature 441, 847 (a head on a stalk, about
14 on HIV-1, 73 on SIV); capsids by Mattei et al. (2016) Science 354, 1434 (cones of about 1000 x 500 Å with
CA hexamers some 100 Å apart).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.errors import ConfigError

#: Height of a spike's balls above the membrane, their radii (Å), and their potential above ice (V).
SPIKE = ((25.0, 18.0, 1.0), (65.0, 34.0, 0.8), (95.0, 42.0, 1.2))
#: How far a spike reaches from the membrane, Å.
SPIKE_REACH = 137.0
#: Radius of a capsid's subunit (a CA hexamer), distance between neighbours (Å), potential (V).
SUBUNIT = (42.0, 95.0, 1.5)
#: Of the ribonucleoprotein in the capsid: radius of a blob (Å), potential (V), what part of it is full.
CONTENT = (45.0, 0.7, 0.45)
#: Length, and radii of the wide and the narrow end, as parts of the radius that is free for the capsid.
CONE = (1.75, 0.52, 0.2)
_TRIES = 2_000


@dataclass(frozen=True, slots=True)
class Cone:
    """A cone with spherical ends about the z axis, its middle at the origin; lengths in angstrom."""

    length: float
    wide: float
    narrow: float

    @property
    def slope(self) -> float:
        """Sine of half the opening angle."""
        return (self.wide - self.narrow) / (self.length - self.wide - self.narrow)

    def outline(self, step: float) -> np.ndarray:
        """`(n, 2)` (distance from the axis, height) along the meridian, ``step`` apart, from the wide end."""
        turn = np.arcsin(self.slope)
        low, high = self.wide - self.length / 2, self.length / 2 - self.narrow
        wide, narrow = np.linspace(-np.pi / 2, turn, 60), np.linspace(turn, np.pi / 2, 60)
        r = np.concatenate([self.wide * np.cos(wide), self.narrow * np.cos(narrow)])
        z = np.concatenate([low + self.wide * np.sin(wide), high + self.narrow * np.sin(narrow)])
        along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(r), np.diff(z)))])
        at = np.linspace(0.0, along[-1], round(along[-1] / step) + 1)
        return np.stack([np.interp(at, along, r), np.interp(at, along, z)], axis=1)

    def radius(self, height: np.ndarray) -> np.ndarray:
        """Distance of the surface from the axis at a height; zero beyond the ends."""
        low, high, s = self.wide - self.length / 2, self.length / 2 - self.narrow, self.slope
        cos = np.sqrt(1 - s**2)
        first, last = low + self.wide * s, high + self.narrow * s
        flank = (self.wide - (height - first) * s) / cos - self.wide * (1 / cos - cos)
        wide = np.sqrt(np.maximum(self.wide**2 - (height - low) ** 2, 0.0))
        narrow = np.sqrt(np.maximum(self.narrow**2 - (height - high) ** 2, 0.0))
        return np.where(height < first, wide, np.where(height > last, narrow, flank))


def spike_directions(count: int, rng: np.random.Generator) -> np.ndarray:
    """`(count, 3)` unit vectors all over a sphere: a Fibonacci lattice, turned and jittered."""
    i = np.arange(count)
    z, turn = 1 - (2 * i + 1) / max(count, 1), np.pi * (3 - np.sqrt(5)) * i
    r = np.sqrt(1 - z**2)
    points = np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)
    points = points @ rotation(rng).T + 0.6 / np.sqrt(max(count, 1)) * rng.normal(size=points.shape)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def capsid_cone(free_radius: float) -> Cone:
    """The cone that fits into a sphere of this radius, angstrom.

    Raises
    ------
    ConfigError
        There is no room for a capsid.
    """
    length, wide, narrow = (part * free_radius for part in CONE)
    if narrow < SUBUNIT[0]:
        raise ConfigError(
            f"vesicles.capsid: a lumen of {2 * free_radius:.0f} Å has no room for a cone; enlarge "
            f"specimen.diameter_angstrom, or choose none"
        )
    return Cone(length, wide, narrow)


def cone_lattice(cone: Cone) -> np.ndarray:
    """`(n, 3)` places of the subunits, angstrom: in rings along the cone, turned in turn by half a step."""
    spacing, places = SUBUNIT[1], []
    for ring, (r, z) in enumerate(cone.outline(spacing * np.sqrt(3) / 2)):
        count = max(1, round(2 * np.pi * r / spacing))
        turn = 2 * np.pi * (np.arange(count) + 0.5 * (ring % 2)) / count
        places.append(np.stack([r * np.cos(turn), r * np.sin(turn), np.full(count, z)], axis=1))
    return np.concatenate(places)


def cone_content(cone: Cone, rng: np.random.Generator) -> np.ndarray:
    """`(n, 3)` places of blobs in the wide end, apart by their radius, angstrom."""
    size, _, share = CONTENT
    top, wall = -cone.length / 2 + share * cone.length, cone_lattice(cone)
    found: list[np.ndarray] = []
    for place in rng.uniform(-1, 1, (_TRIES, 3)) * (cone.wide, cone.wide, cone.length / 2):
        inside = np.hypot(place[0], place[1]) < cone.radius(place[2]) and place[2] < top
        inside = inside and np.linalg.norm(wall - place, axis=1).min() > SUBUNIT[0] + 0.7 * size
        if inside and all(np.linalg.norm(place - other) > 1.3 * size for other in found):
            found.append(place)
    return np.array(found).reshape(-1, 3)


def rotation(rng: np.random.Generator) -> np.ndarray:
    """`(3, 3)` rotation, uniform over all (from a unit quaternion)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
