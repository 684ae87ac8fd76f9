"""Stacks, single images and movies of an import, with what lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_beside import apply_beside
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_focus import Candidate, name_parts
from napari_phaset3m.io.import_found import Found
from napari_phaset3m.io.import_sources import open_images
from napari_phaset3m.io.mdoc import Mdoc, MdocImage, read_mdoc
from napari_phaset3m.io.mdoc_commas import axis_refusal
from napari_phaset3m.io.mdoc_series import MdocSeries, mdoc_series
from napari_phaset3m.io.movies import MOVIE_SUFFIXES, open_movie
from napari_phaset3m.io.raw import RawSeries
from napari_phaset3m.io.sidecar import mdoc_beside, or_give
from napari_phaset3m.io.stack_axes import StackAxis, axes_differ, axis_of, is_aligned, two_axes
from napari_phaset3m.io.text import check_count
from napari_phaset3m.io.tiff import angles_from_names

_FRAME_FOLDERS = (".", "frames", "Frames", "../frames", "../Frames", "movies")


def movie_of(path: Path, mdoc: Mdoc, image: MdocImage) -> Path | None:
    """The movie of an image: ``SubFramePath``'s name near the mdoc, or the mdoc's name without ``.mdoc``."""
    own = path.with_suffix("")
    if mdoc.frame_set is not None and own.suffix.lower() in MOVIE_SUFFIXES and own.is_file():
        return own
    name = image.name if image.kind == "Image" else image.movie
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        return None
    for folder in _FRAME_FOLDERS:
        candidate = path.parent / folder / name
        if candidate.suffix.lower() in MOVIE_SUFFIXES and candidate.is_file():
            return candidate
    return None


def take_mdoc(found: Found, series: MdocSeries, path: Path) -> None:
    """Take what an mdoc says about all images; an axis that it states and is not read must be given."""
    for note in series.notes:
        found.note(f"{path.name}: {note}")
    for question in series.questions:
        name = {
            "dose": "dose",
            "tilt axis": "tilt_axis_angle_deg",
            "defocus": "defocus_angstrom",
            "energy": "energy_ev",
            "pixel size": "pixel_size_angstrom",
        }
        field_name, _, text = question.partition(": ")
        of_axis = series.axis_unread and field_name == "tilt axis"
        refusal = axis_refusal(path, series.axis_unread) if of_axis else None
        found.ask(name.get(field_name, "exposure_order"), f"{path.name}: {text}", refusal)
    if series.energy_ev:
        found.energy.append(series.energy_ev)
    if series.tilt_axis_angle_deg is not None and not series.is_axis_stated:
        found.derived_axis.append(series.tilt_axis_angle_deg)


def from_mdoc(series: MdocSeries, number: int, file: Path, section: int) -> Candidate:
    """A row with what the mdoc says about an image."""

    def value(array: np.ndarray | None) -> float | None:
        return None if array is None else float(array[number])

    entry = ImageEntry(
        file=file,
        section=section,
        tilt_deg=series.images[number].tilt_deg,
        defocus_angstrom=value(series.defocus_angstrom),
        dose=value(series.dose),
        prior_dose=value(series.prior_dose),
        exposure_order=int(series.exposure_order[number]),
    )
    image = series.images[number]
    return Candidate(entry, image.lens_defocus_angstrom, time=image.time)


def movie_entry(
    movie: Path, found: Found, base: Candidate, frame_range: tuple[int, int] | None = None
) -> None:
    """An image that is a movie: the sum of its frames until somebody aligns them."""
    opened = open_movie(movie, frame_range=frame_range)
    found.take_size(movie, opened.image_shape, np.dtype(np.float32))
    if opened.pixel_size_angstrom and not found.pixel:
        found.pixel.append(opened.pixel_size_angstrom)
    entry = replace(base.entry, file=movie, section=0, frames=movie, frame_range=frame_range)
    found.candidates.append(replace(base, entry=entry))
    found.note("images are movies: their frames are summed; step Prepare corrects motion")


def look_stack(path: Path, found: Found, mdoc: Path | None = None, focus: int | None = None) -> None:
    """Images of a stack, or one image; ``mdoc`` is the one beside it when none is given.

    What lies beside it and does not fit it is left with ``found``: angles that are given win over it.

    Raises
    ------
    DataError
        It cannot be read, or is of another size than the images before.
    """
    raw = open_images(path)
    for error in raw.refused:
        found.refuse(error)
    _ask_unusable(raw, path, found)
    n = 1 if raw.images.ndim == 2 else int(raw.images.shape[0])
    found.take_size(path, (int(raw.images.shape[-2]), int(raw.images.shape[-1])), np.dtype(raw.images.dtype))
    beside, is_own = mdoc_beside(path)
    mdoc = mdoc or (beside if is_own else None)
    series = _stack_mdoc(mdoc, n, path, found) if mdoc is not None else None
    for note in raw.notes:
        if series is None or ".mdoc" not in note or note.endswith(" are taken"):
            found.note_of(path, note)
    _take_fields(found, raw, series)
    found.axes.append(_axis(raw, series, mdoc))
    parts = name_parts(path.stem)
    rows = []
    for section in range(n):
        base = from_mdoc(series, section, path, section) if series else Candidate(ImageEntry(path, section))
        number = focus if focus is not None else parts.focus
        rows.append(_fill(base, raw, section, parts.defocus_angstrom, number))
    if series is not None and mdoc is not None:
        rows = _with_movies(rows, series, mdoc)
    rows = apply_beside(path, rows, found)  # a fit wins over the name
    of_name = None if parts.defocus_angstrom is None else abs(parts.defocus_angstrom)
    if of_name is not None and all(row.entry.defocus_angstrom == of_name for row in rows):
        unit = "" if parts.is_unit_stated else ", nanometres assumed"
        found.ask("defocus_angstrom", f"from the file names{unit}, taken as underfocus")
    found.candidates += rows


def _ask_unusable(raw: RawSeries, path: Path, found: Found) -> None:
    """Ask for what the stack, or a log beside it, states and cannot be; an mdoc's is told with it."""
    for name, error in raw.unusable.items():
        of_axis, file = name == "tilt_axis_angle_deg", Path(error.path or path)
        if (name == "pixel_size_angstrom" and error.path == path) or (of_axis and file.suffix != ".mdoc"):
            text = f"{file.name}: {error.problem}"
            found.ask(name, text, error if of_axis else None)


