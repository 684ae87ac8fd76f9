"""Whether the contrast of a series may be negative, so that a volume held positive fits it worse.

Matter is positive, but line projections see contrast: where images are levelled by the specimen itself, what
is thinner than the average of it is below that level. A particle in vacuum is fitted better by a positive one
even so (docs/alignment_measured.md, "Volumes that may be negative"), so this is told and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_phaset3m.reconstruct.methods.registry import METHODS

if TYPE_CHECKING:
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.core.series import TiltFocalSeries

#: Normalisations that bring to 1 what is the specimen's own.
RELATIVE = ("mean", "median", "background")
#: Begins a note that doubts what was asked for.
WARNING = "warning: "


def why_negative(series: TiltFocalSeries, config: ReconstructionConfig) -> str:
    """Why a volume may have to be negative where these settings hold it positive; empty when nothing says so.

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig
        Only linear methods that are held positive count: multislice solves for the potential.

    Returns
    -------
    str
        A clause. What the last alignment of the series tried decides; without one, or where images were
        normalised since, how they were normalised.
    """
    entry = METHODS[config.method]
    if not entry.linear or not config.constraints.positivity or series.is_dark_field:
        return ""
    steps = map(_table, series.metadata.get("history", ()))
    decides = [item for item in steps if item.get("step") in ("align", "normalise")]
    if decides and decides[-1].get("step") == "align":  # a level of later is not what it tried
        told = _table(decides[-1].get("told"))
        if told.get("reference_note"):
            return "volumes that may be negative predicted these images better when they were aligned"
        reference = _table(_table(decides[-1].get("parameters")).get("reference"))
        # Files of before do not say whether it was tried: hardly anyone asked for it.
        if reference.get("positivity") is True and told.get("reference_tried") is not False:
            return ""  # positive ones were as good
    level = series.normalisation
    return f"the level of these images is their own {level}, not that of vacuum" if level in RELATIVE else ""


def told_negative(series: TiltFocalSeries, config: ReconstructionConfig) -> str:
    """What is told of :func:`why_negative` wherever a run is set up; empty when there is no reason.

    Returns
    -------
    str
        A sentence without its full stop; what to do follows in the words of the place.
    """
    why = why_negative(series, config)
    return f"values may have to be negative: {why}" if why else ""


def negative_notes(series: TiltFocalSeries, config: ReconstructionConfig) -> tuple[str, ...]:
    """The note of a run that holds positive what may have to be negative; none when nothing says so."""
    told = told_negative(series, config)
    if not told:
        return ()
    held = "The volume is held positive (constraints.positivity): compare with one that is not"
    return (f"{WARNING}{told}. {held}",)


def _table(value: Any) -> Mapping[str, Any]:
    """The value where it is a table, else an empty one: files may hold any history."""
    return value if isinstance(value, Mapping) else {}
