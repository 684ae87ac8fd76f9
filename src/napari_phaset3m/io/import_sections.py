"""Which section of which file each image of a series is: made where images are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_plan import ImportPlan


def entry_sections(
    rows: Sequence[Sequence[ImageEntry]],
    image_shape: tuple[int, int],
    count: Callable[[ImageEntry], int],
) -> Sections | None:
    """Sections of images as they are in the files.

    Parameters
    ----------
    rows : sequence of sequence of ImageEntry
        The images of each tilt.
    image_shape : (int, int)
        (ny, nx) of the files' images.
    count : callable
        Sections in the file of an entry.

    Returns
    -------
    Sections or None
        None for movies of several tilts, whose images are no sections.
    """
    entries = [entry for row in rows for entry in row]
    if any(entry.frame_range is not None and entry.frames == entry.file for entry in entries):
        return None
    counts: dict[Path, int] = {}
    for entry in entries:
        if entry.file not in counts:
            counts[entry.file] = count(entry)
    files = list(counts)
    shape = (len(rows), len(rows[0]))
    return Sections(
        files=tuple(os.path.abspath(file) for file in files),
        n_sections=tuple(counts.values()),
        image_shape=image_shape,
        file=np.reshape([files.index(entry.file) for entry in entries], shape),
        section=np.reshape([entry.section for entry in entries], shape),
        to_file=np.eye(2, 3),
    )


def planned_sections(plan: ImportPlan, rows: Sequence[Sequence[ImageEntry]]) -> Sections | None:
    """Where a plan says that its files' images come from, for rows as they are now; None: they are raw."""
    numbers = [entry.raw for row in rows for entry in row if entry.raw is not None]
    shape, stated = (len(rows), len(rows[0])), plan.sections
    if stated is None or len(numbers) < shape[0] * shape[1]:
        return None
    return replace(
        stated,
        file=stated.file.reshape(-1)[numbers].reshape(shape),
        section=stated.section.reshape(-1)[numbers].reshape(shape),
        to_file=stated.to_file.reshape(-1, 2, 3)[numbers].reshape(*shape, 2, 3),
    )


def stack_sections(
    files: Sequence[Path], images_shape: Sequence[int], divide: Callable[[np.ndarray], np.ndarray]
) -> Sections:
    """Sections of whole stacks `(n, ny, nx)`, one or one per focus, as they are.

    Parameters
    ----------
    files : sequence of Path
        One, or one for each focus.
    images_shape : sequence of int
        Of the images as read: `(n, ny, nx)`, or `(n, n_focus, ny, nx)` of several stacks.
    divide : callable
        Makes `(n_tilt, n_focus)` of the numbers of sections as images are divided.
    """
    n = int(images_shape[0]) if len(images_shape) > 2 else 1
    if len(images_shape) == 4:
        section = np.repeat(np.arange(n)[:, None], images_shape[1], axis=1)
        file = np.broadcast_to(np.arange(images_shape[1]), section.shape)
    else:
        section = divide(np.arange(n))
        file = np.zeros_like(section)
    return Sections(
        files=tuple(os.path.abspath(file) for file in files),
        n_sections=(n,) * len(files),
        image_shape=(int(images_shape[-2]), int(images_shape[-1])),
        file=file,
        section=section,
        to_file=np.eye(2, 3),
    )
