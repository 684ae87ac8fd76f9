"""Keep the specimen's centre of mass at the rotation centre."""

from __future__ import annotations

from typing import Literal

import numpy as np

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import array_module
from napari_phaset3m.core.precision import ACCUMULATE, REAL, Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints.base import Scheduled

_AXES = "zxy"


def centre_of_mass(channel: Array) -> np.ndarray:
    """Centre of mass of the positive voxels, relative to the rotation centre.

    Parameters
    ----------
    channel : Array
        `(nz, nx, ny)` float32.

    Returns
    -------
    ndarray
        `(3,)` float64 (z, x, y), voxels; zeros when nothing is positive.
    """
    xp = array_module(channel)
    planes = xp.stack([xp.maximum(p, REAL(0)).sum(axis=1, dtype=ACCUMULATE) for p in channel])
    along_y = xp.zeros(channel.shape[2], ACCUMULATE)
    for p in channel:
        along_y += xp.maximum(p, REAL(0)).sum(axis=0, dtype=ACCUMULATE)
    result = np.zeros(3)
    for axis, profile in enumerate((planes.sum(axis=1), planes.sum(axis=0), along_y)):
        total = float(profile.sum())
        if total > 0:
            offset = xp.arange(profile.size, dtype=ACCUMULATE) - (profile.size - 1) / 2
            result[axis] = float((profile * offset).sum()) / total
    return result


class Recentre(Scheduled):
    """Move all channels so that channel 0 is centred on the rotation axis.

    Parameters
    ----------
    axes : str
        Which of ``"zxy"`` to centre. Along x and y the images fix where the specimen is,
        so centre these only while shifts are being refined.
    shift : {"fourier", "integer"}
        Sub-voxel through phases (periodic box), or whole voxels with zeros moving in.
    schedule : Schedule, optional

    Raises
    ------
    ConfigError
        ``axes`` names something else than z, x, y.

    Notes
    -----
    Height and defocus are nearly degenerate in phase retrieval, so a specimen drifts along
    the beam unless it is held (Maiden, Humphry & Rodenburg, J. Opt. Soc. Am. A 29 (2012) 1606).
    """

    name = "recentre"

    def __init__(
        self,
        axes: str = "zxy",
        shift: Literal["fourier", "integer"] = "fourier",
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(schedule)
        if not axes or set(axes) - set(_AXES):
            raise ConfigError(f"recentre: axes must be letters of {_AXES!r}, not {axes!r}")
        self.axes, self.shift = axes, shift

    def _impose(self, volume: Array) -> None:
        offset = centre_of_mass(volume[0])
        for axis, name in enumerate(_AXES):
            if name not in self.axes:
                continue
            for channel in volume:
                if self.shift == "integer":
                    _shift_integer(channel, -round(offset[axis]), axis)
                elif abs(offset[axis]) > 1e-3:
                    _shift_fourier(channel, -offset[axis], axis)


def _shift_integer(channel: Array, shift: int, axis: int) -> None:
    if shift == 0:
        return
    xp = array_module(channel)
    channel[...] = xp.roll(channel, shift, axis=axis)
    empty: list[slice] = [slice(None)] * 3
    empty[axis] = slice(None, shift) if shift > 0 else slice(shift, None)
    channel[tuple(empty)] = 0


def _shift_fourier(channel: Array, shift: float, axis: int) -> None:
    xp = array_module(channel)
    n = channel.shape[axis]
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(n) * shift)
    if n % 2 == 0:
        phase[-1] = np.cos(np.pi * shift)  # the Nyquist term of a real signal stays real
    shape = [1, 1, 1]
    shape[axis] = phase.size
    spectrum = xp.fft.rfft(channel, axis=axis)
    spectrum *= xp.asarray(phase.reshape(shape), spectrum.dtype)
    channel[...] = xp.fft.irfft(spectrum, n, axis=axis)
