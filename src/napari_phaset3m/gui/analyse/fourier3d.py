"""The transform of an analysed volume in 3D: isosurface, resolution shells, missing wedge, peaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QPushButton,
    QSlider,
    QVBoxLayout,
)

from napari_phaset3m.gui.analyse.compute import FourierResult
from napari_phaset3m.gui.canvas.owner import CanvasOwner
from napari_phaset3m.gui.fourier.canvas import FourierCanvas, silhouette
from napari_phaset3m.gui.fourier.marks import circle
from napari_phaset3m.gui.fourier.peak_table import PeakTable, frequency_of, peak_name
from napari_phaset3m.gui.theme import label
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox

SURFACE, PROJECTION = "Surface", "Projection"
HINT = "To see the peaks in the transform, press Compute beside “3D Fourier transform” in step Analyse."
#: From where it is seen at first: the wedge opens towards the reader.
ELEVATION, AZIMUTH = 20.0, 25.0
#: Radius of the mark around a peak, as a part of Nyquist.
_MARK_RADIUS = 0.05
_SHELL_COLOUR = (1.0, 1.0, 1.0, 0.45)
#: Where the shells' labels stand on the circle in x and z, degrees.
_LABEL_ANGLES = (50.0, 15.0, -20.0, -50.0)
#: Below this width labels are short, and the wedge's stands in the middle, px.
NARROW_PX = 320
#: Least and most of the table of peaks, px.
TABLE_WIDTH = (230, 400)


class Fourier3D(FourierCanvas):
    """A log power as a surface of equal power, or projected, with shells and wedge."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        from vispy.scene.visuals import Line

        super().__init__(on_lost)
        scene = self._view.scene
        self.shells = Line(np.zeros((2, 3)), color=_SHELL_COLOUR, connect="segments", parent=scene)
        self.shells.set_gl_state("translucent", depth_test=False)
        self.shells.order = 1
        self.shells.visible = False
        self.level = 0.7
        self.mode = SURFACE
        self._canvas.events.resize.connect(self._on_resize)

    def show_result(self, result: FourierResult) -> None:
        """Take a new log power with its tilts."""
        self.show(result.power, result.voxel_size_angstrom, result.limits)
        self.set_mode(self.mode)
        self.set_tilt_range(result.tilt_range_deg)

    def set_mode(self, mode: str) -> None:
        """Show a surface of equal power, or the maximum along the line of sight."""
        self.mode = mode
        self._volume.method = "iso" if mode == SURFACE else "mip"
        self.set_level(self.level)

    def set_level(self, level: float) -> None:
        """Where the surface lies, 0..1 of the display range."""
        self.level = level
        low, high = self.limits
        self._volume.threshold = low + level * (high - low)
        self._canvas.update()

    def set_rings(self, wanted: bool) -> None:
        """Show or hide the shells with their labels, in 1/Å and Å."""
        super().set_rings(wanted)
        self.shells.visible = wanted and bool(self.marks.resolutions)

    def fly_to(self, frequency: tuple[float, float, float], text: str = "") -> None:
        """Bring a frequency, (kz, ky, kx) in 1/Å, into the middle, in a shell of its own."""
        super().fly_to(frequency, text)
        if self._power is not None:
            radius = _MARK_RADIUS * 0.5 / self._geometry[1]
            self.marks.mark.set_data(sphere_lines(radius) + np.asarray(frequency[::-1]))

    def whole(self) -> None:
        """See all of it, from the first point of view."""
        if self._power is not None:
            self._frame()

    def _narrow(self) -> bool:
        return bool(self.widget.width() < NARROW_PX)

    def _on_resize(self, _event: Any) -> None:
        if self._power is not None and self.wedge.centred != self._narrow():
            self.wedge.centred = self._narrow()
            self._name_shells()
            self._place_wedge()

    def _name_shells(self) -> None:
        self.marks.labels.text = [shell_name(d, short=self._narrow()) for d in self.marks.resolutions]

    def _frame(self) -> None:
        super()._frame()
        self.wedge.centred = self._narrow()
        edge = 0.5 / self._geometry[1]
        self._solid.elevation, self._solid.azimuth = ELEVATION, AZIMUTH
        self._solid.scale_factor = 2 * edge * silhouette(ELEVATION, AZIMUTH)
        rings = self.marks.resolutions
        if rings:
            self.shells.set_data(np.concatenate([sphere_lines(1 / d) for d in rings]))
            turn = np.deg2rad(_LABEL_ANGLES[: len(rings)])
            around = np.stack([np.cos(turn), np.zeros(len(rings)), np.sin(turn)], axis=1)
            self.marks.labels.pos = around / np.asarray(rings)[:, None]
            self._name_shells()
        self.set_rings(self.rings_wanted)


