"""From a configuration to atoms."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.simulate.carbon import away_from, carbon_film
from napari_phaset3m.simulate.config import CarbonConfig, SimulationConfig, SpecimenConfig
from napari_phaset3m.simulate.specimens import (
    CO3O4_LATTICE,
    GOLD_LATTICE,
    Atoms,
    Crystal,
    co3o4_crystal,
    cut_particle,
    gold_crystal,
    read_cif,
    read_xyz,
)
from napari_phaset3m.simulate.vesicles import Spheres, build_vesicles


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Make a generator of its own for each purpose, so that changing one leaves the others."""
    return np.random.default_rng([seed, *purpose.encode()])


def particle_rotation(config: SpecimenConfig, seed: int) -> np.ndarray:
    """`(3, 3)` rotation from crystal axes to (x, y, z)."""
    if config.orientation_deg is not None:
        return np.asarray(Rotation.from_euler("ZXZ", config.orientation_deg, degrees=True).as_matrix())
    rng = stream(seed, "orientation")
    quaternion = rng.normal(size=4)  # an isotropic direction in 4D is a uniform rotation
    return np.asarray(Rotation.from_quat(quaternion).as_matrix())


def _crystal(config: SpecimenConfig) -> Crystal:
    if config.kind == "co3o4":
        return co3o4_crystal(config.lattice_angstrom or CO3O4_LATTICE, config.oxygen_parameter)
    if config.kind == "gold":
        return gold_crystal(config.lattice_angstrom or GOLD_LATTICE)
    return read_cif(str(config.path))


def build_particle(config: SpecimenConfig, seed: int) -> Atoms:
    """Make the particle, centred on the rotation centre.

    Raises
    ------
    ConfigError, DataError
        It holds no atom, or its file cannot be read.
    """
    rotation = particle_rotation(config, seed)
    if config.kind == "xyz":
        atoms = read_xyz(str(config.path))
        middle = (atoms.positions.min(axis=0) + atoms.positions.max(axis=0)) / 2
        turn = rotation if config.orientation_deg is not None else np.eye(3)  # as in the file
        return Atoms(atoms.symbols, (atoms.positions - middle) @ turn.T)
    origin = config.origin_fraction or stream(seed, "origin").random(3)
    return cut_particle(
        _crystal(config), config.diameter_angstrom, rotation, np.asarray(origin), config.shape
    )


def build_matter(config: SimulationConfig, box_angstrom: float) -> Atoms | Spheres:
    """The specimen, of atoms or of vesicles; see :func:`build_specimen` and :func:`build_vesicles`."""
    if config.specimen.kind == "vesicles":
        return build_vesicles(config, stream(config.seed, "vesicles"))
    return build_specimen(config, box_angstrom)


def build_specimen(config: SimulationConfig, box_angstrom: float) -> Atoms:
    """Particle and film; ``box_angstrom`` is the edge of the simulated box.

    The whole, film included, is centred in z on the rotation centre before
    ``specimen.centre_angstrom`` is added.

    Raises
    ------
    ConfigError, DataError
        The particle does not fit the field of view, or see :func:`build_particle`.
    """
    particle = build_particle(config.specimen, config.seed)
    offset = np.asarray(config.specimen.centre_angstrom)
    field = config.acquisition.image_size_px * config.acquisition.pixel_size_angstrom
    reach = particle.positions + offset
    across = max(np.hypot(reach[:, 0], reach[:, 2]).max(), np.abs(reach[:, 1]).max())
    if across > field / 2:
        raise ConfigError(
            f"specimen: reaches {across:.1f} Å from the rotation centre, but the field of view ends at "
            f"{field / 2:.1f} Å; enlarge acquisition.image_size_px or shrink specimen.diameter_angstrom"
        )
    if config.carbon.thickness_angstrom == 0:
        return particle.moved(offset)
    return _on_film(config, particle, box_angstrom, field).moved(offset)


def _on_film(config: SimulationConfig, particle: Atoms, box: float, field: float) -> Atoms:
    carbon = config.carbon
    bottom, top = particle.positions[:, 2].min(), particle.positions[:, 2].max()
    surface = bottom + carbon.embedding * (top - bottom)
    radius = _film_radius(carbon, field)
    rng = stream(config.seed, "carbon")
    if radius is not None:
        half_width = radius
    else:  # wide enough to cross the whole box at the highest tilt
        acquisition = config.acquisition
        steep = max(abs(acquisition.tilt_min_deg), abs(acquisition.tilt_max_deg))
        angle = np.deg2rad(min(steep + abs(config.errors.tilt_offset_deg), 85.0))
        half_width = (box / 2 + carbon.thickness_angstrom * np.sin(angle)) / np.cos(angle)
    film = carbon_film(carbon, surface, half_width, box, rng)
    film = away_from(film, particle, carbon.clearance_angstrom)
    middle = (max(top, surface) + min(bottom, surface - carbon.thickness_angstrom)) / 2
    lift = np.array([0.0, 0.0, -middle])
    film = film.moved(lift)
    if radius is not None:
        film = film.chosen(np.hypot(film.positions[:, 0], film.positions[:, 2]) < radius)
    return particle.moved(lift).joined(film)


def _film_radius(carbon: CarbonConfig, field: float) -> float | None:
    if carbon.radius_angstrom == "endless":
        return None
    return field / 2 - 1.0 if carbon.radius_angstrom == "auto" else carbon.radius_angstrom
