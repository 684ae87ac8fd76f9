"""Two alignments, one after the other, as one of the images that were given first."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.result import AlignResult


def onto(first: Alignment, second: Alignment) -> Alignment:
    """The alignment of the given images that says the same as two in a row.

    :func:`.apply.apply` turns and magnifies but does not shift, so that a place q of the images after the
    first is ``M1 q`` in the given ones; with ``q = M2 p + s2`` the product is ``M1 M2 p + M1 s2``.

    Parameters
    ----------
    first : Alignment
        Of the given images.
    second : Alignment
        Of ``apply(given, first)``, whose shifts hold those of the first.

    Returns
    -------
    Alignment
        Tilts, used images, defoci and residuals are those of the second.
    """
    matrices, error = first.matrices(), second.shift_error_px
    assert error is not None
    return second.replace(
        shifts_px=_xy(matrices, second.shifts_px),
        rotation_deg=first.rotation_deg + second.rotation_deg,
        magnification=first.magnification * second.magnification,
        shift_error_px=np.sqrt(_xy(matrices**2, error**2)),
    )


def _xy(matrices: np.ndarray, yx: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("tfij,tfj->tfi", matrices, yx[..., ::-1])[..., ::-1])


def resampled_once(
    given: TiltFocalSeries, first: Alignment, found: tuple[TiltFocalSeries, AlignResult]
) -> tuple[TiltFocalSeries, Alignment]:
    """What was aligned after an alignment was applied, with its images taken from the given ones.

    Parameters
    ----------
    given : TiltFocalSeries
    first : Alignment
        Of the given images.
    found : tuple of TiltFocalSeries and AlignResult
        What aligning ``apply(given, first)`` gave.

    Returns
    -------
    series : TiltFocalSeries
        That of ``found``; where both alignments turn, magnify or unbend, its images are resampled from the
        given ones in one go.
    alignment : Alignment
        Of the given images.
    """
    series, result = found
    whole, field = onto(first, result.alignment), result.local_px
    if not first.turned or not (result.alignment.turned or field is not None):
        return series, whole
    if field is not None:  # pixels of the images between
        field = np.einsum("tfij,tfjyx->tfiyx", first.matrices(), field[:, :, ::-1])[:, :, ::-1]
    return series.replace(images=apply(given, whole, field).images), whole
