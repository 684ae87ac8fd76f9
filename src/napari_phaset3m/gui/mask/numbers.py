"""Numbers of the Mask panel: a slider with its value, and three coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSizePolicy, QSlider, QWidget

from napari_phaset3m.gui.theme import label

_TICKS = 200
_MOST_DIGITS = 5
#: Of a number, and of one of three coordinates, px without the edges.
_NUMBER_WIDTH, _VECTOR_WIDTH = 68, 50


def _narrow(spin: QDoubleSpinBox, width: int) -> None:
    """Make it narrower than napari's style allows: three of those are wider than the panel."""
    spin.setStyleSheet(f"QDoubleSpinBox {{ min-width: {width}px; padding: 1px 3px; }}")


class NumberSlider(QWidget):
    """A slider and the number it stands at.

    Parameters
    ----------
    high : float
        Right end of the slider; larger numbers can be typed.
    suffix, what : str
        Unit, and what it is, for tooltips and screen readers.
    low : float
    """

    changed = Signal(float)

    def __init__(self, high: float, suffix: str, what: str, low: float = 0.0) -> None:
        super().__init__()
        self._low, self._high = low, max(high, low + 1e-6)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _TICKS)
        self.slider.setMinimumWidth(44)
        self.spin = QDoubleSpinBox()
        size = self._high - low  # potentials of ice are hundredths of a volt
        self._digits = 1 if size > 20 else max(2, 2 - floor(log10(size)))
        self.spin.setDecimals(self._digits)
        self.spin.setRange(min(low, 0.0) if low >= 0 else 100 * low, 100 * abs(self._high) + 100)
        self.spin.setSingleStep(10.0**-self._digits * 5)
        self.spin.setSuffix(suffix)
        self.spin.setKeyboardTracking(False)
        self.spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        _narrow(self.spin, _NUMBER_WIDTH)
        self.spin.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.spin.setMaximumWidth(_NUMBER_WIDTH + 8)
        self.spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        for widget in (self.slider, self.spin):
            widget.setToolTip(what)
            widget.setAccessibleName(what)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.spin)
        self.slider.valueChanged.connect(self._on_slider)
        self.spin.valueChanged.connect(self._on_spin)

    def value(self) -> float:
        """The number."""
        return float(self.spin.value())

    def set(self, value: float) -> None:
        """Show a number without telling anybody."""
        tick = round((value - self._low) / (self._high - self._low) * _TICKS)
        needed = 1 - floor(log10(abs(value))) if value else 0  # Otsu's may be a small part of the range
        for widget, shown in ((self.spin, value), (self.slider, max(0, min(_TICKS, tick)))):
            blocked = widget.blockSignals(True)
            if widget is self.spin:
                self.spin.setDecimals(max(self._digits, min(needed, _MOST_DIGITS)))
            widget.setValue(shown)
            widget.blockSignals(blocked)

    def _on_slider(self, tick: int) -> None:
        self.set(round(self._low + tick / _TICKS * (self._high - self._low), self._digits))
        self.changed.emit(self.value())

    def _on_spin(self, value: float) -> None:
        self.set(value)
        self.changed.emit(value)


class VectorEdit(QWidget):
    """Three numbers x, y, z in Å."""

    changed = Signal(tuple)

    def __init__(self, what: str, low: float) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.spins = []
        for axis in "xyz":
            spin = QDoubleSpinBox()
            spin.setRange(low, 1e5)
            spin.setDecimals(1)
            spin.setKeyboardTracking(False)
            spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            spin.setPrefix(f"{axis} ")
            _narrow(spin, _VECTOR_WIDTH)
            spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            spin.setToolTip(f"{what} along {axis}, Å")
            spin.setAccessibleName(spin.toolTip())
            spin.valueChanged.connect(self._on_changed)
            layout.addWidget(spin, 1)
            self.spins.append(spin)
        layout.addWidget(label("Å", "muted"))

    def set(self, values: Sequence[float]) -> None:
        """Show numbers without telling anybody."""
        for spin, value in zip(self.spins, values, strict=True):
            blocked = spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(blocked)

    def _on_changed(self, *_: object) -> None:
        self.changed.emit(tuple(spin.value() for spin in self.spins))
