"""The one place that names the working precision.

Sums that decide convergence are taken in :data:`ACCUMULATE`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from napari_phaset3m.errors import DataError

REAL = np.float32
COMPLEX = np.complex64
ACCUMULATE = np.float64

#: A NumPy or CuPy array; CuPy is optional, so it cannot be named here.
Array: TypeAlias = Any


def to_real(values: Any, name: str) -> np.ndarray:
    """The values as a contiguous float32 array, that of ``values`` where it is one.

    Raises
    ------
    DataError
        A number is too large for float32; ``name`` is the field.
    """
    array = np.asarray(values)
    try:
        with np.errstate(over="raise"):
            return np.ascontiguousarray(array, dtype=REAL)
    except FloatingPointError:
        finite = array[np.isfinite(array)]
        largest = max((finite.min().item(), finite.max().item()), key=abs)
        limit = np.finfo(REAL).max
        raise DataError(
            f"holds {largest:.4g}, too large for float32 (up to {limit:.2g})",
            field=name,
            remedy="Repair it, or scale all values",
        ) from None
