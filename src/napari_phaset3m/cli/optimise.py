"""``phaset3m optimise``: find the microscope's parameters."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from napari_phaset3m.cli import options, overrides, running
from napari_phaset3m.config import Model, ReconstructionConfig, fields_of
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import CancelledError, ConfigError, OutputError
from napari_phaset3m.optimise.auto import AutoConfig
from napari_phaset3m.optimise.checks import check
from napari_phaset3m.optimise.config import OptimiseConfig
from napari_phaset3m.optimise.jackknife import SIGMA_MEANS
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.posterior import half_widths
from napari_phaset3m.optimise.search import SearchResult
from napari_phaset3m.optimise.trials import failed_words
from napari_phaset3m.optimise.uncertainty import Determined, values_of
from napari_phaset3m.wording import flag

_FREE = (
    "Parameter to search, NAME or NAME=LOW:HIGH, in the unit of its name (repeatable). NAME=LOW:HIGH:log: "
    "even steps of the logarithm; NAME=LOW:HIGH:SIGMA or NAME=::SIGMA: Gaussian prior about what is stated. "
    "Known: " + ", ".join(PARAMETERS)
)


def _described(name: str) -> str:
    return AutoConfig.model_fields[name].description or ""


class _PipelineFlags(Model):
    """Fields of the pipeline that are no section of it."""

    align: Literal["auto", "always", "never"] = Field("auto", description=_described("align"))
    optics: tuple[str, ...] = Field(("C30", "C12"), description=_described("optics"))
    bins: tuple[int, ...] = Field((2,), description=_described("bins"))
    geometry: tuple[str, ...] = Field((), description=_described("geometry"))
    refine_dose: bool = Field(False, description=_described("dose"))
    rounds: int = Field(2, description=_described("rounds"))
    fine_rounds: int = Field(6, description=_described("fine_rounds"))
    padded_sweeps: int = Field(24, description=_described("padded_sweeps"))
    error_groups: int = Field(5, description=_described("error_groups"))


def parse_range(text: str) -> dict[str, Any]:
    """``cs_angstrom=2e7:3e7:log`` as fields of a :class:`Range`.

    Raises
    ------
    ConfigError
    """
    name, equals, rest = text.partition("=")
    found: dict[str, Any] = {"name": name.strip()}
    if not equals:
        return found
    parts = rest.split(":")
    if len(parts) not in (2, 3):
        raise ConfigError(
            f"--free: is {text!r}. Write NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=LOW:HIGH:SIGMA"
        )
    if parts[2:] == ["log"]:
        found["scale"] = parts.pop()
    if any(part and not _is_number(part) for part in parts):
        raise ConfigError(f"--free: {rest!r} holds no numbers. Write NAME=LOW:HIGH")
    numbers = [float(part) if part else None for part in parts]
    if len(numbers) > 2 and not (numbers[2] or 0) > 0:
        raise ConfigError(f"--free: the prior of {name.strip()} needs a standard deviation above 0")
    return found | dict(zip(("low", "high", "sigma"), numbers, strict=False))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


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
    try:
        record = _from_flags(
            series,
            output,
            free,
            job={"auto": auto, "trials": trials, "resume": resume, "fields": fields, "quiet": as_json},
        )
    except ConfigError as error:
        raise ConfigError(as_flags(str(error))) from None
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        _tell(record)


def _from_flags(series: Path, output: Path, free: list[str] | None, job: dict[str, Any]) -> dict[str, Any]:
    base: dict[str, Any] = {} if not free else {"ranges": tuple(parse_range(text) for text in free)}
    if not free and job["auto"]:
        base = AutoConfig().search.model_dump(exclude_unset=True)
    wanted = options.build(OptimiseConfig, job["fields"], base)
    return _run(series, output, wanted, job)


def as_flags(text: str) -> str:
    """An error of the engine in the words of the command line: fields are flags."""
    text = text.replace("ranges: name: ", "ranges: ", 1).removeprefix("search.").removeprefix("trial.")
    text = text.replace("e.g. cs_angstrom", "e.g. --free cs_angstrom")
    text = re.sub(r"switch (refine_\w+) off", lambda found: "add --no" + flag(found[1])[1:], text)
    names = {path[-1] for model in (OptimiseConfig, _PipelineFlags) for path, _ in fields_of(model)}
    for name in sorted(names, key=len, reverse=True):
        shown = "--free" if name == "ranges" else flag(name)
        where = rf"\b{name}\b" if "_" in name else rf"^{name}(?=:)"  # bin, sweeps ... are words, too
        text = re.sub(rf"(?<!-){where}", shown, text)
    return text


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
    running.tell_left_beside(data)
    given = job["fields"]
    # --dose states the dose of a series, as in every command.
    pipeline = {name.removeprefix("refine_"): given.get(name) for name in _PipelineFlags.model_fields}
    base = {"search": wanted.model_dump(exclude_unset=True)}
    whole = options.build(AutoConfig, pipeline, base) if job["auto"] else None
    before = check(data, ReconstructionConfig(), wanted)
    if not job["quiet"]:
        _say(before)

    def start(control: Any) -> Iterator[Any]:
        how: dict[str, Any] = {"finish": control, "journal": job["trials"], "resume": job["resume"]}
        if whole is not None:
            return iterate_auto(data, whole, **how)
        return iterate_search(data, wanted, **how)

    done = _driven(start, job)
    try:
        save_series(done.series, output)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    plain: dict[str, Any] = jsonable({"file": str(output), **_record(done), "said": before})
    return plain


def _driven(start: Callable[[Any], Iterator[Any]], job: dict[str, Any]) -> Any:
    """The ``Done`` of a run; one that is stopped says how to go on."""
    try:
        return running.drive_steps(start, quiet=job["quiet"])
    except CancelledError as error:
        kept = job["trials"]
        more = "" if kept is None or not kept.exists() else f". {kept} holds its trials: go on with --resume"
        raise CancelledError(f"{error}{more}") from None


def _record(done: Any) -> dict[str, Any]:
    """What a run found, by the names of ``--json``."""
    names = ("name", "before", "after", "kept", "seconds", "changed")
    stages = getattr(done.result, "stages", ())
    found = getattr(done.result, "determined", None)
    return {
        "told": done.series.metadata["history"][-1]["told"],
        "stages": [{name: getattr(stage, name) for name in names} for stage in stages],
        "notes": list(done.result.notes),
        "determined": None if found is None else _determined(found, done.series),
        "searches": [_searched(search) for search in _searches(done.result)],
        "failed_trials": failed_words(t for search in _searches(done.result) for t in search.trials),
    }


def _determined(found: Determined, series: TiltFocalSeries) -> dict[str, Any]:
    """Values, standard deviations and correlations of the shared optics, angstrom."""
    return {
        "names": found.names,
        "values_angstrom": values_of(series, found.names),
        "sigma_angstrom": found.sigma_angstrom,
        "correlation": found.correlation,
        "exchangeable": found.exchangeable(),
        "sigma_means": SIGMA_MEANS,
    }


def _searches(result: Any) -> tuple[SearchResult, ...]:
    return getattr(result, "searches", (result,))


def _searched(search: SearchResult) -> dict[str, Any]:
    """How a search ended, and the values of its best trial with their half widths, in their units."""
    return {
        "trials": len(search.trials),
        "reason": search.reason,
        "best": search.best.number,
        "values": search.best.values,
        "half_width": half_widths(search.proposer, search.best.point, search.axes),
    }


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


_REASONS = {
    "calls": "all that --calls allows",
    "gain": "no further gain is expected",
    "grid": "the grid is complete",
}


def _tell_search(search: dict[str, Any]) -> None:
    """How many trials, why no more, and where the best one lies; ± as in the window."""
    print(f"  {search['trials']} trials, {_REASONS.get(search['reason'], search['reason'])}; best:")
    for name, value in search["values"].items():
        width = search["half_width"][name]
        print(f"    {name} {value:.6g}" + (f" ± {width:.2g}" if width else ""))


def _tell(record: dict[str, Any]) -> None:
    searches = iter(record["searches"])
    for stage in record["stages"]:
        undone = "undone: held-out images are explained no better"
        after = "not judged" if stage["after"] is None else f"{stage['after']:.4f}"
        state = "kept" if stage["kept"] else undone
        print(f"{stage['name']}: held-out error {stage['before']:.4f} -> {after} ({state})")
        told: Mapping[str, float] = {}
        if stage["name"] == "search":
            search = next(searches)
            told = search["values"]
            _tell_search(search)
        changed = (
            f"{key} {value:.4g}" for key, value in stage["changed"].items() if value and key not in told
        )
        print(f"  changed: {', '.join(changed) or 'nothing'}; {stage['seconds']:.0f} s")
    for search in searches:
        _tell_search(search)
    print("found:")
    for key, value in record["told"].items():
        print(f"  {key}: {value:.6g}" if isinstance(value, float) else f"  {key}: {value}")
    found = record["determined"] or {"names": (), "exchangeable": ()}
    for i, name in enumerate(found["names"]):
        print(f"  {name}: {found['values_angstrom'][i]:.6g} ± {found['sigma_angstrom'][i]:.2g} Å")
    for one, other, value in found["exchangeable"]:
        print(f"  {one} and {other} are exchangeable (correlation {value:.2f}): read their errors as one")
    if found["names"]:
        print(f"  ± is {SIGMA_MEANS}")
    _say(record["failed_trials"])
    _say(note for note in record["notes"] if note not in record["said"])
    print(record["file"])
