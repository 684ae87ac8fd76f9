"""The stage "axis": the angle at which one volume within its support explains all images best.

At each of some angles a multislice volume is built from zero from all images, turned to that
angle, with steps of shifts and defoci after its sweeps; what it leaves unexplained is a parabola
about the axis. Four things make the small differences tell it: voxels outside of the specimen are held
empty; a light penalty, counted with the misfit, keeps the rest from following noise; images are
turned so that their noise stays the same (:mod:`.turn`); and the misfit is that of
intensities, whose sum of squares a turn keeps.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.config import RefineConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.orient import turn_aberrations
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.axis import Axis, as_stated, believed
from napari_phaset3m.prepare.align.defoci import DEFOCUS_SIGMA
from napari_phaset3m.prepare.align.gauge import moved
from napari_phaset3m.prepare.align.gradient import SHIFT_SPREAD
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.align.support import Ball, ball_around
from napari_phaset3m.prepare.align.turn import lowpassed, turned
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, built, detail
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton, Spread
from napari_phaset3m.reconstruct.refine import Hook

#: Highest frequency that is looked at, cycles per voxel, in the first search and in the second. What a
#: wrong defocus does grows with its square: finer detail lets defoci run into false minima, and turning
#: spoils what is beyond the second.
ROUGH_CUTOFF, CUTOFF = 0.3, 0.42
#: Steps of the first and of the second search, degrees; steps of the second to either side.
STEP_DEG, FINE_STEP_DEG, FINE_STEPS = 1.0, 0.5, 2
#: Coarsest voxel, angstrom.
VOXEL_ANGSTROM = 1.1
#: How often the second search may be made.
LONGEST = 3
#: Error besides that from noise, at the edge of the ball, voxels (docs/alignment_measured.md, "The axis").
SYSTEMATIC_VOXELS = 0.07
#: Images are turned from where they are given up to this angle, beyond it from where they are aligned.
FAR_DEG = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One angle: misfits `(n_tilt,)`, penalty (relative units), shifts (given axes), defoci found at it."""

    angle_deg: float
    losses: np.ndarray
    penalty: float
    alignment: Alignment

    @property
    def loss(self) -> float:
        """Misfit of all tilts."""
        return float(self.losses.sum())

    @property
    def objective(self) -> float:
        """Misfit and penalty."""
        return self.loss + self.penalty


