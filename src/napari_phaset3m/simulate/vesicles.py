"""HIV-like particles in ice: spheres of a membrane, a shell inside it and a lumen, and what a virion adds.

Potentials are told above that of the ice, whose own constant is left out: a slab of constant potential
adds the same phase everywhere. A ball smoothed by a Gaussian has a closed form in both spaces, so that
slices, computed in real space, and the true volume, a Fourier sum, are independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy import fft, special

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.simulate import virion
from napari_phaset3m.simulate.config import SimulationConfig, VesicleConfig

#: Slices are computed with edges at least this many samples soft, which is undone in Fourier space.
_SOFT_SAMPLES = 0.7
_TRIES = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Spheres:
    """Concentric balls about some centres.

    Attributes
    ----------
    centres : ndarray
        `(n, 3)` x, y, z in angstrom from the rotation centre, untilted.
    radii : ndarray
        `(n, n_ball)` angstrom, largest first.
    volts : ndarray
        `(n_ball,)` by how much the potential rises where a ball is entered from outside.
    edge_angstrom : float
        Standard deviation of the Gaussian that smooths every edge.
    details : tuple of Spheres
        Further balls, of other sizes: spikes, subunits of a capsid.
    """

    centres: np.ndarray
    radii: np.ndarray
    volts: np.ndarray
    edge_angstrom: float
    details: tuple[Spheres, ...] = ()

    @property
    def groups(self) -> tuple[Spheres, ...]:
        """These and all details."""
        return (self, *self.details)

    def tilted(self, tilt_deg: float) -> np.ndarray:
        """`(n, 3)` lab centres: x' = x cos - z sin, z' = x sin + z cos, y' = y."""
        angle = np.deg2rad(tilt_deg)
        (x, y, z), cos, sin = self.centres.T, np.cos(angle), np.sin(angle)
        return np.stack([x * cos - z * sin, y, x * sin + z * cos], axis=1)

    def as_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        told: dict[str, Any] = {
            "centres_xyz_angstrom": self.centres.tolist(), "radii_angstrom": self.radii.tolist(),
            "step_volts": self.volts.tolist(), "edge_angstrom": self.edge_angstrom,
        }  # fmt: skip
        return told | ({"details": [one.as_dict() for one in self.details]} if self.details else {})


def build_vesicles(config: SimulationConfig, rng: np.random.Generator) -> Spheres:
    """Place the particles at random, apart from each other, in view at every tilt and within the ice.

    Raises
    ------
    ConfigError
        The layers do not fit into the diameter, or the particles do not fit into the field or the ice.
    """
    vesicles, field = (
        config.vesicles,
        config.acquisition.image_size_px * config.acquisition.pixel_size_angstrom,
    )
    spread = vesicles.diameter_sigma_angstrom * rng.normal(size=vesicles.n_vesicle)
    outer = np.sort((config.specimen.diameter_angstrom + spread) / 2)[::-1]  # large ones are placed first
    depth = np.cumsum([0.0, vesicles.membrane_thickness_angstrom, vesicles.inner_gap_angstrom,
                       vesicles.inner_thickness_angstrom])  # fmt: skip
    if outer.min() <= depth[-1]:
        raise ConfigError(
            f"specimen.diameter_angstrom: {2 * outer.min():.0f} Å leaves no room for layers of "
            f"{depth[-1]:.0f} Å; HIV-like particles are about 1200 Å wide"
        )
    lumen = vesicles.lumen_contrast_volts
    levels = np.array([0.0, vesicles.membrane_contrast_volts, lumen, vesicles.inner_contrast_volts, lumen])
    centres = _places(vesicles, outer, field, rng) + np.asarray(config.specimen.centre_angstrom)
    reach = outer + (virion.SPIKE_REACH if vesicles.n_spike else 0.0)
    across = np.maximum(np.hypot(centres[:, 0], centres[:, 2]), np.abs(centres[:, 1])) + reach
    if across.max() > field / 2:
        raise ConfigError(
            f"specimen: reaches {across.max():.0f} Å from the rotation centre, but the field of view ends at "
            f"{field / 2:.0f} Å; enlarge acquisition.image_size_px or pixel_size_angstrom"
        )
    details = (*_spikes(vesicles, centres, outer, rng), *_capsids(vesicles, centres, outer - depth[-1], rng))
    return Spheres(centres, outer[:, None] - depth, np.diff(levels), vesicles.edge_softness_angstrom, details)


def _balls(vesicles: VesicleConfig, places: np.ndarray, radius: float, volts: float) -> Spheres:
    radii = np.full((len(places), 1), radius)
    return Spheres(places, radii, np.array([volts]), vesicles.edge_softness_angstrom)


