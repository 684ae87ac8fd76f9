"""The `.h5` series file: a superset of the layout that the released PhaseT3M code reads.

Five keys are enough: `tilt_series`, `tilt_angles`, `defocus_values`, `pixel_size`, `energy`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.h5safe import open_h5, read_array, read_text
from napari_phaset3m.io.h5sections import read_sections, write_sections
from napari_phaset3m.io.h5write import write_h5_file
from napari_phaset3m.io.limits import MAX_SECTIONS
from napari_phaset3m.io.provenance import jsonable, package_version
from napari_phaset3m.io.raw import FIELDS, RawSeries, as_number, giveable, kept_notes

SCHEMA = 1
_SCALARS = (
    "pixel_size_angstrom",
    "energy_ev",
    "spherical_aberration_angstrom",
    "chromatic_aberration_angstrom",
    "energy_spread_ev",
    "focal_spread_angstrom",
    "convergence_semiangle_mrad",
    "phase_shift_deg",
)
_ARRAYS = ("tilt_deg", "defocus_angstrom", "dose_per_image", "shifts_px", "used", "mtf")


def read_h5(path: str | Path) -> RawSeries:
    """Read a series file.

    Raises
    ------
    DataError
        Damaged, unsafe, or without `tilt_series`.
    """
    with open_h5(path) as file:
        images = read_array(file, "tilt_series", path)
        if images is None:
            held = "is a group" if "tilt_series" in file else "is not in the file"
            raise DataError(
                f"{held}; the file holds {', '.join(list(file)[:8]) or 'nothing'}",
                path=path,
                field="tilt_series",
                remedy="A series file needs a data set of that name with the axes tilt, focus, y, x",
            )
        raw = RawSeries(Path(path), images, metadata={"format": "h5"})
        _read_fields(file, raw)
        _read_conventions(file, raw)
        raw.sections = read_sections(file, raw.path)
    return raw


def _read_fields(file: Any, raw: RawSeries) -> None:
    if raw.images.ndim == 3:
        raw.images = raw.images[:, None]
    for name in _SCALARS:
        with _giveable(name, raw):
            key = FIELDS[name][0]
            value = read_array(file, key, raw.path, max_size=1)
            if value is None and key in file.attrs:
                value = file.attrs[key]
            if value is not None:
                raw.fields[name] = as_number(value, raw.path, key)
    for name in _ARRAYS:
        with _giveable(name, raw):
            value = read_array(file, FIELDS[name][0], raw.path, max_size=MAX_SECTIONS)
            if value is not None:
                raw.fields[name] = value.astype(bool) if name == "used" else value
    aberrations = _read_aberrations(file, raw.path)
    if aberrations:
        raw.fields["aberrations"] = aberrations


@contextmanager
def _giveable(name: str, raw: RawSeries) -> Iterator[None]:
    """Within it, an error about a value is kept for where no other is given."""
    try:
        yield
    except DataError as error:
        raw.unusable[name] = giveable(name, error)


def _read_aberrations(file: Any, path: Path) -> dict[str, float]:
    import h5py

    link = file.get("aberrations", getlink=True)
    if link is None:
        return {}
    if isinstance(link, h5py.ExternalLink) or not isinstance(file["aberrations"], h5py.Group):
        raise DataError("must be a group of named numbers", path=path, field="aberrations")
    group = file["aberrations"]
    values = {str(key): as_number(value, path, f"aberrations/{key}") for key, value in group.attrs.items()}
    for key in list(group)[:64]:
        number = read_array(group, key, path, max_size=1)
        if number is not None:
            values[str(key)] = as_number(number, path, f"aberrations/{key}")
    return values


def _read_conventions(file: Any, raw: RawSeries) -> None:
    counts = read_array(file, "counts", raw.path, max_size=1)
    raw.counts = bool(counts.reshape(-1)[0]) if counts is not None else bool(file.attrs.get("counts", False))
    raw.normalisation = read_text(file, "normalisation", raw.path)
    angle = read_array(file, "tilt_axis_angle", raw.path, max_size=1)
    raw.rotated_deg = 0.0 if angle is None else as_number(angle, raw.path, "tilt_axis_angle")
    reference = read_text(file, "defocus_reference", raw.path)
    if reference not in (None, "center", "centre", "exit"):
        raise DataError(
            f"is {reference!r}", path=raw.path, field="defocus_reference", remedy="Use 'center' or 'exit'"
        )
    raw.defocus_reference = "center" if reference in ("center", "centre") else "exit"
    if reference is None and "defocus_angstrom" in raw.fields:
        raw.notes.append("defocus_reference is not stated: taken as the exit face of a box as deep as wide")
    if "provenance" in file and hasattr(file["provenance"], "attrs"):
        text = file["provenance"].attrs.get("metadata")
        if isinstance(text, str):
            try:
                stored = json.loads(text)
            except ValueError:
                stored = None
            if isinstance(stored, dict):
                raw.metadata = {**stored, "format": "h5"}
                raw.notes = kept_notes(stored.get("notes"), raw.notes)


def write_h5(series: TiltFocalSeries, path: str | Path) -> None:
    """Write a series file, atomically; defocus is referred to the centre.

    Raises
    ------
    OutputError
        It could not be written; an older file is untouched.
    """
    with write_h5_file(path, series.images.nbytes) as file:
        _write(series, file)


def _write(series: TiltFocalSeries, file: Any) -> None:
    file.create_dataset("tilt_series", data=series.images)
    for name in (*_SCALARS, *_ARRAYS):
        value = getattr(series, name)
        if value is not None:
            file.create_dataset(FIELDS[name][0], data=value)
    if series.aberrations:
        group = file.create_group("aberrations")
        for key, number in series.aberrations.items():
            group.create_dataset(key, data=float(number))
    file.create_dataset("counts", data=np.bool_(False))
    file.create_dataset("tilt_axis_angle", data=float(series.tilt_axis_angle_deg))
    file.create_dataset("defocus_reference", data="center")
    file.create_dataset("normalisation", data=series.normalisation)
    group = file.create_group("provenance")
    group.attrs["schema"] = SCHEMA
    group.attrs["version"] = package_version()
    group.attrs["metadata"] = json.dumps(jsonable(series.metadata))
    if series.sections is not None:
        write_sections(series.sections, file)
