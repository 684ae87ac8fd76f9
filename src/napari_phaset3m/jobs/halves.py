"""Reconstruct two halves of a series in turn, and correlate them: one job, one progress."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_phaset3m.analyse.fsc import FscCurve, fsc, masked_fsc
from napari_phaset3m.analyse.halves import DESCRIPTION, HalvesKind, split
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device, DeviceName
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.jobs.control import RunControl
from napari_phaset3m.jobs.halves_files import HalvesFiles
from napari_phaset3m.jobs.halves_messages import HalfEvent, HalvesEvent, HalvesProgress, HalvesResult
from napari_phaset3m.jobs.halves_settings import (
    HalfControl,
    common_settings,
    kept_sweeps,
    shared_note,
)
from napari_phaset3m.jobs.mailbox import Mailbox
from napari_phaset3m.jobs.messages import JobEvent, PreviewFrame, Progress, Stopped, Waiting
from napari_phaset3m.jobs.runner import new_run_id, run
from napari_phaset3m.reconstruct.events import Finished

__all__ = ["HalfEvent", "HalvesEvent", "HalvesProgress", "HalvesResult", "run_halves"]


@dataclass(kw_only=True)
class _Halves:
    """The mutable part of one call of :func:`run_halves`."""

    run_id: str
    kind: HalvesKind
    config: ReconstructionConfig
    device: Device
    control: RunControl
    mailbox: Mailbox[PreviewFrame] | None
    mask: np.ndarray | None
    files: HalvesFiles | None
    seed: int
    first_decides: bool
    remarks: list[str] = field(default_factory=list)
    done: list[Finished] = field(default_factory=list)
    elapsed: float = 0.0

    def one(self, half: int, series: TiltFocalSeries) -> Iterator[HalvesEvent]:
        """Reconstruct one half."""
        control = HalfControl(self.control, self.mask)
        events = run(
            series, self.config, device=self.device, control=control, mailbox=self.mailbox,
            mask=self.mask, run_id=f"{self.run_id}-{half + 1}",
        )  # fmt: skip
        passed = 0.0
        for event in events:
            if isinstance(event, Progress):
                control.begun, passed = True, event.elapsed_seconds
                yield self._progress(half, event)
            elif isinstance(event, Finished):
                self._keep(half, event)
            elif not isinstance(event, Stopped):
                yield HalfEvent(half, _told(half, event))
        self.elapsed += passed
        self.mask = control.latest_mask
        if control.mask_changed:
            self.remarks.append(f"The mask was changed during half {half + 1}: the halves differ in it.")

    def _progress(self, half: int, event: Progress) -> HalvesProgress:
        left = event.remaining_seconds
        if left is not None and half == 0:
            left = 2 * left + event.elapsed_seconds
        elapsed = self.elapsed + event.elapsed_seconds
        return HalvesProgress(self.run_id, half, (half + event.fraction) / 2, elapsed, left, event)

    def _keep(self, half: int, done: Finished) -> None:
        self.done.append(done)
        if self.files is not None:
            self.files.save_half(half, done, self.config, halves=self.kind, halves_seed=self.seed)

    def settle_sweeps(self) -> None:
        """Let the second half run as many sweeps as the first one's volume took."""
        first = self.done[0]
        early = first.reason == "finished early"
        if not early and (not self.first_decides or self.config.multiresolution):
            return
        n = kept_sweeps(first, self.config)
        self.config = self.config.model_copy(update={"iterations": n})
        self.remarks.append(
            f"The first half was finished early: the second one ran {n} sweeps, as many as it had completed."
            if early
            else f"Both half volumes were taken after {n} sweeps."
        )

    def compare_sweeps(self) -> None:
        """Note when a half was cut short."""
        if self.done[1].reason == "finished early":
            counts = [len(done.sweeps) for done in self.done]
            self.remarks.append(
                f"The second half was finished early, after {counts[1]} of {counts[0]} whole sweeps: "
                "the FSC compares unequal halves."
            )
        if "diverged" in {done.reason for done in self.done}:
            self.remarks.append("A half diverged; its last good volume was used.")


def _resolved(device: DeviceName | Device, series: TiltFocalSeries, config: ReconstructionConfig) -> Device:
    from napari_phaset3m.reconstruct.device import choose_device

    return choose_device(device, series, config)[0]


