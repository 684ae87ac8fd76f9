"""Movies with known drift: Poisson frames of an amorphous sheet with particles."""

from __future__ import annotations

import numpy as np
from scipy import fft


def specimen(n, contrast=0.15, seed=0):
    """`(n, n)`: mean 1; white noise through a falling envelope with Thon rings, and dark particles."""
    rng = np.random.default_rng(seed)
    k2 = np.fft.fftfreq(n)[:, None] ** 2 + np.fft.rfftfreq(n)[None] ** 2
    envelope = np.exp(-60 * k2) + 0.3 * np.exp(-k2 / 0.0625) * np.abs(np.sin(40 * np.pi * k2))
    sheet = fft.irfft2(fft.rfft2(rng.standard_normal((n, n))) * envelope, s=(n, n))
    sheet *= contrast / sheet.std()
    y, x = np.mgrid[:n, :n]
    for _ in range(n * n // 40_000):
        cy, cx, r = *rng.uniform(0, n, 2), rng.uniform(10, 20)
        sheet -= 0.3 / (1 + np.exp(np.clip((np.hypot(y - cy, x - cx) - r) / 1.5, -50, 50)))
    return np.clip(1 + sheet, 0.02, None)


def settling(n_frames=20):
    """`(n, 2)` pixels (y, x): fast at first, then a creep; mean 0."""
    t = np.arange(n_frames)
    track = np.stack([6 * np.exp(-t / 4) + 0.3 * t, -4 * np.exp(-t / 5) + 0.15 * t], axis=1)
    return track - track.mean(axis=0)


def movie(n=512, drift=None, dose=1.0, contrast=0.15, seed=0, margin=64):
    """Frames `(n_frames, n, n)` uint8 of counts: a feature at p of the sheet is at p + drift."""
    drift = settling() if drift is None else np.asarray(drift, float)
    sheet = specimen(n + 2 * margin, contrast, seed)
    spectrum, m = fft.rfft2(sheet), n + 2 * margin
    rng = np.random.default_rng(seed + 1)
    inside = slice(margin, margin + n)
    frames = np.empty((len(drift), n, n), np.uint8)
    for i, (dy, dx) in enumerate(drift):
        ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(m)[:, None] * dy + np.fft.rfftfreq(m)[None] * dx))
        mean = fft.irfft2(spectrum * ramp, s=sheet.shape)[inside, inside]
        frames[i] = rng.poisson(np.maximum(mean, 0) * dose)
    return frames


def bent_movie(n, drift, bend, dose, contrast=0.15, seed=0, margin=32):
    """The same with local drift: bend `(n_frames, 2, 6)` of 1, x, y, x², xy, y² (−1..1 over the frame)."""
    from scipy.ndimage import map_coordinates, spline_filter

    sheet = spline_filter(specimen(n + 2 * margin, contrast, seed), 5)
    rng = np.random.default_rng(seed + 1)
    y, x = np.mgrid[:n, :n].astype(float)
    frames = np.empty((len(drift), n, n), np.uint8)
    for i, (shift, field) in enumerate(zip(drift, bend, strict=True)):
        d = np.zeros((2, n, n))
        for _ in range(4):  # the frame at p + d(p) shows p
            v, u = (2 * (y - d[0]) - (n - 1)) / n, (2 * (x - d[1]) - (n - 1)) / n
            terms = np.stack((np.ones_like(u), u, v, u * u, u * v, v * v))
            d = np.tensordot(field, terms, 1) + np.asarray(shift)[:, None, None]
        places = np.stack((y - d[0] + margin, x - d[1] + margin))
        mean = map_coordinates(sheet, places, order=5, prefilter=False)
        frames[i] = rng.poisson(np.maximum(mean, 0) * dose)
    return frames
