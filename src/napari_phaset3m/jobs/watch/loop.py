"""Look, take what has arrived, reconstruct quickly, wait, and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_phaset3m.errors import ConfigError, DataError, PhaseT3MError
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.importing import look
from napari_phaset3m.jobs.control import RunControl
from napari_phaset3m.jobs.watch.config import WatchConfig
from napari_phaset3m.jobs.watch.events import Looked, QuickFailed, QuickVolume, TiltRow, WatchProgress
from napari_phaset3m.jobs.watch.folder import Settling, Stamp, is_mdoc, listed, missing_bytes, stamp_of
from napari_phaset3m.jobs.watch.quick import iterate_quick
from napari_phaset3m.jobs.watch.shelf import Shelf, reason, waits_for_mdoc

WatchEvent = Looked | WatchProgress | QuickVolume | QuickFailed
_NO_ANGLE = "no tilt angle: name it like tilt_-12.0.mrc, or put its .mdoc or .rawtlt beside it"


class FolderWatch:
    """The state of a watched folder.

    Parameters
    ----------
    folder : path-like
    config : WatchConfig
    clock : callable
        Seconds that only rise.
    """

    def __init__(
        self, folder: str | Path, config: WatchConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.config, self._clock = Path(folder), config, clock
        self._patterns = [part.strip() for part in config.pattern.split(",") if part.strip()]
        self._settling = Settling()
        self.shelf = Shelf(config.quick_size_px)
        self.plan: ImportPlan | None = None
        self._problem = ""
        self._planned: object = None
        self._mdocs: dict[Path, Stamp] = {}
        self._waiting: dict[Path, str] = {}
        self._unnamed: tuple[Path, ...] = ()

    def look(self) -> Iterator[WatchProgress | Looked]:
        """Look through the folder once; the last event is :class:`Looked`."""
        found = listed(self.folder, self._patterns)
        images = {} if found is None else {p: s for p, s in found.items() if not is_mdoc(p)}
        # An unmounted drive may leave an empty folder behind.
        if found is None or (not images and self.shelf.taken):
            yield self._looked(is_there=False)
            return
        now = self._clock()
        self._settling.update(found, now)
        self._mdocs = {path: stamp for path, stamp in found.items() if is_mdoc(path)}
        for path in [path for path in self.shelf.taken if path not in images]:
            self.shelf.forget(path)
        self._waiting = {}
        for number, (path, stamp) in enumerate(sorted(images.items())):
            taken = self.shelf.taken.get(path)
            if taken is not None and taken.stamp == stamp:
                continue
            yield WatchProgress(f"Reading {path.name}", number / len(images))
            self._examine(path, stamp, now)
        self._make_plan()
        yield self._looked(is_there=True)

    def _examine(self, path: Path, stamp: Stamp, now: float) -> None:
        """Take a file that is written to its end; say what another one waits for."""
        still = self._settling.still_s(path, now)
        try:
            missing = missing_bytes(path, stamp.size)
            wait = "" if missing is None else f"being written, {_share(*missing)}"
            if not wait:
                wait = waits_for_mdoc(path)
        except (DataError, OSError) as error:
            wait = reason(error, path)
        if not wait and still < self.config.settle_seconds:
            wait = "being written, or just written"
        if not wait:
            self.shelf.take(path, stamp)
            if stamp_of(path) != stamp:  # it changed while it was read
                self.shelf.forget(path)
                wait = "being written"
        elif still >= max(self.config.give_up_seconds, self.config.settle_seconds):
            wait += f"; unchanged for {still:.0f} s: is it truncated? Copy it again"
            if path in self.shelf.taken and self.shelf.taken[path].sections == 1:
                self.shelf.forget(path)  # what it held before is no longer there
        if wait:
            self._waiting[path] = wait

    def _make_plan(self) -> None:
        """Recognise the series anew when files have come, changed or gone."""
        sound = {p: t for p, t in self.shelf.taken.items() if not t.refused and t.sections > len(t.bad)}
        state = (
            tuple(sorted((p, t.stamp, t.sections) for p, t in sound.items() if p not in self._waiting)),
            tuple(sorted(self._mdocs.items())),
        )
        if state == self._planned or any(path in self._waiting for path in sound):
            return  # nothing new, or a stack is growing: what was recognised before still holds
        self._planned = state
        if not sound:
            self.plan, self._problem = None, ""
            return
        try:
            self.plan, self._problem = self._recognised(sorted(sound)), ""
            self._problem = what_is_missing(self.plan)
        except PhaseT3MError as error:
            self._problem = " ".join(str(error).split())
            self._planned = None

    def _recognised(self, paths: list[Path]) -> ImportPlan:
        plan, self._unnamed = self._with_angles(paths)
        values: dict[str, Any] = {
            "pixel_size_angstrom": self.config.pixel_size_angstrom,
            "energy_ev": self.config.energy_ev,
            "tilt_axis_angle_deg": self.config.tilt_axis_angle_deg,
        }
        plan = plan.edited(**{key: value for key, value in values.items() if value is not None})
        return self._sound(plan)

    def _with_angles(self, paths: list[Path]) -> tuple[ImportPlan, tuple[Path, ...]]:
        """(plan, files that had to be left out because they state no angle while others do)."""
        problem = None
        try:
            plan = look(paths)
            if all(entry.tilt_deg is not None for entry in plan.images):
                return plan, ()
        except DataError as error:
            if error.field != "tilt_deg":
                raise
            problem = error
        unnamed = tuple(path for path in paths if _has_no_angle(path))
        if problem is not None and not 0 < len(unnamed) < len(paths):
            raise problem
        if 0 < len(unnamed) < len(paths):
            plan = look([path for path in paths if path not in unnamed])
            return plan, unnamed
        return plan, ()

    def _sound(self, plan: ImportPlan) -> ImportPlan:
        """Without the images that were found wanting: tilts that have none left are dropped."""
        kept: list[ImageEntry] = []
        for row in plan.rows():
            good = [entry for entry in row if self.shelf.has(entry)]
            if not good:
                continue
            tilt = len({entry.tilt_index for entry in kept})
            for entry in row:
                there = entry in good
                stand_in = entry if there else replace(good[0], focus_index=entry.focus_index, used=False,
                                                       is_filler=True)  # fmt: skip
                kept.append(replace(stand_in, tilt_index=tilt))
        if not kept:
            raise DataError("no image can be used", path=self.folder)
        return replace(plan, images=tuple(kept))

    def _looked(self, *, is_there: bool) -> Looked:
        entries = () if self.plan is None else self.plan.images
        rows = [TiltRow(e.file, e.section, e.tilt_deg, "good") for e in entries if not e.is_filler]
        for path, taken in sorted(self.shelf.taken.items()):
            if taken.refused:
                rows.append(TiltRow(path, 0, None, "skipped", taken.refused))
            rows += [TiltRow(path, k, None, "skipped", text) for k, text in sorted(taken.bad.items())]
        rows += [TiltRow(path, 0, None, "skipped", _NO_ANGLE) for path in self._unnamed]
        rows += [TiltRow(path, 0, None, "waiting", text) for path, text in sorted(self._waiting.items())]
        problem = self._problem
        if not is_there:
            problem = f"{self.folder} cannot be reached: waiting for it; what has arrived is kept"
        return Looked(tuple(rows), self.plan, problem, is_there)


def what_is_missing(plan: ImportPlan) -> str:
    """What must be given before the images can be a series; empty when nothing is missing."""
    if any(entry.tilt_deg is None for entry in plan.images):
        return f"tilt angles: {_NO_ANGLE}"
    if plan.pixel_size_angstrom is None:
        return "pixel size: not in the files. Give it (--pixel-size, in Å)"
    if plan.energy_ev is None:
        return "voltage: not in the files. Give it (--energy, in volts: 300 kV = 300e3)"
    refused = refused_in(plan)
    if refused is None:
        return ""
    where = Path(refused.path or plan.source).name
    return f"tilt axis: {refused.problem} ({where}). Give it (--tilt-axis-angle, in degrees)"


def refused_in(plan: ImportPlan | None) -> DataError | None:
    """What the files state and cannot be, so that no time mends it; None when there is nothing."""
    questions = () if plan is None else plan.questions
    return next((question.refusal for question in questions if question.refusal), None)


def _has_no_angle(path: Path) -> bool:
    try:
        plan = look([path])
    except PhaseT3MError:
        return True
    return any(question.field == "tilt_deg" for question in plan.questions)


def _share(there: int, stated: int) -> str:
    return f"{100 * there / stated:.0f} % there" if there and stated > there + 1 else "nothing there yet"


def iterate_watch(
    folder: str | Path,
    config: WatchConfig | None = None,
    *,
    control: RunControl | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[WatchEvent]:
    """Watch a folder until a stop is asked for.

    Parameters
    ----------
    folder : path-like
        Looked through every ``config.interval_seconds``; it may vanish and come back.
    config : WatchConfig, optional
    control : RunControl, optional
        ``stop()`` ends it within a step; ``pause()`` holds it.
    clock : callable
        Seconds that only rise.

    Yields
    ------
    WatchProgress, Looked
        ``Looked`` after every look.
    QuickVolume, QuickFailed
        When new tilts have arrived.

    Raises
    ------
    ConfigError
        There is no such folder at the start.
    """
    config, control = config or WatchConfig(), control or RunControl()
    if not Path(folder).is_dir():
        raise ConfigError(
            f"folder: {folder} is not there, or is no folder. Give the one that the microscope writes into"
        )
    watch, pause_s = FolderWatch(folder, config, clock), 0.0
    done: ImportPlan | None = None
    while not control.wait_for_stop(pause_s):
        pause_s = config.interval_seconds
        if control.wait_while_paused(0.25):
            continue
        event: WatchEvent | None = None
        for event in watch.look():
            yield event
            if control.stopped:
                return
        plan = watch.plan
        if not config.quick or plan is None or plan is done or plan.n_tilt < config.min_tilts:
            continue
        if isinstance(event, Looked) and not event.problem:
            done = plan
            yield from iterate_quick(plan, watch.shelf, config, control)


__all__ = ["FolderWatch", "WatchEvent", "iterate_watch", "refused_in", "what_is_missing"]
