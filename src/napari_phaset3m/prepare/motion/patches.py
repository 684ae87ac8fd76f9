"""Local shifts: each patch of the aligned frames against the sum of the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.spectra import Spectra, Weighting
from napari_phaset3m.prepare.motion.whole import Found, refine

#: Least side of a patch, pixels of what is aligned: smaller ones hold too few electrons.
_LEAST = 128
_OVERLAP = 1.5
_ROUNDS = 5


def grid_of(shape: tuple[int, int], full: tuple[int, int], config: MotionConfig) -> int:
    """Patches along each side; 1 where the image is too small for more."""
    if config.patches != "auto":
        return max(min(int(config.patches), min(shape) // _LEAST), 1)
    return max(min(5, min(full) // 256, min(shape) // _LEAST), 1)


def aligned_images(spectra: Spectra, shifts: np.ndarray) -> Iterator[int]:
    """Turn each spectrum into the image of the shifted frame, in its own memory; yields its number.

    Afterwards ``image_of(spectra, i)`` is the image.
    """
    for i, values in enumerate(spectra.values):
        ramp_y, ramp_x = spectra.ramps(shifts[i])
        image = fft.irfft2(values * (ramp_y[:, None] * ramp_x), s=spectra.shape, workers=-1)
        image_of(spectra, i)[:] = image
        yield i


def image_of(spectra: Spectra, i: int) -> np.ndarray:
    """`(my, mx)` float32 view of the memory of one spectrum."""
    my, mx = spectra.shape
    flat: np.ndarray = spectra.values[i].reshape(-1).view(REAL)
    return flat[: my * mx].reshape(my, mx)


def _spans(n: int, count: int) -> list[tuple[int, int]]:
    size = min(int(_OVERLAP * n / count) // 2 * 2, n)
    starts = np.rint(np.linspace(0, n - size, count)).astype(int)
    return [(int(start), size) for start in starts]


def patch_shifts(
    spectra: Spectra, whole: Found, count: int, config: MotionConfig, threads: int
) -> Iterator[tuple[np.ndarray, Found]]:
    """Shifts of each patch, on top of the whole frames'; call after :func:`aligned_images`.

    Yields
    ------
    place : ndarray
        `(2,)` centre (y, x) of the patch, −1 to 1 over the image.
    found : Found
        Its shifts have no mean over the frames.
    """
    my, mx = spectra.shape
    step = spectra.full[0] / my, spectra.full[1] / mx
    rounds = config.model_copy(update={"iterations": _ROUNDS})
    for top, height in _spans(my, count):
        for left, width in _spans(mx, count):
            window = _hann((height, width))
            values = np.empty((len(spectra.values), height, width // 2 + 1), COMPLEX)
            for i in range(len(values)):
                part = image_of(spectra, i)[top : top + height, left : left + width]
                values[i] = fft.rfft2((part - part.mean()) * window, workers=-1)
            patch = Spectra(values, (height, width), (height * step[0], width * step[1]))
            weights = _weights_at(whole.weighting, spectra, patch, window)
            start = np.zeros((len(values), 2))
            rounds_of = refine(patch, start, whole.used, rounds, smooth=False, threads=threads, given=weights)
            found = deque(rounds_of, maxlen=1)[0]
            centre = (2 * (top + height / 2) / my - 1, 2 * (left + width / 2) / mx - 1)
            yield np.array(centre), replace_error(found)


def replace_error(found: Found) -> Found:
    """Errors of frames that ran off by more than two pixels are infinite: no maximum was near."""
    lost = np.abs(found.measured).max(axis=1) > 8
    error = found.error.copy()
    error[lost] = np.inf
    return replace(found, error=error)


def _hann(shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(np.outer(*(np.hanning(n + 2)[1:-1] for n in shape)), REAL)


def _weights_at(whole: Weighting, spectra: Spectra, patch: Spectra, window: np.ndarray) -> Weighting:
    """The whole frames' weighting at the frequencies of a patch, noise scaled to its size."""
    mx = spectra.shape[1]
    radius = patch.radius()
    # A radial curve: read along kx of the whole spectrum, without its twins.
    line = np.arange(mx // 2 + 1)
    weight, spread = whole.weight[0].copy(), whole.spread[0].copy()
    weight[1:-1] /= 2
    spread[1:-1] /= 4
    weight[0], spread[0] = weight[1], spread[1]
    twins = np.full(radius.shape[1], 2.0)
    twins[0] = 1.0
    power = float((window.astype(np.float64) ** 2).sum()) / (spectra.seen * np.prod(spectra.shape))
    w = np.interp(radius, line / mx, weight) * twins
    w[radius >= 0.5] = 0
    s = np.interp(radius, line / mx, spread) * twins**2 * power
    return Weighting(np.asarray(w, REAL), np.asarray(s, REAL), whole.snr)
