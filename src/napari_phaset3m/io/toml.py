"""Read `series.toml`: which file and section is which tilt and defocus, for any mixture of files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.import_load import ImportConfig, binned_shape, shift_added_px, shrink
from napari_phaset3m.io.import_movies import MOVIE_KEYS, SETTINGS_KEY, file_of, movies_of_table
from napari_phaset3m.io.import_plan import ImageEntry, ImportPlan
from napari_phaset3m.io.import_shrink import shrunk_fields
from napari_phaset3m.io.import_sources import Reader
from napari_phaset3m.io.limits import check_memory
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_number
from napari_phaset3m.io.text import read_text_file

#: Kept in the metadata of a series, `(n_tilt, n_focus)`.
METADATA = ("exposure_order", "prior_dose")
_PER_IMAGE = {"defocus_angstrom": None, "dose_per_image": None, "shift_px": None, "used": True}
_IMAGE_KEYS = {"file", "section", "tilt", "focus", "tilt_deg", "frames", "frame_range", "filler"}
_IMAGE_KEYS |= {*_PER_IMAGE, *METADATA}
_OPTIONS = {"defocus_reference", "counts", "normalisation", "tilt_axis_angle_deg", "rotated_deg", "image"}
_OPTIONS |= {"dark_field", "bin", "bin_method", "crop", "gain", "history", "notes", "questions", *MOVIE_KEYS}
_TOP_KEYS = (set(FIELDS) - {"tilt_deg", "defocus_angstrom", "shifts_px", "used"}) | _OPTIONS
SCALARS = tuple(
    name for name in FIELDS if name.endswith(("_angstrom", "_ev", "_mrad", "_deg")) and name in _TOP_KEYS
)
WRITER = "napari-phaset3m"


def read_toml(path: str | Path) -> RawSeries:
    """Read a series description; files are named relative to it.

    Raises
    ------
    DataError
        Not TOML, an unknown key, a missing file, or tilts with different numbers of images.
    """
    base = Path(path)
    table, rows = parse_toml(base)
    config = import_config(table, base)
    images, found, shape = _read_images(rows, base, config, table)
    raw = RawSeries(
        base, images, {k: v for k, v in found.items() if k in ("pixel_size_angstrom", "energy_ev")}
    )
    raw.fields |= {key: value for key, value in table.items() if key in FIELDS}
    if config.bin > 1 and raw.fields.get("pixel_size_angstrom") is not None:
        raw.fields["pixel_size_angstrom"] = config.bin * as_number(
            raw.fields["pixel_size_angstrom"], base, "pixel_size_angstrom"
        )
    if isinstance(raw.fields.get("mtf"), str):
        raw.fields["mtf"] = base.parent / raw.fields["mtf"]
    raw.fields["tilt_deg"] = np.array([_angle(row, base) for row in rows])
    _per_image(raw, rows, base)
    if config != ImportConfig():
        added = shift_added_px(shape, config)
        raw.fields |= shrunk_fields(raw.fields, (len(rows), len(rows[0])), added, config.bin)
    _conventions(raw, table)
    raw.metadata = {"format": "toml", "files": sorted({str(e["file"]) for row in rows for e in row})}
    raw.metadata |= _metadata(table, rows, base)
    return raw


def parse_toml(base: Path) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """The whole table, and the images by tilt.

    Raises
    ------
    DataError
        As for :func:`read_toml`.
    """
    try:
        table = tomllib.loads(read_text_file(base))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"is not valid TOML ({error})", path=base) from None
    unknown = sorted(set(table) - _TOP_KEYS)
    if unknown:
        raise DataError(
            "unknown key", path=base, field=unknown[0], remedy=f"Known are {', '.join(sorted(_TOP_KEYS))}"
        )
    for key, kind in (("gain", str), ("notes", list), ("questions", list), ("history", list)):
        if not isinstance(table.get(key, kind()), kind):
            raise DataError(f"must be a {'text' if kind is str else 'list'}", path=base, field=key)
    entries = table.get("image")
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise DataError("needs one [[image]] table per image", path=base, field="image")
    return table, _by_tilt(entries, base)


def import_config(table: Mapping[str, Any], base: Path) -> ImportConfig:
    """Bin and crop of a description.

    Raises
    ------
    DataError
        They cannot be.
    """
    given = {key: table[key] for key in ("bin", "bin_method", "crop") if key in table}
    try:
        return ImportConfig.parse(**given)
    except ConfigError as error:
        raise DataError(str(error), path=base) from None


def _metadata(table: Mapping[str, Any], rows: list[list[dict[str, Any]]], base: Path) -> dict[str, Any]:
    """History, and what is kept of the exposure where every image states it."""
    found: dict[str, Any] = {}
    steps = table.get("history", [])
    try:
        history = [json.loads(step) for step in steps]
    except (TypeError, ValueError):
        raise DataError("must be a list of JSON texts", path=base, field="history") from None
    if not all(isinstance(step, dict) for step in history):
        raise DataError("must be a list of JSON objects", path=base, field="history")
    if history:
        found["history"] = history
    if any(entry.get("frames") for row in rows for entry in row):
        found["movies"] = [[_movie(image_of(entry, base), entry) for entry in row] for row in rows]
        found |= {"gain": str(base.parent / table["gain"])} if "gain" in table else {}
        found[SETTINGS_KEY] = movies_of_table(table, base).model_dump(mode="json")
    for key in METADATA:
        values = [[entry.get(key) for entry in row] for row in rows]
        flat = [value for row in values for value in row]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in flat):
            found[key] = values
    return found


def _movie(image: ImageEntry, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The movie of an image, as an import keeps it in the metadata."""
    if image.frames is None or entry.get("filler"):
        return None
    return {
        "path": str(image.frames),
        "frame_range": None if image.frame_range is None else list(image.frame_range),
    }


