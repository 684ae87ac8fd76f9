"""One tilt axis for several stacks of a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.raw import RawSeries, axis_not_used
from napari_phaset3m.io.sidecar import Sidecar, without_derived_axis

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


def take_axis(
    raw: RawSeries, beside: Sidecar, label: float | None = None, unread: DataError | None = None
) -> None:
    """Give a stack the axis (degrees) in its label, else that of the files beside it.

    One that is aligned has it along y already. ``unread`` is why the label's is not read.
    """
    if is_aligned(raw.path):
        raw.notes = without_derived_axis(raw.notes)
        return
    angle, file = beside.tilt_axis_angle_deg, beside.tilt_axis_from
    if label is not None:
        if angle is not None and file is not None and axes_differ((label, angle)):
            problem = f"is {label:g} degrees in the label, but {angle:g} in {file.name}"
            raw.unusable[_NAME] = two_axes(problem, raw.path)
        angle, file = label, raw.path
    raw.set_axis(angle, file, unread or beside.axis_refused)
    if angle is not None:
        raw.notes = without_derived_axis(raw.notes)


def is_aligned(path: Path) -> bool:
    """Whether the name of a stack says that it is aligned."""
    return path.suffix.lower() in ALIGNED


@dataclass(frozen=True)
class StackAxis:
    """What one stack, with what lies beside it, says of its axis.

    Attributes
    ----------
    path : Path
        The stack.
    angle_deg : float or None
        None: it states none, or one that is not read.
    source : Path
        The file that states it.
    error : DataError or None
        Why it is not read; with an angle: that two are stated.
    """

    path: Path
    angle_deg: float | None
    source: Path
    error: DataError | None = None


@dataclass(frozen=True)
class OneAxis:
    """The axis of a series: its angle (degrees), who states it, why it must be given, what to tell."""

    angle_deg: float
    source: Path
    refusal: DataError | None = None
    notes: tuple[str, ...] = ()


def axis_of(raw: RawSeries) -> StackAxis:
    """The axis of a stack as it was read; one that is aligned has it at 0 degrees."""
    if raw.tilt_axis_angle_deg is None and is_aligned(raw.path):
        return StackAxis(raw.path, 0.0, raw.path)
    source = raw.tilt_axis_from or raw.path
    return StackAxis(raw.path, raw.tilt_axis_angle_deg, source, raw.unusable.get(_NAME))


def one_axis(axes: Sequence[StackAxis]) -> OneAxis | None:
    """The axis that the stacks of a series state; None where none does.

    Stacks of one series are of one microscope: as with pixel size and voltage, what one states holds for
    those that state none, and that is told. One that is written with a decimal comma is then told only.
    """
    stated = [(axis, axis.angle_deg) for axis in axes if axis.angle_deg is not None]
    if not stated:
        return None
    first, file = stated[0][1], stated[0][0].source
    for axis, angle in stated:
        refusal = axis.error
        if refusal is None and axes_differ((first, angle)):
            refusal = two_axes(f"is {angle:g} degrees, but {file.name} has {first:g}", axis.source)
        if refusal is not None:
            return OneAxis(first, file, refusal)
    unread = [axis.error for axis in axes if axis.angle_deg is None and axis.error is not None]
    notes = [axis_not_used(error, first, file) for error in unread]
    without = [axis.path.name for axis in axes if axis.angle_deg is None and axis.error is None]
    if without:
        # no count: watch tells a note again when its text changes
        who = f"{without[0]} and others state" if len(without) > 1 else f"{without[0]} states"
        notes.append(f"{who} no tilt axis: the {first:g} degrees of {file.name} are taken")
    return OneAxis(first, file, None, tuple(notes))


def join_axes(joined: RawSeries, parts: Sequence[RawSeries]) -> None:
    """Give the joined stacks the axis of :func:`one_axis`; where two differ it must be given.

    Parameters
    ----------
    joined : RawSeries
        With the ``unusable`` of all parts; its axis, notes and ``unusable`` are set.
    parts : sequence of RawSeries
        One stack for each focus, in order.
    """
    axis = one_axis([axis_of(part) for part in parts])
    if axis is None:
        return
    joined.unusable.pop(_NAME, None)
    joined.set_axis(axis.angle_deg, axis.source, None)
    joined.notes = [*without_derived_axis(joined.notes), *axis.notes]
    if axis.refusal is not None:
        joined.unusable[_NAME] = axis.refusal
