"""``phaset3m prepare``: from a series as recorded to one that is fit for alignment."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.cli import options, overrides, running
from napari_phaset3m.cli.prepare_steps import flags_of_steps, wanted
from napari_phaset3m.errors import ConfigError, OutputError

#: Numbers, which no series is named with.
_VALUE = re.compile(r"[\d.,:-]+")


def _prepare(
    series: Annotated[
        list[Path], typer.Argument(help="A series, or one stack per defocus; with --motion also a movie")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Series file: .h5, or .toml with an .mrc; for a movie its image: .mrc"
        ),
    ],
    *,
    recipe: Annotated[
        Path | None, typer.Option(help="Steps from a recipe (.yaml, .json) or from a series prepared before")
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="One step, in the order given (repeatable): 'outliers sigma=9', "
            "'normalise level=region region=10,10,60,60', 'bin 2'"
        ),
    ] = None,
    save_recipe: Annotated[
        Path | None, typer.Option(help="Also write the steps as a recipe (.yaml, .json)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what each step told as JSON")] = False,
    **fields: Any,
) -> None:
    """Clean, bin, crop and normalise the images of a series; every step is recorded in the file.

    Steps are given as flags (carried out in the order of this list), as --step in any order, or as a
    --recipe. A flag with a value switches its step on: --bin-factor 2 implies --bin.

    Motion correction: --motion corrects the movies that the series names for its images. With movies
    as input and an image as output (phaset3m prepare MOVIE.mrc -o IMAGE.mrc --motion) one movie is
    summed; its drift is written beside the image as IMAGE.json.
    """
    _check_inputs(series)
    config = wanted(fields, recipe, step or [])
    if not config.steps:
        raise ConfigError("steps: none is given. Name one, e.g. --outliers, or a --recipe; --help lists them")
    inputs: dict[str, Path | None] = {f"input {n}": path for n, path in enumerate(series, 1)}
    outputs: dict[str, Path | None] = {"the output": output, "the recipe": save_recipe}
    running.check_outputs(outputs, inputs | {"the given recipe": recipe})
    given = overrides.collect(fields, without=("normalise",))
    if output.suffix.lower() == ".mrc":
        record = _run_movie(series, output, config, given, quiet=as_json)
    else:
        record = _run_series(series, output, config, given, quiet=as_json)
    if save_recipe is not None:
        config.save(save_recipe)
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        _tell(record)


def _check_inputs(paths: list[Path]) -> None:
    """What was meant as the value of a switch is no series."""
    for path in paths:
        if not path.exists() and _VALUE.fullmatch(str(path)):
            raise ConfigError(
                f"{path}: no such file. Is it a value? Switches of steps take none; their parameters do: "
                "--crop-region 0,0,64,64, --bin-factor 2"
            )


def _flags() -> list[inspect.Parameter]:
    return [*flags_of_steps(), *overrides.parameters(("normalise",))]


#: The command with a switch for each step and a flag for each of its parameters.
prepare = options.with_flags(_prepare, _flags())


def _run_series(
    paths: list[Path], output: Path, config: Any, given: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import jsonable
    from napari_phaset3m.io.series import load_series, save_series
    from napari_phaset3m.prepare.events import Progress
    from napari_phaset3m.prepare.history import history
    from napari_phaset3m.prepare.pipeline import prepare as run

    if output.suffix.lower() not in (".h5", ".hdf5", ".toml"):
        raise OutputError(f"{output}: unknown suffix. A series is saved as .h5 or .toml")
    data = load_series(paths if len(paths) > 1 else paths[0], **given)
    running.tell_doubts(data)
    before = len(history(data))
    with running.progress_bar(quiet) as show:
        done = run(data, config, lambda e: show(e.text, e.fraction) if isinstance(e, Progress) else None)
    try:
        save_series(done.series, output)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    record = {
        "output": str(output),
        "image_shape_yx": done.series.image_shape,
        "pixel_size_angstrom": done.series.pixel_size_angstrom,
        "steps": history(done.series)[before:],
    }
    plain: dict[str, Any] = jsonable(record)
    return plain


def _run_movie(
    paths: list[Path], output: Path, config: Any, given: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    """One movie to one image."""
    from napari_phaset3m.io.provenance import jsonable, provenance
    from napari_phaset3m.prepare.events import Progress
    from napari_phaset3m.prepare.motion.files import save_sum
    from napari_phaset3m.prepare.motion.step import correct_file

    if [item.step for item in config.steps] != ["motion"] or len(paths) != 1:
        raise OutputError(
            f"{output}: an image is made of one movie by --motion alone. A series is saved as .h5 or .toml"
        )
    _check_movie_flags(given)
    motion: Any = config.steps[0].config
    result: Any = None
    with running.progress_bar(quiet) as show:
        for event in correct_file(paths[0], motion, defaults=given | {"dose": given.get("dose_per_image")}):
            if isinstance(event, Progress):
                show(event.text, event.fraction)
            else:
                result = event
    record = provenance(paths[0], motion, None, kind="motion", **result.as_dict())
    try:
        save_sum(result, output, record)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    told = {"step": "motion", "parameters": motion, "told": result.told()}
    shown = {"output": str(output), "steps": [told], "image_shape_yx": result.image.shape}
    shown["pixel_size_angstrom"] = result.pixel_size_angstrom
    plain: dict[str, Any] = jsonable(shown | {"drift_px": result.drift_px, "shifts_px": result.shifts_px})
    return plain


def _check_movie_flags(given: dict[str, Any]) -> None:
    """What is said of a movie is its pixel size, voltage and dose; the rest is of a series.

    Raises
    ------
    ConfigError
    """
    known = ("pixel_size_angstrom", "energy_ev", "dose_per_image")
    idle = next((name for name in given if name not in known), None)
    if idle is not None:
        raise ConfigError(f"{idle}: is of a series; one movie is corrected here. Leave it out")
    for name in known:
        value = given.get(name, 1.0)
        if not isinstance(value, float) or not 0 < value < float("inf"):
            raise ConfigError(f"{name}: is {value}, but one positive number is needed")


def _tell(record: dict[str, Any]) -> None:
    for item in record["steps"]:
        told = ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in item["told"].items())
        print(f"{item['step']}: {told or 'done'}")
    size = " x ".join(map(str, record["image_shape_yx"]))
    pixel = record["pixel_size_angstrom"]
    print(f"{record['output']}: {size} pixels" + ("" if pixel is None else f" of {pixel:.6g} Å"))


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "(" + ", ".join(map(_short, value)) + ")"
    return str(value)
