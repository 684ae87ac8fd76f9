"""Spectra of the frames, cropped to what aligns them, and their signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import COMPLEX, REAL

#: Low-pass of the first rounds, when nothing is known of the signal, pixels² (of what is aligned).
FIRST_BFACTOR_PX2 = 150.0


@dataclass(slots=True, eq=False)
class Spectra:
    """Half spectra of all frames.

    Attributes
    ----------
    values : ndarray
        `(n, my, mx // 2 + 1)` complex64, zero frequency first, not scaled.
    shape : tuple of int
        (my, mx) of the images they are of.
    full : tuple of int
        (ny, nx) of the pixels that shifts are counted in; a sample is ``ny / my`` of them.
    seen : float
        Mean square of the window: part of the noise power that is in the spectra.
    """

    values: np.ndarray
    shape: tuple[int, int]
    full: tuple[float, float]
    seen: float = 1.0
    ky: np.ndarray = field(init=False)
    kx: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        my, mx = self.shape
        # Radians per pixel of the full frame.
        self.ky = np.asarray(2 * np.pi * np.fft.fftfreq(my) * my / self.full[0], REAL)
        self.kx = np.asarray(2 * np.pi * np.fft.rfftfreq(mx) * mx / self.full[1], REAL)

    def ramps(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Phases that move a frame back by its ``shift`` (y, x): a feature at p + shift goes to p."""
        dy, dx = float(shift[0]), float(shift[1])
        return np.exp(1j * self.ky * dy).astype(COMPLEX), np.exp(1j * self.kx * dx).astype(COMPLEX)

    def radius(self) -> np.ndarray:
        """`(my, mx // 2 + 1)` cycles per sample."""
        my, mx = self.shape
        return np.asarray(np.hypot(np.fft.fftfreq(my)[:, None], np.fft.rfftfreq(mx)[None, :]), REAL)

    def cropped(self, shape: tuple[int, int]) -> Spectra:
        """The low frequencies only."""
        rows = crop_rows(self.shape[0], shape[0])
        return Spectra(self.values[:, rows, : shape[1] // 2 + 1].copy(), shape, self.full)


def crop_rows(n: int, m: int) -> np.ndarray:
    """Rows of a spectrum of n that one of m has, in its order."""
    k = np.fft.fftfreq(m, 1 / m).astype(int)
    return np.where(k < 0, k + n, k)


def cropped_spectrum(
    image: np.ndarray, shape: tuple[int, int], window: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Half spectrum of (image − mean) times a window (along y, along x), cropped; overwrites ``image``."""
    along_y, along_x = window
    image -= REAL(along_y @ image @ along_x / max(float(along_y.sum()) * float(along_x.sum()), 1e-30))
    image *= along_y[:, None]
    image *= along_x
    spectrum = fft.rfft2(image, overwrite_x=True, workers=-1)
    return np.asarray(spectrum[crop_rows(image.shape[0], shape[0]), : shape[1] // 2 + 1], COMPLEX)


def frame_window(
    shape: tuple[int, int], shift: np.ndarray | None = None, inset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Soft edge over 1/16 of the shorter side: what leaves on one side does not come in on the other.

    A window that stays with the camera draws shifts to zero (by up to 2 % of them where the specimen is
    coarse and the frame small), so in the end it goes with the specimen.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    shift : ndarray, optional
        `(2,)` (y, x) of the frame: the window is moved with it.
    inset : float
        Pixels left out at the border, so that a moved window stays in the frame.

    Returns
    -------
    tuple of ndarray
        Factors along y and x, float32.
    """
    width = max(min(shape) // 16, 1)

    def line(n: int, moved: float) -> np.ndarray:
        place = np.arange(n) - moved
        depth = np.minimum(place, n - 1 - place) + 0.5 - inset
        return np.asarray(np.sin(0.5 * np.pi * np.clip(depth / width, 0, 1)) ** 2, REAL)

    dy, dx = (0.0, 0.0) if shift is None else (float(v) for v in shift)
    return line(shape[0], dy), line(shape[1], dx)


@dataclass(frozen=True, slots=True, eq=False)
class Weighting:
    """What each frequency is worth for a frame's shift.

    Attributes
    ----------
    weight : ndarray
        `(my, mx // 2 + 1)` float32 weight of the correlation; counts the half spectrum's twins.
    spread : ndarray
        Weight² times half the noise power of a frame: gives the variance of the gradient.
    snr : ndarray
        Signal over noise power of one frame against radius, by ring; zeros when not measured.
    """

    weight: np.ndarray
    spread: np.ndarray
    snr: np.ndarray


def weighting(
    spectra: Spectra, shifts: np.ndarray, used: np.ndarray, *, bfactor_px2: float | None
) -> Weighting:
    """Weights from the frames themselves.

    The shift of a frame with white noise N against a template known up to noise N / (n − 1) is found
    best by correlating with the template's Wiener estimate: weight = P / (P + N / (n − 1)) / N, with P/N
    from the Fourier ring correlation of the sums of even and odd frames, FRC = P / (P + 2 N / n).
    With ``bfactor_px2``, exp(−B k²/4) / (P + N) instead.
    """
    radius = spectra.radius()
    ring, count = _rings(radius, spectra.shape)
    twins = np.full(radius.shape[1], 2.0, REAL)
    twins[0] = 1.0
    if spectra.shape[1] % 2 == 0:
        twins[-1] = 1.0
    even, odd, power = _halves(spectra, shifts, used, ring, len(count))
    n = int(used.sum())
    if bfactor_px2 is not None:
        snr = np.zeros(len(count))
        curve = np.exp(-bfactor_px2 * (np.arange(len(count)) * _width(spectra.shape)) ** 2 / 4) / power
        noise = power
    else:
        frc = _correlation(even, odd, ring, len(count))
        # Chance correlates a ring by 1 / sqrt(values): that much is not signal.
        frc = np.clip(_smoothed(frc) - 1 / np.sqrt(np.maximum(count, 1)), 0, 0.999)
        snr = 2 / n * frc / (1 - frc)
        noise = power / (1 + snr)
        curve = (n - 1) * snr / ((n - 1) * snr + 1) / noise
    # Illumination, and what else moves with the camera rather than with the specimen.
    curve *= 1 - np.exp(-((np.arange(len(count)) * _width(spectra.shape) * min(spectra.shape) / 4) ** 2))
    weight = np.asarray(curve, REAL)[ring] * twins
    weight[radius >= 0.5] = 0
    scale = REAL(1 / max(float(weight.max()), 1e-30))
    weight *= scale
    spread = weight * weight * np.asarray(noise / 2, REAL)[ring]
    return Weighting(weight, np.asarray(spread, REAL), snr)


def _width(shape: tuple[int, int]) -> float:
    return 1 / min(shape)


def _rings(radius: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    ring = np.rint(radius / _width(shape)).astype(np.int32)
    return ring, np.bincount(ring.ravel())


def _halves(
    spectra: Spectra, shifts: np.ndarray, used: np.ndarray, ring: np.ndarray, n_ring: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of every other used frame, and the mean power of a frame by ring."""
    from napari_phaset3m.prepare.motion.kernels import add_shifted

    sums = [np.zeros(spectra.values.shape[1:], COMPLEX) for _ in range(2)]
    power = np.zeros(n_ring)
    for number, frame in enumerate(np.flatnonzero(used)):
        values = spectra.values[frame]
        add_shifted(sums[number % 2], values, *spectra.ramps(shifts[frame]))
        if number % 4 == 0:
            power += np.bincount(ring.ravel(), (values.real**2 + values.imag**2).ravel(), n_ring)
    counted = len(range(0, int(used.sum()), 4))
    size = np.bincount(ring.ravel(), minlength=n_ring)
    mean = power / np.maximum(size, 1) / max(counted, 1)
    return sums[0], sums[1], np.maximum(mean, max(1e-12 * float(mean.max()), 1e-30))


def _correlation(even: np.ndarray, odd: np.ndarray, ring: np.ndarray, n_ring: int) -> np.ndarray:
    flat = ring.ravel()
    cross = np.bincount(flat, (even.real * odd.real + even.imag * odd.imag).ravel(), n_ring)
    first = np.bincount(flat, (even.real**2 + even.imag**2).ravel(), n_ring)
    second = np.bincount(flat, (odd.real**2 + odd.imag**2).ravel(), n_ring)
    return np.asarray(cross / np.sqrt(np.maximum(first * second, 1e-30)))


def _smoothed(curve: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(curve, max(len(curve) // 64, 1) | 1, mode="nearest"))
