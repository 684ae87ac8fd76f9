"""The stage "coarse": the alignment that needs neither optics nor a volume, within a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_phaset3m.prepare.align.coarse import iterate_coarse
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Done, Progress


def coarse(work: Work, share: Share) -> StageEvents:
    """The stage "coarse": centre of mass, neighbours, common line and axis (:mod:`.coarse`)."""
    for event in iterate_coarse(work.series, work.config.coarse, finish=work.finish):
        if isinstance(event, Progress):
            # Its shifts are one for each tilt: shown when they are applied.
            yield Progress(event.text, share.at(event.fraction), detail(work))
    assert isinstance(event, Done)
    found, old = event.result.alignment, work.alignment
    error = event.result.axis_error_deg
    told = {} if np.isnan(error) else {"axis_angle_deg": event.result.axis_angle_deg, "axis_error_deg": error}
    # What it says is of the images as they are aligned now.
    placed = replace(work, told=told).at(
        old.replace(
            rotation_deg=old.rotation_deg + found.rotation_deg,
            shifts_px=work.given_shifts_px(found.shifts_px),
            shift_error_px=found.shift_error_px,
            axis_error_deg=old.axis_error_deg if np.isnan(error) else error,
        )
    )
    return placed.near(found.shift_error_px)
