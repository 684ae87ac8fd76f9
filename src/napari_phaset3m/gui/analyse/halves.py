"""Both halves of the series reconstructed in turn, as one job with one progress."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal

from napari_phaset3m.analyse.halves import DESCRIPTION, KINDS, HalvesKind
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.analyse.inputs import Halves
from napari_phaset3m.gui.analyse.work import AnalyseWork
from napari_phaset3m.gui.controlled_job import ControlledJob
from napari_phaset3m.gui.error_words import error_line, tried
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.jobs.halves import HalfEvent, HalvesProgress, HalvesResult, run_halves
from napari_phaset3m.jobs.halves_free import run_halves_with_control
from napari_phaset3m.jobs.messages import Waiting
from napari_phaset3m.series_identity import is_of_open_series, name_of_other

if TYPE_CHECKING:
    from napari_phaset3m.session import Session

_KEY = "analyse halves"
#: Progress comes in dozens a second and is shown this often, ms.
TICK_MS = 200


class HalvesJob(ControlledJob):
    """Makes half volumes for the analysis of a session; outlives the panels.

    Parameters
    ----------
    session : Session
    work : AnalyseWork
        Gets the halves.
    """

    #: It ends after its present step, and the second half gets as many sweeps.
    finishing = "Finishing this half"
    #: (text, style role).
    said = Signal(str, str)

    def __init__(self, session: Session, work: AnalyseWork) -> None:
        super().__init__()
        self._session, self._work = session, work
        self.progress: HalvesProgress | None = None
        #: Also reconstruct the halves without priors.
        self.with_control = False
        self._kind: HalvesKind = "tilts"
        self._of = ""
        self._result: HalvesResult | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.changed)

    def why_not(self) -> str:
        """Why no halves can be computed; empty when they can."""
        session, record = self._session, self._work.record()
        if self.busy:
            return "Halves are being computed"
        if session.series is None:
            return "The tilt series is needed: open it (step Series)"
        if record is not None and not is_of_open_series(session, record):
            return f"The volume was made of {name_of_other(session, record)}: open that series (step Series)"
        return ""

    def settings(self) -> str:
        """Whose settings the halves get, in words."""
        whose = "of the result that is chosen" if self._work.record() is not None else "of step Reconstruct"
        return f"with the settings {whose}"

    def start(self, kind: HalvesKind) -> None:
        """Reconstruct both halves, with the settings of the result they belong to."""
        session, record = self._session, self._work.record()
        if self.why_not() or session.series is None:
            return
        source = self._work.inputs.source
        self._of = source.name if record is not None and source is not None else session.series_name
        self._kind, self._result, self.progress = kind, None, None
        self.said.emit("", "muted")
        self._begin(
            run_halves_with_control if self.with_control else run_halves,
            session.series,
            session.config if record is None else record.config,
            kind,
            device=session.device,
            mask=session.mask if record is None else record.mask.mask if record.mask else None,
            title="The reconstruction of both halves",
            connect={"yielded": self._on_event, "errored": self._on_error, "finished": self._on_finished},
        )
        self._timer.start()
        self.changed.emit()

    def _on_event(self, event: Any) -> None:
        if isinstance(event, HalvesProgress):
            self.progress = event
            if not self.message.startswith(("Stopping", "Finishing")) or event.half == 1:
                which = "Control without priors, half" if event.control else "Half"
                self.message = f"{which} {event.half + 1} of 2, sweep {event.detail.sweep + 1}"
        elif isinstance(event, HalfEvent) and isinstance(event.event, Waiting):
            self.message = event.event.message
        elif isinstance(event, HalvesResult):
            self._result = event

    def _on_error(self, error: Exception) -> None:
        self.said.emit(f"Halves: {error_line(error)}", "error")

    def _on_finished(self) -> None:
        self._timer.stop()
        result, self._result = self._result, None
        self._end()
        if result is not None:
            self._take(result)
        self.changed.emit()

    def _take(self, result: HalvesResult) -> None:
        one, two = result.volumes
        if one is None or two is None or result.voxel_size_angstrom is None or result.reason == "stopped":
            self.said.emit("Halves were stopped; nothing was kept.", "muted")
            return
        record = {
            "parameters": result.config.model_dump(mode="json"),
            "halves": result.kind,
            "error_per_iteration": [[done.error for done in sweeps] for sweeps in result.sweeps],
        }
        halves = Halves(
            (one, two), result.voxel_size_angstrom, DESCRIPTION[result.kind], self._of, result.notes, record,
            result.unit, _control(result),
        )  # fmt: skip
        self._work.choose(halves=halves)
        self._work.compute("fsc")

    # files

    def open(self, paths: list[str]) -> None:
        """Take two volumes from files."""
        if len(paths) != 2:
            self.said.emit(f"Halves: choose two files, not {len(paths)}.", "error")
            return
        self.said.emit("Opening halves …", "muted")
        in_background(partial(tried, partial(_open, *paths)), self._on_opened, self._on_error)

    def save(self, path: Path) -> None:
        """Write the halves that are there, and the FSC as a table."""
        from napari_phaset3m.gui.analyse.report import save_halves

        halves = self._work.inputs.halves
        if halves is not None:
            self.said.emit("Saving halves …", "muted")
            known = self._work.fresh().get("fsc")
            curve = None if known is None else known.curve
            job = partial(save_halves, halves, path, self._session.series_path, curve)
            in_background(partial(tried, job), self._on_saved, self._on_error)

    def _on_opened(self, answer: tuple[Any, Exception | None]) -> None:
        halves, error = answer
        if error is not None:
            self._on_error(error)
            return
        self.said.emit("", "muted")
        self._work.choose(halves=halves)
        self.changed.emit()

    def _on_saved(self, answer: tuple[Any, Exception | None]) -> None:
        paths, error = answer
        if error is not None:
            self._on_error(error)
        else:
            self.said.emit(f"Saved {', '.join(path.name for path in paths)}", "good")


def _control(result: HalvesResult) -> tuple[np.ndarray, np.ndarray] | None:
    one, two = (None, None) if result.free is None else result.free.volumes
    return None if one is None or two is None else (one, two)


def halves_job_of(session: Session, work: AnalyseWork) -> HalvesJob:
    """Return the halves' job of a session, made on first use."""
    found: HalvesJob | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = HalvesJob(session, work)
        keys = session.attachments.get("keys")
        if keys is not None:
            keys.watch(found)
    return found


def _open(one: str, two: str) -> Halves:
    from napari_phaset3m.gui.analyse.inputs import file_record
    from napari_phaset3m.io.volume import load_volume

    first, second = load_volume(one), load_volume(two)
    names = [Path(one).name, Path(two).name]
    if first.data.shape != second.data.shape:
        raise DataError(f"has shape {second.data.shape}, but {names[0]} has {first.data.shape}", path=two)
    if abs(first.voxel_size_angstrom / second.voxel_size_angstrom - 1) > 1e-3:
        raise DataError(f"has other voxels than {names[0]}", path=two, remedy="Halves lie on one grid")
    kinds = [str(file_record(Path(path)).get("halves")) for path in (one, two)]
    known = kinds[0] in KINDS and kinds[0] == kinds[1]
    described = {str(kind): text for kind, text in DESCRIPTION.items()}
    words = described[kinds[0]] if known else "the half volumes"
    name = f"{words} ({names[0]}, {names[1]})" if known else f"{words} {names[0]} and {names[1]}"
    return Halves((first.data, second.data), first.voxel_size_angstrom, name, "files", unit=first.unit)
