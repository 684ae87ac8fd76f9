"""Progress and buttons of the step that is running; every panel that starts one shows the same."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QMainWindow, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.steps.driver import StepDriver
from napari_phaset3m.gui.steps.events import Update
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.binding import follow, format_seconds


class JobBar(QWidget):
    """What runs, how far it is, and Pause, Finish now, Stop; only there while something runs.

    Parameters
    ----------
    driver : StepDriver
    topic : str
        Of the panel it is in: what is said of other panels' jobs is not repeated here.
    """

    def __init__(self, driver: StepDriver, topic: str) -> None:
        super().__init__()
        self._driver, self._topic = driver, topic
        self.text = label("", "muted", wrap=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.pause, self.finish, self.stop = (QPushButton(t) for t in ("Pause", "Finish now", "Stop"))
        self.pause.clicked.connect(driver.toggle_pause)
        self.finish.clicked.connect(driver.finish)
        self.stop.clicked.connect(driver.stop)
        self.finish.setToolTip("End early and keep the best so far")
        self.stop.setToolTip("End without a result; the series stays as it is")
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.pause, self.finish, self.stop):
            buttons.addWidget(button)
        self.controls = QWidget()
        column = QVBoxLayout(self.controls)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(LINE_SPACING)
        column.addWidget(self.bar)
        column.addLayout(buttons)
        self.note = label("", "muted", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        for widget in (self.text, self.controls, self.note):
            layout.addWidget(widget)
        driver.changed.connect(self.refresh)
        driver.progressed.connect(self._on_progress)
        driver.said.connect(self._on_said)
        for signal in (driver.session.opened, driver.session.history.moved):
            follow(signal, self._forget_said)
        self._on_said(*driver.last_said)
        self.refresh()

    def say(self, text: str, role: str = "error") -> None:
        """One line below."""
        set_role(self.note, role)
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _forget_said(self) -> None:
        topic, text, role = self._driver.last_said  # the driver has forgotten it before
        self.say(text if topic == self._topic else "", role)

    def _on_said(self, topic: str, text: str, role: str) -> None:
        if topic == self._topic:
            self.say(text, role)

    def refresh(self) -> None:
        """Show the driver as it is."""
        driver = self._driver
        self.text.setVisible(driver.busy)
        self.controls.setVisible(driver.busy)
        self.pause.setText("Resume" if driver.paused else "Pause")
        self.pause.setToolTip("Go on" if driver.paused else "Hold after the present piece of work")
        if driver.busy:
            self._on_progress(driver.update)

    def _on_progress(self, update: Update | None) -> None:
        driver, bar = self._driver, self.bar
        # Updates off: a progress bar paints at once, and with it whatever else of the window is due.
        bar.setUpdatesEnabled(False)
        bar.setRange(0, 0 if update is None else 1000)
        left = None
        if update is not None:
            bar.setValue(round(1000 * update.fraction))
            left = update.remaining_seconds
        bar.setFormat("%p%" if left is None else f"%p%  ·  {format_seconds(left)} left")
        bar.setUpdatesEnabled(True)
        self.text.setText(self._words(update, driver))

    def _words(self, update: Update | None, driver: StepDriver) -> str:
        if driver.message or update is None:
            return f"{driver.title}: {driver.message or 'preparing'}"
        place = f" ({update.number + 1} of {update.count})" if update.count > 1 else ""
        state = "paused  ·  " if driver.paused else ""
        return f"{update.name}{place}: {state}{update.progress.text}"

    def showEvent(self, event: Any) -> None:
        """Learn which window the job belongs to."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow):
            self._driver.watch_window(window)
