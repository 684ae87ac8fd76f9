"""Fourier shell correlation: unmasked, masked and corrected, in cones, inside and outside the wedge.

Harauz and van Heel, Optik 73 (1986) 146. Volumes are `(nz, ny, nx)`, of any shape and voxel;
shells are one step of the longest edge wide, from the first beside zero up to Nyquist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.conical import ConicalFsc, conical_fsc
from napari_phaset3m.analyse.fsc_curve import ALL_DIRECTIONS, NO_MASK, TWO_VOLUMES, FscCurve, noise_bound
from napari_phaset3m.analyse.fsc_masked import RANDOMISE_BELOW, Prepared, corrected, mask_share, prepare
from napari_phaset3m.analyse.resolution import CRITERIA, Criterion, Resolution, half_bit_threshold
from napari_phaset3m.analyse.shells import (
    ShellGrid,
    Voxel,
    checked_mask,
    checked_volume,
    correlation,
    voxel_edges,
)
from napari_phaset3m.analyse.wedge import measured_region
from napari_phaset3m.errors import ConfigError, DataError

__all__ = [
    "CRITERIA",
    "ConicalFsc",
    "Criterion",
    "FscCurve",
    "Resolution",
    "WedgeFsc",
    "conical_fsc",
    "fsc",
    "half_bit_threshold",
    "masked_fsc",
    "noise_bound",
    "wedge_fsc",
]


def fsc(
    a: np.ndarray,
    b: np.ndarray,
    voxel_size_angstrom: Voxel,
    *,
    mask: np.ndarray | None = None,
    mask_name: str = "",
    halves: str = TWO_VOLUMES,
    region: np.ndarray | None = None,
    region_name: str = "",
    notes: tuple[str, ...] = (),
) -> FscCurve:
    """Correlate two volumes shell by shell.

    ``FSC = Re sum(A conj(B)) / sqrt(sum |A|^2 sum |B|^2)``, float64 sums.

    Parameters
    ----------
    a, b : ndarray
        `(nz, ny, nx)` real volumes of one shape.
    voxel_size_angstrom : float or tuple of float
        One edge, or (z, y, x).
    mask : ndarray, optional
        `(nz, ny, nx)` in [0, 1], best with a soft edge. The volumes' means in the mask are taken
        off before it is applied. A mask that both share correlates by itself: use
        :func:`masked_fsc` for a resolution.
    mask_name, halves, region_name : str
        In words, for the resolution's sentence.
    region : ndarray, optional
        `(nz, ny, nx)` bool, fftshifted, the same at k and -k: Fourier voxels that count.
    notes : tuple of str
        What qualifies the halves; stays with the curve.

    Returns
    -------
    FscCurve

    Raises
    ------
    DataError
        Shapes differ, values are not finite, or the mask is empty or outside [0, 1].
    ConfigError
        The voxel size is not positive.
    """
    a, b, mask = _checked(a, b, mask)
    grid = ShellGrid(a.shape, voxel_size_angstrom)
    prepared = prepare(a, b, grid, mask, False, 0)
    inside = grid if region is None else ShellGrid(a.shape, voxel_size_angstrom, region)
    return _curve(prepared, inside, _names(mask, mask_name, halves, region, region_name), notes)


def masked_fsc(
    a: np.ndarray,
    b: np.ndarray,
    voxel_size_angstrom: Voxel,
    mask: np.ndarray,
    *,
    mask_name: str = "",
    halves: str = TWO_VOLUMES,
    seed: int = 0,
    region: np.ndarray | None = None,
    region_name: str = "",
    notes: tuple[str, ...] = (),
) -> FscCurve:
    """Correlate two masked volumes, with what the mask itself correlates taken out.

    Phases are randomised from the first shell on whose unmasked FSC (in the region) is under 0.8,
    the same mask is applied, and what still correlates there is the mask's: see :mod:`.fsc_masked`
    (Chen et al., Ultramicroscopy 135 (2013) 24).

    Parameters
    ----------
    a, b, voxel_size_angstrom, mask, mask_name, halves, region, region_name, notes
        As :func:`fsc`.
    seed : int
        Of the random phases.

    Returns
    -------
    FscCurve
        With ``corrected``, ``unmasked`` and ``randomised``. When the unmasked FSC never falls
        under 0.8 there is nothing to randomise: ``corrected`` is the masked FSC, and a note says so.

    Raises
    ------
    DataError, ConfigError
        As :func:`fsc`.
    """
    a, b, checked = _checked(a, b, mask)
    grid = ShellGrid(a.shape, voxel_size_angstrom)
    prepared = prepare(a, b, grid, checked, True, seed)
    inside = grid if region is None else ShellGrid(a.shape, voxel_size_angstrom, region)
    return _curve(prepared, inside, _names(checked, mask_name, halves, region, region_name), notes)


@dataclass(frozen=True, slots=True, eq=False)
class WedgeFsc:
    """FSC of the Fourier voxels that the tilts measured, and of those in the missing wedge.

    Attributes
    ----------
    measured, wedge : FscCurve
    """

    measured: FscCurve
    wedge: FscCurve

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form of both curves."""
        return {"measured": self.measured.as_dict(), "wedge": self.wedge.as_dict()}

    def rows(self) -> list[dict[str, float | None]]:
        """One row per shell: both curves beside each other."""
        pairs = zip(self.measured.rows(), self.wedge.rows(), strict=True)
        shared = ("frequency_per_angstrom", "resolution_angstrom")
        return [
            {
                **{name: one[name] for name in shared},
                **{f"measured_{name}": v for name, v in one.items() if name not in shared},
                **{f"wedge_{name}": v for name, v in two.items() if name not in shared},
            }
            for one, two in pairs
        ]

    def statement(self, criterion: Criterion = "0.143") -> str:
        """Both resolutions, one sentence each, and what qualifies them."""
        told = [str(curve.resolution(criterion)) for curve in (self.measured, self.wedge)]
        told.append("Shells that noise may reach count as below.")
        return " ".join([*told, *dict.fromkeys((*self.measured.notes, *self.wedge.notes))])


