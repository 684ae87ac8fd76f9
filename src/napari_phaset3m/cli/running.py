"""Driving a job from a terminal: progress bar, Ctrl-C, and what is kept of the result."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_phaset3m.cli.given import Given
from napari_phaset3m.cli.summary import chosen
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import CancelledError, DataError, DivergedError, OutputError, PhaseT3MError

#: Tilts within this are one.
_ONE_TILT_DEG = 0.05
#: Called with a description and the done part, 0..1.
Show = Callable[[str, float], None]


class RunFailed(PhaseT3MError):
    """The run was begun, so it is not the input that was wrong (exit code 1)."""


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Show]:
    """A bar with ETA on a terminal; nothing where stderr is a file or ``quiet``."""
    if quiet or not sys.stderr.isatty():
        yield lambda text, fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Preparing", total=1.0)
        yield lambda text, fraction: bar.update(task, completed=fraction, description=text)


@contextmanager
def stop_signals(control: Any) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run after its step; a second one kills as usual."""
    if threading.current_thread() is not threading.main_thread():  # only there Python takes signals
        yield
        return

    def stop(number: int, frame: object) -> None:
        control.stop()
        signal.signal(number, signal.SIG_DFL)

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def tell_doubts(series: Any) -> None:
    """Say on stderr which values are hardly meant as they are read, and which files were not read."""
    from napari_phaset3m.core.plausible import doubtful_geometry

    tell_left_beside(series)
    for line in doubtful_geometry(
        series.energy_ev,
        series.spherical_aberration_angstrom,
        series.pixel_size_angstrom,
        series.tilt_deg.tolist(),
    ):
        print(line, file=sys.stderr)
    tilts = series.tilt_deg.tolist()
    if len(tilts) > 1 and max(tilts) - min(tilts) < _ONE_TILT_DEG:
        print(
            f"warning: all {len(tilts)} tilts are at {tilts[0]:g} degrees. Images of one tilt are its foci: "
            f"--n-focus {len(tilts)} at import",
            file=sys.stderr,
        )


def tell_left_beside(series: Any) -> None:
    """Say on stderr which files beside a stack only an import reads: a tilt.com that leaves out views."""
    from napari_phaset3m.io.series import told_left_beside

    for note in told_left_beside(series):
        print(f"Note: {note}", file=sys.stderr)


def check_outputs(outputs: dict[str, Path | None], inputs: dict[str, Path | None]) -> None:
    """Refuse, before the run, an output that cannot be written or would replace another file in use.

    The images beside a series that is text (``.toml``) are looked at as well, read or written.

    Raises
    ------
    OutputError
    """
    from napari_phaset3m.cli.in_use import all_read, all_written
    from napari_phaset3m.io.atomic import check_output
    from napari_phaset3m.io.volume import require_library

    taken = {path.resolve(): name for name, path in all_read(inputs)}
    for name, path in all_written(outputs):
        other = taken.setdefault(path.resolve(), name)
        if other != name:
            raise OutputError(f"{path}: {name} would overwrite {other}. Choose another name")
        require_library(path)
        check_output(path)


def check_checkpoint(path: Path | None, *, resume: bool) -> None:
    """Refuse a checkpoint file that would be lost: of another run, or no checkpoint at all.

    Raises
    ------
    OutputError
    """
    from napari_phaset3m.io.checkpoint import is_checkpoint

    if path is None or not path.exists():
        return
    if not is_checkpoint(path):
        raise OutputError(f"{path}: is there and is no checkpoint. Name another file for --checkpoint")
    if not resume:
        raise OutputError(f"{path}: holds a run that would be lost. Add --resume, or name another file")


def drive(
    data: Any, config: ReconstructionConfig, options: dict[str, Any], *, quiet: bool, flag: str = ""
) -> Any:
    """Run a job to its end; returns its ``Finished`` event.

    ``flag`` is how this command lets a volume be negative, for the warning that asks for it.

    Raises
    ------
    CancelledError
        Stopped by Ctrl-C or SIGTERM.
    RunFailed
        Something went wrong after the first step.
    PhaseT3MError
        Something was wrong from the start.
    """
    from napari_phaset3m.jobs import RunControl, Stopped, run
    from napari_phaset3m.reconstruct.events import Finished

    control, begun = RunControl(), False
    checkpoint = options.get("checkpoint")
    with stop_signals(control), progress_bar(quiet) as show:
        try:
            for event in run(data, config, control=control, **options):
                begun = _tell(event, show, flag) or begun
                if isinstance(event, Stopped):
                    raise CancelledError(_stopped(len(event.sweeps), checkpoint))
                if isinstance(event, Finished):
                    if event.note:
                        print(f"Note: {event.note}", file=sys.stderr)
                    return event
        except (CancelledError, DivergedError):
            raise
        except PhaseT3MError as error:
            if not begun:
                raise
            raise RunFailed(str(error)) from error
    raise RunFailed("the run ended without a result")


