"""Atoms in a potential map: found, refined, sorted by intensity, and compared with a model.

Positions are (x, y, z) in angstrom from the rotation centre of the volume.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_phaset3m.analyse.atom_fit import fit_gaussians, parabola_tops
from napari_phaset3m.analyse.atom_match import rmsd_against
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError, DataError

__all__ = ["Atoms", "classify", "find_atoms", "rmsd_against"]

#: More local maxima than this are noise, and would take all memory.
_MAX_MAXIMA = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """Atoms found in a volume, most intense first.

    Parameters
    ----------
    positions_angstrom : ndarray
        `(n, 3)` x, y, z from the rotation centre.
    intensity : ndarray
        `(n,)` integral of the fitted Gaussian: the volume's unit times cubic angstrom.
    height : ndarray
        `(n,)` of the fitted Gaussian over its own background.
    sigma_angstrom : ndarray
        `(n,)` standard deviation of the Gaussian.
    refined : ndarray
        `(n,)` bool; False where the fit did not settle and the local maximum was kept.
    species : ndarray
        `(n,)` int64; 0 is the most intense class. All 0 before :func:`classify`.
    threshold : float
        Voxel value below which no maximum was taken, in the volume's unit.
    min_distance_angstrom : float
    """

    positions_angstrom: np.ndarray
    intensity: np.ndarray
    height: np.ndarray
    sigma_angstrom: np.ndarray
    refined: np.ndarray
    species: np.ndarray
    threshold: float
    min_distance_angstrom: float

    def __post_init__(self) -> None:
        for array in (self.positions_angstrom, self.intensity, self.height, self.sigma_angstrom):
            array.flags.writeable = False
        self.refined.flags.writeable = self.species.flags.writeable = False

    def __len__(self) -> int:
        return len(self.intensity)

    def chosen(self, keep: np.ndarray) -> Atoms:
        """Those that the `(n,)` bool or index array ``keep`` picks."""
        parts = ("positions_angstrom", "intensity", "height", "sigma_angstrom", "refined", "species")
        return replace(self, **{name: getattr(self, name)[keep].copy() for name in parts})

    def rows(self) -> list[dict[str, Any]]:
        """One row per atom."""
        return [
            {
                "x_angstrom": float(x),
                "y_angstrom": float(y),
                "z_angstrom": float(z),
                "intensity": float(self.intensity[i]),
                "height": float(self.height[i]),
                "sigma_angstrom": float(self.sigma_angstrom[i]),
                "species": int(self.species[i]),
                "refined": bool(self.refined[i]),
            }
            for i, (x, y, z) in enumerate(self.positions_angstrom)
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "atoms": self.rows(),
            "threshold": self.threshold,
            "min_distance_angstrom": self.min_distance_angstrom,
        }

    def statement(self) -> str:
        """One sentence with the threshold and distance that were used."""
        counts = ", ".join(f"{int(n)} of species {s}" for s, n in enumerate(np.bincount(self.species)))
        return (
            f"{len(self)} atoms ({counts or 'none'}): maxima of at least {self.threshold:.3g}, "
            f"{self.min_distance_angstrom:.2f} Å or more apart; "
            f"{int(self.refined.sum())} refined by a Gaussian fit."
        )


def find_atoms(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    *,
    threshold: float | None = None,
    min_distance_angstrom: float = 1.4,
    max_atoms: int | None = None,
    mask: np.ndarray | None = None,
    low_pass_angstrom: float | None = None,
) -> Atoms:
    """Local maxima, strongest first, each refined by a 3D Gaussian fit.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`; atoms are bright.
    voxel_size_angstrom : float
    threshold : float, optional
        Lowest voxel value of a maximum. When omitted, Otsu's threshold of the values of all
        maxima (inside the mask); :attr:`Atoms.threshold` says which it was.
    min_distance_angstrom : float
        Of two maxima closer than this the weaker is dropped.
    max_atoms : int, optional
        Keep the strongest so many.
    mask : ndarray, optional
        `(nz, ny, nx)`; only maxima where it is at least 0.5 count.
    low_pass_angstrom : float, optional
        Smooth first: the transform falls to half at this period (a Gaussian).

    Raises
    ------
    ConfigError
        A parameter makes no sense, or the threshold leaves more maxima than can be atoms.
    DataError
        The volume is not finite.
    """
    _check(volume, voxel_size_angstrom, min_distance_angstrom, mask)
    data = np.asarray(volume, REAL)
    if low_pass_angstrom is not None:
        data = _smoothed(data, voxel_size_angstrom, low_pass_angstrom)
    index, value = _local_maxima(data, mask)
    limit = _threshold_of(value) if threshold is None else float(threshold)
    index, value = index[value >= limit], value[value >= limit]
    if len(value) > _MAX_MAXIMA:
        raise ConfigError(f"threshold: {limit:.3g} leaves {len(value)} maxima; raise it or smooth the volume")
    # between its voxels a maximum is higher, by how much depends on where the grid cuts it
    order = np.argsort(-parabola_tops(data, index)[1], kind="stable")
    kept = _apart(index[order] * voxel_size_angstrom, min_distance_angstrom)
    index = index[order][kept][:max_atoms]
    fit = fit_gaussians(data, index, voxel_size_angstrom)
    centre = (np.array(volume.shape, float) - 1) / 2
    place = (fit.centre - centre)[:, ::-1] * voxel_size_angstrom
    intensity = fit.height * (2 * np.pi * fit.sigma_angstrom**2) ** 1.5
    order = np.argsort(-intensity, kind="stable")
    atoms = Atoms(
        place, intensity, fit.height, fit.sigma_angstrom, fit.settled,
        np.zeros(len(place), np.int64), limit, float(min_distance_angstrom),
    )  # fmt: skip
    return atoms.chosen(order)


def classify(atoms: Atoms, classes: int = 2) -> Atoms:
    """Sort atoms into species by intensity: k-means in one dimension (Lloyd, IEEE Trans. IT 28 (1982) 129).

    Parameters
    ----------
    atoms : Atoms
    classes : int
        Number of species; species 0 is the most intense.

    Raises
    ------
    ConfigError
        There are fewer atoms than classes.
    """
    if classes < 1 or classes > len(atoms):
        raise ConfigError(f"classes: {classes} species need at least as many atoms; there are {len(atoms)}")
    value = atoms.intensity.astype(float)
    # starting from quantiles the result is the same every time
    means = np.quantile(value, (np.arange(classes) + 0.5) / classes)[::-1].copy()
    species = np.zeros(len(value), np.int64)
    for _ in range(100):
        species = np.abs(value[:, None] - means).argmin(axis=1)
        moved = np.array(
            [value[species == s].mean() if (species == s).any() else means[s] for s in range(classes)]
        )
        if np.array_equal(moved, means):
            break
        means = moved
    rank = np.argsort(np.argsort(-means, kind="stable"), kind="stable")
    return replace(atoms, species=rank[species].astype(np.int64))


def _check(volume: np.ndarray, voxel: float, distance: float, mask: np.ndarray | None) -> None:
    if volume.ndim != 3:
        raise ConfigError(f"volume: needs shape (nz, ny, nx), not {volume.shape}")
    for name, value in (("voxel_size_angstrom", voxel), ("min_distance_angstrom", distance)):
        if not value > 0:
            raise ConfigError(f"{name}: must be positive, not {value}")
    if mask is not None and mask.shape != volume.shape:
        raise ConfigError(f"mask: has shape {mask.shape}, but the volume {volume.shape}")
    if not np.isfinite(volume).all():
        raise DataError("holds NaN or infinite voxels", field="volume")


def _smoothed(data: np.ndarray, voxel: float, period: float) -> np.ndarray:
    from scipy import ndimage

    if not period > 0:
        raise ConfigError(f"low_pass_angstrom: must be positive, not {period}")
    # exp(-2 pi^2 sigma^2 / period^2) = 1/2
    sigma = period * np.sqrt(np.log(2) / 2) / np.pi
    return np.asarray(ndimage.gaussian_filter(data, sigma / voxel), REAL)


def _local_maxima(data: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Voxels above all 26 neighbours, off the faces of the box: `(n, 3)` z, y, x and values."""
    from scipy import ndimage

    top = data == ndimage.maximum_filter(data, 3, mode="nearest")
    top &= data > ndimage.minimum_filter(data, 3, mode="nearest")  # a flat region is no maximum
    for axis in range(3):
        top[(slice(None),) * axis + (slice(None, 1),)] = False
        top[(slice(None),) * axis + (slice(-1, None),)] = False
    if mask is not None:
        top &= np.asarray(mask) >= 0.5
    index = np.argwhere(top)
    return index, data[tuple(index.T)]


def _threshold_of(value: np.ndarray) -> float:
    from skimage.filters import threshold_otsu

    if len(value) < 2 or float(np.ptp(value)) == 0:
        return float(value.min()) if len(value) else 0.0
    bins = 256
    # the threshold is the centre of the last bin that is out; what else lies in that bin is out too
    cut = float(threshold_otsu(value, nbins=bins)) + float(np.ptp(value)) / (2 * bins)
    if not (value > cut).any():
        return cut
    # few atoms in much noise: any cut in the gap between them is as good to Otsu; take its middle
    return float(value[value <= cut].max() + value[value > cut].min()) / 2


def _apart(place: np.ndarray, distance: float) -> np.ndarray:
    """Indices to keep, in the order given, so that no two are closer than ``distance``."""
    from scipy.spatial import cKDTree

    if len(place) == 0:
        return np.empty(0, np.intp)
    dropped = np.zeros(len(place), bool)
    near = cKDTree(place).query_ball_point(place, distance * (1 - 1e-9))
    for i, others in enumerate(near):
        if not dropped[i]:
            later = [j for j in others if j > i]
            dropped[later] = True
    return np.flatnonzero(~dropped)
