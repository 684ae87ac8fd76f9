"""One tilt axis for several stacks of a series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.raw import RawSeries

_NAME = "tilt_axis_angle_deg"
#: SerialEM writes tenths of a degree.
_APART_DEG = 0.05
#: Aligned already: along y, whatever their labels say.
ALIGNED = (".ali", ".rec")


def axes_differ(angles: Sequence[float]) -> bool:
    """Whether angles (degrees) are of more than one axis."""
    return any(abs((angle - angles[0] + 180) % 360 - 180) > _APART_DEG for angle in angles)


def two_axes(problem: str, path: Path) -> DataError:
    """Refuses images of which files state two axes."""
    remedy = "Give tilt_axis_angle_deg=... in Python or --tilt-axis-angle (degrees)"
    return DataError(problem, path=path, field="tilt_axis_angle", remedy=remedy)


def join_axes(joined: RawSeries, parts: Sequence[RawSeries]) -> None:
    """Give the joined stacks the axis that one of them states; where two differ it must be given.

    Stacks of one series are of one microscope: as with pixel size and voltage, what one states holds for
    those that state none, and that is told. One that is written with a decimal comma is then told only.

    Parameters
    ----------
    joined : RawSeries
        With the ``unusable`` of all parts; its axis, notes and ``unusable`` are set.
    parts : sequence of RawSeries
        One stack for each focus, in order.
    """
    known = [(part, _axis_of(part)) for part in parts]
    if any(part.tilt_axis_angle_deg is not None and _NAME in part.unusable for part in parts):
        return  # a stack states two itself
    stated = [(part, angle) for part, angle in known if angle is not None]
    if not stated:
        return
    source, first = stated[0]
    joined.tilt_axis_angle_deg = first
    for part, other in stated[1:]:
        if axes_differ((first, other)):
            joined.unusable[_NAME] = two_axes(
                f"is {other:g} degrees, but {source.path.name} has {first:g}", part.path
            )
            return
    joined.unusable.pop(_NAME, None)
    for part, angle in known:
        error = part.unusable.get(_NAME)
        if error is not None:
            joined.notes.append(f"{part.path.name}: {error.problem}; that of {source.path.name} is taken")
        elif angle is None:
            joined.notes.append(
                f"{part.path.name} states no tilt axis: the {first:g} degrees of {source.path.name} are taken"
            )


def _axis_of(part: RawSeries) -> float | None:
    if part.tilt_axis_angle_deg is None and part.path.suffix.lower() in ALIGNED:
        return 0.0
    return part.tilt_axis_angle_deg
