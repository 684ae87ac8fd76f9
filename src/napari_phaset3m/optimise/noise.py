"""How much of the images is noise, told from where no microscope transfers anything."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries

#: Images looked at, spread over the series; share of noise from which it counts as strong: four times
#: the variance of the signal.
_IMAGES, STRONG = 64, 0.8

#: Where noise is strong even at this bin, matching at full sampling gains (at 200 e/Å² it gained nothing).
FINE_NOISE_BIN = 2


def noise_share(series: TiltFocalSeries, bin_: int = 1) -> float:
    """Share of noise in the variance of the binned amplitudes, 0..1.

    White noise is measured in the corners of the spectrum, beyond the Nyquist circle, where
    the transfer has died out. What resampled or blurred the images before makes it an underestimate.
    """
    assert series.used is not None
    images = series.images[series.used]
    chosen = images[:: max(1, len(images) // _IMAGES)]
    amplitude = np.sqrt(np.maximum(chosen, 0, dtype=np.float64))
    amplitude -= amplitude.mean((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(amplitude)) ** 2).mean(0)
    ky, kx = (np.abs(np.fft.fftfreq(n)) for n in power.shape)
    corner = np.hypot(ky[:, None], kx) > 0.55
    kept = (ky[:, None] <= 0.5 / bin_) & (kx <= 0.5 / bin_)
    return float(min(1.0, power[corner].mean() / max(power[kept].mean(), 1e-300)))


def is_noisy(series: TiltFocalSeries, bin_: int = 1) -> bool:
    """Whether noise is much stronger than signal at this sampling."""
    return noise_share(series, bin_) > STRONG
