"""Where the volume sits, how deep the tilted box is, and how it is cut into slices.

Frozen convention (DESIGN section 2): lab from sample ``x' = x cos - z sin``,
``z' = x sin + z cos``, ``y' = y``; the rotation centre is ``(n - 1) / 2`` on each
axis; the beam travels toward +z'.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_phaset3m.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TiltGeometry:
    """A volume `(nz, nx, ny)` seen at several tilts about y, cut into slices.

    Parameters
    ----------
    nz, nx, ny : int
        Voxels along the beam at zero tilt, across the tilt axis and along it.
    voxel_size_angstrom : float
    tilt_deg : tuple of float
    n_slices : int
        Slices through the deepest of the tilted boxes; shallower ones get fewer slices
        of the same thickness.
    whole_box : bool
        Always deep enough for the corners of the tilted box (linear methods, where
        what lies there projects as well).

    Raises
    ------
    ConfigError
        A size is not positive.
    """

    nz: int
    nx: int
    ny: int
    voxel_size_angstrom: float
    tilt_deg: tuple[float, ...]
    n_slices: int = 1
    whole_box: bool = False
    _depths: tuple[int, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        for name in ("nz", "nx", "ny", "n_slices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if not self.voxel_size_angstrom > 0:
            raise ConfigError(f"voxel_angstrom: must be positive, not {self.voxel_size_angstrom}")
        object.__setattr__(self, "_depths", tuple(self._depth(t) for t in self.tilt_deg))

    def _depth(self, tilt_deg: float) -> int:
        # A cube keeps its own depth (the corners of the box are empty); a slab that
        # is wider than deep grows with tilt until it is as deep as it is wide.
        cos, sin = abs(np.cos(np.radians(tilt_deg))), abs(np.sin(np.radians(tilt_deg)))
        needed = int(np.ceil(self.nz * cos + self.nx * sin - 1e-6))
        return max(1, needed if self.whole_box else min(needed, max(self.nz, self.nx)))

    @property
    def n_tilt(self) -> int:
        return len(self.tilt_deg)

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """(nz, nx, ny): the tilt axis is contiguous."""
        return self.nz, self.nx, self.ny

    @property
    def deepest(self) -> int:
        """Lab voxels along the beam at the tilt where the box is deepest."""
        return max(self._depths)

    @property
    def voxels_per_slice(self) -> float:
        """Mean slice thickness, voxels."""
        return self.deepest / min(self.n_slices, self.deepest)

    def depth(self, tilt: int) -> int:
        """Lab voxels along the beam at tilt index ``tilt``."""
        return self._depths[tilt]

    def edges(self, tilt: int) -> np.ndarray:
        """`(n_slice + 1,)` int64 slice edges in lab voxels, from 0 to the depth.

        Every slice holds a whole number of voxels, so thickness always matches
        what was summed.
        """
        depth = self._depths[tilt]
        count = min(depth, max(1, round(depth / self.voxels_per_slice)))
        return np.rint(np.linspace(0, depth, count + 1)).astype(np.int64)

    def slice_centres_angstrom(self, tilt: int) -> np.ndarray:
        """`(n_slice,)` heights of the slice centres above the rotation centre, angstrom."""
        edges = self.edges(tilt)
        centre = (edges[:-1] + edges[1:] - 1) / 2 - (self._depths[tilt] - 1) / 2
        return np.asarray(centre * self.voxel_size_angstrom)

    def max_slices(self) -> int:
        """Slices of the deepest box."""
        return max(len(self.edges(i)) - 1 for i in range(self.n_tilt))
