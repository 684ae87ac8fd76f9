"""Read `series.toml`: which file and section is which tilt and defocus, for any mixture of files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.sections import shrink_matrix
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.import_config import ImportConfig, binned_shape, shift_added_px, shrink
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_movies import MOVIE_KEYS, SETTINGS_KEY, file_of, movies_of_table
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.import_sections import entry_sections
from napari_phaset3m.io.import_shrink import shrunk_fields
from napari_phaset3m.io.import_sources import Reader
from napari_phaset3m.io.limits import check_memory
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_axis, as_number, kept_notes
from napari_phaset3m.io.text import read_text_file
from napari_phaset3m.io.toml_rows import METADATA, PER_IMAGE, angle_of, by_tilt, image_of
from napari_phaset3m.io.toml_sections import TOP_KEYS, stated_sections

_OPTIONS = {"defocus_reference", "counts", "normalisation", "tilt_axis_angle_deg", "rotated_deg", "image"}
_OPTIONS |= {"dark_field", "bin", "bin_method", "crop", "gain", "history", "notes", "questions", *MOVIE_KEYS}
_OPTIONS |= TOP_KEYS
_TOP_KEYS = (set(FIELDS) - {"tilt_deg", "defocus_angstrom", "shifts_px", "used"}) | _OPTIONS
SCALARS = tuple(
    name for name in FIELDS if name.endswith(("_angstrom", "_ev", "_mrad", "_deg")) and name in _TOP_KEYS
)
WRITER = "napari-phaset3m"
#: What is stated for the files' images, and follows bin and crop.
OF_FILES = ("pixel_size_angstrom", "shifts_px", "mtf")


def read_toml(path: str | Path, given: Mapping[str, Any] | None = None) -> RawSeries:
    """Read a series description; files are named relative to it.

    Parameters
    ----------
    path : path-like
    given : mapping, optional
        Fields of :data:`OF_FILES` that replace those of the description: like these they are of the files'
        images, and follow its bin and crop.

    Raises
    ------
    DataError
        Not TOML, an unknown key, a missing file, or tilts with different numbers of images.
    """
    base = Path(path)
    table, rows = parse_toml(base)
    config = import_config(table, base)
    entries = [[image_of(entry, base) for entry in row] for row in rows]
    images, found, shape, reader = _read_images(entries, base, config, table)
    raw = RawSeries(
        base, images, {k: v for k, v in found.items() if k in ("pixel_size_angstrom", "energy_ev")}
    )
    flat = [entry for row in entries for entry in row]
    raw.stored = lambda number: reader.stored(flat[number])
    raw.fields |= {key: value for key, value in table.items() if key in FIELDS}
    if isinstance(raw.fields.get("mtf"), str):
        raw.fields["mtf"] = base.parent / raw.fields["mtf"]
    raw.fields |= given or {}
    if config.bin > 1 and raw.fields.get("pixel_size_angstrom") is not None:
        raw.fields["pixel_size_angstrom"] = config.bin * as_number(
            raw.fields["pixel_size_angstrom"], base, "pixel_size_angstrom"
        )
    raw.fillers = np.array([[bool(entry.get("filler", False)) for entry in row] for row in rows])
    raw.fields["tilt_deg"] = np.array([angle_of(row, base) for row in rows])
    _per_image(raw, rows, base, given or {})
    added = shift_added_px(shape, config) if config != ImportConfig() else np.zeros(2)
    if config != ImportConfig():
        raw.fields |= shrunk_fields(raw.fields, (len(rows), len(rows[0])), added, config.bin)
    known = stated_sections(table, rows, base)
    if known is None:
        known = entry_sections(entries, shape, reader.count)
    raw.sections = known and known.moved(shrink_matrix(added, config.bin), config.bin)
    raw.averaged_px, raw.notes = config.bin**2, kept_notes(table.get("notes"))
    take_conventions(raw, table)
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
        remedy = "Mend that line, or write the description anew (phaset3m convert --plan)"
        raise DataError(f"is not valid TOML ({error})", path=base, remedy=remedy) from None
    unknown = sorted(set(table) - _TOP_KEYS)
    if unknown:
        known = ", ".join(sorted(_TOP_KEYS))
        raise DataError(f"unknown key. Known are {known}", path=base, field=unknown[0])
    for key, kind in (("gain", str), ("notes", list), ("questions", list), ("history", list)):
        if not isinstance(table.get(key, kind()), kind):
            raise DataError(f"must be a {'text' if kind is str else 'list'}", path=base, field=key)
    entries = table.get("image")
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise DataError("needs one [[image]] table per image", path=base, field="image")
    return table, by_tilt(entries, base)


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


def stated_history(table: Mapping[str, Any], base: Path) -> list[dict[str, Any]]:
    """What was done to the images before.

    Raises
    ------
    DataError
        A step is no JSON object.
    """
    try:
        history = [json.loads(step) for step in table.get("history", [])]
    except (TypeError, ValueError):
        raise DataError("must be a list of JSON texts", path=base, field="history") from None
    if not all(isinstance(step, dict) for step in history):
        raise DataError("must be a list of JSON objects", path=base, field="history")
    return history


def _metadata(table: Mapping[str, Any], rows: list[list[dict[str, Any]]], base: Path) -> dict[str, Any]:
    """History, and what is kept of the exposure where every image states it."""
    history = stated_history(table, base)
    found: dict[str, Any] = {"history": history} if history else {}
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


def take_conventions(raw: RawSeries, table: Mapping[str, Any]) -> None:
    """Read what the values of a description mean.

    Raises
    ------
    DataError
        The reference of the defocus is none, or an angle is no number.
    """
    raw.defocus_reference = str(table.get("defocus_reference", "center"))
    if raw.defocus_reference not in ("center", "exit"):
        raise DataError(f"is {raw.defocus_reference!r}", path=raw.path, field="defocus_reference",
                        remedy="Use 'center' or 'exit'")  # fmt: skip
    raw.counts = bool(table.get("counts", False))
    raw.dark_field = bool(table.get("dark_field", False))
    raw.normalisation = str(table["normalisation"]) if "normalisation" in table else None
    if "tilt_axis_angle_deg" in table:
        raw.tilt_axis_angle_deg = as_axis(table["tilt_axis_angle_deg"], raw.path, "tilt_axis_angle_deg")
    raw.rotated_deg = as_number(table.get("rotated_deg", 0.0), raw.path, "rotated_deg")


def _read_images(
    entries: list[list[ImageEntry]], base: Path, config: ImportConfig, table: Mapping[str, Any]
) -> tuple[np.ndarray, dict[str, Any], tuple[int, int], Reader]:
    """Images `(n_tilt, n_focus, ny, nx)`, read one by one, the first file's fields and (ny, nx); who read."""
    first = entries[0][0]
    movies = movies_of_table(table, base)
    shape, dtype, fields = file_of(first, movies)
    reference = base.parent / str(table["gain"]) if "gain" in table else None
    plan = ImportPlan((first,), None, None, None, shape, dtype, gain=reference, movies=movies)
    small = described_shape(shape, config, base)
    whole = (len(entries), len(entries[0]), *small)
    check_memory(whole, 4, base, "image")
    result = np.empty(whole, np.float32)
    reader = Reader(plan)
    for i, row in enumerate(entries):
        for j, entry in enumerate(row):
            result[i, j] = shrink(reader.read(entry), config)
    return result, fields, shape, reader


def described_shape(shape: tuple[int, int], config: ImportConfig, base: Path) -> tuple[int, int]:
    """(ny, nx) of images after the bin and crop of a description.

    Raises
    ------
    DataError
        They do not fit the images.
    """
    if config == ImportConfig():
        return shape
    try:
        return binned_shape(shape, config)
    except ConfigError as error:
        raise DataError(str(error), path=base) from None


def _per_image(
    raw: RawSeries, rows: list[list[dict[str, Any]]], base: Path, given: Mapping[str, Any]
) -> None:
    for key, default in PER_IMAGE.items():
        values = [[entry.get(key, default) for entry in row] for row in rows]
        present = [value is not None for row in values for value in row]
        if all(present):
            try:
                array = np.array(values, dtype=bool if key == "used" else np.float64)
            except (TypeError, ValueError, OverflowError):
                raise DataError("must be numbers, alike for all images", path=base, field=key) from None
            name = "shifts_px" if key == "shift_px" else key
            raw.fields[name] = given.get(name, array)
        elif any(present):
            raise DataError(
                "is given for some images only", path=base, field=key, remedy="Give it for all or none"
            )
