"""``phaset3m convert`` and ``info`` on what a microscope saved: folders, mdocs, movies, mixtures."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_phaset3m.cli import options, running
from napari_phaset3m.cli.import_table import asked
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.movies import MovieConfig
from napari_phaset3m.wording import flag

_PANEL = "Import"
#: What ``prepare`` has for a series in place of the flags of an import.
_IN_PREPARE = {
    "bin": "--bin-factor", "bin_method": "--bin-factor", "crop": "--crop-region", "outliers": "--outliers"
}  # fmt: skip
#: What divides images into tilts and foci.
_ARRANGING = ("tilt_deg", "n_focus", "focus_order")
Bin = Annotated[
    int | None,
    typer.Option(help="Bin images by this whole number. Default: 1, or as a series.toml says", min=1, max=64,
                 rich_help_panel=_PANEL),
]  # fmt: skip
BinMethod = Annotated[
    Literal["fourier", "mean"] | None,
    typer.Option(help="fourier (cuts the spectrum; the default) or mean (of blocks)", rich_help_panel=_PANEL),
]
CropText = Annotated[
    str | None,
    typer.Option("--crop", metavar="Y0:Y1,X0:X1", help="Rectangle of the files' images to keep, pixels",
                 rich_help_panel=_PANEL),
]  # fmt: skip
Gain = Annotated[
    Path | None,
    typer.Option(help="Gain reference of movies; it is kept for motion correction", rich_help_panel=_PANEL),
]
Outliers = Annotated[
    bool,
    typer.Option(help="Replace hot and dead pixels and X-ray hits before images are turned by the tilt axis",
                 rich_help_panel=_PANEL),
]  # fmt: skip
Tolerance = Annotated[
    float | None,
    typer.Option(
        help="Angles closer than this are foci of one tilt, degrees. Default: 0.3", rich_help_panel=_PANEL
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="Also write what was recognised, as a series.toml of the files as they are",
                 rich_help_panel=_PANEL),
]  # fmt: skip


def wants_import(paths: Sequence[Path]) -> bool:
    """Whether files need recognising: of what kinds they are, or text beside images is read by an import."""
    from napari_phaset3m.io.import_beside import read_by_imports

    plain = (".h5", ".hdf5", ".toml")
    if len(paths) == 1 and paths[0].suffix.lower() in plain:
        return False
    return is_mixture(paths) or any(path.is_file() and read_by_imports(path) for path in paths)


def is_mixture(paths: Sequence[Path]) -> bool:
    """Whether files are a folder, an mdoc, a movie, single images, or named with text: no plain stack."""
    kinds = {path.suffix.lower() for path in paths}
    needs = {".mdoc", ".idoc", ".eer", ".tlt", ".rawtlt", ".defocus", ".txt", ".com", ".xf", ".aln"}
    needs |= {".xtilt", ".tltxf"}
    if any(os.path.isdir(path) and path.suffix.lower() != ".zarr" for path in paths) or kinds & needs:
        return True
    return len(paths) > 1 and bool(kinds & {".dm3", ".dm4", ".ser", ".emd"})


def crop_rectangle(text: str | None) -> tuple[int, int, int, int] | None:
    """``"0:512,256:1024"`` -> (0, 512, 256, 1024).

    Raises
    ------
    ConfigError
        It is not written so.
    """
    if text is None:
        return None
    try:
        (y0, y1), (x0, x1) = ([int(n) for n in part.split(":")] for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--crop: is {text!r}. Write Y0:Y1,X0:X1 in pixels, e.g. 0:512,256:1024") from None
    return y0, y1, x0, x1


def movie_flags() -> list[inspect.Parameter]:
    """A flag for each setting of movies: ``--gain-rotate 1``."""
    return options.parameters(MovieConfig)


def movies_given(fields: Mapping[str, Any]) -> MovieConfig | None:
    """How the flags say that movies are read; None where none was given.

    Raises
    ------
    ConfigError
        A value cannot be.
    """
    given = {name: fields[name] for name in MovieConfig.model_fields if fields.get(name) is not None}
    return options.build(MovieConfig, given) if given else None


def check_flags(
    paths: Sequence[Path], given: Mapping[str, Any], gain: Path | None, movies: MovieConfig | None
) -> None:
    """Refuse flags of an import for a series file: it was imported already.

    Parameters
    ----------
    paths : sequence of Path
    given : mapping
        Values of ``bin``, ``bin_method``, ``crop``, ``outliers``, ``tolerance``, ``plan``; None or False:
        not given.
    gain, movies
        None where not given.

    Raises
    ------
    ConfigError
        One is given for a series file.
    DataError
        That file cannot be read.
    """
    from napari_phaset3m.io.series import read_raw

    of_movies = ["gain"] * (gain is not None) + (sorted(movies.model_fields_set) if movies else [])
    asked = [name for name, value in given.items() if value not in (None, False)]
    own = [path for path in paths if path.suffix.lower() in (".h5", ".hdf5")]
    if not own or not (of_movies or asked):
        return
    metadata = read_raw(own[0]).metadata  # what is no series is told so
    if of_movies:
        raise _movie_flag_refused(of_movies[0], own[0].name, bool(metadata.get("movies")))
    meant = list(dict.fromkeys(_IN_PREPARE[name] for name in asked if name in _IN_PREPARE))
    remedy = f"Use phaset3m prepare {' '.join(meant)}" if meant else "Leave it out: it describes an import"
    raise ConfigError(f"{', '.join(map(flag, asked))}: {own[0].name} is a series already. {remedy}")


def _movie_flag_refused(field: str, name: str, has_movies: bool) -> ConfigError:
    from napari_phaset3m.prepare.motion.config import MotionConfig

    asked = f"{flag(field)}: {name}"
    if has_movies:
        own = field if field in MotionConfig.model_fields else "eer_group"
        return ConfigError(
            f"{asked} keeps how its movies are read. Use phaset3m prepare {flag(f'motion_{own}')}"
        )
    remedy = "Its images are corrected by phaset3m prepare --reference-gain"
    return ConfigError(
        f"{asked} names no movies for its images, and this is about movies. "
        f"{remedy if field == 'gain' else 'Leave it out'}"
    )


def recognise(
    paths: Sequence[Path],
    given: Mapping[str, Any],
    tolerance: float | None,
    gain: Path | None = None,
    movies: MovieConfig | None = None,
) -> Any:
    """The plan for these files, with angles and division that were given by flags.

    Raises
    ------
    ConfigError
        A flag would do nothing.
    """
    from napari_phaset3m.io.importing import look

    how = {name: given[name] for name in _ARRANGING if given.get(name) is not None}
    if "focus_order" in how and "n_focus" not in how:
        raise ConfigError("--focus-order: --n-focus is not given, so that it does nothing. Leave it out")
    if tolerance is not None:
        described = len(paths) == 1 and paths[0].suffix.lower() == ".toml" and "tilt_deg" not in how
        if "n_focus" in how or described:
            why = f"{paths[0].name} states" if described else "--n-focus tells"
            raise ConfigError(f"--tolerance: {why} which images are foci of one tilt. Leave it out")
        how["tolerance_deg"] = tolerance
    return look(paths, gain=gain, movies=movies, **how)


def beside_plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """What flags gave, without what arranged the plan already."""
    return {name: value for name, value in given.items() if name not in _ARRANGING}


def check_bin_method(method: str | None, factor: int) -> None:
    """Refuse a way to bin where nothing is binned.

    Raises
    ------
    ConfigError
    """
    if method is not None and factor == 1:
        raise ConfigError("--bin-method: images are not binned. Give --bin as well, or leave it out")


def import_series(
    plan: Any, given: Mapping[str, Any], config: Any, *, quiet: bool, outliers: bool = False
) -> Any:
    """Load a plan with a progress bar; what should be confirmed goes to stderr."""
    from napari_phaset3m.io.import_check import check_plan
    from napari_phaset3m.io.importing import load
    from napari_phaset3m.prepare.outliers import mend

    rest = beside_plan(given)
    checked = check_plan(plan.answered(given), config, rest)  # refused before anything is told
    for question in checked.questions:
        print(f"To confirm: {asked(question)}", file=sys.stderr)
    with running.progress_bar(quiet=quiet) as show:
        first = mend if outliers else None
        return load(plan, **config.model_dump(), mend=first, on_progress=show, **rest)