def wedge_fsc(
    a: np.ndarray,
    b: np.ndarray,
    voxel_size_angstrom: float,
    tilt_deg: Sequence[float] | np.ndarray,
    *,
    mask: np.ndarray | None = None,
    mask_name: str = "",
    halves: str = TWO_VOLUMES,
    particle_diameter_angstrom: float | None = None,
    seed: int = 0,
    notes: tuple[str, ...] = (),
) -> WedgeFsc:
    """FSC outside and inside the missing wedge (tilt axis y).

    A mask of diameter D carries measured values about 1/D into the wedge, which the correction takes
    out (:mod:`.fsc_masked`); halves that share a constraint (positivity, a support) agree in the wedge
    without having measured it.

    Parameters
    ----------
    a, b, mask, mask_name, halves
        As :func:`fsc`. With a mask both curves are corrected by phase randomisation, each from the
        first low shell of its own region on and in that region alone.
    voxel_size_angstrom : float
        Cubic voxels.
    tilt_deg : sequence of float
        Tilts of the series, degrees.
    particle_diameter_angstrom : float, optional
        As :func:`.wedge.measured_region`: count only what lies on a measured plane.
    seed : int
    notes : tuple of str
        What qualifies the halves; carried by both curves and the sentence.

    Raises
    ------
    DataError, ConfigError
        As :func:`fsc`; also when the voxels are not cubic.
    """
    a, b, checked = _checked(a, b, mask)
    edges = voxel_edges(voxel_size_angstrom)
    if np.ptp(edges) > 1e-6 * max(edges):
        raise ConfigError("voxel_size_angstrom: the wedge needs cubic voxels; resample the volumes first")
    region = measured_region(
        a.shape,
        tilt_deg,
        voxel_size_angstrom=edges[0],
        particle_diameter_angstrom=particle_diameter_angstrom,
    )
    prepared = prepare(a, b, ShellGrid(a.shape, edges), checked, checked is not None, seed)
    low, high = float(np.min(tilt_deg)), float(np.max(tilt_deg))
    names = _names(checked, mask_name, halves, None, "")
    where = f"outside the missing wedge, tilts {low:g} to {high:g}°"
    measured = _curve(prepared, ShellGrid(a.shape, edges, region), {**names, "region": where}, notes)
    where = f"inside the missing wedge of tilts {low:g} to {high:g}°"
    wedge = _curve(prepared, ShellGrid(a.shape, edges, ~region), {**names, "region": where}, notes)
    return WedgeFsc(measured, wedge)


def _checked(
    a: np.ndarray, b: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    a, b = checked_volume(a, "first volume"), checked_volume(b, "second volume")
    if a.shape != b.shape:
        raise DataError(
            f"has shape {b.shape}, but the first has {a.shape}",
            field="second volume",
            remedy="compare() resamples volumes of different sampling",
        )
    return a, b, None if mask is None else checked_mask(mask, a.shape)


def _names(
    mask: np.ndarray | None, mask_name: str, halves: str, region: np.ndarray | None, region_name: str
) -> dict[str, str]:
    nameless = NO_MASK if mask is None else f"unnamed, {float(mask.mean()):.0%} of the box"
    everywhere = ALL_DIRECTIONS if region is None else "a part of Fourier space"
    return {
        "mask_name": mask_name if mask is not None and mask_name else nameless,
        "halves": halves or TWO_VOLUMES,
        "region": region_name or everywhere,
    }


def _curve(
    prepared: Prepared, grid: ShellGrid, names: dict[str, str], added: tuple[str, ...] = ()
) -> FscCurve:
    n = grid.counts()
    total = correlation(*grid.correlate(*prepared.pair), n)
    fixed = unmasked = randomised = beyond = None
    notes = added
    if prepared.correct:
        share = mask_share(prepared, grid)
        fixed, unmasked, randomised = total, share.unmasked, share.randomised
        if randomised is None:
            notes += (f"The unmasked FSC never falls under {RANDOMISE_BELOW}, so no phases were randomised.",)
        else:
            fixed = corrected(total, randomised, share.beyond)
            beyond = float(grid.frequency[share.beyond])
    effective = n * prepared.independent
    return FscCurve(
        frequency_per_angstrom=grid.frequency,
        fsc=total,
        n_voxels=n,
        noise_bound=noise_bound(effective),
        corrected=fixed,
        n_effective=effective,
        unmasked=unmasked,
        randomised=randomised,
        randomised_beyond_per_angstrom=beyond,
        notes=notes,
        above_noise=not grid.whole,
        mask_name=names["mask_name"],
        halves=names["halves"],
        region=names["region"],
    )
