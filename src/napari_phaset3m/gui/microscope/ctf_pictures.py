"""Thon rings of one image beside the fitted ones, made in a worker thread."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.analyse.ctf import series_microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.curves import RingCurve, RingPicture, ring_curve, ring_picture
from napari_phaset3m.prepare.ctf.group import image_spectra, tile_for
from napari_phaset3m.prepare.ctf.model import CtfValues
from napari_phaset3m.prepare.ctf.result import ImageCtf

#: Samples along an edge of the picture.
SIZE = 256


def values_of(image: ImageCtf) -> CtfValues:
    """What the rings of an image are drawn with."""
    turn = 2 * image.phi12_rad
    return CtfValues(
        image.defocus_angstrom,
        image.c12_angstrom * float(np.cos(turn)),
        image.c12_angstrom * float(np.sin(turn)),
        float(np.radians(image.phase_shift_deg)),
    )


def rings(series: TiltFocalSeries, config: CtfConfig, image: ImageCtf) -> tuple[RingPicture, RingCurve]:
    """Picture and curve of one image, at the values that ``image`` states.

    Raises
    ------
    DataError
        The image is too small.
    """
    microscope = series_microscope(series)
    values = values_of(image)
    tile = tile_for(series, config, microscope, image.defocus_angstrom)
    found = image_spectra(series, config, microscope, (image.tilt, image.focus), tile)
    middle = min(found, key=lambda item: abs(item.spectrum.x_angstrom))
    return (
        ring_picture(middle, values, microscope, config.amplitude_contrast, SIZE),
        ring_curve(found, values, microscope, config.amplitude_contrast),
    )


def told(
    token: int, series: TiltFocalSeries, config: CtfConfig, image: ImageCtf
) -> tuple[int, tuple[RingPicture, RingCurve] | None, str]:
    """The pictures, or why there are none; ``token`` comes back as it is."""
    try:
        return token, rings(series, config, image), ""
    except PhaseT3MError as error:
        return token, None, one_line(error)


def stated(series: TiltFocalSeries, tilt: int, focus: int) -> ImageCtf | None:
    """What the series states of an image's transfer; None without a defocus."""
    if series.defocus_angstrom is None:
        return None
    return ImageCtf(
        tilt, focus, "stated", float(series.defocus_angstrom[tilt, focus]),
        c12_angstrom=float(series.aberrations.get("C12", 0.0)),
        phi12_rad=float(series.aberrations.get("phi12", 0.0)),
    )  # fmt: skip
