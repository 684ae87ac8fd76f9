"""One round of matching: every image against the prediction of a volume that has not seen it.

Shifts and defoci are posterior means with Gaussian priors about where the stage began: the
likelihood (:mod:`.likelihood`) is computed on a grid of shifts, for a row of defoci of each tilt.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.prepare.align.defoci import defocus_sigma, evidence, posterior, trial_defoci
from napari_phaset3m.prepare.align.likelihood import Rings, ShiftGrid, measure_rings, moments
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.optics import Shared, SharedEquations
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.reference_settings import Kind
from napari_phaset3m.prepare.align.work import Share, Work, built, deal
from napari_phaset3m.prepare.events import Progress

#: Fraction of the shorter side that is searched when nothing is asked for.
SEARCH_FRACTION = 0.1
#: Least radius where an earlier stage tells how good the shifts are, pixels of the series.
LEAST_SEARCH = 1.0
#: Coarsest voxel (angstrom) at which single images are left out, and defocus is looked at.
SINGLE_VOXEL = 2.1
#: Step of the trial shifts, and the farthest of them, pixels of the bin.
STEP, WIDEST = 0.25, 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """What one round found, per image."""

    shifts_px: np.ndarray
    sigma_px: np.ndarray
    defocus: np.ndarray | None
    residual: np.ndarray
    optics: SharedEquations | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How a round is made.

    Attributes
    ----------
    bin_ : int
    by_tilt : bool
        Whole tilts are left out, else single images.
    seed : tuple of int
        Its place in the run.
    optics : bool
        Look at what all images share as well.
    text : str
        For the progress.
    kind : str
        Of the reference volumes.
    mask : ndarray, optional
        `(nz, ny, nx)` in 0..1: where they may hold anything.
    """

    bin_: int
    by_tilt: bool
    seed: tuple[int, ...]
    text: str
    optics: bool = False
    kind: Kind = "sparse"
    mask: np.ndarray | None = None


def run_round(work: Work, start: Alignment, plan: Plan, share: Share) -> Generator[Progress, None, Found]:
    """Look at every used image once.

    Parameters
    ----------
    start : Alignment
        What the priors are about.
    """
    series = work.series
    assert series.used is not None
    parts = deal(series.used, work.config.reference.folds, plan.by_tilt, work.rng(*plan.seed))
    task = _Task(work, start, plan)
    for number, held in enumerate(parts):
        rest = series.replace(used=series.used & ~held)
        reference = Reference(rest, work.config, plan.bin_, kind=plan.kind, mask=plan.mask)
        try:
            yield from built(reference, plan.text, share.part(number, len(parts)))
            task.look(reference, held)
        finally:
            reference.close()
    return task.found()


def taken(work: Work, found: list[Found]) -> Work:
    """With the mean of what rounds found."""
    alignment = work.alignment
    defoci = [f.defocus for f in found if f.defocus is not None]
    return work.at(
        alignment.replace(
            shifts_px=work.given_shifts_px(np.mean([f.shifts_px for f in found], axis=0)),
            defocus_angstrom=np.mean(defoci, axis=0) if defoci else alignment.defocus_angstrom,
            residual=found[-1].residual,
            shift_error_px=np.sqrt(np.mean([f.sigma_px**2 for f in found], axis=0)),
        )
    )


def search_px(work: Work) -> float:
    """Search radius, pixels of the series: as asked, else what the shifts may be off by."""
    asked, widest = work.config.match.match_search_px, SEARCH_FRACTION * work.short_side
    if asked != "auto":
        return float(asked)
    return widest if work.reach_px is None else min(widest, max(work.reach_px, LEAST_SEARCH))


