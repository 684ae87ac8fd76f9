"""A 3D mask, hard or soft, that may be replaced while a run goes on."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.analyse import masks_ops
from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import array_module
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints.base import Scheduled


def soft_edge(mask: np.ndarray, width_voxels: float) -> np.ndarray:
    """Surround a mask with a raised-cosine edge, see :func:`.masks_ops.soft_edge`.

    Parameters
    ----------
    mask : ndarray
        3D; voxels of at least 0.5 are inside.
    width_voxels : float
        Distance over which the edge falls from 1 to 0, outside the mask.

    Returns
    -------
    ndarray
        float32.
    """
    return masks_ops.soft_edge(np.asarray(mask, REAL), width_voxels, 1.0)


class Mask(Scheduled):
    """Multiply every channel with a mask between 0 and 1.

    Parameters
    ----------
    mask : ndarray
        `(nz, nx, ny)`, the engine's axis order; bool or numbers in 0..1.
    soft_edge_voxels : float
        Width of the cosine edge put around the mask, also around later ones.
    schedule : Schedule, optional
    updates_per_sweep : int
        How often a sweep applies it: each time with the weight ``m**(1 / updates_per_sweep)``.

    Raises
    ------
    ConfigError
        The mask is not 3D, leaves 0..1, holds NaN, or is empty.

    Notes
    -----
    A hard mask is the projection onto a support (Fienup, Appl. Opt. 21 (1982) 2758).
    A soft one weights the volume once per sweep, as refinement programs do once per
    iteration (Scheres, J. Struct. Biol. 180 (2012) 519): the updates of a sweep share the
    weight, so that the result does not depend on how many there are. Multiplying with m is
    the proximal step of a quadratic penalty that grows as 1/m - 1 (Parikh and Boyd, Found.
    Trends Optim. 1 (2014) 127): data hold the edge up, and nothing holds up what is outside.
    """

    name = "mask"

    def __init__(
        self,
        mask: np.ndarray,
        soft_edge_voxels: float = 0.0,
        schedule: Schedule | None = None,
        *,
        updates_per_sweep: int = 1,
    ) -> None:
        super().__init__(schedule)
        self.soft_edge_voxels = float(soft_edge_voxels)
        self.updates_per_sweep = max(1, int(updates_per_sweep))
        self._values: Array = np.empty((0, 0, 0), REAL)
        self._factor: Array = self._values
        self.replace(mask)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the mask, `(nz, nx, ny)`."""
        return tuple(self._values.shape)

    @property
    def values(self) -> Array:
        """The mask in use with its edge, float32."""
        return self._values

    def replace(self, mask: np.ndarray) -> None:
        """Use another mask of the same shape from the next :meth:`apply` on.

        Raises
        ------
        ConfigError
            As for the constructor, or the shape changed.
        """
        array = np.asarray(mask, REAL)
        if array.ndim != 3 or (self._values.size and array.shape != self.shape):
            wanted = self.shape if self._values.size else "three axes"
            raise ConfigError(f"mask: has shape {array.shape}, but {wanted} is needed")
        low, high = float(array.min(initial=0)), float(array.max(initial=0))
        if not (low >= 0 and 0 < high <= 1):
            raise ConfigError(
                f"mask: values run from {low:g} to {high:g}; they must lie in 0..1, some above 0"
            )
        values = np.ascontiguousarray(soft_edge(array, self.soft_edge_voxels))
        shares = self.updates_per_sweep
        weighted = shares > 1 and not ((values == 0) | (values == 1)).all()
        self._values = values
        self._factor = values ** REAL(1 / shares) if weighted else values

    def _impose(self, volume: Array) -> None:
        if volume.shape[1:] != self.shape:
            raise ConfigError(
                f"mask: has shape {self.shape} (z, x, y), but the volume has {tuple(volume.shape[1:])}"
            )
        factor = array_module(volume).asarray(self._factor)  # a copy only when the device differs
        if array_module(volume) is not np:
            self._factor = factor
        volume *= factor
