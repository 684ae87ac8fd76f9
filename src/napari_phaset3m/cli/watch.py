"""``phaset3m watch``: a table of the tilts as they arrive, and a quick volume that follows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_phaset3m.cli import options, running
from napari_phaset3m.cli.import_table import asked
from napari_phaset3m.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from napari_phaset3m.jobs.watch import Looked, QuickVolume, WatchConfig

_MARKS = {"good": "✓", "waiting": "…", "skipped": "✗"}
_HELD = "The volume is held positive: compare with --no-positivity"
_TITLES = {"good": "in the series", "waiting": "waits", "skipped": "left out"}


def _watch(
    folder: Annotated[Path, typer.Argument(help="Folder that the microscope writes into")],
    *,
    save: Annotated[
        Path | None, typer.Option(help="Series file (.h5), written anew with every quick volume")
    ] = None,
    volume: Annotated[
        Path | None, typer.Option(help="Quick volume (.mrc), written anew when tilts have arrived")
    ] = None,
    until: Annotated[
        int | None, typer.Option(min=1, help="End when so many tilts have arrived; none: until Ctrl-C")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each event")] = False,
    **fields: Any,
) -> None:
    """Watch a folder while the microscope runs: check, align coarsely and reconstruct what arrives.

    A file that is still being written is waited for; a broken one is left out, told, and taken up when
    it is replaced. The folder may vanish and come back. Nothing in it is changed.
    """
    from napari_phaset3m.core.plausible import doubtful_units
    from napari_phaset3m.jobs.control import RunControl
    from napari_phaset3m.jobs.watch import WatchConfig, iterate_watch

    if save is not None and save.suffix.lower() not in (".h5", ".hdf5"):
        raise OutputError(f"{save}: unknown suffix. The series is saved as .h5")
    running.check_outputs({"--save": save, "--volume": volume}, {"the folder": folder})
    config = options.build(WatchConfig, fields)
    _check_end(config, until, {"--save": save, "--volume": volume})
    if config.energy_ev is not None:
        for line in doubtful_units(config.energy_ev, None):
            print(line, file=sys.stderr)
    control, screen = RunControl(), _screen(as_json)
    driver = _Driver(save, volume, until, control, config.quick)
    with running.stop_signals(control), screen:
        for event in iterate_watch(folder, config, control=control):
            driver.take(event)
            screen.show(event)
    driver.check()


def _flags() -> list[Any]:
    from napari_phaset3m.jobs.watch import WatchConfig

    return options.parameters(WatchConfig)


def _check_end(config: WatchConfig, until: int | None, outputs: dict[str, Path | None]) -> None:
    """Refuse what waits for a quick volume that never comes.

    Raises
    ------
    ConfigError
    """
    if config.quick and until is not None and until < config.min_tilts:
        least = config.min_tilts
        raise ConfigError(
            f"--until: is {until}, and the first quick volume is made of {least} tilts (--min-tilts). "
            f"Give {least} or more, a lower --min-tilts (3 at least), or --no-quick"
        )
    for name, path in outputs.items():
        if path is not None and not config.quick:
            raise ConfigError(
                f"{name}: is written with every quick volume, and --no-quick makes none. Leave one out"
            )


class _Driver:
    """Writes what is asked for, and ends when enough has arrived (and was reconstructed, if anything is)."""

    def __init__(
        self, save: Path | None, volume: Path | None, until: int | None, control: Any, makes_quick: bool
    ) -> None:
        self._save, self._volume, self._until, self._control = save, volume, until, control
        self._makes_quick = makes_quick
        self._quick: QuickVolume | None = None
        self._arrived, self._failed = False, ""

    def take(self, event: Any) -> None:
        from napari_phaset3m.jobs.watch import Looked, QuickFailed, QuickVolume
        from napari_phaset3m.jobs.watch.loop import refused_in

        if isinstance(event, QuickVolume | QuickFailed):
            self._failed = event.text if isinstance(event, QuickFailed) else ""
        if isinstance(event, QuickVolume):
            self._write(event)
        elif isinstance(event, Looked) and self._until is not None:
            refused = refused_in(event.plan)
            if event.n_tilt >= self._until and refused is not None:
                raise refused
            self._arrived = event.n_tilt >= self._until and not event.problem
            has_all = self._quick is not None and self._quick.n_tilt >= event.n_tilt
            if self._arrived and (has_all or not self._makes_quick):
                self._control.stop()
        if self._arrived and isinstance(event, QuickVolume | QuickFailed):
            self._control.stop()

    def check(self) -> None:
        """Raise :class:`RunFailed` where enough has arrived and no quick volume could be made of it."""
        if self._arrived and self._failed:
            raise running.RunFailed(f"no quick volume: {self._failed}")

    def _write(self, quick: QuickVolume) -> None:
        from napari_phaset3m.io.series import save_series
        from napari_phaset3m.io.volume import Volume, save_volume
        from napari_phaset3m.jobs.watch import hand_over

        self._quick = quick
        if self._volume is not None:
            metadata = {"kind": "quick volume", "n_tilt": quick.n_tilt}
            made = Volume(
                data=quick.volume,
                voxel_size_angstrom=quick.voxel_size_angstrom,
                unit=quick.unit,
                metadata=metadata,
            )
            save_volume(made, self._volume)
        if self._save is not None:
            save_series(hand_over(quick.plan, quick), self._save)


class _Lines:
    """One line for whatever is new: for logs, and as JSON for machines."""

    def __init__(self, as_json: bool) -> None:
        self._json, self._said, self._noted = as_json, "", set[str]()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Any) -> None:
        record = summary(event)
        if not self._json:
            for line in _beside(record):
                if line not in self._noted:
                    print(line, flush=True)
                self._noted.add(line)
        text = json.dumps(record) if self._json else _line(record)
        if text and text != self._said:
            self._said = text if "looked" in record else self._said
            print(text, flush=True)


class _Table:
    """A live table on a terminal."""

    def __init__(self) -> None:
        from rich.live import Live

        self._looked: Looked | None = None
        self._doing = self._quick = ""
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> _Table:
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def show(self, event: Any) -> None:
        from napari_phaset3m.jobs.watch import Looked, WatchProgress

        if isinstance(event, Looked):
            self._looked, self._doing = event, ""
        elif isinstance(event, WatchProgress):
            self._doing = event.text
        else:
            self._quick, self._doing = _line(summary(event)), ""
        self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        table = Table("tilt", "file", "state", title=None, box=None)
        looked = self._looked
        rows = [] if looked is None else [*looked.rows]
        told = {} if looked is None else summary(looked)
        beside = _beside(told)
        room = max(4, self._live.console.height - 8 - len(beside))
        if len(rows) > room:
            hidden = len(rows) - room
            table.add_row("", f"({hidden} more)", "")
            rows = rows[hidden:]
        for row in rows:
            angle = "" if row.tilt_deg is None else f"{row.tilt_deg:+.1f}°"
            where = row.file.name + (f" [{row.section}]" if row.section else "")
            table.add_row(angle, where, f"{_MARKS[row.state]} {row.text or _TITLES[row.state]}")
        lines: list[Any] = [table, *beside, _line(told), self._quick, self._doing]
        return Group(*[line for line in lines if line])


def _screen(as_json: bool) -> Any:
    return _Table() if sys.stdout.isatty() and not as_json else _Lines(as_json)


def summary(event: Any) -> dict[str, Any]:
    """What an event tells, as plain values; empty for mere progress."""
    from napari_phaset3m.jobs.watch import Looked, QuickFailed, QuickVolume

    if isinstance(event, Looked):
        others = [row for row in event.rows if row.state != "good"]
        return {
            "looked": {
                "tilts": event.n_tilt,
                "images": event.n_good,
                "folder_is_there": event.is_there,
                "problem": event.problem,
                "notes": list(event.notes),
                "to_confirm": [_asked(question) for question in event.questions],
                "others": [{"file": r.file.name, "state": r.state, "text": r.text} for r in others],
            }
        }
    if isinstance(event, QuickVolume):
        told = {"tilts": event.n_tilt, "seconds": round(event.seconds, 2), "notes": list(event.notes)}
        shape, voxel = list(event.volume.shape), event.voxel_size_angstrom
        told["warning"] = event.negative and f"{event.negative}. {_HELD}"
        return {"volume": told | {"shape_zyx": shape, "voxel_size_angstrom": voxel}}
    return {"failed": event.text} if isinstance(event, QuickFailed) else {}


def _asked(question: Any) -> str:
    """A question with the flag that answers it, where this command has one."""
    from napari_phaset3m.jobs.watch import WatchConfig

    if question.field in WatchConfig.model_fields:
        return asked(question)
    return f"{question.field.replace('_', ' ')}: {question.text}"


def _beside(record: dict[str, Any]) -> list[str]:
    """What was read beside the images, and what was assumed."""
    told = record.get("looked", {})
    notes = [f"Note: {note}" for note in told.get("notes", ())]
    return [*notes, *(f"To confirm: {question}" for question in told.get("to_confirm", ()))]


def _line(record: dict[str, Any]) -> str:
    if "looked" in record:
        told = record["looked"]
        counts = [f"{sum(o['state'] == s for o in told['others'])} {t}" for s, t in
                  (("waiting", "being written"), ("skipped", "left out"))]  # fmt: skip
        text = f"{told['tilts']} tilts, {told['images']} images, " + ", ".join(counts)
        text += "".join(f"\n  {o['file']}: {o['text']}" for o in told["others"] if o["state"] == "skipped")
        return text + (f"\n  {told['problem']}" if told["problem"] else "")
    if "volume" in record:
        told = record["volume"]
        size = " x ".join(map(str, told["shape_zyx"]))
        text = (
            f"quick volume of {told['tilts']} tilts, {size} voxels of {told['voxel_size_angstrom']:.4g} Å, "
        )
        text += "; ".join([f"{told['seconds']:.1f} s", *told["notes"]])
        return text + (f"\n  warning: {told['warning']}" if told["warning"] else "")
    return f"no quick volume: {record['failed']}" if "failed" in record else ""


#: The command with one flag for each parameter of the model.
watch = options.with_flags(_watch, _flags())