def _spikes(
    vesicles: VesicleConfig, centres: np.ndarray, outer: np.ndarray, rng: np.random.Generator
) -> list[Spheres]:
    if not vesicles.n_spike:
        return []
    ways = [virion.spike_directions(vesicles.n_spike, rng) for _ in centres]
    around = list(zip(centres, outer, ways, strict=True))
    return [
        _balls(
            vesicles, np.concatenate([c + (r + height) * way for c, r, way in around]), radius, volts
        )
        for height, radius, volts in virion.SPIKE
    ]  # fmt: skip


def _capsids(
    vesicles: VesicleConfig, centres: np.ndarray, inner: np.ndarray, rng: np.random.Generator
) -> list[Spheres]:
    if vesicles.capsid == "none":
        return []
    subunits, content = [], []
    for centre, radius in zip(centres, inner, strict=True):
        cone, turn = virion.capsid_cone(radius - virion.SUBUNIT[0]), virion.rotation(rng).T
        subunits.append(centre + virion.cone_lattice(cone) @ turn)
        content.append(centre + virion.cone_content(cone, rng) @ turn)
    above = vesicles.lumen_contrast_volts  # potentials are told above ice, balls add to the lumen
    return [
        _balls(vesicles, np.concatenate(subunits), virion.SUBUNIT[0], virion.SUBUNIT[2] - above),
        _balls(vesicles, np.concatenate(content), virion.CONTENT[0], virion.CONTENT[1] - above),
    ]


def _places(vesicles: VesicleConfig, radii: np.ndarray, field: float, rng: np.random.Generator) -> np.ndarray:
    """`(n, 3)` centres; a single particle lies at the rotation centre."""
    if len(radii) == 1:
        return np.zeros((1, 3))
    ice = field if vesicles.ice_thickness_angstrom == "auto" else vesicles.ice_thickness_angstrom
    found: list[np.ndarray] = []
    for radius in radii:
        half = np.array([field, field, min(ice, field)]) / 2 - radius
        for _ in range(_TRIES if half.min() >= 0 else 0):
            place = rng.uniform(-half, half)
            gaps = [
                np.linalg.norm(place - other) - radius - r for other, r in zip(found, radii, strict=False)
            ]
            if np.hypot(place[0], place[2]) + radius <= field / 2 and min(gaps, default=1.0) > 0:
                found.append(place)
                break
        else:
            raise ConfigError(
                f"vesicles.n_vesicle: only {len(found)} of {len(radii)} fit into the field of {field:.0f} Å "
                f"and the ice of {min(ice, field):.0f} Å; enlarge them or ask for fewer"
            )
    return np.array(found)


def profile(spheres: Spheres, which: int, distance: np.ndarray, edge_angstrom: float) -> np.ndarray:
    """Potential, volts, at ``distance`` (angstrom) from the centre of one particle: smoothed balls."""
    r, s = np.maximum(distance, 1e-3 * edge_angstrom), edge_angstrom
    total = np.zeros_like(r)
    for radius, volts in zip(spheres.radii[which], spheres.volts, strict=True):
        inside = 0.5 * (
            special.erf((radius + r) / (np.sqrt(2) * s)) + special.erf((radius - r) / (np.sqrt(2) * s))
        )
        rim = np.exp(-((radius - r) ** 2) / (2 * s**2)) - np.exp(-((radius + r) ** 2) / (2 * s**2))
        total += volts * (inside - s / (np.sqrt(2 * np.pi) * r) * rim)
    return np.asarray(total)


def ball_transform(radius: float, k: np.ndarray) -> np.ndarray:
    """Fourier transform of a ball of height 1: ``(sin q - q cos q) / (2 pi^2 k^3)``, q = 2 pi k R."""
    q = 2 * np.pi * radius * np.maximum(k, 1e-4 / radius)
    # 3 j1(q) / q tends to 1 at q = 0; the written form cancels there
    return np.asarray(4 / 3 * np.pi * radius**3 * 3 * special.spherical_jn(1, q) / q)


def sphere_potential(spheres: Spheres, shape: tuple[int, int, int], voxel_size_angstrom: float) -> np.ndarray:
    """`(nz, ny, nx)` float32 volts, band-limited; the rotation centre is voxel ``(n - 1) / 2``."""
    kz, ky = (np.fft.fftfreq(n, voxel_size_angstrom) for n in shape[:2])
    kx = np.fft.rfftfreq(shape[2], voxel_size_angstrom)
    spectrum = np.zeros((len(kz), len(ky), len(kx)), COMPLEX)
    first = (np.array(shape) - 1) / 2 * voxel_size_angstrom
    plane = ky[:, None] ** 2 + kx**2
    for group in spheres.groups:
        for radii in np.unique(group.radii, axis=0):
            places = group.centres[(group.radii == radii).all(axis=1), ::-1] + first
            z, y, x = (
                np.exp(-2j * np.pi * np.outer(c, k)) for k, c in zip((kz, ky, kx), places.T, strict=True)
            )
            for i, k in enumerate(kz):
                radius = np.sqrt(k**2 + plane)
                balls = sum(v * ball_transform(r, radius) for r, v in zip(radii, group.volts, strict=True))
                smooth = np.exp(-2 * np.pi**2 * group.edge_angstrom**2 * radius**2)
                spectrum[i] += ((y * z[:, i, None]).T @ x) * balls * smooth
    volume = fft.irfftn(spectrum, s=shape, workers=-1)
    return np.ascontiguousarray(volume, REAL) / REAL(voxel_size_angstrom**3)


