"""Bragg peaks of a reconstruction: found, indexed, measured, and compared between half volumes.

The height of a peak proves periodicity, not structure: a reconstruction with the wrong
defocus sign keeps every height and has the phases wrong. So heights are reported as heights,
and a resolution is stated only where phases were compared and agree at the peaks alone
(:mod:`.bragg_claim`). Halves of whatever kind share optics and priors and test neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.analyse.bragg_table import HALVES, BraggReport, FalseAlarms
from napari_phaset3m.analyse.cell import Cell
from napari_phaset3m.analyse.falloff import find_lattice
from napari_phaset3m.analyse.lattice import Lattice
from napari_phaset3m.analyse.peak_measure import (
    PHASE_THRESHOLD,
    PeakPairs,
    off_lattice_points,
    peak_heights,
    peak_pairs,
    relative_shift,
    shifted,
)
from napari_phaset3m.analyse.peaks import WindowedTransform, find_peaks, windowed_transform
from napari_phaset3m.analyse.wedge import wedge_gap
from napari_phaset3m.analyse.window import ParticleWindow, particle_window
from napari_phaset3m.errors import ConfigError

__all__ = ["BraggReport", "bragg_report"]

#: Reflections weaker than this part of the strongest are left out where the structure is known.
WEAKEST = 0.01
#: Off-lattice points tried per family.
NULL_POINTS = 60

Family = Sequence[int] | np.ndarray


def bragg_report(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    *,
    cell: Cell | None = None,
    halves: tuple[np.ndarray, np.ndarray] | None = None,
    tilt_deg: Sequence[float] | np.ndarray | None = None,
    mask: np.ndarray | None = None,
    families: Sequence[Family] | None = None,
    max_frequency: float | None = None,
    halves_name: str = "",
    reference: bool = False,
    like: BraggReport | None = None,
) -> BraggReport:
    """Find, index and measure the Bragg peaks of a volume.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`, any unit.
    voxel_size_angstrom : float
    cell : Cell, optional
        Known metric (:class:`~napari_phaset3m.analyse.cell.Cell`, or from a CIF through
        :func:`~napari_phaset3m.analyse.cell.read_cell`): only scale and orientation are
        fitted. When omitted, cell and orientation come from the peaks alone.
    halves : tuple of two ndarray, optional
        Half volumes of the same shape, reconstructed independently: adds the agreement of
        phases at each peak, after their relative shift was removed. It tests noise, not the
        optics: halves of tilts, of foci and of the dose all agree with the wrong sign of the defocus.
    halves_name : str
        How the data were halved, in words.
    reference : bool
        ``halves`` are the volume and what it should be: phases are compared with a truth.
    tilt_deg : sequence of float, optional
        Tilts of the series: says which peaks lie in the missing wedge.
    mask : ndarray, optional
        `(nz, ny, nx)` in [0, 1]: the particle. When omitted it is found by its contrast; the
        report says how the window was chosen.
    families : sequence of (h, k, l), optional
        Families to measure. When omitted: all that the centring (and space group) allows, down
        to ``WEAKEST`` of the strongest where the cell has atoms.
    max_frequency : float, optional
        1/angstrom; 0.9 Nyquist when omitted.
    like : BraggReport, optional
        Of another volume on the same grid, in the same place: its window, lattice and reflections are
        measured, and nothing is fitted or chosen, so that both lists have the same rows.

    Returns
    -------
    BraggReport
        Without rows when no lattice was found; its statement says so.

    Raises
    ------
    ConfigError
        Shapes differ, a family is not allowed, or the particle is too small for its cell.
    DataError
        A volume is constant or not finite.
    """
    if halves is not None and any(np.shape(h) != volume.shape for h in halves):
        raise ConfigError(f"halves: have shapes {[np.shape(h) for h in halves]}, the volume {volume.shape}")
    if like is not None and any(given is not None for given in (cell, mask, families, max_frequency)):
        raise ConfigError("like: already says cell, mask, families and max_frequency. Leave them out")
    window = particle_window(volume, voxel_size_angstrom, mask) if like is None else like.window
    transform = windowed_transform(volume, window)
    peaks = find_peaks(transform)
    if like is None:
        lattice, falloff = find_lattice(volume, window, transform, peaks, cell=cell)
    else:
        lattice, falloff = like.lattice, like.falloff_angstrom2
    common: dict[str, Any] = {"window": window, "peaks": peaks, "voxel_size_angstrom": voxel_size_angstrom}
    if lattice is None:
        return BraggReport(**common, phases_checked=False, lattice=None)
    limit = 0.9 * transform.nyquist if max_frequency is None else max_frequency
    hkl = _chosen(lattice, limit, families) if like is None else like.hkl
    gap = None
    if tilt_deg is not None:
        q = lattice.vectors(hkl)
        gap = wedge_gap(q[:, 2], q[:, 0], tilt_deg)
    return BraggReport(
        **common,
        **_measured(lattice, hkl, window, transform, halves),
        lattice=lattice,
        hkl=hkl,
        family=lattice.cell.family(hkl),
        wedge_gap_per_angstrom=gap,
        phases_checked=halves is not None,
        falloff_angstrom2=falloff,
        families_given=families is not None or (like is not None and like.families_given),
        halves_name=halves_name or HALVES,
        reference=reference,
    )


def _measured(
    lattice: Lattice,
    hkl: np.ndarray,
    window: ParticleWindow,
    transform: WindowedTransform,
    halves: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, Any]:
    """What is read off the transform at the peaks, and off the lattice to know how often chance would."""
    q = lattice.vectors(hkl)
    points = lattice.vectors(lattice.cell.lattice_points(transform.nyquist * 2))
    null = off_lattice_points(transform, q, lattice.cell.family(hkl), points, NULL_POINTS)
    heights = peak_heights(transform, q, points)
    null_heights = peak_heights(transform, null, points, skip_crowded=True)
    null = null[tried := np.isfinite(null_heights.snr)]
    pairs, null_pairs, shift = _phases(halves, window, transform, q, null)
    alarms = FalseAlarms(
        points=len(null),
        found=int(null_heights.found[tried].sum()),
        phases_agree=None if null_pairs is None else int((null_pairs.agreement >= PHASE_THRESHOLD).sum()),
    )
    return {
        "q_per_angstrom": q,
        "snr": heights.snr,
        "background_above": heights.background_above,
        "phase_agreement": None if pairs is None else pairs.agreement,
        "phase_error_deg": None if pairs is None else pairs.phase_error_deg,
        "pair_power": None if pairs is None else pairs.power,
        "half_shift_angstrom": shift,
        "false_alarms": alarms,
    }


def _chosen(lattice: Lattice, limit: float, families: Sequence[Family] | None) -> np.ndarray:
    """Reflections to measure, one of each Friedel pair."""
    cell = lattice.cell
    hkl = cell.reflections(limit)
    if len(hkl) == 0:
        raise ConfigError(f"max_frequency: no reflection lies below {limit:.3g} per angstrom")
    names = cell.family(hkl)
    if families is not None:
        wanted = cell.family(np.array([list(f) for f in families], np.int64))
        for asked, name in zip(families, wanted, strict=True):
            if not (names == name).all(axis=1).any():
                raise ConfigError(
                    f"families: {tuple(int(i) for i in asked)} is not allowed by the lattice, "
                    f"or beyond {limit:.3g} per angstrom"
                )
        return np.asarray(hkl[(names[:, None] == wanted[None]).all(axis=2).any(axis=1)])
    if cell.sites:
        strength = cell.strength(hkl)
        # all of a family or none: the atoms may break the symmetry of the metric
        best = {tuple(f): strength[(names == f).all(axis=1)].max() for f in np.unique(names, axis=0)}
        hkl = hkl[[best[tuple(f)] >= WEAKEST * strength.max() for f in names]]
    return np.asarray(hkl)


def _phases(
    halves: tuple[np.ndarray, np.ndarray] | None,
    window: ParticleWindow,
    transform: WindowedTransform,
    q: np.ndarray,
    null: np.ndarray,
) -> tuple[PeakPairs | None, PeakPairs | None, tuple[float, float, float] | None]:
    if halves is None:
        return None, None, None
    one, other = (windowed_transform(np.asarray(h), window) for h in halves)
    shift = relative_shift(one, other, transform.nyquist)
    other = shifted(other, shift)
    x, y, z = (float(s) for s in shift)
    return peak_pairs(one, other, q), peak_pairs(one, other, null), (x, y, z)
