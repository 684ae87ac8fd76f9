"""What the stages of an alignment share: the series as it stands, and its parts."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.gauge import without_freedoms
from napari_phaset3m.prepare.align.likelihood import measure_rings
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference
from napari_phaset3m.prepare.events import Finish, Progress

#: Shifts may be off by so many of the formal errors that the model-free stage tells of them: those know
#: nothing of the axis, nor of a contrast that changes with the tilt (measured: 1 to 5 times as large).
FORMAL = 8.0
#: What a stage yields, and what it returns.
StageEvents = Generator[Progress, None, "Work"]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A series under alignment.

    Attributes
    ----------
    original : TiltFocalSeries
        As it was given; the alignment is of its images.
    config : AlignConfig
    alignment : Alignment
    finish : Finish, optional
        Asks to end early.
    error_map, error_map_px : ndarray, optional
        Of the grid search, see :class:`.result.AlignResult`.
    local_px : ndarray, optional
        `(n_tilt, n_focus, 2, grid, grid)` further displacement in the given images, see :func:`.apply.apply`.
    told : mapping
        What the present stage found besides the alignment, plain numbers by name.
    reach_px : float, optional
        How far the shifts may be off where that is known; None: as far as the settings say.
    """

    original: TiltFocalSeries
    config: AlignConfig
    alignment: Alignment
    finish: Finish | None = None
    error_map: np.ndarray | None = None
    error_map_px: np.ndarray | None = None
    local_px: np.ndarray | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    reach_px: float | None = None

    def near(self, error_px: np.ndarray) -> Work:
        """The same, its shifts known to about their formal errors `(n_tilt, n_focus, 2)`."""
        known = error_px[self.alignment.used & np.isfinite(error_px).all(-1)]
        return replace(self, reach_px=FORMAL * float(np.sqrt((known**2).mean())) if known.size else None)

    def at(self, alignment: Alignment) -> Work:
        """The same with another alignment, its freedoms fixed."""
        mean = float(self.original.tilt_deg.mean())
        return replace(self, alignment=without_freedoms(alignment, self.original.pixel_size_angstrom, mean))

    @property
    def aligned_shifts_px(self) -> np.ndarray:
        """`(n_tilt, n_focus, 2)` (y, x) shifts in the axes of the aligned images, as ``series`` has them."""
        return self.alignment.aligned_shifts_px

    def given_shifts_px(self, aligned_px: np.ndarray) -> np.ndarray:
        """Shifts in the axes of the given images from those in the aligned ones."""
        return _turned(self.alignment.matrices(), aligned_px)

    @property
    def series(self) -> TiltFocalSeries:
        """The series with its alignment applied."""
        return apply(self.original, self.alignment, self.local_px)

    @property
    def finishing(self) -> bool:
        """Whether the user wants the best so far."""
        return self.finish is not None and self.finish.finish_requested()

    @property
    def short_side(self) -> int:
        """Shorter side of the images, pixels."""
        return min(self.original.image_shape)

    def rng(self, *where: int) -> np.random.Generator:
        """Random numbers of one place in the run."""
        return np.random.default_rng([self.config.seed, *where])


def _turned(matrices: np.ndarray, shifts_px: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("tfij,tfj->tfi", matrices, shifts_px[..., ::-1])[..., ::-1])


def deal(used: np.ndarray, parts: int, by_tilt: bool, rng: np.random.Generator) -> list[np.ndarray]:
    """Deal the used images out at random: `(n_tilt, n_focus)` bool of each part, none empty.

    Parameters
    ----------
    used : ndarray
        `(n_tilt, n_focus)` bool.
    parts : int
        At most; as many as there are tilts or images when these are fewer.
    by_tilt : bool
        All images of a tilt are in one part. Else images are dealt one by one, and each
        tilt's go to different parts.
    """
    n_focus = used.shape[1]
    tilts = np.flatnonzero(used.any(1))
    label = np.full(used.shape, -1)
    if by_tilt or n_focus == 1:
        order = rng.permutation(tilts.size)
        label[tilts] = (order % min(parts, max(2, tilts.size)))[:, None]
    else:
        for tilt in tilts:
            label[tilt] = (rng.permutation(n_focus) + rng.integers(parts)) % parts
    label[~used] = -1
    return [label == part for part in range(parts) if (label == part).any()]


