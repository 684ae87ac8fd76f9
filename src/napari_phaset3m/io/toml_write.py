"""Write `series.toml`: of a series (with its images in one MRC beside it), or of an import plan."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.atomic import atomic_path, encoded, write_text
from napari_phaset3m.io.import_config import ImportConfig
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_movies import movie_lines, movie_settings
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.provenance import jsonable, package_version
from napari_phaset3m.io.raw import kept_notes
from napari_phaset3m.io.toml import SCALARS, WRITER
from napari_phaset3m.io.toml_rows import METADATA
from napari_phaset3m.io.toml_sections import image_lines, top_lines


def write_toml(series: TiltFocalSeries, path: str | Path) -> Path:
    """Write ``NAME.toml`` and the images as ``NAME_images.mrc`` beside it; return the stack's path.

    Both are complete before either takes its name; the stack takes it first. Of ``metadata``
    the history, the notes and the order of exposure are kept.

    Raises
    ------
    OutputError
        It could not be written, or ``NAME_images.mrc`` is there and was not written by this program.
    """
    target = Path(path)
    stack = images_of(target)
    if stack.exists() and not _is_ours(stack):
        raise OutputError(f"{stack}: is there already and not from {WRITER}. Choose another name")
    text = encoded(target, "\n".join(_lines(series, stack.name, target)) + "\n")
    with atomic_path(target, len(text)) as description:
        description.write_bytes(text)
        with atomic_path(stack, series.images.nbytes + 1024) as temporary:
            _write_stack(series, temporary)
    return stack


def images_of(path: Path) -> Path:
    """Where the images of a series that is saved as ``NAME.toml`` go."""
    return path.with_name(f"{path.stem}_images.mrc")


def _is_ours(stack: Path) -> bool:
    from napari_phaset3m.io.mrc import read_header

    try:
        return any(label.startswith(WRITER) for label in read_header(stack).labels)
    except DataError:
        return False


def _write_stack(series: TiltFocalSeries, path: Path) -> None:
    import mrcfile

    with mrcfile.new(path) as mrc:
        mrc.set_data(series.images.reshape(-1, *series.image_shape))
        mrc.set_image_stack()
        mrc.voxel_size = series.pixel_size_angstrom
        mrc.add_label(f"{WRITER} {package_version()} series"[:56])


def _whole_lines(series: TiltFocalSeries, path: Path) -> Iterator[str]:
    """What holds for all images."""
    yield f"# Written by {WRITER} {package_version()}"
    for name in SCALARS:
        value = getattr(series, name)
        if value is not None:
            yield f"{name} = {float(value)!r}"
    if series.mtf is not None:
        yield f"mtf = {series.mtf.tolist()}"
    yield f"rotated_deg = {float(series.tilt_axis_angle_deg)!r}"
    yield f"normalisation = {json.dumps(series.normalisation)}"
    yield 'defocus_reference = "center"'
    if series.metadata.get("movies") and series.metadata.get("gain"):
        yield f"gain = {_name(Path(str(series.metadata['gain'])), path)}"
    if series.metadata.get("movies"):
        yield from movie_lines(movie_settings(series.metadata))
    if series.metadata.get("notes"):
        yield f"notes = {json.dumps(kept_notes(series.metadata['notes']), ensure_ascii=False)}"
    if series.metadata.get("history"):
        yield _history(series.metadata["history"])
    if series.sections is not None:
        yield from top_lines(series.sections)
    if series.aberrations:
        yield "\n[aberrations]"
        yield from (f"{json.dumps(key)} = {float(value)!r}" for key, value in series.aberrations.items())


def _lines(series: TiltFocalSeries, stack: str, path: Path) -> Iterator[str]:
    yield from _whole_lines(series, path)
    repeated = len(set(series.tilt_deg)) < series.n_tilt
    exposure = {key: _table(series, key) for key in METADATA}
    movies = _movies(series, path)
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
        yield from (f"{key} = {values[i][j]!r}" for key, values in exposure.items() if values is not None)
        yield from movies.get((i, j), ())
        if series.sections is not None:
            yield from image_lines(series.sections, (i, j))
        if series.used is not None and not series.used[i, j]:
            yield "used = false"


def _history(steps: Any) -> str:
    """A list with one JSON text for each step."""
    texts = (json.dumps(json.dumps(jsonable(step), ensure_ascii=False), ensure_ascii=False) for step in steps)
    return "history = [\n" + "".join(f"  {text},\n" for text in texts) + "]"


def _movies(series: TiltFocalSeries, path: Path) -> dict[tuple[int, int], list[str]]:
    """Lines that name the movie of each image, where the metadata has them `(n_tilt, n_focus)`."""
    rows = series.metadata.get("movies") or []
    lines: dict[tuple[int, int], list[str]] = {}
    for i, row in enumerate(rows if len(rows) == series.n_tilt else []):
        for j, movie in enumerate(row if len(row) == series.n_focus else []):
            if isinstance(movie, Mapping) and movie.get("path"):
                lines[i, j] = [f"frames = {_name(Path(str(movie['path'])), path)}"]
                if movie.get("frame_range"):
                    lines[i, j].append(f"frame_range = {[int(n) for n in movie['frame_range']]}")
    return lines


def _table(series: TiltFocalSeries, key: str) -> list[list[Any]] | None:
    """Plain values `(n_tilt, n_focus)` of the metadata, when they have that shape."""
    kind = int if key == "exposure_order" else np.float64
    try:
        array = np.asarray(series.metadata[key], kind).reshape(series.n_tilt, series.n_focus)
    except (KeyError, TypeError, ValueError):
        return None
    return array.tolist() if np.isfinite(array).all() else None


def write_plan(plan: ImportPlan, config: ImportConfig, path: str | Path) -> None:
    """Write a plan; files are named relative to it where they lie beside or below it, else in full.

    Raises
    ------
    OutputError
        It could not be written; an older file is untouched.
    """
    write_text(path, "\n".join(_plan_lines(plan, config, Path(path))) + "\n")


def _plan_lines(plan: ImportPlan, config: ImportConfig, path: Path) -> Iterator[str]:
    yield f"# Written by {WRITER} {package_version()}: an import, every cell as it was mended"
    for name in ("pixel_size_angstrom", "energy_ev", "tilt_axis_angle_deg"):
        if getattr(plan, name) is not None:
            yield f"{name} = {float(getattr(plan, name))!r}"
    yield f"defocus_reference = {json.dumps(plan.defocus_reference)}"
    yield from _said_of_values(plan)
    if plan.gain is not None:
        yield f"gain = {_name(plan.gain, path)}"
    yield from movie_lines(plan.movies)
    if config.bin > 1:
        yield f"bin = {config.bin}\nbin_method = {json.dumps(config.bin_method)}"
    if config.crop is not None:
        yield f"crop = {list(config.crop)}"
    numbers = {k: v for k, v in plan.fields.items() if v is not None}
    aberrations = numbers.pop("aberrations", None)
    yield from (f"{name} = {_value(value)}" for name, value in numbers.items())
    if plan.notes:
        yield f"notes = {json.dumps(list(plan.notes), ensure_ascii=False)}"
    if plan.questions:
        asked = [[question.field, question.text] for question in plan.questions]
        yield f"questions = {json.dumps(asked, ensure_ascii=False)}"
    if aberrations:
        yield "\n[aberrations]"
        yield from (f"{json.dumps(key)} = {float(value)!r}" for key, value in aberrations.items())
    for entry in plan.images:
        yield from _entry_lines(entry, path)
        if plan.sections is not None and entry.raw is not None:
            yield from image_lines(plan.sections, divmod(entry.raw, plan.sections.shape[1]))


def _said_of_values(plan: ImportPlan) -> Iterator[str]:
    """What a description said of the values and the frame of its files' images."""
    if plan.dark_field:
        yield "dark_field = true"
    if plan.counts:
        yield "counts = true"
    if plan.normalisation is not None:
        yield f"normalisation = {json.dumps(plan.normalisation)}"
    if plan.rotated_deg:
        yield f"rotated_deg = {float(plan.rotated_deg)!r}"
    if plan.history:
        yield _history(plan.history)
    if plan.sections is not None:
        yield from top_lines(plan.sections)


