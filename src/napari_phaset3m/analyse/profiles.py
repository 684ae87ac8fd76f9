"""Values along a line through a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class LineProfile:
    """Values between two points.

    Parameters
    ----------
    distance_angstrom : ndarray
        `(n,)` from the first point.
    value : ndarray
        `(n,)` float64, mean over the thickness, in the volume's unit.
    start_angstrom, stop_angstrom : tuple of float
        (x, y, z) from the rotation centre.
    thickness_angstrom : float
        Diameter of the disc across the line that was averaged over; 0: the line itself.
    """

    distance_angstrom: np.ndarray
    value: np.ndarray
    start_angstrom: tuple[float, float, float]
    stop_angstrom: tuple[float, float, float]
    thickness_angstrom: float

    def __post_init__(self) -> None:
        self.distance_angstrom.flags.writeable = self.value.flags.writeable = False

    def rows(self) -> list[dict[str, float]]:
        """One row per point."""
        pairs = zip(self.distance_angstrom, self.value, strict=True)
        return [{"distance_angstrom": float(d), "value": float(v)} for d, v in pairs]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "distance_angstrom": self.distance_angstrom.tolist(),
            "value": self.value.tolist(),
            "start_xyz_angstrom": list(self.start_angstrom),
            "stop_xyz_angstrom": list(self.stop_angstrom),
            "thickness_angstrom": self.thickness_angstrom,
        }


def line_profile(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    start_angstrom: Sequence[float],
    stop_angstrom: Sequence[float],
    *,
    thickness_angstrom: float = 0.0,
    step_angstrom: float | None = None,
) -> LineProfile:
    """Sample a volume along a line, cubic between voxels.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    start_angstrom, stop_angstrom : sequence of 3 float
        (x, y, z) from the rotation centre.
    thickness_angstrom : float
        Average over a disc of this diameter across the line.
    step_angstrom : float, optional
        Largest distance between points; half a voxel when omitted. Both ends are points.

    Raises
    ------
    ConfigError
        An end lies outside the box, the ends coincide, or a length is not positive.
    """
    from scipy import ndimage

    step = voxel_size_angstrom / 2 if step_angstrom is None else step_angstrom
    start, stop = (np.asarray(p, float) for p in (start_angstrom, stop_angstrom))
    _check(volume, voxel_size_angstrom, step, thickness_angstrom)
    centre = (np.array(volume.shape, float) - 1) / 2
    for name, end in (("start_angstrom", start), ("stop_angstrom", stop)):
        if end.shape != (3,) or not np.isfinite(end).all():
            raise ConfigError(f"{name}: needs three finite numbers x, y, z")
        if (np.abs(end[::-1]) / voxel_size_angstrom > centre + 1e-6).any():
            half = ", ".join(f"±{c * voxel_size_angstrom:.1f}" for c in centre[::-1])
            raise ConfigError(f"{name}: {tuple(end.tolist())} lies outside the box (x, y, z within {half} Å)")
    length = float(np.linalg.norm(stop - start))
    if length == 0:
        raise ConfigError("stop_angstrom: is the same point as start_angstrom")
    along = np.linspace(0, 1, max(2, int(np.ceil(length / step - 1e-9)) + 1))
    disc = _disc((stop - start) / length, thickness_angstrom, voxel_size_angstrom / 2)
    place = (start + along[:, None] * (stop - start))[:, None] + disc
    index = place[..., ::-1] / voxel_size_angstrom + centre
    # only the part that is used is prefiltered; a border of 8 voxels hides its edge
    low = np.maximum(np.floor(index.min(axis=(0, 1))).astype(int) - 8, 0)
    high = np.minimum(np.ceil(index.max(axis=(0, 1))).astype(int) + 9, volume.shape)
    part = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    value = ndimage.map_coordinates(part, np.moveaxis(index - low, -1, 0), float, order=3, mode="nearest")
    (x0, y0, z0), (x1, y1, z1) = start.tolist(), stop.tolist()
    return LineProfile(
        along * length, value.mean(axis=1), (x0, y0, z0), (x1, y1, z1), float(thickness_angstrom)
    )


def _check(volume: np.ndarray, voxel: float, step: float, thickness: float) -> None:
    if volume.ndim != 3:
        raise ConfigError(f"volume: needs shape (nz, ny, nx), not {volume.shape}")
    for name, value in (("voxel_size_angstrom", voxel), ("step_angstrom", step)):
        if not value > 0:
            raise ConfigError(f"{name}: must be positive, not {value}")
    if not thickness >= 0:
        raise ConfigError(f"thickness_angstrom: must not be negative, not {thickness}")


def _disc(direction: np.ndarray, diameter: float, spacing: float) -> np.ndarray:
    """`(m, 3)` points across a direction, on a square grid within the disc."""
    if diameter == 0:
        return np.zeros((1, 3))
    helper = np.eye(3)[int(np.abs(direction).argmin())]
    one = np.cross(direction, helper)
    one /= np.linalg.norm(one)
    other = np.cross(direction, one)
    reach = int(diameter / 2 / spacing + 1e-9)
    axis = np.arange(-reach, reach + 1) * spacing
    u, v = (a.ravel() for a in np.meshgrid(axis, axis))
    inside = u**2 + v**2 <= (diameter / 2) ** 2 * (1 + 1e-9)
    return np.asarray(u[inside, None] * one + v[inside, None] * other)