@dataclass(slots=True)
class Share:
    """Part of a progress bar: from ``begin`` on, ``size`` long."""

    begin: float
    size: float

    def at(self, fraction: float) -> float:
        """Done part of the whole bar at a done part of this one."""
        return min(1.0, self.begin + self.size * fraction)

    def part(self, number: int, count: int) -> Share:
        """One of ``count`` even parts."""
        return Share(self.begin + self.size * number / count, self.size / count)


def built(reference: Reference, text: str, share: Share) -> Iterator[Progress]:
    """Sweeps of a reference as progress."""
    for fraction in reference.sweeps():
        yield Progress(text, share.at(fraction))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """How well volumes of the other images predict each image.

    Attributes
    ----------
    error : float
        Part of the images' power that is not predicted, each ring of frequency scaled best.
    information : float
        What the predictions tell of an image, nats: ``-1/2 sum of n log(1 - r^2)`` over rings of n
        independent numbers and correlation r. Unlike the error it counts faint rings as well.
    residual : ndarray
        `(n_tilt, n_focus)` the same of each image; NaN where not used.
    correlation : ndarray
        `(n_ring,)` correlation of prediction and image in rings of frequency.
    """

    error: float
    information: float
    residual: np.ndarray
    correlation: np.ndarray = field(repr=False)


def judge(work: Work, bin_: int, share: Share, text: str = "Judging") -> Generator[Progress, None, Judged]:
    """Predict every image from volumes of the others, always dealt out alike."""
    series = work.series
    assert series.used is not None
    parts = deal(series.used, work.config.reference.folds, series.n_focus == 1, work.rng(9, bin_))
    measured: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    where: list[tuple[int, int]] = []
    for number, held in enumerate(parts):
        reference = Reference(series.replace(used=series.used & ~held), work.config, bin_)
        try:
            yield from built(reference, text, share.part(number, len(parts)))
            for tilt in np.flatnonzero(held.any(1)):
                foci = np.flatnonzero(held[tilt])
                measured.extend(reference.measured(int(tilt))[foci].astype(np.complex64))
                predicted.extend(reference.predicted(int(tilt))[0][foci].astype(np.complex64))
                where.extend((int(tilt), int(f)) for f in foci)
            grid = reference.grid
        finally:
            reference.close()
    rings = measure_rings(grid, np.stack(measured), np.stack(predicted))
    residual = np.full(series.used.shape, np.nan)
    gain = rings.gain[rings.index]
    for index, b, a in zip(where, measured, predicted, strict=True):
        residual[index] = float((np.abs(b - gain * a) ** 2).sum() / max(float((np.abs(b) ** 2).sum()), 1e-30))
    error = 1 - rings.explained / max(rings.power, 1e-30)
    return Judged(error, rings.information, residual, rings.correlation)


def detail(work: Work, **more: Any) -> Mapping[str, Any]:
    """Numbers worth showing now: shifts and residuals of the alignment, and more by name."""
    found: dict[str, Any] = {
        "shifts_px": work.alignment.shifts_px,
        "residual": work.alignment.residual,
        "shift_error_px": work.alignment.shift_error_px,
        "defocus_angstrom": work.alignment.defocus_angstrom,
        "error_map": work.error_map,
        "tilt_deg": work.alignment.tilt_deg,
        "rotation_deg": work.alignment.rotation_deg,
        "magnification": work.alignment.magnification,
    }
    return {name: value for name, value in (found | more).items() if value is not None}
