"""What a run would need, worked out in the background whenever a setting changes."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_phaset3m.gui.error_words import error_line
from napari_phaset3m.gui.runs.words import in_window
from napari_phaset3m.gui.theme import label, set_role
from napari_phaset3m.gui.widgets.binding import follow, format_bytes, format_seconds
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.session import Session

FORECAST_DELAY_MS = 400
#: A space at which no line ends.
_HOLD = "\u00a0"


class ForecastLine(QLabel):
    """Memory and time of a run with the session's settings, or why there can be none.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    blocker : str
        Why these settings cannot be run; empty when they can.
    note : QLabel
        What the voxels cannot hold; for the panel to put below, hidden when there is nothing to say.
    """

    #: The blocker may have changed.
    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._key: tuple[Any, ...] = ()
        self._running = False
        self.blocker = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        set_role(self, "muted")
        self.note = label("", "warning", wrap=True)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(FORECAST_DELAY_MS)
        self._timer.timeout.connect(self._begin)
        for name in ("series", "config", "device", "mask"):
            follow(session.events[name], self._on_inputs)
        self._on_inputs()

    def _on_inputs(self) -> None:
        self.blocker = ""
        self._say("")
        if self._session.series is not None:
            self._timer.start()
            self.setText("Working out memory and time …")
        else:
            self.setText("")
        self.changed.emit()

    def _say(self, text: str) -> None:
        self.note.setText(text.replace(" Å", f"{_HOLD}Å"))  # a unit stays with its number
        self.note.setVisible(bool(text))

    def _inputs(self) -> tuple[Any, ...]:
        return self._session.series, self._session.config, self._session.device

    def _begin(self) -> None:
        if self._session.series is None:
            return
        if self._running or self._session.active_run is not None:
            if not self._running:
                self.setText("Memory and time are worked out when the run has ended")
            self._timer.start()
            return
        self._running, self._key = True, self._inputs()
        in_background(partial(forecast_of, *self._key), self._on_forecast, self._on_error)

    def _is_stale(self) -> bool:
        self._running = False
        now = self._inputs()
        return now[0] is not self._key[0] or now[1] is not self._key[1] or now[2] != self._key[2]

    def _on_forecast(self, result: Any) -> None:
        if self._is_stale():
            return
        self.blocker = ""
        self._say("\n".join(f"{note[0].upper()}{note[1:]}." for note in result.notes))
        self.setText(forecast_text(result, self._session.config.iterations))
        self.setToolTip(f"{format_bytes(result.available_bytes)} of memory are free now")
        self.changed.emit()

    def _on_error(self, error: Exception) -> None:
        if self._is_stale():
            return
        self.setText("")
        self.blocker = error_line(error, in_window)
        self.changed.emit()


def forecast_of(series: Any, config: Any, device: Any) -> Any:
    """The engine's forecast (imported late: it pulls in Numba)."""
    from napari_phaset3m.reconstruct.api import forecast

    return forecast(series, config, device=device)


def forecast_text(result: Any, iterations: int | str) -> str:
    """The forecast in two lines."""
    nz, ny, nx = result.volume_shape
    slices = f", {result.slices} slices" if result.slices and result.slices > 1 else ""
    needs = f"needs {format_bytes(result.memory_bytes)}"
    if result.seconds_per_sweep:
        needs += f"  ·  about {format_seconds(result.seconds_per_sweep)} per sweep"
        if isinstance(iterations, int):
            total = f"{format_seconds(result.seconds_per_sweep * iterations)} in all"
            needs += f", {total.replace(' ', _HOLD)}"
    return f"{nx} × {ny} × {nz} voxels{slices}\n{needs}"
