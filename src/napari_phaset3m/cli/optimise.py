"""``phaset3m optimise``: find the microscope's parameters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from napari_phaset3m.cli import options, overrides, running
from napari_phaset3m.config import Model
from napari_phaset3m.errors import ConfigError, OutputError
from napari_phaset3m.optimise.auto import AutoConfig
from napari_phaset3m.optimise.config import OptimiseConfig
from napari_phaset3m.optimise.parameters import PARAMETERS

_FREE = (
    "Parameter to search, NAME or NAME=LOW:HIGH or NAME=LOW:HIGH:log, in the unit of its name "
    "(repeatable). Known: " + ", ".join(PARAMETERS)
)


def _described(name: str) -> str:
    return AutoConfig.model_fields[name].description or ""


class _PipelineFlags(Model):
    """Fields of the pipeline that are no section of it."""

    align: Literal["auto", "always", "never"] = Field("auto", description=_described("align"))
    optics: tuple[str, ...] = Field(("C30", "C12"), description=_described("optics"))
    bins: tuple[int, ...] = Field((2,), description=_described("bins"))
    rounds: int = Field(2, description=_described("rounds"))
    error_groups: int = Field(5, description=_described("error_groups"))


def parse_range(text: str) -> dict[str, Any]:
    """``cs_angstrom=2e7:3e7:log`` as fields of a :class:`Range`.

    Raises
    ------
    ConfigError
    """
    name, equals, rest = text.partition("=")
    if not equals:
        return {"name": name.strip()}
    parts = rest.split(":")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] != "log"):
        raise ConfigError(f"--free: is {text!r}. Write NAME=LOW:HIGH or NAME=LOW:HIGH:log")
    try:
        low, high = (float(part) if part else None for part in parts[:2])
    except ValueError:
        raise ConfigError(f"--free: {rest!r} holds no two numbers. Write NAME=LOW:HIGH") from None
    return {"name": name.strip(), "low": low, "high": high, "scale": "log" if len(parts) == 3 else "linear"}


def _optimise(
    series: Annotated[Path, typer.Argument(help="Tilt/focal series")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Series as found: .h5, .toml")],
    *,
    free: Annotated[list[str] | None, typer.Option(help=_FREE, metavar="NAME=LOW:HIGH")] = None,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto/--search-only",
            help="Search, refine by gradient, and repeat; or the search alone",
        ),
    ] = True,
    trials: Annotated[
        Path | None, typer.Option(help="File that keeps the trials (.jsonl), so that they can be continued")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the trials of --trials")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False,
    **fields: Any,
) -> None:
    """Find optics (Cs, astigmatism, defocus ...) and shifts: judged on images that are held out."""
    if resume and trials is None:
        raise ConfigError("--resume: needs --trials. Name the file of trials")
    if output.suffix.lower() not in (".h5", ".hdf5", ".toml"):
        raise OutputError(f"{output}: unknown suffix. A series is saved as .h5 or .toml")
    running.check_outputs({"the output": output, "the trials": trials}, {"the series": series})
    base: dict[str, Any] = {} if not free else {"ranges": tuple(parse_range(text) for text in free)}
    if not free and auto:
        base = AutoConfig().search.model_dump(exclude_unset=True)
    wanted = options.build(OptimiseConfig, fields, base)
    job = {"auto": auto, "trials": trials, "resume": resume, "fields": fields, "quiet": as_json}
    record = _run(series, output, wanted, job)
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        _tell(record)


optimise = options.with_flags(
    _optimise,
    [
        *(flag for flag in options.parameters(OptimiseConfig) if flag.name not in ("ranges",)),
        *options.parameters(_PipelineFlags),
        *overrides.parameters(frozenset({"seed"})),
    ],
)


def _run(path: Path, output: Path, wanted: OptimiseConfig, job: dict[str, Any]) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import jsonable
    from napari_phaset3m.io.series import load_series, save_series
    from napari_phaset3m.optimise.auto import iterate_auto
    from napari_phaset3m.optimise.search import iterate_search

    data = load_series(path, **overrides.collect(job["fields"]))
    given = job["fields"]
    pipeline = {name: given.get(name) for name in _PipelineFlags.model_fields}
    base = {"search": wanted.model_dump(exclude_unset=True)}
    whole = options.build(AutoConfig, pipeline, base) if job["auto"] else None

    def start(control: Any) -> Iterator[Any]:
        how: dict[str, Any] = {"finish": control, "journal": job["trials"], "resume": job["resume"]}
        if whole is not None:
            return iterate_auto(data, whole, **how)
        return iterate_search(data, wanted, **how)

    done = running.drive_steps(start, quiet=job["quiet"])
    try:
        save_series(done.series, output)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    told = done.series.metadata["history"][-1]["told"]
    stages = [
        {name: getattr(stage, name) for name in ("name", "before", "after", "kept", "seconds", "changed")}
        for stage in getattr(done.result, "stages", ())
    ]
    notes = list(done.result.notes)
    plain: dict[str, Any] = jsonable({"file": str(output), "told": told, "stages": stages, "notes": notes})
    return plain


def _tell(record: dict[str, Any]) -> None:
    for stage in record["stages"]:
        state = "kept" if stage["kept"] else "undone: held-out images got worse"
        after = "not judged" if stage["after"] is None else f"{stage['after']:.4f}"
        print(f"{stage['name']}: held-out error {stage['before']:.4f} -> {after} ({state})")
    for key, value in record["told"].items():
        print(f"  {key}: {value:.6g}" if isinstance(value, float) else f"  {key}: {value}")
    for note in record["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(record["file"])
