"""`series.toml`: which file and section is which tilt and defocus, for any mixture of files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import check_memory
from napari_phaset3m.io.raw import FIELDS, RawSeries
from napari_phaset3m.io.sidecar import read_text_file

_IMAGE_KEYS = {"file", "section", "tilt_deg", "defocus_angstrom", "dose_per_image", "used"}
_OPTIONS = {"defocus_reference", "counts", "tilt_axis_angle_deg", "image"}
_TOP_KEYS = (set(FIELDS) - {"tilt_deg", "defocus_angstrom", "shifts_px", "used"}) | _OPTIONS


def read_toml(path: str | Path) -> RawSeries:
    """Read a series description; files are named relative to it.

    Raises
    ------
    DataError
        Not TOML, an unknown key, a missing file, or tilts with different numbers of images.
    """
    base = Path(path)
    try:
        table = tomllib.loads(read_text_file(base))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"is not valid TOML ({error})", path=path) from None
    unknown = sorted(set(table) - _TOP_KEYS)
    if unknown:
        raise DataError(
            "unknown key", path=path, field=unknown[0], remedy=f"Known are {', '.join(sorted(_TOP_KEYS))}"
        )
    entries = table.get("image")
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise DataError("needs one [[image]] table per image", path=path, field="image")
    rows = _by_tilt(entries, base)
    images, found = _read_images(rows, base)
    raw = RawSeries(
        base, images, {k: v for k, v in found.items() if k in ("pixel_size_angstrom", "energy_ev")}
    )
    raw.fields |= {key: value for key, value in table.items() if key in FIELDS}
    raw.fields["tilt_deg"] = np.array([row[0]["tilt_deg"] for row in rows], dtype=np.float64)
    _per_image(raw, rows, base)
    raw.defocus_reference = str(table.get("defocus_reference", "center"))
    if raw.defocus_reference not in ("center", "exit"):
        raise DataError(f"is {raw.defocus_reference!r}", path=path, field="defocus_reference",
                        remedy="Use 'center' or 'exit'")  # fmt: skip
    raw.counts = bool(table.get("counts", False))
    raw.tilt_axis_angle_deg = table.get("tilt_axis_angle_deg")
    raw.metadata = {"format": "toml", "files": sorted({str(e["file"]) for row in rows for e in row})}
    return raw


def _by_tilt(entries: list[dict[str, Any]], base: Path) -> list[list[dict[str, Any]]]:
    groups: dict[float, list[dict[str, Any]]] = {}
    for number, entry in enumerate(entries):
        where = f"image {number + 1}"
        unknown = sorted(set(entry) - _IMAGE_KEYS)
        if unknown:
            raise DataError(f"unknown key {unknown[0]}", path=base, field=where,
                            remedy=f"Known are {', '.join(sorted(_IMAGE_KEYS))}")  # fmt: skip
        if not isinstance(entry.get("file"), str):
            raise DataError('needs file = "..."', path=base, field=where)
        tilt = entry.get("tilt_deg")
        if isinstance(tilt, bool) or not isinstance(tilt, int | float):
            raise DataError("needs tilt_deg (degrees)", path=base, field=where)
        groups.setdefault(float(tilt), []).append(entry)
    rows = list(groups.values())
    for row in rows:
        if len(row) != len(rows[0]):
            raise DataError(
                f"tilt {row[0]['tilt_deg']} has {len(row)} images, tilt {rows[0][0]['tilt_deg']} has {len(rows[0])}",
                path=base,
                field="image",
                remedy="Give every tilt the same number of foci; repeat one with used = false",
            )
    return rows


def _read_images(rows: list[list[dict[str, Any]]], base: Path) -> tuple[np.ndarray, dict[str, Any]]:
    from napari_phaset3m.io.series import read_raw

    opened: dict[str, RawSeries] = {}
    result: np.ndarray | None = None
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            name = entry["file"]
            if name not in opened:
                if name.lower().endswith(".toml"):
                    raise DataError("may not name another series.toml", path=base, field="file")
                opened[name] = read_raw(base.parent / name)
            image = _section(opened[name], entry, base)
            if result is None:
                shape = (len(rows), len(row), *image.shape)
                check_memory(shape, 4, base, "image")
                result = np.empty(shape, np.float32)
            if image.shape != result.shape[2:]:
                raise DataError(
                    f"has size {image.shape}, the first image has {result.shape[2:]}", path=base, field=name
                )
            result[i, j] = image
    assert result is not None  # _by_tilt gives at least one image
    return result, next(iter(opened.values())).fields


def _section(source: RawSeries, entry: Mapping[str, Any], base: Path) -> np.ndarray:
    stack = source.images.reshape(-1, *source.images.shape[-2:])
    section = entry.get("section", 0)
    if isinstance(section, bool) or not isinstance(section, int) or not 0 <= section < len(stack):
        raise DataError(f"section {section} is not among the {len(stack)} of {entry['file']}", path=base,
                        field="section", remedy="Sections count from 0")  # fmt: skip
    return np.asarray(stack[section])


def _per_image(raw: RawSeries, rows: list[list[dict[str, Any]]], base: Path) -> None:
    for key in ("defocus_angstrom", "dose_per_image", "used"):
        values = [[entry.get(key, True if key == "used" else None) for entry in row] for row in rows]
        present = [value is not None for row in values for value in row]
        if all(present):
            raw.fields[key] = np.array(values)
        elif any(present):
            raise DataError(
                "is given for some images only", path=base, field=key, remedy="Give it for all or none"
            )
