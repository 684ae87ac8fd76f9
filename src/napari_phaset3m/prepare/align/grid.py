"""Grid search of 2D shifts for the least reconstruction error (Lee et al. 2025, figure 1e).

Every image is compared with its prediction at a grid of shifts; the parabola through the least
error and its neighbours places the image to a few hundredths of a pixel. The error is that of
amplitudes, ``sum (sqrt I - sqrt P)^2`` (linear model: of the projections), and the prediction is from
a volume of the other images, which the image's old place cannot hold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_phaset3m.prepare.align.likelihood import ShiftGrid, parabola
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, built, deal, detail
from napari_phaset3m.prepare.events import Progress


def search(work: Work, share: Share) -> StageEvents:
    """The stage "grid"; see the module."""
    rounds = work.config.grid.grid_rounds
    for number in range(rounds):
        part = share.part(number, rounds)
        work = yield from _round(work, number, part)
        yield Progress(f"Grid search, round {number + 1}", part.at(1.0), detail(work))
        if work.finishing:
            break
    return work


def _round(work: Work, number: int, share: Share) -> StageEvents:
    series, settings = work.series, work.config.grid
    assert series.used is not None
    shifts = work.aligned_shifts_px
    residual, sigma = np.full(series.used.shape, np.nan), np.full(shifts.shape, np.nan)
    maps, points = None, np.zeros(1)
    # By tilts first, as projection matching does.
    parts = deal(series.used, work.config.reference.folds, number == 0, work.rng(3, number))
    for index, held in enumerate(parts):
        reference = Reference(series.replace(used=series.used & ~held), work.config, settings.grid_bin)
        try:
            yield from built(reference, f"Grid search, round {number + 1}", share.part(index, len(parts)))
            radius = settings.grid_radius_px / reference.scale
            places = ShiftGrid.make(reference.grid, radius, settings.grid_step_px / reference.scale)
            points = places.points * reference.scale
            if maps is None:
                maps = np.full((*series.used.shape, points.size, points.size), np.nan, np.float32)
            for tilt in map(int, np.flatnonzero(held.any(1))):
                for focus, seen in zip(*_errors(reference, tilt, places, held[tilt]), strict=True):
                    maps[tilt, focus] = seen
                    moved, width, residual[tilt, focus] = least(
                        seen, points, int(compared(reference.grid.nx, reference.grid.ny).sum())
                    )
                    shifts[tilt, focus] += moved
                    sigma[tilt, focus] = width
        finally:
            reference.close()
    alignment = work.alignment.replace(
        shifts_px=work.given_shifts_px(shifts), residual=residual, shift_error_px=sigma
    )
    return replace(work.at(alignment), error_map=maps, error_map_px=points)


def _errors(
    reference: Reference, tilt: int, places: ShiftGrid, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The held-out foci, and their errors `(n, y, x)` over those of an empty volume."""
    foci = np.flatnonzero(held)
    measured, predicted = (a[foci] for a in reference.amplitudes(tilt))
    return foci, shift_errors(measured, predicted, places)


def shift_errors(measured: np.ndarray, predicted: np.ndarray, places: ShiftGrid) -> np.ndarray:
    """Error of images against their predictions at a grid of shifts.

    Parameters
    ----------
    measured, predicted : ndarray
        `(n, nx, ny)` amplitudes less that of an empty volume, which does not move: fewer digits are lost.
    places : ShiftGrid

    Returns
    -------
    ndarray
        `(n, y, x)` sums of squares over those of an empty volume, of the frequencies :func:`compared`.
    """
    nx, ny = measured.shape[-2:]
    seen, expected = (np.fft.fft2(a) * compared(nx, ny) for a in (measured, predicted))
    own, power = ((np.abs(a) ** 2).sum((-2, -1)) / (nx * ny) for a in (expected, seen))
    errors = (own + power)[:, None, None] - 2 * places.maps(seen * expected.conj() / (nx * ny))
    return np.asarray(errors / np.maximum(power, 1e-30)[:, None, None])


def compared(nx: int, ny: int) -> np.ndarray:
    """`(nx, ny)` bool: frequencies up to Nyquist.

    The model's wave has none in the corners beyond: predictions are aliases there, and shift the minimum.
    """
    return np.asarray(np.hypot(np.fft.fftfreq(nx)[:, None], np.fft.fftfreq(ny)) <= 0.5)


def least(error: np.ndarray, points: np.ndarray, n_pixel: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Where an error map is least.

    Parameters
    ----------
    error : ndarray
        `(m, m)` sums of squares over (y, x) shifts, in any unit.
    points : ndarray
        `(m,)` shifts, evenly spaced.
    n_pixel : int
        Independent numbers in the sums.

    Returns
    -------
    shift, sigma : ndarray
        `(2,)` (y, x) of the parabola's minimum and one standard deviation, in the unit of ``points``:
        the sum rises by the variance of one number there.
    value : float
        Least error.
    """
    top = np.unravel_index(int(error.argmin()), error.shape)
    value, step = float(error[top]), float(points[1] - points[0])
    shift, sigma = np.empty(2), np.empty(2)
    for axis in range(2):
        line = error[:, top[1]] if axis == 0 else error[top[0]]
        offset, width = parabola(-line * n_pixel / (2 * max(value, 1e-30)), int(top[axis]))
        shift[axis], sigma[axis] = points[top[axis]] + offset * step, width * step
    return shift, sigma, value
