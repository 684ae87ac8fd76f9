"""The volume's Fourier transform, live, on a canvas of its own.

A layer in 1/Å beside layers in Å would take the scale bar away from all of them,
so it never enters the main viewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout

from napari_phaset3m.gui.canvas.owner import CanvasOwner
from napari_phaset3m.gui.fourier.canvas import VIEWS, FourierCanvas
from napari_phaset3m.gui.fourier.peaks_view import PeaksView
from napari_phaset3m.gui.theme import ElidedLabel
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.session import Session

if TYPE_CHECKING:
    from napari_phaset3m.jobs import PreviewFrame


class FourierView(CanvasOwner):
    """Log power of the newest volume with resolution rings.

    Parameters
    ----------
    session : Session

    Notes
    -----
    While it is hidden nothing is computed or drawn for it.
    """

    canvas: FourierCanvas | None

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._shown: PreviewFrame | None = None
        self.view = ChoiceBox()
        self.view.addItems(list(VIEWS))
        self.view.setToolTip("Whole volume (maximum along the line of sight), or a central slice")
        self.rings = QCheckBox("Rings")
        self.rings.setChecked(True)
        self.rings.setToolTip("Resolution rings, labelled in Å")
        self.wedge = QCheckBox("Wedge")
        self.wedge.setChecked(True)
        self.wedge.setToolTip(
            "Planes of the lowest and the highest tilt, in 3D and kx–kz; between them nothing was measured"
        )
        self.peaks_button = QCheckBox("Peaks")
        self.peaks_button.setToolTip("Table of Bragg peaks; click one, and the view goes there")
        self.peaks = PeaksView(session)
        self.peaks.hide()
        self.info = ElidedLabel("The transform of a result appears here")
        self._lay_out()
        self.view.currentTextChanged.connect(self._on_view)
        self.rings.toggled.connect(self._on_rings)
        self.wedge.toggled.connect(self._on_wedge)
        self.peaks_button.toggled.connect(self.peaks.setVisible)
        self.peaks.wanted.connect(self.fly_to)
        follow(session.events.frame, self._on_frame)

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 2, 6, 0)
        for widget in (self.view, self.rings, self.wedge, self.peaks_button):
            bar.addWidget(widget)
        bar.addWidget(self.info, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        row = QHBoxLayout()
        row.addLayout(self.place, 1)
        row.addWidget(self.peaks, 1)
        layout.addLayout(row, 1)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Ask for transforms; the canvas is built as soon as the window has its shape."""
        super().showEvent(event)
        self._session.watch_fourier = True
        QTimer.singleShot(0, self.catch_up)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Spare the transforms while nobody looks."""
        self._session.watch_fourier = False
        super().hideEvent(event)

    def release(self) -> None:
        """Give the canvas back, and forget what it showed."""
        super().release()
        self._shown = None

    def fly_to(self, frequency: tuple[float, float, float], text: str = "") -> None:
        """Bring a frequency, (kz, ky, kx) in 1/Å, into the middle, circled and named."""
        if self.canvas is not None:
            self.canvas.fly_to(frequency, text)

    def catch_up(self) -> None:
        """Build the canvas if somebody looks, and show the newest frame."""
        if self.isVisible():
            self._build()
            self._on_frame()

    def _build(self) -> FourierCanvas:
        if self.canvas is None:
            canvas = self.hold(FourierCanvas(self.on_lost))
            canvas.name = self.view.currentText()
            canvas.rings_wanted = self.rings.isChecked()
            canvas.wedge_wanted = self.wedge.isChecked()
            canvas.widget.setMinimumHeight(60)
            canvas.widget.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            return canvas
        return self.canvas

    def _on_frame(self) -> None:
        frame = self._session.frame
        if frame is None or frame.log_power is None or frame is self._shown or not self.isVisible():
            return
        canvas, self._shown = self._build(), frame
        limits = frame.power_limits if frame.final else _steady(canvas.limits, frame.power_limits)
        canvas.show(frame.log_power, frame.voxel_size_angstrom, limits)
        record = self._session.run(frame.run_id)
        canvas.set_tilt_range(None if record is None else record.tilt_range_deg)
        nyquist = 2 * frame.voxel_size_angstrom
        stage = "final" if frame.final else f"sweep {frame.sweep + 1}"
        self.info.set_full_text(f"log power · {stage} · edge {nyquist:.2f} Å")

    def _on_view(self, text: str) -> None:
        if self.canvas is not None:
            self.canvas.set_view(text)

    def _on_wedge(self, checked: bool) -> None:
        if self.canvas is not None:
            self.canvas.set_wedge(checked)

    def _on_rings(self, checked: bool) -> None:
        if self.canvas is not None:
            self.canvas.set_rings(checked)


def _steady(old: tuple[float, float], new: tuple[float, float]) -> tuple[float, float]:
    """Keep the display range until it would be off by a quarter."""
    span = 0.25 * max(old[1] - old[0], 1e-6)
    return new if abs(new[0] - old[0]) > span or abs(new[1] - old[1]) > span else old
