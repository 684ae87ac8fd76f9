"""What can be compared: results and live pictures of the session, layers, and volumes from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, LayerPublisher
from napari_phaset3m.gui.layers.volumes import METHOD_LABELS
from napari_phaset3m.reconstruct.methods import METHODS
from napari_phaset3m.session import RunRecord, Session

if TYPE_CHECKING:
    from napari.layers import Layer

#: Values of a volume kept for levels on a percentile scale.
LEVELS = 4096
#: Voxels they are taken from.
_SAMPLE = 500_000
#: CTF corrections before linear methods, as they are named beside them.
CORRECTION_WORDS = {"wiener": "Wiener", "phase_flip": "phase flip"}
#: Longest edge of a transform that is shown, voxels.
POWER_MAX_VOXELS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A volume with its name, as it is handed over by whoever has it.

    Attributes
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    state : str
        ``"final"``, ``"sweep 4"``, ``"file"`` or ``"layer"``.
    unit : str
        ``"V"``, or empty where it is not known or has none.
    path : Path or None
        Where it was read from.
    """

    volume: np.ndarray
    voxel_size_angstrom: float
    state: str
    unit: str = ""
    path: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A content with everything that is costly to work out for showing it.

    Attributes
    ----------
    content : Content
    levels : ndarray
        `(LEVELS,)` values at equidistant ranks: the inverse of the cumulative distribution.
    power : ndarray
        `(mz, my, mx)` log power, zero frequency at ``n // 2``.
    power_limits : tuple of float
    """

    content: Content
    levels: np.ndarray
    power: np.ndarray
    power_limits: tuple[float, float]

    def level(self, percentile: float) -> float:
        """Value below which ``percentile`` per cent of the voxels lie."""
        rank = np.clip(percentile, 0, 100) / 100 * (len(self.levels) - 1)
        return float(np.interp(rank, np.arange(len(self.levels)), self.levels))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may be chosen for a comparison.

    Attributes
    ----------
    key : str
        ``run:ID``, ``layer:NUMBER`` or ``file:PATH``.
    label : str
    fetch : callable
        Returns its present content, or None when it has none (yet, or any more).
    problem : str
        Why it cannot be compared; empty when it can.
    """

    key: str
    label: str
    fetch: Callable[[], Content | None]
    problem: str = ""


def shot_of(content: Content) -> Shot:
    """Work out what showing a volume needs; for a worker thread."""
    from napari_phaset3m.jobs.frames import power_limits, shown_power

    volume = np.ascontiguousarray(content.volume, np.float32)
    flat = volume.reshape(-1)
    ranks = np.sort(flat[:: max(1, flat.size // _SAMPLE)])
    levels = ranks[np.linspace(0, len(ranks) - 1, LEVELS).round().astype(int)]
    power = shown_power(volume, POWER_MAX_VOXELS)
    shown = replace(content, volume=volume)
    return Shot(shown, levels, power, power_limits(power))


def candidates(session: Session, publisher: LayerPublisher) -> list[Candidate]:
    """Everything in the session and its viewer that is a volume, runs first and newest on top."""
    found = [run_candidate(session, publisher, record) for record in reversed(session.runs)]
    viewer = publisher.viewer
    layers = [] if viewer is None else list(viewer.layers)
    for layer in layers:
        if getattr(layer, "_type_string", "") != "image" or layer.ndim != 3 or layer.rgb:
            continue
        if METADATA_KEY not in layer.metadata or "role" not in layer.metadata[METADATA_KEY]:
            found.append(layer_candidate(layer))
    return found


def run_candidate(session: Session, publisher: LayerPublisher, record: RunRecord) -> Candidate:
    """A run: its result, or the newest picture while there is none."""
    method = METHOD_LABELS.get(record.config.method, record.config.method)
    number = session.runs.index(record) + 1
    entry, correction = METHODS.get(record.config.method), record.config.ctf_correction
    if entry is not None and entry.linear and correction != "none":
        method = f"{method}, {CORRECTION_WORDS[correction]}"
    label = f"{method} · run {number}"
    return Candidate(f"run:{record.run_id}", label, partial(run_content, publisher, record))


def run_content(publisher: LayerPublisher, record: RunRecord) -> Content | None:
    """Result or newest picture of a run; None before the first one."""
    if record.volume is not None and record.voxel_size_angstrom is not None:
        return Content(record.volume, record.voxel_size_angstrom, "final", record.unit)
    spec = publisher.newest(record.run_id)
    if spec is None or spec.metadata.get("stage") == "empty":
        return None
    return content_of_spec(spec)


def content_of_spec(spec: Any) -> Content:
    """What the publisher was given for a run's layer."""
    entry = spec.metadata
    state = "final" if entry["stage"] == "final" else f"sweep {int(entry['sweep']) + 1}"
    return Content(spec.data, float(entry["voxel_size_angstrom"]), state, entry["unit"])


def layer_candidate(layer: Layer) -> Candidate:
    """A layer that is not ours; its content is read when it is chosen."""
    key = f"layer:{id(layer)}"
    try:
        voxel = layer_voxel(layer)
    except DataError as error:
        return Candidate(key, layer.name, lambda: None, str(error))
    return Candidate(key, layer.name, lambda: Content(np.asarray(layer.data), voxel, "layer"))


def layer_voxel(layer: Layer) -> float:
    """Edge of a layer's voxels, angstrom.

    Raises
    ------
    DataError
        The layer has no lengths, or voxels that are no cubes.
    """
    try:
        edges = [
            float((scale * unit).to("angstrom").magnitude)
            for scale, unit in zip(layer.scale, layer.units, strict=True)
        ]
    except Exception as error:  # pint's own tree of errors
        raise DataError(
            "has no voxel size in a unit of length", path=layer.name, remedy="Open its file here"
        ) from error
    if np.ptp(edges) > 1e-3 * max(edges):
        raise DataError("its voxels are no cubes", path=layer.name, field="scale")
    return edges[0]


def load_file(path: Path) -> Content:
    """Read a volume; for a worker thread.

    Raises
    ------
    PhaseT3MError
    """
    from napari_phaset3m.io.volume import load_volume

    volume = load_volume(path)
    return Content(np.asarray(volume.data), volume.voxel_size_angstrom, "file", volume.unit, path)
