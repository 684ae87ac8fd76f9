"""The two pictures of the alignment check: an image, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.prepare import checks

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.prepare.align.model import Alignment
    from napari_phaset3m.prepare.predictions import Predictions

Mode = Literal["image", "blink", "overlay", "difference"]
Against = Literal["next", "previous", "prediction"]
MODES: dict[Mode, str] = {
    "overlay": "Red / cyan", "blink": "Blink", "difference": "Difference", "image": "Image alone",
}  # fmt: skip
AGAINST: dict[Against, str] = {
    "next": "next tilt", "previous": "previous tilt", "prediction": "re-projection",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What the check shows.

    Attributes
    ----------
    mode : str
    against : str
    stretch : bool
        Neighbours are drawn out by the ratio of the cosines.
    smooth_px : float
        Low-pass of both pictures, pixels of the series.
    """

    mode: Mode = "overlay"
    against: Against = "next"
    stretch: bool = True
    smooth_px: float = 1.0


@dataclass(frozen=True, eq=False)
class Pair:
    """Two pictures ready to be shown, `(ny, nx, 3)` uint8; ``b`` is ``a`` where there is one only."""

    token: int
    a: np.ndarray
    b: np.ndarray
    pixel_angstrom: float
    text: str


def make_pair(
    token: int, series: TiltFocalSeries, alignment: Alignment, place: tuple[int, int], look: Look,
    predictions: Predictions | None, local: np.ndarray | None = None,
) -> tuple[int, Pair | None, str]:  # fmt: skip
    """The pictures of a place in a series, or why there are none; ``token`` comes back as it is."""
    try:
        if look.against == "prediction" and predictions is not None and look.mode != "image":
            return token, _with_prediction(token, series, alignment, place, look, predictions), ""
        return token, _with_neighbour(token, series, alignment, place, look, local), ""
    except (PhaseT3MError, MemoryError) as error:
        return token, None, one_line(error)


def neighbour(alignment: Alignment, tilt: int, focus: int, step: int) -> int | None:
    """The tilt next to one by angle (``step`` 1: the next higher one) among the used images."""
    order = np.argsort(alignment.tilt_deg, kind="stable")
    place = int(np.flatnonzero(order == tilt)[0]) + step
    while 0 <= place < len(order):
        if alignment.used[order[place], focus]:
            return int(order[place])
        place += step
    return None


def _with_neighbour(
    token: int, series: TiltFocalSeries, alignment: Alignment, place: tuple[int, int], look: Look,
    local: np.ndarray | None,
) -> Pair:  # fmt: skip
    tilt, focus = place
    bin_ = checks.picture_bin(series.image_shape)
    pixel = series.pixel_size_angstrom * bin_
    sigma = look.smooth_px / bin_
    a = checks.smoothed(checks.aligned_picture(series, alignment, place, bin_, local), sigma)
    here = angle_text(alignment, tilt)
    if look.mode == "image":
        return Pair(token, checks.grey(a), checks.grey(a), pixel, f"{here} alone")
    other = neighbour(alignment, tilt, focus, 1 if look.against == "next" else -1)
    if other is None:
        return Pair(token, checks.grey(a), checks.grey(a), pixel, f"{here} has no {look.against} tilt")
    b = checks.smoothed(checks.aligned_picture(series, alignment, (other, focus), bin_, local), sigma)
    if look.stretch:
        b = checks.stretched(b, checks.stretch_factor(alignment.tilt_deg, other, tilt))
    text = f"{here} against {angle_text(alignment, other)}"
    return _pair(token, a, b, look.mode, pixel, text)


def _with_prediction(
    token: int, series: TiltFocalSeries, alignment: Alignment, place: tuple[int, int], look: Look,
    predictions: Predictions,
) -> Pair:  # fmt: skip
    pixel = series.pixel_size_angstrom * predictions.scale
    sigma = look.smooth_px / predictions.scale
    now = alignment.aligned_shifts_px[place]
    a = checks.smoothed(predictions.aligned("measured", *place, now), sigma)
    b = checks.smoothed(predictions.aligned("predicted", *place), sigma)
    text = f"{angle_text(alignment, place[0])}, measured against {predictions.model} re-projection"
    return _pair(token, a, b, look.mode, pixel, text)


def angle_text(alignment: Alignment, tilt: int) -> str:
    """Tilt angle for a readout."""
    return f"{round(float(alignment.tilt_deg[tilt]), 1) + 0.0:.1f}°".replace("-", "−")


def _pair(token: int, a: np.ndarray, b: np.ndarray, mode: Mode, pixel: float, text: str) -> Pair:
    if mode == "blink":
        return Pair(token, checks.grey(a), checks.grey(b), pixel, text)
    picture = checks.red_cyan(a, b) if mode == "overlay" else checks.difference(a, b)
    return Pair(token, picture, picture, pixel, text)
