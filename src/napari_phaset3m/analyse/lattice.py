"""The lattice of a crystal from the peaks of its Fourier transform: cell and orientation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_phaset3m.analyse.cell import Cell
from napari_phaset3m.analyse.lattice_search import cubic_axes, orientation_search, primitive_bases
from napari_phaset3m.analyse.peaks import PEAK_RADIUS, PeakList

#: Strongest peaks that the search uses; the fit uses all.
_SEARCH_PEAKS = 60
_TURN_PEAKS = 30
#: Probability of indexing as many random points, above which no lattice is claimed.
CHANCE_LIMIT = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A cell and how it lies in the volume.

    Parameters
    ----------
    cell : Cell
        With the edges as fitted.
    orientation : ndarray
        `(3, 3)` rotation from the cell's Cartesian axes (a along x, b in the xy plane) to
        (x, y, z) of the volume. Any rotation that maps the lattice onto itself may be applied
        first: heights of peaks cannot tell them apart.
    given : bool
        The cell was given, and only its scale and orientation were fitted.
    indexed, peaks : int
        Peaks on the lattice, of all that were found.
    residual_per_angstrom : float
        Root mean square distance of the indexed peaks from the lattice.
    scale : float
        Fitted edges over given ones; 1 for a cell that was not given.
    scale_uncertainty, orientation_uncertainty_deg : float
        Standard errors from the residuals, relative and in degrees; the window's truncation
        and the missing wedge may bias them further.
    chance : float
        Probability that as many random points would have been indexed.
    """

    cell: Cell
    orientation: np.ndarray
    given: bool
    indexed: int
    peaks: int
    residual_per_angstrom: float
    scale: float
    scale_uncertainty: float
    orientation_uncertainty_deg: float
    chance: float

    def __post_init__(self) -> None:
        self.orientation.flags.writeable = False

    @property
    def a_angstrom(self) -> float:
        """First edge of the cell."""
        return self.cell.a

    @property
    def a_uncertainty_angstrom(self) -> float:
        """Standard error of the first edge."""
        return self.cell.a * self.scale_uncertainty

    def vectors(self, hkl: np.ndarray) -> np.ndarray:
        """`(n, 3)` (x, y, z) in 1/angstrom of reflections `(n, 3)`."""
        return np.asarray(np.asarray(hkl) @ self.cell.reciprocal @ self.orientation.T)

    def indices(self, q: np.ndarray) -> np.ndarray:
        """`(n, 3)` hkl, not rounded, of vectors `(n, 3)` in 1/angstrom."""
        return np.asarray(np.asarray(q) @ self.orientation @ self.cell.edges.T)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            **self.cell.as_dict(),
            "a_uncertainty_angstrom": self.a_uncertainty_angstrom,
            "orientation_crystal_to_xyz": self.orientation.tolist(),
            "orientation_uncertainty_deg": self.orientation_uncertainty_deg,
            "cell_given": self.given,
            "scale": self.scale,
            "indexed": self.indexed,
            "peaks": self.peaks,
            "residual_per_angstrom": self.residual_per_angstrom,
            "chance": self.chance,
        }

    def statement(self) -> str:
        """One sentence."""
        c = self.cell
        if c.is_cubic:
            edges = f"a = {c.a:.3f} ± {self.a_uncertainty_angstrom:.3f} Å, cubic {c.centring}"
        else:
            edges = (
                f"a, b, c = {c.a:.3f}, {c.b:.3f}, {c.c:.3f} Å, "
                f"α, β, γ = {c.alpha:.2f}, {c.beta:.2f}, {c.gamma:.2f}°, {c.centring}"
            )
        origin = "fitted to the peaks alone"
        if self.given:
            origin = f"the cell given; fitted scale {self.scale:.4f} and orientation"
        return f"Lattice: {edges} ({origin}); {self.indexed} of {self.peaks} peaks lie on it."


def fit_lattice(
    peaks: PeakList, width_angstrom: float, *, cell: Cell | None = None, max_cell_angstrom: float = 16.0
) -> Lattice | None:
    """Fit a lattice to peaks.

    Parameters
    ----------
    peaks : PeakList
    width_angstrom : float
        Of the window: a peak is on the lattice within ``PEAK_RADIUS`` / width.
    cell : Cell, optional
        Its metric is kept up to one scale factor (at most 6 %), and only the orientation is
        searched for. When omitted, basis vectors are found in the peaks; a metric that is
        cubic within 2.5 % and 2 degrees is fitted as cubic, another one freely, primitive.
    max_cell_angstrom : float
        Longest primitive edge looked for without a cell.

    Returns
    -------
    Lattice or None
        None when no lattice explains the peaks better than chance (``CHANCE_LIMIT``).
    """
    if len(peaks) < 4:
        return None
    q, weights = peaks.q_per_angstrom, np.minimum(peaks.snr, 30.0).astype(float)
    tolerance = PEAK_RADIUS / width_angstrom
    starts: list[tuple[Cell, np.ndarray]]
    if cell is None:
        head = slice(0, _SEARCH_PEAKS)
        bases = primitive_bases(q[head], weights[head], max_length=max_cell_angstrom)
        starts = [_conventional(basis) for basis in bases]
    else:
        found = orientation_search(q[:_TURN_PEAKS], weights[:_TURN_PEAKS], cell, tolerance=tolerance)
        starts = [] if found is None else [(cell, found)]
    lattices = []
    for start, rotation in starts:
        free = cell is None and not start.is_cubic
        fitted = _refined(q, weights, start, rotation, tolerance=tolerance, free=free)
        if fitted is not None and free:
            # a rough basis may hide that the metric is cubic; the fitted one does not
            start, rotation = _conventional(fitted.cell.edges @ fitted.orientation.T)
            if start.is_cubic:
                fitted = _refined(q, weights, start, rotation, tolerance=tolerance, free=False)
        if fitted is not None and fitted.chance <= CHANCE_LIMIT:
            lattices.append(fitted)
    if not lattices:
        return None
    # a cell too large indexes strays as well, but chance accounts for its dense points
    best = min(lattices, key=lambda f: (f.chance, not f.cell.is_cubic, f.cell.primitive_volume))
    return replace(best, given=cell is not None, scale=best.cell.a / cell.a if cell else 1.0)


