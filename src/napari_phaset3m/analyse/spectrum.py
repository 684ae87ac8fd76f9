"""Radial power spectrum of a volume with the families of its Bragg peaks marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.fourier import radial_power_spectrum
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SpectrumMark:
    """Where a family of reflections lies.

    Parameters
    ----------
    name : str
        Like ``{422}``.
    frequency_per_angstrom, d_angstrom : float
    found, total : int
        Friedel pairs that stand out, of all.
    """

    name: str
    frequency_per_angstrom: float
    d_angstrom: float
    found: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class RadialSpectrum:
    """Mean power per shell.

    Parameters
    ----------
    frequency_per_angstrom, power : ndarray
        `(n,)`; power is ``|FFT|^2 / n_voxel``, NaN where a shell is empty.
    marks : tuple of SpectrumMark
        Families of which at least one pair was found, by rising frequency.
    """

    frequency_per_angstrom: np.ndarray
    power: np.ndarray
    marks: tuple[SpectrumMark, ...] = ()

    def __post_init__(self) -> None:
        self.frequency_per_angstrom.flags.writeable = self.power.flags.writeable = False

    def rows(self) -> list[dict[str, float]]:
        """One row per shell."""
        return [
            {"frequency_per_angstrom": float(k), "power": float(p)}
            for k, p in zip(self.frequency_per_angstrom, self.power, strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; NaN becomes None."""
        return {
            "frequency_per_angstrom": self.frequency_per_angstrom.tolist(),
            "power": [float(p) if np.isfinite(p) else None for p in self.power],
            "marks": [{n: getattr(m, n) for n in SpectrumMark.__dataclass_fields__} for m in self.marks],
        }


def radial_spectrum(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    *,
    mask: np.ndarray | None = None,
    report: BraggReport | None = None,
    bins: int | None = None,
) -> RadialSpectrum:
    """Radial power spectrum, with marks where a report found peaks.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    mask : ndarray, optional
        `(nz, ny, nx)` in [0, 1]; its weighted mean is removed first. When omitted, a Hann
        window over the box is used.
    report : BraggReport, optional
        Of the same volume.
    bins : int, optional
        Shells up to Nyquist; half the longest edge when omitted.

    Raises
    ------
    ConfigError
        Shapes differ, the mask is empty, or the voxel size is not positive.
    """
    data = np.asarray(volume, REAL)
    if mask is not None:
        if mask.shape != data.shape:
            raise ConfigError(f"mask: has shape {mask.shape}, but the volume {data.shape}")
        weight = float(np.sum(mask, dtype=float))
        if not weight > 0:
            raise ConfigError("mask: is empty; it must hold the particle")
        data = np.asarray((data - float((data * mask).sum(dtype=float)) / weight) * mask, REAL)
    k, power = radial_power_spectrum(data, voxel_size_angstrom, bins=bins, window=mask is None)
    marks = () if report is None else tuple(
        SpectrumMark(f.name, 1 / f.d_angstrom, f.d_angstrom, f.found, f.total)
        for f in report.families()
        if f.found
    )  # fmt: skip
    return RadialSpectrum(k, power, marks)
