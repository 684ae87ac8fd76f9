"""Compare two volumes: aligned below a voxel, scaled, resampled where needed, and all of it told."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from napari_phaset3m.analyse.comparison import Comparison
from napari_phaset3m.analyse.fsc import fsc, masked_fsc
from napari_phaset3m.analyse.matching import SEARCHED, find_shift, fit_scale, pearson
from napari_phaset3m.analyse.sampling import moved, resample_onto, unwrapped
from napari_phaset3m.analyse.shells import Voxel, checked_mask, checked_volume, voxel_edges
from napari_phaset3m.analyse.turning import SEARCHED_DEG, Turning, find_turn, held, turned
from napari_phaset3m.core.precision import ACCUMULATE, REAL
from napari_phaset3m.errors import ConfigError, DataError

__all__ = ["Comparison", "Scaling", "compare"]

Scaling = Literal["scale+offset", "scale", "none"]
#: Shifts below this are left alone, voxels: moving costs the box's edge.
_STILL = 0.01
#: Fewest voxels along an edge of what both volumes hold.
_FEWEST = 4
#: Width of the SSIM's Gaussian window (Wang et al. 2004), voxels, and of its box.
_SSIM_SIGMA, _SSIM_BOX = 1.5, 11


def compare(
    a: np.ndarray,
    b: np.ndarray,
    voxel_size_angstrom: Voxel,
    *,
    b_voxel_size_angstrom: Voxel | None = None,
    mask: np.ndarray | None = None,
    mask_name: str = "",
    names: tuple[str, str] = ("first volume", "second volume"),
    align: bool = True,
    turning: Turning = "none",
    max_shift_angstrom: float | None = None,
    scaling: Scaling = "scale+offset",
) -> Comparison:
    """Compare a volume with a reference.

    Parameters
    ----------
    a, b : ndarray
        `(nz, ny, nx)`: the reference, and the volume that is brought onto it. Shapes may differ.
    voxel_size_angstrom : float or tuple of float
        Of ``a``, and of ``b`` unless ``b_voxel_size_angstrom`` says otherwise; a ``b`` of other voxels
        or shape is resampled about the common centre, and a note says so.
    mask : ndarray, optional
        Of ``a``'s shape, in [0, 1]. The FSC is then corrected by phase randomisation.
    names, mask_name : str
        In words.
    align : bool
        Find the shift.
    turning : {"none", "tilt", "all"}
        Also search a rotation of a few degrees first (:mod:`.turning`): about the tilt axis y, or about all
        three axes. Only with ``align``, and for cubic voxels.
    max_shift_angstrom : float, optional
        Searched along each axis; a quarter of the shortest edge when omitted.
    scaling : {"scale+offset", "scale", "none"}
        What least squares may change in ``b``.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        Values are not finite, the mask does not fit, or the volumes do not overlap.
    ConfigError
        A size is not positive, or the scaling is unknown.
    """
    if scaling not in ("scale+offset", "scale", "none"):
        raise ConfigError(f"scaling: is {scaling!r}. Use scale+offset, scale or none")
    a, b = checked_volume(a, names[0]).astype(REAL), checked_volume(b, names[1])
    edges = voxel_edges(voxel_size_angstrom)
    other = edges if b_voxel_size_angstrom is None else voxel_edges(b_voxel_size_angstrom)
    weight = None if mask is None else checked_mask(mask, a.shape)
    on_grid, covered, notes = _on_grid(b, other, a.shape, edges, names)
    before = _score(a, on_grid, weight, covered)
    shift, angles = np.zeros(3), np.zeros(3)
    if align:
        on_grid, angles = _turn(a, on_grid, weight, turning, max_shift_angstrom, edges, notes)
        covered = _common(covered, _held(on_grid.shape, angles, weight))
        shift = _shift(a, on_grid, weight, _longest(max_shift_angstrom, a.shape, edges), notes)
        on_grid = moved(on_grid, shift) if shift.any() else on_grid
    part = _common(covered, unwrapped(a.shape, shift))
    scale, offset = _fit(a[part], on_grid[part], None if weight is None else weight[part], scaling)
    if scale < 0:
        notes.append(f"The contrast of {names[1]} is inverted against {names[0]}.")
    given = mask_name or ("none" if weight is None else "unnamed")
    return _measured(
        a, on_grid * REAL(scale) + REAL(offset), weight, part,
        {
            "names": names, "correlation_before": before, "scale": scale, "offset": offset,
            "shift_angstrom": tuple(float(s * v) for s, v in zip(shift, edges, strict=True)),
            "voxel_size_angstrom": edges, "mask_name": given,
            "turn_deg": tuple(float(angle) for angle in angles),
            "resampled_from_angstrom": other if other != edges else None,
        },
        notes,
    )  # fmt: skip


def _on_grid(
    b: np.ndarray,
    voxel: tuple[float, float, float],
    shape: tuple[int, ...],
    target: tuple[float, float, float],
    names: tuple[str, str],
) -> tuple[np.ndarray, tuple[slice, slice, slice], list[str]]:
    if b.shape == shape and np.allclose(voxel, target, rtol=1e-6):
        n, m, o = shape
        return b.astype(REAL), (slice(0, n), slice(0, m), slice(0, o)), []
    result, covered = resample_onto(b, voxel, shape, target)
    note = (
        f"{names[1]}, {_size(b.shape, voxel)}, was resampled to {names[0]}'s {_size(shape, target)} "
        "(Fourier interpolation about the common centre)."
    )
    return result, covered, [note]


def _size(shape: tuple[int, ...], voxel: tuple[float, float, float]) -> str:
    edge = f"{voxel[0]:.4g}" if np.ptp(voxel) == 0 else " x ".join(f"{v:.4g}" for v in voxel)
    return f"{' x '.join(str(n) for n in shape)} voxels of {edge} Å"


def _longest(asked: float | None, shape: tuple[int, ...], edges: tuple[float, float, float]) -> float:
    """Voxels along the axis with the smallest of them, so that no axis is searched too little."""
    if asked is None:
        return SEARCHED * min(shape)
    if not asked > 0:
        raise ConfigError(f"max_shift_angstrom: must be positive, not {asked}")
    return asked / min(edges)


def _turn(
    a: np.ndarray,
    b: np.ndarray,
    weight: np.ndarray | None,
    turning: Turning,
    longest: float | None,
    edges: tuple[float, float, float],
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """The volume turned, and by which angles."""
    if turning == "none":
        return b, np.zeros(3)
    if np.ptp(edges) > 1e-3 * max(edges):
        notes.append("The rotation was not searched: the voxels are not cubic.")
        return b, np.zeros(3)
    found = find_turn(a, b, weight, turning, _longest(longest, a.shape, edges))
    angles = found.angles_deg
    if not angles.any():
        notes += [found.note()] if found.note() else []
        return b, angles
    if np.abs(angles).max() > SEARCHED_DEG - 0.5:
        notes.append(f"The rotation lies at the border of what was searched ({SEARCHED_DEG:g}°).")
    return turned(b, angles), angles


def _held(
    shape: tuple[int, ...], angles: np.ndarray, weight: np.ndarray | None
) -> tuple[slice, slice, slice]:
    """The box that holds data after a turn; all of it where the mask has no part in what came in."""
    box = held(shape, angles)
    if weight is None:
        return box
    outside = np.asarray(weight > 0)
    outside[box] = False
    return box if outside.any() else held(shape, np.zeros(3))


def _shift(
    a: np.ndarray, b: np.ndarray, weight: np.ndarray | None, longest: float, notes: list[str]
) -> np.ndarray:
    shift, refined = find_shift(a, b, weight, longest)
    if not refined:
        notes.append("The shift could not be refined below a voxel: the volumes hardly agree.")
    if np.abs(shift).max() > longest - 1:
        notes.append("The shift lies at the border of what was searched: give a larger max_shift_angstrom.")
    return shift if np.abs(shift).max() >= _STILL else np.zeros(3)


def _common(one: tuple[slice, slice, slice], two: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
    parts = [slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(one, two, strict=True)]
    if min(p.stop - p.start for p in parts) < _FEWEST:
        raise DataError("hardly overlap", field="volumes", remedy="Check voxel sizes and max_shift_angstrom")
    return parts[0], parts[1], parts[2]


def _score(
    a: np.ndarray, b: np.ndarray, weight: np.ndarray | None, part: tuple[slice, slice, slice]
) -> float:
    return pearson(a[part], b[part], None if weight is None else weight[part])


def _fit(a: np.ndarray, b: np.ndarray, weight: np.ndarray | None, scaling: Scaling) -> tuple[float, float]:
    if scaling == "none":
        return 1.0, 0.0
    return fit_scale(a, b, weight, offset=scaling == "scale+offset")


def _measured(
    a: np.ndarray,
    matched: np.ndarray,
    weight: np.ndarray | None,
    part: tuple[slice, slice, slice],
    known: dict[str, Any],
    notes: list[str],
) -> Comparison:
    """Everything that is measured on the matched volume."""
    one, two = np.ascontiguousarray(a[part]), np.ascontiguousarray(matched[part])
    w = None if weight is None else np.ascontiguousarray(weight[part])
    if w is not None and not w.any():
        raise DataError("lies outside what both volumes hold", field="mask")
    if one.shape != a.shape:
        notes.append(f"Compared where both hold data: {' x '.join(str(n) for n in one.shape)} voxels.")
    edges, names = known["voxel_size_angstrom"], known["names"]
    pair = f"{names[0]} and {names[1]}"
    curve = (
        fsc(one, two, edges, halves=pair)
        if w is None
        else masked_fsc(one, two, edges, w, mask_name=known["mask_name"], halves=pair)
    )
    rest = one - two
    rms = float(np.sqrt(np.average(rest.astype(ACCUMULATE) ** 2, weights=w)))
    mean = float(np.average(one, weights=w))
    spread = float(np.sqrt(np.average((one.astype(ACCUMULATE) - mean) ** 2, weights=w)))
    inside, difference = np.zeros_like(a), np.zeros_like(a)
    inside[part], difference[part] = two, rest
    return Comparison(
        correlation=pearson(one, two, w),
        rms_difference=rms,
        relative_difference=rms / spread if spread > 0 else float("nan"),
        fsc=curve,
        ssim=_ssim(one, two, w, notes),
        matched=inside,
        difference=difference,
        overlap=tuple((p.start, p.stop) for p in part),  # type: ignore[arg-type]
        notes=tuple(notes),
        **known,
    )


def _ssim(a: np.ndarray, b: np.ndarray, weight: np.ndarray | None, notes: list[str]) -> float | None:
    from skimage.metrics import structural_similarity

    if min(a.shape) < _SSIM_BOX:
        notes.append(f"No SSIM: it needs {_SSIM_BOX} voxels along each axis.")
        return None
    span = float(np.ptp(a))
    if not span > 0:
        notes.append("No SSIM: the reference is constant.")
        return None
    _, local = structural_similarity(
        a,
        b,
        data_range=span,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(np.average(local, weights=weight))
