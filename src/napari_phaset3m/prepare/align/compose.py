"""Two alignments, one after the other, as one of the images that were given first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.api import iterate_align
from napari_phaset3m.prepare.align.apply import apply, local_at
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.result import AlignResult
from napari_phaset3m.prepare.align.tilt_axis import TiltAxis
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress
from napari_phaset3m.prepare.history import retold

#: Points along a field of two: the edge of one that was turned is a kink.
GRID = 65


def iterate_after(
    given: TiltFocalSeries,
    first: Alignment,
    config: AlignConfig | None = None,
    *,
    local: np.ndarray | None = None,
    finish: Finish | None = None,
) -> Iterator[Event]:
    """Align after another alignment, which may turn, magnify or unbend the images; told of the given ones.

    Parameters
    ----------
    given : TiltFocalSeries
    first : Alignment
        Of ``given``, from a file or by hand; :func:`.apply.apply` puts it in before anything is looked for.
    config : AlignConfig, optional
    local : ndarray, optional
        Field that goes with ``first``, see :func:`.apply.apply`.
    finish : Finish, optional

    Yields
    ------
    Progress, at last Done
        As :func:`.api.iterate_align`, with both alignments as one of ``given``; maps of a grid search stay
        in the axes of the images that were aligned. Where both resample, the images of ``Done.series`` were
        interpolated twice: :func:`resampled_once` gives better ones.
    """
    for event in iterate_align(apply(given, first, local), config, finish=finish):
        if isinstance(event, Done):
            result = _together(given, (first, local), event.result)
            yield Done(retold(event.series, result.summary()), result)
        else:
            yield replace(event, detail=_of_given(first, event))


def _together(
    given: TiltFocalSeries, first: tuple[Alignment, np.ndarray | None], result: AlignResult
) -> AlignResult:
    whole = onto(first[0], result.alignment)
    field = fields_onto(first, (result.alignment, result.local_px), given.image_shape)
    axis = TiltAxis.of(whole, given.pixel_size_angstrom)
    return replace(result, alignment=whole, local_px=field, axis=axis)


def _of_given(first: Alignment, event: Progress) -> dict[str, Any]:
    matrices, found = first.matrices(), dict(event.detail)
    if "shifts_px" in found:
        found["shifts_px"] = _xy(matrices, found["shifts_px"])
    if "shift_error_px" in found:
        found["shift_error_px"] = np.sqrt(_xy(matrices**2, found["shift_error_px"] ** 2))
    if "rotation_deg" in found:
        found["rotation_deg"] = first.rotation_deg + found["rotation_deg"]
    if "magnification" in found:
        found["magnification"] = first.magnification * found["magnification"]
    return found


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


def fields_onto(
    first: tuple[Alignment, np.ndarray | None],
    second: tuple[Alignment, np.ndarray | None],
    image_shape: tuple[int, int],
) -> np.ndarray | None:
    """The local field that goes with :func:`onto`.

    A place p is ``q = M2 p + s2 + f2(p)`` in the images after the first, and so
    ``M1 q + f1(q - s1')`` in the given ones, with s1' the first shifts in the axes of its aligned images.

    Parameters
    ----------
    first, second : tuple of Alignment and ndarray or None
        Each with its field; None where it has none.
    image_shape : tuple of int
        (ny, nx).

    Returns
    -------
    ndarray or None
        `(n_tilt, n_focus, 2, GRID, GRID)`; that of the second itself where the first has none.
    """
    (before, inner), (after, outer) = first, second
    turned = before.matrices()[..., ::-1, ::-1]
    if inner is None:
        return None if outer is None else _turned(turned, outer)
    places = np.stack(
        np.meshgrid(*(np.linspace(-0.5, 0.5, GRID) * (n - 1) for n in image_shape), indexing="ij")
    )
    reached = np.einsum("tfij,jyx->tfiyx", after.matrices()[..., ::-1, ::-1], places)
    reached += (after.shifts_px - before.aligned_shifts_px)[..., None, None]
    if outer is None:
        return _read(inner, reached, image_shape)
    more = _read(outer, np.broadcast_to(places, reached.shape), image_shape)  # pixels of the images between
    return np.asarray(_turned(turned, more) + _read(inner, reached + more, image_shape))


def _turned(matrices: np.ndarray, field: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("tfij,tfjyx->tfiyx", matrices, field))


def _read(field: np.ndarray, places: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
    """Fields of all images at places `(n_tilt, n_focus, 2, my, mx)`."""
    found = np.empty(places.shape)
    for index in np.ndindex(field.shape[:2]):
        found[index] = local_at(field[index], places[index], image_shape)
    return found


def _xy(matrices: np.ndarray, yx: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("tfij,tfj->tfi", matrices, yx[..., ::-1])[..., ::-1])


def resampled_once(given: TiltFocalSeries, first: Alignment, done: Done) -> TiltFocalSeries:
    """What was aligned after an alignment was applied, with its images taken from the given ones.

    Parameters
    ----------
    given : TiltFocalSeries
    first : Alignment
        Of the given images.
    done : Done
        The end of :func:`iterate_after` ``(given, first)``.

    Returns
    -------
    TiltFocalSeries
        That of ``done``; where both alignments turn, magnify or unbend, its images are resampled from the
        given ones in one go.
    """
    series, whole, field = done.series, done.result.alignment, done.result.local_px
    second = whole.replace(
        rotation_deg=whole.rotation_deg - first.rotation_deg,
        magnification=whole.magnification / first.magnification,
    )
    if not first.turned or not (second.turned or field is not None):
        return series
    return series.replace(images=apply(given, whole, field).images)
