"""Writes and reads a project folder."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import OutputError, PhaseT3MError
from napari_phaset3m.io.atomic import output_error
from napari_phaset3m.io.mask import load_mask, mask_sha256, save_mask
from napari_phaset3m.io.provenance import package_version
from napari_phaset3m.project.layer_store import forget_layers, load_layer, save_layers
from napari_phaset3m.project.lock import LOCK
from napari_phaset3m.project.model import (
    FILE,
    LayerEntry,
    MaskEntry,
    ProjectFile,
    SeriesEntry,
    read_project,
    write_project,
)
from napari_phaset3m.project.run_store import RunStore
from napari_phaset3m.project.series_store import FOLDER as SERIES
from napari_phaset3m.project.series_store import SeriesStore, of_other_project
from napari_phaset3m.project.snapshot import Snapshot
from napari_phaset3m.session import NamedMask, RunRecord, SeriesSource

MASKS = "masks"
#: (what is being done, done part 0..1)
Tell = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Saved:
    """What became of saving.

    Attributes
    ----------
    project : ProjectFile
    sources : mapping
        Where, by run, the images of a run can be read now that were in no file before.
    rebased : tuple or None
        (file, metadata in it) of the series, where it was in another project and was taken along.
    """

    project: ProjectFile
    sources: Mapping[str, SeriesSource]
    rebased: tuple[Path, dict[str, Any]] | None = None


@dataclass(frozen=True, eq=False)
class Loaded:
    """A project as it was read.

    Attributes
    ----------
    project : ProjectFile
    series, read : TiltFocalSeries or None
        None as well when the file was moved.
    path : Path or None
        The series' file.
    runs : tuple of RunRecord
    mask, analysis_mask : NamedMask or None
    layer_data : dict
        By place in ``project.layers``.
    problems : tuple of str
        One line for each thing that could not be read.
    missing : SeriesEntry or None
        The series, when its file is not where it was.
    """

    project: ProjectFile
    series: TiltFocalSeries | None = None
    read: TiltFocalSeries | None = None
    path: Path | None = None
    runs: tuple[RunRecord, ...] = ()
    mask: NamedMask | None = None
    analysis_mask: NamedMask | None = None
    layer_data: dict[int, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    missing: SeriesEntry | None = None


class ProjectStore:
    """One project folder; used by one thread at a time.

    Parameters
    ----------
    folder : Path
        ``NAME.phaset3m``; made when it is saved to for the first time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.series, self.runs = SeriesStore(folder), RunStore(folder)
        self._ours: set[str] = set()
        self._lost: SeriesEntry | None = None
        self._lock = threading.Lock()

    def save(self, snapshot: Snapshot, *, copy_images: bool = False, tell: Tell | None = None) -> Saved:
        """Write what changed; ``project.json`` last, so that a broken-off saving loses nothing.

        Raises
        ------
        OutputError
            Something could not be written; what was there before is as it was.
        """
        with self._lock:
            new = not self.folder.exists()
            try:
                self._make()
                return self._save(snapshot, copy_images, tell or (lambda text, part: None))
            except (OSError, PhaseT3MError) as error:
                if new:  # nothing half-written stays behind
                    shutil.rmtree(self.folder, ignore_errors=True)
                raise (
                    error if isinstance(error, PhaseT3MError) else output_error(self.folder, error)
                ) from error

    def _make(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder}: is a file. Choose another name")
        foreign = self.folder.is_dir() and not (self.folder / FILE).exists() and any(self.folder.iterdir())
        if foreign and not (self.folder / LOCK).exists():
            raise OutputError(f"{self.folder}: is a folder with other things in it. Choose another name")
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        if not os.access(self.folder, os.W_OK):
            raise output_error(self.folder, OSError(errno.EACCES, os.strerror(errno.EACCES)))

    def _save(self, snapshot: Snapshot, copy_images: bool, tell: Tell) -> Saved:
        tell("series", 0.0)
        entry = self._lost
        if snapshot.series is not None:
            entry = self.series.entry(
                snapshot.series, snapshot.read, snapshot.path, snapshot.overrides, copy=copy_images
            ).model_copy(
                update={"shown_image": snapshot.shown_image, "name": snapshot.name, "mark": snapshot.mark}
            )
        sources = self._sources(snapshot)
        for number, record in enumerate(snapshot.runs):
            tell(f"run {number + 1} of {len(snapshot.runs)}", (number + 0.5) / (len(snapshot.runs) + 1))
            found = sources.get(record.run_id)
            self.runs.save(record if found is None else replace(record, source=found))
        tell("masks and layers", 0.95)
        project = ProjectFile(
            version=package_version(), saved_at=datetime.now(UTC).isoformat(timespec="seconds"), series=entry,
            config=snapshot.config, device=snapshot.device, live=snapshot.live,
            runs=tuple(record.run_id for record in snapshot.runs),
            mask=self._save_mask("reconstruction", snapshot.mask),
            analysis_mask=self._save_mask("analysis", snapshot.analysis_mask),
            panels=dict(snapshot.panels), layers=save_layers(self.folder, snapshot.layers),
            view=dict(snapshot.view),
        )  # fmt: skip
        write_project(self.folder, project)
        self._forget(project)
        moved = snapshot.path is not None and of_other_project(snapshot.path, self.folder)
        rebased = self.series.kept(entry) if moved and entry is not None and entry.inside else None
        return Saved(project, sources, rebased)

    def _sources(self, snapshot: Snapshot) -> dict[str, SeriesSource]:
        """Images of runs that are in no file, or in another project's folder, go into this one."""
        found = {run_id: self.series.keep(series) for run_id, series in snapshot.made_of.items()}
        for record in snapshot.runs:
            path = record.source.path
            if record.run_id in found or path is None or not of_other_project(path, self.folder):
                continue
            target = self.folder / SERIES / path.name
            if not target.exists() and path.exists():
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
            found[record.run_id] = replace(record.source, path=target)
        return found

    def _save_mask(self, name: str, mask: NamedMask | None) -> MaskEntry | None:
        if mask is None:
            return None
        file = f"{MASKS}/{name}_{mask_sha256(mask.mask)[:12]}.mrc"
        path = self.folder / file
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            save_mask(path, mask.mask, mask.voxel_size_angstrom[0], recipe=mask.recipe or None)
        return MaskEntry(
            file=file, name=mask.name, voxel_size_angstrom=mask.voxel_size_angstrom, recipe=mask.recipe
        )

    def _forget(self, project: ProjectFile) -> None:
        """Delete runs, masks and layers that this window knew and that are gone."""
        for run_id in self._ours - set(project.runs):
            self.runs.remove(run_id)
        self._ours = set(project.runs)
        forget_layers(self.folder, project.layers)
        kept = {entry.file for entry in (project.mask, project.analysis_mask) if entry is not None}
        root = self.folder / MASKS
        for path in root.glob("*.mrc") if root.is_dir() else ():
            if f"{MASKS}/{path.name}" not in kept:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)

    def load(self, *, series_at: Path | None = None, tell: Tell | None = None) -> Loaded:
        """Read everything; what is damaged is left out and said.

        Parameters
        ----------
        series_at : Path, optional
            Where the series is now.
        tell : callable, optional

        Raises
        ------
        DataError
            ``project.json`` cannot be read, or ``series_at`` is another series.
        """
        with self._lock:
            project = read_project(self.folder)
            problems: list[str] = []
            tell = tell or (lambda text, part: None)
            tell("series", 0.0)
            values = self._load_series(project, series_at, problems)
            runs = []
            for number, run_id in enumerate(project.runs):
                tell(f"run {number + 1} of {len(project.runs)}", (number + 1) / (len(project.runs) + 2))
                try:
                    record, problem = self.runs.load(run_id)
                except PhaseT3MError as error:
                    problems.append(" ".join(str(error).split()))
                    continue
                runs.append(record)
                problems += [problem] if problem else []
            self._ours = {record.run_id for record in runs}
            values["mask"] = self._load_mask(project.mask, problems)
            values["analysis_mask"] = self._load_mask(project.analysis_mask, problems)
            values["layer_data"] = self._load_layers(project.layers, problems)
            return Loaded(project, runs=tuple(runs), problems=tuple(problems), **values)

    def _load_series(self, project: ProjectFile, at: Path | None, problems: list[str]) -> dict[str, Any]:
        entry, self._lost = project.series, None
        if entry is None:
            return {}
        if at is None and self.series.locate(entry) is None:
            self._lost = entry
            return {"missing": entry}
        try:
            series, read, path = self.series.load(entry, at)
        except PhaseT3MError as error:
            if at is not None:
                raise
            self._lost = entry
            problems.append(" ".join(str(error).split()))
            return {"missing": entry}
        return {"series": series, "read": read, "path": path}

    def _load_mask(self, entry: MaskEntry | None, problems: list[str]) -> NamedMask | None:
        if entry is None:
            return None
        try:
            data = load_mask(self.folder / entry.file).mask
        except (PhaseT3MError, OSError) as error:
            problems.append(" ".join(str(error).split()))
            return None
        return NamedMask(data, entry.voxel_size_angstrom, entry.name, dict(entry.recipe))

    def _load_layers(self, entries: tuple[LayerEntry, ...], problems: list[str]) -> dict[int, Any]:
        found = {}
        for place, entry in enumerate(entries):
            if not (entry.file or entry.path):
                continue
            try:
                found[place] = load_layer(self.folder, entry)
            except PhaseT3MError as error:
                problems.append(" ".join(str(error).split()))
        return found
