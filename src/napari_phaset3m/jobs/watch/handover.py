"""From a watched folder to a series at full size, at any time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.import_config import ImportConfig
from napari_phaset3m.io.import_load import Loaded, iterate_load
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.jobs.watch.events import QuickVolume


def hand_over(
    plan: ImportPlan,
    quick: QuickVolume | None = None,
    *,
    bin: int = 1,
    on_progress: Callable[[str, float], None] | None = None,
) -> TiltFocalSeries:
    """Read the series that has arrived, with the shifts that were found coarsely.

    Parameters
    ----------
    plan : ImportPlan
        Of :class:`.events.Looked`.
    quick : QuickVolume, optional
        Its shifts are taken when it was made of the same images; else the images are not shifted.
    bin : int
        Bin the images while they are read.
    on_progress : callable, optional
        Called with a text and the fraction done; what it raises ends the reading.

    Returns
    -------
    TiltFocalSeries

    Raises
    ------
    DataError, ConfigError
        Something needed is missing, a file has gone or has changed, or it would not fit in the memory.
    """
    found: TiltFocalSeries | None = None
    for event in iterate_load(plan, ImportConfig.parse(bin=bin)):
        if isinstance(event, Loaded):
            found = event.series
        elif on_progress is not None:
            on_progress(event.text, event.fraction)
    assert found is not None
    if quick is None or quick.shifts_px is None or not _same_images(plan, quick.plan):
        return found
    return found.replace(shifts_px=np.asarray(quick.shifts_px) / bin)


def _same_images(plan: ImportPlan, other: ImportPlan) -> bool:
    places = [[(entry.file, entry.section) for entry in one.images] for one in (plan, other)]
    return places[0] == places[1]
