"""Stretch across the tilt axis: a flat specimen seen at one tilt looks like that at another."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.prepare.align.apply import resample


def stretched(image: np.ndarray, factor: float) -> np.ndarray:
    """An image `(ny, nx)` magnified by ``factor`` across the axis, about its centre."""
    if abs(factor - 1) < 1e-9:
        return image
    return resample(image, np.array([[1 / factor, 0.0], [0.0, 1.0]]))
