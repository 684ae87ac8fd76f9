"""Refuse what cannot be loaded before an image is read; ``phaset3m info`` asks the same of what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.assemble import check
from napari_phaset3m.io.import_cells import checked_value
from napari_phaset3m.io.import_config import ImportConfig
from napari_phaset3m.io.import_plan import WHOLE, ImportPlan
from napari_phaset3m.io.import_raw import fillers, planned_raw
from napari_phaset3m.io.leave_out import used_images
from napari_phaset3m.io.raw import RawSeries, blaming, missing

#: What images need, and any values that can be where a plan is only shown and states none.
_NEEDED = ("pixel_size_angstrom", "energy_ev")
_STAND_IN = (1.0, 3e5)


def check_plan(
    plan: ImportPlan,
    config: ImportConfig | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    is_complete: bool = True,
) -> ImportPlan:
    """Check a plan, and what is given beside it, as loading does: all but the values of the images.

    Parameters
    ----------
    plan : ImportPlan
    config : ImportConfig, optional
        By default the plan's own.
    given : mapping, optional
        As :func:`importing.load` takes it; None: not given.
    is_complete : bool
        Angles, pixel size and energy that are not stated are refused. Else they are passed over.

    Returns
    -------
    ImportPlan
        Without the questions that ``given`` answers.

    Raises
    ------
    DataError, ConfigError
        Something is missing, cannot be, or does not fit the images.
    """
    known = {name: value for name, value in (given or {}).items() if value is not None}
    for name in set(known) & set(WHOLE):
        checked_value(name, known[name])
    plan = plan.answered(known)
    plan.check(is_complete)
    refusal = next((question.refusal for question in plan.questions if question.refusal), None)
    if refusal is not None:
        raise refusal
    for name in _NEEDED:
        if is_complete and getattr(plan, name) is None and name not in known:
            raise _unknown(plan, name)
    with blaming(known, plan.source):
        used_of(plan, known)
        _check_values(plan, config or plan.config, known)
    return plan


def _check_values(plan: ImportPlan, config: ImportConfig, known: Mapping[str, Any]) -> None:
    rows = tuple(replace(entry, tilt_deg=entry.tilt_deg or 0.0) for entry in plan.images)
    images = np.broadcast_to(REAL(1), (plan.n_tilt, plan.n_focus, *plan.image_shape))  # takes no memory
    stated = (getattr(plan, name) for name in _NEEDED)
    pixel, energy = (
        other if value is None else value for value, other in zip(stated, _STAND_IN, strict=True)
    )
    complete = replace(plan, images=rows, pixel_size_angstrom=pixel, energy_ev=energy)
    check(*planned_raw(complete, images, config, 0.0, known))


def _unknown(plan: ImportPlan, name: str) -> DataError:
    """The error that asks for a field, with what is asked about it."""
    error = missing(name, plan.source)
    asked = [question.text for question in plan.questions if question.field == name]
    if not asked or asked[0] == "is not stated":
        return error
    return DataError(asked[0], field=error.field, remedy=error.remedy)


def used_of(plan: ImportPlan, known: Mapping[str, Any]) -> np.ndarray:
    """`(n_image,)` bool: images that are used, by the plan and by what is given."""
    stated = known.get("used", plan.column("used"))
    shape = (plan.n_tilt, plan.n_focus)
    raw = RawSeries(plan.source, np.empty(0), fillers=fillers(plan))
    used = used_images(raw, stated, known.get("unused"), shape)
    return np.asarray(np.ones(shape, bool) if used is None else used).reshape(-1)
