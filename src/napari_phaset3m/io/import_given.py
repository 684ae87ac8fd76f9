"""What was given to an import beside its files, kept in its plan: opening the plan's text needs no flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.idle_options import asks
from napari_phaset3m.io.import_plan import FIELDS_OF_PLAN, WHOLE, ImportPlan
from napari_phaset3m.io.sidecar import read_mtf

#: How values are scaled: no text of a series states these, ``normalise="given"`` excepted.
_SCALING = ("normalise", "vacuum_intensity", "intensity_offset")


def with_given(plan: ImportPlan, given: Mapping[str, Any], series: TiltFocalSeries) -> ImportPlan:
    """The plan with what was given in place of what its files say, and without the questions it answers.

    Parameters
    ----------
    plan : ImportPlan
        Arranged by the angles and foci that were given.
    given : mapping
        As :func:`importing.load` took it; None: not given.
    series : TiltFocalSeries
        Loaded so: it has the value of each image, and defocus at the rotation centre (angstrom).

    Returns
    -------
    ImportPlan
        How values were scaled is noted where no text can state it.

    Raises
    ------
    ConfigError
        A value cannot be.
    """
    known = {name: value for name, value in given.items() if value is not None}
    whole = {name: value for name, value in known.items() if name in (*WHOLE, *FIELDS_OF_PLAN)}
    if isinstance(whole.get("mtf"), str | os.PathLike):
        whole["mtf"] = read_mtf(whole["mtf"]).tolist()
    if "defocus_angstrom" in known:
        whole["defocus_reference"] = "center"
    plan = plan.answered(known).edited(_cells(known, series), **whole)
    return _scaled(replace(plan, counts=bool(known.get("counts", plan.counts))), known)


def _cells(given: Mapping[str, Any], series: TiltFocalSeries) -> dict[int, dict[str, Any]]:
    """New cells by row, of what was given for single images."""
    found = {
        "defocus_angstrom": series.defocus_angstrom if "defocus_angstrom" in given else None,
        "dose": series.dose_per_image if "dose_per_image" in given else None,
        "used": series.used if {"used", "unused"} & set(given) else None,
    }
    columns = {cell: values.reshape(-1).tolist() for cell, values in found.items() if values is not None}
    count = series.n_tilt * series.n_focus if columns else 0
    return {row: {cell: values[row] for cell, values in columns.items()} for row in range(count)}


def _scaled(plan: ImportPlan, given: Mapping[str, Any]) -> ImportPlan:
    how = {name: given[name] for name in _SCALING if asks(given.get(name))}
    if how == {"normalise": "given"} and not plan.counts:
        return replace(plan, normalisation=plan.normalisation or "given")
    is_default = how == {"normalise": "mean"} and not plan.counts and plan.normalisation is None
    if not how or is_default:
        return plan
    told = ", ".join(f"{name} = {value}" for name, value in how.items())
    note = f"values were scaled at import by {told}, which opening this text does not repeat"
    return replace(plan, notes=(*plan.notes, note))
