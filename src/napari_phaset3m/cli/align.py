"""``phaset3m align``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_phaset3m.cli import options, overrides, running
from napari_phaset3m.errors import ConfigError, OutputError
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.tilt_axis import axis_words
from napari_phaset3m.prepare.align.words import told_words, why_undone

_Import = Annotated[
    Path | None,
    typer.Option("--import", help="Begin with the alignment in an IMOD .xf (.tlt beside it) or AreTomo .aln"),
]
_MadeFor = Annotated[
    Literal["raw", "series"] | None,
    typer.Option(
        "--import-for",
        help="Images that --import speaks of: raw (sections of the files, as they are) or series (those "
        "of SERIES, as they are and in its order). Default: raw where SERIES knows its sections",
    ),
]
_PixelRatio = Annotated[
    float | None,
    typer.Option(
        "--import-pixel-ratio",
        help="How many pixels of the raw stack (of SERIES, with --import-for series) one pixel of the "
        "file given with --import is: 4 for one made on the stack binned by 4. Default: as RawSize "
        "tells (.aln), or 1",
    ),
]
_Export = Annotated[
    Path | None,
    typer.Option(
        help="Write the alignment as .xf (and .tlt) or .aln (first focus) as well; of several stacks one "
        "file for each, NAME_STACK.xf"
    ),
]


def _align(
    series: Annotated[Path, typer.Argument(help="Tilt/focal series")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Series file: .h5, or .toml with an .mrc")],
    *,
    start: _Import = None,
    made_for: _MadeFor = None,
    pixel_ratio: _PixelRatio = None,
    export: _Export = None,
    config: Annotated[Path | None, typer.Option(help="AlignConfig as YAML or JSON; flags win")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON")] = False,
    **fields: Any,
) -> None:
    """Align a series: shifts, and with the multislice model the defocus of each tilt.

    Ctrl-C ends it early and writes the best so far.
    """
    if output.suffix.lower() not in (".h5", ".hdf5", ".toml"):
        raise OutputError(f"{output}: unknown suffix. A series is saved as .h5 or .toml")
    how = {"made_for": made_for, "pixel_ratio": pixel_ratio}
    _check_import(start, how)
    base = AlignConfig.load(config).model_dump(exclude_unset=True) if config else {}
    settings = options.build(AlignConfig, fields, base)
    others = {"start": start, "export": export}
    record = _run(series, output, settings, (overrides.collect(fields), others, how), quiet=as_json)
    if as_json:
        print(json.dumps(record, indent=2))
        return
    if "reference_note" in record:
        print(f"note: {record['reference_note']}")
    for stage in record["stages"]:
        print(_line(stage))
    print(axis_words(record))
    if "optics" in record:
        print(_optics(record["optics"]))
    print(f"{output}: aligned in {record['seconds']:.0f} s")


#: The command with a flag for each parameter of the model and for each field of a series.
align = options.with_flags(_align, [*options.parameters(AlignConfig), *overrides.parameters()])


def _check_import(start: Path | None, how: dict[str, Any]) -> None:
    """Refuse flags on an imported alignment where there is none.

    Raises
    ------
    ConfigError
    """
    given = {"--import-for": how["made_for"], "--import-pixel-ratio": how["pixel_ratio"]}
    asked = [flag for flag, value in given.items() if value is not None]
    if asked and start is None:
        raise ConfigError(
            f"{asked[0]}: says what an imported alignment is for. Name that with --import, or leave it out"
        )


class _Finisher:
    """Makes a stop signal end the alignment early instead."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def stop(self) -> None:
        print("Ending early with the best so far; once more to stop at once", file=sys.stderr)
        self._control.finish()


def _optics(found: dict[str, float]) -> str:
    cs, angle = found["spherical_aberration_angstrom"] * 1e-7, found["astigmatism_azimuth_deg"]
    told = f"Written to the series: Cs {cs:.3f} mm, astigmatism {found['astigmatism_angstrom']:.0f} Å"
    return f"{told} at {angle:.0f}° from +x towards +y (--stages match keeps what was stated)"


def _line(stage: dict[str, Any]) -> str:
    told = f"{stage['name']}: shifts changed by {stage['rms_change_px']:.2f} px RMS, "
    told += f"unpredicted part {stage['error_before']:.4f} -> {stage['error_after']:.4f}, "
    told += f"information {stage['information_before']:.0f} -> {stage['information_after']:.0f} nats"
    if not stage["kept"]:
        return f"{told}; undone: {why_undone(stage['name'], stage['told'])}"
    more = told_words(stage["name"], stage["told"])
    return f"{told}\n  {more}" if more else told