def shell_name(resolution_angstrom: float, *, short: bool) -> str:
    """What stands at a shell; ``short`` where there is little room."""
    long = f"{1 / resolution_angstrom:.3g} 1/Å ({resolution_angstrom:g} Å)"
    return f"{resolution_angstrom:g} Å" if short else long


def sphere_lines(radius: float) -> np.ndarray:
    """`(n, 3)` segments of the three great circles of a shell, (x, y, z)."""
    flat = circle(radius)
    return np.concatenate([flat, flat[:, [0, 2, 1]], flat[:, [2, 0, 1]]])


class FourierPage(CanvasOwner):
    """The canvas with its controls, and the table of Bragg peaks beside it."""

    canvas: Fourier3D | None

    def __init__(self) -> None:
        super().__init__()
        self._result: FourierResult | None = None
        self._shown: FourierResult | None = None
        self.mode = ChoiceBox()
        self.mode.addItems([SURFACE, PROJECTION])
        self.mode.setToolTip("Surface of equal power, or maximum along the line of sight")
        self.level = QSlider(Qt.Orientation.Horizontal)
        self.level.setRange(0, 100)
        self.level.setValue(70)
        self.level.setMinimumWidth(60)
        self.level.setMaximumWidth(140)
        self.level.setAccessibleName("Level of the surface")
        self.level.setToolTip("Level of the surface, from the background to the highest peaks")
        self.rings, self.wedge = QCheckBox("Shells"), QCheckBox("Wedge")
        for box in (self.rings, self.wedge):
            box.setChecked(True)
        self.rings.setToolTip("Shells of equal resolution, labelled in 1/Å and Å")
        self.wedge.setToolTip("Planes of the lowest and the highest tilt; between them nothing was measured")
        self.whole = QPushButton("Whole")
        self.whole.setToolTip("See all of it again")
        self.table = PeakTable()
        self.table.setMinimumWidth(TABLE_WIDTH[0])
        self.table.setMaximumWidth(TABLE_WIDTH[1])
        self.table.hide()
        self.hint = label(HINT, "muted", wrap=True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._lay_out()
        self._connect()
        self.catch_up()

    def _lay_out(self) -> None:
        bar, row = QHBoxLayout(), QHBoxLayout()
        for widget in (self.mode, self.level, self.rings, self.wedge, self.whole):
            bar.addWidget(widget)
        bar.addStretch(1)
        self.place.addWidget(self.hint)
        row.addLayout(self.place, 1)
        row.addWidget(self.table, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        layout.addLayout(row, 1)

    def _connect(self) -> None:
        self.mode.currentTextChanged.connect(self._on_looks)
        self.level.valueChanged.connect(self._on_looks)
        self.rings.toggled.connect(self._on_looks)
        self.wedge.toggled.connect(self._on_looks)
        self.whole.clicked.connect(self._on_whole)
        self.table.chosen.connect(self._on_peak)

    def show_result(self, result: FourierResult | None) -> None:
        """Show a transform as soon as somebody looks."""
        self._result = result
        self.catch_up()

    def show_peaks(self, rows: list[dict[str, Any]] | None) -> None:
        """List peaks; None for none looked for."""
        with QSignalBlocker(self.table):
            self.table.set_rows(rows or [])
        self.table.setVisible(bool(rows))

    def showEvent(self, event: Any) -> None:
        """Build the canvas when it is first looked at."""
        super().showEvent(event)
        self.catch_up()

    def release(self) -> None:
        """Give the canvas back, and forget what it showed."""
        super().release()
        self._shown = None

    def catch_up(self) -> None:
        """Build the canvas if there is something to see and somebody looks."""
        there = self._result is not None
        self.hint.setVisible(not there)
        for widget in (self.mode, self.level, self.rings, self.wedge, self.whole):
            widget.setEnabled(there)
        if self.canvas is not None:
            self.canvas.widget.setVisible(there)
        if self._result is None or self._result is self._shown or not self.isVisible():
            return
        if self.canvas is None:
            canvas = self.hold(Fourier3D(self.on_lost))
            canvas.widget.setMinimumSize(120, 60)
            canvas.widget.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        else:
            canvas = self.canvas
        self._shown = self._result
        canvas.show_result(self._result)
        self._on_looks()

    def _on_looks(self, *_: object) -> None:
        self.level.setEnabled(self.mode.currentText() == SURFACE)
        if self.canvas is not None and self._shown is not None:
            self.canvas.level = self.level.value() / 100
            self.canvas.set_mode(self.mode.currentText())
            self.canvas.set_rings(self.rings.isChecked())
            self.canvas.set_wedge(self.wedge.isChecked())

    def _on_whole(self) -> None:
        if self.canvas is not None:
            self.canvas.whole()

    def _on_peak(self, row: dict[str, Any]) -> None:
        if self.canvas is not None:
            self.canvas.fly_to(frequency_of(row), f"{peak_name(row)}   {row['d_angstrom']:.2f} Å")