@njit(nogil=True, cache=True)
def _add(out, centre, height, table, step, weight):  # type: ignore[no-untyped-def]
    """Add ``weight * table(r)`` on a plane ``height`` samples from a centre (x, y in samples)."""
    reach2 = (step * (table.size - 2)) ** 2 - height * height
    if reach2 <= 0:
        return
    reach = np.sqrt(reach2)
    for i in range(max(0, int(np.ceil(centre[0] - reach))), min(out.shape[0], int(centre[0] + reach) + 1)):
        across = (i - centre[0]) ** 2 + height * height
        for j in range(
            max(0, int(np.ceil(centre[1] - reach))), min(out.shape[1], int(centre[1] + reach) + 1)
        ):
            r = np.sqrt(across + (j - centre[1]) ** 2) / step
            k = int(r)
            if k < table.size - 1:
                out[i, j] += weight * (table[k] + (r - k) * (table[k + 1] - table[k]))


class SphereSlices:
    """Projected potentials of slices through spheres, tilt by tilt.

    Parameters
    ----------
    grid : Grid
        Lateral sampling.
    centre_angstrom : float
        Rotation centre from sample 0.
    thickness_angstrom : float
        Of a slice.
    band_limit : float
        Radius kept, fraction of Nyquist.
    """

    def __init__(
        self, grid: Grid, centre_angstrom: float, thickness_angstrom: float, band_limit: float
    ) -> None:
        self._grid, self._centre, self._dz = grid, centre_angstrom, thickness_angstrom
        k2 = grid.kx[:, None] ** 2 + np.abs(grid.ky[: grid.ny // 2 + 1]) ** 2
        self._soft = _SOFT_SAMPLES * grid.pixel_size_angstrom
        sharpen = np.exp(2 * np.pi**2 * self._soft**2 * np.minimum(k2, (band_limit * grid.nyquist) ** 2))
        self._filter = np.asarray(sharpen * (k2 <= (band_limit * grid.nyquist) ** 2), REAL)

    def stack(self, spheres: Spheres, tilt_deg: float) -> tuple[float, Iterator[np.ndarray | None]]:
        """Height of the last slice's plane above the rotation centre; `(nx, ny)` V angstrom of each slice."""
        xyz = np.concatenate([group.tilted(tilt_deg) for group in spheres.groups])
        reach = np.concatenate([group.radii[:, 0] + 4 * group.edge_angstrom for group in spheres.groups])
        low, high = float((xyz[:, 2] - reach).min()), float((xyz[:, 2] + reach).max())
        count = int(np.ceil((high - low) / self._dz))
        bottom = (low + high - count * self._dz) / 2
        return bottom + (count - 0.5) * self._dz, self._slices(spheres, xyz, bottom, count)

    def _tables(self, spheres: Spheres) -> Iterator[np.ndarray]:
        """The profile of each ball, sampled; equal ones are one array."""
        for group in spheres.groups:
            edge = float(np.hypot(group.edge_angstrom, self._soft))
            known: dict[bytes, np.ndarray] = {}
            for i, radii in enumerate(group.radii):
                if radii.tobytes() not in known:
                    at = np.arange(0, radii[0] + 6 * edge, edge / 8)
                    known[radii.tobytes()] = np.asarray(profile(group, i, at, edge), REAL)
                yield known[radii.tobytes()]

    def _slices(
        self, spheres: Spheres, xyz: np.ndarray, bottom: float, count: int
    ) -> Iterator[np.ndarray | None]:
        pixel = self._grid.pixel_size_angstrom
        step = float(np.hypot(spheres.edge_angstrom, self._soft)) / 8
        tables = list(self._tables(spheres))
        at = (xyz[:, :2] + self._centre) / pixel
        nodes = 0.5 / np.sqrt(3)  # two-point Gauss through the slice
        for i in range(count):
            plane = np.zeros(self._grid.shape, REAL)
            for offset in (-nodes, nodes):
                z = bottom + (i + 0.5 + offset) * self._dz
                for centre, height, table in zip(at, (xyz[:, 2] - z) / pixel, tables, strict=True):
                    _add(plane, centre, height, table, step / pixel, REAL(self._dz / 2))
            if not plane.any():
                yield None
                continue
            spectrum = fft.rfft2(plane, workers=1) * self._filter
            yield np.asarray(fft.irfft2(spectrum, s=self._grid.shape, workers=1), REAL)