def find_axis(work: Work, share: Share) -> StageEvents:
    """The stage "axis"; see the module. For the multislice model, and a specimen that stands free.

    It changes the axis and the defoci. Shifts stay: those that follow a volume drift, smoothly over tilts.
    """
    settings, trials = work.config.axis, _Trials(work, axis_bin(work.original.pixel_size_angstrom))
    count = 2 * max(1, int(np.ceil(settings.axis_search_deg / STEP_DEG))) + 1
    rough = max(1, settings.axis_sweeps // 2)
    whole = (count + 1) * rough + (2 * FINE_STEPS + 1) * settings.axis_sweeps
    first = Share(share.begin, share.size * rough / whole)
    second = Share(first.at(1.0), share.size * count * rough / whole)
    third = Share(second.at(1.0), share.at(1.0) - second.at(1.0))
    ball = yield from trials.surround(rough, first)
    if ball is None:
        return replace(work, told={"axis_left": "the specimen fills the field"})
    offsets = np.linspace(-settings.axis_search_deg, settings.axis_search_deg, count)
    tried = yield from trials.at(work.alignment.axis_angle_deg + offsets, rough, second)
    found, settled = yield from _nearer(trials, tried, settings.axis_sweeps, third)
    if found is None or work.finishing:
        why = "the search was ended early" if work.finishing else "the images do not tell it"
        return replace(work, told={"axis_left": why})
    if abs(found.angle_deg - work.alignment.axis_angle_deg) > settings.axis_search_deg:
        why = f"the least lies over {settings.axis_search_deg:g}° away; a larger --axis-search looks farther"
        return replace(work, told={"axis_left": why})
    beyond = float(np.degrees(SYSTEMATIC_VOXELS / ball.radius))
    own = Axis(found.angle_deg, float(np.hypot(found.error_deg, beyond)))
    axis = joined(own, work.alignment, work.config.coarse.axis_range_deg)
    told = {
        "axis_angle_deg": axis.angle_deg - work.alignment.axis_angle_deg,
        "axis_error_deg": axis.error_deg,
        "support_radius_angstrom": ball.radius_angstrom,
    }
    # In the gauge of the shifts, so that the defoci go with them.
    placed = work.at(settled.with_axis_angle(axis.angle_deg))
    before = work.at(work.alignment.with_axis_angle(axis.angle_deg)).alignment
    assert placed.alignment.defocus_angstrom is not None and before.defocus_angstrom is not None
    defocus = plausible(placed.alignment.defocus_angstrom, before.defocus_angstrom)
    done = before.replace(defocus_angstrom=defocus, axis_error_deg=axis.error_deg)
    return replace(work, told=told).at(done)


def axis_bin(pixel_angstrom: float) -> int:
    """The coarsest bin that holds a lattice: with voxels of 1.2 Å a volume of gold told -4.7° for 0°."""
    return max(1, int(VOXEL_ANGSTROM / pixel_angstrom))


def joined(found: Axis, before: Alignment, range_deg: float) -> Axis:
    """With what was known of the axis: an earlier finding, each by its error, else that it was stated.

    Parameters
    ----------
    found : Axis
    before : Alignment
    range_deg : float
        The stated axis is known to half of it.
    """
    if before.axis_error_deg is None or not before.axis_error_deg > 0:
        return believed(found, as_stated(range_deg))
    weights = np.array([found.error_deg, before.axis_error_deg]) ** -2.0
    angle = float(weights @ [found.angle_deg, before.axis_angle_deg] / weights.sum())
    return Axis(angle, float(weights.sum() ** -0.5))


def _nearer(
    trials: _Trials, tried: list[Trial], sweeps: int, share: Share
) -> Generator[Progress, None, tuple[Axis | None, Alignment]]:
    """The second search, about the best of the first; begun anew farther on where the least lies outside."""
    for _ in range(LONGEST):
        best = min(tried, key=lambda trial: trial.objective)
        trials.begin(typical(tried, best))
        near = best.angle_deg + FINE_STEP_DEG * np.arange(-FINE_STEPS, FINE_STEPS + 1)
        tried = yield from trials.at(near, sweeps, share)
        found, share = vertex(tried, trials.n_number), Share(share.at(1.0), 0.0)
        settled = typical(tried, min(tried, key=lambda trial: trial.objective))
        inside = found is not None and abs(found.angle_deg - best.angle_deg) <= FINE_STEPS * FINE_STEP_DEG
        if inside or trials.work.finishing:
            return found, settled
    return None, settled


def typical(tried: Sequence[Trial], best: Trial) -> Alignment:
    """Median shifts and defoci of the best angle and its neighbours: single ones run into false minima."""
    number = tried.index(best)
    near = [trial.alignment for trial in tried[max(0, number - FINE_STEPS) : number + FINE_STEPS + 1]]
    shifts = np.median([one.shifts_px for one in near], axis=0)
    defocus = np.median([one.defocus_angstrom for one in near], axis=0)
    return best.alignment.replace(shifts_px=shifts, defocus_angstrom=defocus)


def plausible(defocus: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """Defoci found, but the stated ones where a tilt went farther than three standard deviations."""
    far = np.abs(defocus - stated - np.median(defocus - stated)) > 3 * DEFOCUS_SIGMA
    return np.where(far, stated, defocus)


def vertex(trials: Sequence[Trial], n_number: float) -> Axis | None:
    """Angle and standard deviation from a parabola through the objectives; None where there is no least one.

    The standard deviation is the larger of two: what the noise of the images alone leaves, and what the
    tilts' disagreement tells (Huber's sandwich, Proc. 5th Berkeley Symp. 1 (1967) 221), which also knows
    of what no volume explains. Neighbours, which share their errors, count as one.

    Parameters
    ----------
    trials : sequence of Trial
        Three or more; tilts in the order of their angles.
    n_number : float
        Independent numbers in the images. With the least misfit for their noise, the objective is a
        log-likelihood of ``-n/2 (objective / least misfit)``.
    """
    if len(trials) < 3:
        return None
    angle = np.array([trial.angle_deg for trial in trials])
    best = min(trials, key=lambda trial: trial.objective)
    each = np.array([trial.losses + trial.penalty / trial.losses.size for trial in trials])
    bends, slopes, _ = np.polyfit(angle - best.angle_deg, each - each[trials.index(best)], 2)
    bend = float(bends.sum())
    if bend <= 0:
        return None
    turn = -float(slopes.sum()) / (2 * bend)
    asked = 2 * bends * turn + slopes
    pairs = np.add.reduceat(asked, np.arange(0, asked.size, 2))
    disagreeing = float(np.sqrt((pairs**2).sum())) / (2 * bend)
    noise = float(np.sqrt(best.loss / (n_number * bend)))
    return Axis(best.angle_deg + turn, max(noise, disagreeing))


class _Trials:
    """Volumes of the images turned to different angles.

    Parameters
    ----------
    work : Work
    bin_ : int
    """

    def __init__(self, work: Work, bin_: int) -> None:
        self.work, self._bin = work, bin_
        self._ball: Ball | None = None
        self._shape: tuple[int, ...] = ()
        axis = work.alignment.axis_angle_deg
        self._from_deg = 0.0 if abs(axis) <= FAR_DEG else axis
        plain = apply(work.original, work.alignment.with_axis_angle(self._from_deg), work.local_px)
        self._plain = plain.replace(images=np.asarray(plain.images, np.float64))
        self._seen = self._lowpassed(ROUGH_CUTOFF)
        self._now = work.alignment

    @property
    def n_number(self) -> float:
        """Independent numbers in the images."""
        ny, nx = self.work.original.image_shape
        return float(self._now.used.sum() * np.pi * CUTOFF**2 * ny * nx / self._bin**2)

    def begin(self, alignment: Alignment) -> None:
        """Where shifts and defoci of the next angles begin, which are looked at as finely as can be."""
        self._now, self._seen = alignment, self._lowpassed(CUTOFF)

    def _lowpassed(self, cutoff: float) -> np.ndarray:
        return lowpassed(self._plain.images, cutoff / self._bin)

    def surround(self, sweeps: int, share: Share) -> Generator[Progress, None, Ball | None]:
        """Find what holds the specimen, and bring its middle to the centre."""
        reference = self._reference(self._now.axis_angle_deg, sweeps)
        try:
            yield from built(reference, "Where the specimen is", share)
            volume = reference.public_volume()
            self._shape = volume.shape
            self._ball = ball_around(volume, reference.grid.pixel_size_angstrom)
            scale = reference.scale
            shifts, defocus = self._found(reference, self._now.axis_angle_deg)
        finally:
            reference.close()
        if self._ball is not None:
            z, y, x = self._ball.centre
            there = self._now.replace(shifts_px=shifts, defocus_angstrom=defocus)
            pixel = self.work.original.pixel_size_angstrom
            self._now = moved(there, (-z * scale, -y * scale, -x * scale), pixel)
        return self._ball

    def at(self, angles_deg: np.ndarray, sweeps: int, share: Share) -> Generator[Progress, None, list[Trial]]:
        """A volume at each angle; fewer where the user wants to end."""
        tried: list[Trial] = []
        for number, angle in enumerate(map(float, angles_deg)):
            reference = self._reference(angle, sweeps)
            try:
                part = share.part(number, len(angles_deg))
                yield from built(reference, f"Tilt axis at {angle:+.2f}°".replace("-", "−"), part)
                losses, penalty = reference.objective()
                by_angle = np.argsort(self._now.tilt_deg[reference.stage.solver.tilts], kind="stable")
                shifts, defocus = self._found(reference, angle)
            finally:
                reference.close()
            there = self._now.with_axis_angle(angle).replace(shifts_px=shifts, defocus_angstrom=defocus)
            tried.append(Trial(angle, losses[by_angle], penalty, there))
            yield Progress("Tilt axis", part.at(1.0), detail(self.work))
            if self.work.finishing:
                break
        return tried

    def _aligned(self, angle_deg: float) -> Work:
        return replace(self.work, alignment=self._now.with_axis_angle(angle_deg))

    def _series(self, angle_deg: float) -> TiltFocalSeries:
        turn = angle_deg - self._from_deg
        return self._plain.replace(
            images=turned(self._seen, turn),
            shifts_px=self._aligned(angle_deg).aligned_shifts_px,
            defocus_angstrom=self._now.defocus_angstrom,
            tilt_axis_angle_deg=self._plain.tilt_axis_angle_deg + turn,
            aberrations=turn_aberrations(self._plain.aberrations, turn),
        )

    def _reference(self, angle_deg: float, sweeps: int) -> Reference:
        settings, pixel = self.work.config.gradient, self.work.original.pixel_size_angstrom
        hooks: tuple[Hook, ...] = ()
        if settings.refine_shifts or settings.refine_defocus != "off":
            free = RefineConfig(refine_shifts=settings.refine_shifts, refine_defocus=settings.refine_defocus)
            # Not anchored: docs/alignment_measured.md, "What limits axis", tells what else that would need.
            hooks = (GaussNewton(free, Spread(SHIFT_SPREAD * pixel, DEFOCUS_SIGMA), anchored=False),)
        mask = None if self._ball is None else self._ball.mask(self._shape, centred=True)
        series, config = self._series(angle_deg), self.work.config
        return Reference(series, config, self._bin, sweeps, hooks, "judged", mask)

    def _found(self, reference: Reference, angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
        problem = reference.stage.problem
        shifts = self._aligned(angle_deg).given_shifts_px(problem.shifts_px * reference.scale)
        assert problem.defocus_angstrom is not None
        return shifts, np.array(problem.defocus_angstrom)
