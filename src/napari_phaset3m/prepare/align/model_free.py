"""The stage "coarse": the alignment that needs neither optics nor a volume, within a run."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_phaset3m.prepare.align.coarse import CoarseResult, iterate_coarse
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Done, Progress

#: Turn (degrees) of the axis after which neighbours are correlated anew across the axis found: the shifts
#: that the search began with were stretched across another.
FAR_DEG = 3.0
#: Most passes, and the least reach of those after the first (degrees).
PASSES, NEAR_DEG = 8, 4.0
#: Part of the progress bar that the first pass takes.
FIRST = 0.7


def coarse(work: Work, share: Share) -> StageEvents:
    """The stage "coarse": centre of mass, neighbours, common line and axis (:mod:`.coarse`).

    Anew where the axis turned by more than :data:`FAR_DEG`, until it stays.
    """
    settings, turned, begun = work.config.coarse, 0.0, 0.0
    reach = settings.axis_range_deg
    for number in range(PASSES):
        # The first pass is most of it where the axis was stated well.
        size = FIRST if number == 0 else (1 - FIRST) / (PASSES - 1)
        found = yield from _once(work, reach, Share(share.at(begun), share.size * size))
        begun, last, turned = begun + size, abs(found.axis_angle_deg), turned + found.axis_angle_deg
        work = replace(_placed(work, found), told=_told(found, turned, settings.axis_range_deg))
        if last <= FAR_DEG or "axis_beyond_deg" in work.told or work.finishing:
            break
        reach = min(settings.axis_range_deg, max(NEAR_DEG, last))
    assert found.alignment.shift_error_px is not None
    return work.near(found.alignment.shift_error_px)


def _told(found: CoarseResult, turned_deg: float, range_deg: float) -> dict[str, float]:
    if np.isnan(found.axis_error_deg):
        return {}
    beyond = found.axis_beyond or abs(turned_deg) > range_deg
    told = {"axis_angle_deg": turned_deg, "axis_error_deg": found.axis_error_deg}
    return told | ({"axis_beyond_deg": range_deg} if beyond else {})


def _once(work: Work, reach_deg: float, share: Share) -> Generator[Progress, None, CoarseResult]:
    config = work.config.coarse.model_copy(update={"axis_range_deg": reach_deg})
    for event in iterate_coarse(work.series, config, finish=work.finish):
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
