"""What a window holds at one moment, to be written by a worker while the window goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.forecast import result_grid
from napari_phaset3m.session import NamedMask, RunRecord, Session


@dataclass(frozen=True, eq=False)
class LayerData:
    """A layer as it is written.

    Attributes
    ----------
    key : str
        Under which this program knows it; empty for the user's own.
    kind : str
        napari's word for its type, e.g. ``"image"``.
    name : str
    state : mapping
        How it looks and where it lies, in JSON types.
    metadata : mapping
        This program's entry of its metadata, in JSON types.
    data : ndarray, list of ndarray or None
        None for a layer that is made anew from a run, a mask or the series, or read from its file.
    path : str
        Volume file that it shows.
    """

    key: str
    kind: str
    name: str
    state: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    path: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """Everything a project keeps; nothing in it is changed by anybody any more.

    Attributes
    ----------
    series, read : TiltFocalSeries or None
        As it is, and as it was read.
    path : Path or None
        Where it was read from.
    name, mark : str
        What the series is called, and what it is known by.
    overrides : mapping
        What it was completed with when it was read.
    shown_image : tuple of int
    config : ReconstructionConfig
    device : str
    live : bool
    runs : tuple of RunRecord
        Copies of those that have ended.
    made_of : mapping
        Series, by run, of runs whose images are in no file yet.
    mask, analysis_mask : NamedMask or None
    panels, view : mapping
        Settings of panels and view, in JSON types.
    layers : tuple of LayerData
    """

    series: TiltFocalSeries | None = None
    read: TiltFocalSeries | None = None
    path: Path | None = None
    name: str = ""
    mark: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    shown_image: tuple[int, int] = (0, 0)
    config: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    device: str = "auto"
    live: bool = True
    runs: tuple[RunRecord, ...] = ()
    made_of: Mapping[str, TiltFocalSeries] = field(default_factory=dict)
    mask: NamedMask | None = None
    analysis_mask: NamedMask | None = None
    panels: Mapping[str, Any] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[LayerData, ...] = ()


def take_snapshot(
    session: Session,
    *,
    made_of: Mapping[str, TiltFocalSeries] | None = None,
    panels: Mapping[str, Any] | None = None,
    view: Mapping[str, Any] | None = None,
    layers: tuple[LayerData, ...] = (),
) -> Snapshot:
    """What a session holds now; takes no time, and copies no array."""
    return Snapshot(
        series=session.series, read=session.series_read, path=session.series_path,
        name=session.series_name, mark=session.series_mark,
        overrides=dict(session.series_overrides), shown_image=session.shown_image,
        config=session.config, device=session.device, live=session.live,
        runs=tuple(_frozen(record) for record in session.runs if not record.active),
        made_of=dict(made_of or {}), mask=_mask_of(session), analysis_mask=session.analysis_mask,
        panels=dict(panels or {}), view=dict(view or {}), layers=layers,
    )  # fmt: skip


def _frozen(record: RunRecord) -> RunRecord:
    return replace(record, sweeps=list(record.sweeps), layer_names=list(record.layer_names))


def _mask_of(session: Session) -> NamedMask | None:
    """The mask of runs, with the voxels it has in the box that they would have."""
    mask = session.mask
    if mask is None:
        return None
    voxel = (1.0, 1.0, 1.0)
    if session.series is not None:
        shape, edge = result_grid(session.series, session.config)
        z, y, x = (n * edge / m for n, m in zip(shape, np.shape(mask), strict=True))
        voxel = (z, y, x)
    return NamedMask(mask, voxel, session.mask_name, session.mask_recipe)
