"""What binning and cropping at import do to shifts and MTF: the rules of prepare/geometry.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.io.sidecar import read_mtf


def shrunk_fields(
    fields: Mapping[str, Any], counts: tuple[int, int], added_px: np.ndarray, factor: float
) -> dict[str, Any]:
    """Shifts and MTF of the files' images, as they are of the binned and cropped ones (not turned yet).

    Parameters
    ----------
    fields : mapping
        ``shifts_px``, up to `(n_tilt, n_focus, 2)` (y, x) in pixels of the files (none: 0), and ``mtf``
        `(n, 2)`, fractions of the files' Nyquist frequency, or the path of its text file.
    counts : (int, int)
        (n_tilt, n_focus).
    added_px : ndarray
        `(2,)` (y, x), pixels of the files: what the crop adds to the shifts.
    factor : float
        Of the bin; below 1 the images have more pixels than the files.

    Returns
    -------
    dict
        What changes. Values that are no such arrays are left for the check of the series to refuse.

    Raises
    ------
    DataError
        The MTF's file cannot be read.
    """
    found: dict[str, Any] = {}
    mtf = fields.get("mtf")
    curve = _numbers(read_mtf(mtf) if isinstance(mtf, str | os.PathLike) else mtf)
    if curve is not None and curve.ndim == 2 and curve.shape[1] == 2:
        found["mtf"] = curve * (factor, 1.0)  # the new Nyquist frequency is the old one divided by the factor
    stated = fields.get("shifts_px")
    if stated is None and not added_px.any():
        return found
    shifts = _numbers(0.0 if stated is None else stated, (*counts, 2))
    if shifts is not None:
        found["shifts_px"] = (shifts + added_px) / factor
    return found


def _numbers(values: Any, shape: tuple[int, ...] | None = None) -> np.ndarray | None:
    """An array of numbers, broadcast to ``shape``; None where it cannot be."""
    try:
        array = None if values is None else np.asarray(values, np.float64)
        return array if array is None or shape is None else np.broadcast_to(array, shape)
    except (TypeError, ValueError):
        return None
