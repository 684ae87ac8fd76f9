"""Tilt angles that a person gives for images which state none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.imod import read_angles
from napari_phaset3m.io.import_focus import Candidate, arrange
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.sidecar import without_angles


def for_foci(values: np.ndarray, n_image: int, foci: tuple[int, str] | None) -> np.ndarray:
    """Angles of tilts `(n,)` for images `(n_image,)` where there are as many as ``foci`` make of them.

    ``foci``: how many, and ``"tilt-major"`` or ``"focus-major"``.
    """
    if foci is None or values.size * foci[0] != n_image:
        return values
    return np.repeat(values, foci[0]) if foci[1] == "tilt-major" else np.tile(values, foci[0])


def with_angles(
    plan: ImportPlan,
    angles: str | os.PathLike[str] | Sequence[float],
    tolerance_deg: float = 0.3,
    foci: tuple[int, str] | None = None,
) -> ImportPlan:
    """The plan with an angle for each image, and the images arranged by them anew.

    Parameters
    ----------
    plan : ImportPlan
    angles : path-like or sequence of float
        A ``.tlt`` file, or degrees: one for each image in the order of files and sections, or one for each
        tilt, whose foci then follow each other.
    tolerance_deg : float
        Angles closer than this are foci of one tilt.
    foci : tuple of int and str, optional
        As in :func:`for_foci`.

    Raises
    ------
    DataError
        The images do not divide by the angles.
    """
    path = Path(angles) if isinstance(angles, str | os.PathLike) else None
    values = np.asarray(angles, np.float64) if path is None else read_angles(path)
    rows = plan.in_file_order()
    values = for_foci(values, len(rows), foci)
    if not values.size or len(rows) % values.size:
        raise DataError(
            f"{values.size} angles for {len(rows)} images",
            path=path,
            field="tilt_deg",
            remedy="Give one for each image, or one for each tilt",
        )
    given = np.repeat(values, len(rows) // values.size)
    candidates = [Candidate(replace(row, tilt_deg=float(a))) for row, a in zip(rows, given, strict=True)]
    entries, notes, questions = arrange(candidates, tolerance_deg)
    kept = [question for question in plan.questions if question.field not in ("tilt_deg", "focus_index")]
    source = "as given" if path is None else f"from {path.name}"
    return replace(
        plan,
        images=tuple(entries),
        notes=(*without_angles(plan.notes), f"tilt angles {source}", *notes),
        questions=(*kept, *questions),
    )
