"""A `series.toml` as an import plan: to mend it further."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_cells import Question
from napari_phaset3m.io.import_movies import file_of, movies_of_table
from napari_phaset3m.io.import_plan import ImageEntry, ImportPlan
from napari_phaset3m.io.raw import FIELDS, as_number
from napari_phaset3m.io.sidecar import read_mtf
from napari_phaset3m.io.toml import image_of, parse_toml


def read_plan(path: str | Path) -> ImportPlan:
    """A description as an import plan, with every cell as it stands there.

    Raises
    ------
    DataError
        As for :func:`toml.read_toml`.
    """
    base = Path(path)
    table, rows = parse_toml(base)
    _check_shifts(rows, base)
    images = tuple(
        _planned(image_of(entry, base), entry, i, j, base)
        for i, row in enumerate(rows)
        for j, entry in enumerate(row)
    )
    movies = movies_of_table(table, base)
    shape, dtype, found = file_of(images[0], movies)
    whole = {
        name: as_number(table[name], base, name) if name in table else found.get(name)
        for name in ("pixel_size_angstrom", "energy_ev")
    }
    rest = {key: value for key, value in table.items() if key in FIELDS and key not in whole}
    if isinstance(rest.get("mtf"), str):
        rest["mtf"] = read_mtf(base.parent / rest["mtf"]).tolist()
    angle = table.get("tilt_axis_angle_deg")
    return ImportPlan(
        images=images,
        tilt_axis_angle_deg=None if angle is None else as_number(angle, base, "tilt_axis_angle_deg"),
        image_shape=shape,
        dtype=dtype,
        fields=rest,
        gain=base.parent / str(table["gain"]) if "gain" in table else None,
        movies=movies,
        dark_field=bool(table.get("dark_field", False)),
        defocus_reference=str(table.get("defocus_reference", "center")),
        notes=tuple(str(note) for note in table.get("notes", ())),
        questions=tuple(_questions(table.get("questions", []))),
        **whole,
    )


def _questions(items: list[Any]) -> Iterator[Question]:
    for item in items:
        if isinstance(item, list) and len(item) == 2:
            yield Question(str(item[0]), str(item[1]))


def _check_shifts(rows: list[list[dict[str, Any]]], base: Path) -> None:
    given = [entry["shift_px"] for row in rows for entry in row if "shift_px" in entry]
    if given and len(given) < sum(map(len, rows)):
        raise DataError("is given for some images only", path=base, field="shift_px",
                        remedy="Give it for all or none")  # fmt: skip
    for value in given:
        if not isinstance(value, list) or len(value) != 2:
            raise DataError("must be two numbers [y, x]", path=base, field="shift_px")


def _planned(base: ImageEntry, entry: Mapping[str, Any], tilt: int, focus: int, path: Path) -> ImageEntry:
    numbers: dict[str, Any] = {
        cell: None if entry.get(key) is None else as_number(entry[key], path, key)
        for cell, key in (
            ("tilt_deg", "tilt_deg"),
            ("defocus_angstrom", "defocus_angstrom"),
            ("dose", "dose_per_image"),
            ("prior_dose", "prior_dose"),
        )
    }
    order, shift = entry.get("exposure_order"), entry.get("shift_px")
    if shift is not None:
        numbers["shift_px"] = tuple(as_number(value, path, "shift_px") for value in shift)
    return replace(
        base,
        tilt_index=tilt,
        focus_index=focus,
        exposure_order=None if order is None else int(as_number(order, path, "exposure_order")),
        used=entry.get("used", True),
        is_filler=bool(entry.get("filler", False)),
        **numbers,
    )
