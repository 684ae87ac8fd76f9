"""The images of a `series.toml`: one table for each, grouped by tilt."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.toml_sections import IMAGE_KEYS

#: Kept in the metadata of a series, `(n_tilt, n_focus)`.
METADATA = ("exposure_order", "prior_dose")
PER_IMAGE = {"defocus_angstrom": None, "dose_per_image": None, "shift_px": None, "used": True}
_IMAGE_KEYS = {"file", "section", "tilt", "focus", "tilt_deg", "frames", "frame_range", "filler"}
_IMAGE_KEYS |= {*PER_IMAGE, *METADATA, *IMAGE_KEYS}


def by_tilt(entries: list[dict[str, Any]], base: Path) -> list[list[dict[str, Any]]]:
    """Entries of one tilt (equal `tilt`, else equal angle) together, in the file's order or by `focus`.

    Raises
    ------
    DataError
        A key is unknown or of the wrong kind, or tilts have different numbers of images.
    """
    groups: dict[Any, list[dict[str, Any]]] = {}
    for number, entry in enumerate(entries):
        where = f"image {number + 1}"
        unknown = sorted(set(entry) - _IMAGE_KEYS)
        if unknown:
            known = ", ".join(sorted(_IMAGE_KEYS))
            raise DataError(f"unknown key {unknown[0]}. Known are {known}", path=base, field=where)
        if not isinstance(entry.get("file"), str):
            raise DataError('needs file = "..."', path=base, field=where)
        if "\0" in entry["file"]:
            raise DataError(
                "holds a NUL character, which no file name has", path=base, field=f"{where}: file"
            )
        section, angle = entry.get("section", 0), entry.get("tilt_deg")
        if isinstance(section, bool) or not isinstance(section, int):
            raise DataError(f"section {section} is no whole number", path=base, field=f"{where}: section")
        if not _is_number(angle):
            raise DataError("needs tilt_deg (degrees)", path=base, field=where)
        if not isinstance(entry.get("focus", 0), int):
            raise DataError("focus must be a whole number", path=base, field=where)
        if not isinstance(entry.get("tilt", 0), int) or not isinstance(entry.get("used", True), bool):
            raise DataError("tilt must be a whole number and used true or false", path=base, field=where)
        shift = entry.get("shift_px")
        if shift is not None and not _is_pair(shift):
            raise DataError("must be two numbers [y, x]", path=base, field=f"{where}: shift_px")
        groups.setdefault(entry.get("tilt", ("angle", float(angle))), []).append(entry)
    _check_used(entries, base)
    rows = [sorted(row, key=lambda entry: entry.get("focus", 0)) for row in groups.values()]
    for row in rows:
        if len(row) != len(rows[0]):
            counted = [f"tilt {r[0]['tilt_deg']} has {len(r)}" for r in (row, rows[0])]
            raise DataError(
                f"{counted[0]} images, {counted[1]}",
                path=base,
                field="image",
                remedy="Give every tilt the same number of foci; repeat one with used = false",
            )
    return rows


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number that a float can hold; a text may state one of 400 digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < sys.float_info.max


def _check_used(entries: Sequence[Mapping[str, Any]], base: Path) -> None:
    """Refuse a section that stands for two used images, for it would count twice."""
    seen: dict[Any, int] = {}
    for number, entry in enumerate(entries, 1):
        if not entry.get("used", True):
            continue
        key = (base.parent / entry["file"], entry.get("section", 0), str(entry.get("frame_range")))
        other = seen.setdefault(key, number)
        if other != number:
            raise DataError(
                f"is section {entry.get('section', 0)} of {entry['file']}, as image {other} is, and would "
                "count twice",
                path=base,
                field=f"image {number}",
                remedy="Mend its section, or say used = false",
            )


def image_of(entry: Mapping[str, Any], base: Path) -> ImageEntry:
    """A row of the description as an image of an import.

    Raises
    ------
    DataError
        A value is of the wrong kind.
    """
    name = entry["file"]
    if name.lower().endswith(".toml"):
        raise DataError("may not name another series.toml", path=base, field="file")
    frames, span = entry.get("frames"), entry.get("frame_range")
    if frames is not None and not isinstance(frames, str):
        raise DataError('must be a file name: frames = "..."', path=base, field="frames")
    if span is not None and not (
        isinstance(span, list) and len(span) == 2 and all(isinstance(n, int) for n in span)
    ):
        raise DataError("must be [first, last]", path=base, field="frame_range")
    return ImageEntry(
        file=base.parent / name,
        section=entry.get("section", 0),
        frames=None if frames is None else base.parent / frames,
        frame_range=None if span is None else (span[0], span[1]),
    )


def angle_of(row: list[dict[str, Any]], base: Path) -> float:
    """The mean angle of a tilt's foci.

    Raises
    ------
    DataError
        They are more than a degree apart.
    """
    angles = [float(entry["tilt_deg"]) for entry in row]
    if max(angles) - min(angles) > 1.0:
        raise DataError(f"foci of one tilt have {min(angles):g} and {max(angles):g} degrees", path=base,
                        field="tilt_deg", remedy="Give them one angle, or different tilt = ...")  # fmt: skip
    return float(np.mean(angles))
