"""Phase shifts of a phase plate as angles: rings look the same after half a turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def plate_deg(phase_shift_rad: float) -> float:
    """A phase shift as it is told, degrees from -15 up to 165.

    Rings look the same after half a turn, and a shift just below 180 is what noise makes of none.
    """
    return float(np.mod(np.degrees(phase_shift_rad) + 15.0, 180.0) - 15.0)


def mean_plate_deg(each_deg: Sequence[float]) -> tuple[float, float]:
    """Mean phase shift, degrees, and how far the others scatter about it (rms, degrees).

    Mean direction of twice the angles, as rings look the same after half a turn.
    """
    each = np.exp(2j * np.radians(each_deg))
    middle = 0.5 * float(np.angle(each.mean()))
    apart = 0.5 * np.angle(each * np.exp(-2j * middle))
    return plate_deg(middle), float(np.degrees(np.sqrt((apart**2).mean())))