def _run(
    path: Path,
    output: Path,
    config: AlignConfig,
    given: tuple[dict[str, Any], dict[str, Path | None], dict[str, Any]],
    *,
    quiet: bool,
) -> dict[str, Any]:
    from napari_phaset3m.io.series import load_series
    from napari_phaset3m.jobs import RunControl
    from napari_phaset3m.prepare.align.api import iterate_align
    from napari_phaset3m.prepare.align.compose import iterate_after, resampled_once
    from napari_phaset3m.prepare.align.file_fit import alignment_files
    from napari_phaset3m.prepare.events import Progress, drain

    fields, others, how = given
    start, export = others["start"], others["export"]
    read = _read_files(path, start, fields.get("tilt_deg"))
    named = () if export is None else alignment_files(export)
    written = dict(zip(("the exported alignment", "its .tlt"), named, strict=False))
    running.check_outputs({"the output": output, **written}, read)  # before the images are read
    raw, notes = load_series(path, **fields), list[str]()
    if export is not None:
        _check_export(export, output, read, (raw, start, how))
    running.tell_doubts(raw)
    first = _imported(raw, others, how, notes)
    control, begun = RunControl(), time.perf_counter()
    with running.stop_signals(_Finisher(control)), running.progress_bar(quiet) as show:
        done = drain(
            iterate_after(raw, first, config, finish=control)
            if first
            else iterate_align(raw, config, finish=control),
            lambda event: show(event.text, event.fraction) if isinstance(event, Progress) else None,
        )
    aligned = resampled_once(raw, first, done) if first else done.series
    exported = _written(aligned, output, done.result.alignment, (raw, export))
    notes += exported
    return _record(output, done.result, time.perf_counter() - begun) | ({"notes": notes} if notes else {})


def _written(aligned: Any, output: Path, alignment: Any, exported: tuple[Any, Path | None]) -> list[str]:
    """What was told of the rows of the alignment that is exported of a series, after both are written."""
    from napari_phaset3m.io.series import save_series
    from napari_phaset3m.prepare.align.formats import export_alignment

    (series, export), told = exported, list[str]()
    try:
        save_series(aligned, output)
        if export is not None:
            export_alignment(alignment, export, series, note=told.append)
    except OutputError as error:
        raise running.RunFailed(str(error)) from error
    for note in told:
        print(note, file=sys.stderr)
    return told


def _imported(series: Any, others: dict[str, Path | None], how: dict[str, Any], notes: list[str]) -> Any:
    """The alignment to begin with, or None; told is what it took to fit it to the series."""
    from napari_phaset3m.prepare.align.formats import check_fits_file, import_alignment

    start, export = others["start"], others["export"]
    if start is None:
        return None
    found = import_alignment(start, series, **how, note=notes.append)
    for note in notes:
        print(note, file=sys.stderr)
    if export is not None:
        check_fits_file(found, export, series)  # refused now, not after the run
    return found


def _read_files(path: Path, start: Path | None, tilts: Any) -> dict[str, Path | None]:
    """What the command reads: files that it must not write over."""
    read: dict[str, Path | None] = {"the series": path, "the imported alignment": start}
    if path.suffix.lower() not in (".h5", ".hdf5"):  # these hold their angles
        read["the .tlt of the series"] = path.with_suffix(".tlt")
    if start is not None and start.suffix.lower() != ".aln":
        read["the .tlt of the imported alignment"] = start.with_suffix(".tlt")
    if isinstance(tilts, str):
        read["--tilt-angles"] = Path(tilts)
    return read


def _check_export(export: Path, output: Path, read: dict[str, Path | None], asked: tuple[Any, ...]) -> None:
    """Refuse, before the run, an export that cannot be written or is read; of several stacks all its files.

    ``asked`` is the series, the imported alignment and how it is imported.
    """
    from napari_phaset3m.prepare.align.formats import export_files
    from napari_phaset3m.prepare.align.stacks import several_stacks, stacks_beside

    series, start, how = asked
    written: dict[str, Path | None] = {"the output": output}
    written |= {f"the exported {file.name}": file for file in export_files(export, series)}
    read = dict(read)
    together = several_stacks(series) and start is not None and how["made_for"] != "series"
    for file in stacks_beside(start, series)[0] if together else ():
        if file != start:
            read |= {f"the imported {file.name}": file, f"the .tlt of {file.name}": file.with_suffix(".tlt")}
    for file in map(Path, series.sections.files if several_stacks(series) else ()):
        read |= {f"the stack {file.name}": file, f"the .tlt of {file.name} itself": file.with_suffix(".tlt")}
    running.check_outputs(written, read)


def _record(output: Path, result: Any, seconds: float) -> dict[str, Any]:
    from napari_phaset3m.io.provenance import jsonable

    record: dict[str, Any] = {"file": str(output), "seconds": seconds}
    record["stages"] = [asdict(stage) for stage in result.stages]
    plain: dict[str, Any] = jsonable(record | result.summary())
    return plain
