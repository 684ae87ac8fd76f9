"""Which row of an alignment file belongs to which image of a series that knows its sections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError

#: Solved tilts differ from stated ones by tenths of a degree; what differs by more is another tilt.
MAX_TILT_APART_DEG = 2.0
#: An offset that all tilts share is told from here on.
_TOLD_OFFSET_DEG = 0.5
_IN_SERIES_ORDER = "rows are in the order of the series"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a file by image.

    Attributes
    ----------
    index : ndarray
        `(n_tilt, n_focus)` row of each image; -1: the file leaves it out.
    tilt_deg : ndarray or None
        `(n_tilt,)` as the file tells them (NaN: it leaves the tilt out); None: it tells none.
    notes : tuple of str
        What was done to make rows and images fit.
    """

    index: np.ndarray
    tilt_deg: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def apart_deg(angles: np.ndarray, stated: np.ndarray) -> tuple[float, float]:
    """How far angles are from the stated ones, at worst, and what all of them differ by alike, degrees.

    A constant offset (a lamella's pre-tilt, AreTomo's AlphaOffset) only turns the volume: it does not count.
    """
    change = np.asarray(angles, np.float64) - stated
    offset = float(np.median(change))
    return min(float(np.abs(change).max()), float(np.abs(change - offset).max())), offset


def offset_note(offset_deg: float) -> str:
    """What to tell of an offset that all tilts share; empty where it is small."""
    if abs(offset_deg) <= _TOLD_OFFSET_DEG:
        return ""
    return (
        f"its tilts differ from those of the series by {offset_deg:+.1f}° for all images alike (as a "
        "pre-tilt does): they were taken"
    )


