"""The controls of the Analyse panel and what they look like."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.analyse.compute import TOPICS, Topic
from napari_phaset3m.gui.analyse.defoci import DefociField
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, ElidedLabel, label, rule, set_role
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox


class ChoicesBox(QWidget):
    """Volume, mask, halves, series and cell."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setColumnStretch(1, 1)
        self.volume = ChoiceBox()
        self.volume.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.volume.setPlaceholderText("No volume yet")
        self.volume.setAccessibleName("Volume to analyse")
        self.open = _button("Open…", "Open a volume: MRC, TIFF, HDF5 or OME-Zarr")
        self.mask, self.mask_name = QCheckBox("Mask"), ElidedLabel()
        self.halves_name = ElidedLabel("none")
        self.halves = QToolButton()
        self.halves.setText("Halves")
        self.halves.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        set_role(self.halves, "button")
        self.series, self.series_name = QCheckBox("Series"), ElidedLabel()
        self.cell = QLineEdit()
        self.cell.setMinimumWidth(60)
        self.cell.setPlaceholderText("fitted to the peaks")
        self.cell.setAccessibleName("Edge of a cubic cell, Å, and its centring")
        self.cell.setToolTip(
            "Edge of a cubic cell in Å with its centring, like 8.084 F; empty: from the peaks"
        )
        self.cif = _button("CIF…", "Take the cell from a CIF")
        rows: tuple[tuple[QWidget, QWidget, QWidget | None], ...] = (
            (label("Volume"), self.volume, self.open),
            (self.mask, self.mask_name, None),
            (label("Halves"), self.halves_name, self.halves),
            (self.series, self.series_name, None),
            (label("Cell"), self.cell, self.cif),
        )
        for number, widgets in enumerate(rows):
            for column, widget in enumerate(widgets):
                if widget is not None:
                    wide = 2 if column == 1 and widgets[2] is None else 1
                    grid.addWidget(widget, number, column, 1, wide)


class HalvesBox(QWidget):
    """Progress of both halves and the buttons that steer them; hidden without."""

    def __init__(self) -> None:
        super().__init__()
        self.message = ElidedLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.pause = _button("Pause", "Hold after the present step; resume later")
        self.finish = _button("Finish now", "End this half after the present step; both get as many sweeps")
        self.stop = _button("Stop", "End without halves")
        row = QHBoxLayout()
        for button in (self.pause, self.finish, self.stop):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(LINE_SPACING)
        column.addWidget(self.message)
        column.addWidget(self.bar)
        column.addLayout(row)
        self.hide()


