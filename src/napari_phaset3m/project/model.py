"""``project.json``: what a project holds, as a versioned, validated model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from napari_phaset3m.config import Model, ReconstructionConfig
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.atomic import write_text
from napari_phaset3m.io.provenance import PROGRAM, jsonable
from napari_phaset3m.wording import one_line

SCHEMA = 1
SUFFIX = ".phaset3m"
FILE = "project.json"


class SeriesEntry(Model):
    """The series by reference, with what was changed since it was read.

    ``file`` is relative to the project for images that it keeps itself, else absolute; ``beside`` leads
    there from the project's folder, for a project that was moved together with its data. ``mark`` is that of
    the series as it was opened first, by which its runs are known. ``history`` is
    None where the series has exactly the history that is in its file.
    """

    file: str
    beside: str = ""
    name: str = ""
    digest: str
    mark: str = ""
    shape: tuple[int, int, int, int]
    overrides: dict[str, Any] = Field(default_factory=dict)
    edits: dict[str, Any] = Field(default_factory=dict)
    history: list[dict[str, Any]] | None = None
    shown_image: tuple[int, int] = (0, 0)

    @property
    def inside(self) -> bool:
        """Whether the images are in the project's folder."""
        return not Path(self.file).is_absolute()


class MaskEntry(Model):
    """A mask in use: its file in the project, and what to call it."""

    file: str
    name: str = ""
    voxel_size_angstrom: tuple[float, float, float]
    recipe: dict[str, Any] = Field(default_factory=dict)


class LayerEntry(Model):
    """A layer: whose it is, how it looks, and its data (``file``: of the project, ``path``: a volume)."""

    key: str = ""
    kind: str
    name: str
    state: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    file: str = ""
    path: str = ""


class ProjectFile(Model):
    """Everything but arrays."""

    format: int = SCHEMA
    program: str = PROGRAM
    version: str = ""
    saved_at: str = ""
    series: SeriesEntry | None = None
    config: ReconstructionConfig = ReconstructionConfig()
    device: str = "auto"
    live: bool = True
    runs: tuple[str, ...] = ()
    mask: MaskEntry | None = None
    analysis_mask: MaskEntry | None = None
    panels: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[LayerEntry, ...] = ()
    view: dict[str, Any] = Field(default_factory=dict)


def write_project(folder: Path, project: ProjectFile) -> None:
    """Write ``project.json``, atomically.

    Raises
    ------
    OutputError
    """
    data = jsonable(project.model_dump(mode="json"))
    write_text(folder / FILE, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_project(folder: Path) -> ProjectFile:
    """Read ``project.json``.

    Raises
    ------
    DataError
        There is none, it is damaged, or a newer version of this program wrote it.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise DataError("is not there", path=folder, remedy="Check the name, or plug the disk in")
    if not path.is_file():
        raise DataError(f"is no project: it holds no {FILE}", path=folder, remedy="Choose a .phaset3m folder")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"is damaged ({reason})", path=path, remedy="Take it from a backup") from None
    if not isinstance(data, dict) or data.get("program") != PROGRAM:
        raise DataError("is not of this program", path=path, remedy="Choose a .phaset3m folder")
    version = data.get("format")
    if not isinstance(version, int) or version > SCHEMA:
        written = data.get("version", "a newer version")
        problem = f"was written by napari-phaset3m {written} (format {version}; this one reads {SCHEMA})"
        raise DataError(problem, path=path, remedy="Update napari-phaset3m")
    try:
        return ProjectFile(**data)
    except ValidationError as error:
        reason = one_line(error, ProjectFile)
        raise DataError(f"is damaged: {reason}", path=path, remedy="Take it from a backup") from None
