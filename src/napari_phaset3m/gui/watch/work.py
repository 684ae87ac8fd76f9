"""The folder that a session watches; belongs to the session, so that its window may be closed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.controlled_job import WindowJob
from napari_phaset3m.gui.error_words import KNOWN, error_line, one_line, report, with_kind
from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import LayerSpec, publisher_for
from napari_phaset3m.gui.layers.volumes import AXIS_LABELS, import_for_display, placement, turn_to_volume
from napari_phaset3m.gui.reconstruct.positivity_line import doubt_of
from napari_phaset3m.gui.worker import in_background, start_job
from napari_phaset3m.jobs import RunControl
from napari_phaset3m.jobs.frames import display_limits
from napari_phaset3m.jobs.watch import (
    Looked,
    QuickFailed,
    QuickVolume,
    WatchConfig,
    WatchProgress,
    hand_over,
    iterate_watch,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import Session

#: Key of the layer of the quick volume.
QUICK = "watch"
_KEY = "watch"


class WatchWork(WindowJob):
    """Folder, settings, and the worker that looks.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: The folder was looked through: Looked.
    looked = Signal(object)
    progressed = Signal(str, float)

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session, self._publisher = session, publisher_for(session, viewer)
        self.folder: Path | None = None
        self.config = WatchConfig()
        self.newest: Looked | None = None
        self.quick: QuickVolume | None = None
        self.problem = self.message = self.quick_text = ""
        self.reading = False

    def set_folder(self, folder: Path) -> None:
        """Choose what to watch; what an earlier folder held is forgotten."""
        if not self.busy:
            self.folder, self.newest, self.quick = folder, None, None
            self.problem = self.message = self.quick_text = ""
            self.changed.emit()

    def set_config(self, **values: Any) -> str:
        """Change settings; returns what is wrong with them."""
        try:
            self.config = WatchConfig.parse(**{**self.config.model_dump(), **values})
        except PhaseT3MError as error:
            return str(error)
        self.changed.emit()
        return ""

    def notes(self) -> list[str]:
        """What the command line tells, too: what was read beside the images, and a doubt of the volume."""
        told = [] if self.newest is None else [f"{note[:1].upper()}{note[1:]}." for note in self.newest.notes]
        negative = "" if self.quick is None else self.quick.negative
        if negative:
            told.append(doubt_of(negative))
        return told

    def start(self) -> None:
        """Watch in the background until :meth:`stop`."""
        if self.busy or self.folder is None:
            return
        self._control, self.problem, self.message = RunControl(), "", ""
        self._worker = start_job(
            _watch,
            self.folder,
            self.config,
            control=self._control,
            window=self._window,
            title="Watching a folder",
            connect={"yielded": self._on_event, "errored": self._on_error, "finished": self._on_finished},
        )
        self.changed.emit()

    def why_not_use(self) -> str:
        """Why there is no series to hand over; empty when there is one."""
        if self.reading:
            return "The series is being read"
        if self.newest is None or self.newest.plan is None:
            return "No tilt has arrived yet"
        return self.newest.problem if self.newest.is_there else "The folder cannot be reached"

    def use(self) -> None:
        """Read what has arrived at full size and make it the session's series; watching goes on."""
        if self.why_not_use() or self.newest is None or self.newest.plan is None:
            return
        self.reading, self.problem = True, ""
        job = partial(_read, self.newest.plan, self.quick)
        in_background(job, self._on_read, self._on_crash)
        self.changed.emit()

    def _on_read(self, outcome: tuple[TiltFocalSeries | None, str]) -> None:
        series, self.problem = outcome
        self.reading = False
        if series is not None and self.folder is not None:
            name = f"{self.folder.name}, {series.n_tilt} tilts"
            series = series.replace(metadata={**series.metadata, "name": name})
            session = self._session
            session.series_read, session.series_overrides, session.series_path = series, {}, None
            session.series = series
            self._look_at_images()
            self.message = f"{series.n_tilt} tilts are open in the Series panel; save them there"
        self.changed.emit()

    def _look_at_images(self) -> None:
        """Flat images and a volume in one 3D view cannot be told apart: the images come to the front."""
        layer = self._publisher.layer(QUICK)
        if layer is not None:
            layer.visible = False
        self._publisher.bring_forward(IMAGES)

    def _on_crash(self, error: Exception) -> None:
        self.reading, self.problem = False, with_kind(error)
        self.changed.emit()
        raise error

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Looked):
            self.newest = event
            self.looked.emit(event)
        elif isinstance(event, WatchProgress):
            self.progressed.emit(event.text, event.fraction)
        elif isinstance(event, QuickVolume) and not self._control.stopped:
            self.quick = event
            notes = "".join(f"; {note}" for note in event.notes)
            self.quick_text = f"Quick volume of {event.n_tilt} tilts ({event.seconds:.1f} s){notes}"
            self._show(event)
            self.changed.emit()
        elif isinstance(event, QuickFailed):
            self.quick_text = f"No quick volume: {event.text}"
            self.changed.emit()

    def _show(self, quick: QuickVolume) -> None:
        first = not self._publisher.has(QUICK)
        if first:
            turn_to_volume(self._publisher)
        folder = "" if self.folder is None else self.folder.name
        settings = self.config.model_dump(mode="json")
        spec = LayerSpec(
            data=quick.volume,
            name=f"Quick volume · {folder}",
            axis_labels=AXIS_LABELS,
            **placement(quick.volume.shape, quick.voxel_size_angstrom),
            metadata={
                "role": "volume", "stage": "quick", "n_tilt": quick.n_tilt, "unit": quick.unit,
                "folder": str(self.folder), "voxel_size_angstrom": quick.voxel_size_angstrom,
                "watch": settings,
            },
            limits=display_limits(quick.volume),
            looks={"colormap": "gray", "rendering": "mip"},
        )  # fmt: skip
        self._publisher.show(QUICK, spec, exact=True, revive=False)
        if first:
            self._publisher.reset_view()

    def _on_error(self, error: Exception) -> None:
        self.problem = error_line(error)
        if not isinstance(error, KNOWN):
            report(error)

    def _on_finished(self) -> None:
        self._worker = None
        self.changed.emit()


def _watch(folder: Path, config: WatchConfig, *, control: RunControl) -> Iterator[Any]:
    """What the worker runs; the imports of the first picture are done there too."""
    import_for_display()
    yield from iterate_watch(folder, config, control=control)


def _read(plan: Any, quick: QuickVolume | None) -> tuple[TiltFocalSeries | None, str]:
    try:
        return hand_over(plan, quick), ""
    except (PhaseT3MError, OSError, MemoryError) as error:
        return None, one_line(error)


def watch_work_for(session: Session, viewer: ViewerModel) -> WatchWork:
    """Return the watching of a session, made on first use."""
    found: WatchWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = WatchWork(session, viewer)
    return found
