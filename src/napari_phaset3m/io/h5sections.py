"""Where images come from, in a `.h5` series: group `sections`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.h5safe import read_array, read_text
from napari_phaset3m.io.limits import MAX_SECTIONS
from napari_phaset3m.io.raw import as_number

GROUP = "sections"
_ARRAYS = ("n_sections", "image_shape", "file", "section", "to_file", "pixel_ratio")


def write_sections(sections: Sections, file: Any) -> None:
    """Write the group into an open file."""
    group = file.create_group(GROUP)
    group.create_dataset("files", data=json.dumps(sections.files))  # an attribute holds 64 kB at most
    for name in _ARRAYS:
        group.create_dataset(name, data=getattr(sections, name))


def read_sections(file: Any, path: Path) -> Sections | None:
    """What the group says; None where there is none.

    Raises
    ------
    DataError
        It is damaged.
    """
    import h5py

    link = file.get(GROUP, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.ExternalLink) or not isinstance(file[GROUP], h5py.Group):
        raise DataError("must be a group", path=path, field=GROUP)
    found: dict[str, np.ndarray] = {}
    for name in _ARRAYS:
        values = read_array(file[GROUP], name, path, max_size=MAX_SECTIONS)
        if values is None:
            raise DataError("is not in the file", path=path, field=f"{GROUP}/{name}")
        found[name] = values
    try:
        return Sections(
            files=_names(file[GROUP], path),
            n_sections=tuple(int(n) for n in found["n_sections"].reshape(-1)),
            image_shape=tuple(int(n) for n in found["image_shape"].reshape(-1)),  # type: ignore[arg-type]
            file=found["file"],
            section=found["section"],
            to_file=found["to_file"],
            pixel_ratio=as_number(found["pixel_ratio"], path, f"{GROUP}/pixel_ratio"),
        )
    except DataError as error:
        field = error.field if error.path else f"{GROUP}/{error.field}"
        raise DataError(error.problem, path=path, field=field, remedy=error.remedy) from None


def _names(group: Any, path: Path) -> tuple[str, ...]:
    try:
        names = json.loads(read_text(group, "files", path) or "")
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError("must be a JSON list of file names", path=path, field=f"{GROUP}/files")
    return tuple(names)
