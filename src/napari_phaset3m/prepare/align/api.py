"""Align a series: as a generator of progress, or in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.backend import DeviceName
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.matching import match
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail, judge
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress, drain
from napari_phaset3m.prepare.history import recorded

#: Bin at which every stage is judged.
JUDGE_BIN = 3
STAGES: dict[str, Callable[[Work, Share], StageEvents]] = {"match": match}


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage changed and what that bought.

    Attributes
    ----------
    name : str
    rms_change_px : float
        Of the shifts of used images.
    error_before, error_after : float
        Part of the images' power that volumes of the other images do not predict.
    seconds : float
    kept : bool
        False: it did not lower the error, and was undone.
    """

    name: str
    rms_change_px: float
    error_before: float
    error_after: float
    seconds: float
    kept: bool


@dataclass(frozen=True, slots=True, eq=False)
class AlignResult:
    """An alignment and how it came about."""

    alignment: Alignment
    stages: tuple[StageResult, ...]


def iterate_align(
    series: TiltFocalSeries,
    config: AlignConfig | None = None,
    *,
    finish: Finish | None = None,
    device: DeviceName = "auto",
) -> Iterator[Event]:
    """Align, yielding progress."""
    config = config or AlignConfig()
    work = Work(series, config, Alignment.of(series), finish)
    results: list[StageResult] = []
    size = 1.0 / len(config.stages)
    judged = yield from judge(work, JUDGE_BIN, Share(0.0, 0.0))
    for number, name in enumerate(config.stages):
        begun, before = time.perf_counter(), work.alignment
        share = Share(number * size, 0.9 * size)
        after = work.at((yield from STAGES[name](work, share)))
        now = yield from judge(after, JUDGE_BIN, Share((number + 0.9) * size, 0.1 * size))
        kept = now.error < judged.error
        change = (after.alignment.shifts_px - before.shifts_px)[before.used]
        rms = float(np.sqrt((change**2).sum(-1).mean()))
        results.append(StageResult(name, rms, judged.error, now.error, time.perf_counter() - begun, kept))
        if kept:
            judged = now
            work = after.at(after.alignment.replace(residual=now.residual))
        yield Progress(f"{name}: {'kept' if kept else 'undone'}", share.begin + size, detail(work))
        if work.finishing:
            break
    told = {"stages": [r.name for r in results]}
    yield Done(recorded(work.series, "align", config, told), AlignResult(work.alignment, tuple(results)))


def align(
    series: TiltFocalSeries,
    config: AlignConfig | None = None,
    *,
    on_event: Callable[[Event], None] | None = None,
    device: DeviceName = "auto",
) -> Done:
    """Align in one call."""
    return drain(iterate_align(series, config, device=device), on_event)
