"""What a step of the preparation found, in a line for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def found_words(step: str, told: Mapping[str, Any]) -> str:
    """One line from what the history has of a step; empty where it has nothing to say.

    Parameters
    ----------
    step : str
        Its name in the history.
    told : mapping
        What it told, with the names of the history.
    """
    if step == "outliers":
        hot, dead, hits = (told[f"{kind}_pixels"] for kind in ("hot", "dead", "spike"))
        text = f"{hot} hot, {dead} dead pixels, {hits} of X-ray hits"
        return f"{text}; {told['note']}" if told.get("note") else text
    if step == "reference" and told["pixels_without_gain"]:
        return f"{_many(told['pixels_without_gain'], 'pixel')} without gain set to 0"
    if step == "normalise":
        least, most = told["level_least"], told["level_most"]
        return "" if abs(least - 1) + abs(most - 1) < 5e-3 else f"from levels {least:.3g} to {most:.3g}"
    if step == "motion":
        return _motion(told)
    if step == "denoise":
        return f"noise σ {told['noise_sigma_mean']:.3g}, RMS removed {told['rms_removed']:.3g}"
    return ""


def _motion(told: Mapping[str, Any]) -> str:
    mean, most = told["drift_total_px_mean"], told["drift_total_px_most"]
    text = f"drift {mean:.2f} px on average, {most:.2f} px at most"
    done, wanted, left_out = (told[key] for key in ("movies_corrected", "movies", "frames_left_out"))
    if done < wanted:
        text = f"{done} of {wanted} movies; {text}"
    none = told.get("movies_without_drift", 0)
    if none:
        text += f"; none that the frames support in {_many(none, 'movie')}"
    return f"{text}; {_many(left_out, 'frame')} left out" if left_out else text


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