def _conventions(raw: RawSeries, table: Mapping[str, Any]) -> None:
    raw.defocus_reference = str(table.get("defocus_reference", "center"))
    if raw.defocus_reference not in ("center", "exit"):
        raise DataError(f"is {raw.defocus_reference!r}", path=raw.path, field="defocus_reference",
                        remedy="Use 'center' or 'exit'")  # fmt: skip
    raw.counts = bool(table.get("counts", False))
    raw.dark_field = bool(table.get("dark_field", False))
    raw.normalisation = str(table["normalisation"]) if "normalisation" in table else None
    if "tilt_axis_angle_deg" in table:
        raw.tilt_axis_angle_deg = as_number(table["tilt_axis_angle_deg"], raw.path, "tilt_axis_angle_deg")
    raw.rotated_deg = as_number(table.get("rotated_deg", 0.0), raw.path, "rotated_deg")


def _by_tilt(entries: list[dict[str, Any]], base: Path) -> list[list[dict[str, Any]]]:
    """Entries of one tilt (equal `tilt`, else equal angle) together, in the file's order or by `focus`."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for number, entry in enumerate(entries):
        where = f"image {number + 1}"
        unknown = sorted(set(entry) - _IMAGE_KEYS)
        if unknown:
            raise DataError(f"unknown key {unknown[0]}", path=base, field=where,
                            remedy=f"Known are {', '.join(sorted(_IMAGE_KEYS))}")  # fmt: skip
        if not isinstance(entry.get("file"), str):
            raise DataError('needs file = "..."', path=base, field=where)
        angle = entry.get("tilt_deg")
        if isinstance(angle, bool) or not isinstance(angle, int | float):
            raise DataError("needs tilt_deg (degrees)", path=base, field=where)
        if not isinstance(entry.get("focus", 0), int):
            raise DataError("focus must be a whole number", path=base, field=where)
        if not isinstance(entry.get("tilt", 0), int) or not isinstance(entry.get("used", True), bool):
            raise DataError("tilt must be a whole number and used true or false", path=base, field=where)
        groups.setdefault(entry.get("tilt", ("angle", float(angle))), []).append(entry)
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


def _read_images(
    rows: list[list[dict[str, Any]]], base: Path, config: ImportConfig, table: Mapping[str, Any]
) -> tuple[np.ndarray, dict[str, Any], tuple[int, int]]:
    """Images `(n_tilt, n_focus, ny, nx)`, read one by one, the fields of the first file, and its (ny, nx)."""
    entries = [[image_of(entry, base) for entry in row] for row in rows]
    gain = table.get("gain")
    first = entries[0][0]
    movies = movies_of_table(table, base)
    shape, dtype, fields = file_of(first, movies)
    reference = None if gain is None else base.parent / gain
    plan = ImportPlan((first,), None, None, None, shape, dtype, gain=reference, movies=movies)
    small = _small(shape, config, base)
    whole = (len(entries), len(entries[0]), *small)
    check_memory(whole, 4, base, "image")
    result = np.empty(whole, np.float32)
    reader = Reader(plan)
    factor = np.float32(config.bin**2 if table.get("counts") else 1)  # counts of a binned pixel add up
    for i, row in enumerate(entries):
        for j, entry in enumerate(row):
            result[i, j] = shrink(reader.read(entry), config) * factor
    return result, fields, shape


def _small(shape: tuple[int, int], config: ImportConfig, base: Path) -> tuple[int, int]:
    if config == ImportConfig():
        return shape
    try:
        return binned_shape(shape, config)
    except ConfigError as error:
        raise DataError(str(error), path=base) from None


def image_of(entry: Mapping[str, Any], base: Path) -> ImageEntry:
    """A row of the description as an image of an import.

    Raises
    ------
    DataError
        A value is of the wrong kind.
    """
    name, section = entry["file"], entry.get("section", 0)
    if name.lower().endswith(".toml"):
        raise DataError("may not name another series.toml", path=base, field="file")
    if isinstance(section, bool) or not isinstance(section, int):
        raise DataError(f"section {section} is no whole number", path=base, field="section")
    frames, span = entry.get("frames"), entry.get("frame_range")
    if frames is not None and not isinstance(frames, str):
        raise DataError('must be a file name: frames = "..."', path=base, field="frames")
    if span is not None and not (
        isinstance(span, list) and len(span) == 2 and all(isinstance(n, int) for n in span)
    ):
        raise DataError("must be [first, last]", path=base, field="frame_range")
    return ImageEntry(
        file=base.parent / name,
        section=section,
        frames=None if frames is None else base.parent / frames,
        frame_range=None if span is None else (span[0], span[1]),
    )


def _angle(row: list[dict[str, Any]], base: Path) -> float:
    """The mean angle of a tilt's foci."""
    angles = [float(entry["tilt_deg"]) for entry in row]
    if max(angles) - min(angles) > 1.0:
        raise DataError(f"foci of one tilt have {min(angles):g} and {max(angles):g} degrees", path=base,
                        field="tilt_deg", remedy="Give them one angle, or different tilt = ...")  # fmt: skip
    return float(np.mean(angles))


def _per_image(raw: RawSeries, rows: list[list[dict[str, Any]]], base: Path) -> None:
    for key, default in _PER_IMAGE.items():
        values = [[entry.get(key, default) for entry in row] for row in rows]
        present = [value is not None for row in values for value in row]
        if all(present):
            try:
                array = np.array(values, dtype=bool if key == "used" else np.float64)
            except (TypeError, ValueError):
                raise DataError("must be numbers, alike for all images", path=base, field=key) from None
            raw.fields["shifts_px" if key == "shift_px" else key] = array
        elif any(present):
            raise DataError(
                "is given for some images only", path=base, field=key, remedy="Give it for all or none"
            )
