"""Motion correction as a step: the images of a series from their movies, and one movie from a file."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.import_movies import movie_settings
from napari_phaset3m.io.movies import MovieConfig
from napari_phaset3m.prepare.dose import DoseConfig, accumulated_dose
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress
from napari_phaset3m.prepare.history import history, recorded
from napari_phaset3m.prepare.images import each_image
from napari_phaset3m.prepare.imported import as_imported, bin_of
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.correct import iterate_motion
from napari_phaset3m.prepare.motion.result import MotionResult

#: Metadata of a series whose images come from movies (io/import_movies.py): for each tilt a list with, for
#: each focus, a path, a mapping with ``path`` and optionally ``frame_range`` (first, last), or None.
MOVIES_KEY = "movies"
GAIN_KEY = "gain"
#: Steps after which an image no longer is where the movie has it.
_MOVING = ("bin", "crop", "pad")


def movies_of(series: TiltFocalSeries) -> list[list[dict[str, Any] | None]]:
    """`(n_tilt, n_focus)` movies that the series names.

    Raises
    ------
    DataError
        It names none, or not one for each image.
    """
    found = series.metadata.get(MOVIES_KEY)
    if not found:
        raise DataError(
            "the series names no movies for its images",
            field="motion",
            remedy="Import it from its .mdoc and frames, or correct one movie: prepare MOVIE -o IMAGE.mrc",
        )
    rows = [list(row) if isinstance(row, list | tuple) else [row] for row in found]
    if len(rows) != series.n_tilt or any(len(row) != series.n_focus for row in rows):
        raise DataError(
            f"names {sum(map(len, rows))} movies for {series.n_tilt} tilts x {series.n_focus} foci",
            field=MOVIES_KEY,
        )
    return [[_entry(item) for item in row] for row in rows]


def _entry(item: Any) -> dict[str, Any] | None:
    if item is None:
        return None
    return dict(item) if isinstance(item, Mapping) else {"path": str(item)}


def correct_file(
    path: str | Path,
    config: MotionConfig,
    *,
    frame_range: tuple[int, int] | None = None,
    defaults: Mapping[str, Any] | None = None,
    finish: Finish | None = None,
) -> Iterator[Progress | MotionResult]:
    """Correct a movie in a file (MRC, TIFF, EER).

    Parameters
    ----------
    path : path-like
    config : MotionConfig
    frame_range : tuple of int, optional
        First and last frame of it.
    defaults : mapping, optional
        ``pixel_size_angstrom`` of the stored frames, in place of what the file says; ``energy_ev``;
        ``gain`` where the config has none; ``movies`` (MovieConfig) where the config says auto;
        ``dose`` of the movie, e/Å², by which EER frames are grouped.
    finish : Finish, optional

    Raises
    ------
    DataError
        It cannot be read, or is too short or too small.
    ConfigError
        The config says how a gain reference or EER is read, and there is none.
    """
    from napari_phaset3m.io.movies import open_movie

    given = dict(defaults or {})
    gain = config.gain or given.get("gain")
    _check_effect(path, config, has_gain=gain is not None)
    pixel = given.get("pixel_size_angstrom")
    movie = open_movie(
        path,
        gain,
        config=config.movies(given.get("movies")),
        dose=given.get("dose"),
        pixel_size_angstrom=pixel,
        frame_range=frame_range,
    )
    events = iterate_motion(
        movie,
        config.model_copy(update={"gain": None}),  # the movie applies it
        pixel_size_angstrom=movie.pixel_size_angstrom,
        energy_ev=float(given.get("energy_ev") or 300e3),
        finish=finish,
    )
    try:
        for event in events:
            if isinstance(event, MotionResult):
                event = replace(event, notes=(*movie.notes, *event.notes))
            yield event
    except DataError as error:
        if error.path is not None:
            raise
        raise DataError(error.problem, path=path, field=error.field, remedy=error.remedy) from None


def _check_effect(path: str | Path, config: MotionConfig, *, has_gain: bool) -> None:
    """Refuse what would be passed over: turns of no gain reference, EER settings for other files.

    What is said of them but is as without it is taken.
    """
    idle = {name: ("auto", value) for name, value in MovieConfig().model_dump().items()}
    for name in ("gain_rotate", "gain_flip", "gain_mode"):
        if getattr(config, name) not in idle[name] and not has_gain:
            raise ConfigError(
                f"motion.{name}: speaks of a gain reference, and none is given. Name it with motion.gain, "
                "or leave this out"
            )
    for name in ("eer_upsampling", "eer_group"):
        if getattr(config, name) not in idle[name] and not _is_eer(str(path)):
            raise ConfigError(f"motion.{name}: {Path(path).name} is no EER file. Leave it out")


def run(series: TiltFocalSeries, config: MotionConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Replace each image that has a movie by the movie's corrected sum, at the same mean intensity.

    Dose weighting counts, besides the config's ``dose_before``, what the specimen had before each image.
    """
    movies = movies_of(series)
    if config.dose_per_frame is not None:
        before, source = dose_before(series)
    else:
        before, source = np.zeros((series.n_tilt, series.n_focus)), ""
    images = np.array(series.images)
    results: dict[tuple[int, int], dict[str, Any]] = {}
    places = [place for place in each_image(series) if movies[place[0]][place[1]] is not None]
    for number, (tilt, focus) in enumerate(places):
        entry = movies[tilt][focus]
        assert entry is not None
        text = f"Movie {number + 1} of {len(places)}"
        own = config.model_copy(update={"dose_before": config.dose_before + float(before[tilt, focus])})
        result = yield from _one(
            series, (tilt, focus), entry, own, (text, number / len(places), 1 / len(places))
        )
        images[tilt, focus] = _in_series(series, result.image, tilt, focus, entry["path"])
        # Only the figures are kept: images of every movie would be another series.
        results[tilt, focus] = result.as_dict()
        if finish is not None and finish.finish_requested():
            break
    told = _told(results, len(places))
    if source:
        told["dose_before_from"] = source
    yield Done(recorded(series.replace(images=images), "motion", config, told), results)