class TopicRow(QWidget):
    """One topic: its name, Compute (Show, when there is a result), own controls, and what came out."""

    compute = Signal(str)
    show_ = Signal(str)

    def __init__(self, topic: Topic) -> None:
        super().__init__()
        self.topic = topic
        self.run = _button("Compute", topic.tip)
        self.done = False
        self.text = label("", wrap=True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.hide()
        line = QHBoxLayout()
        line.setSpacing(LINE_SPACING)
        line.addWidget(label(topic.title, "title"))
        line.addStretch(1)
        line.addWidget(self.run)
        self.extras = QVBoxLayout()
        self.extras.setSpacing(LINE_SPACING)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(LINE_SPACING)
        column.addLayout(line)
        column.addLayout(self.extras)
        column.addWidget(self.text)
        self.run.clicked.connect(self._on_run)

    def add(self, *widgets: QWidget) -> None:
        """Put a line of own controls below the name; one that can be as wide as there is room, is."""
        line = QHBoxLayout()
        line.setSpacing(LINE_SPACING)
        for widget in widgets:
            line.addWidget(widget)
        if not isinstance(widgets[-1], QLineEdit):
            line.addStretch(1)
        self.extras.addLayout(line)

    def say(self, text: str, full: str = "", role: str = "") -> None:
        """Write what came out; all of it is the tooltip."""
        set_role(self.text, role)
        self.text.setText(text)
        self.text.setToolTip(full)
        self.text.setVisible(bool(text))

    def _on_run(self) -> None:
        (self.show_ if self.done else self.compute).emit(self.topic.key)


#: What the button says that opens a model.
MODEL = "Model…"


class AnalyseWidgets(QWidget):
    """Choices above, then what can be done with all, then one row for each topic."""

    def __init__(self) -> None:
        super().__init__()
        self.choices, self.job = ChoicesBox(), HalvesBox()
        self.all = _button("Compute all", "Everything that is possible with what is chosen above")
        self.report = _button("Write report…", "Measure everything and write one HTML page")
        self.open_report = _button("Open report", "Open the page in the browser")
        self.open_report.hide()
        self.busy = QProgressBar()
        self.cancel = _button("Cancel", "Give up what is being computed")
        self.note = label("", "muted", wrap=True)
        self.note.hide()
        self.rows = {key: TopicRow(topic) for key, topic in TOPICS.items()}
        self._extras()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(self.choices)
        layout.addWidget(self.job)
        layout.addLayout(self._actions())
        for row in self.rows.values():
            layout.addWidget(rule())
            layout.addWidget(row)
        layout.addStretch(1)

    def _actions(self) -> QVBoxLayout:
        buttons, busy = QHBoxLayout(), QHBoxLayout()
        for button in (self.all, self.report):
            buttons.addWidget(button)
        busy.addWidget(self.busy, 1)
        busy.addWidget(self.cancel)
        column = QVBoxLayout()
        column.setSpacing(LINE_SPACING)
        column.addLayout(buttons)
        column.addLayout(busy)
        said = QHBoxLayout()
        said.addWidget(self.note, 1)
        said.addWidget(self.open_report)
        column.addLayout(said)
        self.show_busy("", -1.0, False)
        return column

    def _extras(self) -> None:
        self.thickness = QDoubleSpinBox()
        self.thickness.setRange(0.1, 10000)
        self.thickness.setSuffix(" Å thick")
        self.thickness.setKeyboardTracking(False)
        self.thickness.setToolTip("Thickness of the slices; at least one voxel is averaged")
        self.rows["slices"].add(self.thickness)
        self.species = QSpinBox()
        self.species.setRange(1, 4)
        self.species.setToolTip("Kinds of atoms, told apart by intensity (k-means)")
        self.xyz = _button("Save XYZ…", "Write x, y, z in Å from the rotation centre, species and intensity")
        self.species.setMaximumWidth(78)
        self.model = _button(MODEL, "")
        self.rows["atoms"].add(label("Species"), self.species, self.model, self.xyz)
        self.aperture = QDoubleSpinBox()
        self.aperture.setRange(0, 200)
        self.aperture.setDecimals(1)
        self.aperture.setSuffix(" mrad")
        self.aperture.setSpecialValueText("none")
        self.aperture.setKeyboardTracking(False)
        self.aperture.setToolTip("Half-angle of the objective aperture: the diffraction limit")
        self.rows["optics"].add(label("Objective aperture"), self.aperture)
        self.defoci = DefociField()
        self.rows["optics"].add(label("Defoci"), self.defoci)
        self.draw = _button("Draw line", "Draw a line in a slice; the one drawn last counts")
        self.rows["profile"].add(self.draw)

    def show_busy(self, text: str, part: float, busy: bool) -> None:
        """Show what is being computed; ``part`` is less than 0 when it is not known how far."""
        self.busy.setVisible(busy)
        self.cancel.setVisible(busy)
        self.busy.setRange(0, 0 if part < 0 else 1000)
        self.busy.setValue(round(1000 * max(0.0, part)))
        self.busy.setFormat(text)

    def say(self, text: str, role: str = "error") -> None:
        """Write a remark below the buttons; an empty one takes it away."""
        set_role(self.note, role)
        self.note.setText(text)
        self.note.setVisible(bool(text))


def enable(widget: QWidget, why_not: str, tip: str) -> None:
    """Enable a control, or say why it is not."""
    widget.setEnabled(not why_not)
    widget.setToolTip(why_not or tip)


def _button(text: str, tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tip)
    return made
