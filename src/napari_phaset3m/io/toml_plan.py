"""A `series.toml` as an import plan: to mend it further."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_entry import ImageEntry, Question
from napari_phaset3m.io.import_movies import file_of, movies_of_table
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_number
from napari_phaset3m.io.sidecar import read_mtf
from napari_phaset3m.io.toml import (
    described_shape,
    import_config,
    parse_toml,
    stated_history,
    take_conventions,
)
from napari_phaset3m.io.toml_rows import image_of
from napari_phaset3m.io.toml_sections import stated_sections


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
    config, sections = import_config(table, base), stated_sections(table, rows, base)
    described_shape(shape, config, base)  # refuses what does not fit
    told = RawSeries(base, np.empty(0))
    take_conventions(told, table)
    return ImportPlan(
        images=images if sections is None else tuple(replace(e, raw=k) for k, e in enumerate(images)),
        tilt_axis_angle_deg=told.tilt_axis_angle_deg,
        image_shape=shape,
        dtype=dtype,
        fields=_fields(table, set(whole), base),
        gain=base.parent / str(table["gain"]) if "gain" in table else None,
        movies=movies,
        dark_field=told.dark_field,
        defocus_reference=told.defocus_reference,
        config=config,
        counts=told.counts,
        normalisation=told.normalisation,
        rotated_deg=told.rotated_deg,
        history=tuple(stated_history(table, base)),
        sections=sections,
        described=base,
        notes=tuple(str(note) for note in table.get("notes", ())),
        questions=tuple(_questions(table.get("questions", []))),
        **whole,
    )


def _fields(table: Mapping[str, Any], without: set[str], base: Path) -> dict[str, Any]:
    rest = {key: value for key, value in table.items() if key in FIELDS and key not in without}
    if isinstance(rest.get("mtf"), str):
        rest["mtf"] = read_mtf(base.parent / rest["mtf"]).tolist()
    return rest


def _questions(items: list[Any]) -> Iterator[Question]:
    for item in items:
        if isinstance(item, list) and len(item) == 2:
            yield Question(str(item[0]), str(item[1]))


def _check_shifts(rows: list[list[dict[str, Any]]], base: Path) -> None:
    given = [entry["shift_px"] for row in rows for entry in row if "shift_px" in entry]
    if given and len(given) < sum(map(len, rows)):
        raise DataError("is given for some images only", path=base, field="shift_px",
                        remedy="Give it for all or none")  # fmt: skip


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
