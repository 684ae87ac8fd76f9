"""A finished run on disk: volume, absorptive part, and the record that replays it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PathLike = str | os.PathLike[str]


def run_record(
    path: PathLike | None,
    config: Any,
    device: Any,
    done: Any,
    overrides: Mapping[str, Any] | None = None,
    edits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The provenance of a finished run: what is written as VOL.json, from wherever it was driven.

    Parameters
    ----------
    path : path-like or None
        File of the series; None when it never was one.
    config : ReconstructionConfig
    device : Device or str
    done : Finished or RunRecord
        ``settings``, ``reason``, ``unit``, ``voxel_size_angstrom``, ``volume``, ``sweeps`` and ``notes``
        of it are told.
    overrides : mapping, optional
        What ``load_series`` was given to complete or replace what the file states.
    edits : mapping, optional
        What was changed after that, see :mod:`napari_phaset3m.io.series_edits`.
    """
    from napari_phaset3m.io.provenance import provenance

    resolved = done.settings.get("resolved", {})
    return provenance(
        path, config, device,
        series_overrides=overrides or {}, series_edits=edits or {},
        resolved=resolved, refined=done.settings.get("refined"), reason=done.reason, unit=done.unit,
        voxel_size_angstrom=done.voxel_size_angstrom, volume_shape_zyx=done.volume.shape,
        error_per_iteration=[s.error for s in done.sweeps],
        held_out_error_per_iteration=[s.held_out_error for s in done.sweeps],
        step_size_per_iteration=[s.step_size for s in done.sweeps],
        seconds_per_iteration=[s.seconds for s in done.sweeps],
        held_out_images=resolved.get("held_out_images", 0),
        peak_memory_bytes=max((s.memory_bytes for s in done.sweeps), default=0),
        notes=list(done.notes), mask=None, start=None,
    )  # fmt: skip


def beside(output: Path, part: str) -> Path:
    """Name of something that goes with a volume: ``VOL.mrc`` -> ``VOL_part.mrc``."""
    stem, dot, suffix = output.name.partition(".")
    return output.with_name(f"{stem}_{part}{dot}{suffix}")


def save_run(done: Any, output: Path, record: Mapping[str, Any], absorption: Path | None = None) -> None:
    """Write a run's volume, its record and, where there is one, the absorptive part.

    Parameters
    ----------
    done : Finished or RunRecord
    output : Path
    record : mapping
        From :func:`run_record`.
    absorption : Path, optional
        Where the absorptive part goes; None: nowhere.

    Raises
    ------
    OutputError
        One could not be written.
    """
    from napari_phaset3m.io.volume import Volume, save_volume

    def volume(data: Any) -> Volume:
        return Volume(data=data, voxel_size_angstrom=done.voxel_size_angstrom, unit=done.unit)

    if absorption is not None and done.absorption is not None:
        save_volume(volume(done.absorption), absorption)
    save_volume(volume(done.volume), output, record)
