"""Each focus of a tilt as the others predict it, before there is a volume.

Contrast reverses from focus to focus, so images are compared through their transfer functions:
the other foci of the tilt are combined into the least-squares phase (Schiske 1968; Saxton, Optik
49 (1977) 81), which predicts the focus that was left out. Slower, and right for strong objects as well:
a phase object (one slice) is reconstructed from the others.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.reference_settings import reference_config
from napari_phaset3m.prepare.align.work import Share
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.reconstruct.problem import Problem, build_problem

#: Weight of a frequency that no focus transfers, over that of one which all do.
REGULARISED = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Foci:
    """Images at a bin, and what the other foci of their tilts predict for them.

    Attributes
    ----------
    grid : Grid
    shifts_px : ndarray
        `(n_tilt, n_focus, 2)` (y, x) pixels of the grid.
    used : ndarray
        `(n_tilt, n_focus)` bool: used, and not the only one of its tilt.
    measured, predicted : ndarray
        `(n_tilt, n_focus, nx, ny)` complex64 spectra of the contrast without mean, at the images' places:
        of ``1 - I``, from a reconstruction of ``sqrt(I) - 1``.
    """

    grid: Grid
    shifts_px: np.ndarray
    used: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, series: TiltFocalSeries, config: AlignConfig, bin_: int) -> Foci:
        """Of a series with stated defocus and Cs."""
        problem = build_problem(series, reference_config(series, config, bin_), 1)
        measured, transfers = _spectra(problem)
        ramps = _ramps(problem.grid, problem.shifts_px)
        used = problem.weight > 0
        phase = transfers * measured * ramps.conj() * used[..., None, None]
        power = transfers**2 * used[..., None, None]
        others = (phase.sum(1, keepdims=True) - phase) / (power.sum(1, keepdims=True) - power + REGULARISED)
        several = used & (used.sum(1, keepdims=True) > 1)
        return cls(problem.grid, problem.shifts_px, several, measured, transfers * others * ramps)


def reconstructed(
    series: TiltFocalSeries, config: AlignConfig, tilts: np.ndarray, how: tuple[int, str], share: Share
) -> Generator[Progress, None, Foci]:
    """The same from phase objects, for some tilts: each focus by that of the others.

    Parameters
    ----------
    how : tuple of int and str
        Sweeps of each object, and what the progress says.
    """
    assert series.used is not None
    shape = (series.n_tilt, series.n_focus)
    used, measured, predicted = np.zeros(shape, bool), None, None
    for number, tilt in enumerate(map(int, tilts)):
        for focus in map(int, np.flatnonzero(series.used[tilt])):
            seen = one_tilt(series, tilt, without=focus)
            reference = Reference(seen, config, 1, how[0], kind="thin")
            try:
                for _ in reference.sweeps():
                    pass
                if measured is None or predicted is None:
                    grid, shifts = reference.grid, np.zeros((*shape, 2))
                    measured, predicted = (np.zeros((*shape, *grid.shape), np.complex64) for _ in range(2))
                pair = (np.fft.fft2(part[focus]) for part in reference.amplitudes(0))
                measured[tilt, focus], predicted[tilt, focus] = pair
                shifts[tilt, focus] = reference.stage.problem.shifts_px[0, focus]
                used[tilt, focus] = True
            finally:
                reference.close()
        yield Progress(how[1], share.at((number + 1) / len(tilts)))
    assert measured is not None and predicted is not None
    measured[..., 0, 0] = predicted[..., 0, 0] = 0
    return Foci(grid, shifts, used, measured, predicted)


def one_tilt(series: TiltFocalSeries, tilt: int, without: int | None = None) -> TiltFocalSeries:
    """The images of a tilt alone, seen along the beam; one focus may be marked as not used."""

    def part(value: np.ndarray | None) -> np.ndarray | None:
        return None if value is None else value[tilt : tilt + 1]

    used = np.array(part(series.used))
    if without is not None:
        used[0, without] = False
    return series.replace(
        images=series.images[tilt : tilt + 1],
        tilt_deg=np.zeros(1),
        shifts_px=part(series.shifts_px),
        defocus_angstrom=part(series.defocus_angstrom),
        used=used,
        dose_per_image=part(series.dose_per_image),
        sections=None,
    )


def _spectra(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of ``1 - I`` without mean, and contrast transfer, `(n_tilt, n_focus, nx, ny)`."""
    assert problem.microscope is not None and problem.defocus_angstrom is not None
    measured = np.fft.fft2((1 - problem.images) * problem.pixel_weight).astype(np.complex64)
    measured[..., 0, 0] = 0
    transfers = np.empty(measured.shape, np.float32)
    for index in np.ndindex(problem.images.shape[:2]):
        defocus = float(problem.defocus_angstrom[index])
        transfers[index] = contrast_transfer(problem.grid, problem.microscope, defocus)
    return measured, transfers


def _ramps(grid: Grid, shifts_px: np.ndarray) -> np.ndarray:
    pixel = grid.pixel_size_angstrom
    y = np.exp(-2j * np.pi * pixel * shifts_px[..., 0, None] * grid.ky)[..., None, :]
    x = np.exp(-2j * np.pi * pixel * shifts_px[..., 1, None] * grid.kx)[..., :, None]
    return np.asarray(x * y, np.complex64)
