"""The controls of a comparison: which volumes, which view, slice, level and blinking."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_phaset3m.analyse.turning import SEARCHED_DEG, Turning
from napari_phaset3m.gui.compare.items import Candidate
from napari_phaset3m.gui.compare.measure import DEFAULT_TURNING
from napari_phaset3m.gui.compare.pane import VIEWS
from napari_phaset3m.gui.theme import ElidedLabel, label
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.numbers import show_number

SIDE_BY_SIDE, BLINK, DIFFERENCE = "Side by side", "Blink", "Difference"
LAYOUTS = (SIDE_BY_SIDE, BLINK, DIFFERENCE)
LETTERS = "ABCD"
VOLUME_FILTER = "Volumes (*.mrc *.rec *.map *.st *.tif *.tiff *.h5 *.hdf5 *.zarr);;All files (*)"
#: What is done to a volume before it is measured against A, and the rotation searched for it (as the command
#: line's --rotate).
ALIGNMENTS: dict[str, Turning] = {
    "Shift only": "none",
    "Shift, rotation about the tilt axis": "tilt",
    "Shift, rotation about x, y and z": "all",
}
#: Slider steps, and the part of the voxels above the level at its two ends (a logarithmic scale).
_STEPS, _TAIL = 400, (0.5, 1e-5)


class SlotRow(QWidget):
    """A combo box for each volume, with buttons for one more, one fewer, and a file."""

    #: Keys of the volumes, in order.
    chosen = Signal(list)
    file_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.slots: list[QComboBox] = []
        self._labels: list[QWidget] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        for letter in LETTERS:
            name, box = label(letter), ChoiceBox()
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setMinimumContentsLength(10)
            box.setAccessibleName(f"Volume {letter}")
            box.setToolTip("The reference" if letter == "A" else "What is compared with A")
            box.activated.connect(self._on_activated)
            self._row.addWidget(name)
            self._row.addWidget(box, 1)
            self.slots.append(box)
            self._labels.append(name)
        self.more = self._button("+", "One more volume", self._on_more)
        self.fewer = self._button("−", "One volume fewer", self._on_fewer)
        self.file = QPushButton("Open volume…")
        self.file.setToolTip("Read a volume from a file and compare it too")
        self.file.clicked.connect(self._on_file)
        self._row.addWidget(self.file)
        self.count = 2
        self._show_slots()

    def _button(self, text: str, tip: str, slot: object) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.clicked.connect(slot)
        self._row.addWidget(button)
        return button

    def offer(self, found: list[Candidate], chosen: list[str]) -> None:
        """List what can be chosen; ``chosen`` are the keys of what is."""
        self.count = max(2, len(chosen), self.count if len(chosen) < 2 else 0)
        for number, box in enumerate(self.slots):
            blocked = box.blockSignals(True)
            box.clear()
            box.addItem("choose …", "")
            for candidate in found:
                box.addItem(candidate.label, candidate.key)
                entry = box.model().item(box.count() - 1)
                if candidate.problem:
                    entry.setEnabled(False)
                    entry.setToolTip(candidate.problem)
            key = chosen[number] if number < len(chosen) else ""
            box.setCurrentIndex(max(0, box.findData(key)))
            box.blockSignals(blocked)
        self._show_slots()

    def _show_slots(self) -> None:
        for number, (name, box) in enumerate(zip(self._labels, self.slots, strict=True)):
            for widget in (name, box):
                widget.setVisible(number < self.count)
        self.more.setEnabled(self.count < len(self.slots))
        self.fewer.setEnabled(self.count > 2)

    def _on_activated(self, *_: object) -> None:
        self.chosen.emit([box.currentData() for box in self.slots[: self.count] if box.currentData()])

    def _on_more(self) -> None:
        self.count += 1
        self._show_slots()

    def _on_fewer(self) -> None:
        self.count -= 1
        self._show_slots()
        self._on_activated()

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open volume", "", VOLUME_FILTER)
        if path:
            self.file_wanted.emit(str(Path(path)))


class AlignRow(QWidget):
    """How the volumes are brought onto the reference, and what is measured then."""

    #: A rotation to search: none, tilt or all.
    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.box = ChoiceBox()
        self.box.setAccessibleName("Alignment")
        self.box.setToolTip(
            f"How each volume is brought onto A for the numbers and the difference. A rotation of up to "
            f"{SEARCHED_DEG:g}° makes up for tilts with another zero; it is looked for in finished volumes"
        )
        for text, turning in ALIGNMENTS.items():
            self.box.addItem(text, turning)
        self.box.setCurrentIndex(self.box.findData(DEFAULT_TURNING))
        self.box.currentIndexChanged.connect(self._on_chosen)
        self.peaks = QPushButton("Peaks")
        self.peaks.setCheckable(True)
        self.peaks.setToolTip("Bragg peaks of all volumes side by side; click one to see it")
        self.report, self.opened = QPushButton("Write report…"), QPushButton("Open report")
        self.opened.setToolTip("Open the report in the web browser")
        self.opened.hide()
        self.says = ElidedLabel()
        row.addWidget(label("Align to A"))
        for widget in (self.box, self.peaks, self.report, self.opened):
            row.addWidget(widget)
        row.addWidget(self.says, 1)

    def _on_chosen(self, *_: object) -> None:
        self.chosen.emit(self.box.currentData())


class ViewRow(QWidget):
    """Layout, view, slice position, level and blinking."""

    #: The arrangement or the kind of view has changed.
    arranged = Signal()
    #: Slice position or level has changed.
    adjusted = Signal()
    blinking = Signal()
    reset = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self.layouts, self.view = ChoiceBox(), ChoiceBox()
        self.layouts.addItems(list(LAYOUTS))
        self.layouts.setToolTip(
            "Blink: in one place, in turn (key B). Difference: A minus B, aligned and scaled"
        )
        self.view.addItems(list(VIEWS))
        self.position, self.position_text = self._slider("Slice", "Position of the slice from the centre, Å")
        self.level, self.level_text = self._slider("Level", "")
        self.level.setRange(0, _STEPS)
        #: Slider position of each way to show a volume: a surface wants to lie lower than white.
        self._levels = {"mip": self.level_for(99.9), "iso": self.level_for(99.0)}
        self.level.setValue(self._levels["mip"])
        self.fourier = QCheckBox("Fourier")
        self.fourier.setChecked(True)
        self.fourier.setToolTip("Fourier transforms below, with rings at round resolutions")
        self._make_blinking()
        self.home = QPushButton("Reset view")
        self._row.insertWidget(0, self.view)
        self._row.insertWidget(0, self.layouts)
        for widget in (self.fourier, self.blink, self.interval, self.home):
            self._row.addWidget(widget)
        for box in (self.layouts, self.view):
            box.currentIndexChanged.connect(self._on_arranged)
        self.fourier.toggled.connect(self._on_arranged)
        for slider in (self.position, self.level):
            slider.valueChanged.connect(self._on_adjusted)
        self.interval.valueChanged.connect(self.blinking)
        self.blink.toggled.connect(self.blinking)
        self.home.clicked.connect(self.reset)
        self._explain()

    def _make_blinking(self) -> None:
        self.interval = QSpinBox()
        self.interval.setRange(100, 5000)
        self.interval.setSingleStep(100)
        self.interval.setValue(600)
        self.interval.setSuffix(" ms")
        self.interval.setToolTip("Time for which each volume is shown")
        self.blink = QCheckBox("Run")
        self.blink.setChecked(True)
        self.blink.setToolTip("Blink by itself; key B goes on to the next volume at any time")

    def _slider(self, name: str, tip: str) -> tuple[QSlider, QWidget]:
        slider, text = QSlider(Qt.Orientation.Horizontal), label()
        slider.setMinimumWidth(90)
        slider.setAccessibleName(name)
        slider.setToolTip(tip)
        text.setMinimumWidth(84)
        slider.setProperty("name", name)
        self._row.addWidget(slider, 1)
        self._row.addWidget(text)
        return slider, text

    @property
    def percentile(self) -> float:
        """Level, per cent of the voxels that lie below it."""
        most, least = _TAIL
        return 100 * (1 - most * (least / most) ** (self.level.value() / _STEPS))

    @staticmethod
    def level_for(percentile: float) -> int:
        """Slider position of a percentile."""
        from math import log

        most, least = _TAIL
        return round(_STEPS * log((1 - percentile / 100) / most) / log(least / most))

    def set_span(self, half_angstrom: float, step_angstrom: float) -> None:
        """Let the slice go from one end of the volumes to the other in steps of a voxel."""
        steps = max(1, round(half_angstrom / step_angstrom))
        self._step = step_angstrom
        blocked = self.position.blockSignals(True)
        self.position.setRange(-steps, steps)
        self.position.blockSignals(blocked)
        self._explain()

    @property
    def position_angstrom(self) -> float:
        """Of the slice, from the rotation centre."""
        return self.position.value() * getattr(self, "_step", 1.0)

    def _on_arranged(self, *_: object) -> None:
        blocked = self.level.blockSignals(True)
        self.level.setValue(self._levels[VIEWS[self.view.currentText()][1]])
        self.level.blockSignals(blocked)
        self._explain()
        self.arranged.emit()

    def _on_adjusted(self, *_: object) -> None:
        self._levels[VIEWS[self.view.currentText()][1]] = self.level.value()
        self._explain()
        self.adjusted.emit()

    def _explain(self) -> None:
        cut, method = VIEWS[self.view.currentText()]
        axis = "" if cut is None else "zyx"[cut]
        for widget in (self.position, self.position_text):
            widget.setVisible(cut is not None)
        self.position_text.setText(f"{axis} = {show_number(self.position_angstrom, 3)} Å")
        what = "surface at" if method == "iso" else "white at"
        self.level_text.setText(f"{what} {self.percentile:.4g} %")
        kind = "Level of the surface" if method == "iso" else "Upper end of the display range"
        self.level.setToolTip(f"{kind}, in per cent of each volume's voxels that lie below: the same for all")
        blinks = self.layouts.currentText() == BLINK
        for widget in (self.blink, self.interval):
            widget.setVisible(blinks)