def _entry_lines(entry: ImageEntry, path: Path) -> Iterator[str]:
    yield f"\n[[image]]\nfile = {_name(entry.file, path)}\nsection = {entry.section}"
    yield f"tilt = {entry.tilt_index}\nfocus = {entry.focus_index}"
    cells: Mapping[str, Any] = {
        "tilt_deg": entry.tilt_deg,
        "defocus_angstrom": entry.defocus_angstrom,
        "dose_per_image": entry.dose,
        "prior_dose": entry.prior_dose,
    }
    yield from (f"{key} = {float(value)!r}" for key, value in cells.items() if value is not None)
    if entry.shift_px is not None:
        yield f"shift_px = {[float(value) for value in entry.shift_px]}"
    if entry.exposure_order is not None:
        yield f"exposure_order = {entry.exposure_order}"
    if entry.frames is not None:
        yield f"frames = {_name(entry.frames, path)}"
    if entry.frame_range is not None:
        yield f"frame_range = {list(entry.frame_range)}"
    if not entry.used:
        yield "used = false"
    if entry.is_filler:
        yield "filler = true"


def _name(file: Path, path: Path) -> str:
    """TOML text of a file's name, relative when it is not above the description."""
    full, folder = Path(os.path.abspath(file)), Path(os.path.abspath(path)).parent
    name = full.relative_to(folder).as_posix() if full.is_relative_to(folder) else str(full)
    return json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    array = np.asarray(value, np.float64)
    return repr(float(array)) if array.ndim == 0 else str(array.tolist())
