"""Turn images, and what is measured in their frame, so that the tilt axis lies along y.

The angle is SerialEM's and IMOD's: from +y towards −x, so that the axis has the direction
``(x, y) = (−sin a, cos a)`` in array coordinates (columns, rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.core.aberrations import KRIVANEK

_RIGHT_ANGLE_TOLERANCE_DEG = 1e-6


def turn(images: np.ndarray, axis_angle_deg: float, shifts_px: Any = None) -> tuple[np.ndarray, Any]:
    """Turn images about their centres until an axis at ``axis_angle_deg`` lies along y.

    Quarter turns are exact (and swap ny and nx when odd); other angles use cubic splines, keep the
    shape, and fill the corners with each image's median.

    Parameters
    ----------
    images : ndarray
        `(..., ny, nx)` float32.
    axis_angle_deg : float
    shifts_px : array_like, optional
        `(..., 2)` (y, x), turned alike.

    Returns
    -------
    images : ndarray
        Contiguous, same dtype.
    shifts_px : ndarray or None
    """
    quarter = round(axis_angle_deg / 90)
    rest = axis_angle_deg - 90 * quarter
    turned = np.ascontiguousarray(np.rot90(images, quarter, axes=(-2, -1)))
    if abs(rest) > _RIGHT_ANGLE_TOLERANCE_DEG:
        turned = _rotate(turned, np.deg2rad(rest))
    return turned, None if shifts_px is None else turn_shifts(shifts_px, axis_angle_deg)


def turn_shifts(shifts_px: Any, axis_angle_deg: float) -> np.ndarray:
    """Shifts `(..., 2)` (y, x) of images that :func:`turn` turned by ``axis_angle_deg``."""
    angle = np.deg2rad(axis_angle_deg)
    shifts = np.asarray(shifts_px, np.float64)
    y, x = shifts[..., 0], shifts[..., 1]
    return np.stack((-np.sin(angle) * x + np.cos(angle) * y, np.cos(angle) * x + np.sin(angle) * y), axis=-1)


def turn_aberrations(aberrations: Mapping[str, float], axis_angle_deg: float) -> dict[str, float]:
    """Refer azimuths to images that :func:`turn` turned by ``axis_angle_deg``.

    A direction at azimuth phi (from +x towards +y) lies at phi − angle in the turned image, so every
    term with m > 0 gets phi_nm − angle, whatever its m; a term without an azimuth had phi_nm = 0.

    Parameters
    ----------
    aberrations : mapping
        Krivanek names: ``C..`` in angstrom, ``phi..`` in radians.
    axis_angle_deg : float

    Returns
    -------
    dict
        Azimuths within ±pi / m, where cos(m (phi − phi_nm)) repeats.
    """
    turned = dict(aberrations)
    for name, (_, m) in KRIVANEK.items():
        key = "phi" + name[1:]
        if m and (name in turned or key in turned):
            phi = float(turned.get(key, 0.0)) - float(np.deg2rad(axis_angle_deg))
            turned[key] = phi - 2 * np.pi / m * round(phi * m / (2 * np.pi))
    return turned


def _rotate(images: np.ndarray, angle: float) -> np.ndarray:
    from scipy.ndimage import affine_transform

    ny, nx = images.shape[-2:]
    # (y, x) of the input for (y, x) of the output.
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([(ny - 1) / 2, (nx - 1) / 2])
    offset = centre - matrix @ centre
    result = np.empty_like(images)
    for source, target in zip(images.reshape(-1, ny, nx), result.reshape(-1, ny, nx), strict=True):
        affine_transform(source, matrix, offset, output=target, order=3, cval=float(np.median(source)))
    return result
