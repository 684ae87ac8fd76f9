"""How a volume was made: as text, as a command of the shell, and as Python; both give it again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_phaset3m.config import ReconstructionConfig, Schedule, changed_fields
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.provenance import provenance_path
from napari_phaset3m.io.raw import FIELDS, OPTIONS
from napari_phaset3m.project.recovery import is_unnamed
from napari_phaset3m.session import RunRecord
from napari_phaset3m.wording import flag

_UNITS = {"_angstrom": " Å", "_volts": " V", "_px": " px", "_mrad": " mrad", "_deg": "°"}
#: Longer texts are read from the record instead of being written out.
_LONGEST = 160
SAVE_FIRST = "Save the project under a name first: "


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What it takes to make a volume again.

    Attributes
    ----------
    config : ReconstructionConfig
    device : {"cpu", "cuda", "auto"}
    series : Path or None
        None when the images are in no file.
    overrides, edits : mapping
        What the file was completed with, and what was changed after that.
    mask : Path or None
        File of the mask that confined it.
    record : Path or None
        ``VOL.json``, from which the command line can replay it.
    why_not : str
        Why it cannot be made again from files; empty when it can.
    """

    config: ReconstructionConfig
    device: str = "auto"
    series: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    edits: Mapping[str, Any] = field(default_factory=dict)
    mask: Path | None = None
    record: Path | None = None
    why_not: str = ""


def recipe_of_run(record: RunRecord, saved: Path | None = None) -> Recipe:
    """The recipe of a run of a window.

    Parameters
    ----------
    record : RunRecord
    saved : Path, optional
        Where its volume was saved, with record and mask beside it.
    """
    source = record.source
    told = None if saved is None or not provenance_path(saved).exists() else provenance_path(saved)
    mask = None
    if record.mask is not None and told is not None:
        beside = json.loads(told.read_text(encoding="utf-8")).get("mask")
        mask = Path(beside["path"]) if beside else None
    return Recipe(
        config=record.config, device=_kind(record.device), series=source.path, overrides=source.overrides,
        edits=source.edits, mask=mask, record=told, why_not=_why_not(record, mask, told),
    )  # fmt: skip


def recipe_of_file(path: Path) -> Recipe:
    """The recipe of a volume that was saved.

    Raises
    ------
    DataError
        There is no record beside it, or it is of something else.
    """
    told = provenance_path(path)
    try:
        record = json.loads(told.read_text(encoding="utf-8"))
        config = ReconstructionConfig.parse(**record["parameters"])
        inputs = record["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            "holds no record of a reconstruction", path=told, remedy="It is written beside a volume"
        ) from None
    mask = record.get("mask")
    return Recipe(
        config=config, device=_kind(str(record.get("device") or "")), record=told,
        series=Path(inputs[0]["path"]) if inputs else None, overrides=record.get("series_overrides") or {},
        edits=record.get("series_edits") or {}, mask=Path(mask["path"]) if mask else None,
        why_not="" if inputs else "Its images were in no file",
    )  # fmt: skip


def _kind(label: str) -> str:
    return "auto" if not label else "cpu" if "cpu" in label.lower() else "cuda"


def _why_not(record: RunRecord, mask: Path | None, told: Path | None) -> str:
    path = record.source.path
    if record.volume is None:
        return "The run has no full-size volume"
    if record.reason == "finished early":
        return "It was finished by hand: a run of its own would go on to its end"
    if path is None or is_unnamed(path.parent.parent):
        return f"{SAVE_FIRST}the images, as they were prepared here, are in no file of yours"
    changes = record.settings.get("resolved", {}).get("mask") or []
    if len(changes) > 1 or (changes and changes[0].get("from_sweep")):
        return "Its mask was changed while it ran"
    unsaved = told is None or is_unnamed(told.parents[2])
    if record.mask is not None and (mask is None or unsaved):
        return f"{SAVE_FIRST}its mask is in no file of yours"
    if unsaved and not _fits_flags(record.source.overrides, record.source.edits):
        return f"{SAVE_FIRST}what was edited in the series is in no file of yours"
    return ""


def _fits_flags(overrides: Mapping[str, Any], edits: Mapping[str, Any]) -> bool:
    plain = all(isinstance(v, int | float | str) and not isinstance(v, bool) for v in overrides.values())
    return plain and not edits and not (set(overrides) & set(ReconstructionConfig.model_fields))


def command(recipe: Recipe, output: str = "again.mrc") -> str:
    """The command that makes the volume again.

    Raises
    ------
    DataError
        It cannot be made again from files.
    """
    _require(recipe)
    words = ["phaset3m", "reconstruct"]
    if _fits_flags(recipe.overrides, recipe.edits):
        words += [str(recipe.series), "-o", output]
        for name, value in recipe.overrides.items():
            words += [FIELDS[name][1] if name in FIELDS else OPTIONS[name], _text(value)]
        for path, value in changed_fields(recipe.config).items():
            words += _flags(path.rpartition(".")[2], value)
        words += [] if recipe.mask is None else ["--mask", str(recipe.mask)]
    else:
        words += ["--from", str(recipe.record), "-o", output]
    words += [] if recipe.device == "auto" else ["--device", recipe.device]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _flags(name: str, value: Any) -> list[str]:
    option = flag(name)
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    if isinstance(value, Schedule):
        stop = "" if value.stop is None else value.stop
        return [option, f"{value.start}:{stop}:{value.every}"]
    if isinstance(value, tuple):
        return [option, ",".join(map(_text, value)) or "none"]
    return [option, _text(value)]


