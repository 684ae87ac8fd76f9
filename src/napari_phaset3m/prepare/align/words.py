"""What stages found besides shifts, in words: for the command line and the panel alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: What only such stages tell is right by a measure of their own: without it they change nothing.
OWN_JUDGE = {"axis": "axis_angle_deg"}


def told_words(stage: str, told: Mapping[str, Any]) -> str:
    """A line on what a stage told (:attr:`.result.StageResult.told`); empty when it told nothing.

    Parameters
    ----------
    stage : str
    told : mapping
        Plain numbers by name.
    """
    words = _WORDS.get(stage)
    return words(told) if words is not None and told else ""


def why_undone(stage: str, told: Mapping[str, Any]) -> str:
    """Why a stage changed nothing, for after "undone" or a colon."""
    own = OWN_JUDGE.get(stage) or f"{stage}_left" in told
    if own:
        return told_words(stage, told)
    found = told_words(stage, told)
    text = "volumes of the other images did not tell more of an image, or too little more"
    return f"{text} (it had found: {found})" if found else text


def _focal(told: Mapping[str, Any]) -> str:
    if "rotation_deg" not in told:
        return ""
    turned, scaled = told["rotation_deg"], [100 * (m - 1) for m in told["magnification"]]
    left = {True: "", False: ": too little or too unsure, left"}
    text = (
        f"foci turned by {_list(turned, 2)}° {_within(told['rotation_error_deg'], 1)}{left[told['turned']]}"
    )
    text += f"; magnified by {_list(scaled, 2)} % {_within(told['magnification_error'], 100)}"
    return text + left[told["magnified"]]


def _within(errors: Sequence[float | None], factor: float) -> str:
    known = [error for error in errors if error is not None]
    return f"(± {factor * max(known):.2f})" if known else "(error not known)"


def _list(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:+.{digits}f}".replace("-", "−") for value in values)


def _coarse(told: Mapping[str, Any]) -> str:
    if "axis_error_deg" not in told:
        return ""
    if "axis_stated_within_deg" in told and "axis_beyond_deg" not in told:
        return "the images do not tell the axis: it stays about where it was stated"
    text = f"axis turned by {told['axis_angle_deg']:+.2f}° ± {told['axis_error_deg']:.2f}°".replace("-", "−")
    if "axis_beyond_deg" in told:
        text += (
            f": it lies beyond the ±{told['axis_beyond_deg']:g}° that were searched. State the axis at "
            "import, or raise the axis range of the coarse stage"
        )
    return text


def _axis(told: Mapping[str, Any]) -> str:
    if "axis_left" in told:
        return f"axis left where it was: {told['axis_left']}"
    radius = told["support_radius_angstrom"]
    return f"{_coarse(told)}; specimen within {radius:.0f} Å of its middle"


def _beads(told: Mapping[str, Any]) -> str:
    text = f"{told['n_beads']} beads of {told['diameter_angstrom'] / 10:.1f} nm, "
    text += f"each seen in {100 * told['seen']:.0f} % of the tilts, "
    text += f"{told['residual_median_px']:.2f} px (median) from the model; "
    return text + f"axis turned by {told['axis_angle_deg']:+.2f}° ± {told['axis_error_deg']:.2f}°".replace(
        "-", "−"
    )


def _local(told: Mapping[str, Any]) -> str:
    if "local_left" in told:
        found, most = told["local_left"]
        return (
            f"images left as they are: patches seem to move by up to {found:.0f} px, and {most:g} px are "
            "allowed (--local-max-shift); align whole images first"
        )
    text = f"images unbent by {told['rms_px']:.2f} px (RMS), {told['largest_px']:.1f} px at most"
    if told["residual_px"] is None:
        return "no patch could be followed"
    return f"{text}; patches {told['residual_px']:.2f} px (median) from the smooth field"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "coarse": _coarse,
    "axis": _axis,
    "beads": _beads,
    "focal": _focal,
    "local": _local,
}
