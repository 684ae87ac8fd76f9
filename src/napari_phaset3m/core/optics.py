"""From the exit wave to the image: transfer function, coherence, detector.

The transfer of one image is ``base(k) * ex(kx) * ey(ky)``: ``base`` holds what all
images share, while defocus and shift are products of 1D vectors, so that a
thousand images with their own defocus need no thousand 2D arrays.

Focal spread sigma_f is a standard deviation (DESIGN section 2): abTEM's
``focal_spread`` is sqrt(2) sigma_f, a FWHM is 2.355 sigma_f.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from napari_phaset3m.core.aberrations import (
    aberration_gradient,
    aberration_phase,
    check_coefficients,
)
from napari_phaset3m.core.constants import interaction_constant, wavelength_angstrom
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Microscope:
    """What the images of a series share.

    Parameters
    ----------
    energy_ev : float
        Accelerating voltage, volts.
    spherical_aberration_angstrom : float
    focal_spread_angstrom : float
        Standard deviation of defocus.
    convergence_semiangle_rad : float
        Standard deviation of the illumination angle in one direction (not the
        half-angle of a top-hat cone).
    aberrations : mapping
        Krivanek coefficients besides C10 and C30 (see :mod:`.aberrations`).
    mtf : tuple of (sequence, sequence), optional
        Detector MTF: frequency as a fraction of Nyquist, value.
    phase_shift_rad : float
        Of a phase plate, phi: what was scattered (k > 0) goes ahead of the unscattered beam (k = 0) by it,
        so that images of weak phases show ``sin(chi - phi)``; in CTFFIND's terms, whose chi has the other
        sign, ``-sin(chi + phi)`` (Rohou & Grigorieff, J. Struct. Biol. 192 (2015) 216).

    Raises
    ------
    ConfigError
        A value is out of range, or an aberration is unknown.
    """

    energy_ev: float
    spherical_aberration_angstrom: float = 0.0
    focal_spread_angstrom: float = 0.0
    convergence_semiangle_rad: float = 0.0
    aberrations: Mapping[str, float] = field(default_factory=dict)
    mtf: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    phase_shift_rad: float = 0.0

    def __post_init__(self) -> None:
        wavelength_angstrom(self.energy_ev)
        for name in ("spherical_aberration_angstrom", "phase_shift_rad"):
            if not np.isfinite(getattr(self, name)):
                raise ConfigError(f"{name}: must be finite, not {getattr(self, name)}")
        for name in ("focal_spread_angstrom", "convergence_semiangle_rad"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"{name}: must be finite and not negative, not {value}")
        if {"C10", "C30"} & set(self.aberrations):
            raise ConfigError("aberrations: give C10 as defocus and C30 as spherical aberration")
        check_coefficients(self.aberrations)
        if self.mtf is not None:
            _check_mtf(*self.mtf)
        object.__setattr__(self, "aberrations", MappingProxyType(dict(self.aberrations)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy does not pickle; made anew, the copy is checked and frozen as this one is.
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return partial(type(self), **{**values, "aberrations": dict(self.aberrations)}), ()

    @property
    def wavelength_angstrom(self) -> float:
        return wavelength_angstrom(self.energy_ev)

    @property
    def sigma(self) -> float:
        """Interaction constant, rad / (V angstrom)."""
        return interaction_constant(self.energy_ev)

    def coefficients(self, defocus_angstrom: float = 0.0) -> dict[str, float]:
        """All Krivanek coefficients at a defocus (underfocus positive)."""
        shared = {"C10": -defocus_angstrom, "C30": self.spherical_aberration_angstrom}
        return {**shared, **self.aberrations}


def _check_mtf(frequency: Sequence[float], value: Sequence[float]) -> None:
    f, v = np.asarray(frequency, np.float64), np.asarray(value, np.float64)
    # np.interp answers nonsense, silently, for frequencies out of order.
    if f.ndim != 1 or f.shape != v.shape or f.size < 2 or not np.all(np.diff(f) > 0):
        raise ConfigError("mtf: give 2 or more rising frequencies (fraction of Nyquist), a value for each")
    if not (np.isfinite(f).all() and np.isfinite(v).all() and v.min() >= 0):
        raise ConfigError("mtf: values must be finite and not negative")


def temporal_envelope(k2: np.ndarray, wavelength: float, focal_spread: float) -> np.ndarray:
    """``exp(-1/2 (pi lambda sigma_f k^2)^2)``: coherent envelope of the focal spread."""
    return np.asarray(np.exp(-0.5 * (np.pi * wavelength * focal_spread * k2) ** 2))


def delocalisation_angstrom(
    microscope: Microscope, defocus_angstrom: Sequence[float] | np.ndarray, k_limit: float
) -> float:
    """Farthest that defocus and Cs move light from its atom, angstrom.

    Light of frequency k lands ``|grad chi| / 2 pi = |Cs lambda^3 k^3 - lambda df k|`` beside it
    (Lichte, Ultramicroscopy 38 (1991) 13).

    Parameters
    ----------
    microscope : Microscope
    defocus_angstrom : array_like
        Underfocus positive; the worst counts.
    k_limit : float
        Highest frequency looked at, 1/angstrom; beyond where the temporal envelope leaves 5 % nothing counts.
    """
    wavelength = microscope.wavelength_angstrom
    k = np.linspace(0.0, k_limit, 200)
    passed = temporal_envelope(k**2, wavelength, microscope.focal_spread_angstrom) > 0.05
    k = k[passed]
    cs = microscope.spherical_aberration_angstrom * wavelength**3 * k**3
    defoci = np.asarray(defocus_angstrom, np.float64).ravel()
    return float(np.abs(cs - wavelength * defoci[:, None] * k).max())


def transfer_base(grid: Grid, microscope: Microscope, envelope: bool) -> np.ndarray:
    """`(nx, ny)` complex64 transfer without defocus, shift and spatial coherence.

    ``exp(-i chi)``; a phase plate delays the unscattered beam, k = 0, by ``exp(-i phi)``.

    Parameters
    ----------
    grid : Grid
    microscope : Microscope
    envelope : bool
        Multiply by the temporal envelope (coherent approximation). False when the
        focal spread is summed incoherently.
    """
    wavelength = microscope.wavelength_angstrom
    chi = aberration_phase(grid.kx[:, None], grid.ky[None, :], wavelength, microscope.coefficients())
    transfer = np.exp(-1j * chi)
    transfer[grid.k2 == 0] *= np.exp(-1j * microscope.phase_shift_rad)
    if envelope:
        transfer *= temporal_envelope(grid.k2, wavelength, microscope.focal_spread_angstrom)
    return np.asarray(transfer, COMPLEX)


def defocus_vectors(grid: Grid, wavelength: float, defocus_angstrom: float) -> tuple[np.ndarray, np.ndarray]:
    """`(nx,)`, `(ny,)` complex64 whose outer product is ``exp(+i pi lambda Df k^2)``."""
    factor = 1j * np.pi * wavelength * defocus_angstrom
    return (
        np.asarray(np.exp(factor * grid.kx**2), COMPLEX),
        np.asarray(np.exp(factor * grid.ky**2), COMPLEX),
    )


def shift_vectors(grid: Grid, shift_px_yx: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """`(nx,)`, `(ny,)` complex64 that move a feature at p to p + shift (y, x; pixels)."""
    pixel = grid.pixel_size_angstrom
    shift_y, shift_x = shift_px_yx
    return (
        np.asarray(np.exp(-2j * np.pi * grid.kx * pixel * shift_x), COMPLEX),
        np.asarray(np.exp(-2j * np.pi * grid.ky * pixel * shift_y), COMPLEX),
    )


def spatial_envelope(grid: Grid, microscope: Microscope, defocus_angstrom: float) -> np.ndarray:
    """`(nx, ny)` float32 envelope of partial spatial coherence.

    ``exp(-1/2 (theta |grad chi| / lambda)^2)`` with theta the standard deviation
    of the illumination angle in one direction: illumination tilted by ``theta``
    moves the transfer by ``theta / lambda``, and a Gaussian mean over that is exact
    for weak objects to first order of chi in the tilt (Frank, Optik 38 (1973) 519;
    Kirkland 2010, 3.2, whose 1/e half-angle is sqrt(2) theta).
    """
    dx, dy = aberration_gradient(
        grid.kx[:, None],
        grid.ky[None, :],
        microscope.wavelength_angstrom,
        microscope.coefficients(defocus_angstrom),
    )
    spread = microscope.convergence_semiangle_rad / microscope.wavelength_angstrom
    return np.asarray(np.exp(-0.5 * spread**2 * (dx**2 + dy**2)), REAL)


def focal_quadrature(focal_spread_angstrom: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes of a Gaussian focal spread.

    Returns
    -------
    offsets, weights : ndarray
        `(n,)` defocus offsets (angstrom) and weights that sum to 1; exact for
        polynomials in defocus up to degree 2n - 1.

    Raises
    ------
    ConfigError
        ``n`` is not positive.
    """
    if n < 1:
        raise ConfigError(f"quadrature_points: must be at least 1, not {n}")
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return nodes * focal_spread_angstrom, weights / weights.sum()


