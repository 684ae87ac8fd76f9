"""Where the tilt axis runs in the given images: its angle, and its distance from their centre.

An alignment brings the axis through the image centre. Before, a place (x, z) of the specimen is seen across
the axis at ``offset + x cos - z sin``, so the offset is the part of the shifts that does not change
with the tilt. A translation of the specimen, which no alignment can know, only adds to the other
two. Over a short range of tilts 1 and cos are nearly the same, and the error says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from napari_phaset3m.prepare.align.model import Alignment

#: Fewest tilts from which an offset, a place of the specimen and an error can be told.
LEAST_TILTS = 4
#: What the error of the angle leaves out: gold at 21.5 e/Å² was 0.1 to 5 of these errors off
#: (docs/alignment_measured.md, "Larger series").
_OF_ERROR = "(σ; heavy atoms at low dose can be off by several)"
#: Tilts that differ by less were never aligned with each other, pixels.
NO_SHIFTS_PX = 1e-3


@dataclass(frozen=True, slots=True)
class TiltAxis:
    """The axis in the given images.

    Attributes
    ----------
    angle_deg : float
        From +y towards -x, as SerialEM and IMOD state it; 0: upright.
    angle_error_deg : float or None
        One standard deviation: noise, or how far the tilts disagree where that is more, and the size of a
        voxel. Too small for strongly scattering specimens at low dose. None: the angle was not searched.
    offset_px : float or None
        From the image centre, at right angles to the axis, positive towards +x; None: too few
        tilts, or they were never aligned with each other.
    offset_error_px : float or None
        One standard deviation, from the scatter of the shifts about ``offset + x cos - z sin``: large
        where images were displaced at random.
    pixel_size_angstrom : float
    """

    angle_deg: float
    angle_error_deg: float | None
    offset_px: float | None
    offset_error_px: float | None
    pixel_size_angstrom: float

    @classmethod
    def of(cls, alignment: Alignment, pixel_size_angstrom: float) -> Self:
        """The axis of an alignment of given images."""
        across = alignment.aligned_shifts_px[..., 1]
        weight = alignment.used.sum(1).astype(np.float64)
        known = weight > 0
        seen = (across * alignment.used).sum(1)[known] / weight[known]
        offset, error = _constant(seen, np.radians(alignment.tilt_deg[known]), weight[known])
        return cls(alignment.axis_angle_deg, alignment.axis_error_deg, offset, error, pixel_size_angstrom)

    @property
    def offset_angstrom(self) -> float | None:
        """The offset in angstrom of the specimen."""
        return None if self.offset_px is None else self.offset_px * self.pixel_size_angstrom

    def told(self) -> dict[str, float | None]:
        """Plain numbers for a record."""
        return {
            "axis_angle_deg": self.angle_deg,
            "axis_error_deg": self.angle_error_deg,
            "axis_offset_px": self.offset_px,
            "axis_offset_error_px": self.offset_error_px,
            "axis_offset_angstrom": self.offset_angstrom,
        }


def _constant(seen: np.ndarray, tilt: np.ndarray, weight: np.ndarray) -> tuple[float | None, float | None]:
    """The part that does not change with the tilt, and its standard deviation."""
    if seen.size < LEAST_TILTS or np.ptp(tilt) == 0 or np.ptp(seen) < NO_SHIFTS_PX:
        return None, None
    root = np.sqrt(weight)
    design = np.stack((np.ones_like(tilt), np.cos(tilt), -np.sin(tilt)), -1) * root[:, None]
    found, _, rank, _ = np.linalg.lstsq(design, seen * root, rcond=1e-9)
    if rank < design.shape[1]:
        return None, None
    variance = float(((seen * root - design @ found) ** 2).sum()) / (seen.size - design.shape[1])
    return float(found[0]), float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]))


def axis_words(told: Mapping[str, Any]) -> str:
    """The axis in one line, from :meth:`TiltAxis.told`."""
    text = f"Tilt axis {_signed(told['axis_angle_deg'], 2)}°"
    if told.get("axis_error_deg") is not None:
        text += f" ± {told['axis_error_deg']:.2f}° {_OF_ERROR}"
    if told.get("axis_offset_px") is None:
        return f"{text}, offset not known"
    text += f", offset {_signed(told['axis_offset_px'], 2)} ± {told['axis_offset_error_px']:.2f} px"
    return f"{text} ({_signed(told['axis_offset_angstrom'], 1)} Å)"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")