def run_halves(
    series: TiltFocalSeries,
    config: ReconstructionConfig,
    kind: HalvesKind = "tilts",
    *,
    device: DeviceName | Device = "auto",
    control: RunControl | None = None,
    mailbox: Mailbox[PreviewFrame] | None = None,
    mask: np.ndarray | None = None,
    fsc_mask: np.ndarray | None = None,
    fsc_mask_name: str = "",
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    series_path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    run_id: str | None = None,
) -> Iterator[HalvesEvent]:
    """Reconstruct both halves with the same settings and correlate them.

    Settings that are "auto" are resolved once, from the whole series
    (:func:`.halves_settings.common_settings`).

    Parameters
    ----------
    series, config, device, control, mailbox, mask
        As :func:`.runner.run`. ``control.stop()`` ends the job and keeps the volumes there are, the
        unfinished one as well; ``control.finish()`` ends the half that is running, and in the first one
        the second half runs as many sweeps.
    kind : {"tilts", "foci", "dose"}
        See :func:`.analyse.halves.split`.
    fsc_mask : ndarray, optional
        `(nz, ny, nx)` in [0, 1], soft: the FSC is masked and corrected by phase randomisation.
    fsc_mask_name : str
        In words.
    seed : int
        Of dose halves.
    output : path-like, optional
        ``VOL.mrc``: half volumes and curve are written beside it (:class:`.halves_files.HalvesFiles`).
    series_path : path-like, optional
        The input's file, for the provenance.
    run_id : str, optional

    Yields
    ------
    HalvesEvent
        ``HalfEvent``, ``HalvesProgress`` and, last, one ``HalvesResult``.

    Raises
    ------
    PhaseT3MError
        The series cannot be split so, or whatever the solver raises. Volumes already written stay.
    """
    control, run_id = control or RunControl(), run_id or new_run_id()
    resolved = _resolved(device, series, config)
    pair = split(series, kind, seed=seed)
    files = None if output is None else HalvesFiles(output, series_path, resolved)
    yield HalfEvent(0, Waiting(run_id, "preparing", "Preparing: settings of both halves"))
    common, notes, first_decides = common_settings(series, config, resolved, mask)
    _check_mask(fsc_mask, series, common)
    job = _Halves(
        run_id=run_id, kind=kind, config=common, device=resolved, control=control, mailbox=mailbox,
        mask=mask, files=files, seed=seed, first_decides=first_decides,
    )  # fmt: skip
    for half, part in enumerate(pair):
        if control.stopped:
            break
        if half == 1:
            job.settle_sweeps()
        yield from job.one(half, part)
    curve = None
    if len(job.done) == 2 and not control.stopped:
        job.compare_sweeps()
        curve = _curve(job, fsc_mask, fsc_mask_name)
        if files is not None:
            files.save_curve(curve, job.config, halves=kind, halves_seed=seed)
    yield _result(job, curve, notes)


def _check_mask(mask: np.ndarray | None, series: TiltFocalSeries, config: ReconstructionConfig) -> None:
    """Refuse a mask that will not fit before the hours that the halves may take."""
    from napari_phaset3m.reconstruct.forecast import result_grid

    shape = tuple(result_grid(series, config)[0])
    if mask is not None and mask.shape != shape:
        raise DataError(f"has shape {mask.shape}, but the volumes will have {shape}", field="fsc_mask")


def _told(half: int, event: JobEvent) -> Any:
    if isinstance(event, Waiting):
        return replace(event, message=f"Half {half + 1} of 2: {event.message}")
    return event


def _curve(job: _Halves, mask: np.ndarray | None, mask_name: str) -> FscCurve:
    first, second = job.done
    voxel, words = first.voxel_size_angstrom, DESCRIPTION[job.kind]
    if mask is None:
        curve = fsc(first.volume, second.volume, voxel, halves=words)
    else:
        curve = masked_fsc(first.volume, second.volume, voxel, mask, mask_name=mask_name, halves=words)
    notes = [_shared(job), *curve.notes]
    if job.mask is not None:
        notes.append("Both halves were reconstructed within the same mask, which correlates by itself.")
    return replace(curve, notes=(*notes, *job.remarks))


def _shared(job: _Halves) -> str:
    return shared_note(job.config, job.done[0].voxel_size_angstrom, masked=job.mask is not None)


def _result(job: _Halves, curve: FscCurve | None, notes: tuple[str, ...]) -> HalvesResult:
    volumes = [done.volume for done in job.done] + [None, None]
    reason = "finished early" if "finished early" in {d.reason for d in job.done} else "finished"
    return HalvesResult(
        run_id=job.run_id,
        kind=job.kind,
        reason="stopped" if curve is None else reason,
        volumes=(volumes[0], volumes[1]),
        curve=curve,
        voxel_size_angstrom=job.done[0].voxel_size_angstrom if job.done else None,
        unit=job.done[0].unit if job.done else "",
        sweeps=tuple(done.sweeps for done in job.done),
        config=job.config,
        notes=(*(() if curve is None else (_shared(job),)), *notes, *job.remarks),
        paths=tuple(job.files.written) if job.files is not None else (),
    )
