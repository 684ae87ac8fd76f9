"""Recognise a series in files and folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_beside import ALIGNMENTS, apply_given, set_angles
from napari_phaset3m.io.import_ctf import shared_optics
from napari_phaset3m.io.import_found import Found
from napari_phaset3m.io.import_sources import IMAGE_SUFFIXES, folder_files
from napari_phaset3m.io.import_stack import (
    from_mdoc,
    look_files,
    look_stack,
    movie_entry,
    movie_of,
    take_mdoc,
)
from napari_phaset3m.io.limits import MAX_SECTIONS, check_exists
from napari_phaset3m.io.mdoc import Mdoc, read_mdoc
from napari_phaset3m.io.mdoc_series import mdoc_series
from napari_phaset3m.io.sidecar import ANGLES, lacking_tilts, or_give
from napari_phaset3m.io.stack_axes import StackAxis

#: Reconstructions, which a folder may well hold beside its series.
_VOLUMES = (".rec", ".map")
_MDOC = (".mdoc", ".idoc")
_BESIDE = (*ANGLES, ".defocus", ".txt", ".xf", ".tltxf", ".aln", ".xtilt", ".com")


@dataclass
class Given:
    """Paths by kind."""

    images: list[Path] = field(default_factory=list)
    mdocs: list[Path] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)
    #: Of a folder, whose images and movies are not there.
    orphans: list[Path] = field(default_factory=list)
    #: Why mdocs of a folder cannot be read.
    damaged: list[DataError] = field(default_factory=list)


def sort_paths(paths: Sequence[Path]) -> Given:
    """Files by kind; folders are opened.

    Raises
    ------
    DataError
        A file is of no known kind, or a folder holds nothing to import.
    """
    given = Given()
    twice = next((path for path in paths if list(paths).count(path) > 1), None)
    if twice is not None:
        raise DataError("is given twice", path=twice, remedy="Give each file once")
    for path in paths:
        found = check_exists(path)
        if found.is_dir():
            _open_folder(found, given)
        elif found.suffix.lower() in _MDOC:
            given.mdocs.append(found)
        elif found.suffix.lower() in IMAGE_SUFFIXES:
            given.images.append(found)
        elif found.suffix.lower() in _BESIDE:
            given.beside.append(found)
        else:
            raise DataError("is of no kind that can be imported", path=path,
                            remedy=f"Known are .mdoc, {', '.join(IMAGE_SUFFIXES)}")  # fmt: skip
    if not given.images and not given.mdocs:
        raise _no_images(paths, given)
    if len(given.images) + len(given.mdocs) > MAX_SECTIONS:
        raise DataError(f"{len(given.images)} files are too many", path=paths[0])
    return given


def _no_images(paths: Sequence[Path], given: Given) -> DataError:
    if not given.beside:
        return DataError(
            "holds no images and no .mdoc",
            path=paths[0] if paths else None,
            remedy=f"Known are .mdoc, {', '.join(IMAGE_SUFFIXES)}",
        )
    first = given.beside[0]
    if first.suffix.lower() in ALIGNMENTS:
        return DataError(
            "is an alignment and holds no images", path=first,
            remedy="Give it to phaset3m align --import (in the window: step Align, Files), or name its stack "
            "as well to check that it fits",
        )  # fmt: skip
    return DataError("describes a stack and holds no images", path=first, remedy="Name the stack as well")


def _open_folder(folder: Path, given: Given) -> None:
    files = list(folder_files(folder, lambda p: p.suffix.lower() in (*_MDOC, *IMAGE_SUFFIXES)))
    mdocs = [p for p in files if p.suffix.lower() in _MDOC]
    images = [p for p in files if p not in mdocs and p.suffix.lower() not in _VOLUMES]
    usable, idle = list[Path](), list[Path]()
    for path in mdocs:
        try:
            (usable if _has_images(path) else idle).append(path)
        except DataError as error:
            given.damaged.append(or_give(error))
    if usable:
        given.mdocs += usable
    elif images:
        given.images += images
    elif idle:
        raise DataError(f"neither stack nor movies of {named(idle)} are in it", path=folder,
                        remedy="Put them there, or into a folder frames beside it")  # fmt: skip
    else:
        raise DataError("holds no images that can be imported", path=folder,
                        remedy=f"Known are .mdoc, {', '.join(IMAGE_SUFFIXES)}")  # fmt: skip
    given.orphans += [p for p in idle if not read_mdoc(p).is_montage]


def named(items: Sequence[Path | str]) -> str:
    """The first three names, and that there are more."""
    return ", ".join(Path(item).name for item in items[:3]) + (" …" if len(items) > 3 else "")


def _has_images(path: Path) -> bool:
    """Whether the stack or some movies of an mdoc are there."""
    mdoc = read_mdoc(path)
    if mdoc.is_montage or not mdoc.images:
        return False
    return stack_of(path, mdoc) is not None or any(movie_of(path, mdoc, image) for image in mdoc.images)


def stack_of(path: Path, mdoc: Mdoc) -> Path | None:
    """The stack an mdoc speaks of: its name without ``.mdoc``, or ``ImageFile`` beside it."""
    if mdoc.frame_set is not None:
        return None
    names = [path.with_suffix("").name, Path(mdoc.globals.get("ImageFile", "").replace("\\", "/")).name]
    names += [path.with_suffix(suffix).name for suffix in (".mrc", ".st", ".tif")]
    for name in names:
        if name and Path(name).suffix.lower() in IMAGE_SUFFIXES and path.with_name(name).is_file():
            return path.with_name(name)
    return None


def look_mdoc(path: Path, found: Found) -> None:
    """Images of an mdoc: its stack, else its movies.

    Raises
    ------
    DataError
        It is a montage, or neither stack nor any movie is there.
    """
    mdoc = read_mdoc(path)
    if mdoc.is_montage:
        raise DataError("is a montage, not a tilt series", path=path, remedy="Give the mdoc of a tilt series")
    if not mdoc.images:
        raise DataError("holds no images", path=path, remedy="Is it the mdoc of a tilt series?")
    stack = stack_of(path, mdoc)
    if stack is not None:
        look_stack(stack, found, path)
        return
    series = mdoc_series(mdoc)
    movies = [movie_of(path, mdoc, image) for image in series.images]
    missing = [
        image.movie or "?" for image, movie in zip(series.images, movies, strict=True) if movie is None
    ]
    if len(missing) == len(movies):
        wanted = path.with_suffix("").name
        raise DataError(f"neither {wanted} nor {len(missing)} of its {len(movies)} movies are there "
                        f"({missing[0]})", path=path, remedy="Put them beside it")  # fmt: skip
    take_mdoc(found, series, path)
    if series.is_axis_stated:
        found.axes.append(StackAxis(path, series.tilt_axis_angle_deg, path))
    lacking = lacking_tilts(series, path)
    if lacking is not None:
        found.refuse(or_give(lacking))
    if series.pixel_size_angstrom:
        found.pixel.append(series.pixel_size_angstrom)
    if missing:
        text = f"{len(missing)} of {len(movies)} are not there ({named(missing)}): imported without them"
        found.ask("movies", text)
    for number, movie in enumerate(movies):
        if movie is None:
            continue
        base = from_mdoc(series, number, movie, 0)
        movie_entry(movie, found, base, series.images[number].frame_range)


def gather(
    listed: Sequence[Path],
    tilt_deg: str | os.PathLike[str] | Sequence[float] | None,
    foci: tuple[int, str] | None,
) -> Found:
    """What is in files and folders, not arranged yet; see :func:`importing.look`."""
    given = sort_paths(listed)
    found = Found()
    for error in given.damaged:
        found.refuse(error)
    if given.orphans:
        found.ask("mdoc", f"neither stack nor movies of {named(given.orphans)}; other images are taken")
    for path in given.mdocs:
        look_mdoc(path, found)
    stacks = {entry.entry.file for entry in found.candidates}
    images = [path for path in given.images if path not in stacks]
    if images:
        look_files(images, found)
    apply_given(given.beside, found, foci)
    if tilt_deg is not None:
        set_angles(tilt_deg, found, foci)
        found.offset = None  # they stand in place of the files'
    shared_optics(found)
    return found
