"""Thon rings of a group of images whose defoci differ by known steps: one image, or the foci of a tilt."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.model import CtfValues, phi12_of
from napari_phaset3m.prepare.ctf.observe import Observation, observe
from napari_phaset3m.prepare.ctf.refine import Fit, refine
from napari_phaset3m.prepare.ctf.search import Search, search, unlikely
from napari_phaset3m.prepare.ctf.spectrum import spectra

#: Edge of a tile when nothing asks for another.
TILE = 512
#: The least edge of an image that can be fitted.
LEAST_PX = 32
#: A tilted specimen is divided into bands in which the rings' phase changes by this at most, rad.
BAND_PHASE = 0.6
MOST_BANDS = 8
#: The rings must be this many Fourier pixels of a tile apart to be seen through its taper.
RING_PIXELS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class GroupFit:
    """What was found for a group.

    Attributes
    ----------
    fit : Fit
    found : dict of int to list of Observation
        By focus; several where the image was divided into bands.
    tile : int
    separate_gain : float or None
        Sum of what the spectra would gain one by one, to compare with the joint gain; None for one image.
    """

    fit: Fit
    found: dict[int, list[Observation]]
    tile: int
    separate_gain: float | None


def tile_for(
    series: TiltFocalSeries, config: CtfConfig, microscope: Microscope, defocus: float | None
) -> int:
    """Edge of tiles: as asked for, else up to 512, and more where the rings of this defocus need it."""
    side = min(series.image_shape)
    if side < LEAST_PX:
        raise DataError(
            f"images of {series.image_shape[1]} × {series.image_shape[0]} pixels are too small for a CTF fit",
            field="tilt_series",
            remedy=f"{LEAST_PX} pixels at least are needed",
        )
    if config.tile_px != "auto":
        if config.tile_px > side:
            raise DataError(
                f"is {config.tile_px} pixels, but the images have {side}",
                field="tile_px",
                remedy="Give a smaller one, or auto",
            )
        return config.tile_px - config.tile_px % 2
    wanted = float(TILE)
    if defocus is not None:
        pixel = series.pixel_size_angstrom
        far = 0.6 * limits(series, config, TILE)[1]
        wanted = max(wanted, RING_PIXELS * 2 * microscope.wavelength_angstrom * abs(defocus) * far / pixel)
    if wanted >= side:
        return side - side % 2
    return min(smooth_size(int(np.ceil(wanted / 2))) * 2, side - side % 2)


def limits(series: TiltFocalSeries, config: CtfConfig, tile: int) -> tuple[float, float]:
    """Lowest and highest frequency that is fitted, 1/angstrom.

    Raises
    ------
    DataError
        The tile has no frequencies between them.
    """
    pixel = series.pixel_size_angstrom
    nyquist = 0.5 / pixel
    low = max(4 / (tile * pixel), 0.04 * nyquist)
    if config.resolution_low_angstrom != "auto":
        low = 1 / config.resolution_low_angstrom
    high = 0.9 * nyquist
    if config.resolution_high_angstrom != "auto":
        high = min(1 / config.resolution_high_angstrom, nyquist * (1 - 2 / tile))
    if (high - low) * tile * pixel < 12:
        raise DataError(
            f"{1 / low:.3g} to {1 / high:.3g} Å leaves too few frequencies at {pixel:g} Å per pixel",
            field="resolution_low_angstrom, resolution_high_angstrom",
            remedy="Widen the range, or use larger tiles",
        )
    return low, high


def image_spectra(
    series: TiltFocalSeries,
    config: CtfConfig,
    microscope: Microscope,
    where: tuple[int, int],
    tile: int,
    focus_step: float = 0.0,
) -> list[Observation]:
    """The spectra of one image, each with its height above the rotation centre.

    A flat specimen that lay across the beam at tilt 0 has, at tilt theta, the height
    ``z' = x' tan theta`` (``x' = x cos theta``, ``z' = x sin theta``). The beam travels towards +z, so
    what lies higher is seen with that much more underfocus.
    """
    tilt, focus = where
    slope = float(np.tan(np.radians(series.tilt_deg[tilt]))) if config.tilt_gradient else 0.0
    low, high = limits(series, config, tile)
    width = series.image_shape[1] * series.pixel_size_angstrom
    turn = abs(slope) * width * 2 * np.pi * microscope.wavelength_angstrom * (0.6 * high) ** 2
    bands = int(np.clip(np.ceil(turn / BAND_PHASE), 1, MOST_BANDS))
    assert series.shifts_px is not None
    centre = (series.image_shape[1] - 1) / 2 + float(series.shifts_px[tilt, focus, 1])
    parts = spectra(
        series.images[tilt, focus], series.pixel_size_angstrom, tile, centre_x_px=centre, bands=bands
    )
    # A flat image leaves rounding errors only.
    if any(part.power.max() <= 1e-10 for part in parts):
        raise DataError(
            f"the image of tilt {tilt}, focus {focus} has no contrast",
            field="tilt_series",
            remedy="Mark it as not used",
        )
    return [
        observe(
            part,
            microscope,
            (low, high),
            config.amplitude_contrast,
            focus_step_angstrom=focus_step,
            height_angstrom=slope * part.x_angstrom,
        )
        for part in parts
    ]


def fit_group(
    series: TiltFocalSeries,
    config: CtfConfig,
    microscope: Microscope,
    tilt: int,
    foci: Sequence[int],
    *,
    held: CtfValues | None = None,
) -> Generator[str, None, GroupFit]:
    """Fit one defocus (and what else is free) to the images of a tilt; yields after each piece of work.

    Parameters
    ----------
    series : TiltFocalSeries
    config : CtfConfig
    microscope : Microscope
    tilt : int
    foci : sequence of int
        One: that image alone. Several: stated steps between their defoci are kept.
    held : CtfValues, optional
        Astigmatism to keep.

    Raises
    ------
    DataError
        An image has no contrast at all, or sizes do not allow a fit.
    """
    steps = _steps(series, tilt, foci)
    given = held
    if config.astigmatism == "given":
        cos, sin = phi12_of(dict(series.aberrations))
        given = CtfValues(0.0, cos, sin)
    tile = tile_for(series, config, microscope, None)
    while True:
        found: dict[int, list[Observation]] = {}
        for focus, step in zip(foci, steps, strict=True):
            found[focus] = image_spectra(series, config, microscope, (tilt, focus), tile, step)
            yield "spectra"
        best, separate = yield from _best(found, config, given)
        far = best.values.defocus_angstrom + max(
            steps, key=lambda step: abs(best.values.defocus_angstrom + step)
        )
        again = tile_for(series, config, microscope, far)
        if again <= tile:
            break
        tile = again
    return GroupFit(best, found, tile, separate if len(foci) > 1 else None)


def _steps(series: TiltFocalSeries, tilt: int, foci: Sequence[int]) -> list[float]:
    if len(foci) == 1 or series.defocus_angstrom is None:
        return [0.0] * len(foci)
    stated = series.defocus_angstrom[tilt, list(foci)]
    return [float(v) for v in stated - stated.mean()]


def _search(items: Sequence[Observation], config: CtfConfig, given: CtfValues | None) -> Search:
    most = None if config.astigmatism_max_angstrom == "auto" else config.astigmatism_max_angstrom
    stated = items[0].model.stated_shift_rad
    shifts = np.radians(np.arange(0, 180, 15)) if config.fit_phase_shift else (stated,)
    return search(
        items,
        config.defocus_min_angstrom,
        config.defocus_max_angstrom,
        given=given,
        astigmatism_max=most,
        phase_shifts_rad=tuple(float(v) for v in shifts),
    )


def _best(
    found: dict[int, list[Observation]], config: CtfConfig, given: CtfValues | None
) -> Generator[str, None, tuple[Fit, float]]:
    """The best fit, and the sum of what spectra would gain one by one."""
    items = [item for group in found.values() for item in group]
    names = ["defocus_angstrom"]
    if given is None:
        names += ["c12_cos", "c12_sin"]
    if config.fit_phase_shift:
        names.append("phase_shift_rad")
    if config.fit_step_scale and len(found) > 1:
        names.append("step_scale")
    bounds = (config.defocus_min_angstrom, config.defocus_max_angstrom)
    looked = _search(items, config, given)
    candidates = looked.candidates
    yield "search"
    fits = []
    for candidate in candidates:
        if candidate.gain >= 0.5 * candidates[0].gain:
            fits.append(refine(items, candidate.values, names, bounds=bounds, evaluations=60 * len(names)))
            yield "refinement"
    best = max(fits, key=lambda fit: fit.gain - _price(fit, given))
    return best, float(looked.alone.sum())


def _price(fit: Fit, given: CtfValues | None) -> float:
    return 0.0 if given is not None else float(unlikely(fit.values.c12_angstrom, fit.values.defocus_angstrom))
