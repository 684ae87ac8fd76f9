"""Whether the foci of a tilt lie on each other: exit-wave consistency needs it, and cannot tell of itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import fft

from napari_phaset3m.prepare.ctf.wave_model import Shared, WaveModel
from napari_phaset3m.prepare.ctf.wave_system import Tilt

#: A peak of the correlation this many standard deviations above its mean is believed.
CLEAR = 6.0
#: Part of the finest frequency that is compared: coarse detail forgives a wrong defocus.
COARSE = 0.6


def foci_apart(model: WaveModel, tilts: list[Tilt], shared: Shared, limit: float) -> float | None:
    """How far apart the foci of a tilt typically lie, after the shifts that the series states.

    Two foci show one weak phase through their transfers c, so that ``c1 d1`` and ``c2 d2`` correlate whatever
    the signs of their contrast.

    Parameters
    ----------
    model : WaveModel
    tilts : list of Tilt
        With the spectra of their images.
    shared : Shared
    limit : float
        Finest detail, 1/angstrom.

    Returns
    -------
    float or None
        Median distance, pixels of the compared images; None where noise hides it in most pairs.
    """
    mask = model.lowpass(COARSE * limit) > 0.5
    found, pairs = [], 0
    for tilt in tilts:
        seen = [
            np.where(mask, model.weak(model.gamma(float(step), shared)), 0.0) * data
            for step, data in zip(tilt.steps, tilt.data, strict=True)
        ]
        for first, second in combinations(seen, 2):
            pairs += 1
            surface = fft.ifft2(first.conj() * second).real
            top = np.unravel_index(int(surface.argmax()), surface.shape)
            if surface[top] > surface.mean() + CLEAR * surface.std():
                place = [(t + n // 2) % n - n // 2 for t, n in zip(top, surface.shape, strict=True)]
                found.append(float(np.hypot(*place)))
    return float(np.median(found)) if len(found) > pairs / 2 else None
