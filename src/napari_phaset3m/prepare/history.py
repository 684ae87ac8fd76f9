"""What was done to a series, in the order it was done; kept with the series in every file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.provenance import history_entry, jsonable

KEY = "history"


def history(series: TiltFocalSeries) -> tuple[dict[str, Any], ...]:
    """The steps that made this series, oldest first; each with step, parameters, told, version, at."""
    return tuple(dict(item) for item in series.metadata.get(KEY, ()))


def recorded(
    series: TiltFocalSeries, step: str, parameters: Any = None, told: Mapping[str, Any] | None = None
) -> TiltFocalSeries:
    """The series with one more step in its history.

    Parameters
    ----------
    series : TiltFocalSeries
    step : str
        Name of the step, e.g. ``"outliers"``.
    parameters : Model or mapping, optional
        Enough to run it again.
    told : mapping, optional
        What it found or changed, as plain numbers with units in their names.
    """
    entry = history_entry(step, jsonable(parameters) if parameters is not None else None, told)
    return series.replace(metadata={**series.metadata, KEY: (*history(series), entry)})


def retold(series: TiltFocalSeries, told: Mapping[str, Any]) -> TiltFocalSeries:
    """The series with more told of its last step, in place of what has the same names."""
    *before, last = history(series)
    last["told"] = {**last.get("told", {}), **jsonable(told)}
    return series.replace(metadata={**series.metadata, KEY: (*before, last)})
