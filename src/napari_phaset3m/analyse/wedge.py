"""The missing wedge: which part of Fourier space a tilt series measures, and what lies in the rest.

The image at tilt t sums along z', so it fills the plane normal to z' (projection-slice
theorem). With ``x' = x cos t - z sin t`` that plane holds the y axis and the direction
``(kx, kz) = (cos t, -sin t)``: a point belongs to the tilt ``tan t = -kz / kx``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport

#: Points this close to the border, degrees, count as measured (rounding of the angle).
_EDGE_DEG = 1e-6


def fourier_tilt_deg(kz: np.ndarray, kx: np.ndarray) -> np.ndarray:
    """Tilt whose image plane holds a Fourier point, whatever its ky.

    Parameters
    ----------
    kz, kx : ndarray
        Frequencies along the beam at zero tilt and across the tilt axis, any one unit; they
        broadcast.

    Returns
    -------
    ndarray
        Degrees in [-90, 90], float64; 0 on the tilt axis itself, which every image holds.
    """
    kz, kx = np.broadcast_arrays(np.asarray(kz, float), np.asarray(kx, float))
    return np.asarray(np.degrees(np.arctan2(-kz * np.where(kx < 0, -1, 1), np.abs(kx))))


def wedge_gap(kz: np.ndarray, kx: np.ndarray, tilt_deg: Sequence[float] | np.ndarray) -> np.ndarray:
    """Distance of Fourier points from the measured region; 0 inside it.

    Parameters
    ----------
    kz, kx : ndarray
        Frequencies, 1/angstrom; they broadcast.
    tilt_deg : sequence of float
        Measured tilts; the region is everything from the lowest to the highest.

    Returns
    -------
    ndarray
        float64, 1/angstrom. A crystal of diameter D blurs each peak to about 1/D, so a peak
        that lies much deeper than that owes nothing to the measured side.
    """
    tilts = _checked_tilts(tilt_deg)
    angle = fourier_tilt_deg(kz, kx)
    # A plane repeats after half a turn: -90 and +90 degrees are the same one.
    turns = [np.maximum(tilts.min() - (angle + s), (angle + s) - tilts.max()) for s in (-180.0, 0.0, 180.0)]
    excess = np.minimum.reduce(turns)
    excess = np.where(excess <= _EDGE_DEG, 0.0, excess)
    return np.asarray(np.hypot(kz, kx) * np.sin(np.radians(np.minimum(excess, 90.0))))


def measured_region(
    shape: tuple[int, int, int],
    tilt_deg: Sequence[float] | np.ndarray,
    *,
    voxel_size_angstrom: float,
    particle_diameter_angstrom: float | None = None,
) -> np.ndarray:
    """Fourier voxels that a tilt series about y has measured.

    Parameters
    ----------
    shape : tuple of int
        (nz, ny, nx) of the volume.
    tilt_deg : sequence of float
        Tilts, degrees, in any order.
    voxel_size_angstrom : float
    particle_diameter_angstrom : float, optional
        D. When given, a voxel counts when it lies within 1/(2 D) of the plane of one of the
        tilts: the transform of a particle of that size varies over 1/D, so each image fills a
        slab of that thickness (Crowther, DeRosier and Klug, Proc. R. Soc. Lond. A 317 (1970)
        319). When omitted, everything between the lowest and the highest tilt counts.

    Returns
    -------
    ndarray
        `(nz, ny, nx)` bool, fftshifted (zero frequency at ``n // 2``); symmetric under k to -k.

    Raises
    ------
    ConfigError
        No tilt, a tilt that is not finite, or a length that is not positive.
    """
    tilts = _checked_tilts(tilt_deg)
    _check_positive("voxel_size_angstrom", voxel_size_angstrom)
    kz, kx = (np.fft.fftshift(np.fft.fftfreq(n, voxel_size_angstrom)) for n in (shape[0], shape[2]))
    kz, kx = kz[:, None], kx[None, :]
    if particle_diameter_angstrom is None:
        plane = wedge_gap(kz, kx, tilts) == 0
    else:
        _check_positive("particle_diameter_angstrom", particle_diameter_angstrom)
        plane = np.zeros((shape[0], shape[2]), bool)
        for t in np.radians(tilts):
            # 1e-9: a voxel exactly on the slab's face belongs to it whatever the rounding
            plane |= np.abs(kx * np.sin(t) + kz * np.cos(t)) <= (0.5 + 1e-9) / particle_diameter_angstrom
    # Only the Nyquist rows of an even axis, which stand for both signs, are not symmetric yet.
    plane |= _friedel_mates(plane)
    return np.ascontiguousarray(np.broadcast_to(plane[:, None, :], shape))


def _friedel_mates(plane: np.ndarray) -> np.ndarray:
    """Values at -k of an fftshifted array."""
    for axis, n in enumerate(plane.shape):
        plane = np.flip(plane, axis)
        if n % 2 == 0:
            plane = np.roll(plane, 1, axis)
    return plane


@dataclass(frozen=True, slots=True, eq=False)
class WedgeCompleteness:
    """How much of the missing wedge a volume holds.

    Parameters
    ----------
    frequency_per_angstrom : ndarray
        `(n,)` centres of the shells.
    power_ratio : ndarray
        `(n,)` mean power in the wedge over mean power in the measured region; 1 when the wedge
        is as full as the rest, 0 when it is empty, NaN where a shell lies in one region only.
    wedge_fraction : float
        Part of the Fourier voxels up to Nyquist that lies in the wedge.
    found, expected : int or None
        Bragg pairs in the wedge, when a peak report was given.
    found_measured, expected_measured : int or None
        The same in the measured region.
    deep_found, deep_expected : int or None
        Of the pairs in the wedge those deeper in it than the window blurs a peak over its border.
    """

    frequency_per_angstrom: np.ndarray
    power_ratio: np.ndarray
    wedge_fraction: float
    found: int | None = None
    expected: int | None = None
    found_measured: int | None = None
    expected_measured: int | None = None
    deep_found: int | None = None
    deep_expected: int | None = None

    def __post_init__(self) -> None:
        self.frequency_per_angstrom.flags.writeable = False
        self.power_ratio.flags.writeable = False

    @property
    def peak_fraction(self) -> float | None:
        """Fraction of the expected Bragg pairs in the wedge that were found; None when not counted."""
        return self.found / self.expected if self.found is not None and self.expected else None

    def rows(self) -> list[dict[str, float]]:
        """One row per shell."""
        return [
            {"frequency_per_angstrom": float(k), "wedge_to_measured_power": float(r)}
            for k, r in zip(self.frequency_per_angstrom, self.power_ratio, strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; NaN becomes None."""
        return {
            "frequency_per_angstrom": self.frequency_per_angstrom.tolist(),
            "wedge_to_measured_power": [float(r) if np.isfinite(r) else None for r in self.power_ratio],
            "wedge_fraction": self.wedge_fraction,
            "wedge_peaks_found": self.found,
            "wedge_peaks_expected": self.expected,
            "deep_wedge_peaks_found": self.deep_found,
            "deep_wedge_peaks_expected": self.deep_expected,
            "measured_peaks_found": self.found_measured,
            "measured_peaks_expected": self.expected_measured,
        }

    def statement(self) -> str:
        """One sentence; says so when peaks were not counted."""
        text = f"The missing wedge is {self.wedge_fraction:.0%} of Fourier space"
        if self.found is None:
            return f"{text}; Bragg peaks in it were not counted."
        return (
            f"{text}; {self.found} of {self.expected} expected Bragg pairs in it stand out "
            f"({self.deep_found} of {self.deep_expected} deeper in it than the window blurs), "
            f"and {self.found_measured} of {self.expected_measured} outside it."
        )


def wedge_completeness(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    tilt_deg: Sequence[float] | np.ndarray,
    *,
    mask: np.ndarray | None = None,
    report: BraggReport | None = None,
) -> WedgeCompleteness:
    """Compare the missing wedge with the measured region, shell by shell.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    tilt_deg : sequence of float
        Tilts of the series the volume came from, degrees.
    mask : ndarray, optional
        `(nz, ny, nx)` in [0, 1], soft: the particle. Its transform blurs Fourier space, so a
        mask of diameter D carries measured power about 1/D into the wedge.
    report : BraggReport, optional
        Of the same volume, made with the tilts: adds the counts of peaks.

    Returns
    -------
    WedgeCompleteness
        To compare two reconstructions (with and without positivity, say), give both the same
        mask.

    Raises
    ------
    ConfigError
        The mask has another shape, or see :func:`measured_region`.
    """
    measured = measured_region(volume.shape, tilt_deg, voxel_size_angstrom=voxel_size_angstrom)
    power = _centred_power(volume, mask)
    n = max(volume.shape) // 2
    width = 1 / (2 * voxel_size_angstrom * n)
    axes = [np.fft.fftshift(np.fft.fftfreq(m, voxel_size_angstrom)) ** 2 for m in volume.shape]
    radius = np.sqrt(axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :])
    shell = np.minimum((radius / width).astype(np.int32), n)
    inside = radius > 0
    mean = []
    for region in (~measured & inside, measured & inside):
        count = np.bincount(shell[region], minlength=n + 1)[:n]
        total = np.bincount(shell[region], power[region], n + 1)[:n]
        mean.append(np.divide(total, count, out=np.full(n, np.nan), where=count > 0))
    ratio = np.divide(mean[0], mean[1], out=np.full(n, np.nan), where=mean[1] > 0)
    ball = shell < n
    counts = report.counts() if report is not None else (None, None, None, None)
    deep = report.deep_counts() if report is not None else (None, None)
    frequency = (np.arange(n) + 0.5) * width
    return WedgeCompleteness(frequency, ratio, float((~measured & ball).sum() / ball.sum()), *counts, *deep)


def _centred_power(volume: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    from scipy import fft

    data = np.asarray(volume, REAL)
    if mask is not None:
        if mask.shape != data.shape:
            raise ConfigError(f"mask: has shape {mask.shape}, but the volume {data.shape}")
        weight = float(mask.sum())
        if not weight > 0:
            raise ConfigError("mask: is empty; it must hold the particle")
        data = (data - float((data * mask).sum()) / weight) * mask
    spectrum = fft.fftshift(fft.fftn(np.asarray(data, REAL), workers=1))
    return np.asarray(spectrum.real**2 + spectrum.imag**2)


def _checked_tilts(tilt_deg: Sequence[float] | np.ndarray) -> np.ndarray:
    tilts = np.asarray(tilt_deg, float).ravel()
    if tilts.size == 0 or not np.isfinite(tilts).all():
        raise ConfigError("tilt_deg: needs at least one tilt, all of them finite")
    return tilts


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name}: must be positive, not {value}")
