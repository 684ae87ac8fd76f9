"""Alignment files of a series that was made of several stacks: one for each of them, named after it.

IMOD and AreTomo align one stack, and newstack wants one .xf for each, in the order of its sections. A series
of f0.mrc and f1.mrc has y_f0.xf and y_f1.xf, each as of a series of that stack alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.model import Alignment

#: Tilts of the foci of one tilt that differ by more, in files of their own, are told, degrees.
_TOLD_APART_DEG = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class StackPart:
    """What of a series comes from one stack.

    Attributes
    ----------
    series : TiltFocalSeries
        `(n, 1)` images, with their sections in that stack alone. The pixels are not those of these images:
        alignment files need their shape only, and gathering them would copy the series.
    chosen : ndarray
        `(n_tilt, n_focus)` bool: the ``n`` images, in their order.
    """

    series: TiltFocalSeries
    chosen: np.ndarray

    def of(self, alignment: Alignment) -> Alignment:
        """The alignment of these images: `(n, 1)`."""
        return Alignment(
            shifts_px=alignment.shifts_px[self.chosen][:, None],
            rotation_deg=alignment.rotation_deg[self.chosen][:, None],
            magnification=alignment.magnification[self.chosen][:, None],
            tilt_deg=alignment.tilt_deg[np.nonzero(self.chosen)[0]],
            used=alignment.used[self.chosen][:, None],
        )


def several_stacks(series: TiltFocalSeries) -> bool:
    """Whether the images come from several stacks; files of one image each are none."""
    sections = series.sections
    return sections is not None and len(sections.files) > 1 and max(sections.n_sections) > 1


def stack_parts(series: TiltFocalSeries) -> list[StackPart]:
    """The series divided by the stacks that its images come from, in the order of :func:`stack_files`."""
    assert series.sections is not None
    return [_part(series, series.sections, number) for number in _numbers(series.sections)]


def _numbers(sections: Sections) -> list[int]:
    """Of the files that an image comes from."""
    return [int(number) for number in np.unique(sections.file)]


def _part(series: TiltFocalSeries, sections: Sections, number: int) -> StackPart:
    assert series.used is not None and series.shifts_px is not None
    chosen = sections.file == number
    count = np.count_nonzero(chosen)
    own = Sections(
        files=(sections.files[number],),
        n_sections=(sections.n_sections[number],),
        image_shape=sections.image_shape,
        file=np.zeros((count, 1), np.int64),
        section=sections.section[chosen][:, None],
        to_file=sections.to_file[chosen][:, None],
        pixel_ratio=sections.pixel_ratio,
    )
    part = series.replace(
        images=series.images.reshape(-1, 1, *series.image_shape)[:count],
        tilt_deg=series.tilt_deg[np.nonzero(chosen)[0]],
        shifts_px=series.shifts_px[chosen][:, None],
        used=series.used[chosen][:, None],
        defocus_angstrom=None,
        dose_per_image=None,
        sections=own,
    )
    return StackPart(part, chosen)


def stack_files(path: str | Path, series: TiltFocalSeries) -> tuple[Path, ...]:
    """The names that an alignment of this name has for each stack: y.xf gives y_f0.xf and y_f1.xf."""
    path = Path(path)
    return tuple(path.with_name(f"{path.stem}_{label}{path.suffix}") for label in _labels(series))


def stacks_note(path: str | Path, series: TiltFocalSeries) -> str:
    """What to tell where one file is written for each stack."""
    assert series.sections is not None
    names = [PurePath(series.sections.files[number]).name for number in _numbers(series.sections)]
    pairs = zip(stack_files(path, series), names, strict=True)
    told = ", ".join(f"{file.name} of {name}" for file, name in pairs)
    return f"{Path(path).name}: images come from {len(names)} stacks, and each has a file of its own: {told}"


def _names_of(series: TiltFocalSeries) -> list[list[str]]:
    """What files of the stacks may be called: after their labels, NAME_st (IMOD's of AreTomo), NAME.mrc."""
    assert series.sections is not None
    labels = _labels(series)
    whole = [PurePath(series.sections.files[number]).name for number in _numbers(series.sections)]
    return [labels, [f"{label}_st" for label in labels], *([whole] if len(set(whole)) == len(whole) else [])]


def _labels(series: TiltFocalSeries) -> list[str]:
    """What to call the stacks in names: their own without its end, with the folder's where two are alike."""
    assert series.sections is not None
    files = [PurePath(series.sections.files[number]) for number in _numbers(series.sections)]
    labels = [file.stem for file in files]
    if len(set(labels)) < len(labels):
        labels = [f"{file.parent.name}_{file.stem}" for file in files]
    alike = Counter(labels)
    return [f"{label}_{n + 1}" if alike[label] > 1 else label for n, label in enumerate(labels)]


def stacks_beside(path: Path, series: TiltFocalSeries) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The files of all stacks that go with one of this name, and what to tell.

    Parameters
    ----------
    path : Path
        Named after one of the stacks, or the name that files of all stacks were written under.
    series : TiltFocalSeries

    Returns
    -------
    files : tuple of Path
        One for each of :func:`stack_parts`; empty where the file is to be read by itself.
    notes : tuple of str

    Raises
    ------
    DataError
        It is of some stacks only, and cannot serve the others.
    """
    if not several_stacks(series):
        return (), ()
    names = _sets(path, series)
    for files in names:
        if all(file.is_file() for file in files):
            others = ", ".join(file.name for file in files if file != path)
            return files, (f"read with the files of its {len(files)} stacks: {others}",)
    for files in names:
        absent = ", ".join(file.name for file in files if not file.is_file())
        if path in files and path.is_file():
            return (), (_taken_for_all(path, absent, series),)
        if any(file.is_file() for file in files):
            raise DataError(
                f"there is none of this name, and of {len(files)} stacks {absent} is missing",
                path=path,
                remedy="Give one file for each stack that the images come from",
            )
    return (), ()


def _taken_for_all(path: Path, absent: str, series: TiltFocalSeries) -> str:
    """What to tell of a file of one stack that serves all, as the foci of a tilt have the same section."""
    assert series.sections is not None
    if series.sections.of_tilts is None:
        raise DataError(
            f"is named after one stack, {absent} is not beside it, and the stacks differ in their sections",
            path=path,
            remedy="Give one for each stack, or another name to rows in the order of the series",
        )
    return f"is named after one stack, and {absent} is not beside it: it is taken for all"


def _sets(path: Path, series: TiltFocalSeries) -> list[tuple[Path, ...]]:
    """Names of files of all stacks that this name may be of; longer names of stacks first."""
    found = []
    named = [(label, labels) for labels in _names_of(series) for label in labels]
    for label, labels in sorted(named, key=lambda pair: len(pair[0]), reverse=True):
        before = path.stem.removesuffix(label)
        if path.stem.endswith(label) and (not before or before[-1] in "_-. "):
            found.append(tuple(path.with_name(f"{before}{each}{path.suffix}") for each in labels))
    return found if path.exists() else [*found, stack_files(path, series)]


def together(
    found: list[Alignment], parts: list[StackPart], series: TiltFocalSeries
) -> tuple[Alignment, tuple[str, ...]]:
    """One alignment of those of all stacks, and what to tell.

    Foci of a tilt have one angle: the mean of what the files tell of its used images.

    Parameters
    ----------
    found : list of Alignment
        `(n, 1)`, one for each of the ``parts``.
    parts : list of StackPart
    series : TiltFocalSeries
        That they are parts of.
    """
    start = Alignment.of(series)
    shape = (series.n_tilt, series.n_focus)
    shifts, used = np.zeros((*shape, 2)), np.zeros(shape, np.bool_)
    rotation, magnification, tilts = np.zeros(shape), np.ones(shape), np.zeros(shape)
    for alignment, part in zip(found, parts, strict=True):
        shifts[part.chosen], used[part.chosen] = alignment.shifts_px[:, 0], alignment.used[:, 0]
        rotation[part.chosen] = alignment.rotation_deg[:, 0]
        magnification[part.chosen] = alignment.magnification[:, 0]
        tilts[part.chosen] = alignment.tilt_deg
    told = used | ~used.any(axis=1, keepdims=True)
    mean = (tilts * told).sum(axis=1) / told.sum(axis=1)
    apart = float((np.abs(tilts - mean[:, None]) * told).max())
    notes = (f"files of the stacks tell tilts up to {apart:.2f}° from their mean, which was taken",)
    joined = start.replace(
        shifts_px=shifts, rotation_deg=rotation, magnification=magnification, used=used, tilt_deg=mean
    )
    return joined, notes if apart > _TOLD_APART_DEG else ()
