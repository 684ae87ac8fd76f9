"""Writes a run of the window as the command line writes its own, so that it can be replayed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_phaset3m.errors import OutputError
from napari_phaset3m.session import RunRecord


def save_record(record: RunRecord, path: Path) -> list[Path]:
    """Write volume, record, absorptive part and the mask that the run had from its start.

    Parameters
    ----------
    record : RunRecord
        Finished.
    path : Path
        ``.mrc``, ``.tif``, ``.h5`` or ``.ome.zarr``.

    Returns
    -------
    list of Path
        What was written, the volume first.

    Raises
    ------
    OutputError
        One could not be written, or would replace something else.
    """
    from napari_phaset3m.io.provenance import check_record
    from napari_phaset3m.io.volume import volume_format
    from napari_phaset3m.jobs.run_files import beside, run_record, save_run

    if volume_format(path) is None:
        raise OutputError(f"{path}: unknown suffix. Use .mrc, .tif, .h5 or .ome.zarr")
    check_record(path)
    source = record.source
    told = run_record(source.path, record.config, record.device, record, source.overrides, source.edits)
    written = [path]
    if _replayable(record):
        written.append(beside(path, "mask"))
        told["mask"] = _save_mask(record, written[-1])
    absorption = None if record.absorption is None else beside(path, "absorption")
    written += [] if absorption is None else [absorption]
    save_run(record, path, told, absorption)
    return written


def _replayable(record: RunRecord) -> bool:
    """Whether one mask confined the run from beginning to end: another history has no file to name."""
    changes = record.settings.get("resolved", {}).get("mask") or []
    return record.mask is not None and len(changes) == 1 and changes[0]["from_sweep"] == 0


def _save_mask(record: RunRecord, path: Path) -> dict[str, Any]:
    from napari_phaset3m.io.mask import load_mask, mask_sha256, save_mask

    assert record.mask is not None
    mask, recipe = record.mask, record.mask.recipe or None
    digest = mask_sha256(mask.mask)
    if path.exists() and load_mask(path).sha256 != digest:
        raise OutputError(f"{path}: is another mask than the run's. Choose another name for the volume")
    save_mask(path, mask.mask, mask.voxel_size_angstrom[0], recipe=recipe, made_of=mask.name)
    return {"path": str(path.resolve()), "sha256": digest, "recipe": recipe}
