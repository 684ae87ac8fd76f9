"""Spectral signal-to-noise ratio: of focal series by theory, and of volumes from half sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from napari_phaset3m.analyse.ctf import CtfCurve, ctf
from napari_phaset3m.analyse.fsc_curve import FscCurve
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError

#: Transfer below this fraction of what the envelope lets through counts as a gap.
GAP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SsnrCurve:
    """SSNR of the best linear combination of a focal series.

    Attributes
    ----------
    frequency_per_angstrom : ndarray
        `(n,)`.
    ssnr : ndarray
        `(n,)` of all images together, dimensionless.
    per_image : ndarray
        `(n_focus, n)` share of each image; they add up to ``ssnr``.
    defocus_angstrom : tuple of float
    signal_to_noise : ndarray
        `(n,)` of one image whose transfer is 1: the S/N that ``per_image`` is a fraction of.
    envelope : ndarray
        `(n,)` ``signal_to_noise`` times n_focus times the mean squared envelope: what would be reached
        if ``sin chi`` were 1 everywhere.
    model : str
        The formula, in words.
    diffraction_limit_per_angstrom, information_limit_per_angstrom : float or None
        See :class:`.ctf.CtfCurve`.
    """

    frequency_per_angstrom: np.ndarray
    ssnr: np.ndarray
    per_image: np.ndarray
    defocus_angstrom: tuple[float, ...]
    signal_to_noise: np.ndarray
    envelope: np.ndarray
    model: str
    diffraction_limit_per_angstrom: float | None = None
    information_limit_per_angstrom: float | None = None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def efficiency(self) -> np.ndarray:
        """`(n,)` ``ssnr`` over ``envelope``: mean ``sin^2 chi`` of the images, 0..1."""
        share = np.zeros_like(self.ssnr)
        return np.asarray(np.divide(self.ssnr, self.envelope, out=share, where=self.envelope > 0))

    def gaps(self) -> list[tuple[float, float]]:
        """Bands, 1/angstrom, up to the information limit where the efficiency is under 0.1.

        One defocus leaves a gap at every zero of its CTF; more defoci fill them.
        """
        k = self.frequency_per_angstrom
        low = (self.efficiency < GAP) & (self.envelope > 0)
        if self.information_limit_per_angstrom is not None:
            low &= k <= self.information_limit_per_angstrom
        edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(int)))
        return [(float(k[a]), float(k[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def rows(self) -> list[dict[str, float]]:
        """One row per frequency."""
        rows = []
        for i, k in enumerate(self.frequency_per_angstrom):
            row = {"frequency_per_angstrom": float(k), "ssnr": float(self.ssnr[i])}
            for focus, defocus in enumerate(self.defocus_angstrom):
                row[f"ssnr_image_{focus + 1}_at_{defocus:.0f}_angstrom"] = float(self.per_image[focus, i])
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        plain["defocus_angstrom"] = list(self.defocus_angstrom)
        return {**plain, "efficiency": self.efficiency.tolist(), "gaps_per_angstrom": self.gaps()}

    def statement(self) -> str:
        """Defoci and gaps in one sentence."""
        foci = ", ".join(f"{value / 10:.0f}" for value in self.defocus_angstrom)
        gaps = self.gaps()
        fine = [band_words(1 / b, 1 / a) for a, b in gaps if a > 0][:4]
        text = f"{len(gaps)} bands transfer less than {GAP:.0%}" if gaps else "no band is left out"
        listed = f" ({', '.join(fine)}{' ...' if len(gaps) > len(fine) else ''})" if fine else ""
        what = "One focus" if len(self.defocus_angstrom) == 1 else "Focal series"
        return f"{what} at {foci} nm: {text}{listed}. {self.model}"


def band_words(fine: float, coarse: float) -> str:
    """``1.28 Å`` or ``1.28–1.31 Å``: lengths that look alike are told once."""
    ends = list(dict.fromkeys(f"{length:.2f}" for length in (fine, coarse)))
    return f"{'–'.join(ends)} Å"


def series_defoci(series: TiltFocalSeries, asked: Sequence[float] | None = None) -> tuple[np.ndarray, str]:
    """Defoci to show the transfer of: those asked for, or the series' own at the tilt nearest to 0.

    Parameters
    ----------
    series : TiltFocalSeries
    asked : sequence of float, optional
        Any set, angstrom, underfocus positive.

    Returns
    -------
    defoci : ndarray
        Sorted, angstrom.
    where : str
        What they are, in words.

    Raises
    ------
    DataError
        None were asked for, and the series states none.
    """
    if asked is not None and len(asked):
        return np.sort(np.asarray(asked, float)), "at the defoci asked for"
    if series.defocus_angstrom is None:
        raise DataError("is missing in the series", field="defocus_values", remedy="Give it with --defocus")
    tilt = int(np.argmin(np.abs(series.tilt_deg)))
    where = f"at the tilt nearest to 0° ({series.tilt_deg[tilt]:g}°), defocus at the rotation centre"
    return np.sort(series.defocus_angstrom[tilt]), where


def focal_ssnr(
    microscope: Microscope,
    defoci_angstrom: Sequence[float] | np.ndarray,
    *,
    signal_to_noise: float | np.ndarray | Callable[[np.ndarray], np.ndarray] = 1.0,
    frequency_per_angstrom: Sequence[float] | np.ndarray | None = None,
    pixel_size_angstrom: float | None = None,
    aperture_semiangle_mrad: float | None = None,
) -> SsnrCurve:
    """SSNR of a 2D focal series of a weak phase object, for any set of defoci.

    Each image is ``C_i(k) S(k) + noise`` with ``C = sin(chi) E_temporal E_spatial`` and white noise
    of one power N. The least-squares estimate of S from all of them has

    ``SSNR(k) = sum_i C_i(k)^2 |S(k)|^2 / N``

    (Schiske, 1968, reprinted in J. Microsc. 207 (2002) 154; Saxton, 1978, ch. 9, for focal series;
    Penczek, Methods Enzymol. 482 (2010) 73, for the SSNR). Linear imaging: multiple scattering and
    second-order terms are left out.

    Parameters
    ----------
    microscope : Microscope
    defoci_angstrom : sequence of float
        Underfocus positive; as many as there are images.
    signal_to_noise : float, ndarray or callable
        ``|S|^2 / N`` of one image at full transfer: a number, `(n,)` values, or a function of
        frequency; :func:`shot_noise_ratio` gives it from dose and phase.
    frequency_per_angstrom, pixel_size_angstrom, aperture_semiangle_mrad
        As :func:`.ctf.ctf`.

    Raises
    ------
    ConfigError
        No defocus, or a value is out of range.
    """
    defoci = tuple(float(value) for value in np.asarray(defoci_angstrom, float).ravel())
    if not defoci or not np.isfinite(defoci).all():
        raise ConfigError("defoci_angstrom: needs at least one finite value")
    curves: list[CtfCurve] = [
        ctf(
            microscope, value, frequency_per_angstrom=frequency_per_angstrom,
            pixel_size_angstrom=pixel_size_angstrom, aperture_semiangle_mrad=aperture_semiangle_mrad,
        )
        for value in defoci
    ]  # fmt: skip
    k = curves[0].frequency_per_angstrom
    given = signal_to_noise(k) if callable(signal_to_noise) else signal_to_noise
    ratio = np.array(np.broadcast_to(np.asarray(given, float), k.shape))
    if not (np.isfinite(ratio).all() and ratio.min() >= 0):
        raise ConfigError("signal_to_noise: must be finite and not negative")
    per_image = np.stack([curve.transfer**2 * ratio for curve in curves])
    return SsnrCurve(
        frequency_per_angstrom=k,
        ssnr=per_image.sum(0),
        per_image=per_image,
        defocus_angstrom=defoci,
        signal_to_noise=ratio,
        envelope=np.sum([curve.envelope**2 * ratio for curve in curves], axis=0),
        model="Model: SSNR = sum over images of (sin χ × envelopes)² × S/N, weak phase object.",
        diffraction_limit_per_angstrom=curves[0].diffraction_limit_per_angstrom,
        information_limit_per_angstrom=min(
            (
                c.information_limit_per_angstrom
                for c in curves
                if c.information_limit_per_angstrom is not None
            ),
            default=None,
        ),
    )


def shot_noise_ratio(
    phase_power: float | np.ndarray, dose_per_image: float, pixel_size_angstrom: float
) -> Any:
    """``|S|^2 / N`` of one counted image whose contrast is ``2 phase`` at full transfer.

    Poisson noise of the relative intensity has the variance ``1 / (dose pixel^2)`` per pixel, white.

    Parameters
    ----------
    phase_power : float or ndarray
        Power of the phase per Fourier point, ``|FFT(phase)|^2 / n_pixels``, rad^2 (the normalisation
        of :func:`.fourier.power_spectrum_2d`: white noise of variance s has the mean s).
    dose_per_image : float
        Electrons per square angstrom.
    pixel_size_angstrom : float

    Raises
    ------
    ConfigError
        Dose or pixel is not positive.
    """
    if not (dose_per_image > 0 and pixel_size_angstrom > 0):
        raise ConfigError("dose_per_image, pixel_size_angstrom: must be positive")
    return 4 * np.asarray(phase_power, float) * dose_per_image * pixel_size_angstrom**2


def ssnr_from_fsc(curve: FscCurve, *, whole: bool = True) -> np.ndarray:
    """SSNR of a reconstruction from the FSC of its half sets.

    ``FSC = SSNR_half / (1 + SSNR_half)``, and the whole has twice the SSNR of a half (Frank and
    Al-Ali, Nature 256 (1975) 376; Unser, Trus and Steven, Ultramicroscopy 23 (1987) 39).

    Parameters
    ----------
    curve : FscCurve
        Its ``best`` curve is used.
    whole : bool
        Of both halves together; False: of one half.

    Returns
    -------
    ndarray
        `(n,)`; 0 where the FSC is not positive, infinite where it is 1, NaN without Fourier voxels.
    """
    value = np.array(curve.best)
    positive = np.where(value > 0, value, np.where(np.isnan(value), np.nan, 0.0))
    rest = 1 - positive
    half = np.divide(positive, rest, out=np.full_like(positive, np.inf), where=rest > 0)
    half = np.where(np.isnan(value), np.nan, half)
    return np.asarray(2 * half if whole else half)
