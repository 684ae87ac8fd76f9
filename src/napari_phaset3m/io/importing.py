"""From what the microscope saved to a series: look, mend, load, write.

``plan = look(paths)`` recognises; ``plan.edited(...)`` mends cells; ``load(plan, bin=4)`` gives the series;
``write(plan, "x.toml")`` keeps every cell in ``x.toml`` and the loaded series in ``x.h5``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError, OutputError
from napari_phaset3m.io.import_cells import CELLS
from napari_phaset3m.io.import_config import Crop, ImportConfig
from napari_phaset3m.io.import_entry import ImageEntry, Question
from napari_phaset3m.io.import_found import finish
from napari_phaset3m.io.import_given import with_given
from napari_phaset3m.io.import_load import Loaded, LoadProgress, Mend, iterate_load
from napari_phaset3m.io.import_load import forecast_bytes as _forecast
from napari_phaset3m.io.import_movies import with_movies
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.limits import check_exists
from napari_phaset3m.io.movies import MovieConfig

PathLike = str | os.PathLike[str]
OnProgress = Callable[[str, float], None]

__all__ = [
    "CELLS",
    "ImageEntry",
    "ImportConfig",
    "ImportPlan",
    "LoadProgress",
    "Loaded",
    "Question",
    "forecast_bytes",
    "iterate_load",
    "load",
    "look",
    "write",
]


def look(
    paths: PathLike | Sequence[PathLike],
    *,
    tolerance_deg: float = 0.3,
    gain: PathLike | None = None,
    movies: MovieConfig | None = None,
    tilt_deg: PathLike | Sequence[float] | None = None,
    n_focus: int | None = None,
    focus_order: str = "tilt-major",
    ask: bool = False,
) -> ImportPlan:
    """Recognise a series in files and folders; only headers and text are read.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        Stacks (what lies beside them is read), ``.mdoc`` files (of a stack, of movies, or one for each
        movie), single images, one stack per defocus, movies, a ``series.toml``, folders of these, and
        with one stack ``.tlt``, ``.rawtlt``, ``.defocus``, CTFFIND's text, ``tilt.com``.
    tolerance_deg : float
        Angles closer than this are foci of one tilt.
    gain : path-like, optional
        Gain reference of movies.
    movies : MovieConfig, optional
        How movies and their gain reference are read.
    tilt_deg : path-like or sequence of float, optional
        Angles in place of the files', one for each image in the order of files and sections; with
        ``n_focus`` one for each tilt will do.
    n_focus : int, optional
        How many foci each tilt has, where files do not tell: the plan is divided so.
    focus_order : {"tilt-major", "focus-major"}
        All foci of a tilt follow each other, or all tilts of a focus.
    ask : bool
        Ask about a ``.tlt``, ``.rawtlt`` or ``.mdoc`` beside a stack that is damaged or of another number of
        images (a question of the plan) in place of refusing it.

    Returns
    -------
    ImportPlan
        With ``questions`` about whatever was assumed.

    Raises
    ------
    DataError
        Nothing is recognised, files disagree in size or number, or one is damaged. What lies beside a stack
        and does not fit is refused only where no angles are given.
    ConfigError
        A gain, or how movies are read, is given for files that are no such movies.
    """
    from napari_phaset3m.io.import_angles import with_angles
    from napari_phaset3m.io.import_beside import check_alignments
    from napari_phaset3m.io.import_look import gather
    from napari_phaset3m.io.toml_plan import read_plan

    listed = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    if not listed:
        raise DataError("no file was given")
    if not 0 <= tolerance_deg <= 10:
        raise ConfigError(f"tolerance_deg: is {tolerance_deg:g}. Give 0 to 10 degrees")
    foci = None if n_focus is None else (n_focus, focus_order)
    if len(listed) == 1 and listed[0].suffix.lower() == ".toml":
        plan = read_plan(listed[0])
        plan = plan if tilt_deg is None else with_angles(plan, tilt_deg, tolerance_deg, foci)
        plan = plan if n_focus is None else plan.divided(n_focus, focus_order)
        return _read_as(plan, gain, movies)
    found = gather(listed, tilt_deg, foci)
    if found.refused and not ask:
        raise found.refused[0]
    plan = finish(found, tolerance_deg)
    plan = plan if n_focus is None else plan.divided(n_focus, focus_order)
    check_alignments(plan, found)
    return _read_as(replace(plan, notes=tuple(found.notes)), gain, movies)


def _read_as(plan: ImportPlan, gain: PathLike | None, movies: MovieConfig | None) -> ImportPlan:
    plan = plan if gain is None else _with_gain(plan, gain)
    return plan if movies is None else _with_settings(plan, movies)


def _with_settings(plan: ImportPlan, movies: MovieConfig) -> ImportPlan:
    """The plan with the settings that were given, in place of its own; the others stay.

    What would do nothing is refused, unless it is as without it: a recipe may spell out all settings.
    """
    has_eer = any(entry.frames is not None and entry.frames.suffix.lower() == ".eer" for entry in plan.images)
    given = {name: getattr(movies, name) for name in movies.model_fields_set}
    for name, value in given.items():
        if value == getattr(plan.movies, name):
            continue
        if not plan.has_movies:
            raise ConfigError(
                f"{name}: the files are no movies, and this says how movies are read. Leave it out"
            )
        if name.startswith("eer_") and not has_eer:
            raise ConfigError(f"{name}: no movie is an EER file, and this says how EER is read. Leave it out")
    return with_movies(plan, plan.movies.model_copy(update=given))


def _with_gain(plan: ImportPlan, gain: PathLike) -> ImportPlan:
    if not plan.has_movies:
        raise ConfigError(
            "gain: the files are no movies. Images are corrected in step Prepare (Gain and dark; "
            "phaset3m prepare --reference-gain)"
        )
    return plan.edited(gain=check_exists(gain))


def config_of(plan: ImportPlan, **given: Any) -> ImportConfig:
    """Bin and crop of a plan, where nothing else is given (None: not given).

    Raises
    ------
    ConfigError
        A value cannot be.
    """
    stated = plan.config.model_dump()
    return ImportConfig.parse(**stated | {key: value for key, value in given.items() if value is not None})


def forecast_bytes(
    plan: ImportPlan, bin: int | None = None, crop: Crop | None = None, bin_method: str | None = None
) -> int:
    """Peak memory in bytes that :func:`load` will take.

    Raises
    ------
    ConfigError
        Bin or crop do not fit the images.
    """
    return _forecast(plan, config_of(plan, bin=bin, crop=crop, bin_method=bin_method))


def load(
    plan: ImportPlan,
    *,
    bin: int | None = None,
    crop: Crop | None = None,
    bin_method: str | None = None,
    movies: MovieConfig | None = None,
    mend: Mend | None = None,
    on_progress: OnProgress | None = None,
    **overrides: Any,
) -> TiltFocalSeries:
    """Load the series of a plan, one image at a time.

    Parameters
    ----------
    plan : ImportPlan
    bin : int, optional
        This and the next two: by default what the plan says (``plan.config``, of a ``series.toml``), else 1,
        the whole image, and fourier.
    crop : (y0, y1, x0, x1), optional
        Rectangle of the files' images, before binning and turning; rows count as in the array.
    bin_method : {"fourier", "mean"}, optional
    movies : MovieConfig, optional
    mend : callable, optional
        Replaces bad pixels before images are turned: ``napari_phaset3m.prepare.outliers.mend``.
    on_progress : callable, optional
        Called with a text and the fraction done; what it raises ends the loading.
    **overrides
        As for ``load_series``: ``normalise``, ``counts``, ``dark_field``, fields of the series ...

    Returns
    -------
    TiltFocalSeries
        ``metadata`` has ``exposure_order`` and ``prior_dose`` where they are known, and the history.

    Raises
    ------
    DataError, ConfigError
        Something needed is missing or damaged, or it would not fit in the memory.
    """
    plan = _read_as(plan, None, movies)
    config = config_of(plan, bin=bin, crop=crop, bin_method=bin_method)
    for event in iterate_load(plan, config, overrides=overrides, mend=mend):
        if isinstance(event, Loaded):
            return event.series
        if on_progress is not None:
            on_progress(event.text, event.fraction)
    raise AssertionError("loading ends with a series")


def write(
    plan: ImportPlan,
    path: PathLike,
    *,
    config: ImportConfig | None = None,
    series: TiltFocalSeries | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Path, Path]:
    """Keep a plan as ``NAME.toml`` (files and every cell) and its series as ``NAME.h5``.

    Parameters
    ----------
    plan : ImportPlan
    path : path-like
        With either suffix, or with none.
    config : ImportConfig, optional
        Written too, so that opening ``NAME.toml`` gives the same series. By default the plan's own.
    series : TiltFocalSeries, optional
        When it was loaded already.
    on_progress : callable, optional

    Returns
    -------
    (Path, Path)
        The ``.toml`` and the ``.h5``.

    Raises
    ------
    OutputError
        They could not be written; nothing half-written is left.
    """
    from napari_phaset3m.io.series import save_series
    from napari_phaset3m.io.toml_write import write_plan

    target = Path(path)
    if target.suffix.lower() not in ("", ".toml", ".h5", ".hdf5"):
        raise OutputError(f"{target}: unknown suffix. An import is saved as .toml and .h5")
    settings = config or plan.config
    if series is None:
        series = load(replace(plan, config=settings), on_progress=on_progress)
    text, data = target.with_suffix(".toml"), target.with_suffix(".h5")
    save_series(series, data)
    write_plan(as_loaded(plan, series), settings, text)
    return text, data


def as_loaded(
    plan: ImportPlan, series: TiltFocalSeries, given: Mapping[str, Any] | None = None
) -> ImportPlan:
    """The plan for writing beside the series that was loaded from it: what became of its images is noted.

    ``given`` is what :func:`load` was given beside the plan; the plan holds it, too.
    """
    plan = with_given(plan, given or {}, series)
    notes = plan.notes
    done = series.metadata.get("history", ())[len(plan.history) :]  # before: the plan's files are so
    if any(step["step"] == "import" and step["parameters"].get("outliers") for step in done):
        notes = (*notes, "hot pixels were replaced at import, which opening this text does not repeat")
    return replace(plan, dark_field=series.is_dark_field, notes=notes)