class _Task:
    """One round: likelihood maps of all images, gathered part by part, then read together.

    Parameters
    ----------
    work : Work
    start : Alignment
        What the priors are about.
    plan : Plan
    """

    def __init__(self, work: Work, start: Alignment, plan: Plan) -> None:
        self.work, self.start = work, start
        self._maps: dict[tuple[int, int], np.ndarray] = {}
        self._places: ShiftGrid | None = None
        voxel_angstrom = work.original.pixel_size_angstrom * plan.bin_
        self._scale = voxel_angstrom / work.original.pixel_size_angstrom
        self._residual = np.full(work.alignment.used.shape, np.nan)
        refined = defocus_sigma(work) > 0 and voxel_angstrom <= SINGLE_VOXEL
        shape = (work.alignment.n_tilt, work.alignment.n_focus)
        self._optics = SharedEquations(shape, Shared.of(work.original)) if plan.optics else None
        self._trials = trial_defoci(work, 0.5 / voxel_angstrom) if refined else None

    def look(self, reference: Reference, held: np.ndarray) -> None:
        """Take in the likelihoods of the images that a reference has not seen."""
        self._scale = reference.scale
        radius = min(search_px(self.work) / self._scale, WIDEST)
        self._places = places = ShiftGrid.make(reference.grid, radius, STEP)
        rings = _rings(reference, held)
        gain = rings.gain[rings.index]
        for tilt in map(int, np.flatnonzero(held.any(1))):
            if self._optics is not None:
                self._optics.add(reference, tilt, np.flatnonzero(held[tilt]), rings)
            foci, changes = np.flatnonzero(held[tilt]), self._changes(tilt)
            measured = reference.measured(tilt)[foci]
            predicted = reference.predicted(tilt, changes)[:, foci]
            maps = places.maps(measured * predicted.conj() * rings.cross_weight)
            maps -= 0.5 * (np.abs(predicted) ** 2 * rings.power_weight).sum((-2, -1))[..., None, None]
            rest = measured - gain * predicted[int(np.abs(changes).argmin())]
            left = (np.abs(rest) ** 2).sum((-2, -1)) / (np.abs(measured) ** 2).sum((-2, -1))
            self._residual[tilt, foci] = left
            for i, focus in enumerate(foci):
                self._maps[tilt, int(focus)] = np.asarray(maps[:, i], np.float32)

    def _changes(self, tilt: int) -> np.ndarray:
        """Trial defoci as changes of the tilt's present ones."""
        if self._trials is None:
            return np.zeros(1)
        return np.asarray(self._trials - self._off(tilt))

    def _off(self, tilt: int) -> float:
        now, stated = self.work.alignment.defocus_angstrom, self.start.defocus_angstrom
        assert now is not None and stated is not None
        return float((now[tilt] - stated[tilt]).mean())

    def found(self) -> Found:
        """Posterior means of everything looked at."""
        now = self.work.alignment
        shifts, sigma = self.work.aligned_shifts_px, np.full(now.shifts_px.shape, np.nan)
        defocus = None if self._trials is None else np.array(now.defocus_angstrom)
        assert self._places is not None
        for tilt in range(now.n_tilt):
            foci = [f for f in range(now.n_focus) if (tilt, f) in self._maps]
            if not foci:
                continue
            maps = np.stack([self._maps[tilt, f] + self._log_prior(tilt, f) for f in foci], axis=1)
            weight = np.ones(1)
            if self._trials is not None and defocus is not None:
                mean, weight = posterior(self._trials, evidence(maps), defocus_sigma(self.work))
                defocus[tilt] += mean - self._off(tilt)
            for i, focus in enumerate(foci):
                moved = moments(_mixed(maps[:, i], weight), self._places.points)
                shifts[tilt, focus] += moved.mean * self._scale
                sigma[tilt, focus] = moved.sigma * self._scale
        return Found(shifts, sigma, defocus, self._residual, self._optics)

    def _log_prior(self, tilt: int, focus: int) -> np.ndarray:
        """`(y, x)`: Gaussian about where the stage began, as wide as half the search radius."""
        assert self._places is not None
        off = (self.work.alignment.shifts_px - self.start.shifts_px)[tilt, focus] / self._scale
        y, x = self._places.points[:, None] + off[0], self._places.points[None] + off[1]
        return np.asarray(-0.5 * (y**2 + x**2) * (2 * self._scale / search_px(self.work)) ** 2)


def _rings(reference: Reference, held: np.ndarray) -> Rings:
    measured, predicted = [], []
    for tilt in map(int, np.flatnonzero(held.any(1))):
        foci = np.flatnonzero(held[tilt])
        measured.append(reference.measured(tilt)[foci].astype(np.complex64))
        predicted.append(reference.predicted(tilt)[0][foci].astype(np.complex64))
    return measure_rings(reference.grid, np.concatenate(measured), np.concatenate(predicted))


def _mixed(log_density: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log-density `(y, x)` with the trial defoci summed out."""
    if len(weight) == 1:
        return np.asarray(log_density[0])
    top = log_density.max((-2, -1), keepdims=True)
    density = np.exp(log_density - top)
    density /= density.sum((-2, -1), keepdims=True)
    return np.asarray(np.log(np.maximum(np.einsum("t,tyx->yx", weight, density), 1e-300)))
