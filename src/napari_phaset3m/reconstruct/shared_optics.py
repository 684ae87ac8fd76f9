"""Optics that all images share, as unknowns: their factors, values, and how far one sweep may move them.

A coefficient with an azimuth is two unknowns, ``C cos(m phi)`` and ``C sin(m phi)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_phaset3m.core.aberrations import KRIVANEK
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.transfer import (
    aberration_factors,
    defocus_factor,
    focal_spread_factor,
    shift_factors,
)

#: Largest change of a shared coefficient in one sweep, as phase at half Nyquist (radians).
MAX_PHASE = 0.5


def all_factors(grid: Grid, microscope: Microscope, optics: Sequence[str]) -> np.ndarray:
    """`(3 + n, nx, ny)` factors of shift y, shift x, defocus and the shared unknowns."""
    return np.concatenate(
        [
            shift_factors(grid),
            defocus_factor(grid, microscope.wavelength_angstrom),
            *(shared_factors(grid, microscope, name) for name in optics),
        ]
    )


def shared_factors(grid: Grid, microscope: Microscope, name: str) -> np.ndarray:
    """`(1 or 2, nx, ny)`: how the logarithm of the transfer changes with a shared unknown."""
    if name == "focal_spread":
        return focal_spread_factor(grid, microscope)
    return aberration_factors(grid, microscope.wavelength_angstrom, name)


def count(name: str) -> int:
    """How many numbers a shared unknown is: two with an azimuth (cosine and sine part)."""
    return 2 if name in KRIVANEK and KRIVANEK[name][1] else 1


def parts(microscope: Microscope, name: str) -> np.ndarray:
    """`(1 or 2,)` value of a shared unknown, angstrom (cosine and sine part with an azimuth)."""
    if name == "focal_spread":
        return np.array([microscope.focal_spread_angstrom])
    if name == "C30":
        return np.array([microscope.spherical_aberration_angstrom])
    value, m = microscope.aberrations.get(name, 0.0), KRIVANEK[name][1]
    if not m:
        return np.array([value])
    phase = m * microscope.aberrations.get("phi" + name[1:], 0.0)
    return np.array([value * np.cos(phase), value * np.sin(phase)])


def distance(microscope: Microscope, stated: Microscope, names: Sequence[str]) -> np.ndarray:
    """How far shared unknowns are from where they began, angstrom."""
    return np.concatenate([parts(microscope, name) - parts(stated, name) for name in names])


def largest_change(grid: Grid, microscope: Microscope, name: str) -> float:
    """Trust region of a shared unknown, angstrom: :data:`MAX_PHASE` at half Nyquist."""
    angle = microscope.wavelength_angstrom * grid.nyquist / 2
    if name == "focal_spread":
        return 0.2 * max(microscope.focal_spread_angstrom, 5.0)
    n = KRIVANEK[name][0]
    return MAX_PHASE * microscope.wavelength_angstrom * (n + 1) / (2 * np.pi * angle ** (n + 1))


def changed(microscope: Microscope, name: str, change: np.ndarray) -> Microscope:
    """The microscope with one shared unknown changed (angstrom; cosine and sine part with an azimuth)."""
    if name == "focal_spread":
        return replace(
            microscope, focal_spread_angstrom=max(0.0, microscope.focal_spread_angstrom + change[0])
        )
    if name == "C30":
        cs = microscope.spherical_aberration_angstrom + float(change[0])
        return replace(microscope, spherical_aberration_angstrom=cs)
    new, m = parts(microscope, name) + change, KRIVANEK[name][1]
    known = dict(microscope.aberrations)
    if not m:
        known[name] = float(new[0])
    else:
        known[name], known["phi" + name[1:]] = float(np.hypot(*new)), float(np.arctan2(new[1], new[0]) / m)
    return replace(microscope, aberrations=known)


def mean_of(microscopes: Sequence[Microscope]) -> Microscope:
    """The first microscope with the means of all shared unknowns (cosine and sine parts apart)."""
    found = microscopes[0]
    known = {name for one in microscopes for name in one.aberrations if not name.startswith("phi")}
    for name in ("C30", "focal_spread", *sorted(known)):
        mean = np.mean([parts(one, name) for one in microscopes], axis=0)
        found = changed(found, name, mean - parts(found, name))
    return found
