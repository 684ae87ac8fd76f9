"""What a figure or film is to be made of: a run, or the volume of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.analyse.inputs import WORK, file_record
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, publisher_for
from napari_phaset3m.gui.layers.volumes import layer_name
from napari_phaset3m.gui.mask.sources import LIVE, MaskSource, sources
from napari_phaset3m.gui.reconstruct.sweep_pictures import sweep_pictures_of
from napari_phaset3m.series_identity import is_of_open_series

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_phaset3m.gui.reconstruct.sweep_pictures import RunPictures
    from napari_phaset3m.session import RunRecord, Session

SELECT = "Select one volume first: a run in the list of runs, or its layer"
#: Of edges of a voxel that count as one, relative.
_CUBIC = 1e-3


@dataclass(frozen=True, eq=False)
class PaperSubject:
    """A volume with what its pictures need.

    Attributes
    ----------
    key : str
        Stays the same for as long as it is the same volume.
    name : str
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    unit : str
        Of the values; empty when not known.
    tilt_range_deg : tuple of float, optional
        Of the series it was made of, where that is the one in the window.
    halves : tuple of ndarray, optional
        Half volumes of its shape, where step Analyse has them.
    sweeps : RunPictures, optional
        Slices kept while it was made.
    made : callable
        Gives how it was made; may read files, so that it is for a worker thread.
    files : tuple of Path
        Inputs, for the provenance.
    """

    key: str
    name: str
    volume: np.ndarray
    voxel_size_angstrom: float
    unit: str = ""
    tilt_range_deg: tuple[float, float] | None = None
    halves: tuple[np.ndarray, np.ndarray] | None = None
    sweeps: RunPictures | None = None
    made: Callable[[], dict[str, Any]] = dict
    files: tuple[Path, ...] = ()

    @property
    def stem(self) -> str:
        """A file's name for what is made of it, without suffix."""
        words = "".join(c if c.isalnum() or c in "-." else " " for c in self.name).split()
        return "_".join(words) or "volume"

    def provenance(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What goes into a file; for a worker thread.

        Parameters
        ----------
        settings : dict
            Of the picture.
        """
        from napari_phaset3m.io.provenance import provenance

        files = [path for path in self.files if path.exists()]
        return provenance(files, settings, volume=self.name, made=self.made())


def subject_of_run(session: Session, record: RunRecord) -> PaperSubject:
    """The volume of a run.

    Raises
    ------
    DataError
        It has none.
    """
    from napari_phaset3m.jobs.run_files import run_record

    if record.volume is None or record.voxel_size_angstrom is None:
        raise DataError(
            "has no full-size volume", field=layer_name(record), remedy="Let the run finish first"
        )
    source, key = record.source, f"run:{record.run_id}"
    made = partial(
        run_record, source.path, record.config, record.device, record, source.overrides, source.edits
    )
    return PaperSubject(
        key, layer_name(record), record.volume, record.voxel_size_angstrom, record.unit,
        _tilts(session, record), _halves(session, key, record.volume.shape),
        sweep_pictures_of(session).of(record.run_id), made,
    )  # fmt: skip


def subject_of_layer(session: Session, viewer: ViewerModel, layer: Layer | None) -> PaperSubject:
    """The volume that a layer shows.

    Raises
    ------
    DataError
        It is no volume, or its voxels are no cubes of a known size.
    """
    if layer is None:
        raise DataError(SELECT)
    told = layer.metadata.get(METADATA_KEY, {})
    record = session.run(told.get("run_id"))
    if record is not None and record.volume is not None and told.get("role") != "absorption":
        return subject_of_run(session, record)
    published = publisher_for(session, viewer).key_of(layer)
    wanted = {published, f"layer:{id(layer)}", LIVE if record is not None else published}
    wanted -= {""}
    found = next((source for source in sources(session, viewer) if source.key in wanted), None)
    if found is None or told.get("role") == "absorption":
        raise DataError("is no volume that a picture can be made of", field=str(layer.name), remedy=SELECT)
    return _of_source(session, found, layer)


def _of_source(session: Session, source: MaskSource, layer: Layer) -> PaperSubject:
    edge = source.voxel[0]
    if max(abs(other - edge) for other in source.voxel) > _CUBIC * edge:
        raise DataError("its voxels are no cubes", field=source.name, remedy="Resample the volume first")
    units = {str(unit) for unit in layer.units}
    if units != {"angstrom"}:
        raise DataError(
            f"its unit of length is {', '.join(sorted(units))}", field=source.name,
            remedy="Open the file with PhaseT3M, or set the layer's units and scale to angstrom",
        )  # fmt: skip
    files = () if source.path is None else (source.path,)
    halves = _halves(session, source.key, source.data.shape)
    return PaperSubject(source.key, source.name, source.data, edge, source.unit, None, halves,
                        None, partial(file_record, source.path), files)  # fmt: skip


def _tilts(session: Session, record: RunRecord) -> tuple[float, float] | None:
    series = session.series
    if series is None or not is_of_open_series(session, record):
        return None
    return float(np.min(series.tilt_deg)), float(np.max(series.tilt_deg))


def _halves(session: Session, key: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Halves of just this volume that step Analyse has."""
    work = session.attachments.get(WORK)
    inputs = None if work is None else work.inputs
    if inputs is None or inputs.halves is None or inputs.source is None or inputs.source.key != key:
        return None
    one, two = inputs.halves.volumes
    return (one, two) if one.shape == two.shape == shape else None
