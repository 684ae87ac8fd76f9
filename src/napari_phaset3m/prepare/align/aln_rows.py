"""Which row of an AreTomo table belongs to which tilt of a series."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import AlnFile
from napari_phaset3m.prepare.align.file_rows import (
    MAX_TILT_APART_DEG,
    Rows,
    apart_deg,
    made_for_note,
    offset_note,
)


def aln_rows(aln: AlnFile, series: TiltFocalSeries, ratio: float = 1.0) -> Rows:
    """Rows of an .aln: by its column SEC where the tilts agree with that, else in the order of rising tilt.

    SEC is the section from 0 or from 1, or counts the rows, by the version of AreTomo: what fits the tilts
    best is taken.

    Parameters
    ----------
    aln : AlnFile
    series : TiltFocalSeries
        With its sections.
    ratio : float
        Pixel of the rows over that of the sections.

    Raises
    ------
    DataError
        The number of images is another, or the tilts are other ones.
    """
    sections = series.sections
    assert sections is not None
    total, stated = len(aln.sections) + len(aln.dark), np.asarray(series.tilt_deg, np.float64)
    tried = _tried(aln, sections, stated)
    if not tried:
        raise _another_total(total, sections)
    fits = [(*_fit(aln, rows, stated), number) for number, rows in enumerate(tried)]
    apart, _, number = min(fits, key=lambda fit: (fit[0] > MAX_TILT_APART_DEG, fit[1], fit[2]))
    if apart > MAX_TILT_APART_DEG:
        raise DataError(
            f"differs from the tilts of the series by up to {apart:.1f}°, by section and in the order of "
            "rising tilt, a common offset apart",
            field="TILT",
            remedy="Give the .aln of this series",
        )
    rows = tried[number]
    seen = rows >= 0
    told = offset_note(apart_deg(aln.tilt_deg[rows[seen]] - aln.alpha_offset_deg, stated[seen])[1])
    tilts = np.where(seen, aln.tilt_deg[rows], np.nan)
    notes = tuple(note for note in (made_for_note(sections, ratio), told) if note)
    return Rows(np.repeat(rows[:, None], series.n_focus, axis=1), tilts, notes)


def rising_rows(aln: AlnFile, series: TiltFocalSeries) -> Rows:
    """Rows of an .aln in the order of rising tilt, whatever its column SEC says; -1 for its dark frames.

    Parameters
    ----------
    aln : AlnFile
        Of as many images as the series has tilts.
    series : TiltFocalSeries
    """
    rows = _rising(aln, np.asarray(series.tilt_deg, np.float64))
    return Rows(np.repeat(rows[:, None], series.n_focus, axis=1))


def _tried(aln: AlnFile, sections: Sections, stated: np.ndarray) -> list[np.ndarray]:
    """Rows `(n_tilt,)` as each meaning of SEC has them that the numbers allow."""
    total, of_tilts = len(aln.sections) + len(aln.dark), sections.of_tilts
    found = []
    if of_tilts is not None and total == sections.n_sections[0]:
        for first in (0, 1):
            if aln.sections.min() >= first and aln.sections.max() < total + first:
                found.append(_of_sections(aln, of_tilts + first))
    if total == len(stated):
        found.append(_rising(aln, stated))
    return [rows for rows in found if (rows >= 0).any()]


def _fit(aln: AlnFile, rows: np.ndarray, stated: np.ndarray) -> tuple[float, float]:
    """How far tilts are apart with a common offset taken off, and without: neighbours' rows fit with one."""
    seen = rows >= 0
    solved = aln.tilt_deg[rows[seen]]
    apart, _ = apart_deg(solved, stated[seen])
    whole = [np.abs(solved - offset - stated[seen]).max() for offset in (0.0, aln.alpha_offset_deg)]
    return apart, float(min(whole))


def _of_sections(aln: AlnFile, wanted: np.ndarray) -> np.ndarray:
    """`(n_tilt,)` row whose SEC is the wanted one; -1: none."""
    places = {int(section): row for row, section in enumerate(aln.sections)}
    return np.array([places.get(int(section), -1) for section in wanted])


def _rising(aln: AlnFile, stated: np.ndarray) -> np.ndarray:
    rows = np.full(len(stated), -1)
    raw = aln.raw_indices()
    if raw.max() < len(stated):
        rows[np.argsort(stated, kind="stable")[raw]] = np.arange(raw.size)
    return rows


def _another_total(total: int, sections: Sections) -> DataError:
    of_file = (
        f"{sections.n_sections[0]} sections of {sections.name} and " if sections.stack is not None else ""
    )
    return DataError(
        f"{total} images (dark ones included) for {of_file}{sections.shape[0]} tilts in the series",
        field="SEC",
        remedy="Give the .aln of this stack",
    )
