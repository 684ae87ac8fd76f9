"""What becomes of images that were not fitted, and the outcome in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf
from napari_phaset3m.prepare.ctf.stand_in import near, without_fit

#: Foci closer than this are aligned well enough for the exit wave to find the rest, pixels.
MOST_APART_PX = 1.6

#: Foci of a tilt, fitted one by one, this near to their median (part of it) are the same; fewest to judge.
ALIKE, FEWEST_ALIKE = 0.1, 3

#: Phase shifts that scatter by more than this (rms) are told.
MOST_SCATTER_DEG = 5.0
Table = tuple[tuple[ImageCtf, ...], ...]
#: What images keep that have no fit of their own.
_KEPT = {"stated": "keep the stated defocus", "neighbours": "take the defocus of their neighbours in tilt"}


def completed(
    series: TiltFocalSeries, found: Mapping[tuple[int, int], ImageCtf], joint: bool = False
) -> Table:
    """A full table: what was not fitted keeps its stated defocus, or takes that of its neighbours in tilt.

    So do images whose rings cannot be trusted, unless another focus fitted with them (``joint``) can be: a
    fit to noise lies anywhere in the range that was searched. Where none can be trusted and nothing is
    stated, fits stay in the table as they are, with confidence 0.

    Raises
    ------
    DataError
        Nothing was fitted and nothing is stated.
    """
    table = [
        [found.get((tilt, focus), ImageCtf(tilt, focus)) for focus in range(series.n_focus)]
        for tilt in range(series.n_tilt)
    ]
    fitted = [image for image in found.values() if np.isfinite(image.defocus_angstrom)]
    if not fitted and series.defocus_angstrom is None:
        note = next((image.note for image in found.values() if image.note), "")
        raise DataError(
            f"no image could be fitted{f' ({note})' if note else ''}",
            field="tilt_series",
            remedy="State the defocus, or widen the search (--range)",
        )
    doubtful = _doubtful(found, joint)
    if series.defocus_angstrom is None and len(doubtful) == len(fitted):
        doubtful = set()
    for tilt, focus in doubtful:
        table[tilt][focus] = without_fit(table[tilt][focus])
    for tilt, row in enumerate(table):
        for focus, image in enumerate(row):
            if not np.isfinite(image.defocus_angstrom):
                row[focus] = _stand_in(series, table, tilt, focus)
    return _with_stated_shift(table, series)


def distrusted(found: Mapping[tuple[int, int], ImageCtf]) -> dict[tuple[int, int], ImageCtf]:
    """The same, without trust in foci of a tilt, fitted one by one, most of which give the same defocus.

    Foci differ; rings that do not change with them are of the specimen's lattice.
    """
    result = dict(found)
    for tilt in {place[0] for place in found}:
        row = {p: i for p, i in found.items() if p[0] == tilt and np.isfinite(i.defocus_angstrom)}
        values = np.array([image.defocus_angstrom for image in row.values()])
        middle = float(np.median(values)) if row else 0.0
        alike = {p for p, i in row.items() if abs(i.defocus_angstrom - middle) < ALIKE * abs(middle)}
        if len(row) >= FEWEST_ALIKE and len(alike) > 0.5 * len(row):
            same = f"{len(alike)} foci of this tilt give about {middle:.0f} Å"
            note = f"{same}: rings of the specimen, not of the lens"
            result |= {place: replace(found[place], confidence=0.0, note=note) for place in row}
    return result


def _doubtful(found: Mapping[tuple[int, int], ImageCtf], joint: bool) -> set[tuple[int, int]]:
    """Places of fits to Thon rings that nothing supports."""
    trusted = {place for place, image in found.items() if image.method == "thon" and image.confidence > 0}
    tilts = {tilt for tilt, _ in trusted} if joint else set()
    return {
        place
        for place, image in found.items()
        if image.method == "thon" and place not in trusted and place[0] not in tilts
        and np.isfinite(image.defocus_angstrom)
    }  # fmt: skip


def _stand_in(series: TiltFocalSeries, table: list[list[ImageCtf]], tilt: int, focus: int) -> ImageCtf:
    image = table[tilt][focus]
    if series.defocus_angstrom is not None:
        stated = float(series.defocus_angstrom[tilt, focus])
        return replace(image, method="stated", defocus_angstrom=stated)
    for foci in ([focus], range(series.n_focus)):
        value = near(table, series.tilt_deg, tilt, foci)
        if value is not None:
            return replace(image, method="neighbours", defocus_angstrom=value)
    return image


def left_as_stated(found: ImageCtf, stated: float, error: float, *, end: float | None = None) -> ImageCtf:
    """What is less certain than what the series states must not take its place (all angstrom).

    ``end``: how far was searched, where the best lies at the end of it.
    """
    note = f"noise leaves {found.defocus_error_angstrom:.0f} Å: the stated defocus is surer and stays"
    if end is not None:
        note = f"the best lies at the end of the ±{end:.0f} Å searched: the stated defocus stays"
    return ImageCtf(
        found.tilt,
        found.focus,
        method="stated",
        defocus_angstrom=stated,
        defocus_error_angstrom=error,
        c12_angstrom=found.c12_angstrom,
        phi12_rad=found.phi12_rad,
        note=note,
    )


def outcome(images: Table, reason: str | None, refined: bool, end: float | None = None) -> tuple[str, str]:
    """Method of most images, and what was found in words; ``end`` as for :func:`left_as_stated`."""
    every = [image for row in images for image in row]
    wave = [image for image in every if image.method == "exit wave"]
    thon = [image for image in every if image.method == "thon"]
    left = len(every) - len(wave) - len(thon)
    tail = f" {left} images were not fitted." if left else ""
    if wave:
        text = f"{len(wave)} images: defocus from the consistency of each focal group with one exit wave"
        text += f" ({reason})." if reason else "."
        error = float(np.median([image.defocus_error_angstrom for image in wave]))
        text += f" Typical error {error:.0f} Å, and one constant that Cs trades with."
        return "exit wave", text + tail
    text = f" ({reason})" if reason else ""
    if end is not None:
        return "exit wave", (
            f"Consistency of each focal group with one exit wave was tried{text}, but is best at the end of "
            f"the ±{end:.0f} Å searched: the stated defocus stays. Search farther (nominal error), or state "
            "defocus, Cs and phase plate better."
        )
    if not refined:
        return "exit wave", (
            f"Consistency of each focal group with one exit wave was tried{text}, but noise leaves it less "
            "certain than the stated defocus, which stays; phaset3m align finds it from all tilts together."
        )
    trusted = [image for image in thon if image.confidence > 0]
    text = f"{len(trusted)} of {len(every)} images show Thon rings that can be trusted"
    if trusted:
        best = float(np.median([image.resolution_angstrom for image in trusted]))
        text += f" (typically to {best:.2g} Å)"
    text += "." if trusted or not reason else f"; {reason}."
    for method, words in _KEPT.items():
        count = sum(image.method == method for image in every)
        text += f" {count} {words}." if count else ""
    if len(trusted) < len(thon):
        text += (
            " The others have confidence 0: look at their rings before using them."
            if trusted
            else " No defocus is stated either: widen the search, or set one by hand."
        )
    return "thon", text


def _with_stated_shift(table: list[list[ImageCtf]], series: TiltFocalSeries) -> Table:
    """The table with the stated phase shift where no rings were fitted."""
    stated = float(series.phase_shift_deg or 0.0)
    return tuple(
        tuple(image if image.method == "thon" else replace(image, phase_shift_deg=stated) for image in row)
        for row in table
    )


def phase_shift_words(result: CtfResult) -> str:
    """What the series takes of the phase shifts, and a warning where one does not do for all its images."""
    found = result.phase_shift()
    if found is None:
        return ""
    shift, apart = found
    text = f" Phase shift {shift:.0f}°, which the series takes for all images"
    return f"{text}: they scatter by {apart:.0f}° about it." if apart > MOST_SCATTER_DEG else f"{text}."


def misaligned(apart_px: float | None) -> str:
    """A warning where the foci of a tilt do not lie on each other, else nothing."""
    if apart_px is None or apart_px < MOST_APART_PX:
        return ""
    return (
        f" The foci of a tilt lie {apart_px:.1f} px apart, which passes for defocus: align the series first "
        "(phaset3m align), then fit again."
    )