def _stack_mdoc(mdoc: Path, n: int, path: Path, found: Found) -> MdocSeries | None:
    try:
        read = read_mdoc(mdoc)
        if read.is_montage or not read.images:
            return None
        series = mdoc_series(read)
        check_count(len(series.images), n, mdoc, "sections", path.name)
    except DataError as error:
        found.refuse(or_give(error))
        return None
    take_mdoc(found, _without_axis(series) if is_aligned(path) else series, mdoc)
    return series


def _without_axis(series: MdocSeries) -> MdocSeries:
    """What an mdoc says, but for the axis: that of the images before they were aligned."""
    notes, questions = (
        [text for text in texts if not text.startswith("tilt axis")]
        for texts in (series.notes, series.questions)
    )
    return replace(
        series,
        tilt_axis_angle_deg=None,
        is_axis_stated=False,
        axis_unread="",
        notes=notes,
        questions=questions,
    )


def _with_movies(rows: Sequence[Candidate], series: MdocSeries, mdoc: Path) -> list[Candidate]:
    """Name the movie of each image where it is there."""
    read = Mdoc(mdoc)
    result = []
    for row, image in zip(rows, series.images, strict=True):
        frames = movie_of(mdoc, read, image)
        entry = replace(row.entry, frames=frames, frame_range=image.frame_range if frames else None)
        result.append(replace(row, entry=entry))
    return result


def _take_fields(found: Found, raw: RawSeries, series: MdocSeries | None) -> None:
    pixel, energy = raw.fields.get("pixel_size_angstrom"), raw.fields.get("energy_ev")
    if pixel:
        found.pixel.append(float(pixel))
    elif series is not None and series.pixel_size_angstrom:
        found.pixel.append(series.pixel_size_angstrom)
    if energy:
        found.energy.append(float(energy))
    for name in ("spherical_aberration_angstrom", "chromatic_aberration_angstrom"):
        if raw.fields.get(name) is not None:
            found.fields.setdefault(name, float(raw.fields[name]))


