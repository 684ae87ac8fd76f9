"""One number for a whole FSC curve, with its weighting and its limit stated."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.analyse.fsc_curve import FscCurve

#: The mean ends here, or at Nyquist where that comes first: atoms' form factors end, and noise is left.
LIMIT_ANGSTROM = 1.2


def mean_fsc_limit(curve: FscCurve) -> float:
    """Spacing (angstrom) at which the mean ends."""
    return max(LIMIT_ANGSTROM, float(1 / curve.frequency_per_angstrom[-1]))


def mean_fsc(curve: FscCurve) -> float:
    """Plain mean of the FSC over the shells to the limit: each shell counts alike.

    With a mask the curve is the masked one, not corrected by phase randomisation. NaN without a shell.
    """
    inside = (curve.frequency_per_angstrom <= (1 + 1e-9) / mean_fsc_limit(curve)) & ~np.isnan(curve.fsc)
    return float(curve.fsc[inside].mean()) if inside.any() else float("nan")