def detector_mtf(grid: Grid, microscope: Microscope) -> np.ndarray:
    """`(nx, ny // 2 + 1)` float32 radial MTF for ``rfft2``; ones when none is given."""
    ky = np.abs(grid.ky[: grid.ny // 2 + 1])
    if microscope.mtf is None:
        return np.ones((grid.nx, ky.size), REAL)
    frequency, value = (np.asarray(v, np.float64) for v in microscope.mtf)
    radius = np.hypot(grid.kx[:, None], ky[None, :]) / grid.nyquist
    return np.asarray(np.interp(radius, frequency, value), REAL)


def ctf_curve(k: np.ndarray, microscope: Microscope, defocus_angstrom: float) -> np.ndarray:
    """Phase contrast transfer ``sin(chi - phi)`` along +x with its envelopes, for plots; phi: phase plate.

    Parameters
    ----------
    k : ndarray
        Spatial frequency, 1/angstrom.

    Returns
    -------
    ndarray
        Float64. A weak phase p gives the contrast ``I - 1 = 2 p sin(chi - phi)``: negative
        (atoms dark) in underfocus at low k. Envelopes are the coherent ones.
    """
    k = np.asarray(k, np.float64)
    coefficients = microscope.coefficients(defocus_angstrom)
    wavelength = microscope.wavelength_angstrom
    chi = aberration_phase(k, np.zeros_like(k), wavelength, coefficients)
    dx, dy = aberration_gradient(k, np.zeros_like(k), wavelength, coefficients)
    spread = microscope.convergence_semiangle_rad / wavelength
    spatial = np.exp(-0.5 * spread**2 * (dx**2 + dy**2))
    temporal = temporal_envelope(k**2, wavelength, microscope.focal_spread_angstrom)
    return np.asarray(np.sin(chi - microscope.phase_shift_rad) * temporal * spatial)
