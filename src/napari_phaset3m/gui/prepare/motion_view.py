"""What motion correction found, below the canvas: drift of the shown image's movie, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_phaset3m.gui.plots.seen_view import SeenView
from napari_phaset3m.gui.plots.tilt_plot import PicturePlot, TiltCurve, TiltPlot
from napari_phaset3m.gui.theme import label
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.prepare.work import PrepareWork
    from napari_phaset3m.session import Session

TITLE = "Motion"
_WIDTH = 150
#: Longest side of the pictures, pixels.
_PICTURE = 256


class MotionView(SeenView):
    """Drift against frame, and the image before and after.

    Parameters
    ----------
    session : Session
    work : PrepareWork
    """

    def __init__(self, session: Session, work: PrepareWork) -> None:
        super().__init__()
        self._session, self._work = session, work
        self.text = label("", "muted", wrap=True)
        self.legend = label("", wrap=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.drift = TiltPlot("drift (px)", "frame", legend=False)
        self.before, self.after = PicturePlot(square=True), PicturePlot(square=True)
        self.before.title.setText("before")
        self.after.title.setText("after")
        side = QWidget()
        side.setFixedWidth(_WIDTH)
        column = QVBoxLayout(side)
        column.setContentsMargins(4, 4, 4, 0)
        column.addWidget(self.legend)
        column.addWidget(self.text)
        column.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget, weight in ((side, 0), (self.drift, 3), (self.before, 2), (self.after, 2)):
            layout.addWidget(widget, weight)
        work.changed.connect(self.soon)
        follow(session.events.shown_image, self.soon)
        self.refresh()

    def refresh(self) -> None:
        """Draw the shown image's movie."""
        found = self._work.motion.get(self._session.shown_image)
        if found is None:
            self.drift.show_curves([])
            text = (
                "This image was not made of a movie." if self._work.motion else "No movie was corrected yet."
            )
            self.text.setText(text)
        else:
            self.drift.show_curves(drift_curves(found))
            self.text.setText(drift_words(found))
        self.legend.setText(self.drift.legend_html())
        self._pictures()

    def _pictures(self) -> None:
        history, place = self._session.history, self._session.shown_image
        names = [state.name for state in history.states[: history.position + 1]]
        number = next((i for i in range(len(names) - 1, 0, -1) if names[i].startswith("Motion")), None)
        for picture, offset in ((self.before, -1), (self.after, 0)):
            data = None if number is None else _small(history.states[number + offset].series, place)
            size = (0, 0, 1, 1) if data is None else (0, 0, data.shape[1], data.shape[0])
            picture.show_picture(data, size)
            picture.setVisible(data is not None)


def drift_curves(found: dict[str, Any]) -> list[TiltCurve]:
    """Drift x and y against frame, as used (line) and as measured (points)."""
    used, measured = np.asarray(found["drift_px"], float), np.asarray(found["measured_px"], float)
    errors = np.asarray(found["error_px"], float)
    measured = measured - np.asarray(found["shifts_px"], float)[0]
    frames = np.arange(1, len(used) + 1, dtype=float)
    curves = []
    for axis, name, colour in ((1, "x", 0), (0, "y", 1)):
        curves.append(TiltCurve(f"{name} track", frames, used[:, axis], None, colour, -1))
        bars = np.where(np.isfinite(errors[:, axis]), errors[:, axis], 0.0)
        curves.append(TiltCurve(f"{name} measured", frames, measured[:, axis], bars, colour, colour))
    return curves


def drift_words(found: dict[str, Any]) -> str:
    """Total drift, error and what was left out."""
    lines = [f"Drift {found['drift_total_px']:.2f} px over {found['n_frames']} frames"]
    if not found.get("drift_found", True):
        lines = [f"No drift over {found['n_frames']} frames"]
    elif found.get("drift_total_angstrom") is not None:
        lines[0] += f" ({found['drift_total_angstrom']:.1f} Å)"
    if found.get("shift_error_px") is not None:
        lines.append(f"Error of a shift {found['shift_error_px']:.2f} px")
    if found.get("local_drift_px"):
        lines.append(f"Local drift {found['local_drift_px']:.2f} px (RMS)")
    if found.get("frames_left_out"):
        lines.append(f"Frames left out: {', '.join(str(n + 1) for n in found['frames_left_out'])}")
    lines += [note[:1].upper() + note[1:] for note in found.get("notes", ())]
    return "\n".join(lines)


def _small(series: TiltFocalSeries, place: tuple[int, int]) -> np.ndarray | None:
    if place[0] >= series.n_tilt or place[1] >= series.n_focus:
        return None
    image = series.images[place]
    step = max(1, -(-max(image.shape) // _PICTURE))
    ny, nx = (n // step for n in image.shape)
    return np.asarray(image[: ny * step, : nx * step].reshape(ny, step, nx, step).mean(axis=(1, 3)))
