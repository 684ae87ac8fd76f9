"""Contrast transfer of the microscope as curves: what reaches the image at each frequency, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.core.aberrations import aberration_gradient, aberration_phase
from napari_phaset3m.core.optics import Microscope, temporal_envelope
from napari_phaset3m.errors import ConfigError, DataError

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries

#: An envelope's limit: where it has fallen to exp(-2) (the usual information limit).
INFORMATION_LEVEL = float(np.exp(-2))
#: Points of a curve when none are given: enough for the rings of large defoci.
POINTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CtfCurve:
    """Contrast transfer along one direction at one defocus.

    Attributes
    ----------
    frequency_per_angstrom : ndarray
        `(n,)`.
    phase_shift_rad : ndarray
        `(n,)` aberration phase chi, less the phase shift phi of a phase plate.
    phase_transfer, amplitude_transfer : ndarray
        `(n,)` sine and cosine of that, without envelopes. A weak phase p and a weak absorption a
        give the contrast ``I - 1 = 2 p sin(chi - phi) - 2 a cos(chi - phi)`` times the envelopes.
    temporal_envelope, spatial_envelope : ndarray
        `(n,)` of the focal spread, ``exp(-1/2 (pi lambda sigma_f k^2)^2)``, and of the illumination
        angle, ``exp(-1/2 (theta grad chi / lambda)^2)`` (Frank, Optik 38 (1973) 519; Wade and Frank,
        Optik 49 (1977) 81).
    defocus_angstrom : float
        Underfocus positive.
    azimuth_deg : float
        Direction, from +x (columns) towards +y (rows).
    diffraction_limit_per_angstrom : float or None
        ``aperture half-angle / lambda``; None without an aperture. Nothing passes beyond it.
    temporal_limit_per_angstrom, spatial_limit_per_angstrom : float or None
        Where the envelope has fallen to exp(-2); None when it does not within the curve.
    sampling_limit_per_angstrom : float or None
        Nyquist frequency of the pixel, when one was given.
    """

    frequency_per_angstrom: np.ndarray
    phase_shift_rad: np.ndarray
    phase_transfer: np.ndarray
    amplitude_transfer: np.ndarray
    temporal_envelope: np.ndarray
    spatial_envelope: np.ndarray
    defocus_angstrom: float
    azimuth_deg: float
    diffraction_limit_per_angstrom: float | None
    temporal_limit_per_angstrom: float | None
    spatial_limit_per_angstrom: float | None
    sampling_limit_per_angstrom: float | None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def envelope(self) -> np.ndarray:
        """`(n,)` both envelopes, 0 beyond the aperture."""
        value = self.temporal_envelope * self.spatial_envelope
        if self.diffraction_limit_per_angstrom is not None:
            value = value * (self.frequency_per_angstrom <= self.diffraction_limit_per_angstrom)
        return np.asarray(value)

    @property
    def transfer(self) -> np.ndarray:
        """`(n,)` ``sin chi`` times the envelope: the contrast of a weak phase is 2 p times this."""
        return np.asarray(self.phase_transfer * self.envelope)

    @property
    def information_limit_per_angstrom(self) -> float | None:
        """The lowest of the limits of aperture and envelopes; None when there is none."""
        limits = (
            self.diffraction_limit_per_angstrom,
            self.temporal_limit_per_angstrom,
            self.spatial_limit_per_angstrom,
        )
        return min((limit for limit in limits if limit is not None), default=None)

    def rows(self) -> list[dict[str, float]]:
        """One row per frequency."""
        columns = {
            "frequency_per_angstrom": self.frequency_per_angstrom,
            "transfer": self.transfer,
            "sin_chi": self.phase_transfer,
            "temporal_envelope": self.temporal_envelope,
            "spatial_envelope": self.spatial_envelope,
        }
        return [
            {name: float(column[i]) for name, column in columns.items()}
            for i in range(self.frequency_per_angstrom.size)
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        return {**plain, "information_limit_per_angstrom": self.information_limit_per_angstrom}

    def statement(self) -> str:
        """Defocus and limits in one sentence."""
        limits = (
            ("aperture (diffraction limit)", self.diffraction_limit_per_angstrom),
            ("temporal coherence (exp(-2))", self.temporal_limit_per_angstrom),
            ("spatial coherence (exp(-2))", self.spatial_limit_per_angstrom),
            ("pixel (Nyquist)", self.sampling_limit_per_angstrom),
        )
        told = [f"{name} {1 / value:.2f} Å" for name, value in limits if value is not None]
        text = ", ".join(told) if told else "none within the curve"
        return f"CTF at {self.defocus_angstrom:.0f} Å underfocus; limits: {text}."


def series_microscope(
    series: TiltFocalSeries,
    *,
    convergence_semiangle_mrad: float | None = None,
    pixel_size_angstrom: float | None = None,
) -> Microscope:
    """The microscope that a series states.

    Parameters
    ----------
    series : TiltFocalSeries
    convergence_semiangle_mrad : float, optional
        In place of the series' own; 0 where neither is known.
    pixel_size_angstrom : float, optional
        Of the grid that the images are resampled to: the MTF is a curve over fractions of *their*
        Nyquist frequency.

    Raises
    ------
    DataError
        The spherical aberration is not known.
    """
    if series.spherical_aberration_angstrom is None:
        raise DataError("is missing", field="spherical_aberration", remedy="Give it with --cs")
    convergence = convergence_semiangle_mrad
    if convergence is None:
        convergence = series.convergence_semiangle_mrad
    mtf = None
    if series.mtf is not None:
        coarser = (pixel_size_angstrom or series.pixel_size_angstrom) / series.pixel_size_angstrom
        mtf = tuple(series.mtf[:, 0] * coarser), tuple(series.mtf[:, 1])
    return Microscope(
        series.energy_ev,
        series.spherical_aberration_angstrom,
        series.resolved_focal_spread_angstrom,
        (convergence or 0.0) * 1e-3,
        series.aberrations,
        mtf,
        float(np.radians(series.phase_shift_deg or 0.0)),
    )


def frequencies(
    microscope: Microscope, pixel_size_angstrom: float | None, aperture_mrad: float | None
) -> np.ndarray:
    """`(POINTS,)` from 0 to Nyquist; without a pixel to the aperture, else to 1/angstrom."""
    if pixel_size_angstrom is not None:
        if not pixel_size_angstrom > 0:
            raise ConfigError(f"pixel_size_angstrom: must be positive, not {pixel_size_angstrom}")
        end = 0.5 / pixel_size_angstrom
    elif aperture_mrad is not None:
        end = 1.2 * aperture_mrad * 1e-3 / microscope.wavelength_angstrom
    else:
        end = 1.0
    return np.linspace(0, end, POINTS)


def ctf(
    microscope: Microscope,
    defocus_angstrom: float,
    *,
    frequency_per_angstrom: Sequence[float] | np.ndarray | None = None,
    pixel_size_angstrom: float | None = None,
    aperture_semiangle_mrad: float | None = None,
    azimuth_deg: float = 0.0,
) -> CtfCurve:
    """Contrast transfer function at a defocus, with its envelopes and limits.

    Parameters
    ----------
    microscope : Microscope
        :func:`series_microscope` makes one from a series.
    defocus_angstrom : float
        Underfocus positive.
    frequency_per_angstrom : array_like, optional
        Up to Nyquist when a pixel is given, else 1.2 times the aperture, else 1/angstrom.
    pixel_size_angstrom : float, optional
    aperture_semiangle_mrad : float, optional
        Half-angle of the objective aperture; it sets the diffraction limit.
    azimuth_deg : float
        Matters with astigmatism only.

    Raises
    ------
    ConfigError
        A value is out of range.
    """
    if aperture_semiangle_mrad is not None and not aperture_semiangle_mrad > 0:
        raise ConfigError(f"aperture_semiangle_mrad: must be positive, not {aperture_semiangle_mrad}")
    if frequency_per_angstrom is None:
        k = frequencies(microscope, pixel_size_angstrom, aperture_semiangle_mrad)
    else:
        k = np.array(frequency_per_angstrom, float)
    if k.ndim != 1 or k.size == 0 or not (np.isfinite(k).all() and k.min() >= 0):
        raise ConfigError("frequency_per_angstrom: needs one axis of finite values that are not negative")
    wavelength, angle = microscope.wavelength_angstrom, np.radians(azimuth_deg)
    kx, ky = k * np.cos(angle), k * np.sin(angle)
    coefficients = microscope.coefficients(defocus_angstrom)
    chi = aberration_phase(kx, ky, wavelength, coefficients) - microscope.phase_shift_rad
    dx, dy = aberration_gradient(kx, ky, wavelength, coefficients)
    spread = microscope.convergence_semiangle_rad / wavelength
    spatial = np.exp(-0.5 * spread**2 * (dx**2 + dy**2))
    temporal = temporal_envelope(k**2, wavelength, microscope.focal_spread_angstrom)
    aperture = None if aperture_semiangle_mrad is None else aperture_semiangle_mrad * 1e-3 / wavelength
    return CtfCurve(
        frequency_per_angstrom=k,
        phase_shift_rad=chi,
        phase_transfer=np.sin(chi),
        amplitude_transfer=np.cos(chi),
        temporal_envelope=temporal,
        spatial_envelope=spatial,
        defocus_angstrom=float(defocus_angstrom),
        azimuth_deg=float(azimuth_deg),
        diffraction_limit_per_angstrom=aperture,
        temporal_limit_per_angstrom=_temporal_limit(wavelength, microscope.focal_spread_angstrom),
        spatial_limit_per_angstrom=_falls(k, spatial),
        sampling_limit_per_angstrom=None if pixel_size_angstrom is None else 0.5 / pixel_size_angstrom,
    )


def _temporal_limit(wavelength: float, focal_spread: float) -> float | None:
    """``sqrt(2 / (pi lambda sigma_f))``: where the temporal envelope is exp(-2)."""
    return None if focal_spread == 0 else float(np.sqrt(2 / (np.pi * wavelength * focal_spread)))


def _falls(k: np.ndarray, envelope: np.ndarray) -> float | None:
    """First frequency at which an envelope is below the level for good."""
    high = np.flatnonzero(envelope >= INFORMATION_LEVEL)
    if high.size == 0 or high[-1] == k.size - 1:
        return None
    i = int(high[-1])
    share = (envelope[i] - INFORMATION_LEVEL) / (envelope[i] - envelope[i + 1])
    return float(k[i] + share * (k[i + 1] - k[i]))