def matched(angles: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """`(n,)` row for each stated tilt, both sorted by tilt."""
    rows = np.empty(len(stated), np.int64)
    rows[np.argsort(stated, kind="stable")] = np.argsort(angles, kind="stable")
    return rows


def made_for_note(sections: Sections, ratio: float) -> str:
    """What to tell where rows by section are others than in the order and the pixels of the series.

    ``ratio`` is the file's pixel over that of the sections.
    """
    if sections.is_whole_file:
        return ""
    several = len(sections.files) > 1 and max(sections.n_sections) > 1
    whose = f"{sections.name} (one row for the same section of each)" if several else sections.name
    pixels = "in its pixels" if ratio == 1 else f"in pixels of {ratio:.4g} of the stack's"
    them = "them" if ratio == 1 else "the stack's"
    bins = f" (one here is {sections.pixel_ratio:g} of {them})" if sections.pixel_ratio != 1 else ""
    return f"rows are taken for the sections of {whose}, {pixels}{bins}"


def xf_rows(count: int, angles: np.ndarray | None, series: TiltFocalSeries, ratio: float = 1.0) -> Rows:
    """Rows of a .xf with ``count`` transforms, and of the .tlt beside it.

    Parameters
    ----------
    count : int
    angles : ndarray or None
        `(count,)` degrees.
    series : TiltFocalSeries
        With its sections.
    ratio : float
        Pixel of the rows over that of the sections.

    Raises
    ------
    DataError
        The count is another than that of the sections, or angles are of other tilts.
    """
    sections = series.sections
    assert sections is not None
    index, note = _by_section(count, sections, ratio)
    notes = (note,) if note else ()
    if angles is None:
        if index is None:
            raise _another_count(count, sections)
        if note.endswith(_IN_SERIES_ORDER):
            check_order(series, f"images come from {sections.name}")
        return Rows(index, None, notes)
    stated = np.repeat(np.asarray(series.tilt_deg, np.float64)[:, None], series.n_focus, axis=1)
    worst = np.inf
    if index is not None:
        worst, offset = apart_deg(angles[index], stated)
        if worst <= MAX_TILT_APART_DEG:
            told = offset_note(offset)
            return Rows(index, angles[index].mean(axis=1), (*notes, told) if told else notes)
    return _by_tilts(count, angles, stated, (sections, worst))


def _by_tilts(count: int, angles: np.ndarray, stated: np.ndarray, known: tuple[Sections, float]) -> Rows:
    sections, worst = known
    if count == stated.size:
        index = matched(angles, stated.reshape(-1)).reshape(stated.shape)
    elif count == len(stated):
        index = np.repeat(matched(angles, stated[:, 0])[:, None], stated.shape[1], axis=1)
    elif np.isfinite(worst):
        raise _other_tilts(worst)
    else:
        raise _another_count(count, sections)
    apart, offset = apart_deg(angles[index], stated)
    if apart > MAX_TILT_APART_DEG:
        raise _other_tilts(apart)
    told = offset_note(offset)
    notes = (f"rows are in another order than the sections of {sections.name}; they were matched by tilt",)
    return Rows(index, angles[index].mean(axis=1), (*notes, told) if told else notes)


def check_order(series: TiltFocalSeries, why: str) -> None:
    """Refuse rows without angles for a series whose order another program need not have.

    Tilts that rise are taken to be in one order everywhere.

    Raises
    ------
    DataError
        The tilts of the series do not rise.
    """
    if np.all(np.diff(series.tilt_deg) >= 0):
        return
    raise DataError(
        f"does not tell which row is which tilt: {why}, and the tilts of the series do not rise",
        field="xf",
        remedy="Put the .tlt of its rows beside it, under the same name. Rows in the order of the series are "
        "read by --import-for series (in the window Import .xf or .aln of these images)",
    )


def _by_section(count: int, sections: Sections, ratio: float) -> tuple[np.ndarray | None, str]:
    """`(n_tilt, n_focus)` rows in the order of sections, or None where their number is another."""
    n_tilt, n_focus = sections.shape
    of_tilts = sections.of_tilts
    if count == sections.stack:
        return sections.section, made_for_note(sections, ratio)
    if of_tilts is not None and count == sections.n_sections[0]:
        return np.repeat(of_tilts[:, None], n_focus, axis=1), made_for_note(sections, ratio)
    if sections.stack is None and count in (n_tilt, n_tilt * n_focus):
        numbers = np.arange(count).reshape(n_tilt, -1)
        note = f"images come from {sections.name}: {_IN_SERIES_ORDER}"
        return np.array(np.broadcast_to(numbers, (n_tilt, n_focus))), note
    of_tilts = _interleaved(sections)
    if of_tilts is not None and count == sections.n_sections[0] // n_focus:
        note = (
            f"one row for each tilt of {sections.name}, in the order of its sections: it was taken for the "
            f"{n_focus} foci of its tilt"
        )
        return np.repeat(of_tilts[:, None], n_focus, axis=1), note
    return None, ""


def _interleaved(sections: Sections) -> np.ndarray | None:
    """`(n_tilt,)` place of each tilt among those of one file that holds all foci of each; None: it does not.

    Either the foci of a tilt follow each other in it, or all tilts of a focus.
    """
    n_focus, found = sections.shape[1], np.sort(sections.section, axis=1)
    if sections.stack is None or sections.stack % n_focus:
        return None
    of_file, foci = sections.stack // n_focus, np.arange(n_focus)
    for first, step in ((found[:, :1] // n_focus * n_focus, 1), (found[:, :1] % of_file, of_file)):
        if np.array_equal(found, first + step * foci):
            return np.asarray(first[:, 0] // n_focus if step == 1 else first[:, 0])
    return None


def _another_count(count: int, sections: Sections) -> DataError:
    n_tilt, n_focus = sections.shape
    held = f"{n_tilt} tilts with {n_focus} foci"
    if sections.stack is not None:
        if count == n_tilt and n_focus > 1:
            held += ", whose sections do not tell its rows,"
        return DataError(
            f"{count} transforms for the {sections.stack} sections of {sections.name} ({held} in the series)",
            field="xf",
            remedy="Give one for each section, also those left out, or the .tlt of the rows beside it",
        )
    return DataError(
        f"{count} transforms for {held}, which come from {sections.name}",
        field="xf",
        remedy="Give one for each tilt, or one for each image",
    )


def _other_tilts(apart: float) -> DataError:
    return DataError(
        f"differs from the tilts of the series by up to {apart:.1f}°, in the order of the file and sorted by "
        "tilt, a common offset apart",
        field="angles",
        remedy="Give the angles of this series, or move the file away: rows are then those of the sections",
    )