def dose_before(series: TiltFocalSeries) -> tuple[np.ndarray, str]:
    """`(n_tilt, n_focus)`, e/Å²: what the specimen had before each image, as far as the series states it.

    Returns
    -------
    dose : ndarray
        Zeros where nothing is stated.
    source : str
        Where it comes from, for the history.
    """
    shape = (series.n_tilt, series.n_focus)
    prior = series.metadata.get("prior_dose")
    if prior is not None and np.shape(prior) == shape:
        return np.asarray(prior, np.float64), "the series' dose before each image"
    if series.dose_per_image is not None and series.metadata.get("exposure_order") is not None:
        middle = accumulated_dose(series, DoseConfig())
        return middle - series.dose_per_image / 2, "the series' doses and order of exposure"
    return np.zeros(shape), "dose_before alone, alike for all images: the series states no order of exposure"


def _one(
    series: TiltFocalSeries,
    place: tuple[int, int],
    entry: Mapping[str, Any],
    config: MotionConfig,
    part: tuple[str, float, float],
) -> Generator[Progress, None, MotionResult]:
    text, start, share = part
    frames = entry.get("frame_range")
    kept = movie_settings(series.metadata)
    # The sum must come out in the pixels of the series, so that those of the detector are larger.
    upsampling = config.movies(kept).eer_upsampling if _is_eer(entry["path"]) else 1
    defaults = {
        "pixel_size_angstrom": series.pixel_size_angstrom / bin_of(series) * upsampling,
        "energy_ev": series.energy_ev,
        "gain": series.metadata.get(GAIN_KEY),
        "movies": kept,
        "dose": None if series.dose_per_image is None else float(series.dose_per_image[place]) or None,
    }
    events = correct_file(
        entry["path"], config, frame_range=None if frames is None else tuple(frames), defaults=defaults
    )
    for event in events:
        if isinstance(event, MotionResult):
            return event
        yield Progress(f"{text}: {event.text}", start + share * event.fraction, event.detail)
    raise AssertionError("motion correction ended without a result")


def _is_eer(path: str) -> bool:
    return str(path).lower().endswith(".eer")


def _in_series(series: TiltFocalSeries, image: np.ndarray, tilt: int, focus: int, path: str) -> np.ndarray:
    """The sum as an image of the series: made smaller and turned as at import, and of the same mean."""
    image = as_imported(series, image)
    moved = [item["step"] for item in history(series) if item["step"] in _MOVING]
    if image.shape != series.image_shape or moved:
        ny, nx = series.image_shape
        raise DataError(
            f"gives images of {image.shape[0]} x {image.shape[1]} pixels, the series has {ny} x {nx}"
            + (f" after {', '.join(moved)}" if moved else ""),
            path=path,
            field="motion",
            remedy="Correct motion first, before other steps bin, crop or pad"
            + (", with the EER upsampling of the import" if _is_eer(path) else ""),
        )
    mean = float(image.mean(dtype=np.float64))
    before = float(series.images[tilt, focus].mean(dtype=np.float64))
    if mean <= 0:
        problem = f"the movie's mean is {mean:.4g} (tilt {tilt}, focus {focus})"
        raise DataError(problem, path=path, field="motion")
    return np.asarray(image * REAL(before / mean), REAL)


def _told(results: Mapping[Any, Mapping[str, Any]], wanted: int) -> dict[str, Any]:
    told = list(results.values())
    return {
        "movies": wanted,
        "movies_corrected": len(told),
        "drift_total_px_mean": float(np.mean([item["drift_total_px"] for item in told])),
        "drift_total_px_most": float(np.max([item["drift_total_px"] for item in told])),
        "local_drift_px_mean": float(np.mean([item["local_drift_px"] for item in told])),
        "frames_left_out": sum(len(item["frames_left_out"]) for item in told),
        "movies_without_drift": sum(not item["drift_found"] for item in told),
        "notes": sorted({note for item in told for note in item.get("notes", ())}),
    }


MOTION = StepEntry(
    "motion",
    "Motion correction",
    "Align the frames of each image's movie, whole and in patches, and sum them. First step: the movies are "
    "as the camera wrote them.",
    MotionConfig,
    run,
    None,
)
