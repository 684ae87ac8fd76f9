"""Fourier shell correlation in cones: how the resolution depends on the direction.

Diebolder et al., Biophys. J. 109 (2015) 1 and Tan et al., Nature Methods 14 (2017) 793, in the plain
form: hard cones around given directions, no spherical harmonics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from napari_phaset3m.analyse.cones import Cones, mask_shares
from napari_phaset3m.analyse.fsc_curve import NO_MASK, TWO_VOLUMES, FscCurve, noise_bound
from napari_phaset3m.analyse.fsc_masked import Prepared, corrected, prepare
from napari_phaset3m.analyse.resolution import Criterion
from napari_phaset3m.analyse.shells import ShellGrid, Voxel, checked_mask, checked_volume
from napari_phaset3m.analyse.wedge import fourier_tilt_deg
from napari_phaset3m.errors import ConfigError, DataError

#: Directions beside the three axes when none are given.
DEFAULT_DIRECTIONS = 29


@dataclass(frozen=True, slots=True, eq=False)
class ConicalFsc:
    """FSC in cones.

    Attributes
    ----------
    directions : ndarray
        `(n, 3)` unit vectors (x, y, z) of the cones' axes; z is the beam, y the tilt axis.
    half_angle_deg : float
    curves : tuple of FscCurve
    tilt_range_deg : tuple of float or None
        Lowest and highest tilt, when given.
    """

    directions: np.ndarray
    half_angle_deg: float
    curves: tuple[FscCurve, ...]
    tilt_range_deg: tuple[float, float] | None = None

    def resolutions(self, criterion: Criterion = "0.143") -> np.ndarray:
        """`(n,)` angstrom, Nyquist where the curve never falls; infinite where it begins below."""
        found = (curve.resolution(criterion).angstrom for curve in self.curves)
        return np.array([np.inf if value is None else value for value in found])

    def at_least(self, criterion: Criterion = "0.143") -> np.ndarray:
        """`(n,)` bool: the curve never falls, so its resolution is only a bound (Nyquist)."""
        return np.array([curve.resolution(criterion).at_least for curve in self.curves])

    def summary(self, criterion: Criterion = "0.143") -> dict[str, float | int | bool | None]:
        """Finest, median and coarsest resolution, angstrom (None: no resolution), and counts.

        ``..._at_least`` says that a value is where the sampling ends: that or better.
        """
        found, bound = self.resolutions(criterion), self.at_least(criterion)
        ends = found[bound].max() if bound.any() else -np.inf
        values = (found.min(), np.median(found), found.max())
        finest, middle, coarsest = (float(v) if np.isfinite(v) else None for v in values)
        return {
            "finest_angstrom": finest,
            "median_angstrom": middle,
            "coarsest_angstrom": coarsest,
            **{
                f"{name}_at_least": bool(value <= ends)
                for name, value in zip(("finest", "median", "coarsest"), values, strict=True)
            },
            "directions_to_nyquist": int(bound.sum()),
            "directions": int(found.size),
            "directions_without_resolution": int(np.isinf(found).sum()),
        }

    def rows(self, criterion: Criterion = "0.143") -> list[dict[str, Any]]:
        """One row per direction."""
        rows = []
        for (x, y, z), curve in zip(self.directions, self.curves, strict=True):
            tilt = float(fourier_tilt_deg(np.array(z), np.array(x)))
            row: dict[str, Any] = {
                "x": float(x), "y": float(y), "z": float(z),
                "angle_to_beam_deg": float(np.degrees(np.arccos(min(1.0, abs(z))))),
                "tilt_deg": tilt,
            }  # fmt: skip
            if self.tilt_range_deg is not None:
                low, high = self.tilt_range_deg
                row["in_wedge"] = bool(tilt < low or tilt > high)
            found = curve.resolution(criterion)
            row["resolution_angstrom"] = found.angstrom
            row["status"] = found.status
            row["at_least"] = found.at_least
            rows.append(row)
        return rows

    def as_dict(self, criterion: Criterion = "0.143") -> dict[str, Any]:
        """JSON-able form: summary, table and curves."""
        return {
            "half_angle_deg": self.half_angle_deg,
            "criterion": criterion,
            "summary": self.summary(criterion),
            "rows": self.rows(criterion),
            "curves": [curve.as_dict() for curve in self.curves],
        }

    def statement(self, criterion: Criterion = "0.143") -> str:
        """One sentence."""
        values = self.summary(criterion)
        first = self.curves[0]
        level = "the half-bit curve" if criterion == "half-bit" else criterion
        lengths = [
            _length(values[f"{name}_angstrom"], bool(values[f"{name}_at_least"]))
            for name in ("finest", "median", "coarsest")
        ]
        text = (
            f"In {values['directions']} cones of {self.half_angle_deg:g}° half angle the resolution by the "
            f"{first.curve_name} of {first.halves} at {level} is {lengths[0]} (finest), {lengths[1]} "
            f"(median), {lengths[2]} (coarsest; mask: {first.mask_name}; region: each cone). "
            f"Shells that noise may reach count as below."
        )
        return " ".join([text, *first.notes])


def _length(angstrom: float | None, bound: bool) -> str:
    if angstrom is None:
        return "none"
    return f"{angstrom:.3g} Å or better (Nyquist)" if bound else f"{angstrom:.3g} Å"


def fibonacci_directions(n: int) -> np.ndarray:
    """`(n, 3)` unit vectors spread evenly over the half sphere z >= 0 (Fibonacci lattice)."""
    i = np.arange(n) + 0.5
    z = 1 - i / n
    azimuth = np.pi * (1 + np.sqrt(5)) * i
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def conical_fsc(
    a: np.ndarray,
    b: np.ndarray,
    voxel_size_angstrom: Voxel,
    *,
    directions: int | Sequence[Sequence[float]] | np.ndarray = DEFAULT_DIRECTIONS,
    half_angle_deg: float = 20.0,
    mask: np.ndarray | None = None,
    mask_name: str = "",
    halves: str = TWO_VOLUMES,
    tilt_deg: Sequence[float] | np.ndarray | None = None,
    seed: int = 0,
    notes: tuple[str, ...] = (),
) -> ConicalFsc:
    """FSC of the Fourier voxels within cones around a set of directions.

    Parameters
    ----------
    a, b, voxel_size_angstrom, mask, mask_name, halves
        As :func:`.fsc.fsc`. With a mask every curve is corrected by phase randomisation in its own
        cone, from the first low shell there on.
    directions : int or array_like
        `(n, 3)` vectors (x, y, z) of any length; or how many to spread over the half sphere, to
        which the x, y and z axes are added in front.
    half_angle_deg : float
        Between 0 and 90.
    tilt_deg : sequence of float, optional
        Tilts of the series: the table then tells which axes lie in the missing wedge.
    seed : int
        Of the random phases.
    notes : tuple of str
        What qualifies the halves; carried by every curve and the sentence.

    Returns
    -------
    ConicalFsc

    Raises
    ------
    DataError
        As :func:`.fsc.fsc`.
    ConfigError
        A direction of length zero, or an angle out of range.
    """
    if not 0 < half_angle_deg <= 90:
        raise ConfigError(f"half_angle_deg: must be above 0 and at most 90, not {half_angle_deg}")
    axes = _axes(directions)
    a, b = checked_volume(a, "first volume"), checked_volume(b, "second volume")
    if a.shape != b.shape:
        raise DataError(f"has shape {b.shape}, but the first has {a.shape}", field="second volume")
    checked = None if mask is None else checked_mask(mask, a.shape)
    grid = ShellGrid(a.shape, voxel_size_angstrom)
    cones = Cones(grid, axes, half_angle_deg)
    prepared = prepare(a, b, grid, checked, checked is not None, seed)
    named = NO_MASK if checked is None else mask_name or "unnamed"
    told = {"mask_name": named, "halves": halves, "notes": notes}
    curves = _curves(grid, cones, prepared, masked=checked is not None, told=told)
    span = None if tilt_deg is None else (float(np.min(tilt_deg)), float(np.max(tilt_deg)))
    return ConicalFsc(axes, half_angle_deg, curves, span)


def _curves(
    grid: ShellGrid, cones: Cones, prepared: Prepared, *, masked: bool, told: dict[str, Any]
) -> tuple[FscCurve, ...]:
    """The curve of each cone; ``told`` is what all of them say of mask and halves."""
    counts, total = cones.correlate(prepared.pair)
    shares = mask_shares(prepared, cones) if masked else repeat(None, len(total))
    found = []
    for (x, y, z), count, fsc, share in zip(cones.axes, counts, total, shares, strict=True):
        effective = count * prepared.independent
        fixed, beyond = None if share is None else fsc, None
        if share is not None and share.randomised is not None:
            fixed = corrected(fsc, share.randomised, share.beyond)
            beyond = float(grid.frequency[share.beyond])
        found.append(
            FscCurve(
                frequency_per_angstrom=grid.frequency,
                fsc=fsc,
                n_voxels=count,
                noise_bound=noise_bound(effective),
                corrected=fixed,
                region=f"cone of {cones.half_angle_deg:g}° around ({x:.2f}, {y:.2f}, {z:.2f})",
                n_effective=effective,
                unmasked=None if share is None else share.unmasked,
                randomised=None if share is None else share.randomised,
                randomised_beyond_per_angstrom=beyond,
                above_noise=True,
                **told,
            )
        )
    return tuple(found)


def _axes(directions: int | Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    if isinstance(directions, int | np.integer):
        if directions < 0:
            raise ConfigError(f"directions: must not be negative, not {directions}")
        axes = np.vstack([np.eye(3), fibonacci_directions(int(directions))])
    else:
        axes = np.atleast_2d(np.asarray(directions, float))
        if axes.ndim != 2 or axes.shape[1] != 3 or not axes.size:
            raise ConfigError(f"directions: needs shape (n, 3), not {axes.shape}")
        length = np.linalg.norm(axes, axis=1, keepdims=True)
        if not (np.isfinite(length).all() and length.min() > 0):
            raise ConfigError("directions: each needs a length above zero")
        axes = axes / length
    axes.setflags(write=False)
    return axes
