"""Align a series: as a generator of progress, or in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from napari_phaset3m.core.backend import DeviceName
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DeviceError
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.matching import match_bins
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.optics import Shared
from napari_phaset3m.prepare.align.reference_settings import forward_model
from napari_phaset3m.prepare.align.result import AlignResult, StageResult
from napari_phaset3m.prepare.align.sign import settled
from napari_phaset3m.prepare.align.stages import STAGES, after_start, check_stages, stages_of
from napari_phaset3m.prepare.align.tilt_axis import TiltAxis
from napari_phaset3m.prepare.align.words import OWN_JUDGE, why_undone
from napari_phaset3m.prepare.align.work import Judged, Share, Work, detail, judge
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress, drain
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.reconstruct.inputs import check_images

__all__ = ["AlignResult", "StageResult", "align", "iterate_align"]

#: Part of the progress bar that judging the given series takes.
FIRST = 0.03
#: Relative gain of information below which a stage is undone: it changes what the series states.
LEAST_GAIN = {"optics": 0.02}
#: The same for shifts that line projections move where "coarse" had found them: such volumes bend with the
#: shifts and seem to tell more, by 0.3 to 0.9 %, where errors grow (docs/alignment_measured.md).
LINEAR_GAIN = 0.02
#: Numbers that a stage fits to each image: its shift.
FITTED = {"match": 2.0, "grid": 2.0, "gradient": 2.0}


def iterate_align(
    series: TiltFocalSeries,
    config: AlignConfig | None = None,
    *,
    start: Alignment | None = None,
    finish: Finish | None = None,
    device: DeviceName = "auto",
) -> Iterator[Event]:
    """Align, yielding progress (stages of Lee et al. 2025, and what :mod:`.matching` adds).

    After each stage every image is predicted from volumes of the other images; a stage after
    which they are predicted no better is undone.

    Parameters
    ----------
    series : TiltFocalSeries
        Its own shifts are where the alignment starts from.
    config : AlignConfig, optional
    start : Alignment, optional
        Where to start from instead, as another alignment of these images found it; shifts are looked for no
        farther away than its errors say.
    finish : Finish, optional
        Asked after every round whether to end with the best so far.
    device : {"auto", "cpu", "cuda"}
        Reference volumes are computed on the CPU; "cuda" is refused.

    Yields
    ------
    Progress, at last Done
        ``Progress.detail`` may hold ``shifts_px``, ``residual``, ``shift_error_px``,
        ``defocus_angstrom`` (arrays as in Alignment) and ``error_map``; ``Done.result`` is an
        :class:`AlignResult`.

    Raises
    ------
    DataError, ConfigError
        Before anything is computed: something is missing or cannot be used.
    DeviceError
        A GPU was asked for.
    """
    config = config or AlignConfig()
    if device == "cuda":
        raise DeviceError("alignment has no GPU version yet; use --device cpu, or auto")
    check_images(series)
    check_stages(series, config)
    given = Work(series, config, start or Alignment.of(series), finish)
    if start is not None and start.shift_error_px is not None:
        given = given.near(start.shift_error_px)
    config, reference = yield from _decided(given)
    given = replace(given, config=config)
    work = given.at(given.alignment)
    bin_ = judge_bin(work)
    results: list[StageResult] = []
    stages = stages_of(series, config)
    if start is not None and config.stages == "auto":
        stages = after_start(stages, known=given.reach_px is not None, axis=config.coarse.axis)
    size = (1.0 - FIRST) / len(stages)
    judged = yield from judge(work, bin_, Share(FIRST / 2, FIRST / 2), "Judging the series as it is")
    for number, name in enumerate(stages):
        begun, before, share = time.perf_counter(), judged, Share(FIRST + number * size, 0.9 * size)
        after = yield from STAGES[name](replace(work, told={}), share)
        judged = yield from judge(after, bin_, Share(share.at(1.0), 0.1 * size), f"Judging stage {name}")
        kept = _kept(name, work, after, before, judged)
        seconds = time.perf_counter() - begun
        results.append(_stage_result(name, (work, after), (before, judged), seconds, kept=kept))
        if kept:
            work = after.at(after.alignment.replace(residual=judged.residual))
        else:
            judged = before
        text = f"Stage {name} done" if kept else f"Stage {name} undone: {why_undone(name, after.told)}"
        yield Progress(text, share.at(1.0) + 0.1 * size, detail(work))
        if work.finishing:
            break
    if not any(stage.kept for stage in results):
        work = given  # nothing was found: not even the specimen is moved
    yield _done(work, tuple(results), reference)


def _decided(given: Work) -> Generator[Progress, None, tuple[AlignConfig, tuple[str, bool]]]:
    """The settings with the sign of reference volumes decided; what is told of that, and if it was tried."""
    # Where the specimen lies among the voxels matters a little: judged where it will lie.
    config, note = yield from settled(given.at(given.alignment), Share(0.0, FIRST / 2))
    if note:
        yield Progress(note, FIRST / 2)
    return config, (note, config.reference.positivity != given.config.reference.positivity)


def _kept(name: str, work: Work, after: Work, before: Judged, judged: Judged) -> bool:
    if name in OWN_JUDGE:
        return OWN_JUDGE[name] in after.told
    return judged.information > _least(name, work, before)


def _least(name: str, work: Work, before: Judged) -> float:
    """Information (of an image) that a stage must reach to be kept.

    Every number fitted to the noise of an image seems to tell half a nat of it, and spoils as much
    (Akaike, IEEE Trans. Autom. Control 19 (1974) 716): one nat for each is asked. Where nothing is known
    of the shifts yet, any gain is better than nothing.
    """
    least = (1 + LEAST_GAIN.get(name, 0.0)) * before.information
    if work.reach_px is None or name not in FITTED:
        return least
    if forward_model(work.original, work.config) == "sirt":
        least = max(least, (1 + LINEAR_GAIN) * before.information)
    return max(least, before.information + FITTED[name])


def _done(work: Work, stages: tuple[StageResult, ...], reference: tuple[str, bool]) -> Done:
    finders = {"optics", "gradient"} if work.config.gradient.refine_optics else {"optics"}
    kept_optics = any(stage.name in finders and stage.kept for stage in stages)
    found = Shared.of(work.original).told() if kept_optics else None
    axis = TiltAxis.of(work.alignment, work.original.pixel_size_angstrom)
    result = AlignResult(
        work.alignment, stages, work.error_map, work.error_map_px, found, axis, work.local_px, *reference
    )
    told = {**result.summary(), "stages": [asdict(stage) for stage in stages]}
    return Done(recorded(work.series, "align", work.config, told), result)


def _stage_result(
    name: str, works: tuple[Work, Work], judged: tuple[Judged, Judged], seconds: float, *, kept: bool
) -> StageResult:
    (before, after), (old, new) = works, judged
    change = (after.alignment.shifts_px - before.alignment.shifts_px)[before.alignment.used]
    rms = float(np.sqrt((change**2).sum(-1).mean()))
    told = (old.error, new.error, old.information, new.information)
    return StageResult(name, rms, *told, seconds, kept, dict(after.told))


def judge_bin(work: Work) -> int:
    """Bin at which stages are judged: the finest at which images are matched."""
    return match_bins(work)[-1]


def align(
    series: TiltFocalSeries,
    config: AlignConfig | None = None,
    *,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Done:
    """Align in one call.

    Parameters
    ----------
    series, config, **options
        As :func:`iterate_align`.
    on_event : callable, optional
        Called with every event.

    Returns
    -------
    Done
        ``series`` with the alignment applied, ``result`` an :class:`AlignResult`.
    """
    return drain(iterate_align(series, config, **options), on_event)
