"""Whether a layer shows an array already: set again, it is uploaded for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np


def same_pixels(shown: Any, wanted: np.ndarray) -> bool:
    """Whether both are one array, or views of the same memory that nobody writes to.

    An image of a series is another view each time it is asked for. Memory that may be written to may hold
    something else by now.
    """
    if shown is wanted:
        return True
    if not isinstance(shown, np.ndarray) or shown.flags.writeable or wanted.flags.writeable:
        return False
    return shown.dtype == wanted.dtype and shown.__array_interface__ == wanted.__array_interface__
