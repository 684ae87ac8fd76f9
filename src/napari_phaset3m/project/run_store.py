"""The runs of a project: one folder each, written once, in the formats that the command line writes."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import DataError, PhaseT3MError
from napari_phaset3m.io.atomic import write_text
from napari_phaset3m.io.mask import load_mask, save_mask
from napari_phaset3m.io.provenance import jsonable
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.project.save_run import save_record
from napari_phaset3m.reconstruct.events import SweepDone
from napari_phaset3m.session import NamedMask, RunRecord, SeriesSource

FOLDER = "runs"
RUN = "run.json"
VOLUME, ABSORPTION, MASK = "volume.mrc", "volume_absorption.mrc", "volume_mask.mrc"
#: Fields of a record that are plain data.
_PLAIN = ("run_id", "status", "device", "series_name", "n_sweeps", "voxel_size_angstrom", "unit", "reason",
          "error", "notes", "settings", "seconds", "started_at", "resolution",
          "steps", "tilt_range_deg", "series_mark")  # fmt: skip


class RunStore:
    """Writes and reads the runs of one project.

    Parameters
    ----------
    folder : Path
        Of the project.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._told: dict[str, str] = {}

    def folder(self, run_id: str) -> Path:
        """Where a run is."""
        return self._root / FOLDER / run_id

    def bytes_of(self, run_id: str) -> int:
        """Bytes that a run takes on the disk; 0 where it is not there."""
        folder = self.folder(run_id)
        with suppress(OSError):  # a disk that was taken away is no reason to fail
            return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return 0

    def save(self, record: RunRecord) -> None:
        """Write a run that has ended: its volume unless it is there, and its record when it changed.

        Raises
        ------
        OutputError
        """
        folder = self.folder(record.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        if record.volume is not None and not (folder / VOLUME).exists():
            save_record(record, folder / VOLUME)
        if record.mask is not None and not (folder / MASK).exists():
            mask = record.mask
            save_mask(folder / MASK, mask.mask, mask.voxel_size_angstrom[0], recipe=mask.recipe or None)
        text = json.dumps(self._as_dict(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if self._told.get(record.run_id) != text or not (folder / RUN).exists():
            write_text(folder / RUN, text)
            self._told[record.run_id] = text

    def _as_dict(self, record: RunRecord) -> dict[str, Any]:
        source, mask = record.source, record.mask
        told = {name: getattr(record, name) for name in _PLAIN}
        told |= {"config": record.config, "sweeps": [asdict(sweep) for sweep in record.sweeps]}
        told["source"] = {
            "path": None if source.path is None else self._relative(source.path),
            "overrides": source.overrides,
            "edits": source.edits,
        }
        told["mask"] = None if mask is None else {
            "name": mask.name, "voxel_size_angstrom": mask.voxel_size_angstrom, "recipe": mask.recipe,
        }  # fmt: skip
        found: dict[str, Any] = jsonable(told)
        return found

    def _relative(self, path: Path) -> str:
        full, root = path.resolve(), self._root.resolve()
        return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)

    def load(self, run_id: str) -> tuple[RunRecord, str]:
        """(a run, what is wrong with it in one line); a damaged volume leaves the record.

        Raises
        ------
        DataError
            Its record cannot be read.
        """
        folder = self.folder(run_id)
        path = folder / RUN
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            record = self._record(told)
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"cannot be read ({reason}): the run is left out", path=path) from None
        try:
            return self._with_arrays(record, told, folder), ""
        except (PhaseT3MError, OSError) as error:
            return record, " ".join(str(error).split())

    def _record(self, told: dict[str, Any]) -> RunRecord:
        plain = {name: told[name] for name in _PLAIN if name in told}
        source, place = told["source"], None
        if source["path"] is not None:
            place = Path(source["path"])
            place = place if place.is_absolute() else self._root / place
        for name in ("notes", "steps"):
            plain[name] = tuple(plain.get(name) or ())
        if plain.get("tilt_range_deg") is not None:
            low, high = plain["tilt_range_deg"]
            plain["tilt_range_deg"] = (float(low), float(high))
        return RunRecord(
            config=ReconstructionConfig.parse(**told["config"]),
            source=SeriesSource(place, source["overrides"], source["edits"]),
            sweeps=[SweepDone(**sweep) for sweep in told["sweeps"]],
            **plain,
        )

    def _with_arrays(self, record: RunRecord, told: dict[str, Any], folder: Path) -> RunRecord:
        found: dict[str, Any] = {}
        if record.status == "finished":
            found["volume"] = load_volume(folder / VOLUME).data
        if (folder / ABSORPTION).exists():
            found["absorption"] = load_volume(folder / ABSORPTION).data
        mask = told.get("mask")
        if mask is not None:
            z, y, x = mask["voxel_size_angstrom"]
            data = load_mask(folder / MASK).mask
            found["mask"] = NamedMask(data, (z, y, x), mask["name"], mask["recipe"] or {})
        return replace(record, **found)

    def known(self) -> set[str]:
        """Runs that have a folder."""
        root = self._root / FOLDER
        return {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()

    def remove(self, run_id: str) -> None:
        """Delete a run's folder; nothing happens when it cannot be deleted now."""
        self._told.pop(run_id, None)
        with suppress(OSError):
            shutil.rmtree(self.folder(run_id))
