"""Which movie each image of a series was made from, kept with the series for motion correction."""

from __future__ import annotations

from typing import Any

from napari_phaset3m.io.import_plan import ImportPlan


def movie_metadata(plan: ImportPlan) -> dict[str, Any]:
    """``movies`` `(n_tilt, n_focus)`: ``path`` and ``frame_range`` of each, or None; ``gain`` of all.

    Empty where no image has a movie.
    """
    if all(entry.frames is None for entry in plan.images):
        return {}
    rows: list[list[dict[str, Any] | None]] = [[None] * plan.n_focus for _ in range(plan.n_tilt)]
    for entry in plan.images:
        if entry.frames is not None and not entry.is_filler:
            frames = None if entry.frame_range is None else list(entry.frame_range)
            rows[entry.tilt_index][entry.focus_index] = {"path": str(entry.frames), "frame_range": frames}
    found: dict[str, Any] = {"movies": rows}
    if plan.gain is not None:
        found["gain"] = str(plan.gain)
    return found
