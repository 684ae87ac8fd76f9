"""Which movie each image of a series was made from, and how movies are read; kept for motion correction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.import_config import at_scale
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.import_shrink import shrunk_fields
from napari_phaset3m.io.movies import MovieConfig, open_movie

#: Of the metadata: how the movies of the series are read (fields of MovieConfig).
SETTINGS_KEY = "movie_settings"
#: Keys of a series.toml.
MOVIE_KEYS = tuple(MovieConfig.model_fields)


def movie_metadata(plan: ImportPlan) -> dict[str, Any]:
    """``movies`` `(n_tilt, n_focus)`: ``path`` and ``frame_range`` of each, or None; ``gain``; settings.

    Empty where no image has a movie.
    """
    if not plan.has_movies:
        return {}
    rows: list[list[dict[str, Any] | None]] = [[None] * plan.n_focus for _ in range(plan.n_tilt)]
    for entry in plan.images:
        if entry.frames is not None and not entry.is_filler:
            frames = None if entry.frame_range is None else list(entry.frame_range)
            rows[entry.tilt_index][entry.focus_index] = {"path": str(entry.frames), "frame_range": frames}
    found: dict[str, Any] = {"movies": rows, SETTINGS_KEY: plan.movies.model_dump(mode="json")}
    if plan.gain is not None:
        found["gain"] = str(plan.gain)
    return found


def movie_settings(metadata: Mapping[str, Any]) -> MovieConfig:
    """How the movies of a series are read, from its metadata; the defaults where it has nothing.

    Raises
    ------
    DataError
        What it has cannot be.
    """
    given = metadata.get(SETTINGS_KEY)
    if given is None:
        return MovieConfig()
    if not isinstance(given, Mapping):
        raise DataError("must be a table", field=SETTINGS_KEY)
    try:
        return MovieConfig.parse(**{str(key): value for key, value in given.items()})
    except ConfigError as error:
        raise DataError(str(error), field=SETTINGS_KEY) from None


def with_movies(plan: ImportPlan, movies: MovieConfig) -> ImportPlan:
    """The plan with movies read in another way.

    Size, pixel, shifts, MTF and crop follow the upsampling of EER.
    """
    old, new = plan.movies.eer_upsampling, movies.eer_upsampling
    plan = replace(plan, movies=movies)
    if old == new or not any(is_eer_sum(entry) for entry in plan.images):
        return plan
    ny, nx = (n * new // old for n in plan.image_shape)
    pixel = plan.pixel_size_angstrom
    stated, places = {"mtf": plan.fields.get("mtf")}, (plan.n_tilt, plan.n_focus)
    finer = shrunk_fields(stated, places, np.zeros(2), old / new)
    images = tuple(
        entry
        if entry.shift_px is None
        else replace(entry, shift_px=(entry.shift_px[0] * new / old, entry.shift_px[1] * new / old))
        for entry in plan.images
    )
    return replace(
        plan,
        image_shape=(ny, nx),
        pixel_size_angstrom=None if pixel is None else pixel * old / new,
        images=images,
        fields={**plan.fields, **{name: value.tolist() for name, value in finer.items()}},
        config=at_scale(plan.config, new / old),
    )


def is_eer_sum(entry: ImageEntry) -> bool:
    """Whether an image is the sum of an EER movie."""
    return entry.frames == entry.file and entry.file.suffix.lower() == ".eer"


def file_of(entry: ImageEntry, movies: MovieConfig) -> tuple[tuple[int, int], np.dtype[Any], dict[str, Any]]:
    """(ny, nx), type and fields of the file that holds an image; a movie counts as the sum of its frames.

    Raises
    ------
    DataError
        It is damaged, or no image file.
    """
    from napari_phaset3m.io.import_sources import open_images

    if entry.frames == entry.file:
        movie = open_movie(entry.file, config=movies, frame_range=entry.frame_range)
        pixel = movie.pixel_size_angstrom
        return movie.image_shape, movie.dtype, {} if pixel is None else {"pixel_size_angstrom": pixel}
    source = open_images(entry.file)
    ny, nx = source.images.shape[-2:]
    return (int(ny), int(nx)), np.dtype(source.images.dtype), source.fields


def movies_of_table(table: Mapping[str, Any], base: Path) -> MovieConfig:
    """How a series.toml says that movies are read.

    Raises
    ------
    DataError
        A value cannot be.
    """
    try:
        return MovieConfig.parse(**{key: table[key] for key in MOVIE_KEYS if key in table})
    except ConfigError as error:
        raise DataError(str(error), path=base) from None


def movie_lines(movies: MovieConfig) -> Iterator[str]:
    """Lines of a series.toml: what is not the default."""
    for key, value in movies.model_dump().items():
        if value != getattr(MovieConfig(), key):
            yield f"{key} = {json.dumps(value)}"
