"""`series.toml`: which file and section is which tilt and defocus, for any mixture of files.

Written, it stands beside one MRC stack that holds the images.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.limits import check_memory
from napari_phaset3m.io.provenance import package_version
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_number
from napari_phaset3m.io.text import read_text_file

_PER_IMAGE = {"defocus_angstrom": None, "dose_per_image": None, "shift_px": None, "used": True}
_IMAGE_KEYS = {"file", "section", "tilt", "tilt_deg", *_PER_IMAGE}
_OPTIONS = {"defocus_reference", "counts", "normalisation", "tilt_axis_angle_deg", "rotated_deg", "image"}
_TOP_KEYS = (set(FIELDS) - {"tilt_deg", "defocus_angstrom", "shifts_px", "used"}) | _OPTIONS
_SCALARS = tuple(
    name for name in FIELDS if name.endswith(("_angstrom", "_ev", "_mrad")) and name in _TOP_KEYS
)
_WRITER = "napari-phaset3m"


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
    if isinstance(raw.fields.get("mtf"), str):
        raw.fields["mtf"] = base.parent / raw.fields["mtf"]
    raw.fields["tilt_deg"] = np.array([row[0]["tilt_deg"] for row in rows], dtype=np.float64)
    _per_image(raw, rows, base)
    raw.defocus_reference = str(table.get("defocus_reference", "center"))
    if raw.defocus_reference not in ("center", "exit"):
        raise DataError(f"is {raw.defocus_reference!r}", path=path, field="defocus_reference",
                        remedy="Use 'center' or 'exit'")  # fmt: skip
    _conventions(raw, table)
    raw.metadata = {"format": "toml", "files": sorted({str(e["file"]) for row in rows for e in row})}
    return raw


def _conventions(raw: RawSeries, table: Mapping[str, Any]) -> None:
    raw.counts = bool(table.get("counts", False))
    raw.normalisation = str(table["normalisation"]) if "normalisation" in table else None
    if "tilt_axis_angle_deg" in table:
        raw.tilt_axis_angle_deg = as_number(table["tilt_axis_angle_deg"], raw.path, "tilt_axis_angle_deg")
    raw.rotated_deg = as_number(table.get("rotated_deg", 0.0), raw.path, "rotated_deg")


def _by_tilt(entries: list[dict[str, Any]], base: Path) -> list[list[dict[str, Any]]]:
    """Entries of one tilt together, in the file's order; `tilt` keeps equal angles apart."""
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
        if not isinstance(entry.get("tilt", 0), int) or not isinstance(entry.get("used", True), bool):
            raise DataError("tilt must be a whole number and used true or false", path=base, field=where)
        groups.setdefault((entry.get("tilt"), float(angle)), []).append(entry)
    rows = list(groups.values())
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


def write_toml(series: TiltFocalSeries, path: str | Path) -> Path:
    """Write ``NAME.toml`` and the images as ``NAME_images.mrc`` beside it; return the stack's path.

    Both are complete before either takes its name; the stack takes it first. ``metadata`` is not kept.

    Raises
    ------
    OutputError
        It could not be written, or ``NAME_images.mrc`` is there and was not written by this program.
    """
    target = Path(path)
    stack = target.with_name(f"{target.stem}_images.mrc")
    if stack.exists() and not _is_ours(stack):
        raise OutputError(f"{stack}: is there already and not from {_WRITER}. Choose another name")
    text = "\n".join(_lines(series, stack.name)) + "\n"
    with atomic_path(target, len(text)) as description:
        description.write_text(text, encoding="utf-8")
        with atomic_path(stack, series.images.nbytes + 1024) as temporary:
            _write_stack(series, temporary)
    return stack


def _is_ours(stack: Path) -> bool:
    from napari_phaset3m.io.mrc import read_header

    try:
        return any(label.startswith(_WRITER) for label in read_header(stack).labels)
    except DataError:
        return False


def _write_stack(series: TiltFocalSeries, path: Path) -> None:
    import mrcfile

    with mrcfile.new(path) as mrc:
        mrc.set_data(series.images.reshape(-1, *series.image_shape))
        mrc.set_image_stack()
        mrc.voxel_size = series.pixel_size_angstrom
        mrc.add_label(f"{_WRITER} {package_version()} series"[:56])


def _lines(series: TiltFocalSeries, stack: str) -> Iterator[str]:
    yield f"# Written by {_WRITER} {package_version()}"
    for name in _SCALARS:
        value = getattr(series, name)
        if value is not None:
            yield f"{name} = {float(value)!r}"
    if series.mtf is not None:
        yield f"mtf = {series.mtf.tolist()}"
    yield f"rotated_deg = {float(series.tilt_axis_angle_deg)!r}"
    yield f"normalisation = {json.dumps(series.normalisation)}"
    yield 'defocus_reference = "center"'
    if series.aberrations:
        yield "\n[aberrations]"
        yield from (f"{json.dumps(key)} = {float(value)!r}" for key, value in series.aberrations.items())
    repeated = len(set(series.tilt_deg)) < series.n_tilt
    for section, (i, j) in enumerate(np.ndindex(series.n_tilt, series.n_focus)):
        yield f"\n[[image]]\nfile = {json.dumps(stack, ensure_ascii=False)}\nsection = {section}"
        if repeated:
            yield f"tilt = {i}"
        yield f"tilt_deg = {float(series.tilt_deg[i])!r}"
        for key in ("defocus_angstrom", "dose_per_image"):
            values = getattr(series, key)
            if values is not None:
                yield f"{key} = {float(values[i, j])!r}"
        if series.shifts_px is not None and series.shifts_px.any():
            yield f"shift_px = {series.shifts_px[i, j].tolist()}"
        if series.used is not None and not series.used[i, j]:
            yield "used = false"