def _axis(raw: RawSeries, series: MdocSeries | None, mdoc: Path | None) -> StackAxis:
    """The axis of a stack, whose mdoc may have another name than it."""
    own = axis_of(raw)
    if series is None or mdoc is None or not series.is_axis_stated or is_aligned(raw.path):
        return own
    stated = series.tilt_axis_angle_deg
    if own.angle_deg is None or stated is None:
        return StackAxis(raw.path, stated, mdoc)
    if own.error is None and axes_differ((own.angle_deg, stated)):
        problem = f"is {own.angle_deg:g} degrees, but {mdoc.name} has {stated:g}"
        return replace(own, error=two_axes(problem, own.source))
    return own


def _fill(
    base: Candidate, raw: RawSeries, section: int, defocus: float | None, focus: int | None
) -> Candidate:
    """Complete a row with what the file itself says; a .tlt beside it wins over the mdoc."""
    entry = base.entry
    tilts, doses = raw.fields.get("tilt_deg"), raw.fields.get("dose_per_image")
    if tilts is not None:
        entry = replace(entry, tilt_deg=float(np.asarray(tilts).reshape(-1)[section]))
    if entry.dose is None and doses is not None:
        entry = replace(entry, dose=float(np.asarray(doses).reshape(-1)[section]))
    if entry.defocus_angstrom is None and defocus is not None:
        entry = replace(entry, defocus_angstrom=abs(defocus))
    lens = raw.metadata.get("lens_defocus_angstrom") or ()
    reading = base.lens_defocus_angstrom
    if reading is None and section < len(lens):
        reading = float(lens[section])
    times = raw.metadata.get("times") or ()
    time = base.time
    if time is None and section < len(times):
        time = datetime.fromisoformat(times[section])
    return replace(base, entry=entry, lens_defocus_angstrom=reading, focus=focus, time=time)


def look_files(paths: Sequence[Path], found: Found) -> None:
    """Single images, movies with the angle in the name, or one stack per defocus."""
    movies = [path for path in paths if path.suffix.lower() == ".eer"]
    if movies and len(movies) != len(paths):
        raise DataError("EER movies and other images are mixed", path=movies[0], remedy="Give one kind")
    angles = angles_from_names([name_parts(path.stem).rest for path in paths])
    stacked = not movies and len(paths) > 1 and all(_count(path) > 1 for path in paths)
    is_movie = bool(movies) or (stacked and angles is not None and len(set(angles.tolist())) > 1)
    for number, path in enumerate(paths):
        before = len(found.candidates)
        if is_movie:
            parts = name_parts(path.stem)
            defocus = None if parts.defocus_angstrom is None else abs(parts.defocus_angstrom)
            entry = ImageEntry(path, defocus_angstrom=defocus)
            movie_entry(path, found, Candidate(entry, focus=parts.focus))
        else:
            look_stack(path, found, focus=number if stacked else None)
        new = found.candidates[before:]
        if angles is not None and len(new) == 1 and new[0].entry.tilt_deg is None:
            entry = replace(new[0].entry, tilt_deg=float(angles[number]))
            found.candidates[before] = replace(new[0], entry=entry)
            found.note("tilt angles from the file names")
    if is_movie and not movies:
        found.ask(
            "frames", f"{len(paths)} files with several pages and an angle in the name: taken as movies"
        )
    if stacked and not is_movie:
        _check_stacks(paths, found)


def _count(path: Path) -> int:
    raw = open_images(path)
    return 1 if raw.images.ndim == 2 else int(raw.images.shape[0])


def _check_stacks(paths: Sequence[Path], found: Found) -> None:
    """One stack per defocus: the same number of images in each, and angles from the first that has them."""
    by_file = [[c for c in found.candidates if c.entry.file == path] for path in paths]
    for path, rows in zip(paths, by_file, strict=True):
        check_count(len(rows), len(by_file[0]), path, "images", paths[0].name)
    known = next((rows for rows in by_file if all(c.entry.tilt_deg is not None for c in rows)), None)
    if known is not None:
        angles = [c.entry.tilt_deg for c in known]
        filled = []
        for rows in by_file:
            for angle, item in zip(angles, rows, strict=True):
                entry = item.entry if item.entry.tilt_deg is not None else replace(item.entry, tilt_deg=angle)
                filled.append(replace(item, entry=entry))
        found.candidates = filled
