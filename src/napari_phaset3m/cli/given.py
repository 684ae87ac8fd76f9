"""Mask and start volume of a run: as a flag says, or as the record says that is replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError

#: What a flag says to take nothing, in place of what a record names.
NONE = Path("none")


@dataclass(frozen=True, slots=True)
class Given:
    """A volume that a run is given.

    Attributes
    ----------
    name : str
        ``"mask"`` or ``"start"``: its flag and its key in a record.
    path : Path or None
    sha256 : str or None
        What it must be; None: anything.
    """

    name: str
    path: Path | None = None
    sha256: str | None = None

    def check(self, found: str) -> None:
        """Refuse contents that are not those of the run that is replayed.

        Raises
        ------
        DataError
        """
        if self.sha256 not in (None, found):
            problem = f"is not the {self.name} that the parameters were used with"
            raise DataError(problem, path=self.path, field=f"--{self.name}", remedy=self._remedy())

    def _remedy(self) -> str:
        return f"Give --{self.name} FILE to use that one all the same, or --{self.name} none"


def given(name: str, flag: Path | None, record: Mapping[str, Any]) -> Given:
    """The volume ``name``: the flag's when there is one (``none``: no volume), else the record's.

    Raises
    ------
    DataError
        The record's is not there, or the record does not know its file.
    """
    if flag is not None:
        return Given(name, None if flag == NONE else flag)
    known = record.get(name)
    if isinstance(known, Mapping) and known.get("path"):
        found = Given(name, Path(known["path"]), known.get("sha256"))
        if not Path(known["path"]).exists():
            problem = f"is not there, and the run that is replayed had it as its {name}"
            raise DataError(problem, path=found.path, field=f"--{name}", remedy=found._remedy())
        return found
    changes = (record.get("resolved") or {}).get(name) or []
    if any(change.get("sha256") for change in changes):
        raise DataError(
            f"the run that is replayed had a {name} whose file is not known",
            field=f"--{name}",
            remedy=Given(name)._remedy(),
        )
    return Given(name)


@dataclass(frozen=True, slots=True, eq=False)
class StartFile:
    """A start volume as it was read: `(nz, ny, nx)` volts, and what a record says of it."""

    data: np.ndarray
    record: dict[str, Any]


def start_for(start: Given, series: TiltFocalSeries, config: ReconstructionConfig) -> StartFile | None:
    """The start volume of a run, checked against the run's box; None without a path.

    Raises
    ------
    DataError
        It cannot be read, is of another box, or is not the one of the run that is replayed.
    """
    from napari_phaset3m.io.mask import mask_sha256
    from napari_phaset3m.io.volume import load_volume, require_box
    from napari_phaset3m.reconstruct.forecast import result_grid

    if start.path is None:
        return None
    volume = load_volume(start.path)
    digest = mask_sha256(volume.data)
    start.check(digest)
    shape, voxel = result_grid(series, config)
    nz, ny, nx = (n * voxel for n in shape)
    require_box(volume.shape, volume.voxel_size_angstrom, (nz, ny, nx), path=start.path, field="--start")
    return StartFile(volume.data, {"path": str(start.path.resolve()), "sha256": digest})
