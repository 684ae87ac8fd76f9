"""The search for the microscope of one session: plan, trials, result; outlives the panels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.gui.error_words import with_kind
from napari_phaset3m.gui.layers.publisher import LayerPublisher, LayerSpec, publisher_for
from napari_phaset3m.gui.layers.volumes import AXIS_LABELS, placement, turn_to_volume
from napari_phaset3m.gui.optimise.plan import Plan, reason, refusal
from napari_phaset3m.gui.optimise.rounds import Round, events_of, map_of
from napari_phaset3m.gui.steps.driver import StepDriver, step_driver_for
from napari_phaset3m.gui.steps.events import Job, Update
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.jobs.frames import display_limits
from napari_phaset3m.optimise.auto import AutoResult
from napari_phaset3m.optimise.parameters import solver_values, with_solver
from napari_phaset3m.optimise.search import SearchResult

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.optimise.posterior import Slice
    from napari_phaset3m.prepare.events import Done
    from napari_phaset3m.session import Session

TOPIC = "optimise"
APPLIED = "Microscope found"
VOLUME = "optimise volume"
_KEY = "optimise work"


class OptimiseWork(QObject):
    """Searches, shows, applies and takes back.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
    """

    #: Plan, trials or result changed.
    changed = Signal()
    #: A slice along two parameters is there.
    drawn = Signal()

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self._session = session
        self.publisher: LayerPublisher = publisher_for(session, viewer)
        self.driver: StepDriver = step_driver_for(session)
        self.plan = Plan()
        self.rounds: list[Round] = []
        self.stage = ""
        self.result: AutoResult | SearchResult | None = None
        #: Before and after; ``found`` is what Apply writes.
        self.start_series: TiltFocalSeries | None = None
        self.found: TiltFocalSeries | None = None
        self.used_config = ReconstructionConfig()
        self.map: tuple[tuple[int, int, int], Slice] | None = None
        self._config_before: ReconstructionConfig | None = None
        self._asked: tuple[int, int, int] | None = None
        self._running = False
        follow(session.events.series, self._on_series)
        follow(session.events.config, self._on_config)
        self.driver.progressed.connect(self._on_progress)
        self.driver.changed.connect(self._on_driver)

    # the plan

    def set_plan(self, **changes: Any) -> None:
        """Change settings."""
        self.plan = replace(self.plan, **changes)
        self.changed.emit()

    def why_not(self) -> tuple[str, tuple[str, ...]]:
        """(Why nothing can be started, notes on what can be found only badly)."""
        series = self._session.series
        why = self.driver.why_not()
        if series is None or why:
            return why, ()
        return refusal(self.plan, series, self._session.config)

    def reason(self, name: str) -> str:
        """Why one parameter cannot be searched; empty when it can."""
        series = self._session.series
        return "" if series is None else reason(self.plan, name, series, self._session.config)

    # the run

    def start(self) -> None:
        """Search in the background."""
        if self.why_not()[0]:
            return
        self._clear()
        self.start_series, self.used_config = self._session.series, self._session.config
        name = "Search and gradient" if self.plan.auto else "Search"
        job = Job(name, partial(events_of, self.plan, self.used_config))
        self.driver.start(TOPIC, name, [job], self._take)

    def _clear(self) -> None:
        self.rounds, self.result, self.found, self.map = [], None, None, None
        self.stage, self._config_before = "", None

    def _on_progress(self, update: Update) -> None:
        if self.driver.topic != TOPIC:
            return
        self.stage = update.progress.text
        detail = update.progress.detail
        self.rounds = detail.get("rounds", self.rounds)
        trial = detail.get("trial")
        if trial is not None:
            last = self.rounds[-1] if self.rounds else None
            known = [] if last is None else [earlier.number for earlier in last.trials]
            if last is None or last.limits != detail["limits"] or trial.number in known:
                self.rounds.append(Round([], dict(detail["limits"])))
            now = self.rounds[-1]
            now.trials.append(trial)
            now.slices = tuple(detail["slices"])
            self.changed.emit()

    def _take(self, name: str, done: Done) -> None:
        self.result, self.found = done.result, done.series
        self.stage = ""
        self.driver.say(TOPIC, "Found: look at it, then apply it", "good")
        self.changed.emit()

    def _on_driver(self) -> None:
        if not self.driver.busy:
            self.stage = ""
        self.changed.emit()

    def _on_config(self) -> None:
        self.changed.emit()

    def _on_series(self, series: TiltFocalSeries | None) -> None:
        old = self.start_series
        if not self.driver.busy and old is not None:
            same = series is not None and (
                series.images.shape == old.images.shape and self._session.history.position > 0
            )
            if not same and series is not old:
                self._clear()
                self.start_series = None
        self.changed.emit()

    # posterior along two parameters

    def request_map(self, number: int, axes: tuple[int, int]) -> None:
        """Compute the posterior of a finished search along two parameters."""
        self._asked = (number, *axes)
        if self.map is not None and self.map[0] == self._asked:
            return
        search = self.rounds[number].result if number < len(self.rounds) else None
        if not self._running and search is not None:
            self._running = True
            in_background(partial(map_of, self._asked, search), self._on_map, self._on_crash)

    def _on_map(self, answer: tuple[tuple[int, int, int], Slice | None]) -> None:
        self._running = False
        if answer[1] is not None and answer[0] == self._asked:
            self.map = (answer[0], answer[1])
            self.drawn.emit()
        elif self._asked is not None and answer[0] != self._asked:
            self.request_map(self._asked[0], self._asked[1:])

    def _on_crash(self, error: Exception) -> None:
        self._running = False
        self.driver.say(TOPIC, with_kind(error), "error")

    # into the series

    @property
    def applied(self) -> bool:
        """Whether the series is what was found."""
        return self.found is not None and self._session.series is self.found

    def why_not_apply(self) -> str:
        """Why nothing can be applied; empty when it can."""
        if self.found is None:
            return "Start first"
        if self.driver.busy:
            return f"{self.driver.title} is running"
        if self.applied:
            return "The series has these values"
        return "" if self._session.series is self.start_series else "The series was changed since: start anew"

    def apply(self) -> None:
        """Write what was found into the series (and settings of the reconstruction that were searched)."""
        found = self.found
        if found is None or self.why_not_apply():
            return
        solver = self._solver()
        self._session.apply(found, APPLIED)
        if solver:
            self._config_before = self._session.config
            self._session.config = with_solver(found, self._session.config, solver)
        self.driver.say(TOPIC, "Applied: the series has these values now; Undo takes them back", "good")
        self.changed.emit()

    def _solver(self) -> dict[str, float]:
        """Settings of the reconstruction that were searched, as they were found."""
        if isinstance(self.result, AutoResult):
            return self.result.solver
        return {} if self.result is None else solver_values(self.result.best.values)

    def why_not_revert(self) -> str:
        """Why nothing can be taken back; empty when it can."""
        if self.found is None:
            return "Nothing was found yet"
        if self.driver.busy:
            return f"{self.driver.title} is running"
        return ""

    def revert(self) -> None:
        """Take back what was applied; what is not applied is dropped."""
        if self.why_not_revert():
            return
        if self.applied:
            self._session.undo()
            if self._config_before is not None:
                self._session.config, self._config_before = self._config_before, None
            self.driver.say(TOPIC, "Taken back: the series is as it was", "muted")
        else:
            self._clear()
            self.driver.say(TOPIC, "Dropped; the series stays as it is", "muted")
        self.changed.emit()

    # the volume

    @property
    def volume(self) -> np.ndarray | None:
        """`(nz, ny, nx)` volts at the best point."""
        return None if self.result is None else self.result.volume

    @property
    def volume_config(self) -> ReconstructionConfig:
        """How that volume was made."""
        config, series = self.used_config, self.found
        if series is None or self.result is None:
            return config
        config = with_solver(series, config, self._solver())
        bin_ = self.result.volume_bin
        return (
            config
            if bin_ == 1
            else config.model_copy(update={"voxel_angstrom": series.pixel_size_angstrom * bin_})
        )

    def show_volume(self) -> None:
        """Put the volume into the viewer."""
        data, series = self.volume, self.found
        if data is None or series is None:
            return
        voxel = self.volume_config.voxel_angstrom or series.pixel_size_angstrom
        spec = LayerSpec(
            data=data,
            name=f"Best point · {self._session.series_name.rsplit('.', 1)[0]}",
            axis_labels=AXIS_LABELS,
            **placement(data.shape, voxel),
            metadata={"role": "volume", "stage": "optimise", "unit": "V", "voxel_size_angstrom": voxel},
            limits=display_limits(data),
            looks={"colormap": "gray", "rendering": "mip"},
        )
        turn_to_volume(self.publisher)
        self.publisher.show(VOLUME, spec, exact=True)
        self.publisher.reset_view()


def optimise_work_for(session: Session, viewer: ViewerModel) -> OptimiseWork:
    """Return the search of a session, made on first use."""
    found: OptimiseWork | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = OptimiseWork(session, viewer)
    return found


__all__ = ["APPLIED", "TOPIC", "VOLUME", "OptimiseWork", "Round", "optimise_work_for"]
