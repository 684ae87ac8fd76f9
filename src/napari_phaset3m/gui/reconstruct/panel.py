"""The Reconstruct step: settings, forecast, run buttons, progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
)

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.layers.volume_modes import ModeRow, modes_for
from napari_phaset3m.gui.reconstruct.driver import driver_for
from napari_phaset3m.gui.reconstruct.forecast_line import ForecastLine
from napari_phaset3m.gui.reconstruct.form import ReconstructForm
from napari_phaset3m.gui.reconstruct.live_slices import show_slices
from napari_phaset3m.gui.reconstruct.live_tilt import show_tilt
from napari_phaset3m.gui.reconstruct.needed_fields import NeededFields, why_lacking
from napari_phaset3m.gui.reconstruct.run_mask import RunMaskLine
from napari_phaset3m.gui.runs.words import in_window
from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.theme import (
    PANEL_MAX_WIDTH,
    on_theme_change,
    set_role,
    theme_colours,
)
from napari_phaset3m.gui.widgets.binding import follow, format_bytes, format_seconds
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.scrolling import Column, DownScroll
from napari_phaset3m.series_identity import is_of_open_series
from napari_phaset3m.session import RunRecord, Session

if TYPE_CHECKING:
    import napari.components

NO_SERIES = "Open a tilt series first (step Series)"


class ReconstructPanel(Column):
    """Set up, start, watch and end a reconstruction.

    Parameters
    ----------
    session : Session
    viewer : napari.components.ViewerModel
        Where the volume appears.
    """

    def __init__(self, session: Session, viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._session = session
        self._driver = driver_for(session, viewer)
        self._refused = ""
        self.modes = ModeRow(modes_for(session, viewer))
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        self._build()
        follow(session.events.device, self._on_device_changed)
        follow(session.events.progress, self._on_progress)
        follow(session.events.message, self._refresh)
        for name in ("active_run", "series", "config"):
            follow(session.events[name], self._refresh)
        follow(session.run_changed, self._on_run)
        step_driver_for(session).changed.connect(self._refresh)
        on_theme_change(self._restyle)
        self._restyle()
        self._refresh()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Learn which window the run belongs to."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow):  # not a floating dock: closing that only hides the panel
            self._driver.watch_window(window)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 8)
        layout.setSpacing(6)
        self.form = ReconstructForm(self._session)
        self.form.refused.connect(self._on_refused)
        self._add_device()
        self.form.layout().addStretch(1)
        layout.addWidget(DownScroll(self.form), 1)
        self.mask = RunMaskLine(self._session)
        layout.addWidget(self.mask)
        self.needed = NeededFields(self._session)
        layout.addWidget(self.needed)
        self.forecast = ForecastLine(self._session)
        self.forecast.changed.connect(self._refresh)
        layout.addWidget(self.forecast)
        layout.addWidget(self.forecast.note)
        self._add_buttons(layout)
        self.modes.slices_wanted.connect(partial(self._on_pictures, show_slices))
        self.modes.tilt_wanted.connect(partial(self._on_pictures, show_tilt))
        layout.addWidget(self.modes)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.bar.hide()
        layout.addWidget(self.bar)
        self.numbers = self._text("numbers")
        self.status = self._text("status")
        self.error = self._text("error")
        set_role(self.error, "error")
        set_role(self.status, "muted")
        for label in (self.numbers, self.status, self.error):
            label.hide()
            layout.addWidget(label)

    def _text(self, name: str) -> QLabel:
        label = QLabel()
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        return label

    def _add_device(self) -> None:
        self.device = ChoiceBox()
        for text, value in (("auto", "auto"), ("CPU", "cpu"), ("GPU (CUDA)", "cuda")):
            self.device.addItem(text, value)
        self.device.setToolTip("auto takes the GPU when one works; GPU never falls back to the CPU")
        self.device.setCurrentIndex(self.device.findData(self._session.device))
        self.device.currentIndexChanged.connect(self._on_device)
        self.form.main.addRow("Device", self.device)
        self.live = QCheckBox("Live volume")
        self.live.setChecked(self._session.live)
        self.live.setToolTip("Off: nothing is drawn before the end, and no time is spent on previews")
        self.live.toggled.connect(self._on_live)
        self.form.main.addRow("", self.live)

    def _add_buttons(self, layout: QVBoxLayout) -> None:
        self.start = QPushButton("Start reconstruction")
        self.start.setMinimumHeight(34)
        self.start.clicked.connect(self._on_start)
        self.pause = QPushButton("Pause")
        self.pause.clicked.connect(self._driver.toggle_pause)
        self.finish = QPushButton("Finish now")
        self.finish.clicked.connect(self._driver.finish)
        self.stop = QPushButton("Stop")
        self.stop.clicked.connect(self._driver.stop)
        layout.addWidget(self.start)
        row = QHBoxLayout()
        row.setSpacing(6)
        for button in (self.pause, self.finish, self.stop):
            row.addWidget(button)
        layout.addLayout(row)

    def _restyle(self) -> None:
        colours = theme_colours()
        self.start.setStyleSheet(
            f"QPushButton {{ background: {colours.accent}; color: {colours.on_accent()}; font-weight: 600; }}"
            f"QPushButton:disabled {{ background: {colours.foreground}; color: {colours.text}; }}"
        )

    def _on_device(self, *_: object) -> None:
        self._session.device = self.device.currentData()

    def _on_live(self, checked: bool) -> None:
        self._session.live = checked

    def _on_start(self) -> None:
        self.form.take_typed()
        if self.why_not_start():
            return
        self._driver.start()

    def _on_pictures(self, show: Callable[..., None]) -> None:
        viewer = self._driver.publisher.viewer
        if viewer is not None:
            show(self._session, viewer)

    def _on_refused(self, text: str) -> None:
        self._refused = text if not text else in_window(ConfigError(text))
        self._refresh()

    def _on_device_changed(self) -> None:
        index = self.device.findData(self._session.device)
        if index != self.device.currentIndex():
            self.device.setCurrentIndex(index)

    def _on_run(self, record: RunRecord) -> None:
        self._refresh()

    def _on_progress(self) -> None:
        progress = self._session.progress
        if progress is None:
            return
        left = progress.remaining_seconds
        bound = "at most " if self._session.config.iterations == "auto" else ""
        # A progress bar paints at once, and with it whatever else of the window is due,
        # 3D canvases included; with updates off, the change is painted with the next frame.
        self.bar.setUpdatesEnabled(False)
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * progress.fraction))
        self.bar.setFormat("%p%" if left is None else f"%p%  ·  {bound}{format_seconds(left)} left")
        self.bar.setUpdatesEnabled(True)
        self.numbers.setText(self._numbers())

    def _numbers(self) -> str:
        progress, record = self._session.progress, self._latest()
        if record is None:
            return ""
        parts = []
        if progress is not None and record.active:
            parts.append(f"Sweep {progress.sweep + 1} of {progress.n_sweeps}")
        elif record.sweeps:
            parts.append(f"{len(record.sweeps)} sweeps in {format_seconds(record.seconds)}")
        if record.sweeps:
            last = record.sweeps[-1]
            parts.append(f"error {last.error:.3g}")
            if last.held_out_error is not None:
                parts.append(f"held out {last.held_out_error:.3g}")
            parts.append(format_bytes(last.memory_bytes))
        if record.device:
            parts.append(record.device)
        return "  ·  ".join(parts)

    def _latest(self) -> RunRecord | None:
        """The newest run, unless it is of another series than the one that is open."""
        newest = self._session.runs[-1] if self._session.runs else None
        ours = newest is not None and (newest.active or is_of_open_series(self._session, newest))
        return newest if ours else None

    def why_not_start(self) -> str:
        """Why a run cannot be started now; empty when it can."""
        series = self._session.series
        if series is None:
            return NO_SERIES
        if self._session.active_run is not None:
            return "A run is under way"
        steps = step_driver_for(self._session)
        if steps.busy:
            return f"{steps.title} is running: wait, finish or stop it"
        return why_lacking(series, self._session.config) or self._refused or self.forecast.blocker

    def _refresh(self) -> None:
        record = self._session.run(self._session.active_run)
        why = self.why_not_start()
        self._enable(self.start, why, "Start with these settings")
        ending = "" if record is not None else "Nothing is running"
        self._enable(self.pause, ending, "Hold after the present step; resume later")
        self._enable(self.finish, ending, "End after the present step and keep the full-size volume")
        self._enable(self.stop, ending, "End at once; the last preview stays in the viewer")
        paused = record is not None and record.status == "paused"
        self.pause.setText("Resume" if paused else "Pause")
        waiting = record is not None and record.status in ("preparing", "queued")
        self.bar.setVisible(record is not None)
        if waiting:
            self.bar.setRange(0, 0)
        elif record is not None and self.bar.maximum() == 0:
            self.bar.setRange(0, 1000)
        self._show(self.numbers, self._numbers())
        failure = self._session.message if self._session.message.startswith("Failed") else ""
        series = self._session.series
        lacks = why_lacking(series, self._session.config) if series is not None and record is None else ""
        problem = lacks or self._refused or self.forecast.blocker or failure
        self._show(self.error, problem)
        message = "" if problem and record is None else self._session.message
        self._show(self.status, message or (why if why == NO_SERIES else ""))

    def _enable(self, button: QPushButton, why_not: str, tip: str) -> None:
        button.setEnabled(not why_not)
        button.setToolTip(why_not or tip)

    def _show(self, label: QLabel, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))
