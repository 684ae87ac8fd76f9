"""``phaset3m analyse --halves``: both half volumes, with the settings of the volume itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_phaset3m.cli import running
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import CancelledError, ConfigError, DataError, PhaseT3MError
from napari_phaset3m.report.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What halves are asked for.

    Parameters
    ----------
    kind : str
        ``tilts``, ``foci`` or ``dose``.
    config : ReconstructionConfig
    support : Path or None
        The mask within which the volume itself was reconstructed.
    device : str
    output : Path or None
        Name that the files of the halves are made from; None: they are not kept.
    series_path : Path
    seed : int
    control : bool
        The same halves without priors too.
    """

    kind: str
    config: ReconstructionConfig
    support: Path | None
    device: str
    output: Path | None
    series_path: Path
    seed: int = 0
    control: bool = False


def settings_of(record: Mapping[str, Any], volume: Path) -> tuple[ReconstructionConfig, Path | None]:
    """The parameters and the support mask that a volume's record states.

    Raises
    ------
    DataError
        There is no such record, or its mask is gone.
    """
    parameters = record.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        problem = "does not say how the volume was reconstructed, so its halves cannot be made alike"
        remedy = "Keep VOL.json beside VOL.mrc, name it with --from, or give --half1 and --half2"
        raise DataError(problem, path=volume, field="--halves", remedy=remedy)
    try:
        config = ReconstructionConfig.parse(**parameters)
    except ConfigError as error:
        remedy = "Reconstruct it again, or name settings with --from"
        raise DataError(str(error), path=volume, field="parameters", remedy=remedy) from None
    known = record.get("mask")
    path = known.get("path") if isinstance(known, dict) else known
    if not path:
        return config, None
    if not Path(path).exists():
        raise DataError("is gone, but the volume was reconstructed in it", path=path, field="mask")
    return config, Path(path)


def check_kind(kind: str | None) -> None:
    """Raise :class:`ConfigError` for another word than tilts, foci and dose."""
    from napari_phaset3m.analyse.halves import KINDS

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--halves: is {kind!r}. Use {', '.join(KINDS)}")


def with_halves(subject: Subject, wish: Wish, *, quiet: bool) -> Subject:
    """Reconstruct both halves of the subject's series and give them to it.

    Raises
    ------
    CancelledError
        Ctrl-C; half volumes that were written stay.
    RunFailed
        Something went wrong after the first step.
    PhaseT3MError
        The series cannot be split so, or the settings do not fit it.
    """
    from napari_phaset3m.analyse.halves import DESCRIPTION

    done = _drive(subject, wish, quiet=quiet)
    one, two = done.volumes
    if one is None or two is None:
        raise CancelledError(_stopped(done))
    notes = tuple(done.notes) + (() if done.paths else ("The half volumes were not kept (no -o).",))
    free = None if done.free is None else done.free.volumes
    return replace(
        subject, halves=(one, two), halves_name=DESCRIPTION[done.kind], halves_notes=notes, free_halves=free
    )


def _told(event: Any) -> str:
    which = "Control, half" if event.control else "Half"
    return f"{which} {event.half + 1} of 2, sweep {event.detail.sweep + 1}, error {event.detail.error:.4f}"


def _drive(subject: Subject, wish: Wish, *, quiet: bool) -> Any:
    from napari_phaset3m.io.mask import load_mask
    from napari_phaset3m.jobs import RunControl
    from napari_phaset3m.jobs.halves import HalvesProgress, HalvesResult, run_halves
    from napari_phaset3m.jobs.halves_free import run_halves_with_control

    control, begun, series = RunControl(), False, subject.series
    kind: Any = wish.kind
    device: Any = wish.device
    assert series is not None
    support = None if wish.support is None else load_mask(wish.support)
    with running.stop_signals(control), running.progress_bar(quiet) as show:
        try:
            for event in (run_halves_with_control if wish.control else run_halves)(
                series,
                wish.config,
                kind,
                device=device,
                control=control,
                mask=None if support is None else support.mask,
                fsc_mask=subject.mask,
                fsc_mask_name=subject.mask_text,
                seed=wish.seed,
                output=wish.output,
                series_path=wish.series_path,
            ):
                if isinstance(event, HalvesProgress):
                    begun = True
                    show(_told(event), event.fraction)
                elif isinstance(event, HalvesResult):
                    if event.reason == "stopped":
                        raise CancelledError(_stopped(event))
                    return event
        except CancelledError:
            raise
        except PhaseT3MError as error:
            if not begun:
                raise
            raise running.RunFailed(str(error)) from error
    raise running.RunFailed("the halves ended without a result")


def _stopped(done: Any) -> str:
    kept = ", ".join(str(path) for path in done.paths)
    return (
        f"stopped during the halves; {f'kept: {kept}' if kept else 'nothing was kept'}; no report was written"
    )


def warn_if_changed(record: Mapping[str, Any], path: Path) -> None:
    """Say so when the series is not the file that the volume was made from."""
    from napari_phaset3m.io.provenance import sha256

    known = [item.get("sha256") for item in record.get("inputs") or []]
    if known and path.is_file() and sha256(path) not in known:
        print(f"{path}: is not the file that the volume was made from", file=sys.stderr)
