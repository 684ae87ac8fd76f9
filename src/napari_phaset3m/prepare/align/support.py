"""A ball around a particle that stands free in the field.

Beyond it a volume holds noise and nothing else. Emptied there, a volume predicts the images better,
and they find their places on it more exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.analyse import masks_ops as ops
from napari_phaset3m.analyse.masks_shapes import ellipsoid
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError

#: The particle's extent is read after this low-pass, which widens it by about 3, and the ball is so much
#: wider; voxels.
LOWPASS_VOXELS, MARGIN_VOXELS = 10.0, 4.0
#: Most that the volume may hold on average in the shell around the ball, of what it holds in the particle:
#: more is matter around it, not noise (which positivity leaves 0.12 of at 21.5 e/Å²).
_MATTER = 0.25
#: Thickness of that shell, parts of the radius.
_SHELL = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """Where a particle is.

    Attributes
    ----------
    mask : ndarray
        `(nz, ny, nx)` 1 inside, 0 outside.
    radius_angstrom : float
    """

    mask: np.ndarray
    radius_angstrom: float


def ball_around(volume: np.ndarray, voxel_angstrom: float) -> Ball | None:
    """The ball that holds the particle of a volume, with a margin.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`, matter positive.
    voxel_angstrom : float

    Returns
    -------
    Ball or None
        None where the specimen fills the field, has matter around it, or there is none.
    """
    smooth = ops.low_pass(volume, LOWPASS_VOXELS * voxel_angstrom, voxel_angstrom)
    try:
        inside = ops.largest_components(smooth > ops.otsu_threshold(smooth))
    except ConfigError:  # an empty volume
        return None
    places = np.argwhere(inside)
    middle = 0.5 * (places.min(0) + places.max(0))
    reach = float(np.sqrt(((places - middle) ** 2).sum(1).max())) + MARGIN_VOXELS
    centre = middle - (np.array(volume.shape) - 1) / 2
    # Every tilt must see the whole of it.
    if reach + float(np.linalg.norm(centre)) > min(volume.shape) / 2:
        return None
    x, y, z = (float(c) * voxel_angstrom for c in centre[::-1])

    def within(radius: float) -> np.ndarray:
        diameter = 2 * radius * voxel_angstrom
        return ellipsoid(volume.shape, voxel_angstrom, (diameter,) * 3, (x, y, z))

    ball = within(reach)
    shell = within((1 + _SHELL) * reach) & ~ball
    if float(smooth[shell].mean()) > _MATTER * float(smooth[inside].mean()):
        return None
    return Ball(ball.astype(REAL), reach * voxel_angstrom)
