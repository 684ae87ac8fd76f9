"""The stage "coarse": the alignment that needs neither optics nor a volume, within a run."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_phaset3m.prepare.align.axis import Axis, as_stated
from napari_phaset3m.prepare.align.coarse import CoarseResult, iterate_coarse
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Done, Progress

#: Turn (degrees) of the axis after which neighbours are correlated anew across the axis found: the shifts
#: that the search began with were stretched across another.
FAR_DEG = 3.0
#: Most passes, and the least reach of those after the first (degrees).
PASSES, NEAR_DEG = 8, 4.0
#: Part of the stated axis's error that must be left for the images to have told nothing of it.
UNTOLD = 0.9
#: Part of the progress bar that the first pass takes.
FIRST = 0.7


def coarse(work: Work, share: Share) -> StageEvents:
    """The stage "coarse": centre of mass, neighbours, common line and axis (:mod:`.coarse`).

    Anew where the axis turned by more than :data:`FAR_DEG`, until it stays.
    """
    settings, turned, begun = work.config.coarse, 0.0, 0.0
    reach, stated = settings.axis_range_deg, as_stated(settings.axis_range_deg)
    for number in range(PASSES):
        # The first pass is most of it where the axis was stated well.
        size = FIRST if number == 0 else (1 - FIRST) / (PASSES - 1)
        part = Share(share.at(begun), share.size * size)
        found = yield from _once(work, reach, replace(stated, angle_deg=-turned), part)
        begun, last, turned = begun + size, abs(found.axis_angle_deg), turned + found.axis_angle_deg
        beyond = (found.axis_beyond and reach >= settings.axis_range_deg) or abs(
            turned
        ) > settings.axis_range_deg
        told = _told(found, turned, stated.error_deg)
        if told and beyond:
            told["axis_beyond_deg"] = settings.axis_range_deg
        work = replace(_placed(work, found), told=told)
        if last <= FAR_DEG or beyond or work.finishing:
            break
        reach = min(settings.axis_range_deg, max(NEAR_DEG, last))
    assert found.alignment.shift_error_px is not None
    return work.near(found.alignment.shift_error_px)


def _told(found: CoarseResult, turned_deg: float, stated_error_deg: float) -> dict[str, float]:
    if np.isnan(found.axis_error_deg):
        return {}
    told = {"axis_angle_deg": turned_deg, "axis_error_deg": found.axis_error_deg}
    untold = found.axis_error_deg > UNTOLD * stated_error_deg
    return told | ({"axis_stated_within_deg": stated_error_deg} if untold else {})


def _once(
    work: Work, reach_deg: float, stated: Axis, share: Share
) -> Generator[Progress, None, CoarseResult]:
    config = work.config.coarse.model_copy(update={"axis_range_deg": reach_deg})
    for event in iterate_coarse(work.series, config, stated=stated, finish=work.finish):
        if isinstance(event, Progress):
            # Its shifts are one for each tilt: shown when they are applied.
            yield Progress(event.text, share.at(event.fraction), detail(work))
    assert isinstance(event, Done) and isinstance(event.result, CoarseResult)
    return event.result


def _placed(work: Work, found: CoarseResult) -> Work:
    """With what a pass found: it is of the images as they are aligned now."""
    old, error = work.alignment, found.axis_error_deg
    return work.at(
        old.replace(
            rotation_deg=old.rotation_deg + found.alignment.rotation_deg,
            shifts_px=work.given_shifts_px(found.alignment.shifts_px),
            shift_error_px=found.alignment.shift_error_px,
            axis_error_deg=old.axis_error_deg if np.isnan(error) else error,
        )
    )
