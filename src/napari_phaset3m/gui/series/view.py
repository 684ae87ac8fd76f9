"""Tilt and focus sliders: which image is on the canvas, and what it is."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.gui.theme import LINE_SPACING, label
from napari_phaset3m.gui.widgets.numbers import show


def tilt_text(series: TiltFocalSeries, tilt: int) -> str:
    """Tilt angle for a readout."""
    return f"{show(float(series.tilt_deg[tilt]), '°')}°"


def focus_text(series: TiltFocalSeries, tilt: int, focus: int) -> str:
    """Defocus for a readout."""
    if series.defocus_angstrom is None:
        return f"{focus + 1} of {series.n_focus}"
    return f"{show(float(series.defocus_angstrom[tilt, focus]), 'nm')} nm"


def remark_text(series: TiltFocalSeries, tilt: int, focus: int) -> str:
    """Write number, dose and use of an image, in one line."""
    parts = [f"Image {tilt * series.n_focus + focus + 1} of {series.n_tilt * series.n_focus}"]
    if series.dose_per_image is not None:
        parts.append(f"{show(float(series.dose_per_image[tilt, focus]), 'e/Å²')} e/Å²")
    if series.defocus_angstrom is None and not series.is_dark_field:
        parts.append("defocus unknown")
    if series.used is not None and not series.used[tilt, focus]:
        parts.append("not used")
    return "  ·  ".join(parts)


def summary(series: TiltFocalSeries) -> str:
    """Two lines: how many images of what size; field of view, voltage and dose."""
    ny, nx = series.image_shape
    pixel = series.pixel_size_angstrom
    foci = "1 focus" if series.n_focus == 1 else f"{series.n_focus} foci"
    tilts = "1 tilt" if series.n_tilt == 1 else f"{series.n_tilt} tilts"
    first = f"{tilts} × {foci}  ·  {nx} × {ny} px"
    second = [f"{show(nx * pixel, 'nm', 3)} × {show(ny * pixel, 'nm', 3)} nm"]
    second.append(f"{show(series.energy_ev, 'kV')} kV")
    if series.dose_per_image is not None and series.used is not None:
        total = float(series.dose_per_image[series.used].sum())
        second.append(f"{show(total, 'e/Å²', 4)} e/Å² in all")
    else:
        second.append("dose not stated")
    return f"{first}\n{'  ·  '.join(second)}"


def same_images(a: TiltFocalSeries, b: TiltFocalSeries) -> bool:
    """Whether one series is an edited copy of the other (each has its own view of the images)."""
    return a.images.shape == b.images.shape and bool(np.may_share_memory(a.images, b.images))


class SeriesView(QWidget):
    """Two sliders with readouts; what they choose is announced, drawing is the panel's job."""

    #: (tilt index, focus index), by the user
    moved = Signal(int, int)
    show_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series: TiltFocalSeries | None = None
        self.tilt = self._slider("Tilt", "Tilt angle, degrees (arrow keys, Page Up, Page Down)")
        self.focus = self._slider("Focus", "Image of the focal series at this tilt; its defocus in nm")
        self.tilt_readout, self.focus_readout = label(), label()
        grid = QGridLayout()
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        for row, (name, slider, readout) in enumerate(
            (("Tilt", self.tilt, self.tilt_readout), ("Focus", self.focus, self.focus_readout))
        ):
            readout.setMinimumWidth(72)
            readout.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(label(name), row, 0)
            grid.addWidget(slider, row, 1)
            grid.addWidget(readout, row, 2)
        self.remark = label("", "muted")
        self.forward = QPushButton("Show images")
        self.forward.setToolTip("Show the images flat and in front of the volumes")
        self.forward.clicked.connect(self.show_requested)
        line = QHBoxLayout()
        line.addWidget(self.remark, 1)
        line.addWidget(self.forward)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(grid)
        layout.addLayout(line)
        self.forward.hide()

    def _slider(self, name: str, tooltip: str) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setAccessibleName(name)
        slider.setToolTip(tooltip)
        slider.setPageStep(5)
        slider.valueChanged.connect(self._on_moved)
        return slider

    def set_series(self, series: TiltFocalSeries | None, *, keep: bool) -> None:
        """Fit the sliders; ``keep`` their places when it is the same series, edited."""
        self._series = series
        counts = (1, 1) if series is None else (series.n_tilt, series.n_focus)
        for slider, count in zip((self.tilt, self.focus), counts, strict=True):
            blocked = slider.blockSignals(True)
            slider.setRange(0, count - 1)
            slider.setEnabled(count > 1)
            slider.blockSignals(blocked)
        if series is not None:
            self.focus.setToolTip(
                "Image of the focal series at this tilt; its defocus in nm"
                if series.n_focus > 1
                else "This series has one image for each tilt"
            )
            if not keep:
                self.place(int(abs(series.tilt_deg).argmin()), 0)
        self.refresh()

    def position(self) -> tuple[int, int]:
        """(tilt index, focus index)."""
        return self.tilt.value(), self.focus.value()

    def place(self, tilt: int, focus: int) -> None:
        """Move the sliders without telling anybody."""
        for slider, value in ((self.tilt, tilt), (self.focus, focus)):
            blocked = slider.blockSignals(True)
            slider.setValue(value)
            slider.blockSignals(blocked)
        self.refresh()

    def refresh(self) -> None:
        """Write the readouts anew."""
        series = self._series
        if series is None:
            for readout in (self.tilt_readout, self.focus_readout, self.remark):
                readout.setText("")
            return
        tilt, focus = self.position()
        self.tilt_readout.setText(tilt_text(series, tilt))
        self.focus_readout.setText(focus_text(series, tilt, focus))
        self.remark.setText(remark_text(series, tilt, focus))

    def _on_moved(self) -> None:
        self.refresh()
        if self._series is not None:
            self.moved.emit(*self.position())
