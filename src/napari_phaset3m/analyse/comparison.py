"""What a comparison of two volumes gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.fsc_curve import FscCurve


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """How two volumes agree; every number is taken where both hold data, in the mask.

    Attributes
    ----------
    names : tuple of str
        Of the reference and of the volume that was matched to it.
    correlation : float
        Pearson's, after alignment. ``correlation_before``: without the shift.
    shift_angstrom : tuple of float
        (z, y, x) by which the second volume was moved; zero when it was not.
    turn_deg : tuple of float
        Angles about x, the tilt axis y (a tilt in the sense of the series) and z by which it was turned
        before that; zero when it was not.
    scale, offset : float
        The second volume was multiplied by ``scale`` and raised by ``offset``.
    rms_difference : float
        Root mean square of the difference, in the reference's unit.
    relative_difference : float
        The same over the reference's standard deviation.
    fsc : FscCurve
    ssim : float or None
        Mean structural similarity (Wang et al., IEEE Trans. Image Process. 13 (2004) 600; Gaussian
        window of 1.5 voxels); None where the volumes are too thin for its window.
    matched, difference : ndarray
        `(nz, ny, nx)` float32 on the reference's grid: the second volume aligned and scaled, and
        reference minus that; 0 outside ``overlap``.
    overlap : tuple of (int, int)
        First and last + 1 index along z, y, x of what was compared.
    voxel_size_angstrom : tuple of float
        (z, y, x) of the reference; ``resampled_from_angstrom``: of the second one when it was
        another, else None.
    mask_name : str
    notes : tuple of str
        What was done that the numbers do not show.
    """

    names: tuple[str, str]
    correlation: float
    correlation_before: float
    shift_angstrom: tuple[float, float, float]
    scale: float
    offset: float
    rms_difference: float
    relative_difference: float
    fsc: FscCurve
    ssim: float | None
    matched: np.ndarray
    difference: np.ndarray
    overlap: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    voxel_size_angstrom: tuple[float, float, float]
    resampled_from_angstrom: tuple[float, float, float] | None
    mask_name: str
    notes: tuple[str, ...] = ()
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        self.matched.setflags(write=False)
        self.difference.setflags(write=False)

    def rows(self) -> list[dict[str, Any]]:
        """One row per number."""
        z, y, x = self.shift_angstrom
        values: list[tuple[str, float | None, str]] = [
            ("correlation", self.correlation, ""),
            ("correlation before alignment", self.correlation_before, ""),
            ("structural similarity (SSIM)", self.ssim, ""),
            ("rms difference", self.rms_difference, "unit of the reference"),
            ("rms difference / standard deviation", self.relative_difference, ""),
            ("shift z", z, "Å"),
            ("shift y", y, "Å"),
            ("shift x", x, "Å"),
            ("turn about x", self.turn_deg[0], "°"),
            ("turn about the tilt axis y", self.turn_deg[1], "°"),
            ("turn about z", self.turn_deg[2], "°"),
            ("scale", self.scale, ""),
            ("offset", self.offset, "unit of the reference"),
            ("FSC = 0.5", self.fsc.resolution("0.5").angstrom, "Å"),
            ("FSC = 0.143", self.fsc.resolution("0.143").angstrom, "Å"),
        ]
        return [{"quantity": name, "value": value, "unit": unit} for name, value, unit in values]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, without the two volumes."""
        return {
            "names": list(self.names),
            "correlation": _plain(self.correlation),
            "correlation_before": _plain(self.correlation_before),
            "shift_angstrom_zyx": list(self.shift_angstrom),
            "turn_deg_xyz": list(self.turn_deg),
            "scale": self.scale,
            "offset": self.offset,
            "rms_difference": self.rms_difference,
            "relative_difference": _plain(self.relative_difference),
            "ssim": None if self.ssim is None else _plain(self.ssim),
            "overlap_zyx": [list(part) for part in self.overlap],
            "voxel_size_angstrom_zyx": list(self.voxel_size_angstrom),
            "resampled_from_angstrom_zyx": self.resampled_from_angstrom
            and list(self.resampled_from_angstrom),
            "mask_name": self.mask_name,
            "notes": list(self.notes),
            "fsc": self.fsc.as_dict(),
            "statement": self.statement(),
        }

    def statement(self) -> str:
        """What was done and what came out, in a few sentences."""
        first, second = self.names
        z, y, x = self.shift_angstrom
        x_deg, tilt, z_deg = self.turn_deg
        turn = ""
        if any((x_deg, z_deg)):
            turn = f"turned by ({x_deg:.2f}, {tilt:.2f}, {z_deg:.2f})° about x, y, z, "
        elif tilt:
            turn = f"turned by {tilt:.2f}° about the tilt axis, "
        done = f"{turn}moved by ({z:.2f}, {y:.2f}, {x:.2f}) Å along z, y, x, times {self.scale:.4g}"
        similar = "" if self.ssim is None else f", SSIM {self.ssim:.3f}"
        text = (
            f"{second} against {first}, {done}, plus {self.offset:.4g}: correlation {self.correlation:.3f}"
            f"{similar}, rms difference {self.relative_difference:.2f} standard deviations "
            f"(mask: {self.mask_name}). {self.fsc.resolution('0.5')}"
        )
        return " ".join([text, *self.notes])


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
