"""What a quick reconstruction predicts for every image, to judge an alignment by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.config import AlignConfig, ReferenceConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.sign import settled
from napari_phaset3m.prepare.align.work import Share, Work
from napari_phaset3m.prepare.checks import picture_bin, smoothed
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress

#: Longest side of a predicted image when nothing is asked for, pixels.
PREDICTED_PX = 160


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a volume of all used images predicts for each of them.

    Attributes
    ----------
    measured, predicted : ndarray
        `(n_tilt, n_focus, my, mx)` float32 contrast in the axes of the aligned images, which the alignment
        turned, magnified and unbent but did not shift; mean 0; ``predicted`` is scaled to ``measured``.
    residual : ndarray
        `(n_tilt, n_focus)`: part of the measured power that is not predicted.
    alignment : Alignment
        It was made with, of the given images.
    scale : float
        Pixels of the series in one of these.
    model : str
        What predicted: "multislice", "SIRT", or "SIRT, negative values allowed".
    """

    measured: np.ndarray
    predicted: np.ndarray
    residual: np.ndarray
    alignment: Alignment
    scale: float
    model: str

    def aligned(self, which: str, tilt: int, focus: int, shift_px: np.ndarray | None = None) -> np.ndarray:
        """`(my, mx)` of ``"measured"`` or ``"predicted"`` in the aligned frame.

        Parameters
        ----------
        which : str
        tilt, focus : int
        shift_px : ndarray, optional
            `(2,)` (y, x) pixels of the series, in the axes of the aligned images; that of the alignment when
            omitted.
        """
        from scipy.ndimage import shift as move

        image = getattr(self, which)[tilt, focus]
        shift = self.alignment.aligned_shifts_px[tilt, focus] if shift_px is None else np.asarray(shift_px)
        return np.asarray(move(image, -shift / self.scale, order=1, mode="constant"), REAL)

    def error_map(self, tilt: int, focus: int, sigma_px: float = 2.0) -> np.ndarray:
        """`(my, mx)` local misfit, relative to the image's variance, smoothed over ``sigma_px``."""
        wrong = (self.measured[tilt, focus] - self.predicted[tilt, focus]) ** 2
        power = float((self.measured[tilt, focus] ** 2).mean())
        return smoothed(np.asarray(wrong / max(power, 1e-30), REAL), sigma_px)


def iterate_predictions(
    series: TiltFocalSeries,
    alignment: Alignment | None = None,
    *,
    local: np.ndarray | None = None,
    model: str = "sirt",
    longest_px: int = PREDICTED_PX,
    sweeps: int = 8,
    finish: Finish | None = None,
) -> Iterator[Event]:
    """Reconstruct quickly from all used images, and predict every image.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment, optional
        As the series states when omitted. Applied first (resampled where images are turned).
    local : ndarray, optional
        Field that goes with it, see :func:`.align.apply.apply`.
    model : {"sirt", "multislice", "auto"}
    longest_px : int
        Longest side of the images it works on.
    sweeps : int
    finish : Finish, optional

    Yields
    ------
    Progress, and Done with the series as given and :class:`Predictions`
    """
    used = Alignment.of(series) if alignment is None else alignment
    applied = apply(series, used, local)
    bin_ = picture_bin(series.image_shape, longest_px)
    config = AlignConfig(reference=ReferenceConfig.parse(forward=model))
    work = Work(applied, config, Alignment.of(applied), finish)
    config, _ = yield from settled(work, Share(0.0, 0.3))
    reference = Reference(applied, config, bin_, sweeps)
    try:
        for fraction in reference.sweeps():
            yield Progress("Reconstructing for the check", 0.3 + 0.4 * fraction)
            if finish is not None and finish.finish_requested() and reference.errors:
                break
        result = yield from _predicted(applied, reference, used)
    finally:
        reference.close()
    yield Done(series, result)


def _predicted(series: TiltFocalSeries, reference: Reference, alignment: Alignment) -> Any:
    shape = reference.measured(0).shape[:0:-1]
    measured = np.zeros((series.n_tilt, series.n_focus, *shape), REAL)
    predicted = np.zeros_like(measured)
    residual = np.full(measured.shape[:2], np.nan)
    for tilt in range(series.n_tilt):
        yield Progress("Predicting images", 0.7 + 0.3 * tilt / series.n_tilt)
        theirs, ours = reference.measured(tilt), reference.predicted(tilt)[0]
        for focus in range(series.n_focus):
            b, a = (np.real(np.fft.ifft2(part[focus])).T for part in (theirs, ours))
            gain = float((a * b).sum() / max(float((a * a).sum()), 1e-30))
            measured[tilt, focus], predicted[tilt, focus] = b, gain * a
            residual[tilt, focus] = float(((b - gain * a) ** 2).sum() / max(float((b * b).sum()), 1e-30))
    model = "SIRT" if reference.linear else "multislice"
    if reference.linear and not reference.positive:
        model += ", negative values allowed"
    return Predictions(measured, predicted, residual, alignment, reference.scale, model)