def refit_lattice(peaks: PeakList, width_angstrom: float, lattice: Lattice) -> Lattice | None:
    """Fit a known lattice to other peaks of the same crystal; None when they do not lie on it."""
    weights = np.minimum(peaks.snr, 30.0).astype(float)
    fitted = _refined(
        peaks.q_per_angstrom,
        weights,
        lattice.cell,
        lattice.orientation,
        tolerance=PEAK_RADIUS / width_angstrom,
        free=not lattice.given and not lattice.cell.is_cubic,
    )
    if fitted is None or fitted.chance > CHANCE_LIMIT:
        return None
    grown = fitted.cell.a / lattice.cell.a
    return replace(fitted, given=lattice.given, scale=lattice.scale * grown if lattice.given else 1.0)


def _conventional(basis: np.ndarray) -> tuple[Cell, np.ndarray]:
    """Cubic cell where the metric allows, else the primitive one; with its orientation."""
    cubic = cubic_axes(basis)
    if cubic is not None:
        axes, centring = cubic
        u, _, vt = np.linalg.svd(axes.T)
        a = float(np.linalg.norm(axes, axis=1).mean())
        return Cell.cubic(a, centring), np.asarray(u @ vt)
    cell = _cell_of(basis)
    return cell, _rotation(cell.edges, basis, np.ones(3))


def _cell_of(basis: np.ndarray) -> Cell:
    a, b, c = np.linalg.norm(basis, axis=1)
    unit = basis / np.array([[a], [b], [c]])
    alpha, beta, gamma = np.degrees(np.arccos([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]))
    return Cell(float(a), float(b), float(c), float(alpha), float(beta), float(gamma))


def _rotation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rotation R that takes rows ``one`` closest to ``other`` (Kabsch, Acta Cryst. A32 (1976) 922)."""
    u, _, vt = np.linalg.svd(other.T @ (one * weights[:, None]))
    return np.asarray(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt)


def _refined(
    q: np.ndarray, weights: np.ndarray, cell: Cell, rotation: np.ndarray, *, tolerance: float, free: bool
) -> Lattice | None:
    """Alternate between indexing the peaks and fitting the lattice to those indexed."""
    # from the strong, short vectors outwards: a small error of the start grows with |q|
    length = np.linalg.norm(q, axis=1)
    for share in (0.6, 0.8, 1.0, 1.0, 1.0):
        hkl, miss = _indexed(q, cell, rotation)
        used = (miss < tolerance) & (length <= share * length.max() + 1e-9)
        if used.sum() < 4 or np.linalg.matrix_rank(hkl[used]) < 3:
            if share < 1:
                continue
            return None
        w, g = weights[used], hkl[used] @ cell.reciprocal
        if free:
            root = np.sqrt(w)[:, None]
            star = np.linalg.lstsq(hkl[used] * root, q[used] * root, rcond=None)[0]
            basis = np.linalg.inv(star).T
            cell = _cell_of(basis)
            rotation = _rotation(cell.edges, basis, np.ones(3))
            continue
        rotation = _rotation(g, q[used], w)
        grown = float((w[:, None] * q[used] * (g @ rotation.T)).sum() / (w[:, None] * g**2).sum())
        cell = cell.scaled(1 / grown)
    return _summary(q, weights, cell, rotation, tolerance)


def _indexed(q: np.ndarray, cell: Cell, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest allowed reflection of each peak, and the distance to it."""
    from scipy.spatial import cKDTree

    hkl = cell.lattice_points(float(np.linalg.norm(q, axis=1).max()) * 1.1)
    miss, nearest = cKDTree(hkl @ cell.reciprocal @ rotation.T).query(q)
    return hkl[nearest], miss


def _summary(
    q: np.ndarray, weights: np.ndarray, cell: Cell, rotation: np.ndarray, tolerance: float
) -> Lattice:
    from scipy.stats import binom

    _, miss = _indexed(q, cell, rotation)
    used = miss < tolerance
    n, total = int(used.sum()), len(q)
    w = weights[used] / weights[used].mean()
    lever = float((w * (q[used] ** 2).sum(axis=1)).sum())
    square = float((w * miss[used] ** 2).sum())
    error = float(np.sqrt(square / max(3 * n - 4, 1) / lever))
    # part of Fourier space within the tolerance of some lattice point
    covered = min(1.0, 4 / 3 * np.pi * tolerance**3 * cell.primitive_volume)
    # three peaks of any set can be indexed by choosing the basis
    chance = float(binom.sf(n - 4, max(total - 3, 1), covered)) if n > 3 else 1.0
    return Lattice(
        cell=cell,
        orientation=rotation,
        given=False,
        indexed=n,
        peaks=total,
        residual_per_angstrom=float(np.sqrt(square / w.sum())),
        scale=1.0,
        scale_uncertainty=error,
        orientation_uncertainty_deg=float(np.degrees(error * np.sqrt(1.5))),
        chance=chance,
    )
