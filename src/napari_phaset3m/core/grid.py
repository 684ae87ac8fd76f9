"""Sampling of waves and images in the plane across the beam."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_phaset3m.errors import ConfigError


@dataclass(frozen=True)
class Grid:
    """`(nx, ny)` samples; the tilt axis y is contiguous.

    Parameters
    ----------
    nx, ny : int
    pixel_size_angstrom : float

    Raises
    ------
    ConfigError
        A size is not positive.
    """

    nx: int
    ny: int
    pixel_size_angstrom: float

    def __post_init__(self) -> None:
        if min(self.nx, self.ny) < 1 or not self.pixel_size_angstrom > 0:
            raise ConfigError(f"grid: sizes and pixel must be positive, not {self}")

    @property
    def shape(self) -> tuple[int, int]:
        """(nx, ny)."""
        return self.nx, self.ny

    @cached_property
    def kx(self) -> np.ndarray:
        """`(nx,)` float64 spatial frequencies, 1/angstrom, zero first."""
        return np.fft.fftfreq(self.nx, self.pixel_size_angstrom)

    @cached_property
    def ky(self) -> np.ndarray:
        """`(ny,)` float64 spatial frequencies, 1/angstrom, zero first."""
        return np.fft.fftfreq(self.ny, self.pixel_size_angstrom)

    @cached_property
    def k2(self) -> np.ndarray:
        """`(nx, ny)` float64 squared spatial frequency, 1/angstrom^2."""
        return np.asarray(self.kx[:, None] ** 2 + self.ky[None, :] ** 2)

    @property
    def nyquist(self) -> float:
        """1/angstrom."""
        return 0.5 / self.pixel_size_angstrom