def _text(value: Any) -> str:
    return "none" if value is None else repr(value) if isinstance(value, float) else str(value)


def python(recipe: Recipe, output: str = "again.mrc") -> str:
    """Lines of Python that make the volume again, and save it.

    Raises
    ------
    DataError
        It cannot be made again from files.
    """
    _require(recipe)
    imports = ["from napari_phaset3m import ReconstructionConfig, load_series, reconstruct, save_volume"]
    imports.append("from napari_phaset3m.io.volume import Volume")
    lines = [f"series = load_series({_call(str(recipe.series), recipe.overrides)})"]
    if recipe.edits:
        imports.append("from napari_phaset3m.io.series_edits import apply_edits")
        edits = repr(dict(recipe.edits))
        if len(edits) > _LONGEST and recipe.record is not None:
            imports = ["import json", "from pathlib import Path", "", *imports]
            lines.append(f"record = json.loads(Path({str(recipe.record)!r}).read_text(encoding='utf-8'))")
            edits = 'record["series_edits"]'
        lines.append(f"series = apply_edits(series, {edits})")
    given = _nested(changed_fields(recipe.config))
    lines.append(f"config = ReconstructionConfig({', '.join(f'{k}={v!r}' for k, v in given.items())})")
    options = "" if recipe.device == "auto" else f", device={recipe.device!r}"
    if recipe.mask is not None:
        imports.append("from napari_phaset3m.io.mask import load_mask")
        lines.append(f"mask = load_mask({str(recipe.mask)!r}).mask")
        options += ", mask=mask"
    lines.append(f"result = reconstruct(series, config{options})")
    lines.append(
        "volume = Volume(data=result.volume, unit=result.unit, "
        "voxel_size_angstrom=result.voxel_size_angstrom)"
    )
    lines.append(f"save_volume(volume, {output!r})")
    return "\n".join([*imports, "", *lines]) + "\n"


def _call(path: str, overrides: Mapping[str, Any]) -> str:
    return ", ".join([repr(path), *(f"{name}={value!r}" for name, value in overrides.items())])


def _nested(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, those of sections as mappings, in plain types."""
    found: dict[str, Any] = {}
    for path, value in changed.items():
        target = found
        *sections, name = path.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = value.model_dump() if isinstance(value, Schedule) else value
    return found


def _require(recipe: Recipe) -> None:
    if recipe.why_not:
        raise DataError(recipe.why_not, field="provenance")


def describe(record: RunRecord, label: str, changed: Mapping[str, str]) -> str:
    """How the volume of a run was made, a line for each thing.

    Parameters
    ----------
    record : RunRecord
    label : str
        What the method is called.
    changed : mapping
        Settings other than the defaults, in words.
    """
    source, resolved = record.source, record.settings.get("resolved", {})
    when = datetime.fromtimestamp(record.started_at).strftime("%Y-%m-%d %H:%M")
    lines = [f"{label}, {when}, {record.device or 'device not known'}"]
    place = "in no file: its images were made in the window" if source.path is None else str(source.path)
    lines.append(f"Series: {record.series_name or 'unnamed'} ({place})")
    if record.steps:
        lines.append(f"Done to it before: {', '.join(record.steps)}")
    for words, fields in (("Given when it was opened", source.overrides), ("Edited", source.edits)):
        if fields:
            lines.append(f"{words}: {', '.join(_field_name(name) for name in fields)}")
    if record.mask is not None:
        lines.append(f"Mask: {record.mask.name or 'unnamed'}")
    told = "; ".join(f"{name} {value}" for name, value in changed.items())
    lines.append(f"Settings: {told or 'all defaults'}")
    chosen = "; ".join(_chosen(name, value) for name, value in resolved.items() if _is_plain(value))
    lines += [f"Chosen by the program: {chosen}"] if chosen else []
    lines += [line for line in (_outcome(record), _grid(record)) if line]
    if record.resolution:
        lines.append(str(record.resolution["statement"]))
    lines += [f"Note: {note}" for note in record.notes]
    return "\n".join(lines)


def _outcome(record: RunRecord) -> str:
    if not record.sweeps:
        return record.error or record.reason
    last = record.sweeps[-1]
    held = "" if last.held_out_error is None else f", of held-out images {last.held_out_error:.3g}"
    count = len(record.sweeps)
    return (
        f"{count} sweep{'' if count == 1 else 's'} in {record.seconds:.3g} s; misfit {last.error:.3g}{held}"
    )


def _grid(record: RunRecord) -> str:
    if record.volume is None or record.voxel_size_angstrom is None:
        return ""
    shape = " × ".join(map(str, record.volume.shape))
    return f"{shape} voxels (z, y, x) of {record.voxel_size_angstrom:.4g} Å, {record.unit or 'no unit'}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _chosen(name: str, value: Any) -> str:
    """A setting as the program resolved it, with its unit: ``slice 2.105 Å``."""
    unit = next((end for end in _UNITS if name.endswith(end)), "")
    if name == "total_dose":
        return f"dose in all {value:.0f} e/Å²"
    words = name.removesuffix(unit).replace("_", " ")
    if isinstance(value, bool):
        return f"{words} {'yes' if value else 'no'}"
    number = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{words} {number}{_UNITS.get(unit, '')}"


def _field_name(name: str) -> str:
    return FIELDS[name][0].replace("_", " ") if name in FIELDS else name.replace("_", " ")
