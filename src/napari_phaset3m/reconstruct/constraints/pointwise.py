"""Positivity and hard threshold: one voxel at a time."""

from __future__ import annotations

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.backend import array_module
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.constraints.base import Scheduled, chunks


class Positivity(Scheduled):
    """Project one channel onto the non-negative values.

    Parameters
    ----------
    channel : int
        0: the potential (or linear density), 1: absorption. A volume without that
        channel is left alone.
    schedule : Schedule, optional

    Notes
    -----
    The orthogonal projection onto the positive cone; in a gradient iteration this is
    the projected Landweber method (Eicke, Numer. Funct. Anal. Optim. 13 (1992) 413).
    """

    name = "positivity"

    def __init__(self, channel: int = 0, schedule: Schedule | None = None) -> None:
        super().__init__(schedule)
        self.channel = channel

    def _impose(self, volume: Array) -> None:
        if self.channel < volume.shape[0]:
            xp = array_module(volume)
            part = volume[self.channel]
            xp.maximum(part, REAL(0), out=part)


class HardThreshold(Scheduled):
    """Set every voxel whose magnitude is below ``level`` to zero.

    Parameters
    ----------
    level : float
        In the volume's unit.
    schedule : Schedule, optional

    Notes
    -----
    The proximal map of the L0 penalty (Blumensath & Davies, J. Fourier Anal. Appl.
    14 (2008) 629); not convex, so not non-expansive, but idempotent.
    """

    name = "threshold"

    def __init__(self, level: float, schedule: Schedule | None = None) -> None:
        super().__init__(schedule)
        self.level = _not_negative(level, "threshold_volts")

    def _impose(self, volume: Array) -> None:
        xp = array_module(volume)
        for part in chunks(volume):
            part *= xp.abs(part) >= self.level


def _not_negative(level: float, name: str) -> float:
    if not level >= 0:
        raise ConfigError(f"{name}: must not be negative, but is {level}")
    return float(REAL(level))
