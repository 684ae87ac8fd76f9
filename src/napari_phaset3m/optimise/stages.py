"""What the pipeline keeps from stage to stage, and what it gives at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.axes import at_bounds
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.search import SearchResult
from napari_phaset3m.optimise.trials import UNEXPLAINED
from napari_phaset3m.optimise.uncertainty import Determined
from napari_phaset3m.prepare.align.model import Alignment

#: What no image tells, said with every result.
FREEDOM = (
    "a constant tilt offset only turns the volume about the tilt axis: no image tells it, "
    "and it stays as stated"
)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What a stage changed, and what that bought.

    Attributes
    ----------
    name : str
    before, after : float or None
        Held-out error of the same trial before and after it.
    changed : dict
        Plain numbers with units in their names.
    kept : bool
        False: held-out images got worse, and it was undone.
    seconds : float
    """

    name: str
    before: float | None
    after: float | None
    changed: dict[str, float]
    kept: bool
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class AutoResult:
    """What the pipeline found.

    Attributes
    ----------
    stages : tuple of Stage
    searches : tuple of SearchResult
    determined : Determined or None
        Standard deviations from leaving out parts of the images, and from what search and gradient
        disagree by; correlations from the curvature at the end of the last gradient stage.
    volume : ndarray or None
        `(nz, ny, nx)` volts, at the finest sampling that a kept stage was made or judged at, by the
        last of these; None only if no trial ended.
    volume_bin : int
        Binning of the images that it was made from.
    notes : tuple of str
    solver : dict
        Settings of the reconstruction that were searched, as the last kept search found them.
    """

    stages: tuple[Stage, ...]
    searches: tuple[SearchResult, ...]
    determined: Determined | None
    volume: np.ndarray | None
    notes: tuple[str, ...]
    volume_bin: int = 1
    solver: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a stage's parameters came to.

    Attributes
    ----------
    score : float or None
        Held-out error; None: it cannot be told.
    volume : ndarray or None
        `(nz, ny, nx)` volts.
    volume_bin : int
        Binning of the images that it was made from.
    """

    score: float | None
    volume: np.ndarray | None
    volume_bin: int


@dataclass(eq=False)
class State:
    """How far the pipeline is.

    Attributes
    ----------
    series : TiltFocalSeries
        With what was found so far.
    score : float
        Its held-out error, in trials as they are made now.
    stages, searches : list
    determined
        Of the last gradient stage.
    volume, volume_bin
        See :class:`AutoResult`.
    ways : dict
        What the last search and the last gradient stage stated, kept or not.
    kept_searches : list
        Those of ``searches`` whose best point was kept.
    solver : dict
        Settings of the reconstruction found so far: what comes later is judged with them.
    notes : list of str
    """

    series: TiltFocalSeries
    score: float
    stages: list[Stage] = field(default_factory=list)
    searches: list[SearchResult] = field(default_factory=list)
    determined: Determined | None = None
    volume: np.ndarray | None = None
    volume_bin: int = 1
    ways: dict[str, TiltFocalSeries] = field(default_factory=dict)
    kept_searches: list[SearchResult] = field(default_factory=list)
    solver: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def judge(
        self,
        name: str,
        series: TiltFocalSeries,
        judged: Judged,
        seconds: float,
        told: dict[str, float] | None = None,
    ) -> bool:
        """Keep a stage's series when held-out images are explained better; ``told``: further changes."""
        self.ways[name] = series
        score = judged.score
        kept = score is not None and score < self.score
        change = changes(self.series, series) | (told or {})
        self.stages.append(Stage(name, self.score, score, change, kept, seconds))
        if kept:
            assert score is not None
            self.series, self.score = series, score
            self.show(judged)
        return kept

    def begin_again(self, judged: Judged) -> None:
        """Go on from what trials of another kind make of the same parameters."""
        self.score = judged.score or self.score
        self.show(judged)

    def show(self, judged: Judged) -> None:
        """Its volume is that of the state from now on, unless a finer one stands."""
        if judged.volume is not None and (self.volume is None or judged.volume_bin <= self.volume_bin):
            self.volume, self.volume_bin = judged.volume, judged.volume_bin


def changes(before: TiltFocalSeries, after: TiltFocalSeries) -> dict[str, float]:
    """What differs between two series of the same images, as plain numbers."""
    used = before.used
    found: dict[str, Any] = {}
    if before.shifts_px is not None and after.shifts_px is not None:
        moved = (after.shifts_px - before.shifts_px)[used]
        found["shift_rms_px"] = float(np.sqrt((moved**2).mean()))
    if before.defocus_angstrom is not None and after.defocus_angstrom is not None:
        moved = (after.defocus_angstrom - before.defocus_angstrom)[used]
        found["defocus_rms_angstrom"] = float(np.sqrt((moved**2).mean()))
    turned = (after.tilt_deg - before.tilt_deg)[used.any(1)] if used is not None else after.tilt_deg * 0
    if np.any(turned):
        found["tilt_rms_deg"] = float(np.sqrt((turned**2).mean()))
    cs = [s.spherical_aberration_angstrom for s in (before, after)]
    if None not in cs:
        found["cs_change_angstrom"] = float(cs[1] - cs[0])  # type: ignore[operator]
    for name in sorted(set(before.aberrations) | set(after.aberrations)):
        unit = "rad" if name.startswith("phi") else "angstrom"
        values = [float(s.aberrations.get(name, 0.0)) for s in (before, after)]
        if values[0] != values[1]:
            found[f"{name}_{unit}"] = values[1]
    return found


def searched(kept: Sequence[SearchResult], optics: Sequence[str]) -> dict[str, float]:
    """What the kept searches found of what no later stage refines, relative to the series as stated.

    Offsets of one search after another add up, factors multiply.

    Parameters
    ----------
    optics : sequence of str
        What the gradient stage refines on from there; it and the common defocus are told as changes.
    """
    found: dict[str, float] = {}
    for name, value in ((name, value) for search in kept for name, value in search.best.values.items()):
        parameter = PARAMETERS[name]
        if parameter.refined_as in optics or name == "defocus_offset_angstrom" or parameter.kind == "solver":
            continue
        start = parameter.relative_to
        if start == 0:
            value += found.get(name, 0.0)
        elif start == 1:
            value *= found.get(name, 1.0)
        found[name] = value
    return found


def noted(searches: Sequence[SearchResult]) -> Iterator[str]:
    """Notes of the searches; on a bound only of the last one: each looks around the one before.

    Whether anything is explained is told of the end of the pipeline alone.
    """
    for search in searches:
        ended = at_bounds(search.best, search.axes)
        ended = (*ended, UNEXPLAINED) if search is not searches[-1] else (UNEXPLAINED,)
        yield from (note for note in search.notes if note not in ended)


def turned(found: Alignment) -> dict[str, float]:
    """What single tilts were turned and stretched by (RMS of the used images)."""
    told = {
        "rotation_rms_deg": found.rotation_deg,
        "magnification_rms_percent": 100 * (found.magnification - 1),
    }
    return {
        name: float(np.sqrt((part[found.used] ** 2).mean())) for name, part in told.items() if np.any(part)
    }
