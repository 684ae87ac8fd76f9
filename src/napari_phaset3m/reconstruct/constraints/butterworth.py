"""Butterworth low-pass and high-pass filters of slices or of the volume."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import array_module, cpu_threads
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints.base import Scheduled


def butterworth_gain(
    k: Array, lowpass_angstrom: float | None, highpass_angstrom: float | None, order: int
) -> Array:
    """Amplitude gain at spatial frequency ``k``.

    Parameters
    ----------
    k : Array
        1/angstrom.
    lowpass_angstrom, highpass_angstrom : float or None
        Resolution at which the low-pass (high-pass) has fallen to 1/sqrt(2).
    order : int

    Returns
    -------
    Array
        ``1 / sqrt(1 + (k d)^(2n))`` times ``1 / sqrt(1 + (k d)^(-2n))``, in 0..1; the
        high-pass is 0 at k = 0. Butterworth, Wireless Engineer 7 (1930) 536.
    """
    xp = array_module(k)
    gain = xp.ones_like(k)
    if lowpass_angstrom:
        gain /= xp.sqrt(1 + (k * lowpass_angstrom) ** (2 * order))
    if highpass_angstrom:
        power = (k * highpass_angstrom) ** (2 * order)
        gain *= xp.sqrt(power / (1 + power))
    return gain


class Butterworth(Scheduled):
    """Filter every channel in Fourier space; the box is taken as periodic.

    Parameters
    ----------
    voxel_size_angstrom : float
    lowpass_angstrom, highpass_angstrom : float or None
        Cut-offs as a resolution, angstrom; at least one.
    order : int
    dimensions : {2, 3}
        2: each `(nx, ny)` plane on its own, 3: the volume.
    threads : int, optional
        CPU threads; all when omitted. The result does not depend on it.
    schedule : Schedule, optional

    Raises
    ------
    ConfigError
        No cut-off is given, or the high-pass is finer than the low-pass.
    """

    name = "butterworth"

    def __init__(
        self,
        voxel_size_angstrom: float,
        lowpass_angstrom: float | None = None,
        highpass_angstrom: float | None = None,
        *,
        order: int = 4,
        dimensions: Literal[2, 3] = 3,
        threads: int | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(schedule)
        if not (lowpass_angstrom or highpass_angstrom):
            raise ConfigError("lowpass_angstrom: the filter needs a low-pass or a high-pass")
        if lowpass_angstrom and highpass_angstrom and highpass_angstrom <= lowpass_angstrom:
            raise ConfigError(
                f"highpass_angstrom: {highpass_angstrom} is not coarser than the low-pass, {lowpass_angstrom}"
            )
        self.voxel_size_angstrom = voxel_size_angstrom
        self.lowpass_angstrom, self.highpass_angstrom = lowpass_angstrom, highpass_angstrom
        self.order, self.dimensions, self.threads = order, dimensions, threads

    def gain(self, k: Array) -> Array:
        """Gain at spatial frequencies ``k`` (1/angstrom)."""
        return butterworth_gain(k, self.lowpass_angstrom, self.highpass_angstrom, self.order)

    def _impose(self, volume: Array) -> None:
        xp = array_module(volume)
        _, nz, nx, ny = volume.shape
        kz, kx, ky = (
            xp.asarray(f(n, self.voxel_size_angstrom), REAL)
            for n, f in ((nz, np.fft.fftfreq), (nx, np.fft.fftfreq), (ny, np.fft.rfftfreq))
        )
        plane = kx[:, None] ** 2 + ky**2
        flat = self.gain(xp.sqrt(plane)) if self.dimensions == 2 else None
        for channel in volume:
            if flat is not None:
                for image in channel:
                    image[...] = self._irfftn(xp, self._rfftn(xp, image) * flat, image.shape)
                continue
            spectrum = self._rfftn(xp, channel)
            for z in range(nz):  # plane by plane: no volume of frequencies
                spectrum[z] *= self.gain(xp.sqrt(plane + kz[z] ** 2))
            channel[...] = self._irfftn(xp, spectrum, channel.shape)

    def _rfftn(self, xp: Any, array: Array) -> Array:
        if xp is np:
            from scipy import fft

            return fft.rfftn(array, workers=self.threads or cpu_threads())
        return xp.fft.rfftn(array)

    def _irfftn(self, xp: Any, spectrum: Array, shape: tuple[int, ...]) -> Array:
        if xp is np:
            from scipy import fft

            return fft.irfftn(spectrum, s=shape, workers=self.threads or cpu_threads(), overwrite_x=True)
        return xp.fft.irfftn(spectrum, s=shape)
