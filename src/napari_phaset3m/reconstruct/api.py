"""Reconstruct a series: as a generator of events, or in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import DeviceName, release_memory
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.device import choose_device
from napari_phaset3m.reconstruct.events import Control, Event, Finished, Started, SweepDone
from napari_phaset3m.reconstruct.forecast import Forecast, forecast
from napari_phaset3m.reconstruct.inputs import check_images
from napari_phaset3m.reconstruct.masking import RunMask
from napari_phaset3m.reconstruct.negative import WARNING, negative_notes
from napari_phaset3m.reconstruct.refine import Hook
from napari_phaset3m.reconstruct.run import Run

_log = logging.getLogger(__name__)

__all__ = ["Forecast", "Reconstruction", "forecast", "iterate", "reconstruct"]


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a finished run gives.

    Attributes
    ----------
    volume : ndarray
        `(nz, ny, nx)` float32, in ``unit`` (volts for scattering methods).
    absorption : ndarray or None
        The same for the absorptive part.
    voxel_size_angstrom : float
    unit, reason, device : str
        ``reason``: why it ended (see :class:`.events.Finished`).
    sweeps : tuple of SweepDone
    settings : dict
    notes : tuple of str
        What the user should know, as :class:`.events.Started` tells it.
    """

    volume: np.ndarray
    absorption: np.ndarray | None
    voxel_size_angstrom: float
    unit: str
    reason: str
    sweeps: tuple[SweepDone, ...]
    settings: dict[str, Any]
    device: str
    notes: tuple[str, ...] = ()


def iterate(
    series: TiltFocalSeries,
    config: ReconstructionConfig | None = None,
    *,
    device: DeviceName = "auto",
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    control: Control | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    hooks: Sequence[Hook] = (),
) -> Iterator[Event]:
    """Reconstruct, yielding an event after every step (Lee et al. 2025, Algorithm 1).

    Parameters
    ----------
    series : TiltFocalSeries
    config : ReconstructionConfig, optional
        Defaults suit the dose at hand.
    device : {"auto", "cpu", "cuda"}
        auto: a GPU that works where the run has a version for it, else the CPU (a note says so).
    mask : ndarray, optional
        `(nz, ny, nx)` support in 0..1. A resumed run keeps the one in its checkpoint when
        none is given.
    start : ndarray, optional
        `(nz, ny, nx)` start volume in the result's unit; zero when omitted.
    control : Control, optional
        Asked at every step, and while one lasts, whether to finish, preview or change the mask.
    checkpoint : path, optional
        HDF5 file that is rewritten after each sweep.
    resume : bool
        Continue from ``checkpoint`` when it exists.
    hooks : sequence of Hook
        Refine shifts or defoci between sweeps (:mod:`.refine`), besides what
        ``config.refine`` switches on.

    Yields
    ------
    Preparing, Started, then Working, StepDone, Preview and SweepDone, at last Finished
        ``Preparing`` and ``Working`` say only that a long piece of work goes on.

    Raises
    ------
    DataError, ConfigError
        Before anything is computed: something is missing or cannot be used.
    DivergedError
        Not one sweep gave a usable volume.
    DeviceError, ResourceError
        The device cannot be used, or the run would not fit.
    """
    config = config or ReconstructionConfig()
    resolved, device_notes = choose_device(device, series, config)
    needs = forecast(series, config, device=resolved.kind)
    needs.check()
    notes = (*device_notes, *needs.notes, *check_images(series), *negative_notes(series, config))
    path = Path(checkpoint) if checkpoint else None
    run = Run(series, config, resolved, RunMask(mask), control, path, notes, hooks=hooks)
    try:
        yield from run.events(start, resume)
    finally:
        run.background.close()
        release_memory(resolved)


def reconstruct(
    series: TiltFocalSeries,
    config: ReconstructionConfig | None = None,
    *,
    on_event: Callable[[Event], None] | None = None,
    device: DeviceName = "auto",
    **options: Any,
) -> Reconstruction:
    """Reconstruct in one call.

    Parameters
    ----------
    series, config, device, **options
        As :func:`iterate`.
    on_event : callable, optional
        Called with every event. Without it warnings among the notes are logged.

    Raises
    ------
    PhaseT3MError
        As :func:`iterate`.
    """
    label, notes, last = "", tuple[str, ...](), None
    for event in iterate(series, config, device=device, **options):
        if on_event is not None:
            on_event(event)
        if isinstance(event, Started):
            label, notes = event.device, event.notes
            _log_warnings(notes if on_event is None else ())
        last = event
    assert isinstance(last, Finished)
    return Reconstruction(
        last.volume,
        last.absorption,
        last.voxel_size_angstrom,
        last.unit,
        last.reason,
        last.sweeps,
        last.settings,
        label,
        notes,
    )


def _log_warnings(notes: tuple[str, ...]) -> None:
    for note in notes:
        if note.startswith(WARNING):
            _log.warning("%s", note.removeprefix(WARNING))
