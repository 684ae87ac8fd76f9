"""Open any tilt/focal series, and save one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.assemble import assemble
from napari_phaset3m.io.limits import check_exists, check_memory
from napari_phaset3m.io.raw import FIELDS, RawSeries, blaming
from napari_phaset3m.io.stack_axes import ALIGNED, join_axes

_MRC = (".mrc", ".st", ".ali", ".rec", ".mrcs", ".map")
_KNOWN = (
    ".h5, .mrc, .st, .ali, .rec, .mrcs, .tif, .dm3, .dm4, .emd, .ser, .hspy, .gif, .npy, .mat, series.toml, "
    "or a folder of TIFFs"
)
PathLike = str | os.PathLike[str]


def load_series(path: PathLike | Sequence[PathLike], **overrides: Any) -> TiltFocalSeries:
    """Open a tilt/focal series.

    Parameters
    ----------
    path : path-like or sequence of path-like
        An `.h5` series, an MRC or TIFF stack, DM3, DM4, EMD, SER, `.hspy`, GIF, `.npy`, `.mat`, a
        `series.toml`, or a folder of TIFFs with the angle in the name. Several paths: one stack per defocus.
        Folders of other images, an `.mdoc` and EER movies are imported: see :func:`importing.look`, which
        also tells what it assumed, and loads with bin and crop.
    **overrides
        Fields of :class:`TiltFocalSeries` that replace or complete what the file says, e.g.
        ``pixel_size_angstrom``, ``energy_ev``, ``tilt_deg`` (array or .tlt file), and how to read it
        (pixel size, shifts and MTF are of the files' images where a `series.toml` bins or crops them):
        ``n_focus`` and ``focus_order`` (``"tilt-major"`` or ``"focus-major"``) for interleaved sections,
        ``tilt_axis_angle_deg`` (SerialEM's: from +y towards −x; images are turned by it; 0: do not
        turn), ``defocus_reference`` (``"center"`` or ``"exit"``), ``counts``, ``normalise`` (``"auto"``,
        ``"given"``, ``"counts"``, ``"mean"``, ``"vacuum"``), ``vacuum_intensity``, ``intensity_offset``,
        ``dark_field`` (invert STEM images so that 1 − I is the signal), ``unused`` (numbers of images
        to leave out, from 0 and tilt by tilt: ``"3,7-9"`` or integers).

    Returns
    -------
    TiltFocalSeries
        ``metadata["notes"]`` names every default that was used.

    Raises
    ------
    DataError
        The file is damaged or something is missing; the message names file and field and says what to do.
    ConfigError
        An override is unknown.
    """
    if isinstance(path, str | os.PathLike) and _needs_import(Path(path)):
        from napari_phaset3m.io.importing import load, look

        arranging = ("tilt_deg", "n_focus", "focus_order")
        found = look(path, **{key: overrides.pop(key) for key in arranging if overrides.get(key) is not None})
        return load(found, **overrides)
    if isinstance(path, str | os.PathLike) and Path(path).suffix.lower() == ".toml":
        from napari_phaset3m.io import toml

        of_files = {name: overrides.pop(name, None) for name in toml.OF_FILES}
        given = {name: value for name, value in of_files.items() if value is not None}
        with blaming(given, Path(path)):
            raw = toml.read_toml(check_exists(path), given)
        with blaming(given, raw.path):  # of a series that is made from both
            return assemble(raw, overrides)
    raw = read_raw(path)
    raw.notes += [note for stack in raw.stacks for note in _left_beside(stack)]
    return assemble(raw, overrides)


#: Said of what only an import reads.
_LEFT = "lies beside and is not used: an import reads it"


def told_left_beside(series: TiltFocalSeries) -> list[str]:
    """Notes of a series that was opened as a stack on what lies beside it; none of one that was saved."""
    if Path(str(series.metadata.get("source", ""))).suffix.lower() in (".h5", ".hdf5", ".toml"):
        return []  # told when it was made
    return [note for note in series.metadata.get("notes", ()) if _LEFT in note]


def _left_beside(stack: Path) -> list[str]:
    """Notes on what lies beside a stack and is not read here."""
    from napari_phaset3m.io.import_beside import read_by_imports

    return [f"{file.name} {_LEFT} (phaset3m convert)" for file in read_by_imports(stack)]


def _needs_import(path: Path) -> bool:
    """An mdoc, EER movies, or a folder of other images than TIFF."""
    from napari_phaset3m.io.import_sources import IMAGE_SUFFIXES

    if path.suffix.lower() in (".mdoc", ".eer"):
        return True
    if not os.path.isdir(path) or any(p.suffix.lower() in (".tif", ".tiff") for p in path.iterdir()):
        return False
    return any(p.suffix.lower() in (".mdoc", *IMAGE_SUFFIXES) for p in path.iterdir())


def read_raw(path: PathLike | Sequence[PathLike]) -> RawSeries:
    """Read a file (or one stack per defocus) as it is, before anything is asked for or normalised."""
    if not isinstance(path, str | os.PathLike):
        listed = [Path(item) for item in path]
        twice = next((item for item in listed if listed.count(item) > 1), None)
        if twice is not None:
            raise DataError("is given twice", path=twice, remedy="Give one stack for each defocus")
        parts = [_read_one(item) for item in path]
        if not parts:
            raise DataError("no file was given", remedy=f"Known are {_KNOWN}")
        return parts[0] if len(parts) == 1 else _join(parts)
    return _read_one(path)


def _read_one(path: PathLike) -> RawSeries:
    from napari_phaset3m.io import h5series, hspy, mrc, other, tiff, toml, vendor

    found = check_exists(path)
    suffix = found.suffix.lower()
    if found.is_dir():
        return tiff.read_folder(found)
    if suffix in (".h5", ".hdf5"):
        return h5series.read_h5(found)
    if suffix == ".mdoc":
        return _read_one(_stack_beside(found))
    if suffix == ".toml":
        return toml.read_toml(found)
    stacks: dict[str, Callable[[Path], RawSeries]] = {
        **dict.fromkeys(_MRC, mrc.read_mrc),
        **dict.fromkeys((".tif", ".tiff"), tiff.read_tiff),
        ".hspy": hspy.read_hspy,
        **dict.fromkeys(vendor.VENDOR_SUFFIXES, vendor.read_vendor),
        **other.READERS,
    }
    if suffix not in stacks:
        raise DataError("is no series format that is known", path=path, remedy=f"Known are {_KNOWN}")
    raw = stacks[suffix](found)
    raw.stacks = (found,) if raw.images.ndim < 4 else ()  # else no section is an image
    if suffix in (*_MRC, ".tif", ".tiff") and raw.stacks:
        _refuse_commas(raw)
    return raw


def _refuse_commas(raw: RawSeries) -> None:
    """What the mdoc beside a stack states with a decimal comma, and nothing else states, cannot be used."""
    from napari_phaset3m.io.mdoc import read_mdoc
    from napari_phaset3m.io.mdoc_commas import refusals
    from napari_phaset3m.io.sidecar import mdoc_beside

    mdoc, _ = mdoc_beside(raw.path)
    if mdoc is None:
        return
    try:
        found = refusals(mdoc, read_mdoc(mdoc))
    except DataError:
        return  # damaged: refused with the angles
    if raw.tilt_axis_angle_deg is not None or raw.path.suffix.lower() in ALIGNED:
        found.pop("tilt_axis_angle_deg", None)  # stated in the header, or along y already
    lacking = {name: error for name, error in found.items() if raw.fields.get(name) is None}
    raw.unusable = {**lacking, **raw.unusable}


def _stack_beside(path: Path) -> Path:
    """The stack of an mdoc."""
    from napari_phaset3m.io.import_look import stack_of
    from napari_phaset3m.io.mdoc import read_mdoc

    stack = stack_of(path, read_mdoc(path))
    if stack is None:
        raise DataError("its stack is not beside it", path=path,
                        remedy="Movies are imported: phaset3m convert")  # fmt: skip
    return stack


def _join(parts: Sequence[RawSeries]) -> RawSeries:
    """One stack per defocus: stack k becomes focus k."""
    first = parts[0]
    shape = tuple(first.images.shape)
    for part in parts[1:]:
        if tuple(part.images.shape) != shape or len(shape) != 3:
            raise DataError(
                f"has shape {tuple(part.images.shape)}, but {first.path.name} has {shape}",
                path=part.path,
                field="tilt_series",
                remedy="Stacks of one series need the same number and size of images",
            )
        for key in ("pixel_size_angstrom", "energy_ev", "tilt_deg"):
            _check_agrees(first, part, key)
    total = (shape[0], len(parts), *shape[1:])
    check_memory(total, max(np.dtype(p.images.dtype).itemsize for p in parts), first.path, "tilt_series")
    images = np.stack([np.asarray(part.images) for part in parts], axis=1)
    fields = {key: value for part in reversed(parts) for key, value in part.fields.items()}
    notes = [note for part in parts for note in part.notes]
    for name in ("dose_per_image", "defocus_angstrom"):
        values = [part.fields.get(name) for part in parts]
        fields.pop(name, None)
        if all(value is not None for value in values):
            columns = [np.broadcast_to(np.asarray(value, float), (shape[0], 1)) for value in values]
            fields[name] = np.concatenate(columns, axis=1)
        elif any(value is not None for value in values):
            notes.append(f"{FIELDS[name][0]}: stated for some of the stacks only, so not taken")
    result = RawSeries(first.path, images, fields, notes)
    result.counts = all(part.counts for part in parts)
    result.metadata = {**first.metadata, "files": [str(part.path) for part in parts]}
    result.stacks = tuple(part.path for part in parts)
    result.refused = tuple(error for part in parts for error in part.refused)
    for part in parts:
        result.unusable |= part.unusable
    join_axes(result, parts)
    return result


def _check_agrees(first: RawSeries, part: RawSeries, key: str) -> None:
    a, b = first.fields.get(key), part.fields.get(key)
    if a is None or b is None:
        return
    a, b = np.asarray(a, float), np.asarray(b, float)
    tolerance = 0.5 if key == "tilt_deg" else 1e-3 * abs(float(a.max()))
    if a.shape != b.shape or np.abs(a - b).max() > tolerance:
        raise DataError(f"differs from that of {first.path.name}", path=part.path, field=key,
                        remedy="Stacks of one series need the same tilts, pixel and voltage")  # fmt: skip


def save_series(series: TiltFocalSeries, path: PathLike) -> Path:
    """Write a series, atomically, with defocus referred to the centre.

    Parameters
    ----------
    series : TiltFocalSeries
    path : path-like
        `NAME.h5` holds everything. `NAME.toml` is text that other programs and people can edit, with the
        images beside it as `NAME_images.mrc`; of ``metadata`` it keeps history, notes and order of exposure.

    Returns
    -------
    Path
        What :func:`load_series` opens.

    Raises
    ------
    DataError
        No image is used: nothing would open it again.
    OutputError
        It could not be written; an older file is untouched and nothing else is left.
    """
    from napari_phaset3m.io.h5series import write_h5
    from napari_phaset3m.io.toml_write import write_toml

    target = Path(path)
    if series.used is not None and not series.used.any():
        raise DataError("no image is used", path=target, field="used", remedy="Use one at least")
    if target.suffix.lower() in (".h5", ".hdf5"):
        write_h5(series, target)
    elif target.suffix.lower() == ".toml":
        write_toml(series, target)
    else:
        raise OutputError(f"{target}: cannot be written (unknown suffix). A series is saved as .h5 or .toml")
    return target
