"""Where images come from, in a `series.toml` whose images were made from others.

On top ``raw_files`` (name and number of sections of each), ``raw_image_shape`` (ny, nx) and
``raw_pixel_ratio``; for each image ``raw_file`` (index into them), ``raw_section`` and
``raw_transform``: see :class:`.Sections`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_phaset3m.core.sections import Sections
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.raw import as_number

TOP_KEYS = {"raw_files", "raw_image_shape", "raw_pixel_ratio"}
IMAGE_KEYS = {"raw_file", "raw_section", "raw_transform"}


def top_lines(sections: Sections) -> Iterator[str]:
    """Lines that hold for all images."""
    files = [list(pair) for pair in zip(sections.files, sections.n_sections, strict=True)]
    yield f"raw_files = {json.dumps(files, ensure_ascii=False)}"
    yield f"raw_image_shape = {list(sections.image_shape)}"
    yield f"raw_pixel_ratio = {float(sections.pixel_ratio)!r}"


def image_lines(sections: Sections, place: tuple[int, int]) -> Iterator[str]:
    """Lines of one image, by (tilt, focus)."""
    yield f"raw_file = {sections.file[place]}\nraw_section = {sections.section[place]}"
    yield f"raw_transform = {sections.to_file[place].tolist()}"


def stated_sections(
    table: Mapping[str, Any], rows: Sequence[Sequence[Mapping[str, Any]]], base: Path
) -> Sections | None:
    """What the description says; None where it says nothing, and its own files are the raw ones.

    Raises
    ------
    DataError
        A key is missing or cannot be.
    """
    if not TOP_KEYS & set(table) and not any(IMAGE_KEYS & set(entry) for row in rows for entry in row):
        return None
    absent = [key for key in sorted(TOP_KEYS) if key not in table]
    absent += [key for key in sorted(IMAGE_KEYS) if any(key not in entry for row in rows for entry in row)]
    if absent:
        raise DataError(
            "is not given, or not for all images", path=base, field=absent[0],
            remedy="Give all keys that begin with raw_, for all images, or none",
        )  # fmt: skip
    columns = {key: [[entry[key] for entry in row] for row in rows] for key in IMAGE_KEYS}
    try:
        return Sections(
            files=tuple(str(name) for name, _ in table["raw_files"]),
            n_sections=tuple(int(count) for _, count in table["raw_files"]),
            image_shape=tuple(int(n) for n in table["raw_image_shape"]),  # type: ignore[arg-type]
            file=columns["raw_file"],  # type: ignore[arg-type]
            section=columns["raw_section"],  # type: ignore[arg-type]
            to_file=columns["raw_transform"],  # type: ignore[arg-type]
            pixel_ratio=as_number(table["raw_pixel_ratio"], base, "raw_pixel_ratio"),
        )
    except DataError as error:
        if error.path is not None:
            raise
        names = {"file": "raw_file", "section": "raw_section", "to_file": "raw_transform"}
        field = names.get(error.field or "", "raw_files")
        raise DataError(error.problem, path=base, field=field) from None
    except (TypeError, ValueError, OverflowError):
        raise DataError("must be [[name, sections], ...], and [ny, nx]", path=base,
                        field="raw_files, raw_image_shape") from None  # fmt: skip
