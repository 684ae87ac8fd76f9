"""``phaset3m reconstruct``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_phaset3m.cli import options, overrides, running
from napari_phaset3m.cli.given import given, start_for
from napari_phaset3m.cli.summary import ended
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.presets import PRESETS, preset_values

_DEVICE_HELP = "auto (GPU where the run has a version for it), cpu or cuda"
_PRESET_HELP = f"Settings for a kind of specimen: {', '.join(PRESETS)}; flags win"
_OUTPUT_HELP = "Volume: .mrc, .tif, .h5, .ome.zarr; an older result of that name is replaced"
#: Fields of a series whose flag sets the parameter of the same name: that one wins over the series.
_OWN = frozenset(ReconstructionConfig.model_fields)


def _reconstruct(
    series: Annotated[Path | None, typer.Argument(help="Tilt/focal series (not needed with --from)")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help=_OUTPUT_HELP)] = Path("volume.mrc"),
    *,
    mask: Annotated[
        Path | None, typer.Option(help="Support volume of the same box, 0..1; none: not that of --from")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Volume of the same box to start from, V; none: not that of --from")
    ] = None,
    device: Annotated[str, typer.Option(help=_DEVICE_HELP)] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to keep checkpoints in (.h5); an older one needs --resume")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Replay the parameters of RESULT.json; flags win")
    ] = None,
    preset: Annotated[str | None, typer.Option(help=_PRESET_HELP, metavar="NAME")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON")] = False,
    **fields: Any,
) -> None:
    """Reconstruct the 3D potential (volts); writes the volume and a .json beside it."""
    if device not in ("auto", "cpu", "cuda"):
        raise DataError(f"is {device!r}", field="--device", remedy="Use auto, cpu or cuda")
    if resume and checkpoint is None:
        raise DataError("needs --checkpoint", field="--resume", remedy="Name the checkpoint file")
    base = _begun_with(source, preset)
    path = series or _input_of(base, source)
    config = options.build(ReconstructionConfig, fields, base.get("parameters"))
    if source:
        _warn_if_changed(base, path)
    job: dict[str, Any] = {"device": device, "checkpoint": checkpoint, "resume": resume}
    job |= {"mask": given("mask", mask, base), "start": given("start", start, base)}
    job["series"] = overrides.collect(fields, base.get("series_overrides"), _OWN)
    job["edits"] = _edits_of(base, fields)
    replaced = ", the older file was replaced" if output.exists() else ""
    record = _run_and_save(path, config, output, job, quiet=as_json)
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        print(f"{output}: {ended(record)}{replaced}")


#: The command with a flag for each parameter of the model and for each field of a series.
reconstruct = options.with_flags(
    _reconstruct, [*options.parameters(ReconstructionConfig), *overrides.parameters(_OWN)]
)


def _begun_with(source: Path | None, preset: str | None) -> dict[str, Any]:
    """What flags are laid over: the record of an older run, or the parameters of a preset."""
    if preset is None:
        return _read_record(source) if source else {}
    if source:
        raise DataError("cannot go with --from", field="--preset", remedy="Give one of them")
    return {"parameters": preset_values(preset)}


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


def _warn_if_changed(record: dict[str, Any], path: Path) -> None:
    from napari_phaset3m.io.provenance import sha256

    known = [item.get("sha256") for item in record.get("inputs") or []]
    if known and path.is_file() and sha256(path) not in known:
        print(f"{path}: is not the file that the parameters were used with", file=sys.stderr)


def _absorption_path(output: Path, config: ReconstructionConfig) -> Path | None:
    from napari_phaset3m.jobs.run_files import beside

    return beside(output, "absorption") if config.absorption else None


def _edits_of(record: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What was changed in the series of the run that is replayed; flags win."""
    edits = record.get("series_edits") or {}
    flags = {name for name, value in given.items() if value is not None}
    flags |= {"used"} if "unused" in flags else set()
    return {name: value for name, value in edits.items() if name not in flags}


def _run_and_save(
    path: Path, config: ReconstructionConfig, output: Path, job: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    from napari_phaset3m.core.backend import resolve_device
    from napari_phaset3m.io.provenance import check_record, provenance_path
    from napari_phaset3m.io.series import load_series
    from napari_phaset3m.io.series_edits import apply_edits
    from napari_phaset3m.io.volume import volume_format
    from napari_phaset3m.reconstruct.device import choose_device

    if volume_format(output) is None:
        raise OutputError(f"{output}: unknown suffix. Use .mrc, .tif, .h5 or .ome.zarr")
    checkpoint, absorption = job["checkpoint"], _absorption_path(output, config)
    running.check_outputs(
        {"the volume": output, "its .json": provenance_path(output), "the checkpoint": checkpoint}
        | {"the absorptive part": absorption},
        {"the series": path, "the mask": job["mask"].path, "the start volume": job["start"].path},
    )
    running.check_checkpoint(checkpoint, resume=job["resume"])
    check_record(output)
    resolve_device(job["device"])  # one that does not work is said before anything is read
    data = apply_edits(load_series(path, **job["series"]), job["edits"])
    running.tell_left_beside(data)
    device, _ = choose_device(job["device"], data, config)  # the run tells why
    mask = running.mask_for(job["mask"], data, config)
    start = start_for(job["start"], data, config)
    if job["resume"] and not checkpoint.exists():
        print(f"{checkpoint}: is not there yet, so the run starts anew", file=sys.stderr)
    options = {"device": job["device"], "mask": None if mask is None else mask.mask, "resume": job["resume"]}
    options["start"] = None if start is None else start.data
    options["checkpoint"] = None if checkpoint is None else str(checkpoint)
    done = running.drive(data, config, options, quiet=quiet, flag="--no-positivity")
    record = running.run_record(path, config, device, done, job["series"], job["edits"])
    record["mask"] = None if mask is None else mask.record()
    record["start"] = None if start is None else start.record
    record["file"] = output.name
    running.keep(done, output, record, absorption)
    return record
