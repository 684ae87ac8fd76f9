"""What a run is given besides its settings, looked at before anything is computed."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.plausible import doubtful_units
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.reconstruct.sizing import check_size

#: Said of a method that needs optics, of images of dark field.
NO_PHASE = "{method} retrieves a phase, and dark field shows none"


def check_images(series: TiltFocalSeries) -> tuple[str, ...]:
    """Refuse images that hold nothing; say which intensities cannot be meant.

    Returns
    -------
    tuple of str
        Notes for the user.

    Raises
    ------
    DataError
        They are too small, none is used, a used one has no intensity, or all of them are constant.
    """
    assert series.used is not None
    check_size(series.image_shape)
    if not series.used.any():
        raise DataError("uses no image", field="mask", remedy="Set it to true for one at least")
    negative, lowest, constant = 0, 0.0, True
    for tilt, focus in np.argwhere(series.used):
        image = series.images[tilt, focus]
        low, high, mean = float(image.min()), float(image.max()), float(image.mean(dtype=np.float64))
        if not mean > 0:
            number = tilt * series.n_focus + focus
            raise DataError(
                f"image {focus} of tilt {tilt} has a mean intensity of {mean:g}; vacuum should be 1",
                field="tilt_series",
                remedy=f"Leave it out (--unused {number}), or undo the offset or inversion of the images",
            )
        constant &= low == high
        negative, lowest = negative + (low < 0), min(lowest, low)
    if constant:
        raise DataError(
            "every image is constant, so there is nothing to reconstruct",
            field="tilt_series",
            remedy="Check that the file holds the images",
        )
    doubts = doubtful_units(
        series.energy_ev, series.spherical_aberration_angstrom, series.pixel_size_angstrom
    )
    if not negative:
        return doubts
    which = "1 image has" if negative == 1 else f"{negative} images have"
    return (f"{which} negative intensities (down to {lowest:.3g}); they count as 0", *doubts)


def check_shows_phase(series: TiltFocalSeries, config: ReconstructionConfig) -> None:
    """Refuse optics for images of dark field.

    Raises
    ------
    ConfigError
    """
    if not series.is_dark_field:
        return
    if METHODS[config.method].linear:
        raise ConfigError(
            f"ctf_correction: is {config.ctf_correction}, and dark field has no CTF to correct. Use none"
        )
    raise ConfigError(f"method: {NO_PHASE.format(method=config.method)}. Take a linear one, e.g. sirt")
