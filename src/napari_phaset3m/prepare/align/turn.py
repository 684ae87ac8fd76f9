"""Images turned by Fourier shears: neither noise nor signal changes its strength with the angle."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import REAL

#: Order of the low-pass, an amplitude of ``1 / (1 + (k / cutoff)^(2 order))``.
ORDER = 8


def lowpassed(images: np.ndarray, cutoff_per_px: float) -> np.ndarray:
    """The images `(..., ny, nx)` without frequencies beyond ``cutoff_per_px`` (half amplitude there)."""
    ny, nx = images.shape[-2:]
    k = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None])
    weight = 1 / (1 + (k / cutoff_per_px) ** (2 * ORDER))
    return np.fft.irfft2(np.fft.rfft2(images) * weight, (ny, nx))


def turned(images: np.ndarray, angle_deg: float) -> np.ndarray:
    """The images turned about their centres ``(n - 1) / 2``.

    Three shears, each a shift of rows or columns (Unser, Thevenaz & Yaroslavsky, IEEE Trans. Image
    Process. 4 (1995) 1371). Each keeps the sum of squares, where splines damp high frequencies,
    and the noise in them, more the farther they turn. What leaves at a border comes in at the other one.

    Parameters
    ----------
    images : ndarray
        `(..., ny, nx)`, without frequencies near Nyquist (:func:`lowpassed`).
    angle_deg : float
        The result at (x, y) is the image at ``R (x, y)``, ``R = [[cos, -sin], [sin, cos]]``: as
        :mod:`.model` has it with this ``rotation_deg``. At most a few tens of degrees.

    Returns
    -------
    ndarray
        `(..., ny, nx)` float32.
    """
    angle = np.radians(angle_deg)
    across, along = -np.tan(angle / 2), np.sin(angle)
    result = np.asarray(images, np.float64)
    for slope, rows in ((across, True), (along, False), (across, True)):
        result = (
            _sheared(result, slope) if rows else _sheared(result.swapaxes(-1, -2), slope).swapaxes(-1, -2)
        )
    return np.asarray(result, REAL)


def _sheared(images: np.ndarray, slope: float) -> np.ndarray:
    """Row y shows what lies ``slope * y`` further on along x."""
    ny, nx = images.shape[-2:]
    y = np.arange(ny) - (ny - 1) / 2
    ramp = np.exp(2j * np.pi * slope * y[:, None] * np.fft.rfftfreq(nx))
    if nx % 2 == 0:
        ramp[:, -1] = 1  # a wave at Nyquist cannot be shifted: left where it is, it loses nothing
    return np.fft.irfft(np.fft.rfft(images, axis=-1) * ramp, nx, axis=-1)
