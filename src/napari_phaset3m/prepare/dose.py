"""Dose weighting: high frequencies of a beam-sensitive specimen fade while it is exposed.

After N electrons per square angstrom the amplitude at spatial frequency k is down to

    q(k, N) = exp(-N / (2 Ne(k))),    Ne(k) = a k^b + c

with a = 0.245, b = −1.665, c = 2.81 (k in 1/angstrom, e/angstrom^2, 300 kV; fitted to rotavirus images by
Grant & Grigorieff, eLife 4 (2015) e06980). At other voltages Ne is multiplied by the
ratio of beta^2 = (v/c)^2, to which damage by ionisation is inversely proportional: 0.80 at 200 kV, the factor
that they give. For inorganic crystals and for knock-on damage this curve means nothing: off by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field
from scipy import fft
from scipy.constants import c as light_speed
from scipy.constants import e as charge
from scipy.constants import m_e

from napari_phaset3m.config import Model, PositiveFloat
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import changed_images

_REFERENCE_EV = 300e3
_LINE = 8192


class CriticalDose(Model):
    """Curve of the critical dose."""

    a: PositiveFloat = Field(
        0.245, title="Curve a", description="Ne = a k^b + c at 300 kV: a, e/Å² (k in 1/Å)"
    )
    b: float = Field(-1.665, le=0, title="Curve b", description="Ne = a k^b + c: b")
    c: float = Field(2.81, ge=0, title="Curve c", description="Ne = a k^b + c: c, e/Å²")
    scale: PositiveFloat = Field(
        1.0,
        title="Curve scale",
        description="Factor on the critical dose of this specimen (more than 1: less sensitive)",
    )


class DoseConfig(CriticalDose):
    """Dose weighting."""

    order: Literal["auto", "listed", "symmetric", "rising", "falling"] = Field(
        "auto",
        description="Order of exposure: auto (as the file says), listed (as the images lie), symmetric "
        "(from 0° outwards), rising or falling tilt; foci of a tilt follow each other",
    )
    before_e_per_angstrom2: float = Field(0.0, ge=0, description="Dose before the first image, e/Å²")
    keep_noise: bool = Field(
        True, description="Keep the noise power of the series at each frequency (weights tilts, no blur)"
    )


def voltage_factor(energy_ev: float) -> float:
    """Critical dose relative to 300 kV: ratio of beta^2 = 1 - 1 / (1 + eU / mc^2)^2."""

    def beta2(energy: float) -> float:
        return float(1 - (1 + energy * charge / (m_e * light_speed**2)) ** -2)

    return beta2(energy_ev) / beta2(_REFERENCE_EV)


def critical_dose(k: np.ndarray, config: CriticalDose, energy_ev: float) -> np.ndarray:
    """Ne(k), electrons per square angstrom; infinite at k = 0.

    Parameters
    ----------
    k : ndarray
        1/angstrom.
    config : CriticalDose
    energy_ev : float
    """
    k = np.asarray(k, np.float64)
    with np.errstate(divide="ignore"):
        curve = config.a * np.where(k > 0, k, np.nan) ** config.b + config.c
    factor = voltage_factor(energy_ev) * config.scale
    return np.where(k > 0, curve, np.inf) * factor


def dose_filter(k: np.ndarray, dose: float, config: CriticalDose, energy_ev: float) -> np.ndarray:
    """q(k, N): what is left of the amplitude at k (1/angstrom) after ``dose`` e/angstrom^2."""
    return np.asarray(np.exp(-dose / (2 * critical_dose(k, config, energy_ev))))


def accumulated_dose(series: TiltFocalSeries, config: DoseConfig) -> np.ndarray:
    """`(n_tilt, n_focus)`: dose that the specimen had taken at the middle of each exposure, e/angstrom^2.

    With order ``auto`` the metadata's ``prior_dose`` (of an .mdoc) counts, else its ``exposure_order``.

    Raises
    ------
    DataError
        The series states no dose, or no order where ``auto`` needs one.
    """
    if series.dose_per_image is None:
        raise DataError(
            "is not stated", field="dose_per_image", remedy="Give electrons per square angstrom (--dose)"
        )
    dose = np.asarray(series.dose_per_image)
    prior = series.metadata.get("prior_dose") if config.order == "auto" else None
    if prior is not None and np.shape(prior) == dose.shape:
        return np.asarray(prior, np.float64) + dose / 2 + config.before_e_per_angstrom2
    order = exposure_order(series, config.order)
    places = np.argsort(order, axis=None, kind="stable")
    total = np.empty(dose.size)
    ordered = dose.reshape(-1)[places]
    total[places] = np.cumsum(ordered) - ordered / 2
    return total.reshape(dose.shape) + config.before_e_per_angstrom2


def exposure_order(series: TiltFocalSeries, order: str) -> np.ndarray:
    """`(n_tilt, n_focus)` int: 0 for the image taken first.

    Raises
    ------
    DataError
        ``auto`` and the metadata has no ``exposure_order``.
    """
    shape = series.images.shape[:2]
    if order == "auto":
        known = series.metadata.get("exposure_order")
        if known is None:
            raise DataError(
                "is not stated in the series",
                field="dose.order",
                remedy="Say listed, symmetric, rising or falling",
            )
        try:
            return np.array(np.broadcast_to(np.asarray(known, int).reshape(shape[0], -1), shape))
        except ValueError:
            raise DataError(
                f"does not fit {shape[0]} tilts x {shape[1]} foci", field="exposure_order"
            ) from None
    tilt = series.tilt_deg
    keys = {
        "listed": np.arange(shape[0]),
        "symmetric": np.lexsort((-tilt, np.abs(tilt).round(1))),
        "rising": np.argsort(tilt, kind="stable"),
        "falling": np.argsort(-tilt, kind="stable"),
    }
    rank = np.empty(shape[0], int)
    rank[keys[order]] = np.arange(shape[0])
    return np.asarray(rank[:, None] * shape[1] + np.arange(shape[1]))


def _noise_norm(series: TiltFocalSeries, dose: np.ndarray, config: DoseConfig) -> np.ndarray:
    """`(ny, nx // 2 + 1)`: root mean square of q over the used images."""
    k = _frequencies(series)
    if not config.keep_noise:
        return np.ones_like(k)
    # A smooth curve of |k|: found on a line, read off in the plane.
    line = np.linspace(0, float(k.max()), _LINE)
    curves = [dose_filter(line, value, config, series.energy_ev) ** 2 for value in dose[series.used]]
    norm = np.sqrt(np.mean(curves, axis=0)) if curves else np.ones_like(line)
    return np.asarray(np.maximum(np.interp(k, line, norm), 1e-30))


def run(series: TiltFocalSeries, config: DoseConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Multiply each image's spectrum with q; with ``keep_noise`` also by 1 / rms of q over the images.

    The division is that of Grant & Grigorieff for a sum of frames, with the reconstruction in place of
    the sum: at each frequency the noise power of the whole series stays what it was, and images taken early
    count for more. The mean (k = 0) does not change.
    """
    dose, k = accumulated_dose(series, config), _frequencies(series)
    norm = _noise_norm(series, dose, config)

    def weigh(image: np.ndarray, tilt: int, focus: int) -> np.ndarray:
        factor = dose_filter(k, dose[tilt, focus], config, series.energy_ev) / norm
        return np.asarray(fft.irfft2(fft.rfft2(image) * factor, s=series.image_shape), REAL)

    images = yield from changed_images(series, "Dose weighting", weigh)
    told = {"dose_at_first_e_per_angstrom2": dose.min(), "dose_at_last_e_per_angstrom2": dose.max()}
    changed = series.replace(images=images)
    yield Done(recorded(changed, "dose", config, told), dose)


def preview(series: TiltFocalSeries, config: DoseConfig, tilt: int, focus: int) -> np.ndarray:
    """One image weighted."""
    dose, k = accumulated_dose(series, config), _frequencies(series)
    factor = dose_filter(k, dose[tilt, focus], config, series.energy_ev)
    factor = factor / _noise_norm(series, dose, config)
    spectrum = fft.rfft2(series.images[tilt, focus])
    return np.asarray(fft.irfft2(spectrum * factor, s=series.image_shape), REAL)


def _frequencies(series: TiltFocalSeries) -> np.ndarray:
    ny, nx = series.image_shape
    pixel = series.pixel_size_angstrom
    return np.asarray(np.hypot(np.fft.fftfreq(ny, pixel)[:, None], np.fft.rfftfreq(nx, pixel)[None, :]))


DOSE = StepEntry(
    "dose",
    "Dose weighting",
    "Weight each image's frequencies by how much of the specimen is left (critical-dose curve of Grant & "
    "Grigorieff 2015). For frozen biological specimens; not for inorganic crystals.",
    DoseConfig,
    run,
    preview,
)
