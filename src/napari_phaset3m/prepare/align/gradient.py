"""Gauss-Newton refinement with the multislice model's own derivatives.

Joint alignment inside the reconstruction (Lee et al. 2025; Ren et al., Ultramicroscopy 208 (2020) 112860).
At each bin the volume is built from zero, several times over, and after every sweep from the third
on one damped step changes the shifts and defoci (:mod:`napari_phaset3m.reconstruct.gauss_newton`). Where Cs
is free the first round is made from several values of it. Tilt angle, rotation and magnification, where
asked for, follow from volumes of the other tilts (:mod:`.geometry`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.config import RefineConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.defoci import DEFOCUS_SIGMA
from napari_phaset3m.prepare.align.geometry import GeometryEquations, GeometryStep, amplitude_rings
from napari_phaset3m.prepare.align.matching import match_bins, rematch
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.optics import Shared
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.shared import cs_starts, mean_of
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, built, deal, detail
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton, Spread

#: How far a round may go from where it began, standard deviations: shifts (pixels of the series), and what
#: all images share (angstrom).
SHIFT_SPREAD, OPTICS_SPREAD = 1.0, {"C30": 2e6, "C12": 60.0}

#: Sweeps of the volumes that tell tilt angles, rotations and magnifications.
GEOMETRY_SWEEPS = 12


def refine(work: Work, share: Share) -> StageEvents:
    """The stage "gradient"; see the module. For the multislice model.

    Raises
    ------
    ConfigError
        Nothing is to be refined.
    """
    settings, start = work.config.gradient, work.alignment
    images = settings.refine_shifts or settings.refine_defocus != "off"
    geometry = settings.refine_tilt or settings.refine_rotation or settings.refine_magnification
    if not images and not geometry:
        raise ConfigError("gradient: nothing is to be refined; leave the stage out")
    bins = match_bins(work)[-1:] if settings.gradient_bins == "auto" else settings.gradient_bins
    plan = [bin_ for bin_ in bins for _ in range(settings.gradient_rounds)]
    if not geometry:
        return (yield from _joint(work, plan, share))
    for number, bin_ in enumerate(plan):
        part = share.part(number, len(plan))
        if images:
            work = (yield from _images(work, bin_, number, part.part(0, 2))).work
            part = part.part(1, 2)
        work = yield from _geometry(work, start, (bin_, number), part)
        yield Progress(f"Refined at bin {bin_}", part.at(1.0), detail(work))
        if work.finishing:
            break
    return work


def _joint(work: Work, plan: list[int], share: Share) -> StageEvents:
    """Rounds of images, and of what they share; the mean of the later ones at the last bin."""
    settings, start, passed = work.config.gradient, work.alignment, list[Work]()
    # Known since an earlier alignment, and not matched since.
    known = work.reach_px is not None and "match" not in work.config.stages
    optics = settings.refine_optics and not known
    # The stage "optics" has looked at other values of Cs already.
    starts = cs_starts(work) if optics and "optics" not in work.config.stages else [work]
    total = len(plan) + len(starts) - 1
    for number, bin_ in enumerate(plan):
        part = share.part(number + len(starts) - 1, total)
        if optics and number and number == len(plan) // 2:
            # Defoci found with the wrong optics may lie in false minima, out of which no small step leads.
            work = yield from rematch(work, bin_, part.part(0, 2))
            part = part.part(1, 2)
        if known:
            # Shifts were good to begin with: from round to round they would drift, smoothly over the tilts.
            work = work.at(work.alignment.replace(shifts_px=start.shifts_px))
        if number:
            work = (yield from _images(work, bin_, number, part)).work
        else:
            work = yield from _best_of(starts, bin_, Share(share.begin, part.at(1.0) - share.begin))
        yield Progress(f"Refined at bin {bin_}", part.at(1.0), detail(work))
        passed.append(work)
        if work.finishing:
            break
    # Rounds at the last bin differ in the order of the tilts: their chance errors average out.
    last = passed[-min(settings.gradient_rounds, len(passed)) :]
    return mean_of(last[len(last) // 2 :])


@dataclass(frozen=True, slots=True)
class _Round:
    """Where a round ended, and the part of the images that its volume leaves unexplained."""

    work: Work
    misfit: float


def _best_of(starts: list[Work], bin_: int, share: Share) -> StageEvents:
    """The first round from several values of Cs; the one whose volume explains the images best.

    Cs, astigmatism, defoci and the volume have false minima together: at 21.5 e/Å² 4 of 14
    series ended in one when begun from the stated Cs alone (docs/alignment_measured.md).
    """
    best: _Round | None = None
    for number, start in enumerate(starts):
        found = yield from _images(start, bin_, 0, share.part(number, len(starts)))
        if best is None or found.misfit < best.misfit:
            best = found
        if start.finishing:
            break
    assert best is not None
    return best.work


def _images(work: Work, bin_: int, number: int, share: Share) -> Generator[Progress, None, _Round]:
    """One reconstruction with steps of shifts, defoci and what all images share after its sweeps."""
    settings, pixel = work.config.gradient, work.original.pixel_size_angstrom
    hook = GaussNewton(
        RefineConfig(
            refine_shifts=settings.refine_shifts,
            refine_defocus=settings.refine_defocus,
            refine_optics=("C30", "C12") if settings.refine_optics else (),
        ),
        Spread(SHIFT_SPREAD * pixel, DEFOCUS_SIGMA, OPTICS_SPREAD),
    )
    config = work.config.model_copy(update={"seed": work.config.seed + number})
    reference = Reference(work.series, config, bin_, settings.gradient_sweeps, (hook,), "joint")
    try:
        cs = Shared.of(work.original).values[0] * 1e-7
        yield from built(reference, f"Gradient refinement from Cs {cs:.2f} mm, bin {bin_}", share)
        problem = reference.stage.problem
        seen = replace(work, original=Shared.seen(reference.microscope).put(work.original))
        there = work.alignment.replace(
            shifts_px=work.given_shifts_px(problem.shifts_px * reference.scale),
            defocus_angstrom=problem.defocus_angstrom,
        )
        return _Round(seen.at(there), reference.errors[-1])
    finally:
        reference.close()


def _geometry(work: Work, start: Alignment, where: tuple[int, int], share: Share) -> StageEvents:
    """One step of tilt angles, rotations and magnifications.

    Single images are left out, not tilts: across a gap between tilts the volume lacks what would
    tell a tilt from its neighbours, and angles would drift towards them. The volume is twice as fine as
    the bin: frequencies near its Nyquist, which rotating it spoils, are not looked at.
    """
    series, (bin_, number) = work.series, where
    fine = max(1, bin_ // 2)
    assert series.used is not None
    settings, now = work.config.gradient, work.alignment
    parts = deal(series.used, work.config.reference.folds, False, work.rng(4, bin_, number))
    equations = GeometryEquations((now.n_tilt, now.n_focus))
    for index, held in enumerate(parts):
        rest = series.replace(used=series.used & ~held)
        reference = Reference(rest, work.config, fine, GEOMETRY_SWEEPS, kind="plain")
        try:
            yield from built(reference, f"Tilts and rotations, bin {bin_}", share.part(index, len(parts)))
            rings = amplitude_rings(reference, held)
            for tilt in map(int, np.flatnonzero(held.any(1))):
                equations.add(reference, tilt, np.flatnonzero(held[tilt]), rings)
        finally:
            reference.close()
    away = (
        np.radians(now.tilt_deg - start.tilt_deg),
        np.radians(now.rotation_deg - start.rotation_deg).mean(1),
        (now.magnification / start.magnification).mean(1) - 1,
    )
    asked = np.array([settings.refine_tilt, settings.refine_rotation, settings.refine_magnification])
    step = equations.solve(asked, np.stack(away, axis=1))
    # Beyond the outermost tilts the volume is not known, and theirs would run away.
    seen = np.flatnonzero(series.used.any(1))
    step.tilt_deg[seen[[now.tilt_deg[seen].argmin(), now.tilt_deg[seen].argmax()]]] = 0.0
    return work.at(moved(work, step))


def moved(work: Work, step: GeometryStep) -> Alignment:
    """The alignment after a step of its geometry.

    Shifts were free in it, so that they do not pass for a turn, but stay: they are for the steps
    inside the reconstruction, or for matching afterwards.
    """
    old = work.alignment
    return old.replace(
        tilt_deg=old.tilt_deg + step.tilt_deg,
        rotation_deg=old.rotation_deg + step.rotation_deg[:, None],
        magnification=old.magnification * (1 + step.magnification[:, None]),
        shift_error_px=step.shift_error_px,
    )