def drive_steps(start: Callable[[Any], Iterator[Any]], *, quiet: bool) -> Any:
    """Run a generator of ``prepare.events`` to its end; returns its ``Done`` event.

    Parameters
    ----------
    start : callable
        Makes the generator; gets the control through which Ctrl-C asks it to end early.

    Raises
    ------
    CancelledError
        Stopped by Ctrl-C or SIGTERM.
    """
    from napari_phaset3m.jobs import RunControl
    from napari_phaset3m.prepare.events import Done

    control = RunControl()
    with stop_signals(control), progress_bar(quiet) as show:
        for event in start(control):
            if control.stopped:
                raise CancelledError("stopped; nothing was written")
            if isinstance(event, Done):
                return event
            show(event.text, event.fraction)
    raise RunFailed("it ended without a result")


def _tell(event: Any, show: Show, flag: str) -> bool:
    """Show one event; True when it means that computing has begun."""
    from napari_phaset3m.jobs import Progress
    from napari_phaset3m.reconstruct.events import Started, SweepDone
    from napari_phaset3m.reconstruct.negative import WARNING

    if isinstance(event, Started):
        print(chosen(event.settings), file=sys.stderr)
        for note in event.notes:
            print(f"{note}: {flag}" if flag and note.startswith(WARNING) else note, file=sys.stderr)
    elif isinstance(event, Progress):
        text = f"Sweep {event.sweep + 1}/{event.n_sweeps}, error {event.error:.4f}"
        show(text, event.fraction)
        return True
    elif isinstance(event, SweepDone) and event.note:
        print(event.note, file=sys.stderr)
    return False


def _stopped(sweeps: int, checkpoint: str | None) -> str:
    text = f"stopped after {sweeps} whole sweep{'' if sweeps == 1 else 's'}; no volume was written"
    if checkpoint is None:
        return f"{text}. With --checkpoint FILE a run can be resumed"
    if not Path(checkpoint).exists():
        return f"{text}, nor a checkpoint yet"
    return f"{text}. {checkpoint} holds the last sweep saved: go on with --resume"


def run_record(
    path: Path,
    config: ReconstructionConfig,
    device: Any,
    done: Any,
    overrides: dict[str, Any] | None = None,
    edits: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The provenance of a finished run, as every driver writes it (:func:`.run_files.run_record`)."""
    from napari_phaset3m.jobs import run_files

    return run_files.run_record(path, config, device, done, overrides, edits)


def keep(done: Any, output: Path, record: dict[str, Any], absorption: Path | None = None) -> None:
    """Write the volume, its record and, where there is one, the absorptive part.

    Raises
    ------
    RunFailed
        One could not be written.
    """
    from napari_phaset3m.jobs.run_files import save_run

    try:
        save_run(done, output, record, absorption)
    except OutputError as error:
        raise RunFailed(str(error)) from error


def mask_for(mask_given: Given, series: Any, config: ReconstructionConfig) -> Any:
    """The mask of a run as it was read, checked against the run's volume; None without a path.

    Raises
    ------
    DataError
        It cannot be read, has values outside 0..1, is of another box, or is not the one of
        the run that is replayed.
    """
    from napari_phaset3m.io.mask import check_box, load_mask
    from napari_phaset3m.reconstruct.forecast import result_grid
    from napari_phaset3m.reconstruct.volumes import check_proportions

    path = mask_given.path
    if path is None:
        return None
    mask = load_mask(path)
    mask_given.check(mask.sha256)
    shape, voxel = result_grid(series, config)
    nz, ny, nx = (n * voxel for n in shape)
    check_box(mask, (nz, ny, nx))
    check_proportions(mask.shape, shape, f"{path}: mask")
    if mask.voxel_size_angstrom is None and mask.shape != shape:
        problem = f"states no voxel size, so it must have {shape} voxels (z, y, x), not {mask.shape}"
        raise DataError(problem, path=path, field="mask", remedy="State its voxel size, or resample it")
    return mask
