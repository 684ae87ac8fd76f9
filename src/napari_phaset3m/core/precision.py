"""The one place that names the working precision.

Sums that decide convergence are taken in :data:`ACCUMULATE`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

REAL = np.float32
COMPLEX = np.complex64
ACCUMULATE = np.float64

#: A NumPy or CuPy array; CuPy is optional, so it cannot be named here.
Array: TypeAlias = Any
