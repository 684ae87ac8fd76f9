"""Sum frames along the drift: each is resampled once, by a windowed sinc, and never moved whole pixels."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import fft

from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.prepare.dose import CriticalDose, dose_filter
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.prepare.motion.field import Field
from napari_phaset3m.prepare.motion.movie import Corrected
from napari_phaset3m.prepare.motion.whole import Found


@dataclass(frozen=True, slots=True)
class FrameDose:
    """Dose weighting of frames (:mod:`..dose`).

    Attributes
    ----------
    per_frame, before : float
        Electrons per square angstrom: of a frame, and before the first.
    pixel_size_angstrom, energy_ev : float
    """

    per_frame: float
    before: float
    pixel_size_angstrom: float
    energy_ev: float


def n_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _PlainSum:
    """Sum of the frames; at the border as many electrons as elsewhere."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.total, self.count, self.frames = np.zeros(shape, REAL), np.zeros(shape, np.uint16), 0

    def add(self, number: int, mean: float) -> None:
        self.frames += 1

    def image(self) -> np.ndarray:
        self.total *= REAL(self.frames)
        np.divide(self.total, np.maximum(self.count, 1), out=self.total, casting="unsafe")
        if not self.count.all():
            # Out of every frame's sight: the mean is no structure.
            self.total[self.count == 0] = self.total[self.count > 0].mean(dtype=np.float64)
        return self.total


class _WeightedSum(_PlainSum):
    """Sum of the spectra times q, over sqrt(sum of q² / n): the noise stays what the plain sum has."""

    def __init__(self, shape: tuple[int, int], dose: FrameDose) -> None:
        super().__init__(shape)
        ny, nx = shape
        pixel = dose.pixel_size_angstrom
        self.dose = dose
        self.k = np.hypot(np.fft.fftfreq(ny, pixel)[:, None], np.fft.rfftfreq(nx, pixel)).astype(REAL)
        self.spectrum, self.norm = np.zeros(self.k.shape, COMPLEX), np.zeros(self.k.shape, REAL)

    def add(self, number: int, mean: float) -> None:
        self.frames += 1
        self.total[self.count == 0] = mean
        taken = self.dose.before + self.dose.per_frame * (number + 0.5)
        q = dose_filter(self.k, taken, CriticalDose(), self.dose.energy_ev).astype(REAL)
        self.spectrum += fft.rfft2(self.total, workers=-1) * q
        self.norm += q * q
        self.total[:] = 0
        self.count[:] = 0

    def image(self) -> np.ndarray:
        self.spectrum *= np.sqrt(self.frames / np.maximum(self.norm, REAL(1e-30)))
        return np.asarray(fft.irfft2(self.spectrum, s=self.total.shape, workers=-1), REAL)


def summed(
    frames: Corrected, whole: Found, field: Field, dose: FrameDose | None
) -> Generator[Progress, None, np.ndarray]:
    """Corrected sum of the used frames, `(ny, nx)` float32; a generator of Progress that returns it.

    Parameters
    ----------
    frames : Corrected
    whole : Found
        Drift of whole frames.
    field : Field
        Local drift on top.
    dose : FrameDose, optional
        Weight the frames by what is left of the specimen.
    """
    shape, n = frames.movie.image_shape, frames.movie.n_frames
    result = _PlainSum(shape) if dose is None else _WeightedSum(shape, dose)
    across = np.empty(shape, REAL)
    with ThreadPoolExecutor(n_threads()) as pool:
        for number, image in enumerate(frames.frames()):
            yield Progress(f"Summing frame {number + 1} of {n}", 0.77 + 0.23 * number / n)
            if not whole.used[number]:
                continue
            coefficients = field.coefficients[number].copy()
            coefficients[:, 0] += whole.shifts[number]
            warp_into(result.total, result.count, image, coefficients, (across, pool))
            result.add(number, float(image.mean(dtype=np.float64)))
    return result.image()


def warp_into(
    total: np.ndarray,
    count: np.ndarray,
    image: np.ndarray,
    coefficients: np.ndarray,
    work: tuple[np.ndarray, ThreadPoolExecutor],
) -> None:
    """Add an image taken at p + d(p) to ``total`` at p, and 1 to ``count`` where it has a value.

    Parameters
    ----------
    total : ndarray
        `(ny, nx)` float32, changed.
    count : ndarray
        `(ny, nx)` uint16, changed.
    image : ndarray
        `(ny, nx)` float32.
    coefficients : ndarray
        `(2, 6)`: d (y, x) in pixels as in :class:`.field.Field`.
    work : tuple
        A `(ny, nx)` float32 buffer, and the threads.
    """
    from napari_phaset3m.prepare.motion.kernels import add_resampled_y, resample_x, sinc_table

    across, pool = work
    table, parts, ny = sinc_table(), n_threads(), image.shape[0]
    field_y, field_x = (np.ascontiguousarray(c, REAL) for c in coefficients)
    edges = [(ny * i // parts, ny * (i + 1) // parts) for i in range(parts)]
    list(pool.map(lambda e: resample_x(image, across, field_y, field_x, table, *e), edges))
    list(pool.map(lambda e: add_resampled_y(across, total, count, field_y, field_x, table, *e), edges))
