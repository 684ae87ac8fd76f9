"""``phaset3m reconstruct``."""

from __future__ import annotations

import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.cli import options
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import CancelledError, DataError, OutputError, PhaseT3MError


class RunFailed(PhaseT3MError):
    """The run was computed but its result could not be kept."""


def _reconstruct(
    series: Annotated[Path | None, typer.Argument(help="Tilt/focal series (not needed with --from)")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Volume: .mrc, .tif, .h5, .ome.zarr")] = Path(
        "volume.mrc"
    ),
    mask: Annotated[Path | None, typer.Option(help="Support volume, 0..1, on the same grid")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; cuda never falls back")] = "auto",
    checkpoint: Annotated[Path | None, typer.Option(help="File to keep checkpoints in (.h5)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Replay the parameters of RESULT.json; flags win")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON")] = False,
    **fields: Any,
) -> None:
    """Reconstruct the 3D potential (volts); writes the volume and a .json beside it."""
    if device not in ("auto", "cpu", "cuda"):
        raise DataError(f"is {device!r}", field="--device", remedy="Use auto, cpu or cuda")
    if resume and checkpoint is None:
        raise DataError("needs --checkpoint", field="--resume", remedy="Name the checkpoint file")
    base = _read_record(source) if source else {}
    path = series or _input_of(base, source)
    config = options.build(fields, base.get("parameters"))
    _check_outputs(output, checkpoint)
    job = {"device": device, "mask": mask, "checkpoint": checkpoint, "resume": resume}
    record = _run_and_save(path, config, output, job, quiet=as_json)
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        print(f"{output}: {record['reason']} after {len(record['error_per_iteration'])} sweeps")


def command() -> Callable[..., None]:
    """The command with one flag for each parameter of the model."""

    def reconstruct(**values: Any) -> None:
        _reconstruct(**values)

    fixed = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(_reconstruct, eval_str=True).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    every = [*fixed, *options.parameters()]
    reconstruct.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    reconstruct.__annotations__ = {p.name: p.annotation for p in every}
    reconstruct.__doc__ = _reconstruct.__doc__
    return reconstruct


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot be read as JSON ({reason})", path=path, field="--from") from None
    if not isinstance(record, dict) or not isinstance(record.get("parameters"), dict):
        raise DataError("is missing", path=path, field="parameters", remedy="Give the .json beside a volume")
    return record


def _input_of(record: dict[str, Any], source: Path | None) -> Path:
    inputs = record.get("inputs") or []
    if not inputs:
        raise DataError("no series was given", path=source, field="SERIES", remedy="Name the series file")
    return Path(inputs[0]["path"])


def _check_outputs(output: Path, checkpoint: Path | None) -> None:
    from napari_phaset3m.io.atomic import check_output
    from napari_phaset3m.io.provenance import provenance_path
    from napari_phaset3m.io.volume import volume_format

    if volume_format(output) is None:
        raise OutputError(f"{output}: unknown suffix. Use .mrc, .tif, .h5 or .ome.zarr")
    for path in (output, provenance_path(output), checkpoint):
        if path is not None:
            check_output(path)


def _run_and_save(
    path: Path, config: ReconstructionConfig, output: Path, job: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    from napari_phaset3m.core.backend import resolve_device
    from napari_phaset3m.io.provenance import provenance
    from napari_phaset3m.io.series import load_series
    from napari_phaset3m.io.volume import Volume, load_volume, save_volume

    data = load_series(path)
    support = None if job["mask"] is None else load_volume(job["mask"]).data
    device = resolve_device(job["device"])
    checkpoint = job["checkpoint"]
    run_options = {"device": device, "mask": support, "resume": job["resume"]}
    run_options["checkpoint"] = None if checkpoint is None else str(checkpoint)
    done = _drive(data, config, run_options, quiet=quiet)
    record = provenance(
        path, config, device,
        settings=done.settings, reason=done.reason, unit=done.unit,
        error_per_iteration=[s.error for s in done.sweeps],
        held_out_error_per_iteration=[s.held_out_error for s in done.sweeps],
        seconds_per_iteration=[s.seconds for s in done.sweeps],
        peak_memory_bytes=max((s.memory_bytes for s in done.sweeps), default=0),
    )  # fmt: skip
    volume = Volume(data=done.volume, voxel_size_angstrom=done.voxel_size_angstrom, unit=done.unit)
    try:
        save_volume(volume, output, record)
    except OutputError as error:
        raise RunFailed(str(error)) from error
    return record


def _drive(data: Any, config: ReconstructionConfig, run_options: dict[str, Any], *, quiet: bool) -> Any:
    from napari_phaset3m.jobs import Progress, RunControl, Stopped, run
    from napari_phaset3m.reconstruct.events import Finished, Started

    control = RunControl()
    with _signals(control), _bar(quiet) as show:
        for event in run(data, config, control=control, **run_options):
            if isinstance(event, Started):
                for note in event.notes:
                    print(note, file=sys.stderr)
            elif isinstance(event, Progress):
                show(event)
            elif isinstance(event, Stopped):
                kept = run_options["checkpoint"]
                hint = f"continue with --checkpoint {kept} --resume" if kept else "no --checkpoint was named"
                raise CancelledError(f"stopped after {len(event.sweeps)} sweeps; {hint}")
            elif isinstance(event, Finished):
                return event
    raise RunFailed("the run ended without a result")


@contextmanager
def _signals(control: Any) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run after its step; a second one kills as usual."""

    def stop(number: int, frame: object) -> None:
        control.stop()
        signal.signal(number, signal.SIG_DFL)

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[Any], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda event: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Preparing", total=1.0)

        def show(event: Any) -> None:
            text = f"Sweep {event.sweep + 1}/{event.n_sweeps}, error {event.error:.4f}"
            bar.update(task, completed=event.fraction, description=text)

        yield show
